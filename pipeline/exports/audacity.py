"""A label track for Audacity for every track that is ok, with intervals where they were kept."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.exports.task import Export, Task, file_each
from pipeline.exports.texts import Span, TagSource


def audacity_text(found: Iterable[Span], origin: TagSource) -> str:
    """Return a label track for Audacity."""
    lines = [f"{s.start_s:.6f}\t{s.end_s:.6f}\t{origin.name(s.code)}\n" for s in found]
    return "".join(lines)


def _write(task: Task) -> str:
    return file_each(task, "txt", lambda _, spans, origin: audacity_text(spans, origin))


EXPORT = Export("audacity", _write, takes=("beside",))
