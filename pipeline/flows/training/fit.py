"""A dataset in, a model out: the training loop on N workers by Ray Train.

    model.safetensors  model.json  report.html  tensorboard/  runs/

A run is named by its config and the dataset's fingerprint: the same command goes on after a kill,
and a finished one is not done again.
"""

from __future__ import annotations

import logging
import os
import signal
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import ray
import ray.train
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from pipeline.configs.train import FitConfig as FitConfig
from pipeline.datasets.regression_data import training_data_of
from pipeline.datasets.trained_model import Fitted, write_model
from pipeline.datasets.training_data import TrainingData
from pipeline.errors import TimbreError, UsageError
from pipeline.flows.cluster import own_signal, ray_session
from pipeline.flows.tasks import wait_for_one
from pipeline.flows.training.fit_worker import (
    bf16_trial,
    classical_worker,
    read_state,
    worker,
)
from pipeline.flows.training.probe import train_probe
from pipeline.flows.training.training_progress import ProgressActor, show_progress
from pipeline.models.card import model_there
from pipeline.models.engines.bf16_trial import Trial
from pipeline.models.engines.precision import NARROWER_ISA, has_amx
from pipeline.models.model import (
    ModelCard,
    check_name,
    fingerprint_of,
)
from pipeline.models.networks.classical import CLASSICAL
from pipeline.models.networks.probe import PROBE
from pipeline.runs.logs import progress_bar, say
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.store.out import MODEL, check_out
from pipeline.training.config import TrainConfig
from pipeline.training.determinism import ENVIRONMENT
from pipeline.training.loop import Progress
from pipeline.training.recovery import divergence

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
class FitResult:
    """The model, and whether this run was the one that trained it."""

    card: ModelCard
    was_done: bool


def fit(config: FitConfig) -> FitResult:
    """Train and write the model; done immediately where the same run has ended before.

    Another model is not overwritten: a tagging may be using it.
    """
    check_out(config.out, MODEL, {"--dataset": config.dataset})
    for flag, uri in _models_of(config.train):
        check_out(config.out, MODEL, {flag: uri})
    dataset = Dataset.open(config.dataset)
    meta = dataset.built()
    check_name(config.train.model)
    training_data = training_data_of(dataset, meta, config.train)
    identity = config.train.identity() | training_data.named_by
    name = f"{config.train.model}-{fingerprint_of(identity, meta.fingerprint)}"
    out = Folder(config.out)
    if card := model_there(out, lambda there: bool(there.training["run"] == name)):
        return FitResult(card, was_done=True)
    for split in ("train", "val"):
        if not any(dataset.features(split, ["segment_id"])):
            raise UsageError(f"{config.dataset}: the dataset has no clips in its {split} split")
    training_data.check_model()
    _warn_of_untrained(training_data)
    with out.claimed():
        with training_session(config):
            fitted = _fit(config, training_data, out, name)
        say("finishing", text="writing the model and its page")
        card = write_model(out, fitted, training_data, run=name, n_workers=config.most_workers)
    return FitResult(card, was_done=False)


def _fit(config: FitConfig, training_data: TrainingData, out: Folder, name: str) -> Fitted:
    if config.train.model in CLASSICAL:
        return Fitted(_fit_classical(training_data))
    if config.train.model == PROBE:
        progress, about = train_probe(training_data, out, gpu=config.gpu)
        return Fitted(progress, about_probe=about)
    return _fit_network(config, training_data, name)


def training_session(config: FitConfig) -> AbstractContextManager[None]:
    """Return the Ray that a training runs on: a CPU or GPU a worker, and one for who leads them."""
    return ray_session(
        min_cpus=config.most_workers + 1, gpu=config.gpu, max_wait_s=config.max_wait_s
    )


def _models_of(config: TrainConfig) -> list[tuple[str, str]]:
    """Return the folders of models that a training reads, each with its flag."""
    init = [] if config.init is None else [("--init", config.init)]
    encoders = [("--encoder", uri) for uri in config.encoder]
    return [*init, *encoders, *(("--teacher", uri) for uri in config.teacher)]


