"""Tasks for Label Studio with the tags as predictions, and the labelling interface for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from pipeline.exports.source import Intervals
from pipeline.exports.task import Export, Task
from pipeline.exports.texts import Row, TagSource, to_json
from pipeline.store.catalogue import is_uri

CHOICES, REGIONS, AUDIO = "instruments", "intervals", "audio"
"""Names in the interface: of a track's instruments, of its stretches, and of the sound."""


def interface(codes: Sequence[str], origin: TagSource) -> str:
    """Return the labelling interface: it shows the classes' names, and results have their codes."""
    pairs = [f"value={quoteattr(origin.name(code))} alias={quoteattr(code)}" for code in codes]
    choices = "".join(f"    <Choice {pair}/>\n" for pair in pairs)
    labels = "".join(f"    <Label {pair}/>\n" for pair in pairs)
    return (
        "<View>\n"
        f'  <Choices name="{CHOICES}" toName="{AUDIO}" choice="multiple" showInline="true">\n'
        f"{choices}  </Choices>\n"
        f'  <Labels name="{REGIONS}" toName="{AUDIO}">\n{labels}  </Labels>\n'
        f'  <Audio name="{AUDIO}" value="${AUDIO}"/>\n'
        "</View>\n"
    )


def task_of(
    row: Row, intervals: Sequence[Row], codes: Sequence[str], origin: TagSource
) -> dict[str, Any]:
    """Return a track's task: its instruments and their intervals are one prediction.

    `classes` are all that were asked for: what an annotation does not choose of them is absent.
    """
    choices = {
        "id": CHOICES,
        "from_name": CHOICES,
        "to_name": AUDIO,
        "type": "choices",
        "value": {"choices": list(row["labels"] or ())},
    }
    found = [_region(k, one, row) for k, one in enumerate(intervals)]
    prediction = {
        "model_version": origin.model_id,
        "score": round(_certainty(row), 6),
        "result": [choices, *found] if row["labels"] else found,
    }
    data = {AUDIO: audio_url(row["uri"]), "uri": row["uri"], "classes": list(codes)}
    return {"data": data, "predictions": [prediction]}


def _region(number: int, interval: Row, row: Row) -> dict[str, Any]:
    span = {"start": round(interval["start_s"], 6), "end": round(interval["end_s"], 6)}
    score = interval["score"]  # none where a person has labelled the stretch
    return {
        "id": f"{REGIONS}-{number}",
        "from_name": REGIONS,
        "to_name": AUDIO,
        "type": "labels",
        "original_length": row["duration_s"],
        "value": {**span, "channel": 0, "labels": [interval["code"]]},
        **({} if score is None else {"score": round(score, 6)}),
    }


def _certainty(row: Row) -> float:
    """Return how sure the model is of the least sure of its labels, or that there are none, 0..1.

    The Data Manager sorts tasks by it.
    """
    scores: Mapping[str, float | None] = row["scores"] or {}
    known = {code: value for code, value in scores.items() if value is not None}
    if labels := [known[code] for code in row["labels"] or () if code in known]:
        return min(labels)
    return 1.0 - max(known.values(), default=1.0)


def audio_url(uri: str) -> str:
    """Return where Label Studio gets a track: local files by its own server, below the root `/`.

    >>> audio_url("/music/Trio/#1.flac")
    '/data/local-files/?d=music/Trio/%231.flac'
    """
    if is_uri(uri):
        return uri
    return f"/data/local-files/?d={quote(uri.removeprefix('/').encode('utf-8', 'surrogatepass'))}"


def _write(task: Task) -> str:
    codes, origin, intervals = task.source.codes, task.source.origin, Intervals(task.source)
    n_tasks = 0
    with task.writing("label-studio.json") as write:
        write("[")
        for name, _, ok in task.batches():
            for row, found in zip(ok, intervals.of(name, ok), strict=True):
                start = ",\n" if n_tasks else "\n"
                write(start + to_json(task_of(row, found, codes, origin)))
                n_tasks += 1
        write("\n]\n")
    with task.writing("label-studio.xml") as write:
        write(interface(codes, origin))
    return (
        f"label-studio.json: {n_tasks:,d} tasks; label-studio.xml: the labelling interface\n"
        "  local files are served where LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and "
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/ are set and a local storage has their folder"
    )


EXPORT = Export("label-studio", _write)
