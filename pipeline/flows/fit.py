"""A dataset in, a model out: the training loop on N workers by Ray Train.

    model.safetensors  model.json  report.html  tensorboard/  runs/

A run is named by its config and the dataset's fingerprint: the same command goes on after a kill,
and a finished one is not done again.
"""

from __future__ import annotations

import signal
from dataclasses import asdict, dataclass
from typing import Any

import ray
import ray.train
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from pipeline.errors import TimbreError, UsageError
from pipeline.flows.board import Board, shown
from pipeline.flows.cluster import own_signal, ray_session
from pipeline.flows.curves import write_curves
from pipeline.flows.fit_worker import classical_worker, read_state, worker
from pipeline.flows.logs import progress_bar
from pipeline.flows.material import Material
from pipeline.flows.provenance import provenance
from pipeline.learn.config import TrainConfig
from pipeline.learn.loop import Progress
from pipeline.learn.model import (
    ModelCard,
    check_name,
    fingerprint_of,
    load_card,
    named,
    save_model,
)
from pipeline.learn.networks.classical import CLASSICAL
from pipeline.report.page import render_page
from pipeline.report.training_page import training_page
from pipeline.score.aggregate import METHODS
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder

_MAX_FAILURES = 8  # of workers; each goes on from the last checkpoint
_ONE_HEAP = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 40),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "MALLOC_TOP_PAD_": str(1 << 28),
}
"""For glibc, in workers on CPUs: keep a step's memory for the next step. Given back to the kernel
it comes again page by page, zeroed, which took a tenth of both cores."""


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
    """Train and write the model; at once done where the same run has ended before.

    Another model is not overwritten: a tagging may be using it.
    """
    dataset = Dataset.open(config.dataset)
    meta = dataset.built()
    check_name(config.train.model)
    name = f"{config.train.model}-{fingerprint_of(asdict(config.train), meta['fingerprint'])}"
    out = Folder(config.out)
    if out.exists("model.json"):
        if (card := load_card(config.out)).training["run"] == name:
            return FitResult(card, was_done=True)
        raise UsageError(
            f"{config.out}: {card.model_id} is there, of another run; give another --out"
        )
    for split in ("train", "val"):
        if not any(dataset.features(split, ["segment_id"])):
            raise UsageError(f"{config.dataset}: the dataset has no clips in its {split} split")
    material = Material(dataset, meta, config.train)
    material.check_model()
    with out.claimed(), ray_session(min_cpus=config.workers + 1, gpu=config.gpu):
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
            "windows": progress.windows,
        },
        provenance=provenance(),
    )
    write_curves(out, progress.history)
    model_id = named(card, progress.best_weights)[0].model_id
    page = training_page(model_id, card.training, card.provenance)
    out.write_bytes("report.html", render_page(page).encode())
    card = save_model(out, progress.best_weights, card)  # last: with it the run is done
    return FitResult(card, was_done=False)


def worker_env(*, gpu: bool) -> dict[str, Any]:
    """Return the runtime environment of the processes that train."""
    return {} if gpu else {"env_vars": _ONE_HEAP}


def _fit_classical(material: Material) -> Progress:
    """Fit in one task that has the cores of its node to itself."""
    task = ray.remote(num_cpus=1, max_retries=_MAX_FAILURES)(classical_worker)
    with progress_bar(total=1, unit=" fits", desc=material.config.model) as bar:
        progress: Progress = ray.get(task.remote(material))
        bar.update()
    return progress


def _fit(config: FitConfig, material: Material, name: str) -> Progress:
    board = Board.remote()  # type: ignore[attr-defined]
    filesystem, storage_path = Folder(config.out).location("runs")
    trainer = TorchTrainer(
        worker,
        train_loop_config={"material": material, "board": board, "gpu": config.gpu},
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
            worker_runtime_env=worker_env(gpu=config.gpu),  # type: ignore[call-arg]
        ),
    )
    with shown(board, config.train.model), own_signal(signal.SIGINT):
        result = trainer.fit()
    if result.checkpoint is None:
        raise TimbreError(
            f"{config.train.model}: the loss of the first epoch is no number; lower --lr "
            f"{config.train.lr:g}"
        )
    with result.checkpoint.as_directory() as folder:
        return Progress(**read_state(folder)["progress"])
