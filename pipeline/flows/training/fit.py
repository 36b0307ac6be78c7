"""A dataset in, a model out: the training loop on N workers by Ray Train.

    model.safetensors  model.json  report.html  tensorboard/  runs/

A run is named by its config and the dataset's fingerprint: the same command goes on after a kill,
and a finished one is not done again.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

import ray
import ray.train
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from pipeline.configs.train import FitConfig as FitConfig
from pipeline.datasets.regression_data import training_data_of
from pipeline.datasets.training_data import TrainingData
from pipeline.errors import TimbreError, UsageError
from pipeline.evaluation.labels.aggregate import METHODS
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
from pipeline.models.engines.precision import NARROWER_ISA, Trial
from pipeline.models.model import (
    ModelCard,
    check_name,
    fingerprint_of,
    named,
    save_model,
)
from pipeline.models.networks.classical import CLASSICAL
from pipeline.models.networks.probe import PROBE
from pipeline.models.regression import Regression
from pipeline.report.page import render_page
from pipeline.report.pages.training_page import training_page
from pipeline.report.picture import Picture
from pipeline.report.plots.training_plots import augmentations, learning_rates
from pipeline.runs.curves import write_curves
from pipeline.runs.logs import progress_bar, say
from pipeline.runs.provenance import provenance
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.store.out import MODEL, check_out
from pipeline.training.augmenting.augment_examples import AugmentedWindow
from pipeline.training.config import TrainConfig
from pipeline.training.cost import cost_of
from pipeline.training.determinism import ENVIRONMENT
from pipeline.training.loop import Progress
from pipeline.training.recovery import divergence
from pipeline.training.schedule import rate_curves
from pipeline.training.selection import best_row

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
    with out.claimed(), training_session(config):
        shown: dict[str, Any] = {}
        about_probe: dict[str, Any] = {}
        if config.train.model in CLASSICAL:
            progress = _fit_classical(training_data)
        elif config.train.model == PROBE:
            progress, about_probe = train_probe(training_data, out, gpu=config.gpu)
        else:
            progress, shown = _fit(config, training_data, name)
    say("finishing", text="writing the model and its page")
    vocabulary = training_data.vocabulary
    about = dict(shown.get("about", {}))
    regression = about.pop("regression", None)
    card = ModelCard(
        architecture=training_data.architecture,
        vocabulary=vocabulary,
        input_spec=training_data.input_spec,
        windows=training_data.windows,
        aggregation=config.train.aggregation,
        thresholds={method: _thresholds(training_data) for method in METHODS},
        dataset_fingerprint=meta.fingerprint,
        training={
            "run": name,
            "dataset": dataset.folder.uri,
            "workers": config.most_workers,
            "config": asdict(config.train),
            "best_val_loss": progress.best_val_loss,
            "precision": progress.precision,
            "precision_note": progress.note,
            "diverged_at": progress.diverged_at,
            "history": progress.history,
            "selected_by": config.train.select,
            "best_epoch": int(best_row(progress.history, config.train.select)["epoch"]),
            **cost_of(progress.history),
            **{key: shown[key] for key in ("steps_per_epoch",) if key in shown},
            "windows": progress.windows,
            **about_probe,
            **about,
            **_begun_from(training_data),
        },
        provenance=provenance(),
        regression=None if regression is None else Regression.from_dict(regression),
    )
    write_curves(out, progress.history)
    model_id = named(card, progress.best_weights)[0].model_id
    page = training_page(
        model_id,
        card.training,
        card.provenance,
        training_pictures(card.training, shown, training_data),
        untrained=card.untrained_classes,
    )
    out.write_bytes("report.html", render_page(page).encode())
    card = save_model(out, progress.best_weights, card)  # last: with it the run is done
    return FitResult(card, was_done=False)


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


def _begun_from(training_data: TrainingData) -> dict[str, Any]:
    """Return what model.json says of the models that a training began from, and was taught by."""
    init, teaching = training_data.init, training_data.teaching
    files = training_data.weight_files
    return {
        **({} if files is None else {"weights": {"uri": files.uri, "sha256": files.sha256}}),
        **({} if init is None else {"init": init.to_dict(training_data.vocabulary)}),
        **({} if teaching is None else {"teachers": teaching.model_ids}),
    }


def worker_env(*, gpu: bool, narrower: bool = False, deterministic: bool = False) -> dict[str, Any]:
    """Return the runtime environment of the processes that train.

    With `narrower` a CPU's bfloat16 is computed without AMX.
    """
    names = {} if gpu else _ONE_HEAP | (NARROWER_ISA if narrower else {})
    names |= ENVIRONMENT if deterministic else {}
    return {"env_vars": names} if names else {}


def wants_narrower_isa(training_data: TrainingData) -> bool:
    """Say whether bfloat16 is wrong with AMX, and right and faster than float32 without it.

    Each trial is a task of its own, as an instruction set is chosen once in a process.
    """
    if training_data.config.precision == "f32":
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


def training_pictures(
    training: Mapping[str, Any], shown: Mapping[str, Any], training_data: TrainingData
) -> list[Picture]:
    """Return the pictures of how a network was trained; none of an older checkpoint's training."""
    if not shown:
        return []
    steps, config = shown["steps_per_epoch"], training_data.config
    examples = map(AugmentedWindow.from_state, shown["examples"])
    curves = rate_curves(config, steps * config.epochs)
    return [
        learning_rates(curves, steps_per_epoch=steps, n_epochs=len(training["history"])),
        *(
            augmentations(one, window_s=config.window_s, spec=training_data.drawn_spec)
            for one in examples
        ),
    ]


def _warn_of_untrained(training_data: TrainingData) -> None:
    """Say which classes have no clip to learn from."""
    if codes := [training_data.vocabulary.codes[k] for k in training_data.untrained]:
        text = f"warning: no clip to learn from has {', '.join(codes)}: the model never names them"
        say("untrained_classes", level=logging.WARNING, text=text, classes=codes)


def _thresholds(training_data: TrainingData) -> dict[str, float]:
    """Return 0.5 for each class, and 1 for those that are not learned, whose scores are 0."""
    codes = enumerate(training_data.vocabulary.codes)
    return {code: 1.0 if k in training_data.untrained else 0.5 for k, code in codes}


def _fit_classical(training_data: TrainingData) -> Progress:
    """Fit in one task that has the cores of its node to itself."""
    task = ray.remote(num_cpus=1, max_retries=_MAX_FAILURES)(classical_worker)
    title, waits = training_data.config.model, "reading the dataset and fitting, all in one step"
    with progress_bar(total=1, unit=" fits", desc=title, postfix=waits) as bar:
        progress: Progress = ray.get(wait_for_one([task.remote(training_data)], bar))
        bar.update()
    return progress


def _fit(
    config: FitConfig, training_data: TrainingData, name: str
) -> tuple[Progress, dict[str, Any]]:
    """Train on the workers; return how it went, and what of it its page shows."""
    progress_actor = ProgressActor.remote(config.train.model)  # type: ignore[attr-defined]
    narrower = not config.gpu and wants_narrower_isa(training_data)
    filesystem, storage_path = Folder(config.out).location("runs")
    trainer = TorchTrainer(
        worker,
        train_loop_config={
            "training_data": training_data,
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
    return progress, state.get("shown", {})  # not there in older ones
