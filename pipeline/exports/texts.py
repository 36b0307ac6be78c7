"""What the formats share: which model's tags they are, and how rows become text. PURE.

Uris are text from the outside world, so each format says what it does with the worst of them. JSON
has them as they are, by its escapes; the name of a file is made of a uri's harmless characters and
a hash of the whole (`file_stem`).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.store.uris import split_uri

Row = Mapping[str, Any]

PEOPLE = ("confirmed", "rejected")
"""What persons have said of a track's classes: that they are there, and that they are not."""

UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What breaks a line of text, or cannot be seen in it."""
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")  # valid in JSON, but some readers split lines there
_STEM_BYTES = 100


@dataclass(frozen=True)
class TagSource:
    """Which model has given the tags, and when."""

    model_id: str
    names: Mapping[str, str]
    """Name by code; a code without one is its own."""
    aggregation: str
    version: str
    """Of the program that tagged."""
    attributes: tuple[str, ...] = ()
    """Columns of its rows that say how a track sounds; none where no run was asked for any."""
    catalog: str = ""
    """What was tagged, as --catalog had it."""
    own: tuple[str, ...] = ()
    """Columns that manifests have of their own, `catalog_uri` first; none without a manifest."""

    def name(self, code: str) -> str:
        """Return the name of a class, fit for one line of text."""
        return UNSEEN.sub(" ", self.names.get(code, code))


@dataclass(frozen=True)
class Span:
    """A stretch of a track in which an instrument sounds."""

    start_s: float
    end_s: float
    code: str
    score: float | None


def to_bytes(text: str) -> bytes:
    """Return UTF-8; half a character is written by its escape, which in JSON is its own."""
    return text.encode("utf-8", "backslashreplace")


def file_stem(uri: str) -> str:
    """Return a name for a track's files: the same in every run, one a uri, in no other folder.

    >>> file_stem("s3://bucket/Trio No. 1.mp3")
    'Trio_No._1-5d8afc5bf9899314'
    """
    digest = hashlib.blake2b(uri.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    text = unicodedata.normalize("NFC", title_of(uri))
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" or c in "-_." else " " for c in text)
    base = "_".join(kept.split()).encode()[:_STEM_BYTES].decode(errors="ignore").strip("-_.")
    return f"{base or 'track'}-{digest}"


def own_value(value: Any) -> Any:
    """Return what a manifest says as JSON knows it: times and decimals as text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    return number(value) if isinstance(value, float) else str(value)


def spans(row: Row, intervals: Sequence[Row]) -> list[Span]:
    """Return where which instrument sounds; a label without an interval spans the track."""
    found = [Span(i["start_s"], i["end_s"], i["code"], number(i["score"])) for i in intervals]
    scores, end_s = row["scores"] or {}, row["duration_s"] or 0.0
    found += [
        Span(0.0, end_s, code, number(scores.get(code)))
        for code in without_interval(row, intervals)
    ]
    return sorted(found, key=lambda span: (span.start_s, span.end_s, span.code))


def without_interval(row: Row, intervals: Sequence[Row]) -> list[str]:
    """Return the labels that no interval has: none of their windows alone is sure of them."""
    there = {one["code"] for one in intervals}
    return [code for code in row["labels"] or () if code not in there]


def title_of(uri: str) -> str:
    """Return a track's name without folder and suffix."""
    name = split_uri(uri)[1]
    return name.rpartition(".")[0] or name


def number(value: float | None) -> float | None:
    """Return a number that JSON has; a float32 without the digits that it does not have."""
    return None if value is None or not math.isfinite(value) else round(value, 6)


def numbers(values: Mapping[str, float | None] | None) -> dict[str, float | None] | None:
    """Return the numbers of all classes, by code."""
    return None if values is None else {code: number(value) for code, value in values.items()}


def time_text(when: datetime | None) -> str | None:
    """Return a time in UTC, to the millisecond: `2026-11-21T02:15:00.000Z`."""
    if when is None:
        return None
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_json(value: Any) -> str:
    """Return JSON that every reader splits into lines at the same places."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _LINE_ENDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
