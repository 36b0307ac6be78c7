"""A dataset in, model.safetensors and model.json out: the training loop on N workers by Ray Train.

A run is named by its config and the dataset's fingerprint: the same command goes on after a kill,
and a finished one is not done again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import ray
import ray.train
import torch
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from pipeline.audio.inputs import Input, LogMelInput
from pipeline.audio.logmel import LogMelSpec
from pipeline.audio.windows import WindowSpec
from pipeline.catalog.vocabulary import Vocabulary
from pipeline.errors import UsageError
from pipeline.flows.cluster import progress_bar, ray_session
from pipeline.flows.provenance import provenance
from pipeline.learn.config import TrainConfig
from pipeline.learn.data import (
    Mixing,
    WindowSet,
    load_windows,
    mapped_clips,
    n_steps,
    row_moments,
)
from pipeline.learn.loop import Hooks, Progress, train
from pipeline.learn.model import (
    Architecture,
    ModelCard,
    Tagger,
    check_name,
    fingerprint_of,
    load_card,
    save_model,
)
from pipeline.learn.recipes import heard_by
from pipeline.score.aggregate import METHODS
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder

_MAX_FAILURES = 8  # of workers; each goes on from the last checkpoint
_STATE = "state.pt"


@dataclass(frozen=True)
class FitConfig:
    """What to train on, where to, and with how much."""

    dataset: str
    """A dataset's folder, from the build."""
    out: str
    """The model's folder."""
    train: TrainConfig
    workers: int = 1
    """Processes that train together."""
    gpu: bool = False
    """A GPU for every worker."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UsageError(f"--workers {self.workers}: expected a whole number from 1 up")


@dataclass(frozen=True)
class FitResult:
    """The model, and whether this run was the one that trained it."""

    card: ModelCard
    was_done: bool


def fit(config: FitConfig) -> FitResult:
    """Train and write the model; at once done where the same run has ended before."""
    dataset = Dataset.open(config.dataset)
    meta = dataset.meta()
    if not meta["complete"]:
        raise UsageError(f"{config.dataset}: the build has not ended; run it again first")
    check_name(config.train.model)
    name = f"{config.train.model}-{fingerprint_of(asdict(config.train), meta['fingerprint'])}"
    out = Folder(config.out)
    if out.exists("model.json") and (card := load_card(config.out)).training["run"] == name:
        return FitResult(card, was_done=True)
    for split in ("train", "val"):
        if not any(dataset.features(split, ["segment_id"])):
            raise UsageError(f"{config.dataset}: the dataset has no clips in its {split} split")
    with out.claimed(), ray_session(min_cpus=config.workers + 1):
        progress = _fit(config, dataset, meta, name)
    vocabulary = Vocabulary.from_dict(meta["classes"])
    card = ModelCard(
        architecture=_architecture(config.train, meta),
        vocabulary=vocabulary,
        heard=heard(config.train, meta),
        windows=_windows(config.train),
        aggregation=config.train.aggregation,
        thresholds={method: dict.fromkeys(vocabulary.codes, 0.5) for method in METHODS},
        dataset_fingerprint=meta["fingerprint"],
        training={
            "run": name,
            "dataset": dataset.folder.uri,
            "workers": config.workers,
            "config": asdict(config.train),
            "best_val_loss": progress.best_val_loss,
            "history": progress.history,
        },
        provenance=provenance(),
    )
    return FitResult(save_model(out, progress.best_weights, card), was_done=False)


def _fit(config: FitConfig, dataset: Dataset, meta: dict[str, Any], name: str) -> Progress:
    board = Board.remote()  # type: ignore[attr-defined]
    trainer = TorchTrainer(
        _worker,
        train_loop_config={
            "config": config,
            "dataset": dataset,
            "meta": meta,
            "board": board,
        },
        scaling_config=ScalingConfig(
            num_workers=config.workers,
            use_gpu=config.gpu,
            resources_per_worker={"CPU": 1, **({"GPU": 1} if config.gpu else {})},
        ),
        torch_config=TorchConfig(backend="nccl" if config.gpu else "gloo"),
        run_config=RunConfig(
            name=name,
            storage_path=Folder(Folder(config.out).uri_of("runs")).uri,
            failure_config=FailureConfig(max_failures=_MAX_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )
    with _shown(board):
        result = trainer.fit()
    if result.checkpoint is None:
        raise RuntimeError(f"run {name} ended without a checkpoint")
    with result.checkpoint.as_directory() as folder:
        return Progress(**_read_state(folder)["progress"])


def _worker(job: dict[str, Any]) -> None:
    """One worker of Ray Train: load the data, go on from the last checkpoint, report each epoch."""
    config, dataset, meta, board = job["config"], job["dataset"], job["meta"], job["board"]
    context = ray.train.get_context()
    is_first = context.get_world_rank() == 0
    if not config.gpu:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
    cache = feature_cache(meta["fingerprint"])
    train_set, val_set = (
        window_set(dataset, meta, split, config.train, cache) for split in ("train", "val")
    )
    torch.manual_seed(config.train.seed)  # the first weights: the same on every rank and run
    model = new_model(config.train, meta, train_set)
    device = (
        torch.device("cuda", torch.cuda.current_device()) if config.gpu else torch.device("cpu")
    )
    mixing = Mixing(config.train.sampling, config.train.mix_min, config.train.mix_max)
    n_items = mixing.size(train_set)
    steps = n_steps(n_items, batch_size=config.train.batch_size, n_ranks=config.workers)

    shown_s = 0.0

    def on_step(step: int) -> None:
        nonlocal shown_s
        if is_first and monotonic() > shown_s + 0.5:
            shown_s = monotonic()
            board.step.remote(step, steps * config.train.epochs)

    def on_epoch(metrics: dict[str, float], state: dict[str, Any]) -> None:
        if is_first:
            board.epoch.remote(dict(metrics))
        _report(metrics, state if is_first else None)

    last = ray.train.get_checkpoint()
    state = None
    if last is not None:
        with last.as_directory() as folder:
            state = _read_state(folder)
    train(
        config.train,
        model,
        train_set,
        val_set,
        device=device,
        checkpoint=state,
        hooks=Hooks(on_step, on_epoch),
    )
    if context.get_local_rank() == 0:
        shutil.rmtree(cache, ignore_errors=True)  # who still reads it has it mapped


def _report(metrics: dict[str, float], state: dict[str, Any] | None) -> None:
    if state is None:
        ray.train.report(dict(metrics))
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.save(state, Path(folder) / _STATE)
        ray.train.report(dict(metrics), checkpoint=Checkpoint.from_directory(folder))


def _read_state(folder: str) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(Path(folder) / _STATE, map_location="cpu", weights_only=True)
    return state


def heard(config: TrainConfig, meta: dict[str, Any]) -> Input:
    """Return what the model of a run hears."""
    return heard_by(config.model, LogMelSpec.from_dict(meta["feature_spec"]))


def new_model(config: TrainConfig, meta: dict[str, Any], train_set: WindowSet) -> Tagger:
    """Return the model before its first step, its rows scaled as the training set's."""
    model = Tagger(_architecture(config, meta), weights=config.weights)
    if not model.architecture.below_peak:
        mean, deviation = row_moments(train_set)
        model.row_mean.copy_(torch.from_numpy(mean))
        model.row_deviation.copy_(torch.from_numpy(deviation))
    return model


