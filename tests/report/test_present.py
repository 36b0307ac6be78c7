"""Classes that no clip has: every macro figure leads with the others, and gives that of all too.

And what the labels leave open is counted before a build, after it, and on its page.
"""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from jobs.evaluate import _scored
from pipeline.demo.outcome import summary
from pipeline.evaluation.runs.forecast import forecast
from pipeline.evaluation.runs.scored import Scored
from pipeline.evaluation.statistics.bootstrap import resample
from pipeline.evaluation.statistics.comparison import EvaluationRun, compare
from pipeline.evaluation.statistics.folds import folds_record
from pipeline.evaluation.statistics.metrics import multilabel_metrics
from pipeline.report.forecast import forecast_text
from pipeline.report.page import Page, render_page
from pipeline.report.pages.comparison_page import comparison_page
from pipeline.report.pages.folds_page import folds_page
from pipeline.report.pages.training_page import training_page
from schemas.columns import CODES as LISTS
from tests.report.records import build_report, evaluation_report

CODES = ["cel", "org", "pia", "voi"]
NAMES = dict(zip(CODES, ["cello", "organ", "piano", "human voice"], strict=True))
LIMITS = dict.fromkeys(CODES, 0.5)


@pytest.fixture
def items(rng):
    """Two classes of four are there; the scores name all four, now and then."""
    truth = rng.random((60, 4)) < 0.4
    truth[:, [1, 2]] = False
    return truth, (rng.random((60, 4)) + 0.6 * truth) / 1.6


def metrics_of(truth, scores):
    return multilabel_metrics(truth, scores, thresholds=0.5, class_codes=CODES)


def test_macro_figures_of_the_classes_that_are_there_stand_first(items):
    metrics = metrics_of(*items)
    there = [row for row in metrics.per_class if row.n_positive]
    assert metrics.n_present == 2
    for key, of_all in (("f1", metrics.macro_f1), ("precision", metrics.macro_precision),
                        ("recall", metrics.macro_recall)):  # fmt: skip
        expected = np.mean([getattr(row, key) for row in there])
        assert getattr(metrics, f"macro_{key}_present") == pytest.approx(expected)
        assert of_all == pytest.approx(expected / 2)
    keys = list(metrics.to_dict())
    assert keys.index("macro_f1_present") < keys.index("macro_f1")


def test_the_terminal_leads_with_them(items):
    metrics = metrics_of(*items)
    first = _scored(metrics).splitlines()[0]
    both = f"{metrics.macro_f1_present:.3f} of the 2 classes that are there ({metrics.macro_f1:.3f}"
    assert first.startswith(f"60 items: macro F1 {both} of all 4), micro F1")
    whole = metrics_of(items[0][:, [0, 3, 0, 3]], items[1])
    assert f"macro F1 {whole.macro_f1:.3f}, micro" in _scored(whole)


def test_the_page_leads_with_them(items):
    truth, scores = items
    metrics = metrics_of(truth, scores)
    report, page = evaluation_report(
        metrics, truth=truth, scores=scores, class_codes=CODES, class_names=NAMES, history=[],
        build=None, provenance={},
    )  # fmt: skip
    json.dumps(report, allow_nan=False)
    assert page.tiles[0].value == metrics.macro_f1_present
    assert page.lead.startswith(f"Macro F1 is {metrics.macro_f1_present:.3f} of the 2 classes")
    tables = {block.title: block for block in page.blocks if hasattr(block, "rows")}
    figures = [row[0] for row in tables["All figures"].rows[:2]]
    assert figures == [
        "macro F1, the 2 of 4 classes that are there", "macro F1, all 4 classes"
    ]  # fmt: skip
    assert tables["All figures"].rows[0][1] == metrics.macro_f1_present
    averages = tables["Precision, recall and F1"].rows
    assert averages[0][3] == metrics.macro_f1_present and averages[1][3] == metrics.macro_f1
    assert tables["Thresholds"].rows[0][3] == metrics.macro_f1_present
    assert report["intervals"]["macro_f1_present"]["low"] < metrics.macro_f1_present
    render_page(page)


