"""Rows of TAGS and INTERVALS in, the texts of other people's formats out. PURE.

Uris are text from the outside world, so each format says what it does with the worst of them:

- csv: text cells are quoted, which keeps commas, quotes and line breaks whole. Quotes do not keep a
  spreadsheet from running a cell as a formula, so a cell that begins like one gets an apostrophe in
  front; so does a cell that begins with an apostrophe. Whoever takes one leading apostrophe off has
  every uri back exactly, and a uri of a usual catalogue (`/...`, `s3://...`) stays as it is.
- jsonl and jams: as they are, by JSON's escapes.
- m3u: a uri that cannot stand on a line is percent-encoded (`is_on_one_line`).
- names of files: made of its harmless characters and a hash of the whole uri (`file_stem`).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from pipeline.store.folder import split_uri

Row = Mapping[str, Any]

PEOPLE = ("confirmed", "rejected")
"""What persons have said of a track's classes: that they are there, and that they are not."""

ENTRIES = pa.schema(
    [
        ("code", pa.string()),
        ("score", pa.float64()),
        ("uri", pa.string()),
        ("duration_s", pa.float64()),
    ]
)
"""One row is a track on the playlist of one instrument."""

_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # the wide ones count in East Asian spreadsheets  # noqa: RUF001
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")  # valid in JSON, but some readers split lines there
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_OFF_LINE = re.compile(rf"{_UNSEEN.pattern}|^[\s#]+|\s+\Z")
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
        return _UNSEEN.sub(" ", self.names.get(code, code))


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


def is_formula(text: str) -> bool:
    """Say whether a csv cell gets an apostrophe in front, see above."""
    return text.startswith((*_FORMULA, "'"))


def csv_header(
    codes: Sequence[str], attributes: Sequence[str] = (), own: Sequence[str] = ()
) -> str:
    """Return the first line of the csv; what came later is behind: columns keep their places."""
    scores = [f"score_{code}" for code in codes]  # a class may be called as a column is
    columns = ["uri", "status", "reason", "duration_s", "labels", *scores, "model_id", "tagged_at"]
    return ",".join(map(_quoted, [*columns, *attributes, "label_names", *PEOPLE, *own])) + "\r\n"


def csv_lines(rows: Iterable[Row], codes: Sequence[str], origin: TagSource) -> str:
    """Return lines of RFC 4180; what a failed track lacks is empty."""
    cells = (
        [*_csv_cells(row, codes, origin), *(_own_cell(row.get(name)) for name in origin.own)]
        for row in rows
    )
    return "".join(",".join(one) + "\r\n" for one in cells)


def _own_cell(value: Any) -> str:
    """Return what a manifest says as a cell: numbers as they are, all else in quotes."""
    if value is None:
        return ""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else _quoted(str(_own_value(value)))


def _own_value(value: Any) -> Any:
    """Return what a manifest says as JSON knows it: times and decimals as text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    return number(value) if isinstance(value, float) else str(value)


def _csv_cells(row: Row, codes: Sequence[str], origin: TagSource) -> list[str]:
    scores = row["scores"] or {}
    texts = [row[key] for key in ("uri", "status", "reason")]
    return [
        *map(_quoted, texts),
        _six(row["duration_s"]),
        _quoted("+".join(row["labels"] or ())),
        *(_six(scores.get(code)) for code in codes),
        _quoted(row["model_id"]),
        _time(row["tagged_at"]) or "",
        *(_six(row.get(name)) for name in origin.attributes),
        _quoted("; ".join(map(origin.name, row["labels"] or ()))),
        *(_quoted("+".join(row.get(key) or ())) for key in PEOPLE),
    ]


def json_lines(rows: Iterable[Row], attributes: Sequence[str] = (), own: Sequence[str] = ()) -> str:
    """Return an object a line, a track each."""
    objects = (
        json_row(row, attributes) | {name: _own_value(row.get(name)) for name in own}
        for row in rows
    )
    return "".join(to_json(one) + "\n" for one in objects)


def json_row(row: Row, attributes: Sequence[str]) -> dict[str, Any]:
    """Return a track's object of tags.jsonl."""
    as_it_is = ("uri", "fingerprint", "status", "reason", "detail")
    return {
        **{key: row.get(key) for key in as_it_is},
        "duration_s": number(row["duration_s"]),
        "labels": row["labels"] or [],
        **{key: row.get(key) or [] for key in PEOPLE},
        "scores": _numbers(row["scores"]),
        "peaks": _numbers(row.get("peaks")),  # runs of earlier versions have none
        "model_id": row["model_id"],
        "tagged_at": _time(row["tagged_at"]),
        **{name: number(row.get(name)) for name in attributes},
    }


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


def audacity_text(found: Iterable[Span], origin: TagSource) -> str:
    """Return a label track for Audacity."""
    lines = [f"{s.start_s:.6f}\t{s.end_s:.6f}\t{origin.name(s.code)}\n" for s in found]
    return "".join(lines)


