"""What an epoch costs: seconds, and the largest memory of any worker (the report's figure 5.7)."""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import torch
import torch.distributed as dist


class CostMeter:
    """Measures from one call to the next, on every rank; all of them call it at the same time."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._began_s = device, monotonic()
        self._waits: tuple[float, float] | None = None
        self._forget_peak()

    def waited(self, waited_s: float, steps_s: float) -> None:
        """Note for how long an epoch's steps waited for their batches, and how long they took."""
        self._waits = (waited_s, steps_s)

    def __call__(self) -> dict[str, float]:
        """Return `seconds` since the last call, and `peak_mib`, the largest of all `workers`.

        Also `waiting_share`, of the steps' time the share that they waited for their batches, the
        largest of all ranks; not there where `waited` was not called.

        That is the memory that torch held on a GPU since the last call; on a CPU it is the resident
        memory of a worker at its largest so far, mapped features included.
        """
        now_s, peak_mib = monotonic(), self._peak_mib()
        found = {"seconds": now_s - self._began_s, "peak_mib": _largest(peak_mib, self._device)}
        found["workers"] = float(dist.get_world_size() if dist.is_initialized() else 1)
        if self._waits is not None:
            waited_s, steps_s = self._waits
            share = waited_s / steps_s if steps_s > 0 else 0.0
            found["waiting_share"] = _largest(share, self._device)
        self._began_s, self._waits = now_s, None
        self._forget_peak()
        return found

    def _peak_mib(self) -> float:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / 2**20
        return peak_rss_mib()

    def _forget_peak(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)


def peak_rss_mib() -> float:
    """Return the resident memory of this process at its largest so far.

    Not `getrusage`'s where the kernel says more: that one begins at what the parent held when it
    started the process.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def cost_of(history: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return a training's `seconds` and `peak_mib`; nothing where its history has none."""
    rows = [row for row in history if "seconds" in row and "peak_mib" in row]
    if not rows:
        return {}
    return {
        "seconds": sum(row["seconds"] for row in rows),
        "peak_mib": max(row["peak_mib"] for row in rows),
    }


def _largest(value: float, device: torch.device) -> float:
    if not (dist.is_available() and dist.is_initialized()):
        return value
    largest = torch.tensor([value], dtype=torch.float64, device=device)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return float(largest)
