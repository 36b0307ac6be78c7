"""A dataset in, a model out: the training loop on N workers by Ray Train.

    model.safetensors  model.json  report.html  tensorboard/  runs/

A run is named by its config and the dataset's fingerprint: the same command goes on after a kill,
and a finished one is not done again.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import ray
import ray.train
import torch
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from pipeline.errors import UsageError
from pipeline.flows.board import Board, shown
from pipeline.flows.cluster import ray_session
from pipeline.flows.curves import write_curves
from pipeline.flows.logs import progress_bar
from pipeline.flows.material import Material
from pipeline.flows.provenance import provenance
from pipeline.learn.classical import fit_classical
from pipeline.learn.config import TrainConfig
from pipeline.learn.data import Mixing, n_steps
from pipeline.learn.loop import Hooks, Progress, train
from pipeline.learn.model import ModelCard, check_name, fingerprint_of, load_card, save_model
from pipeline.learn.networks.classical import CLASSICAL
from pipeline.score.aggregate import METHODS
from pipeline.score.page import render_page
from pipeline.score.training_page import training_page
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
    material = Material(dataset, meta, config.train)
    with out.claimed(), ray_session(min_cpus=config.workers + 1):
        if config.train.model in CLASSICAL:
            progress = _fit_classical(material)
        else:
            progress = _fit(config, material, name)
    vocabulary = material.vocabulary
    card = ModelCard(
        architecture=material.architecture,
        vocabulary=vocabulary,
        heard=material.heard,
        windows=material.windows,
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
    write_curves(out, progress.history)
    card = save_model(out, progress.best_weights, card)
    page = training_page(card.model_id, card.training, card.provenance)
    out.write_bytes("report.html", render_page(page).encode())
    return FitResult(card, was_done=False)


def _fit_classical(material: Material) -> Progress:
    """Fit in one task that has the cores of its node to itself."""
    task = ray.remote(num_cpus=1, max_retries=_MAX_FAILURES)(_classical_worker)
    with progress_bar(total=1, unit=" fits", desc=material.config.model) as bar:
        progress: Progress = ray.get(task.remote(material))
        bar.update()
    return progress


def _classical_worker(material: Material) -> Progress:
    torch.set_num_threads(os.cpu_count() or 1)  # Ray sets it to the task's CPUs
    with material.kept(is_last=material.config.folds is None):
        train_set = material.train_set()
        model = material.new_model(train_set)
        return fit_classical(material.config, model, train_set, material.val_set())


def _fit(config: FitConfig, material: Material, name: str) -> Progress:
    board = Board.remote()  # type: ignore[attr-defined]
    filesystem, storage_path = Folder(config.out).location("runs")
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"config": config, "material": material, "board": board},
        scaling_config=ScalingConfig(
            num_workers=config.workers,
            use_gpu=config.gpu,
            resources_per_worker={"CPU": 1, **({"GPU": 1} if config.gpu else {})},
        ),
        torch_config=TorchConfig(backend="nccl" if config.gpu else "gloo"),
        run_config=RunConfig(
            name=name,
            storage_path=storage_path,
            storage_filesystem=filesystem,
            failure_config=FailureConfig(max_failures=_MAX_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )
    with shown(board, config.train.model):
        result = trainer.fit()
    if result.checkpoint is None:
        raise RuntimeError(f"run {name} ended without a checkpoint")
    with result.checkpoint.as_directory() as folder:
        return Progress(**_read_state(folder)["progress"])


def _worker(job: dict[str, Any]) -> None:
    """One worker of Ray Train."""
    material = job["material"]
    with material.kept(is_last=material.config.folds is None):
        _train(**job)


def _train(config: FitConfig, material: Material, board: Any) -> None:
    """Load the data, go on from the last checkpoint, report each epoch."""
    context = ray.train.get_context()
    is_first = context.get_world_rank() == 0
    if not config.gpu:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
    train_set, val_set = material.train_set(), material.val_set()
    model = material.new_model(train_set)
    device = (
        torch.device("cuda", torch.cuda.current_device()) if config.gpu else torch.device("cpu")
    )
    mixing = Mixing(config.train.sampling, config.train.mix_min, config.train.mix_max)
    n_items = mixing.size(train_set)
    steps = n_steps(n_items, batch_size=config.train.batch_size, n_ranks=config.workers)
    samples = material.samples_to_log_mel(train_set)

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
        samples=None if samples is None else samples.to(device),
    )


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
