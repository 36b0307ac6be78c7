"""Compare evaluations of the same items: which model is best, and whether by chance."""

from __future__ import annotations

import sys

from jobs import harness
from pipeline.flows.compare import CompareConfig, compare_evaluations
from pipeline.score.comparison_page import p_text


def main(argv: list[str] | None = None) -> int:
    """Parse, compare, print the summary."""
    parser = harness.parser(__doc__)
    add = parser.add_argument
    add(
        "--evaluations",
        required=True,
        nargs="+",
        metavar="URI",
        help="two or more folders, each from evaluate",
    )
    add("--out", required=True, metavar="URI", help="the folder for its files")
    add("--seed", type=int, default=0, metavar="N", help="of the bootstrap's resamples")
    flags = vars(parser.parse_args(argv))
    flags["evaluations"] = tuple(flags["evaluations"])

    def job() -> int:
        report = compare_evaluations(CompareConfig(**flags))
        print(f"{report['n_items']} items, {len(report['models'])} models, best first:")
        for row in report["models"]:
            test = row["against_best"]
            p = p_text(test["macro_f1"]["p_value"], report["n_resamples"]) if test else ""
            print(
                f"  {row['name']}  macro F1 {row['macro_f1']:.3f}  "
                f"mAP {row['mean_average_precision'] or 0:.3f}" + (f"  p {p}" if p else "")
            )
        print(f"all of it is in {flags['out']}: comparison.json, report.html")
        return harness.OK

    return harness.run(job)


if __name__ == "__main__":
    sys.exit(main())
