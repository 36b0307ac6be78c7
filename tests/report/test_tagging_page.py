"""The page of a tagging run: odd runs give whole pages, what is unusual stands on top."""

from __future__ import annotations

import copy
from datetime import datetime

import numpy as np
import pytest

from pipeline.evaluation.runs.attribute_figures import AttributeFigures
from pipeline.evaluation.statistics.drift import class_drift
from pipeline.report.listening import Example, data_uri
from pipeline.report.page import Points, Sounds, Table, render_page
from pipeline.report.pages import tagging_page as pages
from pipeline.report.picture import Picture
from pipeline.report.tagging.alerts import alerts
from pipeline.report.tagging.failures import CURES, REASONS
from schemas.tagging_run import TaggingRun
from tests.report.test_page import Reader, read

NAMES = {"cel": "cello", "pia": "<piano>", "voi": "human $voice"}
EVIL = "s3://b/<script>alert('x')</script>\" onerror=alert(1) &amp;\udce9\u202e.mp3"
NEW = "New in this run, by instrument"
PIXEL = Picture("Log-mel and scores", "From 0:00 of the track on.", "data:image/svg+xml;base64,x")


def histogram(low: float, high: float, n_tracks: int) -> list[int]:
    return np.histogram(np.linspace(low, high, n_tracks), 20, (0, 1))[0].tolist()


@pytest.fixture
def run() -> dict:
    """Give run.json of a night like any other."""
    return {
        "identity": {
            "model_id": "resnet10t-0123456789ab",
            "aggregation": "s2",
            "thresholds": dict.fromkeys(NAMES, 0.5),
            "gate": 0.3,
            "window_s": 1.0,
            "hop_s": 0.5,
            "feature_spec": {},
        },
        "complete": True,
        "run_id": "20261121T021500Z",
        "started_at": "2026-11-21T02:15:00+00:00",
        "catalog": "/music",
        "tracks": 5000,
        "tagged": 400,
        "failed": 8,
        "skipped": 4592,
        "unchanged": 4580,
        "same_content": 12,
        "touched": 0,
        "changed": 6,
        "retried": 2,
        "gone": 30,
        "failed_in_all": 50,
        "audio_s": 90_000.0,
        "seconds": 300.0,
        "stages": {
            "read_s": 20.0,
            "decode_s": 300.0,
            "features_s": 90.0,
            "model_s": 180.0,
            "write_s": 10.0,
        },
        "reasons": {"not_audio": 5, "incomplete": 3},
        "labels": {"cel": 100, "pia": 200, "voi": 40},
        "labels_in_all": {"cel": 1100, "pia": 2200, "voi": 440},
        "unlabelled": 60,
        "histograms": {code: histogram(0, 1, 400) for code in NAMES},
        "memory": {"driver_peak_mib": 812.4, "worker_peak_mib": None},
        "engine": {"name": "torch", "precision": "f32", "note": "2 threads"},
        "class_names": NAMES,
        "provenance": {"git_revision": "abc"},
    }


@pytest.fixture
def before(run) -> dict:
    """Give the night before, which was like it."""
    same = {"run_id": "20261120T021500Z", "started_at": "2026-11-20T02:15:00+00:00", "tracks": 4590}
    in_all = {code: n - run["labels"][code] for code, n in run["labels_in_all"].items()}
    return copy.deepcopy(run) | same | {"labels_in_all": in_all}


NOTHING = {
    "tagged": 0,
    "failed": 0,
    "skipped": 5000,
    "unchanged": 5000,
    "same_content": 0,
    "touched": 0,
    "changed": 0,
    "retried": 0,
    "audio_s": 0.0,
    "stages": {},
    "reasons": {},
    "labels": {},
    "unlabelled": 0,
    "histograms": {},
    "engine": {},
    "memory": {},
}
ALL_FAILED = NOTHING | {"failed": 70, "reasons": {"unreadable": 70}, "skipped": 0, "unchanged": 0}


