"""What persons have said in Label Studio in, a row for each thing said out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from pipeline.errors import UsageError
from pipeline.store.folder import read_input


@dataclass(frozen=True)
class Annotation:
    """What one person says of one instrument in one track, or in a stretch of it."""

    uri: str
    """The track, as in TAGS."""
    code: str
    """The instrument's code; of a class that was added in Label Studio, what it is called there."""
    present: bool
    """Whether the instrument is heard there."""
    start_s: float | None
    """Where the stretch begins, in seconds; None where the whole track is meant."""
    end_s: float | None
    """Where the stretch ends, in seconds; None where the whole track is meant."""
    annotator: str
    """Who: an e-mail address, or the number of a user."""
    updated_at: datetime
    """When it was said, or changed the last time, in UTC."""


def read_label_studio(path: str, codes: Mapping[str, str] | None = None) -> list[Annotation]:
    """Read a project's export from Label Studio in its format "JSON".

    Each annotation that was submitted counts; those that were skipped do not, nor do predictions
    and drafts. The classes that are chosen are present in the track, and each of the others that
    the task asks for (`classes`, which `--format label-studio` writes) is absent, unless a region
    of the annotation has it. Label Studio leaves out a choice of nothing, so an annotation
    without choices says the same as one in which none is chosen. A region is one row of its own.
    Other controls than choices and labels are left out.

    Parameters
    ----------
    path
        A file, or its URI.
    codes
        Code by name, for projects whose results have names.

    Raises
    ------
    UsageError
        The file is missing, or is not such an export; the message names the task.
    """
    try:
        tasks = json.loads(read_input(path))
    except ValueError as error:
        raise UsageError(f"{path}: not JSON: {error}; export the project as JSON") from error
    if not isinstance(tasks, list):
        raise UsageError(f"{path}: expected a list of tasks; export the project as JSON")
    rows = (_of_task(path, k, one, codes or {}) for k, one in enumerate(tasks, 1))
    return list(chain.from_iterable(rows))


def _of_task(path: str, number: int, task: Any, codes: Mapping[str, str]) -> list[Annotation]:
    try:
        return [
            row
            for one in task["annotations"]
            if not one.get("was_cancelled")
            for row in _of_annotation(task["data"], one, codes)
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(
            f"{path}: task {number}: {said}; expected a task of Label Studio's JSON with data.uri "
            "or data.audio, and annotations (JSON-MIN and CSV do not have them)"
        ) from error


def _of_annotation(
    data: Mapping[str, Any], annotation: Mapping[str, Any], codes: Mapping[str, str]
) -> Iterator[Annotation]:
    uri = data["uri"] if "uri" in data else data["audio"]
    who = _annotator(annotation.get("completed_by"))
    when = _time(annotation.get("updated_at") or annotation["created_at"])
    chosen: list[str] = []
    in_regions: set[str] = set()
    for one in annotation["result"]:
        value = one["value"]
        if one["type"] == "choices":
            chosen += [codes.get(text, text) for text in value["choices"]]
        if one["type"] == "labels":
            for code in (codes.get(text, text) for text in value["labels"]):
                in_regions.add(code)
                span = float(value["start"]), float(value["end"])
                yield Annotation(uri, code, True, *span, who, when)
    for code in dict.fromkeys([*chosen, *data.get("classes", ())]):
        if code in chosen or code not in in_regions:
            yield Annotation(uri, code, code in chosen, None, None, who, when)


def _annotator(said: Any) -> str:
    """Return who made an annotation: Label Studio has a number, or an object in some exports."""
    if isinstance(said, Mapping):
        return str(said.get("email") or said.get("id") or "")
    return "" if said is None else str(said)


def _time(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
