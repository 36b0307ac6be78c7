"""Why tracks have failed, what to do about it, and which they are: tables of the page. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.evaluation.runs.tagging_figures import ratio
from pipeline.report.page import Table
from pipeline.report.tagging.filters import HOW_TO_FILTER, browse_command, of_reason
from schemas.tagging_run import TaggingRun

REASONS = {
    "not_audio": "no decoder knows these bytes",
    "empty": "no audio in it",
    "too_long": "longer than --max-track-s allows",
    "incomplete": "ends before its header says",
    "undecodable": "FFmpeg does not decode it, or less than nine tenths of it",
    "unreadable": "the file cannot be opened",
    "crashed": "the decoder's process died of it",
    "too_slow": "the decoder did not come back",
    "too_large": "more bytes than are held in memory",
    "not_found": "the server has no such file",
    "forbidden": "the server does not hand it out",
    "connection": "the server or the disk could not be reached",
    "timeout": "the server did not answer in time",
    "truncated": "fewer bytes came than were promised",
}
"""What the reasons of failed tracks mean."""

_NEXT_RUN = "nothing at first: the next run takes it again by itself; if it stays, look at the line"
CURES = {
    "not_audio": "take it out of the catalogue, or replace it by a file that plays",
    "empty": "take it out of the catalogue, or replace it by a file with an audio stream",
    "too_long": "run with a larger --max-track-s and --retry failed, or split the file",
    "incomplete": "copy or fetch the file again: the next run takes a file that has changed",
    "undecodable": "copy the file again; if it stays, encode it anew from its source",
    "unreadable": "look at its rights and its disk, then run with --retry failed",
    "crashed": "encode it anew, for instance with ffmpeg, or take it out of the catalogue",
    "too_slow": "run with --retry failed when the machine is idle; if it stays, encode it anew",
    "too_large": "split the file, or keep it on a disk: a remote track may have 1 GiB",
    "not_found": "correct its address in the manifest, or take it out",
    "forbidden": "renew the credentials or its rights, then run with --retry failed",
    "connection": _NEXT_RUN,
    "timeout": _NEXT_RUN,
    "truncated": _NEXT_RUN,
}
"""What to do about tracks that have failed, by reason (docs/operations.md, Tagging every night)."""

N_FAILURES = 50
"""Failed tracks that are listed."""

_N_DETAIL_CHARS = 300


def reasons_table(
    run: TaggingRun,
    before: TaggingRun | None,
    *,
    in_all: Mapping[str, int] | None = None,
    tags_uri: str = "",
) -> Table:
    """Return why tracks failed and what to do, the commonest reason first.

    `in_all` is of the whole catalogue; `tags_uri` is the folder that a filter is for.
    """
    own, every = run.reasons, in_all or {}
    rows = [
        (
            reason,
            own.get(reason, 0) if run.failed else None,
            every.get(reason),
            REASONS.get(reason, ""),
            CURES.get(reason, "see the messages"),
            of_reason(reason),
            ratio(own.get(reason, 0), run.failed),
            before.reasons.get(reason, 0) if before else None,
        )
        for reason in sorted({**every, **own}, key=lambda r: (-own.get(r, 0), -every.get(r, 0)))
    ]
    command = browse_command(tags_uri, "status = failed") if rows and tags_uri else ""
    counts = ("tracks", "in the catalogue")
    words = ("what it means", "what to do", "filter")
    return Table(
        "Failures by reason",
        ("reason", *counts, *words, "share", "last run"),
        rows,
        HOW_TO_FILTER if command else "",
        codes=("filter",),
        command=command,
    )


def failed_table(run: TaggingRun, failures: Sequence[Mapping[str, Any]]) -> Table:
    """Return the failed tracks of the catalogue, as many as are listed."""
    rows = [
        (
            row["uri"],
            row["reason"],
            row.get("attempts"),
            f"{row['tagged_at']:%Y-%m-%d}" if row.get("tagged_at") else None,
            _shortened(row["detail"] or ""),
        )
        for row in failures[:N_FAILURES]
    ]
    total = max(run.failed_in_all, len(rows))
    note = f"The first {len(rows):,d} of {total:,d}." if rows else ""
    columns = ("uri", "reason", "attempts", "last tried", "message")
    return Table("Failed tracks", columns, rows, note)


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _N_DETAIL_CHARS else f"{text[:_N_DETAIL_CHARS]} …"