def figures(name: str = "timbral_depth", n: int = 7) -> AttributeFigures:
    ends = [(61.27, EVIL), (60.0, "/b.mp3"), (50.0, "/c.mp3")][: min(n, 3)]
    counts = [n, *[0] * 24]
    mean, deviation = (55.04, 2.5) if n else (float("nan"), float("nan"))
    lowest = [(1.04, "/a.mp3")][:n]
    return AttributeFigures(name, "<deep>", n, mean, deviation, (0, 100), counts, lowest, ends)


def failure(uri: str = EVIL, detail: str | None = "Invalid <data>") -> dict:
    return {"uri": uri, "reason": "not_audio", "detail": detail, "attempts": 2}


def example(title: str = "Cello: the highest score, 0.98", uri: str = "/a.mp3") -> Example:
    return Example(title, uri, "Labels: cello.", ("cel",), data_uri(b"OggS", "audio/ogg"), PIXEL)


def whole(page) -> Reader:
    """Render a page, and see that it is whole and asks nothing of the outside."""
    html = render_page(page)
    reader = read(html)
    assert "<script" not in html
    assert all(uri.startswith("data:") for uri in reader.references)
    for block in page.blocks:
        if isinstance(block, Table):
            assert all(len(row) == len(block.columns) for row in block.rows), block.title
            assert set(block.numbers) <= set(block.columns)
    return reader


def block_of(page, title: str):
    (found,) = [block for block in page.blocks if block.title == title]
    return found


def records(run: dict, before: dict | None) -> tuple[TaggingRun, TaggingRun | None]:
    return TaggingRun.from_dict(run), before and TaggingRun.from_dict(before)


def tagging_page(run: dict, before: dict | None, **given):
    return pages.tagging_page(*records(run, before), **given)


def points(run: dict, before: dict | None) -> list[str]:
    now, last = records(run, before)
    return alerts(now, last, class_drift(now, last))


def test_a_night_like_any_other(run, before, svg_of):
    page = tagging_page(run, before, failures=[failure()], examples=[example()])
    reader = whole(page)
    first = page.blocks[0]
    line = (
        "50 of 5,000 tracks have failed, 8 of them in this run (see Failed tracks); nothing else "
        "is unusual."
    )
    assert first == Points("What needs attention first", [line], calm=True)
    assert {tile.label: tile.value for tile in page.tiles} == {
        "tracks": 5000,
        "new": 400,  # 408 were tried, of which 6 were other bytes and 2 had failed before
        "tagged": 400,
        "failed": 8,
        "unchanged": 4580,
        "renamed": 12,
        "audio": "25 h",
        "throughput": "300",
        "wall time": "5.0 min",
    }
    for picture in page.blocks:
        if isinstance(picture, Picture):
            svg_of(picture)
    assert {"audio", "img"} <= {tag for tag, _ in reader.tags}
    assert page.provenance["last run"] == "20261120T021500Z"
    assert page.provenance["thresholds"] == "0.5 for all"


def test_tables_hold_both_runs_and_their_difference(run, before):
    before["labels"]["pia"], before["gone"] = 150, 21
    page = tagging_page(run, before, failures=[], examples=[])
    changes = {row[0]: row[1:] for row in block_of(page, "What is new, and what has changed").rows}
    assert changes["in the catalogue"] == (5000, 4590, "+410")
    assert changes["new"] == (400, 400, "0")
    assert changes["gone from the catalogue, tags kept"] == (30, 21, "+9")
    instruments = {row[0]: row[1:] for row in block_of(page, "Instruments").rows}
    assert instruments["pia"] == (
        *("<piano>", 200, 0.5, 150, 0.375, "+12.5"),
        *(2200, 2000, "+200"),
    )
    assert instruments[None][:3] == ("no label", 60, 0.15)
    reasons = block_of(page, "Failures by reason")
    assert [row[0] for row in reasons.rows] == ["not_audio", "incomplete"]
    first = dict(zip(reasons.columns, reasons.rows[0], strict=True))
    assert (first["tracks"], first["share"], first["last run"]) == (5, 5 / 8, 5)