def jams_text(row: Row, found: Iterable[Span], origin: TagSource) -> str:
    """Return a JAMS file with one annotation; the track's scores and attributes are its sandbox."""
    duration_s = number(row["duration_s"]) or 0.0
    about = {
        "annotator": {"model_id": origin.model_id, "aggregation": origin.aggregation},
        "version": origin.version,
        "annotation_tools": "timbre",
        "data_source": "automatic",
    }
    of_track = {
        "labels": row["labels"] or [],
        **{key: row.get(key) or [] for key in PEOPLE},
        "scores": _numbers(row["scores"]),
        "tagged_at": _time(row["tagged_at"]),
        **{name: number(row.get(name)) for name in origin.attributes},
        **{name: _own_value(row.get(name)) for name in origin.own},
    }
    annotation = {
        "namespace": "tag_open",
        "time": 0.0,
        "duration": duration_s,
        "annotation_metadata": about,
        "data": [_observation(span, origin) for span in found],
        "sandbox": of_track,
    }
    file = {
        "title": title_of(row["uri"]),
        "duration": duration_s,
        "identifiers": {"uri": row["uri"], "fingerprint": row["fingerprint"]},
        "jams_version": "0.3.5",
    }
    return to_json({"file_metadata": file, "annotations": [annotation], "sandbox": {}}) + "\n"


def _observation(span: Span, origin: TagSource) -> dict[str, Any]:
    return {
        "time": number(span.start_s),
        "duration": number(max(0.0, span.end_s - span.start_s)),
        "value": origin.name(span.code),
        "confidence": span.score,
    }


def entries(rows: Iterable[Row]) -> pa.Table:
    """Return ENTRIES of rows of TAGS: one for every label of every track that has some."""
    found = [
        {
            "code": code,
            "score": number((row["scores"] or {}).get(code)),
            "uri": row["uri"],
            "duration_s": row["duration_s"],
        }
        for row in rows
        for code in row["labels"] or ()
    ]
    return pa.Table.from_pylist(found, ENTRIES)


def playlist_head(name: str) -> str:
    """Return the beginning of an extended m3u in UTF-8."""
    return f"#EXTM3U\n#EXTENC:UTF-8\n#PLAYLIST:{name}\n"


def playlist_lines(rows: Iterable[Row], folder: str = "") -> str:
    """Return two lines for every row of ENTRIES; -1 is m3u's word for an unknown duration.

    With `folder`, where the playlist lies, paths count from there.
    """
    lines = []
    for row in rows:
        seconds = -1 if row["duration_s"] is None else round(row["duration_s"])
        title = " ".join(_UNSEEN.sub(" ", title_of(row["uri"])).split())
        lines.append(f"#EXTINF:{seconds},{title}\n{playlist_uri(row['uri'], folder)}\n")
    return "".join(lines)


def is_on_one_line(uri: str) -> bool:
    """Say whether a player reads a uri as it stands: one line, no comment, no space around it."""
    return not _OFF_LINE.search(uri)


def playlist_uri(uri: str, folder: str = "") -> str:
    r"""Return a uri as it stands, or percent-encoded where it cannot; a path is then a file URI.

    With `folder` a path counts from there, but not one that is a file URI.

    >>> playlist_uri("/music/100%\n.mp3")
    'file:///music/100%25%0A.mp3'
    >>> playlist_uri("/music/Trio/#1.mp3", "/music/lists"), playlist_uri("/m/#1.mp3", "/m")
    ('../Trio/#1.mp3', './#1.mp3')
    """
    if uri.startswith("/") and not is_on_one_line(uri):
        return "file://" + quote(uri.encode("utf-8", "surrogatepass"))
    if uri.startswith("/") and folder:
        path = os.path.relpath(uri, folder)
        return path if is_on_one_line(path) else f"./{path}"
    return _OFF_LINE.sub(lambda found: quote(found[0], safe=""), uri)


def title_of(uri: str) -> str:
    """Return a track's name without folder and suffix."""
    name = split_uri(uri)[1]
    return name.rpartition(".")[0] or name


def _quoted(text: str | None) -> str:
    if text is None:
        return ""
    safe = f"'{text}" if is_formula(text) else text
    return '"' + safe.replace('"', '""') + '"'


def _six(value: float | None) -> str:
    rounded = number(value)
    return "" if rounded is None else f"{rounded:.6f}"


def number(value: float | None) -> float | None:
    """Return a number that JSON has; a float32 without the digits that it does not have."""
    return None if value is None or not math.isfinite(value) else round(value, 6)


def _numbers(values: Mapping[str, float | None] | None) -> dict[str, float | None] | None:
    return None if values is None else {code: number(value) for code, value in values.items()}


def _time(when: datetime | None) -> str | None:
    if when is None:
        return None
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_json(value: Any) -> str:
    """Return JSON that every reader splits into lines at the same places."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _LINE_ENDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
