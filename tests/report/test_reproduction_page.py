"""The page of a reproduction: claims with their verdicts, figures, what was not done, the data."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from pipeline.evaluation.statistics.anova import by_feature, ranked
from pipeline.report.page import Points, Table, render_page
from pipeline.report.pages.reproduction_page import ClipsShown, reproduction_page
from pipeline.report.picture import Picture
from pipeline.report.plots.reproduction_plots import cost_bars, duration_boxes, result_bars
from schemas.anova import ANOVA
from schemas.exploration import ExplorationRecord
from schemas.reproduction import (
    ClaimRow,
    DifferenceRow,
    FigureRow,
    ReproductionRecord,
    ResultRow,
    TrainingRow,
)

TESTED = ("hamming_score", "macro_f1_present", "macro_precision_present", "macro_recall_present")
NAMES = {"cel": "cello", "pia": "<piano>"}


def result(name, f1, dataset="irmas"):
    return ResultRow(
        name,
        [name],
        dataset,
        "done",
        n_items=2012,
        figures=dict.fromkeys((*TESTED, "exact_match"), f1),
        intervals={key: [f1 - 0.02, f1 + 0.02] for key in TESTED},
    )


def trained(name, n):
    costs = {"seconds": 700.0, "peak_memory_mib": 900.0, "n_epochs": 35, "best_epoch": 9}
    return TrainingRow(
        name, "irmas", f"{name} in words", "done", "", f"{name}-0", n, 879_000, **costs
    )


RECORD = ReproductionRecord(
    "harmony",
    {"irmas_split": "song", "limit": 3, "epochs": 1},
    True,
    [
        trained("short", 877_003),
        trained("long", 112),
        TrainingRow("ast", "irmas", "AST", "skipped", "give --ast-weights"),
    ],
    [
        result("short", 0.61),
        result("long", 0.55),
        ResultRow("ast", ["ast"], "irmas", "skipped", "ast is not trained: give --ast-weights"),
    ],
    [
        FigureRow("data", "the clips"),
        FigureRow("descriptors", "which descriptors differ"),
        FigureRow("windows", "windows of 1 and 2 s", ["short", "long", "ast"]),
        FigureRow("cost", "cost", [], ["short", "long", "ast"]),
        FigureRow("ast", "what is missing", ["ast"]),
    ],
    [
        ClaimRow("windows", "1 s is better.", "holds", "", 0.06, 0.01, 0.11, 0.004, 0.008),
        ClaimRow("windows", "AST is better.", "not tested", "ast has no result"),
        ClaimRow("descriptors", "Tonnetz does not.", "fails", "2 of 6 rows"),
    ],
    [DifferenceRow("windows", "long", "short", -0.06, -0.11, -0.01, 0.004, 0.004)],
)


@pytest.fixture(scope="module")
def explored():
    rows = [
        {"feature": "tonnetz", "row": f"fifth_{k}", "statistic": "mean", "f_value": 3.0,
         "p_value": p, "eta_squared": 0.1, "n_clips": 40}
        for k, p in enumerate((1e-9, *np.linspace(0.01, 0.9, 12), math.nan))
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=ANOVA)
    kept = [{k: None if v != v else v for k, v in row.items()} for row in ranked(table)]
    anova = {"features": by_feature(table), "rows": kept, "n_classes": 2}
    return ExplorationRecord(2, 1.0, 3.0, 5.0, {}, [], {}, [], "train", {}, anova)


@pytest.fixture(scope="module")
def clips():
    rows = [
        {"classes": classes, "split": split, "sample_rate_hz": 10, "n_samples": n}
        for classes, split, n in (
            (["cel"], "train", 30), (["pia"], "train", 30), (["pia"], "val", 50),
            (["cel"], "test", 90), (["cel", "pia"], "test", 200),
        )
    ]  # fmt: skip
    return ClipsShown("irmas", NAMES, pa.Table.from_pylist(rows))


def blocks(page, kind):
    return {one.title: one for one in page.blocks if isinstance(one, kind)}


def test_every_figure_has_its_picture_its_numbers_and_its_claims(explored, clips):
    page = reproduction_page(RECORD, explored, [clips])
    tables = blocks(page, Table)
    numbers = tables["Windows of 1 and 2 s: numbers"]
    assert numbers.rows[0][:4] == ("short", "irmas", "irmas", 2012)
    assert numbers.rows[2][4:] == (None,) * 7
    claims = tables["Windows of 1 and 2 s: the report's claims"]
    assert claims.rows[0][1:6] == ("1 s is better.", "holds", 0.06, "+0.010 to +0.110", "< 0.01")
    assert claims.rows[1][2] == "not tested"
    assert len(tables["What the report says, and what came out here"].rows) == 3
    against = tables["Windows of 1 and 2 s: against the best"]
    assert against.rows == [("long", "short", -0.06, "-0.110 to -0.010", "< 0.01", "< 0.01")]
    models = tables["Cost: numbers"]
    assert models.rows[0][3:7] == (877_003, 879_000, "12 min", "900 MiB")
    assert "Which descriptors differ" in tables and "What is missing: numbers" in tables
    pictures = blocks(page, Picture)
    assert "Cost" in pictures and "What is missing" not in pictures


def test_what_was_not_done_is_said_once_and_the_claims_are_counted(explored):
    page = reproduction_page(RECORD, explored, [])
    assert blocks(page, Points)["Not done"].points == ["ast: skipped: give --ast-weights"]
    assert page.lead.startswith("2 of 3 models were trained; 1 of 3 claims")
    assert [tile.value for tile in page.tiles] == [1, 1, 1, 0, 0.61]
    assert any("--limit" in note for note in page.notes)
    done = reproduction_page(ReproductionRecord("harmony", {}), None, [])
    assert "Not done" not in {block.title for block in done.blocks}


def test_it_is_one_safe_file(explored, clips):
    html = render_page(reproduction_page(RECORD, explored, [clips]))
    assert "<piano>" not in html and "http://" not in html.replace("http://www.w3.org", "")
    assert html.count("data:image/svg+xml") == 6 + 3


def test_bars_show_what_is_done_and_say_where_there_is_nothing(words_of):
    text = words_of(lambda: result_bars(RECORD.results, title="t"))
    assert "short" in text and "0.61" in text and "long" in text and "ast" not in text
    assert "no result" in words_of(lambda: result_bars([], title="t"))
    text = words_of(lambda: cost_bars(RECORD.trainings, title="t"))
    assert "0.87" in text and "ast" not in text


def test_durations_of_groups_name_how_many_clips_they_are_of(words_of):
    groups = {"cello": np.array([5.0, 6.0, 20.0]), "organ": np.array([])}
    text = words_of(lambda: duration_boxes(groups, title="t", what="class"))
    assert "cello: 3 clips" in text and "organ: 0 clips" in text