def test_what_one_would_act_on_comes_first(run, before):
    gone = {"marked_gone": 30, "returned": 2, "pruned": 0, "duplicates": 3}
    page = tagging_page(run | gone, before, failures=[failure()], examples=[])
    assert [block.title for block in page.blocks][:6] == [
        "What needs attention first",
        "New in this run, by instrument",
        "Failures by reason",
        "Tracks that are gone",
        "Drift by class",
        "Failed tracks",
    ]
    rows = block_of(page, "Tracks that are gone").rows
    assert [row[1] for row in rows] == [30, 2, 3]
    assert "--prune gone" in rows[0][2] and "manifest" in rows[2][2]
    plain = tagging_page(run, before, failures=[], examples=[])
    assert "Tracks that are gone" not in [block.title for block in plain.blocks]


def test_new_tracks_stand_by_instrument_with_their_drift_and_filter(run, before):
    before["labels"]["pia"] = 150
    table = block_of(tagging_page(run, before, failures=[], examples=[]), NEW)
    began = 'tagged_at >= "2026-11-21T02:15:00"'
    assert [tuple(row) for row in table.rows] == [
        ("<piano>", 200, 0.5, 0.375, "stable", f"labels.pia and {began}"),
        ("cello", 100, 0.25, 0.25, "stable", f"labels.cel and {began}"),
        ("human $voice", 40, 0.1, 0.1, "stable", f"labels.voi and {began}"),
        ("no label", 60, 0.15, 0.15, None, f"status = ok and n_labels = 0 and {began}"),
    ]
    first = block_of(tagging_page(run, None, failures=[], examples=[]), NEW)
    assert first.columns == ["instrument", "tracks", "share", "filter"]
    quiet = block_of(tagging_page(run | NOTHING, before, failures=[], examples=[]), NEW)
    assert not quiet.rows and quiet.note == "This run had nothing to tag."


def test_each_reason_says_what_to_do_and_has_a_filter(run, before):
    assert CURES.keys() == REASONS.keys()
    table = block_of(tagging_page(run, before, failures=[], examples=[]), "Failures by reason")
    row = dict(zip(table.columns, table.rows[1], strict=True))
    assert row["filter"] == "status = failed and reason = incomplete"
    assert "copy or fetch the file again" in row["what to do"]


def test_the_command_that_opens_the_browser_is_text_to_paste(run, before):
    given = {"failures": [failure()], "examples": [], "tags_uri": "/srv/<b>'s tags"}
    reader = whole(tagging_page(run, before, **given))
    (command,) = [text for text in reader.texts if text.endswith("--where 'status = failed'")]
    assert command.startswith("python -m jobs.browse --tags '/srv/<b>'")
    assert "b" not in [tag for tag, _ in reader.tags]
    codes = [text for text in reader.texts if text.startswith("status = failed and reason")]
    assert len(codes) == 2
    without = whole(tagging_page(run, before, failures=[], examples=[]))
    assert not [text for text in without.texts if "jobs.browse" in text]


def test_pictures_of_a_run_say_its_numbers(run, before):
    attributes = [figures(), figures("timbral_reverb", 0)]
    page = tagging_page(run, before, failures=[], examples=[], attributes=attributes)
    alts = {block.title: block.alt for block in page.blocks if isinstance(block, Picture)}
    assert "<piano> (pia): 50" in alts["Instruments, drawn"]
    assert "in all: cello (cel): 1,100" in alts["Instruments, drawn"]
    assert "cello (cel), stable · PSI 0.00" in alts["Scores by class"]
    assert alts["Attributes, drawn"].endswith(
        "timbral_depth: 7 tracks, mean 55.0, deviation 2.5. timbral_reverb: no values"
    )


