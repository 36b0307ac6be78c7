"""How well a regressor gives its targets in, the `Page` of it out. PURE."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.arrays import Floats
from pipeline.report.page import Page, Table, Tile
from pipeline.report.plots.model_plots import training_curves
from pipeline.report.plots.regression_plots import true_against_predicted
from schemas.regression import RegressionEvaluation, TargetFigures


def regression_page(
    record: RegressionEvaluation,
    targets: Sequence[TargetFigures],
    truth: Floats,
    predicted: Floats,
) -> Page:
    """Return the page; `truth` and `predicted` are `[n_clips, n_targets]` in the targets' units."""
    return Page(
        title="Evaluation of a regressor",
        lead=f"The mean absolute error is {record.mae:.4f} of a target's range, over "
        f"{record.n_clips:,d} clips and {len(targets)} targets; always saying the training clips' "
        f"median would give {record.baseline_mae:.4f}.",
        tiles=[
            Tile("mean absolute error", record.mae, "of targets of 0 to 1"),
            Tile("R2", record.r2, "mean of the targets"),
            Tile("mean absolute error", record.mae_unit, "in the targets' own units"),
            Tile("clips", record.n_clips, f"of {record.split}"),
        ],
        blocks=[
            _targets_table(record, targets),
            true_against_predicted(truth, predicted, targets),
            *([training_curves(record.history)] if record.history else []),
        ],
        notes=[
            "A target is scaled by the least and the largest value of the training clips, which "
            "are 0 and 1; clips of other splits may lie beyond. Each target weighs the same.",
            "R2 is the share of a target's variance that the model explains: 1 is perfect, 0 is as "
            "good as always saying the mean of these clips, and less is worse than that.",
            *(
                f"{n:,d} clips have no target and count nowhere: {why}."
                for why, n in record.left_out.items()
            ),
        ],
        provenance=record.provenance,
    )


def _targets_table(record: RegressionEvaluation, targets: Sequence[TargetFigures]) -> Table:
    rows = [
        (
            *(one.name, one.unit, one.n_clips, one.mae, one.mae_unit, one.baseline_mae, one.r2),
            *(one.minimum, one.maximum),
        )
        for one in targets
    ]
    means = (record.mae, record.mae_unit, record.baseline_mae, record.r2, None, None)
    columns = (
        *("target", "unit", "clips", "error", "error in its unit", "error of the median", "R2"),
        *("training from", "to"),
    )
    return Table(
        "Targets",
        columns,
        [*rows, ("all", "mean", record.n_clips, *means)],
        "Errors are mean absolute ones; where no unit is said they are shares of the range of the "
        "training clips.",
    )
