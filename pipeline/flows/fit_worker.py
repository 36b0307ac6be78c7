"""What runs on the nodes of a training; it imports no more than they need.

The data is loaded, the last checkpoint taken up, each epoch reported.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import monotonic
from typing import Any

import ray.train
import torch
from ray.train import Checkpoint

from pipeline.flows.cluster import own_cpus
from pipeline.flows.material import Material
from pipeline.learn.classical import fit_classical
from pipeline.learn.epochs import Mixing, n_steps
from pipeline.learn.loop import Hooks, Progress, train

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
    train_set, val_set = material.train_set(), material.val_set()
    model = material.new_model(train_set)
    device = torch.device("cuda", torch.cuda.current_device()) if gpu else torch.device("cpu")
    mixing = Mixing(config.sampling, config.mix_min, config.mix_max, balance=config.balance)
    n_items = mixing.size(train_set)
    steps = n_steps(n_items, batch_size=config.batch_size, n_ranks=context.get_world_size())
    samples = material.samples_to_log_mel(train_set)

    shown_s = 0.0

    def on_step(step: int) -> None:
        nonlocal shown_s
        if is_first and monotonic() > shown_s + 0.5:
            shown_s = monotonic()
            board.step.remote(step, steps * config.epochs)

    def on_epoch(metrics: dict[str, float], state: dict[str, Any]) -> None:
        if is_first:
            board.epoch.remote(dict(metrics))
        _report(metrics, state if is_first else None)

    last = ray.train.get_checkpoint()
    state = None
    if last is not None:
        with last.as_directory() as folder:
            state = read_state(folder)
    train(
        config,
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


def read_state(folder: str) -> dict[str, Any]:
    """Return the state of a checkpoint."""
    state: dict[str, Any] = torch.load(Path(folder) / _STATE, map_location="cpu", weights_only=True)
    return state