def test_what_the_listing_left_out_is_a_table(run, before):
    def left_out(one: dict, last: dict | None) -> list:
        page = tagging_page(one, last, failures=[], examples=[])
        return [block for block in page.blocks if block.title == "Left out"]

    assert left_out(run, before) == []  # an older run did not count
    run["left_out"] = {".jpg": 1200, "none": 2, "other": 1}
    expected = [(".jpg", 1200, 0), ("without a suffix", 2, 0), ("of other suffixes", 1, 0)]
    assert [tuple(row) for row in left_out(run, before)[0].rows] == expected
    before["left_out"] = {".jpg": 7}
    assert left_out(run, before)[0].rows[0] == (".jpg", 1200, 7)
    assert left_out(run, None)[0].rows[0] == (".jpg", 1200, None)


def test_nothing_unusual_stands_above_no_failure(run, before):
    def first(now, last):
        return tagging_page(now, last, failures=[], examples=[]).blocks[0].points

    well = {"failed": 0, "failed_in_all": 0, "reasons": {}}
    assert first(run | well, before | well) == ["Nothing unusual."]
    for last, words in ((before, "nothing to tag"), (None, "this is the first run")):
        (line,) = first(run | NOTHING | {"failed_in_all": 3}, last)
        assert line.startswith("3 of 5,000 tracks have failed (see Failed tracks); nothing else")
        assert words in line


def test_after_a_quiet_night_the_page_has_the_catalogue(run, before):
    quiet = run | NOTHING | {"labels_of_run": dict.fromkeys(NAMES, 0), "labels": {}}
    failures = [failure(f"/{k}.mp3") | {"tagged_at": datetime(2026, 11, k, 3)} for k in (1, 2)]
    reasons = {"not_audio": 48, "incomplete": 2}
    page = tagging_page(
        quiet, before, failures=failures, reasons_in_all=reasons, examples=[example()]
    )
    whole(page)
    instruments = block_of(page, "Instruments")
    assert "this run" not in instruments.columns
    in_all = instruments.columns.index("in all")
    assert [row[in_all] for row in instruments.rows] == [1100, 2200, 440, None]
    listed = block_of(page, "Failed tracks")
    assert [row[0] for row in listed.rows] == ["/1.mp3", "/2.mp3"]
    assert [row[listed.columns.index("last tried")] for row in listed.rows] == [
        *("2026-11-01", "2026-11-02"),
    ]
    assert listed.note == "The first 2 of 50."
    by_reason = block_of(page, "Failures by reason")
    in_all = by_reason.columns.index("in the catalogue")
    assert [(row[0], row[in_all]) for row in by_reason.rows] == list(reasons.items())


def test_labels_of_a_run_are_its_own_whatever_the_catalogue_has(run, before):
    """Files of this version have the catalogue's in `labels`, older ones the run's own."""
    new = run | {"labels_of_run": run["labels"], "labels": run["labels_in_all"]}
    tables = [
        block_of(tagging_page(now, before, failures=[], examples=[]), "Instruments").rows
        for now in (run, new)
    ]
    assert tables[0] == tables[1]
    assert points(new, before) == points(run, before) == []


def test_the_slowest_stage_is_named(run, before):
    table = block_of(tagging_page(run, before, failures=[], examples=[]), "Where the time went")
    assert "The slowest stage is decoding." in table.note
    assert "driver peak 812 MiB" in table.note
    assert "worker" not in table.note.partition("Memory")[2]
    assert table.rows[1] == ("decoding", "5.0 min", 0.5, 12.0, 12.0)


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("changes", [{}, NOTHING, ALL_FAILED])
def test_odd_runs_give_whole_pages(run, before, svg_of, changes, is_first):
    now = run | changes
    page = tagging_page(
        now, None if is_first else before, failures=[failure()] * now["failed"], examples=[]
    )
    whole(page)
    for picture in page.blocks:
        if isinstance(picture, Picture):
            svg_of(picture)
    assert len(block_of(page, "Failed tracks").rows) == min(50, now["failed"])


def test_after_a_run_that_heard_nothing_there_is_nothing_to_compare(run, before):
    assert points(run, before | NOTHING) == []
    whole(tagging_page(run, before | NOTHING, failures=[], examples=[]))


