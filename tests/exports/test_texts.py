"""Texts in other people's formats: what they say is what the rows say, whatever the uris are."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

import jams
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.exports import texts
from pipeline.exports.audacity import audacity_text
from pipeline.exports.csv import csv_header, csv_lines, is_formula
from pipeline.exports.jams import jams_text
from pipeline.exports.jsonl import json_lines
from pipeline.exports.m3u import (
    entries,
    is_on_one_line,
    playlist_head,
    playlist_lines,
    playlist_uri,
)
from pipeline.exports.texts import Span, TagSource

CODES = ["cel", "vio"]
ORIGIN = TagSource("cnn-0123", {"cel": "cello", "vio": "violin, fiddle"}, "s2", "0.1.0")
HOSTILE = [
    "../../etc/passwd",
    "/music/..",
    "/a,b;c\"d'e.mp3",
    "/two\nlines\r\n.mp3",
    "/nul\0.mp3",
    "/half\udc80.mp3",
    "/" + "ä" * 300 + ".mp3",
    '=HYPERLINK("http://x")',
    "+1://x",
    "-1://x",
    "@x://",
    "\t=1",
    "＝1://x",  # noqa: RUF001
    "'quoted://x",
    "#EXTINF:1,x://y",
    " s3://b/space around ",
    "/line\u2028\u2029\x85\x0b\x1c.mp3",
    "C:\\music\\a.mp3",
    "s3://b/a.wav?endpoint_override=http://h:1&scheme=http",
    "/",
    "",
]
pytestmark = pytest.mark.filterwarnings("ignore:Passing a schema to Validator:DeprecationWarning")

uris = st.text(st.characters(exclude_categories=["Cs"]))


def row(uri="/m/a.mp3", **other):
    return {
        "uri": uri,
        "fingerprint": "blake2b:00",
        "duration_s": 12.5,
        "status": "ok",
        "reason": "ok",
        "detail": None,
        "labels": ["cel", "vio"],
        "scores": {"cel": 0.8999999761581421, "vio": 0.25},
        "peaks": {"cel": 0.95, "vio": 0.5},
        "model_id": "cnn-0123",
        "tagged_at": datetime(2026, 11, 21, 2, 15, tzinfo=UTC),
        **other,
    }


FAILED = {
    "duration_s": None,
    "status": "failed",
    "reason": "empty",
    "detail": "no samples",
    "labels": [],
    "scores": None,
    "peaks": None,
}


def loaded(text):
    jams.schema.VALIDATOR.validate(json.loads(text), jams.schema.JAMS_SCHEMA)  # as it stands
    return jams.load(io.StringIO(text), validate=True, strict=True)  # and with its namespace


def cells(rows):
    text = csv_header(CODES) + csv_lines(rows, CODES, ORIGIN)
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def test_csv():
    assert csv_lines([row()], CODES, ORIGIN) == (
        '"/m/a.mp3","ok","ok",12.500000,"cel+vio",0.900000,0.250000,"cnn-0123",'
        '2026-11-21T02:15:00.000Z,"cello; violin, fiddle","",""\r\n'
    )
    header, failed = cells([row(**FAILED)])
    assert header[:6] == ["uri", "status", "reason", "duration_s", "labels", "score_cel"]
    assert failed[1:7] == ["failed", "empty", "", "", "", ""]


def test_attributes_stand_behind_what_was_there_before_them_and_are_empty_where_a_row_has_none():
    names = ("timbral_depth", "timbral_reverb")
    rows = [row(timbral_depth=12.3456789, timbral_reverb=math.nan), row(**FAILED)]
    text = csv_header(CODES, names) + csv_lines(rows, CODES, replace(ORIGIN, attributes=names))
    header, first, failed = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == [*cells([])[0][:-3], *names, *cells([])[0][-3:]]
    assert (first[-5:-3], failed[-5:]) == (["12.345679", ""], [""] * 5)
    first, failed = map(json.loads, json_lines(rows, names).splitlines())
    assert (first["timbral_depth"], first["timbral_reverb"]) == (12.345679, None)
    assert failed["timbral_depth"] is None
    text = jams_text(rows[0], [], replace(ORIGIN, attributes=names))
    assert loaded(text).annotations[0].sandbox["timbral_depth"] == 12.345679


@given(uris)
@example("=1+1")
@example("'=1")
@example("a\r\n,\"b\0'")
def test_csv_gives_every_uri_back_and_no_cell_is_a_formula(uri):
    _, line = cells([row(uri)])
    assert len(line) == 12
    assert line[0].removeprefix("'") == uri
    assert not line[0].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert (line[0] != uri) == is_formula(uri)


@pytest.mark.parametrize("uri", ["/m/a.mp3", "s3://b/a", "http://x/=1", "/=1.mp3", "file:///x"])
def test_usual_uris_are_not_touched(uri):
    assert not is_formula(uri)
    assert playlist_uri(uri) == uri


@pytest.mark.parametrize("uri", HOSTILE)
def test_json_lines(uri):
    text = texts.to_bytes(json_lines([row(uri), row(**FAILED)])).decode()
    first, second = text.splitlines()
    said = json.loads(first)
    assert said["uri"] == uri
    assert said["labels"] == ["cel", "vio"]
    assert said["scores"] == {"cel": 0.9, "vio": 0.25}
    assert said["peaks"] == {"cel": 0.95, "vio": 0.5}
    assert said["tagged_at"] == "2026-11-21T02:15:00.000Z"
    failed = json.loads(second)
    assert failed["scores"] is failed["peaks"] is failed["duration_s"] is None
    assert (failed["labels"], failed["detail"]) == ([], "no samples")


def test_numbers_that_json_lacks_and_rows_of_earlier_versions():
    odd = row(scores={"cel": math.nan, "vio": math.inf})
    del odd["peaks"]
    said = json.loads(json_lines([odd]))
    assert said["scores"] == {"cel": None, "vio": None}
    assert said["peaks"] is None
    assert cells([odd])[1][5:7] == ["", ""]


def test_file_stems_of_the_worst():
    stems = [texts.file_stem(uri) for uri in HOSTILE]
    assert len(set(stems)) == len(HOSTILE)
    for stem in stems:
        assert re.fullmatch(r"[\w.-]+-[0-9a-f]{16}", stem)
        assert stem[0] not in "-."
        assert len(stem.encode()) <= 117
    assert texts.file_stem("/x/Trio No. 1.mp3").startswith("Trio_No._1-")
    assert texts.file_stem("/x/आवाज़.mp3").startswith("आवाज़-")
    assert texts.file_stem("/").startswith("track-")


@given(st.text())
def test_file_stems(uri):
    stem = texts.file_stem(uri)
    assert not set(stem) & set('/\\:*?"<>|\0\n\r ')
    assert stem == texts.file_stem(uri)
    assert stem.encode() and len(stem.encode()) <= 117


def test_a_stem_is_of_the_whole_uri():
    assert texts.file_stem("/disc 1/01.mp3") != texts.file_stem("/disc 2/01.mp3")
    assert texts.file_stem("/a.mp3") != texts.file_stem("/a.wav")


def test_spans():
    assert texts.spans(row(), []) == [Span(0.0, 12.5, "cel", 0.9), Span(0.0, 12.5, "vio", 0.25)]
    assert texts.spans(row(labels=[]), []) == []
    found = [
        {"code": "vio", "start_s": 4.0, "end_s": 6.0, "score": 0.5},
        {"code": "cel", "start_s": 0.0, "end_s": 2.0, "score": 0.75},
    ]
    assert [span.code for span in texts.spans(row(), found)] == ["cel", "vio"]


def test_audacity():
    spans = [Span(0.5, 2.0, "vio", 0.5), Span(1.0, 3.25, "org", 0.5)]
    origin = TagSource("m", {"vio": "violin\tand\nfiddle"}, "s2", "0")
    assert audacity_text(spans, origin) == (
        "0.500000\t2.000000\tviolin and fiddle\n1.000000\t3.250000\torg\n"
    )
    assert audacity_text([], origin) == ""


@pytest.mark.parametrize("uri", [uri for uri in HOSTILE if "\udc80" not in uri])
def test_jams(uri):
    found = [{"code": "vio", "start_s": 4.0, "end_s": 6.5, "score": 0.5}]
    text = jams_text(row(uri), texts.spans(row(uri), found), ORIGIN)
    jam = loaded(text)
    assert jam.file_metadata.duration == 12.5
    assert jam.file_metadata.identifiers.uri == uri
    assert jam.file_metadata.identifiers.fingerprint == "blake2b:00"
    (annotation,) = jam.search(namespace="tag_open")
    assert list(annotation.data) == [
        (0.0, 12.5, "cello", 0.9),  # a label that no window alone is sure of
        (4.0, 2.5, "violin, fiddle", 0.5),
    ]
    about = annotation.annotation_metadata
    assert (about.annotator.model_id, about.version) == ("cnn-0123", "0.1.0")
    assert about.data_source == "automatic"
    assert annotation.sandbox.scores == {"cel": 0.9, "vio": 0.25}


def test_jams_without_labels():
    text = jams_text(row(labels=[], fingerprint=None), [], ORIGIN)
    jam = loaded(text)
    assert len(jam.annotations) == 1
    assert list(jam.annotations[0].data) == []


def test_what_is_no_jams_is_refused():
    text = jams_text(row(), [Span(0.0, 1.0, "cel", 0.5)], ORIGIN)
    with pytest.raises(Exception, match="is not valid"):
        loaded(text.replace('"time": 0.0, "duration": 1.0', '"duration": 1.0'))


def test_playlist():
    table = entries([row(), row("/m/b.mp3", labels=[]), row("/m/c.mp3", labels=["vio"])])
    assert table.column("code").to_pylist() == ["cel", "vio", "vio"]
    text = playlist_head("cello") + playlist_lines(table.slice(0, 1).to_pylist())
    assert text == "#EXTM3U\n#EXTENC:UTF-8\n#PLAYLIST:cello\n#EXTINF:12,a\n/m/a.mp3\n"
    entry = {"uri": "s3://b/x y.mp3", "duration_s": None}
    assert playlist_lines([entry]) == "#EXTINF:-1,x y\ns3://b/x y.mp3\n"


@given(uris)
@example("/a\n#EXTINF:1,b\n/c")
@example("#a")
@example(" /a ")
@example("/100%\u2028")
def test_an_entry_has_two_lines(uri):
    text = playlist_lines([{"uri": uri, "duration_s": 1.0}])
    head, line = text.splitlines() if uri else (*text.splitlines(), "")[:2]
    assert head.startswith("#EXTINF:1,")
    assert not line.startswith("#")
    assert line == line.strip()
    assert (line == uri) == is_on_one_line(uri)
    if uri.startswith("/") and line != uri:
        assert urlsplit(line).scheme == "file"
        assert unquote(line.removeprefix("file://")) == uri
