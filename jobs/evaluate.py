"""Score a model on a split of a dataset, or a tagging run against its truth."""

from __future__ import annotations

import argparse

from jobs import harness
from pipeline.flows.evaluate import EvaluateConfig, evaluate, kept_in
from pipeline.report.wording import macro_text
from pipeline.score.aggregate import NAMES, method_named
from pipeline.score.metrics import Metrics
from pipeline.score.thresholds import RULES, TARGET_PRECISION
from pipeline.selection.plan import SPLITS


def main(argv: list[str] | None = None) -> int:
    """Parse, evaluate, print the summary."""
    flags = vars(_parser().parse_args(argv))

    def job() -> int:
        config = EvaluateConfig(**flags)
        print(_scored(evaluate(config)))
        if flags["keep_thresholds"]:
            print(f"the thresholds are in {'/'.join(kept_in(config))} now")
        if flags["keep_calibration"]:
            print(f"the calibration is in {'/'.join(kept_in(config))} now")
        print(f"all of it is in {flags['out']}: metrics.json, scores.parquet, report.html")
        return harness.OK

    return harness.run(job)


def _parser() -> argparse.ArgumentParser:
    parser = harness.parser(__doc__)
    add = parser.add_argument
    add(
        "--model",
        "--ensemble",
        required=True,
        metavar="starter|URI|URI,URI",
        help="a model's folder, or an ensemble's; several with commas between: the mean of their "
        "scores, and with --keep-thresholds --out is an ensemble's folder, for tag_catalog",
    )
    add("--dataset", metavar="URI", help="a dataset's folder: score one split of it")
    add("--split", default="test", choices=SPLITS, help="which split of the dataset")
    add("--tags", metavar="URI", help="a tagging run's folder: score it against --truth")
    add("--truth", metavar="CSV", help="columns uri and labels (codes joined by +)")
    add("--out", required=True, metavar="URI", help="the folder for its files")
    add(
        "--aggregate",
        type=method_named,
        metavar="NAME",
        help=f"windows to clip: {NAMES}; the model's own if not given",
    )
    add(
        "--thresholds",
        default="own",
        choices=RULES,
        help="own: the model's, or with --tags those of its run; fixed: 0.5; tuned: of the largest "
        "F1 on validation, by class; precision: the lowest of --target-precision on validation, by "
        "class",
    )
    add("--target-precision", type=float, default=TARGET_PRECISION, metavar="X", help="see above")
    add("--threshold", type=float, metavar="X", help="one for every class, in their place")
    add(
        "--validation",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="score the dataset's validation split too: for tuned thresholds, the calibration and "
        "the best aggregation",
    )
    add(
        "--keep-thresholds",
        action="store_true",
        help="write what --thresholds finds into model.json (ensemble.json), for later tagging",
    )
    add(
        "--keep-calibration",
        action="store_true",
        help="write the map from scores to probabilities, fitted on validation, into model.json, "
        "for tag_catalog --calibrated",
    )
    add("--gpu", action="store_true", help="a GPU for every actor of the model")
    return parser


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


if __name__ == "__main__":
    harness.exit_process(main())
