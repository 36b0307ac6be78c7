"""A JAMS file for every track that is ok."""

from __future__ import annotations

from pipeline.exports.task import Export, Task, file_each
from pipeline.report import exports


def _write(task: Task) -> str:
    return file_each(task, "jams", exports.jams_text)


EXPORT = Export("jams", "a file a track, with intervals where they were kept", _write)
