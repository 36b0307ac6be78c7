"""Reports: a dataset counted by hand, invariants, and whole pages for odd inputs."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import SpecMismatch
from pipeline.evaluation.runs.summary import cooccurrence_counts, labels_per_clip
from pipeline.evaluation.statistics.metrics import multilabel_metrics
from pipeline.report.history import history_text
from pipeline.report.page import Table, render_page
from pipeline.report.picture import Picture
from pipeline.store.matrices import label_matrix
from schemas.ledger import LEDGER
from schemas.segments import SEGMENTS
from tests.report.records import build_report, evaluation_report

WHERE_FROM = {"command": "build --csv <balanced.csv>"}


def titles(page):
    return [block.title for block in page.blocks]


def evaluate(n_items, class_names, **given):
    rng = np.random.default_rng(0)
    truth = rng.random((n_items, len(class_names))) < 0.4
    scores = rng.random(truth.shape).astype(np.float32)
    codes = list(class_names)
    options = {"history": [], "build": None, "provenance": WHERE_FROM} | given
    return evaluation_report(
        multilabel_metrics(truth, scores, thresholds=0.5, class_codes=codes),
        truth=truth,
        scores=scores,
        class_codes=codes,
        class_names=class_names,
        **options,
    )


def test_build_by_hand(segments, ledger, class_names):
    report, _ = build_report(segments, ledger, class_names=class_names, provenance=WHERE_FROM)
    expected = {
        "wanted": 7,
        "got": 3,
        "not_got": 4,
        "untried": 1,
        "audio_s": 30.0,
        "bytes_fetched": 3000,
        "seconds": 3.0,
        "attempts": 12,
        "splits": {
            "train": {"wanted": 3, "got": 2},
            "val": {"wanted": 2, "got": 1},
            "test": {"wanted": 2, "got": 0},
        },
        "labels_per_clip": {"wanted": [0, 5, 2], "got": [0, 2, 1]},
        "cooccurrence": [[2, 1, 0], [1, 1, 0], [0, 0, 1]],
        "outcomes": [
            {"outcome": "ok", "reason": "ok", "n": 3},
            {"outcome": "unavailable", "reason": "removed", "n": 2},
            {"outcome": "blocked", "reason": "forbidden", "n": 1},
        ],
        "provenance": WHERE_FROM,
    }
    assert {key: report[key] for key in expected} == expected
    assert report["classes"][0] == {
        "code": "cel",
        "name": "cello",
        "wanted": {"train": 2, "val": 1, "test": 0},
        "got": {"train": 2, "val": 0, "test": 0},
        "unknown": {key: {"train": 0, "val": 0, "test": 0} for key in ("wanted", "got")},
    }
    assert [row["segment_id"] for row in report["failed"]] == ["c_0", "e_0", "f_0"]
    assert report["failed"][2] == {
        "segment_id": "f_0",
        "outcome": "blocked",
        "reason": "forbidden",
        "attempts": 2,
        "http_status": 403,
        "detail": None,
    }


def test_build_page_shows_it_all(segments, ledger, class_names, svg_of):
    report, page = build_report(segments, ledger, class_names=class_names, provenance=WHERE_FROM)
    json.dumps(report, allow_nan=False)
    for picture in (block for block in page.blocks if isinstance(block, Picture)):
        svg_of(picture)
    html = render_page(page)
    assert "<script" not in html
    assert "alert(&#39;gone&#39;)" in html
    assert "1 segments are untried" in html
    assert "&lt;balanced.csv&gt;" in html


def test_rows_may_come_in_any_order_and_in_chunks(segments, ledger, class_names):
    whole, _ = build_report(segments, ledger, class_names=class_names, provenance={})
    pieces = pa.concat_tables([segments.slice(i, 1) for i in reversed(range(7))])
    parts, _ = build_report(
        pieces, ledger.take(list(range(6))[::-1]), class_names=class_names, provenance={}
    )
    failed = [sorted(row["segment_id"] for row in r.pop("failed")) for r in (whole, parts)]
    assert failed[0] == failed[1]
    assert whole == parts


def test_strange_ledger_rows_are_not_got(segments, ledger, class_names):
    report, _ = build_report(segments.slice(0, 1), ledger, class_names=class_names, provenance={})
    assert (report["wanted"], report["got"], report["not_got"]) == (1, 1, 0)


def test_only_the_first_failures_are_shown(ledger, segments, class_names):
    many = pa.concat_tables([ledger] * 40)
    report, page = build_report(segments, many, class_names=class_names, provenance={})
    (failed,) = [b for b in page.blocks if isinstance(b, Table) and "message" in b.columns]
    assert len(report["failed"]) == len(failed.rows) == 50
    assert failed.note == "The first 50 of 120."


def test_a_class_outside_the_vocabulary_is_refused(segments, ledger):
    with pytest.raises(SpecMismatch, match="voi"):
        build_report(segments, ledger, class_names={"cel": "cello", "pia": "piano"}, provenance={})


def test_nothing_wanted(class_names, svg_of):
    report, page = build_report(
        SEGMENTS.empty_table(), LEDGER.empty_table(), class_names=class_names, provenance={}
    )
    assert report["wanted"] == report["got"] == report["not_got"] == 0
    json.dumps(report, allow_nan=False)
    for picture in (block for block in page.blocks if isinstance(block, Picture)):
        svg_of(picture)
    render_page(page)


def test_label_matrix_and_counts():
    labels = label_matrix(pa.chunked_array([[["b", "a"], []], [["b"]]]), ["a", "b", "c"])
    assert labels.tolist() == [[True, True, False], [False, False, False], [False, True, False]]
    part = pa.chunked_array([pa.array([["c"], ["b", "a"], []])[1:]])
    assert label_matrix(part, ["a", "b", "c"]).tolist() == labels[:2].tolist()
    assert labels_per_clip(labels) == [1, 1, 1]
    assert cooccurrence_counts(labels).tolist() == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]


def test_evaluation_holds_the_metrics(class_names):
    report, page = evaluate(40, class_names)
    json.dumps(report, allow_nan=False)
    assert report["metrics"]["n_items"] == 40
    assert report["class_names"] == class_names
    assert sum(report["labels_per_clip"]["named by the model"]) == 40
    (per_class,) = [b for b in page.blocks if b.title == "Per class"]
    assert [row[0] for row in per_class.rows] == list(class_names)
    assert "Precision and recall" in titles(page)
    assert not {"Training", "Outcomes of the build"} & set(titles(page))
    assert "&lt;balanced.csv&gt;" in render_page(page)


def test_evaluation_with_history_and_build(segments, ledger, class_names, svg_of):
    build, _ = build_report(segments, ledger, class_names=class_names, provenance={})
    epoch = {"epoch": 0, "train_loss": 0.7, "val_loss": float("nan"), "val_macro_f1": 0.1}
    report, page = evaluate(40, class_names, history=[epoch], build=json.loads(json.dumps(build)))
    json.dumps(report, allow_nan=False)
    assert report["history"] == [epoch | {"val_loss": None}]
    assert {"Training", "Outcomes of the build"} <= set(titles(page))
    for picture in (block for block in page.blocks if isinstance(block, Picture)):
        svg_of(picture)


@pytest.mark.parametrize(("n_items", "names"), [(0, {"cel": "cello"}), (5, {"x": "x", "y": "<y>"})])
def test_evaluation_of_odd_sets(n_items, names):
    report, page = evaluate(n_items, names)
    json.dumps(report, allow_nan=False)
    assert "<y>" not in render_page(page)


def test_undefined_classes_are_named_on_the_page(class_names):
    _, page = evaluate(0, class_names)
    assert any("cel, pia, voi" in note for note in page.notes)


def test_the_history_of_a_segment_says_what_is_unknown():
    planned = {
        "start_s": 0.0, "end_s": 1.0, "ytid": "v", "classes": ["cel"], "mids": ["/m/x"],
        "split": "train", "shard": "s",
    }  # fmt: skip
    assert "  classes cel; labels /m/x" in history_text("v_0", planned, []).splitlines()
    said = history_text("v_0", planned | {"unknown": ["pia", "voi"]}, [])
    assert "  classes cel; unknown pia, voi; labels /m/x" in said.splitlines()
