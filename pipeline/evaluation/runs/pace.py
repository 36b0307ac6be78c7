"""What earlier tagging runs took in, how long another one will take out. PURE."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.tagging_run import TaggingRun


def expected_s(runs: Iterable[TaggingRun], audio_s: float) -> float | None:
    """Return how long a run over some audio will take, by the last run that decoded any.

    Parameters
    ----------
    runs
        Earlier runs, the last one first. Where `overhead_s` is known (Ray's and the model's start,
        joining files, the page), the run takes that however little there is to do, and time in
        proportion to the audio on top; older runs only know `seconds` in all.
    audio_s
        Length of the audio, in seconds.

    >>> from dataclasses import replace
    >>> run = TaggingRun(complete=True, audio_s=60.0, seconds=40.0)
    >>> expected_s([replace(run, overhead_s=34.0, work_s=6.0)], 600), expected_s([run], 600)
    (94.0, 400.0)
    """
    for run in runs:
        if run.complete and run.audio_s:
            work_s = run.seconds if run.work_s is None else run.work_s
            return (run.overhead_s or 0.0) + audio_s * work_s / run.audio_s
    return None
