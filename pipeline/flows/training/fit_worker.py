"""What runs on the nodes of a training; it imports no more than they need.

The data is loaded, the last checkpoint taken up, each epoch reported.
"""

from __future__ import annotations

import tempfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import ray
import ray.train
import torch
from ray.train import Checkpoint, CheckpointUploadMode

from pipeline.datasets.training_data import TrainingData
from pipeline.errors import UsageError
from pipeline.flows.cluster import own_cpus
from pipeline.models.engines.bf16_trial import Trial, n_to_try, step_trial
from pipeline.models.engines.precision import has_amx
from pipeline.models.model import Tagger
from pipeline.training.augmenting.augment_examples import augmented_windows
from pipeline.training.classical import fit_classical
from pipeline.training.config import TrainConfig
from pipeline.training.cost import CostMeter
from pipeline.training.data.epochs import n_steps
from pipeline.training.data.example_clips import example_clips
from pipeline.training.data.loader import Loader, default_processes
from pipeline.training.data.loader import loader as loader_of
from pipeline.training.data.window_set import WindowSet
from pipeline.training.determinism import NoDeterministicOp
from pipeline.training.loop import Hooks, Progress
from pipeline.training.recovery import train_to_the_end
from pipeline.training.step.gradients import SamplesToInput

_STATE = "state.pt"


def classical_worker(training_data: TrainingData) -> Progress:
    """Fit with all the cores of the node."""
    torch.set_num_threads(own_cpus())  # Ray sets it to the task's CPUs
    with training_data.kept(is_last=training_data.config.folds is None):
        train_set = training_data.train_set()
        model = training_data.new_model(train_set)
        return fit_classical(training_data.config, model, train_set, training_data.val_set())


def worker(job: dict[str, Any]) -> None:
    """Train, as one of the workers of Ray Train."""
    training_data: TrainingData = ray.get(job["training_data"])
    with training_data.kept(is_last=training_data.config.folds is None):
        _train(**(job | {"training_data": training_data}))


