"""Corrections from elsewhere: a csv, Label Studio; and what they do to exports and figures."""

from __future__ import annotations

import csv
import getpass
import json

import pytest

from pipeline import CorrectConfig, ExportConfig, export_tags, take_in
from pipeline.browsing.author import author_of
from pipeline.browsing.taken_in import TakenIn
from pipeline.errors import UsageError
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.store.folder import Folder
from pipeline.store.tags.track_facts.corrections import read_corrections
from tests.browsing.catalogues import make_catalogue


@pytest.fixture
def tags(tmp_path):
    return make_catalogue(tmp_path)


def said(tags, text: str) -> TakenIn:
    file = tags.parent / "said.csv"
    file.write_text(text)
    return take_in(CorrectConfig(str(tags), str(file), author="ben"))


def labels(tags) -> dict[str, list[str]]:
    rows = TaggedCatalogue.open(str(tags)).find(columns=["uri", "labels"]).to_pylist()
    return {row["uri"].rpartition("/")[2]: row["labels"] for row in rows}


def test_a_csv_is_taken_in_once_whatever_folder_it_counts_from(tags):
    text = "uri,code,verdict,author\nmusic/a.wav,voi,present,\nmusic/a.wav,cel,absent,eva\n"
    assert said(tags, text) == TakenIn(2, 0, ())
    assert labels(tags)["a.wav"] == ["voi"]
    rows = read_corrections(Folder(str(tags))).rows.to_pylist()
    assert {(row["code"], row["author"], row["was_labelled"]) for row in rows} == {
        ("voi", "ben", False), ("cel", "eva", True)
    }  # fmt: skip
    assert said(tags, text) == TakenIn(0, 2, ())
    withdrawn = "uri,code,verdict\nmusic/a.wav,voi,withdrawn\n"
    assert said(tags, withdrawn) == TakenIn(1, 0, ()) and said(tags, withdrawn) == TakenIn(0, 1, ())


def test_who_has_no_name_here_is_asked_for_one(monkeypatch):
    def unknown():
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert author_of("ann") == "ann"
    with pytest.raises(UsageError, match="--author"):
        author_of(None)


def test_what_is_said_of_other_tracks_is_counted(tags):
    found = said(tags, "uri,code,verdict\nmusic/x.wav,cel,present\nmusic/a.wav,voi,present\n")
    assert (found.n_added, len(found.unknown_uris)) == (1, 1)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("music/a.wav,tru,present,,", "said.csv:3: found code 'tru'"),
        ("music/a.wav,cel,perhaps,,", "said.csv:3: found verdict 'perhaps'"),
        ("music/a.wav,cel,present,one,2", "said.csv:3: found a span"),
        ("music/a.wav,cel,present,3,2", "a span from 3.0 to 2.0"),
    ],
)
def test_one_bad_row_and_nothing_is_taken(tags, line, told):
    with pytest.raises(UsageError, match=told):
        said(tags, f"uri,code,verdict,start_s,end_s\nmusic/a.wav,voi,present,,\n{line}\n")
    assert not read_corrections(Folder(str(tags)))


def test_label_studio_goes_out_and_comes_back(tags, tmp_path):
    export_tags(ExportConfig(str(tags), "label-studio", str(tmp_path / "out")))
    tasks = json.loads((tmp_path / "out" / "label-studio.json").read_text())
    task = next(one for one in tasks if one["data"]["uri"].endswith("a.wav"))
    chosen = {"type": "choices", "value": {"choices": ["voi"]}}
    annotation = {
        "result": [chosen],
        "completed_by": {"email": "eva@example.org"},
        "updated_at": "2026-11-30T10:00:00Z",
    }
    file = tmp_path / "project.json"
    file.write_text(json.dumps([task | {"annotations": [annotation]}]))
    assert take_in(CorrectConfig(str(tags), str(file))).n_added == 3
    assert labels(tags)["a.wav"] == ["voi"]


def test_exports_have_the_corrected_labels_and_say_whose_they_are(tags, tmp_path):
    said(tags, "uri,code,verdict\nmusic/a.wav,voi,present\nmusic/a.wav,cel,absent\n")
    for name in ("csv", "jsonl", "m3u"):
        export_tags(ExportConfig(str(tags), name, str(tmp_path / "out")))
    with (tmp_path / "out" / "tags.csv").open(newline="") as file:
        row = next(one for one in csv.DictReader(file) if one["uri"].endswith("/a.wav"))
    assert (row["labels"], row["confirmed"], row["rejected"]) == ("voi", "voi", "cel")
    lines = (tmp_path / "out" / "tags.jsonl").read_text().splitlines()
    found = next(one for one in map(json.loads, lines) if one["uri"].endswith("/a.wav"))
    assert (found["labels"], found["confirmed"], found["rejected"]) == (["voi"], ["voi"], ["cel"])
    assert "a.wav" in (tmp_path / "out" / "voi.m3u8").read_text()
    assert "a.wav" not in (tmp_path / "out" / "cel.m3u8").read_text()


def test_intervals_are_exported_as_corrected(tags, tmp_path):
    header = "uri,code,verdict,start_s,end_s\n"
    said(tags, f"{header}music/a.wav,cel,absent,3,4\nmusic/a.wav,voi,present,0,1.5\n")
    export_tags(ExportConfig(str(tags), "audacity", str(tmp_path / "out")))
    lines = (tmp_path / "out" / "a.wav.txt").read_text().splitlines()
    spans = [(*map(float, line.split("\t")[:2]), line.split("\t")[2]) for line in lines]
    assert spans == [(0.0, 1.5, "human voice"), (2.0, 3.0, "cello")]
