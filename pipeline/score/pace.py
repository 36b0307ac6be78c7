"""What earlier tagging runs took in, how long another one will take out. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def expected_s(runs: Iterable[Mapping[str, Any]], audio_s: float) -> float | None:
    """Return how long a run over some audio will take, by the last run that decoded any.

    Parameters
    ----------
    runs
        run.json of earlier runs, the last one first. Where `overhead_s` is known (Ray's and the
        model's start, joining files, the page), the run takes that however little there is to do,
        and time in proportion to the audio on top; older runs only know `seconds` in all.
    audio_s
        Length of the audio, in seconds.

    >>> run = {"complete": True, "audio_s": 60.0, "seconds": 40.0}
    >>> expected_s([run | {"overhead_s": 34.0, "work_s": 6.0}], 600), expected_s([run], 600)
    (94.0, 400.0)
    """
    for run in runs:
        if run.get("complete") and run.get("audio_s"):
            work_s = float(run.get("work_s", run["seconds"]))
            return float(run.get("overhead_s", 0.0)) + audio_s * work_s / float(run["audio_s"])
    return None
