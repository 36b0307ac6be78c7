"""A model and validation clips in, an epoch's figures out; each rank scores some of the clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from pipeline.arrays import Float32
from pipeline.evaluation.labels.aggregate import aggregate, equal_on_clips
from pipeline.evaluation.labels.targets import is_known, is_there
from pipeline.models.engines.engines import TorchEngine
from pipeline.models.model import Tagger
from pipeline.training.config import TrainConfig
from pipeline.training.data.window_set import WindowSet
from pipeline.training.regression.checks import REGRESSION
from pipeline.training.regression.figures import clip_errors
from pipeline.training.selection import METHODS, figures
from pipeline.training.step.ranks import from_all_ranks, rank_and_count


def validation_figures(
    model: Tagger, data: WindowSet, config: TrainConfig, device: torch.device, *, precision: str
) -> dict[str, float]:
    """Return what an epoch's row of the history says of the validation clips (`selection`)."""
    aggregation = config.aggregation
    if config.task == REGRESSION:
        predicted = clip_scores(model, data, aggregation, device, precision=precision)
        return clip_errors(predicted, data.targets)
    scores = clip_scores_by(model, data, [aggregation, *METHODS], device, precision=precision)
    return figures_of(scores, data.targets, aggregation)


def figures_of(
    scores: Mapping[str, Float32], targets: Float32, aggregation: str
) -> dict[str, float]:
    """Return an epoch's figures from the clips' scores by method, `[n_clips, n_classes]` each."""
    judged = {method: clip_metrics(found, targets) for method, found in scores.items()}
    return figures(judged, scores[aggregation], targets, aggregation)


def clip_scores(
    model: Tagger,
    data: WindowSet,
    aggregation: str,
    device: torch.device,
    *,
    precision: str = "f32",
) -> Float32:
    """Return the score of every clip, `[n_clips, n_classes]`, gathered from all ranks by clip."""
    return clip_scores_by(model, data, [aggregation], device, precision=precision)[aggregation]


@torch.inference_mode()
def clip_scores_by(
    model: Tagger,
    data: WindowSet,
    methods: Sequence[str],
    device: torch.device,
    *,
    precision: str = "f32",
) -> dict[str, Float32]:
    """Return the score of every clip by several aggregations; each window is scored once."""
    rank, n_ranks = rank_and_count()
    engine = TorchEngine(model.eval(), device, precision=precision)
    mine = {}
    for clip in range(rank, len(data.matrices), n_ranks):
        scores, _ = engine.scores(data.clip_windows(clip))
        mine[clip] = {method: aggregate(scores, equal_on_clips(method)) for method in methods}
    by_clip = {k: scores for part in from_all_ranks(mine) for k, scores in part.items()}
    clips = range(len(data.matrices))
    return {
        method: np.stack([by_clip[clip][method] for clip in clips]).astype(np.float32)
        for method in methods
    }


def clip_metrics(scores: Float32, targets: Float32) -> dict[str, float]:
    """Return what an epoch is judged by: loss and macro F1 of clips, `[n_clips, n_classes]`.

    What is unknown (NaN) is left out. `val_macro_f1` is the mean over the classes that are there,
    `val_macro_f1_all` over all: one without clips has F1 0.
    """
    known, clipped = is_known(targets), np.clip(scores, 1e-6, 1 - 1e-6)
    losses = -(targets * np.log(clipped) + (1 - targets) * np.log(1 - clipped))
    there, named = is_there(targets), (scores >= 0.5) & known
    both = there.sum(axis=0) + named.sum(axis=0)
    f1 = 2 * (there & named).sum(axis=0) / np.maximum(1, both)
    return {
        "val_loss": float(np.mean(losses[known])) if known.any() else 0.0,
        "val_macro_f1": float(f1[there.any(axis=0)].mean()) if there.any() else 0.0,
        "val_macro_f1_all": float(f1.mean()),
    }
