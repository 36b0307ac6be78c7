"""What is unusual about a tagging run, set against the one before. PURE.

`before` is the run before, where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.evaluation.runs.tagging_figures import (
    cost_of,
    engine_of,
    n_renamed,
    ratio,
    speed_of,
    tried,
)
from pipeline.evaluation.runs.tally import TAG_STAGES
from pipeline.evaluation.statistics.drift import CHANGED, ClassDrift, same_share_p
from pipeline.report.tagging.failures import REASONS
from pipeline.report.wording import past_limit_text
from schemas.tagging_run import TaggingRun

HAVE_FAILED = "tracks have failed, in this run or before"
"""The alert's words for what `failed_in_all` counts."""

_N_NAMED = 5  # classes in one line
_MUCH_MORE = 1.5  # times as often, or as slow, as last time
_SURELY = 0.01
_MIN_FAILED = 5
_MANY_FAILED = 0.1  # of the tracks tried, where there is no run before
_MANY_GONE = 0.1  # of the last run's catalogue
_MIN_AUDIO_S = 600.0  # a shorter run is mostly start-up
_ALIKE = 4.0  # how much longer the audio of one run may be for their speeds to be compared


def alerts(run: TaggingRun, before: TaggingRun | None, drifts: Sequence[ClassDrift]) -> list[str]:
    """Return what is unusual about a run, the worst first; nothing where all is as it was."""
    found = [
        "" if run.complete else "The run has not ended: these figures are of its beginning.",
        _past_limit(run),
        _failing(run, before),
        _unlabelled(run, before),
        _gone(run, before),
        _drifted(run, drifts),
        _named_otherwise(run, drifts),
        _slower(run, before),
        *_other_settings(run, before),
    ]
    return [words for words in found if words]


def _past_limit(run: TaggingRun) -> str:
    text = past_limit_text(run.failed_in_all, run.tracks, run.max_failed, HAVE_FAILED)
    return f"{text}." if text else ""


def _failing(run: TaggingRun, before: TaggingRun | None) -> str:
    now, then = tried(run), tried(before)
    share = ratio(*now) or 0.0
    why = _commonest_reason(run)
    if now[1] and now[0] == now[1]:
        return f"Every track that was tried has failed: {now[0]:,d}.{why}"
    if now[0] < _MIN_FAILED:
        return ""
    if not then[1]:
        return f"{share:.1%} of the tracks have failed.{why}" if share > _MANY_FAILED else ""
    last = then[0] / then[1]
    if share < 2 * last or same_share_p(now, then) >= _SURELY:
        return ""
    return f"{share:.1%} of the tracks that were tried have failed, {last:.1%} last time.{why}"


def _commonest_reason(run: TaggingRun) -> str:
    reasons = run.reasons
    if not reasons:
        return ""
    most = max(reasons, key=lambda reason: reasons[reason])
    return f" Most often: {most} ({REASONS.get(most, 'see the messages')})."


def _unlabelled(run: TaggingRun, before: TaggingRun | None) -> str:
    now, then = (run.unlabelled, run.tagged), (0, 0)
    if before:
        then = (before.unlabelled, before.tagged)
    if now[0] and now[0] == now[1]:
        return f"None of the {now[1]:,d} tracks tagged got a label."
    if not now[1] or not then[1] or same_share_p(now, then) >= _SURELY:
        return ""
    share, last = now[0] / now[1], then[0] / then[1]
    if share < 2 * last:
        return ""
    return f"{share:.1%} of the tracks tagged got no label, {last:.1%} last time."


def _gone(run: TaggingRun, before: TaggingRun | None) -> str:
    n = run.gone - before.gone - n_renamed(run) if before else 0
    if not before or n <= _MANY_GONE * before.tracks:
        return ""
    return (
        f"{n:,d} of the {before.tracks:,d} tracks of the last run are gone from the catalogue: "
        "is a disk not mounted, or a folder moved?"
    )


def _drifted(run: TaggingRun, drifts: Sequence[ClassDrift]) -> str:
    changed = sorted(
        (row for row in drifts if row.reading == CHANGED), key=lambda row: -(row.psi or 0)
    )
    words = [f"{run.class_names[row.code]} (PSI {row.psi:.2f})" for row in changed]
    return f"The scores lie otherwise than last time: {_listed(words)}." if words else ""


def _named_otherwise(run: TaggingRun, drifts: Sequence[ClassDrift]) -> str:
    words = []
    for row in drifts:
        now, last = row.share_now or 0.0, row.share_before or 0.0
        sure = row.share_p is not None and row.share_p < _SURELY
        if sure and max(now, last) >= _MUCH_MORE * min(now, last):
            words.append(f"{run.class_names[row.code]} ({last:.1%}, now {now:.1%})")
    return f"Named much more or much less often than last time: {_listed(words)}." if words else ""


def _slower(run: TaggingRun, before: TaggingRun | None) -> str:
    speed, last = speed_of(run), speed_of(before)
    if before is None or speed is None or last is None:
        return ""
    short, long = sorted((run.audio_s, before.audio_s))
    if short < _MIN_AUDIO_S or long > _ALIKE * short or speed * _MUCH_MORE > last:
        return ""
    grown = max(TAG_STAGES, key=lambda stage: cost_of(run, stage) - cost_of(before, stage))
    return (
        f"An hour of audio took {last / speed:.1f} times as long as last time; what grew most is "
        f"{TAG_STAGES[grown]}."
    )


def _other_settings(run: TaggingRun, before: TaggingRun | None) -> list[str]:
    if before is None:
        return []
    words = []
    if run.catalog != before.catalog:
        words.append(f"Last time it was another catalogue: {before.catalog}.")
    engines = {engine_of(run), engine_of(before)}
    if len(engines) > 1 and all(engines):
        words.append(
            f"The model ran by {engine_of(run)}, last time by {engine_of(before)}: its scores may "
            "differ a little."
        )
    return words


def _listed(words: Sequence[str]) -> str:
    more = len(words) - _N_NAMED
    return ", ".join(words[:_N_NAMED]) + (f" and {more} more" if more > 0 else "")
