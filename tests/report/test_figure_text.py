"""The text of a figure: its numbers are those that are drawn, and it stays short enough to hear."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.report.figure_text import figure_text
from pipeline.report.picture import Picture, as_picture, drawing, grouped_bars


def test_bars_are_named_by_their_axis_and_series():
    with drawing(height_in=2) as figure:
        series = {"this run": [3.0, 1250.0], "last run": [0.125, 0.0]}
        grouped_bars(figure.subplots(), series, ["cello", "piano"], number="{:g}", right=2000)
        assert figure_text(figure) == (
            "this run: cello: 3, piano: 1,250; last run: cello: 0.125, piano: 0"
        )


def test_upright_bars_and_bins_of_a_histogram():
    with drawing(height_in=2) as figure:
        left, middle, right = figure.subplots(1, 3)
        left.bar([0, 1], [7, 9])
        left.set_xticks([0, 1])
        middle.hist([1.0, 1.1, 1.2, 3.9], bins=[0, 1, 2, 3, 4])
        right.stairs([0.2, 0.8], [0, 0.5, 1], label="scores")
        right.set_title("cello")
        assert figure_text(figure) == (
            "0: 7, 1: 9. largest bin 3, from 1 to 2. cello: scores: largest bin 0.8, from 0.5 to 1"
        )


def test_lines_say_where_they_begin_end_and_go():
    with drawing(height_in=2) as figure:
        axes = figure.subplots()
        axes.plot([0, 1, 2], [0.9, 0.2, 0.4], label="training")
        axes.plot([0, 1], [0, 1], ls=":")  # a line to compare with
        axes.set_title("macro F1")
        assert figure_text(figure) == "macro F1: training: from 0.9 to 0.4, between 0.2 and 0.9"
        axes.set_title("AP 0.943")  # the curve's figure says more than its points
        assert figure_text(figure) == "AP 0.943"


def test_a_grid_is_read_row_by_row():
    with drawing(height_in=2) as figure:
        axes = figure.subplots()
        axes.imshow(np.array([[1.0, 2.0], [np.nan, 4.0]]))
        axes.set_xticks([0, 1], ["cel", "pia"])
        axes.set_yticks([0, 1], ["cello", "piano"])
        for x, y, text in ((0, 0, "1"), (1, 0, "2"), (1, 1, "4")):
            axes.text(x, y, text)
        assert figure_text(figure) == (
            "2 rows and 2 columns, from 1 to 4; cello: cel 1, pia 2; piano: pia 4"
        )


def test_nothing_to_show_is_said_and_long_texts_are_cut():
    with drawing(height_in=2) as figure:
        axes = figure.subplots()
        axes.text(0.5, 0.5, "no clips")
        assert figure_text(figure) == "no clips"
        axes.barh(range(400), range(400))
        assert len(figure_text(figure)) <= 1502 and figure_text(figure).endswith(" …")


@pytest.mark.parametrize(("numbers", "alt"), [("", "Scores: 2"), ("most 9", "Scores: most 9")])
def test_the_text_alternative_is_title_and_numbers(numbers, alt):
    with drawing(height_in=2) as figure:
        figure.subplots().text(0, 0, "2")
        assert as_picture(figure, title="Scores", caption="", numbers=numbers).alt == alt
    assert Picture("Scores", "", "data:").alt == "Scores"  # kept by an older version
