"""What a run counts and shows goes in; series on Ray's metrics ports, for Prometheus, come out.

Every series says its job and its model, and is gone soon after the job has ended. For that totals
are gauges: Ray serves a counter for as long as its node lives, whoever counted, but a gauge only
while its process goes on setting it, and for 20 s more (both seen, Ray 2.60). Each process shows
its own sum, which Ray tells from the others' by the label WorkerId; Prometheus' `rate` and
`increase` take it like a counter.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import ray
from ray.util.metrics import Gauge

JOB = "TIMBRE_JOB"
"""Variable of the environment that names the job; `jobs.submit` sets it. Ray's own number of the
job stands for it elsewhere."""


@dataclass(frozen=True)
class Series:
    """A kind of series: what it is, and its labels beside job_id and model."""

    help: str
    labels: tuple[str, ...] = ()


SERIES = {
    "timbre_segments_total": Series("segments that a build has ended", ("outcome", "reason")),
    "timbre_fetched_bytes_total": Series("bytes that a build has read from its source"),
    "timbre_segment_seconds_total": Series("seconds of a build's downloads", ("stage",)),
    "timbre_training_step": Series("steps that a training has done"),
    "timbre_training_steps": Series("steps that a training does in all"),
    "timbre_training_epoch": Series("epochs that a training has done"),
    "timbre_training_loss": Series("mean loss of the last epoch", ("split",)),
    "timbre_training_macro_f1": Series("macro F1 of the last epoch on the validation split"),
    "timbre_tracks_total": Series("tracks that a tagging has ended", ("status", "reason")),
    "timbre_audio_seconds_total": Series("seconds of audio that were tagged"),
    "timbre_stage_seconds_total": Series("seconds of a tagging's processes", ("stage",)),
}
"""All that the jobs export, by name; Ray puts `ray_` before each."""


def add(name: str, amount: float, model: str = "", **labels: str) -> None:
    """Add to this process's total of a series; outside Ray nothing is counted."""
    if amount and ray.is_initialized():
        _shown().put(_key(name, model, labels), amount, is_total=True)


def show(name: str, value: float, model: str = "", **labels: str) -> None:
    """Set the value of a series; outside Ray nothing is shown."""
    if ray.is_initialized():
        _shown().put(_key(name, model, labels), value, is_total=False)


def add_segments(rows: Iterable[Mapping[str, Any]]) -> None:
    """Count rows of LEDGER: outcomes, bytes, and seconds by stage."""
    for row in rows:
        add("timbre_segments_total", 1, outcome=row["outcome"], reason=row["reason"])
        add("timbre_fetched_bytes_total", row.get("bytes_fetched") or 0)
        for stage in ("wait", "fetch", "decode", "describe"):
            add("timbre_segment_seconds_total", row.get(f"{stage}_s") or 0.0, stage=stage)


def show_epoch(metrics: Mapping[str, float], model: str) -> None:
    """Show what an epoch of a training came to."""
    show("timbre_training_epoch", metrics["epoch"], model)
    for split in ("train", "val"):
        if f"{split}_loss" in metrics:
            show("timbre_training_loss", metrics[f"{split}_loss"], model, split=split)
    if "val_macro_f1" in metrics:
        show("timbre_training_macro_f1", metrics["val_macro_f1"], model)


_Key = tuple[str, tuple[tuple[str, str], ...]]
"""Name and labels of a series."""


def _key(name: str, model: str, labels: Mapping[str, str]) -> _Key:
    job_id = os.environ.get(JOB) or str(ray.get_runtime_context().get_job_id())
    return name, (("job_id", job_id), ("model", model), *sorted(labels.items()))


class _Shown:
    """The values of this process, which a thread sets again and again while it lives.

    Ray forgets a gauge that has not been set for 20 s; a long epoch is silent for longer.
    """

    _EVERY_S = 5.0

    def __init__(self) -> None:
        self._values: dict[_Key, float] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True, name="timbre-metrics")
        self._thread.start()
        atexit.register(self.stop)

    def put(self, key: _Key, value: float, *, is_total: bool) -> None:
        """Set a value, or add to it."""
        with self._lock:
            self._values[key] = value + (self._values.get(key, 0.0) if is_total else 0.0)
            _set(key, self._values[key])

    def stop(self) -> None:
        """End the thread: one that speaks to a Ray that has gone ends the process."""
        self._stop.set()
        self._thread.join()

    def _repeat(self) -> None:
        while not self._stop.wait(self._EVERY_S):
            with self._lock:
                for key, value in self._values.items():
                    if ray.is_initialized():
                        _set(key, value)


def _set(key: _Key, value: float) -> None:
    name, labels = key
    _gauge(name).set(value, dict(labels))


@cache
def _shown() -> _Shown:
    return _Shown()


def stop() -> None:
    """Show nothing more: before Ray ends, as who speaks to one that has gone ends with it."""
    if _shown.cache_info().currsize:
        _shown().stop()
        _shown.cache_clear()


@cache
def _gauge(name: str) -> Any:
    series = SERIES[name]
    return Gauge(name, description=series.help, tag_keys=("job_id", "model", *series.labels))
