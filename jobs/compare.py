"""Compare evaluations of the same items, which model is best; or two tagging runs, what differs."""

from __future__ import annotations

from jobs import harness
from pipeline.errors import UsageError
from pipeline.flows.compare import CompareConfig, compare_evaluations
from pipeline.flows.compare_tags import CompareTagsConfig, compare_tags
from pipeline.report.comparison_page import model_macro_text, p_text
from pipeline.report.tag_differences_page import summary_lines

_FORMS = (
    "expected either --evaluations, or both --a and --b, to which --a-model-id, --b-model-id and "
    "--max-changed belong"
)

_OF_TAGS = ("a", "b", "a_model_id", "b_model_id")


def main(argv: list[str] | None = None) -> int:
    """Parse, compare, print the summary."""
    parser = harness.parser(__doc__)
    add = parser.add_argument
    add("--evaluations", nargs="+", metavar="URI", help="two or more folders, each from evaluate")
    add("--a", metavar="URI", help="a folder from tag_catalog: the labels there are today")
    add("--b", metavar="URI", help="another one, or the same: the labels of another model")
    add("--out", required=True, metavar="URI", help="the folder for its files")
    add("--seed", type=int, default=0, metavar="N", help="of the bootstrap's resamples")
    one = "that of the folder's run.json if not given; where --a and --b are one folder, the latest"
    add("--a-model-id", metavar="ID", help=f"the model in --a: {one} there that is not B's")
    add("--b-model-id", metavar="ID", help=f"the model in --b: {one} there that is not A's")
    add(
        "--max-changed",
        type=harness.share,
        default="100%",
        metavar="SHARE",
        help="exit with 3 when more than this share of the tracks that both have tagged change "
        "their labels (5%% or 0.05)",
    )
    flags = vars(parser.parse_args(argv))
    evaluations, seed = flags.pop("evaluations"), flags.pop("seed")

    def job() -> int:
        of_tags = any(flags[name] for name in _OF_TAGS) or flags["max_changed"] < 1
        if evaluations and not of_tags:
            return _evaluations(CompareConfig(tuple(evaluations), flags["out"], seed))
        if evaluations or not (flags["a"] and flags["b"]):
            raise UsageError(_FORMS)
        return _tags(CompareTagsConfig(**flags))

    return harness.run(job)


def _evaluations(config: CompareConfig) -> int:
    report = compare_evaluations(config)
    print(f"{report.n_items} items, {len(report.models)} models, best first:")
    for row in report.models:
        test = row["against_best"]
        p = p_text(test["macro_f1_present"]["p_holm"], report.n_resamples) if test else ""
        print(
            f"  {row['name']}  macro F1 {model_macro_text(report, row)}  "
            f"mAP {row['mean_average_precision'] or 0:.3f}" + (f"  p {p}" if p else "")
        )
    print(f"all of it is in {config.out}: comparison.json, report.html")
    return harness.OK


def _tags(config: CompareTagsConfig) -> int:
    report = compare_tags(config)
    print("\n".join(summary_lines(report)))
    print(f"all of it is in {config.out}: report.html, differences.json, differences.parquet")
    changed, n_all = report.labels["changed"], report.n_compared
    what = "tracks get other labels"
    return harness.check_limit(changed, n_all, config.max_changed, what, flag="--max-changed")


if __name__ == "__main__":
    harness.exit_process(main())
