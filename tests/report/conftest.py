"""A small dataset by hand, and a reader of pictures."""

from __future__ import annotations

import base64
import datetime
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from xml.etree import ElementTree

import pyarrow as pa
import pytest

from pipeline.report import page as page_module
from pipeline.report import picture
from pipeline.report.picture import Picture
from schemas.ledger import LEDGER
from schemas.segments import SEGMENTS

NAMES = {"cel": "cello", "pia": "piano", "voi": "human voice"}

# segment_id, classes, split, and (outcome, reason, detail) or None where it was not tried
ROWS = [
    ("a_0", ["cel"], "train", ("ok", "ok", None)),
    ("b_0", ["cel", "pia"], "train", ("ok", "ok", None)),
    ("c_0", ["pia"], "train", ("unavailable", "removed", "<script>alert('gone')</script>")),
    ("d_0", ["voi"], "val", ("ok", "ok", None)),
    ("e_0", ["cel", "voi"], "val", ("unavailable", "removed", "gone")),
    ("f_0", ["voi"], "test", ("blocked", "forbidden", None)),
    ("g_0", ["voi"], "test", None),
]


@pytest.fixture
def class_names() -> dict[str, str]:
    return dict(NAMES)


@pytest.fixture
def segments() -> pa.Table:
    rows = [
        {
            "segment_id": segment_id,
            "ytid": segment_id[0],
            "start_s": 0.0,
            "end_s": 10.0,
            "mids": [],
            "classes": classes,
            "split": split,
            "shard": "0",
        }
        for segment_id, classes, split, _ in ROWS
    ]
    return pa.Table.from_pylist(rows, schema=SEGMENTS)


@pytest.fixture
def ledger() -> pa.Table:
    rows = [
        {
            "segment_id": segment_id,
            "ytid": segment_id[0],
            "outcome": became[0],
            "reason": became[1],
            "detail": became[2],
            "attempts": 2,
            "http_status": 403 if became[0] == "blocked" else None,
            "bytes_fetched": 1000 if became[0] == "ok" else 0,
            "seconds": 0.5,
            "ended_at": datetime.datetime.now(datetime.UTC),
        }
        for segment_id, _, _, became in ROWS
        if became
    ]
    return pa.Table.from_pylist(rows, schema=LEDGER)


@pytest.fixture
def svg_of() -> Callable[[Picture], ElementTree.Element]:
    """Decode a picture, and see that it asks nothing of the outside."""

    def decode(picture: Picture) -> ElementTree.Element:
        kind, _, encoded = picture.data_uri.partition(",")
        assert kind == "data:image/svg+xml;base64"
        root = ElementTree.fromstring(base64.b64decode(encoded, validate=True))
        assert root.tag.endswith("svg")
        for element in root.iter():
            assert not element.tag.endswith("script")
            for name, value in element.attrib.items():
                if name.endswith("href"):
                    assert value.startswith(("#", "data:image/png;base64,"))
        return root

    return decode


@pytest.fixture
def words_of(
    svg_of: Callable[[Picture], ElementTree.Element], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[], Picture]], list[str]]:
    """Draw with letters in place of their outlines, and return what is written."""
    monkeypatch.setitem(picture._STYLE, "svg.fonttype", "none")
    return lambda draw: [text.strip() for text in svg_of(draw()).itertext() if text.strip()]


_LEAST_URI_CHARS = 200
"""Of an image that was drawn: shorter ones stand for one in tests of something else."""


class _Images(HTMLParser):
    """Collects title and text alternative of the images of a page that were drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.alts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "img" and len(values["src"] or "") >= _LEAST_URI_CHARS:
            self.alts.append(values["alt"] or "")


@pytest.fixture(autouse=True)
def rendered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Keep every page that a test renders, and see that each image says its numbers."""
    pages: list[str] = []
    template = page_module._template()

    class Kept:
        def render(self, **given: object) -> str:
            pages.append(template.render(**given))
            return pages[-1]

    monkeypatch.setattr(page_module, "_template", Kept)
    yield pages
    for html in pages:
        images = _Images()
        images.feed(html)
        for alt in images.alts:
            words = alt.partition(": ")[2]
            assert re.search(r"\d|\b(no|not|nothing)\b", words), alt
