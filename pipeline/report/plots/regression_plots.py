"""True and predicted values in; a `Picture` of them, a panel a target, out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.arrays import Floats
from pipeline.report.panels import grid_of, panels_height_in
from pipeline.report.picture import BLUE, GREY, Picture, as_picture, drawing
from schemas.regression import TargetFigures

_MOST_DOTS = 1500  # of a panel: more make a page large and show no more


def true_against_predicted(
    truth: Floats, predicted: Floats, targets: Sequence[TargetFigures]
) -> Picture:
    """Draw what the model gives of each clip against what was measured, in each target's unit.

    `truth` and `predicted` are `[n_clips, n_targets]`; NaN in `truth` is not drawn. Of many clips
    every so manieth is.
    """
    step = -(-len(truth) // _MOST_DOTS) or 1
    with drawing(height_in=panels_height_in(len(targets))) as figure:
        grid = grid_of(figure, len(targets))
        for k, (axes, one) in enumerate(zip(grid, targets, strict=False)):
            true, found = truth[::step, k], predicted[::step, k]
            both = np.concatenate([true[~np.isnan(true)], found])
            margin = 0.04 * float(np.ptp(both)) or 1.0
            limits = (float(both.min()) - margin, float(both.max()) + margin)
            axes.plot(limits, limits, color=GREY, ls=":", lw=1)
            axes.plot(true, found, "o", ms=2.5, alpha=0.5, mew=0, color=BLUE)
            r2 = "" if one.r2 is None else f", R2 {one.r2:.2f}"
            axes.set_title(f"{one.name}: {one.mae:.3f}{r2}", fontsize=9)
            axes.set(xlim=limits, ylim=limits, aspect="equal")
            axes.locator_params(nbins=4)
            axes.grid()
        figure.supxlabel("measured", fontsize="medium")
        figure.supylabel("given by the model", fontsize="medium")
        return as_picture(
            figure,
            title="Measured and given by the model",
            caption="Each dot is a clip, in the target's own unit; on the dotted line both agree. "
            "Above each panel: the mean absolute error as a share of the training clips' range"
            f"{f'. One clip of {step} is drawn' if step > 1 else ''}.",
        )
