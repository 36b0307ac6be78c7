"""Windows per second of training: Ray Train and our loop against a bare PyTorch loop, in one run.

    python benchmarks/train.py [--model resnet50] [--steps 16] [--rounds 3] [--gpu]

The bare loop is what one would write by hand around the same network: a batch is cut from the
log-mels in memory, then forward, loss, backward, Adam. Ours does that and all that a run does: each
window once, in an order of its own, the next batch made ahead, learning rates by step, the running
mean of the weights, checkpoints; with `augmented` it also disturbs the windows, and `randomised`
windows are samples that one or two loader processes make log-mels of other recordings of. Rounds
are taken in turn, and medians printed, of the rate and of the share of the steps' time that they
waited for their batches; the first steps of each run, which build up memory, are not counted in the
rate.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import ray.train
import torch
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.flows.cluster import own_cpus, ray_session
from pipeline.flows.training.fit import worker_env
from pipeline.models.engines.precision import has_fast_bf16
from pipeline.models.model import Architecture, Tagger
from pipeline.training.augmenting.randomise.windows import RandomisedWindows
from pipeline.training.config import TrainConfig
from pipeline.training.data.loader import default_processes, loader
from pipeline.training.data.window_set import WindowSet
from pipeline.training.loop import Hooks, train

N_CLASSES, N_WINDOWS, N_COLUMNS, N_WARM = 11, 10, 862, 3
INPUT_SPEC, WINDOWS = LogMelInput(), WindowSpec()
LENGTH = WINDOWS.n_frames(INPUT_SPEC)


class Measured(NamedTuple):
    """A rate, and what the steps waited."""

    per_s: float
    """Windows that the training takes a second."""
    waiting_share: float = math.nan
    """Of the steps' time; not a number where nothing measured it."""

    def __str__(self) -> str:
        waited = "" if math.isnan(self.waiting_share) else f", waited {self.waiting_share:4.0%}"
        return f"{self.per_s:8.2f} windows/s{waited}"


def clips(n_clips: int) -> WindowSet:
    """Return log-mels of 10 s, all of them in memory, with random classes."""
    rng = np.random.default_rng(0)
    shape = (n_clips, INPUT_SPEC.n_rows, N_COLUMNS)
    matrices = (rng.standard_normal(shape, np.float32) * 15 - 40).astype(INPUT_SPEC.dtype)
    return WindowSet(
        segment_ids=[f"{k}" for k in range(n_clips)],
        matrices=list(matrices),
        targets=(rng.random((n_clips, N_CLASSES)) < 0.15).astype(np.float32),
        clip_of=np.repeat(np.arange(n_clips), N_WINDOWS),
        start_of=np.tile(np.arange(N_WINDOWS) * LENGTH, n_clips).clip(max=N_COLUMNS - LENGTH),
        n_frames=LENGTH,
        silence=INPUT_SPEC.silence,
        db_per_unit=1.0,
    )


def recordings(n_clips: int, work: RandomisedWindows) -> WindowSet:
    """Return samples of 10 s, all of them in memory, with random classes."""
    rng, rate_hz = np.random.default_rng(0), INPUT_SPEC.sample_rate_hz
    samples = rng.integers(-3000, 3000, (n_clips, 1, 10 * rate_hz), np.int16)
    return replace(
        clips(n_clips),
        matrices=list(samples),
        start_of=np.tile(np.arange(N_WINDOWS) * rate_hz, n_clips),
        n_frames=rate_hz,
        silence=0.0,
        db_per_unit=None,
        margins=work.margins,
        places_short=True,
    )


def clips_for(flags: argparse.Namespace, n_workers: int) -> WindowSet:
    """Return as many clips as the steps need."""
    return clips(n_clips_for(flags, n_workers))


def n_clips_for(flags: argparse.Namespace, n_workers: int) -> int:
    """Return how many clips the steps need."""
    return int(-(-flags.steps * flags.batch_size * n_workers // N_WINDOWS))


def tagger(flags: argparse.Namespace) -> Tagger:
    """Return the network, new."""
    torch.manual_seed(0)
    return Tagger(Architecture(flags.model, N_CLASSES, input_shape=(INPUT_SPEC.n_rows, LENGTH)))


def bare(flags: argparse.Namespace, *, threads: int) -> float:
    """Return windows per second of the loop that one would write by hand."""
    torch.set_num_threads(threads)
    device = torch.device("cuda" if flags.gpu else "cpu")
    data, model = clips_for(flags, 1), tagger(flags).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4, fused=True)
    order = np.random.default_rng(0).permutation(len(data))[: flags.steps * flags.batch_size]
    times = []
    for index in order.reshape(flags.steps, -1):
        cut = [
            data.matrices[clip][:, start : start + LENGTH]
            for clip, start in zip(data.clip_of[index], data.start_of[index], strict=True)
        ]
        windows = torch.from_numpy(np.stack(cut)).to(device)
        targets = torch.from_numpy(data.targets[data.clip_of[index]]).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bf16(device)):
            logits = model(windows).float()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        times.append(_now(device))
    return float(flags.batch_size * (flags.steps - N_WARM) / (times[-1] - times[N_WARM - 1]))


def two_bare(flags: argparse.Namespace) -> float:
    """Return windows per second of two bare loops side by side: what two workers can reach here.

    They exchange nothing; all that keeps them from twice one's rate is the machine.
    """
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        runs = [pool.submit(bare, flags, threads=1) for _ in range(2)]
        return sum(run.result() for run in runs)


