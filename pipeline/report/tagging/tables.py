"""The tables on the page of a tagging run, beside the run before it. PURE.

`before` is None for a first run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.evaluation.runs.tagging_figures import cost_of, n_new, n_renamed, ratio, speed_of
from pipeline.evaluation.runs.tally import TAG_STAGES
from pipeline.evaluation.statistics.drift import (
    CHANGED_ABOVE,
    ENOUGH_TRACKS,
    STABLE_BELOW,
    TOO_FEW,
    ClassDrift,
    label_share,
)
from pipeline.report.page import Cell, Table
from pipeline.report.wording import duration_text
from schemas.tagging_run import TaggingRun


def changes_table(run: TaggingRun, before: TaggingRun | None) -> Table:
    """Return what the catalogue's tracks were to this run, and to the last."""
    counts: dict[str, Callable[[TaggingRun], int]] = {
        "in the catalogue": lambda one: one.tracks,
        "new": n_new,
        "changed: a known name, other audio": lambda one: max(0, one.changed - one.touched),
        "touched, retitled or copied over: a known name, known audio": lambda one: one.touched,
        "tried again: failed before": lambda one: one.retried,
        **_undescribed(run, before),
        "renamed or copied: the same content": n_renamed,
        "unchanged": lambda one: one.unchanged,
        "gone from the catalogue, tags kept": lambda one: one.gone,
        "failed, in this run or an earlier one": lambda one: one.failed_in_all,
    }
    rows = [
        (what, count(run), *_against(count(run), count(before) if before else None))
        for what, count in counts.items()
    ]
    return Table(
        "What is new, and what has changed",
        ("tracks", "this run", "last run", "change"),
        rows,
        "What is new, changed or tried again was tagged or failed in this run; the rest was not "
        "decoded.",
        numbers=("change",),
    )


def _undescribed(
    run: TaggingRun, before: TaggingRun | None
) -> dict[str, Callable[[TaggingRun], int]]:
    """Return the row of tracks that were tagged again for their attributes, where there are any."""
    if not run.undescribed and not (before and before.undescribed):
        return {}
    return {"tagged again: had no attributes": lambda one: one.undescribed}


def labels_table(run: TaggingRun, before: TaggingRun | None) -> Table:
    """Return how often each instrument is named: in this run, the last one, and in all."""
    rows: list[Sequence[Cell]] = []
    for code, name in run.class_names.items():
        in_all = run.labels_in_all.get(code, 0)
        last = before.labels_in_all.get(code, 0) if before else None
        shares = label_share(run, code), label_share(before, code) if before else None
        n_last = before.labels_of_run.get(code, 0) if before else None
        n_own = run.labels_of_run.get(code, 0) if run.tagged else None
        counted = n_own, shares[0], n_last, shares[1], _points(*shares)
        rows.append((code, name, *counted, in_all, *_against(in_all, last)))
    now = ratio(run.unlabelled, run.tagged)
    then = ratio(before.unlabelled, before.tagged) if before else None
    n_last = before.unlabelled if before else None
    counted = run.unlabelled if run.tagged else None, now, n_last, then, _points(now, then)
    rows.append((None, "no label", *counted, None, None, None))
    columns = ("class", "name", "this run", "share", "last run", "share, last run")
    return Table(
        "Instruments",
        (*columns, "change of share", "in all", "in all, last run", "change in all"),
        rows,
        "Tracks with the label, newly tagged in each run, and of all that have tags, tracks that "
        "are gone, too. Shares are of the tracks tagged; their change is in points of per cent.",
        numbers=("change of share", "change in all"),
    )


def drift_table(drifts: Sequence[ClassDrift], run: TaggingRun) -> Table:
    """Return how far each class has moved since the last run."""
    rows = [
        (
            run.class_names[row.code],
            row.reading,
            row.psi,
            row.psi_by_chance,
            row.ks,
            _p_text(row.ks_p),
            row.share_before,
            row.share_now,
            _p_text(row.share_p),
        )
        for row in drifts
    ]
    columns = ("class", "scores", "PSI", "PSI by chance", "KS", "p of KS")
    note = (
        f"PSI is the population stability index of the scores: below {STABLE_BELOW} stable, above "
        f"{CHANGED_ABOVE} changed. “{TOO_FEW}” stands where a run has fewer than {ENOUGH_TRACKS} "
        "tracks, and where the index is not above what chance gives with so few. KS is the widest "
        "gap between the two shares below a score. Both p are corrected for the number of classes "
        "(Holm)."
    )
    return Table(
        "Drift by class",
        (*columns, "named last run", "named this run", "p of named"),
        rows,
        note,
        numbers=("p of KS", "p of named"),
    )


def stages_table(run: TaggingRun, before: TaggingRun | None) -> Table:
    """Return how long the workers were at each stage, and which one is the slowest."""
    total_s = sum(run.stages.values())
    rows = [
        (
            words,
            duration_text(run.stages.get(stage, 0.0)),
            ratio(run.stages.get(stage, 0.0), total_s),
            cost_of(run, stage) if run.audio_s else None,
            cost_of(before, stage) if before and before.audio_s else None,
        )
        for stage, words in TAG_STAGES.items()
        if stage != "attributes_s" or run.attributes
    ]
    columns = ("stage", "workers' time", "share", "s an hour of audio", "last run")
    return Table("Where the time went", columns, rows, _time_note(run), numbers=("workers' time",))


def _time_note(run: TaggingRun) -> str:
    speed, total_s = speed_of(run), sum(run.stages.values())
    slowest = max(TAG_STAGES, key=lambda stage: run.stages.get(stage, 0.0))
    memory = ", ".join(
        f"{key.removesuffix('_mib').replace('_', ' ')} {value:,.0f} MiB"
        for key, value in run.memory.items()
        if value is not None
    )
    words = [
        f"The slowest stage is {TAG_STAGES[slowest]}." if total_s else "Nothing was decoded.",
        f"{speed:,.0f} s of audio a second of wall time." if speed else "",
        "The workers' time is summed over all of them.",
        f"Memory: {memory}." if memory else "",
    ]
    return " ".join(word for word in words if word)


def _against(now: int, last: int | None) -> tuple[int | None, str | None]:
    """Return the last run's number, and by how much this run's is larger."""
    return last, None if last is None else _signed(now - last)


def _signed(n: int) -> str:
    return f"{n:+,d}" if n else "0"


def _points(now: float | None, last: float | None) -> str | None:
    return None if now is None or last is None else f"{100 * (now - last):+.1f}"


def _p_text(p_value: float | None) -> str | None:
    if p_value is None:
        return None
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"