def _windows(config: TrainConfig) -> WindowSpec:
    return WindowSpec(config.window_s, config.window_s)


def _architecture(config: TrainConfig, meta: dict[str, Any]) -> Architecture:
    what = heard(config, meta)
    return Architecture(
        name=config.model,
        n_classes=len(Vocabulary.from_dict(meta["classes"]).codes),
        input_size=config.input_size,
        dropout=config.dropout,
        input_shape=(what.n_rows, _windows(config).n_frames(what)),
        below_peak=isinstance(what, LogMelInput),
    )


def window_set(
    dataset: Dataset, meta: dict[str, Any], split: str, config: TrainConfig, cache: Path
) -> WindowSet:
    """Return the windows of a split, as the model hears them, with the dataset's own classes."""
    what = heard(config, meta)
    return load_windows(
        mapped_clips(dataset, split, what, cache),
        codes=Vocabulary.from_dict(meta["classes"]).codes,
        windows=_windows(config),
        heard=what,
    )


def feature_cache(fingerprint: str) -> Path:
    """Return this user's folder, on this machine, for a dataset's memory-mapped features."""
    name = fingerprint.removeprefix("sha256:")[:16]
    return Path(tempfile.gettempdir()) / f"timbre-{os.getuid()}" / name


@ray.remote(num_cpus=0)
class Board:
    """Where the first worker writes how far it is, and the driver reads it."""

    def __init__(self) -> None:
        self._state: tuple[int, int, list[dict[str, float]]] = (0, 0, [])

    def step(self, step: int, total: int) -> None:
        """Note the number of steps done, and of all."""
        self._state = (step, total, self._state[2])

    def epoch(self, metrics: dict[str, float]) -> None:
        """Note what an epoch came to."""
        self._state[2].append(metrics)

    def read(self) -> tuple[int, int, list[dict[str, float]]]:
        """Return steps done, steps in all, and the epochs' metrics."""
        return self._state


@contextmanager
def _shown(board: Any) -> Iterator[None]:
    """Show the board on a progress bar while the driver waits for the run."""
    stop = threading.Event()

    def watch() -> None:
        with progress_bar(unit=" steps", desc="train") as bar:
            while not stop.wait(timedelta(seconds=1).total_seconds()):
                bar.n, total, epochs = ray.get(board.read.remote())
                bar.total = total or None
                if epochs:
                    bar.set_postfix({k: f"{v:.3g}" for k, v in epochs[-1].items()}, refresh=False)
                bar.update(0)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
