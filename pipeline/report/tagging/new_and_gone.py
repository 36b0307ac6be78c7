"""What a run has brought, by instrument, and what is gone: tables of the page. PURE.

`before` is None for a first run.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.evaluation.runs.tagging_figures import ratio
from pipeline.evaluation.statistics.drift import ClassDrift, label_share
from pipeline.report.page import Cell, Table
from pipeline.report.tagging.filters import HOW_TO_FILTER, browse_command, of_run, with_label
from schemas.tagging_run import TaggingRun


def new_table(
    run: TaggingRun,
    before: TaggingRun | None,
    drifts: Sequence[ClassDrift],
    *,
    tags_uri: str = "",
) -> Table:
    """Return the instruments of the tracks that a run has tagged, the commonest first.

    `drifts` says how the scores have moved; `tags_uri` is the folder that a filter is for.
    """
    reading = {row.code: row.reading for row in drifts} if before else {}
    rows: list[Sequence[Cell]] = [
        (
            run.class_names[code],
            n,
            label_share(run, code),
            label_share(before, code) if before else None,
            reading.get(code),
            of_run(run, label) if (label := with_label(code)) else None,
        )
        for code, n in sorted(run.labels_of_run.items(), key=lambda item: -item[1])
        if n and code in run.class_names
    ]
    if run.tagged and run.unlabelled:
        last = ratio(before.unlabelled, before.tagged) if before else None
        counted = run.unlabelled, ratio(run.unlabelled, run.tagged), last, None
        rows.append(("no label", *counted, of_run(run, "status = ok and n_labels = 0")))
    command = browse_command(tags_uri, of_run(run, "status = ok")) if rows and tags_uri else ""
    return Table(
        "New in this run, by instrument",
        ("instrument", "tracks", "share", "share, last run", "drift", "filter"),
        rows,
        f"{_note(run)} {HOW_TO_FILTER}" if command else _note(run),
        codes=("filter",),
        command=command,
    )


def _note(run: TaggingRun) -> str:
    if not run.tagged:
        return "This run had nothing to tag."
    copied = " Its filter also finds the tracks that were renamed or copied." * bool(
        run.same_content
    )
    return f"Of the {run.tagged:,d} tracks that this run has tagged; one may have several.{copied}"


def gone_table(run: TaggingRun) -> Table | None:
    """Return which tracks are gone, back or deleted, and what to do; None where there are none."""
    counts = (
        (
            "gone, by this run or an earlier one",
            run.marked_gone,
            "if a disk was not mounted, mount it and run again; if they are to go, run with "
            "--prune gone",
        ),
        ("were gone and are back", run.returned, "nothing: their tags count again"),
        ("deleted by --prune", run.pruned, "nothing: their rows are no more"),
        (
            "rows of the manifest that name a track again",
            run.duplicates,
            "correct the manifest: the first row of a track counts",
        ),
    )
    rows = [row for row in counts if row[1]]
    if not rows:
        return None
    note = "Tracks that are gone keep their rows, but do not count in searches and exports."
    return Table("Tracks that are gone", ("what", "tracks", "what to do"), rows, note)