def test_words_of_odd_runs(run, before):
    first = tagging_page(run, None, failures=[], examples=[])
    assert "this is the first run" in first.blocks[0].points[0]
    tables = [block for block in first.blocks if isinstance(block, Table)]
    assert "Drift by class" not in [table.title for table in tables]
    assert not [name for table in tables for name in table.columns if "last run" in name]
    assert first.provenance["last run"] == "none"
    nothing = tagging_page(run | NOTHING, before, failures=[], examples=[])
    assert "nothing to tag" in nothing.blocks[0].points[0]
    assert nothing.lead == (
        "Nothing new: 4,950 of 5,000 tracks of /music have their tags, 50 have failed."
    )
    moved = NOTHING | {"failed_in_all": 0, "same_content": 1000}
    assert tagging_page(run | moved, before, failures=[], examples=[]).lead == (
        "Nothing new: all 5,000 tracks of /music have their tags; 1,000 were renamed, copied, "
        "touched or retitled."
    )
    failed = tagging_page(run | ALL_FAILED, before, failures=[], examples=[])
    assert not failed.blocks[0].calm
    assert failed.blocks[0].points == [
        "Every track that was tried has failed: 70. Most often: unreadable (the file cannot be "
        "opened)."
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"failed": 60, "reasons": {"crashed": 60}}, "have failed, 2.0% last time. Most often: cr"),
        ({"unlabelled": 400}, "None of the 400 tracks tagged got a label"),
        ({"unlabelled": 130}, "32.5% of the tracks tagged got no label, 15.0% last time"),
        ({"gone": 2000}, "1,958 of the 4,590 tracks of the last run are gone"),
        (
            {"histograms": {code: histogram(0.4, 1, 400) for code in NAMES}},
            "The scores lie otherwise than last time: cello (PSI",
        ),
        ({"labels": {"cel": 100, "pia": 80, "voi": 40}}, "<piano> (50.0%, now 20.0%)"),
        ({"seconds": 700.0}, "2.3 times as long as last time; what grew most is reading"),
        ({"complete": False}, "has not ended"),
        ({"catalog": "/other"}, "another catalogue: /music"),
        ({"engine": {"name": "openvino", "precision": "int8"}}, "by openvino int8, last time by"),
    ],
)
def test_what_is_unusual_is_said(run, before, changes, words):
    assert points(run, before) == []
    (point,) = points(run | changes, before)
    assert words in point


@pytest.mark.parametrize(
    "changes",
    [
        {"failed": 15},  # not yet twice as many
        {"unlabelled": 90},
        {"gone": 480},
        {"gone": 1030, "same_content": 1000},  # a folder that was renamed
        {"labels": {"cel": 90, "pia": 190, "voi": 48}},
        {"seconds": 400.0},
        {"seconds": 3000.0, "audio_s": 500.0},  # mostly start-up
        {"engine": {}},
    ],
)
def test_what_is_usual_is_not(run, before, changes):
    assert points(run | changes, before) == []


def test_touched_files_are_not_new_and_have_no_other_bytes(run, before):
    touched = {"changed": 1000, "same_content": 1000, "touched": 1000, "retried": 0, "failed": 0}
    page = tagging_page(run | touched | {"tagged": 300}, before, failures=[], examples=[])
    tiles = {tile.label: tile.value for tile in page.tiles}
    assert (tiles["new"], tiles["renamed"]) == (300, 0)
    rows = {row[0]: row[1] for row in block_of(page, "What is new, and what has changed").rows}
    assert rows["changed: a known name, other audio"] == 0
    assert rows["touched, retitled or copied over: a known name, known audio"] == 1000


def test_few_failures_among_few_are_no_alarm(run, before):
    few = {"tagged": 10, "failed": 1, "histograms": {}, "labels": {}, "unlabelled": 1}
    assert points(run | few, before) == []


def test_a_stage_that_grew_is_named(run, before):
    run["stages"]["model_s"], run["seconds"] = 900.0, 900.0
    (point,) = points(run, before)
    assert point.endswith("what grew most is the model.")


