"""A line and a table about the files that the listing of a catalogue leaves out. PURE."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.report.page import Table
from schemas.tagging_run import TaggingRun

_N_SUFFIXES_SAID = 6
_WORDS = {
    "none": "without a suffix",
    "other": "of other suffixes",
    "._*": "of macOS (._*)",
}


def left_out_text(counts: Mapping[str, int]) -> str:
    """Return what was left out in one line; nothing where nothing was.

    >>> left_out_text({".jpg": 1200, "none": 2, ".txt": 1})
    '1,203 files left out, no audio by their suffix: 1,200 .jpg, 2 without a suffix, 1 .txt'
    >>> left_out_text({})
    ''
    """
    if not counts:
        return ""
    n = sum(counts.values())
    said = list(counts.items())[:_N_SUFFIXES_SAID]
    words = [f"{count:,} {_WORDS.get(suffix, suffix)}" for suffix, count in said]
    if more := n - sum(count for _, count in said):
        words.append(f"{more:,} more")
    files = "1 file" if n == 1 else f"{n:,} files"
    return f"{files} left out, no audio by their suffix: {', '.join(words)}"


def left_out_table(run: TaggingRun, before: TaggingRun | None) -> Table:
    """Return the files that were no tracks, by suffix, in this run and in the last."""
    last = before.left_out if before else {}
    rows = [
        (_WORDS.get(suffix, suffix), n, last.get(suffix, 0) if before else None)
        for suffix, n in run.left_out.items()
    ]
    note = (
        "Files of a folder, bucket or glob by whose suffix FFmpeg finds no audio in them. A "
        "manifest may name them: its tracks are taken as they stand."
    )
    return Table("Left out", ("suffix", "files", "last run"), rows, note)
