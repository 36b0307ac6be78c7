"""How long a tagging will take, judged by what earlier runs took. PURE."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.tagging_run import TaggingRun


def expected_s(runs: Iterable[TaggingRun], audio_s: float) -> float | None:
    """Return how many seconds a run over some audio will take, by the last one that decoded audio.

    Parameters
    ----------
    runs
        Earlier runs, the last one first. A run takes `overhead_s` (start of Ray and of the model,
        joining files, the page) however little there is to do, and on top of it time in proportion
        to the audio. Runs of older versions have no `overhead_s`, only `seconds` for everything.
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
