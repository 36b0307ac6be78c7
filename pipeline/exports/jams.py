"""A JAMS file for every track that is ok, with intervals where they were kept."""

from __future__ import annotations

from pipeline.exports import texts
from pipeline.exports.task import Export, Task, file_each


def _write(task: Task) -> str:
    return file_each(task, "jams", texts.jams_text)


EXPORT = Export("jams", _write, takes=("beside",))