def test_resamples_of_them_leave_out_the_others(items):
    truth, scores = items
    drawn = resample(truth, scores, thresholds=0.5, n_resamples=50)
    alone = resample(truth[:, [0, 3]], scores[:, [0, 3]], thresholds=0.5, n_resamples=50)
    np.testing.assert_array_equal(drawn.macro_f1_present, alone.macro_f1)
    assert (drawn.macro_f1 < drawn.macro_f1_present).all()


def test_folds_and_comparison_lead_with_them(items):
    truth, scores = items
    folds = [metrics_of(truth[part], scores[part]) for part in (slice(30), slice(30, 60))]
    record = folds_record(metrics_of(truth, scores), folds, ["a", "b"], provenance={})
    report, page = record.to_dict(), folds_page(record, Page("t", "l", [], []))
    mean = np.mean([one.macro_f1_present for one in folds])
    assert report["summary"]["macro_f1_present"]["mean"] == pytest.approx(mean)
    assert f"macro F1 is {mean:.3f} ±" in page.lead and "of the classes that are there" in page.lead
    uris = [str(k) for k in range(60)]
    keys = ("folder", "model_id", "aggregation", "thresholds", "scored")
    one = EvaluationRun(
        "x", dict.fromkeys(keys, "x"), LIMITS, Scored(uris, CODES, truth, scores, uris)
    )
    worse = replace(one, name="y", scored=replace(one.scored, scores=scores * 0.9))
    report = compare([one, worse], class_names=NAMES, n_resamples=50)
    best = report.models[0]
    assert report.n_present == 2
    assert best["macro_f1_present"] == pytest.approx(2 * best["macro_f1"])
    assert report.models[1]["against_best"]["macro_f1_present"]["p_value"] is not None
    page = comparison_page(report)
    assert f"{best['macro_f1_present']:.3f} of the 2 classes that are there" in page.lead
    assert page.tiles[0].value == best["macro_f1_present"]


def test_two_truths_that_are_unknown_alike_are_the_same(items):
    truth, scores = items[0].astype(np.float32), items[1]
    truth[3, 0] = np.nan
    uris = [str(k) for k in range(60)]
    keys = ("folder", "model_id", "aggregation", "thresholds", "scored")
    one = EvaluationRun(
        "x", dict.fromkeys(keys, "x"), LIMITS, Scored(uris, CODES, truth, scores, uris)
    )
    assert compare([one, replace(one, name="y")], class_names=NAMES, n_resamples=20)
    other = replace(one, name="y", scored=replace(one.scored, truth=np.nan_to_num(truth)))
    with pytest.raises(Exception, match="another truth for 1 items, the first is 3"):
        compare([one, other], class_names=NAMES, n_resamples=20)


def test_the_training_page_says_both():
    row = {"epoch": 1.0, "train_loss": 1.0, "val_loss": 1.0, "val_macro_f1": 0.5}
    training = {"history": [row | {"val_macro_f1_all": 0.25}], "config": {"epochs": 1}}
    tile = training_page("m", training, {}).tiles[1]
    assert (tile.value, "0.250 of all" in tile.note) == (0.5, True)
    older = training_page("m", training | {"history": [row]}, {}).tiles[1]
    assert older.note == "in the same epoch, threshold 0.5"


@pytest.mark.parametrize("n_absent", [0, 2])
def test_the_demos_table_says_both(items, tmp_path, n_absent):
    truth, scores = items
    truth = truth if n_absent else truth[:, [0, 3, 0, 3]]
    metrics = metrics_of(truth, scores)
    files = {
        "dataset/report.json": {"outcomes": []},
        "evaluation/metrics.json": {"metrics": metrics.to_dict(), "class_names": NAMES},
        "tagging/run.json": {"tracks": 0, "tagged": 0, "failed": 0, "skipped": 0},
    }
    for name, values in files.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(json.dumps(values))
    rows = [line.split() for line in summary(tmp_path, seconds=1).splitlines() if "macro" in line]
    assert rows[0][-2] == f"{metrics.macro_f1_present:.3f}"
    assert [row[-2] for row in rows[1:]] == ([f"{metrics.macro_f1:.3f}"] if n_absent else [])