def worker_env(*, gpu: bool, narrower: bool = False, deterministic: bool = False) -> dict[str, Any]:
    """Return the runtime environment of the processes that train.

    With `narrower` a CPU's bfloat16 is computed without AMX.
    """
    names = {} if gpu else _ONE_HEAP | (NARROWER_ISA if narrower else {})
    names |= ENVIRONMENT if deterministic else {}
    return {"env_vars": names} if names else {}


def wants_narrower_isa(training_data: TrainingData) -> bool:
    """Say whether bfloat16 is wrong with AMX, and right and faster than float32 without it.

    Each trial is a task of its own, as an instruction set is chosen once in a process. Of a Ray of
    our own this machine's CPU is the workers', and one without AMX needs no trial.
    """
    is_here = "RAY_ADDRESS" not in os.environ
    if training_data.config.precision == "f32" or (is_here and not has_amx()):
        return False
    trial = ray.remote(num_cpus=1)(bf16_trial)
    wide, narrow = (
        trial.options(runtime_env=worker_env(gpu=False, narrower=narrower))
        for narrower in (False, True)
    )
    say("trial", text="trying whether bfloat16 is right for this network on this machine")
    with_amx: Trial | None = ray.get(wide.remote(training_data))
    if with_amx is None or with_amx.is_right:
        return False
    without: Trial | None = ray.get(narrow.remote(training_data))
    if without is None or not (without.is_right and without.bf16_s < with_amx.f32_s):
        return False
    say(
        "note",
        text=f"{training_data.config.model}: bfloat16 without AMX; with it, {with_amx.fault}",
    )
    return True


def _warn_of_untrained(training_data: TrainingData) -> None:
    """Say which classes have no clip to learn from."""
    if codes := [training_data.vocabulary.codes[k] for k in training_data.untrained]:
        text = f"warning: no clip to learn from has {', '.join(codes)}: the model never names them"
        say("untrained_classes", level=logging.WARNING, text=text, classes=codes)


def _fit_classical(training_data: TrainingData) -> Progress:
    """Fit in one task that has the cores of its node to itself."""
    task = ray.remote(num_cpus=1, max_retries=_MAX_FAILURES)(classical_worker)
    title, waits = training_data.config.model, "reading the dataset and fitting, all in one step"
    with progress_bar(total=1, unit=" fits", desc=title, postfix=waits) as bar:
        progress: Progress = ray.get(wait_for_one([task.remote(training_data)], bar))
        bar.update()
    return progress


def _fit_network(config: FitConfig, training_data: TrainingData, name: str) -> Fitted:
    """Train on the workers, to the last checkpoint."""
    progress_actor = ProgressActor.remote(config.train.model)  # type: ignore[attr-defined]
    trainer = _trainer(config, training_data, name, progress_actor)
    with show_progress(progress_actor, config.train.model), own_signal(signal.SIGINT):
        result = trainer.fit()
        refusal = ray.get(progress_actor.refusal.remote())
    if refusal is not None:
        raise refusal
    if result.checkpoint is None:
        raise TimbreError(f"{config.train.model}: the training ended without an epoch; see its log")
    with result.checkpoint.as_directory() as folder:
        state = read_state(folder)
    progress = Progress(**state["progress"])
    if not progress.history:
        raise TimbreError(
            f"{config.train.model}: {divergence(progress)}, and no epoch was whole before; "
            f"lower --lr {config.train.lr:g}, or look at the data with jobs.explore"
        )
    return Fitted(progress, state.get("shown", {}))  # not there in older ones


def _trainer(
    config: FitConfig, training_data: TrainingData, name: str, progress_actor: Any
) -> TorchTrainer:
    narrower = not config.gpu and wants_narrower_isa(training_data)
    filesystem, storage_path = Folder(config.out).location("runs")
    return TorchTrainer(
        worker,
        train_loop_config={
            # A reference: the controller unpickles this, and would import what it is made of.
            "training_data": ray.put(training_data),
            "progress_actor": progress_actor,
            "gpu": config.gpu,
            "most_workers": config.most_workers,
        },
        scaling_config=ScalingConfig(  # type: ignore[call-arg]
            num_workers=config.workers,  # type: ignore[arg-type]
            elastic_resize_monitor_interval_s=config.grow_every_s,
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
            worker_runtime_env=worker_env(  # type: ignore[call-arg]
                gpu=config.gpu, narrower=narrower, deterministic=config.train.deterministic
            ),
        ),
    )
