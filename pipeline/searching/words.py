"""The words that questions have beside classes, and what they stand for in the views. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.errors import UsageError, did_you_mean
from pipeline.searching.conditions import Column, Columns, identifier

_TRACK_WORDS = {
    "uri": Column("uri", "text"),
    "duration": Column("duration_s"),
    "duration_s": Column("duration_s"),
    "size_bytes": Column("size_bytes"),
    "status": Column("status", "text"),
    "reason": Column("reason", "text"),
    "detail": Column("detail", "text"),
    "fingerprint": Column("fingerprint", "text"),
    "attempts": Column("attempts"),
    "n_labels": Column("len(labels)"),
    "n_windows": Column("n_windows"),
    "n_active": Column("n_active"),
    "tagged_at": Column("tagged_at", "time"),
}
_WINDOW_WORDS = {
    "window": Column('"window"'),
    "start": Column("start_s"),
    "start_s": Column("start_s"),
    "end": Column("end_s"),
    "end_s": Column("end_s"),
    "is_active": Column("is_active::int"),
}


def columns_of(
    codes: Sequence[str],
    attributes: Sequence[str],
    names: Mapping[str, str],
    *,
    windows: bool,
) -> Columns:
    """Return the words of questions about tracks, or about windows of them.

    Parameters
    ----------
    codes, names
        The classes, and their names by code.
    attributes
        The columns of TAGS that say how a track sounds.
    windows
        Whether windows are asked for.
    """
    words = dict(_TRACK_WORDS) | {key: Column(identifier(key)) for key in attributes}
    return Columns(codes, words | (_WINDOW_WORDS if windows else {}), names)


def order_of(order_by: str, columns: Columns) -> str:
    """Return the ORDER BY of a word and, behind it, asc or desc; nothing where it is empty.

    What has no value stands last. UsageError where the word is unknown.
    """
    if not order_by.strip():
        return ""
    word, _, way = order_by.strip().partition(" ")
    column, way = columns.column_of(word), way.strip().lower()
    if column is None or way not in ("", "asc", "desc"):
        near = did_you_mean(word, columns.words) if column is None else ""
        raise UsageError(
            f"--sort {order_by!r}: expected a word such as duration or cel{near}, and asc or desc "
            "behind it"
        )
    return f" order by {column.sql} {way or 'asc'} nulls last"