def test_hostile_words_are_only_words(run, before):
    run |= {"catalog": EVIL, "reasons": {EVIL: 8}, "class_names": dict.fromkeys(NAMES, EVIL[:40])}
    page = tagging_page(
        run,
        before,
        failures=[failure(), failure(detail=None), failure(detail="x" * 10_000)],
        examples=[example(title=EVIL, uri=EVIL)],
        notes=[EVIL],
    )
    reader = whole(page)
    assert {tag for tag, _ in reader.tags}.isdisjoint({"script", "iframe", "object", "link"})
    assert not any(name.startswith("on") for _, attrs in reader.tags for name in attrs)
    assert max(len(text) for text in reader.texts if "xxx" in text) == 302


def test_a_title_in_a_picture_may_be_anything(run, before, svg_of):
    names = {"cel": "$\\frac{", "pia": "", "voi": "Ω" * 50}
    page = tagging_page(run | {"class_names": names}, before, failures=[], examples=[])
    for picture in page.blocks:
        if isinstance(picture, Picture):
            svg_of(picture)


def test_sounds_can_be_heard_under_the_page_s_own_policy(run):
    page = tagging_page(run, None, failures=[], examples=[example(), example()], notes=["One is."])
    reader = whole(page)
    (policy,) = [a["content"] for t, a in reader.tags if t == "meta" and "http-equiv" in a]
    assert "media-src data:" in policy
    assert policy.startswith("default-src 'none'")
    audio = [attrs for tag, attrs in reader.tags if tag == "audio"]
    assert [attrs["src"] for attrs in audio] == ["data:audio/ogg;base64,T2dnUw=="] * 2
    assert all("controls" in attrs and "autoplay" not in attrs for attrs in audio)
    (sounds,) = [block for block in page.blocks if isinstance(block, Sounds)]
    assert sounds.note.endswith("One is.")


def test_many_classes(run, svg_of):
    names = {f"c{k}": f"class {k}" for k in range(40)}
    changes = {"class_names": names, "labels": {}, "labels_in_all": {}, "histograms": {}}
    page = tagging_page(run | changes, None, failures=[], examples=[])
    whole(page)
    for picture in page.blocks:
        if isinstance(picture, Picture):
            svg_of(picture)


def test_attributes_have_numbers_a_picture_and_their_ends(run, before):
    found = [figures(), figures("timbral_reverb", 0)]
    page = tagging_page(run, before, failures=[], examples=[], attributes=found)
    whole(page)
    rows = block_of(page, "Attributes").rows
    assert rows[0][3:] == (7, "55.0", "2.5") and rows[1][3:] == (0, None, None)
    ends = block_of(page, "Highest and lowest tracks by attribute").rows
    assert ends[0] == ("timbral_depth", "61.3", EVIL, "1.0", "/a.mp3")
    assert ends[1] == ("timbral_depth", "60.0", "/b.mp3", None, None)
    titles = [block.title for block in page.blocks]
    assert titles.index("Attributes, drawn") == titles.index("Attributes") + 1
    plain = tagging_page(run, before, failures=[], examples=[])
    assert [title for title in titles if "ttribute" not in title] == [
        block.title for block in plain.blocks
    ]


def test_who_is_tagged_again_for_attributes_is_not_new(run, before):
    run |= {"undescribed": 300, "attributes": ["timbral"]}
    run["stages"]["attributes_s"] = 900.0
    page = tagging_page(run, before, failures=[], examples=[])
    rows = {row[0]: row[1:] for row in block_of(page, "What is new, and what has changed").rows}
    assert rows["new"][0] == 408 - 6 - 2 - 300
    assert rows["tagged again: had no attributes"] == (300, 0, "+300")
    stages = block_of(page, "Where the time went")
    assert "attributes" in [row[0] for row in stages.rows]
    assert stages.note.startswith("The slowest stage is attributes.")
    plain = tagging_page(before, None, failures=[], examples=[])
    assert "attributes" not in [row[0] for row in block_of(plain, "Where the time went").rows]
