"""Score a model on a split of a dataset, or a tagging run against its truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs import harness
from pipeline.api import evaluate, evaluate_regression
from pipeline.configs.evaluate import EvaluateConfig
from pipeline.flags import from_flags
from pipeline.report.wording import macro_text

if TYPE_CHECKING:
    from pipeline.evaluation.statistics.metrics import Metrics
    from schemas.regression import RegressionEvaluation


def main(argv: list[str] | None = None) -> int:
    """Parse, evaluate, print the summary."""
    flags = vars(harness.parser(__doc__, EvaluateConfig).parse_args(argv))

    def job() -> int:
        from pipeline.models.card import is_regressor

        config = from_flags(EvaluateConfig, flags)
        if is_regressor(config.model):
            print(_measured(evaluate_regression(config)))
            names = "evaluation.json, predictions.parquet"
        else:
            print(_scored(evaluate(config)))
            _say_what_is_kept(config)
            names = "metrics.json, scores.parquet"
        print(f"all of it is in {config.out}: {names}, report.html")
        return harness.OK

    return harness.run(job)


def _say_what_is_kept(config: EvaluateConfig) -> None:
    from pipeline.flows.evaluation.evaluate import kept_in

    if config.keep_thresholds:
        print(f"the thresholds are in {'/'.join(kept_in(config))} now")
    if config.keep_calibration:
        print(f"the calibration is in {'/'.join(kept_in(config))} now")


def _scored(metrics: Metrics) -> str:
    macro = macro_text(
        metrics.macro_f1_present, metrics.macro_f1, metrics.n_present, len(metrics.per_class)
    )
    lines = [
        f"{metrics.n_items} items: macro F1 {macro}, "
        f"micro F1 {metrics.micro_f1:.3f}, exact match {metrics.exact_match or 0:.3f}, "
        f"mAP {metrics.mean_average_precision or 0:.3f}"
    ]
    lines += [
        f"  {row.code}  precision {row.precision:.3f}  recall {row.recall:.3f}  "
        f"F1 {row.f1:.3f}  ({row.n_positive} items"
        f"{f', {row.n_unknown} unknown' if row.n_unknown else ''})"
        for row in metrics.per_class
    ]
    return "\n".join(lines)


def _measured(found: RegressionEvaluation) -> str:
    lines = [
        f"{found.n_clips} clips: mean absolute error {found.mae:.4f} of targets of 0 to 1 "
        f"({found.baseline_mae:.4f} by the training clips' median), {_r2_text(found.r2)}"
    ]
    lines += [
        f"  {one['name']:<10}  error {one['mae']:.4f}, {one['mae_unit']:.2f} {one['unit']}s, "
        f"{_r2_text(one['r2'])}  ({one['n_clips']} clips)"
        for one in found.targets
    ]
    lines += [f"  {n} clips count nowhere: {why}" for why, n in found.left_out.items()]
    return "\n".join(lines)


def _r2_text(r2: float | None) -> str:
    return "R2 not defined" if r2 is None else f"R2 {r2:.3f}"


if __name__ == "__main__":
    harness.exit_process(main())