def ours(
    flags: argparse.Namespace,
    *,
    workers: int,
    threads: int,
    augment: tuple[str, ...] = (),
    loaders: int | None = None,
) -> Measured:
    """Return windows per second of Ray Train with our loop, over all workers, and what it waited.

    With `loaders` the windows are randomised, by so many processes per worker.
    """
    job: dict[str, Any] = {"flags": flags, "workers": workers, "threads": threads}
    job |= {"augment": augment, "loaders": loaders}
    with tempfile.TemporaryDirectory(prefix="timbre-train-") as folder:
        rate = job["rate"] = Path(folder) / "rate"  # a report without a checkpoint is not kept
        TorchTrainer(
            _worker,
            train_loop_config=job,
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=flags.gpu),
            run_config=RunConfig(  # type: ignore[call-arg]
                storage_path=folder,
                worker_runtime_env=worker_env(gpu=flags.gpu),
            ),
        ).fit()
        per_s, waiting_share = map(float, rate.read_text().split())
        return Measured(per_s, waiting_share)


def _worker(job: dict[str, Any]) -> None:
    flags = job["flags"]
    torch.set_num_threads(job["threads"])
    device = torch.device("cuda" if flags.gpu else "cpu")
    times: list[float] = []
    waits: list[float] = []

    def on_waits(waited_s: float, steps_s: float) -> None:
        waits.append(waited_s / steps_s)

    def on_epoch(metrics: dict[str, float], state: dict[str, Any]) -> None:
        n_windows = flags.batch_size * job["workers"] * (flags.steps - N_WARM)
        if ray.train.get_context().get_world_rank() == 0:
            rate = n_windows / (times[flags.steps - 1] - times[N_WARM - 1])
            job["rate"].write_text(f"{rate} {waits[-1]}")

    work = RandomisedWindows.input_spec_of(INPUT_SPEC, INPUT_SPEC.sample_rate_hz)
    n_clips, is_randomised = n_clips_for(flags, job["workers"]), job["loaders"] is not None
    with loader(work, job["loaders"]) if is_randomised else nullcontext() as processes:
        train(
            TrainConfig(
                model=flags.model, epochs=1, batch_size=flags.batch_size, augment=job["augment"]
            ),
            tagger(flags),
            recordings(n_clips, work) if is_randomised else clips(n_clips),
            clips(1),
            device=device,
            checkpoint=None,
            hooks=Hooks(lambda step: times.append(_now(device)), on_epoch, on_waits=on_waits),
            loader=processes,
        )


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def contenders(flags: argparse.Namespace) -> dict[str, Callable[[], float | Measured]]:
    """Return what is timed, by name."""
    augmented = TrainConfig().augment
    if flags.gpu:
        return {
            "bare loop": lambda: bare(flags, threads=1),
            "Ray Train, 1 worker": lambda: ours(flags, workers=1, threads=1),
            "the same, augmented": lambda: ours(flags, workers=1, threads=1, augment=augmented),
            "the same, randomised": lambda: ours(
                flags, workers=1, threads=1, loaders=default_processes(own_cpus())
            ),
        }
    return {
        "bare loop, 1 thread": lambda: bare(flags, threads=1),
        "two bare loops, 1 thread each": lambda: two_bare(flags),
        "Ray Train, 1 worker, 1 thread": lambda: ours(flags, workers=1, threads=1),
        "Ray Train, 2 workers, 1 thread": lambda: ours(flags, workers=2, threads=1),
        "bare loop, 2 threads": lambda: bare(flags, threads=2),
        "Ray Train, 1 worker, 2 threads": lambda: ours(flags, workers=1, threads=2),
        "the same, augmented": lambda: ours(flags, workers=1, threads=2, augment=augmented),
        "randomised, 1 thread, 1 loader": lambda: ours(flags, workers=1, threads=1, loaders=1),
        "randomised, 2 threads, 1 loader": lambda: ours(flags, workers=1, threads=2, loaders=1),
        "randomised, 2 threads, 2 loaders": lambda: ours(flags, workers=1, threads=2, loaders=2),
    }


def main() -> None:
    """Time every contender in turn and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet50", help="a network of log-mels")
    parser.add_argument("--batch-size", type=int, default=16, help="windows a step and worker")
    parser.add_argument("--steps", type=int, default=16, help="steps of a run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each")
    parser.add_argument("--gpu", action="store_true", help="on a GPU")
    flags = parser.parse_args()
    rates: dict[str, list[Measured]] = {}
    with ray_session(min_cpus=4):
        for number in range(flags.rounds):
            for name, run in contenders(flags).items():
                found = run()
                one = found if isinstance(found, Measured) else Measured(found)
                rates.setdefault(name, []).append(one)
                print(f"round {number + 1}  {name:<32}{one}", flush=True)
    median = {name: Measured(*np.median(values, axis=0)) for name, values in rates.items()}
    first = next(iter(median))
    print(f"\n{flags.model}, batches of {flags.batch_size}, medians of {flags.rounds} rounds")
    for name, rate in median.items():
        print(f"{name:<32}{rate}{rate.per_s / median[first].per_s:7.2f} x the first")


if __name__ == "__main__":
    main()
