"""Show what a dataset holds, and test which features differ between the classes (ANOVA)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs import harness
from pipeline.api import explore
from pipeline.configs.explore import ExploreConfig
from pipeline.flags import from_flags

_N_SHOWN = 20


def main(argv: list[str] | None = None) -> int:
    """Parse, explore, print the summary."""
    flags = vars(harness.parser(__doc__, ExploreConfig).parse_args(argv))

    def job() -> int:
        report = explore(from_flags(ExploreConfig, flags))
        print(f"{report.n_clips} clips, {report.hours:.2f} hours")
        if report.anova:
            _print_anova(report.anova)
        table = ", anova.parquet" if report.anova else ""
        print(f"all of it is in {flags['out']}: report.html, explore.json{table}")
        return harness.OK

    return harness.run(job)


def _print_anova(anova: Mapping[str, Any]) -> None:
    from pipeline.evaluation.statistics.anova import P_LIMIT
    from pipeline.report.plots.feature_plots import p_text, row_label

    print(f"ANOVA of {anova['n_single']} clips with one class, of {anova['n_clips']}:")
    for f in anova["features"]:
        print(f"  {f['feature']}: {f['n_significant']} of {f['n_rows']} rows have p < {P_LIMIT}")
        for word, row in (("smallest", f["best"]), ("largest", f["worst"])):
            if row:
                print(f"    {word} p {p_text(row['p_value'])}: {row_label(row)}")
    rows = [row for row in anova["rows"] if (row["p_value"] or 0) >= P_LIMIT]
    print(f"not significant: {len(rows)} rows")
    for row in rows[:_N_SHOWN]:
        print(f"  {row['feature']} {row_label(row)}: p {p_text(row['p_value'])}")
    if len(rows) > _N_SHOWN:
        print(f"  and {len(rows) - _N_SHOWN} more")


if __name__ == "__main__":
    harness.exit_process(main())
