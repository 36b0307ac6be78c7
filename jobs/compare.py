"""Compare evaluations of the same items, which model is best; or two tagging runs, what differs."""

from __future__ import annotations

from jobs import harness
from pipeline.api import compare_evaluations, compare_tags
from pipeline.configs.compare import CompareConfig, CompareTagsConfig
from pipeline.errors import UsageError
from pipeline.flags import add_flags, from_flags

_FORMS = (
    "expected either --evaluations, or both --a and --b, to which --a-model-id, --b-model-id and "
    "--max-changed belong"
)

_OF_TAGS = ("a", "b", "a_model_id", "b_model_id")


def main(argv: list[str] | None = None) -> int:
    """Parse, compare, print the summary."""
    parser = harness.parser(__doc__)
    add_flags(parser, CompareConfig, optional=("evaluations",))
    add_flags(parser, CompareTagsConfig, optional=("a", "b"), skip=("out",))
    flags = vars(parser.parse_args(argv))

    def job() -> int:
        of_tags = any(flags[name] for name in _OF_TAGS) or flags["max_changed"] < 1
        if flags["evaluations"] and not of_tags:
            return _evaluations(from_flags(CompareConfig, flags))
        if flags["evaluations"] or not (flags["a"] and flags["b"]):
            raise UsageError(_FORMS)
        return _tags(from_flags(CompareTagsConfig, flags))

    return harness.run(job)


def _evaluations(config: CompareConfig) -> int:
    report = compare_evaluations(config)
    from pipeline.report.pages.comparison_page import model_macro_text, p_text

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
    from pipeline.report.pages.tag_differences_page import summary_lines

    print("\n".join(summary_lines(report)))
    print(f"all of it is in {config.out}: report.html, differences.json, differences.parquet")
    changed, n_all = report.labels["changed"], report.n_compared
    what = "tracks get other labels"
    return harness.check_limit(changed, n_all, config.max_changed, what, flag="--max-changed")


if __name__ == "__main__":
    harness.exit_process(main())