def test_the_demo_shows_its_model_and_the_starter_side_by_side(items, tmp_path):
    truth, scores = items
    both = [metrics_of(truth, values) for values in (scores, scores[::-1])]
    files = {
        "dataset/report.json": {"outcomes": []},
        "evaluation/metrics.json": {"metrics": both[0].to_dict(), "class_names": NAMES},
        "tagging/run.json": {"tracks": 0, "tagged": 0, "failed": 0, "skipped": 0},
        "evaluation-tagging/metrics.json": {"metrics": both[0].to_dict()},
    }
    for name, values in files.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(json.dumps(values))
    assert "starter" not in summary(tmp_path, seconds=1)
    (tmp_path / "evaluation-tagging-starter").mkdir()
    (tmp_path / "evaluation-tagging-starter" / "metrics.json").write_text(
        json.dumps({"metrics": both[1].to_dict()})
    )
    said = [line.split() for line in summary(tmp_path, seconds=1).splitlines()]
    assert ["demo's", "model", "starter"] in said
    f1, precision = (
        [f"{getattr(one, key):.3f}" for one in both]
        for key in ("macro_f1_present", "mean_average_precision")
    )
    assert f1[0] != f1[1]
    assert ["macro", "F1", *f1] in said and ["mAP", *precision] in said


@pytest.fixture
def open_segments(segments):
    """The segments, two of which leave a class open."""
    unknown = [["pia"], [], ["voi"], ["pia"], [], [], ["cel"]]
    at = segments.schema.get_field_index("unknown")
    return segments.set_column(at, segments.schema.field(at), pa.array(unknown, LISTS))


def test_a_forecast_counts_what_is_unknown(open_segments, class_names):
    report = forecast(
        open_segments, class_names=class_names, n_to_do=7, rate_per_s=None, max_downloads=1,
        bytes_per_s=1, counts=dict.fromkeys(
            ("rows", "chosen", "without_class", "excluded", "lost_a_class", "repeated"), 7
        ),
    )  # fmt: skip
    assert report["unknown"] == {"cel": 1, "pia": 2, "voi": 1}
    lines = [line.split() for line in forecast_text(report).splitlines()]
    assert ["train", "val", "test", "all", "unknown"] in lines
    assert ["pia", "2", "0", "0", "2", "2"] in lines
    assert "as a guest" not in forecast_text(report)
    youtube = forecast_text(report | {"guest_seconds": 7 / 300 * 3600})
    assert "YouTube gives one address about 300 videos an hour: 84 s" in youtube


def test_the_dataset_page_counts_what_is_unknown_of_what_was_got(
    open_segments, segments, ledger, class_names
):
    where = {"class_names": class_names, "provenance": {}}
    report, page = build_report(open_segments, ledger, **where, cap_text="left out by x: 3")
    (table,) = [one for one in page.blocks if one.title == "Wanted and got per class"]
    at = table.columns.index("unknown")
    assert {row[0]: row[at] for row in table.rows} == {"cel": 0, "pia": 2, "voi": 0}
    assert any(note.startswith("Unknown are the clips") for note in page.notes)
    assert "Left out by x: 3." in page.notes and report["cap"] == "left out by x: 3"
    plain = build_report(segments, ledger, **where)[1]
    assert not any(note.startswith(("Unknown", "Left")) for note in plain.notes)
    (table,) = [one for one in plain.blocks if one.title == "Wanted and got per class"]
    assert "unknown" not in table.columns
