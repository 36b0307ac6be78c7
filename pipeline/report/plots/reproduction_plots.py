"""Results of a reproduction in, `Picture`s out: figures of models, what they cost, durations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.arrays import Float64
from pipeline.evaluation.statistics.bootstrap import LEVEL
from pipeline.report.picture import (
    BLUE,
    Picture,
    as_picture,
    drawing,
    grouped_bars,
    say_empty,
    tidy_bars,
    write_numbers,
)
from pipeline.report.plots.feature_plots import draw_boxes
from schemas.reproduction import ResultRow, TrainingRow

FIGURES = {
    "hamming_score": "Hamming score",
    "macro_f1_present": "macro F1",
    "macro_precision_present": "macro precision",
    "macro_recall_present": "macro recall",
}
"""What the report compares its models by, where it has an interval; in the order of the bars."""
_COSTS = (
    ("n_parameters", 1e6, "parameters (millions)"),
    ("seconds", 60.0, "training (min)"),
    ("peak_memory_mib", 1024.0, "peak memory (GiB)"),
)


def result_bars(rows: Sequence[ResultRow], *, title: str) -> Picture:
    """Draw the figures of results that are done, with their intervals."""
    done = [row for row in rows if row.state == "done"]
    with drawing(height_in=1.0 + 0.19 * len(FIGURES) * max(2, len(done))) as figure:
        axes = figure.subplots()
        if done:
            grouped_bars(
                axes,
                {name: [row.figures[key] or 0.0 for row in done] for key, name in FIGURES.items()},
                [row.name for row in done],
                number="{:.3f}",
                right=1.08,
                ranges={
                    name: [tuple(row.intervals[key]) for row in done]  # type: ignore[misc]
                    for key, name in FIGURES.items()
                },
            )
            axes.set_xticks(np.linspace(0, 1, 6))
            figure.legend(loc="outside upper right", ncols=len(FIGURES))
        else:
            axes.set_axis_off()
            say_empty(axes, "no result")
        caption = (
            f"On the test clips, at the models' thresholds; the lines are the {LEVEL:.0%} "
            "bootstrap intervals. Macro figures are of the classes that the clips have."
        )
        return as_picture(figure, title=title, caption=caption)


def cost_bars(rows: Sequence[TrainingRow], *, title: str) -> Picture:
    """Draw the parameters, the training's time and its peak memory of models that are trained."""
    done = [row for row in rows if row.state == "done"]
    with drawing(height_in=1.0 + 0.36 * max(2, len(done))) as figure:
        panels = figure.subplots(1, len(_COSTS), sharey=True)
        for axes, (key, unit, what) in zip(panels, _COSTS, strict=True):
            values = np.array([getattr(row, key) or 0.0 for row in done]) / unit
            at = np.arange(len(done))
            axes.barh(at, values, height=0.7, color=BLUE)
            write_numbers(axes, values, at, "{:.3g}", fontsize=8)
            axes.grid(axis="x")
            axes.set_xlim(0, 1.25 * max(values.max(initial=0.0), 1e-9))
            axes.tick_params(axis="y", length=0)
            axes.set_title(what)
        panels[0].set_yticks(range(len(done)), [row.name for row in done])
        panels[0].invert_yaxis()
        return as_picture(figure, title=title, caption="Of one worker, over the whole training.")


def duration_boxes(groups: Mapping[str, Float64], *, title: str, what: str) -> Picture:
    """Draw how long the clips of each group are, in s; `what` says what the groups are."""
    longest = max((values.max() for values in groups.values() if len(values)), default=1.0)
    with drawing(height_in=1.0 + 0.32 * max(2, len(groups))) as figure:
        axes = figure.subplots()
        draw_boxes(axes, list(groups.values()), width=0.6, orientation="horizontal")
        labels = [f"{name}: {len(values):,d} clips" for name, values in groups.items()]
        axes.set_yticks(range(len(groups)), labels)
        axes.set_ylim(-0.6, len(groups) - 0.4)
        axes.set_xlabel("duration (s)")
        tidy_bars(axes, right=1.05 * longest)
        caption = (
            f"Clips by {what}. A box is the middle half with the median in it; the whiskers go "
            "from the 5th to the 95th percentile."
        )
        return as_picture(figure, title=title, caption=caption)
