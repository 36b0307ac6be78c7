"""What runs on the nodes of a training; it imports no more than they need.

The data is loaded, the last checkpoint taken up, each epoch reported.
"""

from __future__ import annotations

import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from time import monotonic
from typing import Any

import ray
import ray.train
import torch
from ray.train import Checkpoint

from pipeline.errors import UsageError
from pipeline.flows.cluster import own_cpus
from pipeline.flows.material import Material
from pipeline.learn.augment_examples import augmented_windows
from pipeline.learn.classical import fit_classical
from pipeline.learn.cost import CostMeter
from pipeline.learn.determinism import NoDeterministicOp
from pipeline.learn.epochs import Mixing, n_steps
from pipeline.learn.example_clips import example_clips
from pipeline.learn.loader import Loader, default_processes
from pipeline.learn.loader import loader as loader_of
from pipeline.learn.loop import Hooks, Progress, SamplesToInput
from pipeline.learn.model import Tagger
from pipeline.learn.precision import Trial, has_fast_bf16, step_trial
from pipeline.learn.recovery import train_to_the_end
from pipeline.learn.windows import WindowSet

_STATE = "state.pt"


def classical_worker(material: Material) -> Progress:
    """Fit with all the cores of the node."""
    torch.set_num_threads(own_cpus())  # Ray sets it to the task's CPUs
    with material.kept(is_last=material.config.folds is None):
        train_set = material.train_set()
        model = material.new_model(train_set)
        return fit_classical(material.config, model, train_set, material.val_set())


def worker(job: dict[str, Any]) -> None:
    """Train, as one of the workers of Ray Train."""
    material = job["material"]
    with material.kept(is_last=material.config.folds is None):
        _train(**job)


def _train(material: Material, board: Any, *, gpu: bool) -> None:
    """Load the data, go on from the last checkpoint, report each epoch."""
    config, context = material.config, ray.train.get_context()
    is_first = context.get_world_rank() == 0
    if not gpu:
        torch.set_num_threads(max(1, own_cpus() // context.get_local_world_size()))
    train_set, val_set = material.train_set(gpu=gpu), material.val_set()
    device = torch.device("cuda", torch.cuda.current_device()) if gpu else torch.device("cpu")
    mixing = Mixing(config.sampling, config.mix_min, config.mix_max, balance=config.balance)
    n_items = mixing.size(train_set)
    steps = n_steps(n_items, batch_size=config.batch_size, n_ranks=context.get_world_size())
    samples = material.samples_to_log_mel(train_set, gpu=gpu)
    samples = None if samples is None else samples.to(device)
    val_set = material.soft_val_set(val_set, samples, device)
    shown = {}
    if is_first:
        shown = training_material(
            material, train_set, material.new_model(train_set), samples, steps
        )
    own_board = board if is_first else None
    hooks = _hooks(own_board, steps * config.epochs, CostMeter(device), shown)
    try:
        with _loader(material, context.get_local_world_size(), gpu=gpu) as loader:
            progress = train_to_the_end(
                config,
                lambda: material.new_model(train_set),
                train_set,
                val_set,
                device=device,
                last_state=_last_state,
                hooks=hooks,
                samples=samples,
                loader=loader,
            )
    except (NoDeterministicOp, UsageError) as error:  # every rank comes to it, so none waits
        ray.get(board.refuse.remote(error))
        return
    if progress.diverged_at is not None:  # the last checkpoint says how it ended
        state = (_last_state() or {}) | {"progress": vars(progress), "shown": shown}
        _report({"epoch": progress.epoch + 1.0}, state if is_first else None)


def _loader(material: Material, n_here: int, *, gpu: bool) -> AbstractContextManager[Loader | None]:
    """Return the processes that randomise this worker's windows, one of `n_here` on this node."""
    work = material.randomised_windows(gpu=gpu)
    if work is None:
        return nullcontext()
    wanted = material.config.loader_processes
    return loader_of(work, default_processes(own_cpus() // n_here) if wanted is None else wanted)


def _hooks(board: Any, n_steps: int, measure: CostMeter, shown: dict[str, Any]) -> Hooks:
    """Return what the loop calls: only the first rank has a board, and writes checkpoints.

    `shown` is what the training's page shows of it, and goes into each checkpoint.
    """
    shown_s = 0.0

    def on_step(step: int) -> None:
        nonlocal shown_s
        if board is not None and monotonic() > shown_s + 0.5:
            shown_s = monotonic()
            board.step.remote(step, n_steps)

    def on_epoch(metrics: dict[str, float], state: dict[str, Any]) -> None:
        if board is not None:
            board.epoch.remote(dict(metrics))
        _report(metrics, None if board is None else {**state, "shown": shown})

    def on_note(line: str) -> None:
        if board is not None:
            board.note.remote(line)

    return Hooks(on_step, on_epoch, on_note, measure, measure.waited)


def bf16_trial(material: Material) -> Trial | None:
    """Try bfloat16 on a CPU that has AMX, on noise of the shape of a batch; None on others."""
    if not (has_fast_bf16(torch.device("cpu")) and torch.cpu._is_amx_tile_supported()):
        return None
    torch.set_num_threads(own_cpus())
    torch.manual_seed(material.config.seed)
    model = Tagger(material.architecture, weights=material.config.begins_from)
    shape = (min(32, material.config.batch_size), *material.architecture.input_shape)
    spread = 10.0 if material.architecture.below_peak else 1.0  # in dB; else in deviations
    targets = torch.zeros(shape[0], material.architecture.n_classes)
    return step_trial(model, spread * torch.randn(shape), targets)


def _last_state() -> dict[str, Any] | None:
    """Return the state of the last epoch that was reported, of this process or one before."""
    last = ray.train.get_checkpoint()
    if last is None:
        return None
    with last.as_directory() as folder:
        state = read_state(folder)
    return state if "model" in state else None


def training_material(
    material: Material,
    train_set: WindowSet,
    model: Tagger,
    samples: SamplesToInput | None,
    steps: int,
) -> dict[str, Any]:
    """Return what only a worker knows of what the training's page shows, fit for a checkpoint."""
    clips = example_clips(material.dataset, train_set.segment_ids)
    found = augmented_windows(clips, material.training_input(model, samples))
    return {"steps_per_epoch": steps, "examples": [one.to_state() for one in found]}


def _report(metrics: dict[str, float], state: dict[str, Any] | None) -> None:
    if state is None:
        ray.train.report(dict(metrics))
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.save(state, Path(folder) / _STATE)
        ray.train.report(dict(metrics), checkpoint=Checkpoint.from_directory(folder))


def read_state(folder: str) -> dict[str, Any]:
    """Return the state of a checkpoint."""
    state: dict[str, Any] = torch.load(Path(folder) / _STATE, map_location="cpu", weights_only=True)
    return state
