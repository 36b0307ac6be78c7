"""Kept embeddings in, a probe's fitted head and the history of its epochs out: seconds, no Ray."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pipeline.arrays import Float32
from pipeline.errors import TimbreError
from pipeline.evaluation.labels.aggregate import aggregate, equal_on_clips
from pipeline.evaluation.labels.targets import target_matrix
from pipeline.models.model import Tagger
from pipeline.models.networks.probe import Head, Probe
from pipeline.training.config import TrainConfig
from pipeline.training.cost import CostMeter
from pipeline.training.data.sampling import balanced_order
from pipeline.training.data.window_set import WindowSet
from pipeline.training.loop import Progress, weights_of
from pipeline.training.schedule import learning_rate
from pipeline.training.selection import METHODS, best_row, check_selection, n_stale
from pipeline.training.step.losses import window_losses
from pipeline.training.validation import figures_of

Labels = Mapping[str, tuple[Sequence[str], Sequence[str] | None]]
"""By segment_id, the codes of the classes of a clip, and of those that are unknown."""


def load_embedded(
    tables: Sequence[pa.Table], labels: Labels, *, codes: Sequence[str], activity: bool
) -> WindowSet:
    """Return the windows of tables of CLIP_EMBEDDINGS.

    A clip's matrix is `[n_features, n_windows]`, so a window is one column. With `activity` those
    of silence and noise are left out. Clips without labels are not of this dataset any more.
    """
    by_clip: dict[str, list[tuple[bool, Float32]]] = {}
    for table in tables:
        vectors = table["embedding"].combine_chunks()
        matrix = vectors.values.to_numpy(zero_copy_only=False).reshape(table.num_rows, -1)
        ids, active = table["segment_id"].to_pylist(), table["is_active"].to_pylist()
        for row in zip(ids, active, matrix, strict=True):
            by_clip.setdefault(row[0], []).append(row[1:])
    clips = {one: windows for one, windows in by_clip.items() if one in labels}
    starts = [
        [k for k, (is_active, _) in enumerate(windows) if is_active or not activity]
        for windows in clips.values()
    ]
    classes, unknown = zip(*(labels[one] for one in clips), strict=True)
    return WindowSet(
        segment_ids=list(clips),
        matrices=[np.stack([one for _, one in windows], axis=1) for windows in clips.values()],
        targets=target_matrix(classes, unknown, codes),
        clip_of=np.repeat(np.arange(len(clips)), [len(own) for own in starts]),
        start_of=np.array([k for own in starts for k in own], np.int64),
        n_frames=1,
        silence=0.0,
        db_per_unit=None,
        left_out=[
            len(windows) - len(own) for windows, own in zip(clips.values(), starts, strict=True)
        ],
    )


def vectors_of(data: WindowSet) -> Tensor:
    """Return the embeddings of all windows, `[n_windows, n_features]`."""
    columns = [
        data.matrices[clip][:, start]
        for clip, start in zip(data.clip_of, data.start_of, strict=True)
    ]
    n_features = len(data.matrices[0])
    return torch.from_numpy(np.stack(columns) if columns else np.zeros((0, n_features), np.float32))


def fit_probe(
    config: TrainConfig, model: Tagger, train_set: WindowSet, val_set: WindowSet
) -> Progress:
    """Fit the head of a probe and leave the best epoch's in the model; return how it went.

    It is AdamW on the masked binary cross-entropy; `config` says the rest: seed, rates, balance,
    which figure of the validation clips chooses, and how long to wait for a better one.
    """
    check_selection(config.select, val_set.targets)
    assert isinstance(model.backbone, Probe)
    head, device = model.backbone.head, torch.device("cpu")
    train_vectors, val_vectors = vectors_of(train_set), vectors_of(val_set)
    standardise(head, train_vectors)
    head.train()
    targets = torch.from_numpy(train_set.targets[train_set.clip_of])
    optimizer = torch.optim.AdamW(head.parameters(), weight_decay=config.weight_decay, fused=True)
    progress = Progress(precision="f32")
    progress.windows = {"learned": len(train_set), "left_out": train_set.n_left_out}
    meter, best = CostMeter(device), {}
    for epoch in range(config.epochs):
        if config.patience and n_stale(progress.history, config.select) >= config.patience:
            break
        losses: list[float] = []
        for batch in batches(config, train_set, epoch):
            step_losses = window_losses(head(train_vectors[batch]), targets[batch])
            optimizer.zero_grad(set_to_none=True)
            step_losses.mean().backward()  # type: ignore[no-untyped-call]
            _set_rate(optimizer, config, epoch, len(losses), len(train_set))
            optimizer.step()
            losses.append(float(step_losses.detach().mean()))
        row = {
            "epoch": epoch + 1.0,
            "train_loss": float(np.mean(losses)),
            **probe_figures(model, val_vectors, val_set, config.aggregation),
            **meter(),
        }
        if not all(map(math.isfinite, row.values())):
            raise TimbreError(f"the loss of epoch {epoch + 1} is no number; lower --lr")
        progress.history.append(row)
        if best_row(progress.history, config.select) is row:
            progress.best_val_loss, best = row["val_loss"], weights_of(head)
    head.load_state_dict(best)
    progress.epoch, progress.best_weights = len(progress.history), weights_of(model)
    return progress


def standardise(head: Head, vectors: Tensor) -> None:
    """Set what a head centres its input on, and what is 1 to it, by the training set."""
    deviation = vectors.std(dim=0, correction=0)
    head.mean.copy_(vectors.mean(dim=0))
    head.deviation.copy_(torch.where(deviation > 0, deviation, 1.0))


def batches(config: TrainConfig, data: WindowSet, epoch: int) -> Iterator[Tensor]:
    """Yield the windows of an epoch by number, in an order of seed and epoch."""
    rng = np.random.default_rng([config.seed, epoch])
    order = torch.from_numpy(balanced_order(data.targets, data.clip_of, rng, config.balance))
    torch.manual_seed(int(rng.integers(1 << 62)))  # dropout
    yield from torch.split(order, config.batch_size)


def _set_rate(
    optimizer: torch.optim.Optimizer, config: TrainConfig, epoch: int, step: int, n_windows: int
) -> None:
    n_steps = -(-n_windows // config.batch_size)
    rate = learning_rate(epoch * n_steps + step, n_steps * config.epochs, config)
    for group in optimizer.param_groups:
        group["lr"] = rate


@torch.no_grad()
def probe_figures(
    model: Tagger, vectors: Tensor, data: WindowSet, aggregation: str
) -> dict[str, float]:
    """Return what an epoch's row of the history says of the validation clips (`selection`)."""
    assert isinstance(model.backbone, Probe)
    head = model.backbone.head.eval()
    scores = model.silenced(torch.sigmoid(head(vectors)).numpy())
    head.train()
    of_clips = np.split(scores, np.searchsorted(data.clip_of, np.arange(1, len(data.matrices))))
    by_method = {
        method: np.stack([aggregate(own, equal_on_clips(method)) for own in of_clips]).astype(
            np.float32
        )
        for method in (aggregation, *METHODS)
    }
    return figures_of(by_method, data.targets, aggregation)