def _train(
    training_data: TrainingData, progress_actor: Any, *, gpu: bool, most_workers: int
) -> None:
    """Load the data, go on from the last checkpoint, report each epoch."""
    context = ray.train.get_context()
    config = with_workers(training_data.config, context.get_world_size(), most_workers)
    is_first = context.get_world_rank() == 0
    if not gpu:
        torch.set_num_threads(max(1, own_cpus() // context.get_local_world_size()))
    train_set, val_set = training_data.train_set(gpu=gpu), training_data.val_set()
    device = torch.device("cuda", torch.cuda.current_device()) if gpu else torch.device("cpu")
    steps = n_steps(train_set, config, context.get_world_size())
    samples = training_data.samples_to_log_mel(train_set, gpu=gpu)
    samples = None if samples is None else samples.to(device)
    val_set = training_data.soft_val_set(val_set, samples, device)
    shown = {}
    if is_first:
        shown = shown_windows(
            training_data, train_set, training_data.new_model(train_set), samples, steps
        )
    own_progress = progress_actor if is_first else None
    hooks = _hooks(own_progress, steps * config.epochs, CostMeter(device), shown)
    try:
        with _loader(training_data, context.get_local_world_size(), gpu=gpu) as loader:
            progress = train_to_the_end(
                config,
                lambda: training_data.new_model(train_set),
                train_set,
                val_set,
                device=device,
                last_state=_last_state,
                hooks=hooks,
                samples=samples,
                loader=loader,
            )
    # Every rank comes to it, so none waits; but for a compiler that fails on one machine only.
    except (NoDeterministicOp, UsageError) as error:
        ray.get(progress_actor.refuse.remote(error))
        return
    if progress.diverged_at is not None:  # the last checkpoint says how it ended
        state = (_last_state() or {}) | {"progress": vars(progress), "shown": shown}
        _report({"epoch": progress.epoch + 1.0}, state if is_first else None)


def with_workers(config: TrainConfig, n_workers: int, most_workers: int) -> TrainConfig:
    """Return the config of a training that has `n_workers` of `most_workers` at the moment.

    Fewer workers add up more batches to a step, so that a step stays one of about as many windows,
    and the learning rate fits. It is the same to the window where the number divides the most.
    """
    more = max(1, round(most_workers / n_workers))
    return replace(config, accumulate=config.accumulate * more)


def _loader(
    training_data: TrainingData, n_here: int, *, gpu: bool
) -> AbstractContextManager[Loader | None]:
    """Return the processes that randomise this worker's windows, one of `n_here` on this node."""
    work = training_data.randomised_windows(gpu=gpu)
    if work is None:
        return nullcontext()
    wanted = training_data.config.loader_processes
    return loader_of(work, default_processes(own_cpus() // n_here) if wanted is None else wanted)


def _hooks(progress_actor: Any, n_steps: int, measure: CostMeter, shown: dict[str, Any]) -> Hooks:
    """Return what the loop calls: only the first rank has a progress actor, and writes checkpoints.

    `shown` is what the training's page shows of it, and goes into each checkpoint.
    """
    shown_s = 0.0

    def on_step(step: int) -> None:
        nonlocal shown_s
        if progress_actor is not None and monotonic() > shown_s + 0.5:
            shown_s = monotonic()
            progress_actor.step.remote(step, n_steps)

    def on_epoch(metrics: dict[str, float], state: dict[str, Any]) -> None:
        if progress_actor is not None:
            progress_actor.epoch.remote(dict(metrics))
        _report(metrics, None if progress_actor is None else {**state, "shown": shown})

    def on_note(line: str) -> None:
        if progress_actor is not None:
            progress_actor.note.remote(line)

    return Hooks(on_step, on_epoch, on_note, measure, measure.waited)


def bf16_trial(training_data: TrainingData) -> Trial | None:
    """Try bfloat16 on a CPU that has AMX, on noise of the shape of a batch; None on others."""
    if not has_amx():
        return None
    torch.set_num_threads(own_cpus())
    torch.manual_seed(training_data.config.seed)
    with training_data.weights_path() as weights:
        model = Tagger(training_data.architecture, weights=weights)
    one = training_data.architecture.input_shape
    shape = (n_to_try(training_data.config.batch_size, one), *one)
    spread = 10.0 if training_data.architecture.below_peak else 1.0  # in dB; else in deviations
    targets = torch.zeros(shape[0], training_data.architecture.n_classes)
    return step_trial(model, spread * torch.randn(shape), targets)


def _last_state() -> dict[str, Any] | None:
    """Return the state of the last epoch that was reported, of this process or one before."""
    last = ray.train.get_checkpoint()
    if last is None:
        return None
    with last.as_directory() as folder:
        state = read_state(folder)
    return state if "model" in state else None


def shown_windows(
    training_data: TrainingData,
    train_set: WindowSet,
    model: Tagger,
    samples: SamplesToInput | None,
    steps: int,
) -> dict[str, Any]:
    """Return what only a worker knows of what the training's page shows, fit for a checkpoint."""
    clips = example_clips(training_data.dataset, train_set.segment_ids)
    found = augmented_windows(clips, training_data.training_input(model, samples))
    return {
        "steps_per_epoch": steps,
        "examples": [one.to_state() for one in found],
        "about": training_data.about,
    }


def _report(metrics: dict[str, float], state: dict[str, Any] | None) -> None:
    if state is None:
        ray.train.report(dict(metrics))
        return
    folder = tempfile.mkdtemp()  # Ray deletes it when it has gone up
    torch.save(state, Path(folder) / _STATE)
    ray.train.report(
        dict(metrics),
        checkpoint=Checkpoint.from_directory(folder),
        checkpoint_upload_mode=CheckpointUploadMode.ASYNC,  # the next epoch does not wait for it
    )


def read_state(folder: str) -> dict[str, Any]:
    """Return the state of a checkpoint."""
    state: dict[str, Any] = torch.load(Path(folder) / _STATE, map_location="cpu", weights_only=True)
    return state
