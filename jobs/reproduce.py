"""Reproduce a study: the Harmony report's experiments on IRMAS, its figures, what it claims."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import dataclass

from jobs import harness
from pipeline.api import reproduce
from pipeline.configs.reproduce import ReproduceConfig
from pipeline.flags import add_flags, from_flags
from pipeline.reproduction.figures import study_plan
from pipeline.reproduction.plan import plan_lines


@dataclass(frozen=True)
class Options:
    """What only the command line knows."""

    dry_run: bool = False
    """Print the plan: no file is read or written."""


def main(argv: list[str] | None = None) -> int:
    """Parse, do what is missing, print the summary."""
    parser = harness.parser(__doc__)
    _add_study(parser)
    add_flags(parser, Options)
    add_flags(parser, ReproduceConfig)
    flags = vars(parser.parse_args(argv))

    def job() -> int:
        config = from_flags(ReproduceConfig, flags)
        if flags["dry_run"]:
            print("\n".join(plan_lines(study_plan(config))))
            return harness.OK
        return _summary(config)

    return harness.run(job)


def _add_study(parser: ArgumentParser) -> None:
    parser.add_argument("study", choices=("harmony",), help="which study")


def _summary(config: ReproduceConfig) -> int:
    record = reproduce(config)
    from pipeline.report.pages.reproduction_page import VERDICTS

    for row in record.results:
        f1 = row.figures.get("macro_f1_present")
        print(f"  {row.name}: " + (f"macro F1 {f1:.3f}" if f1 is not None else row.reason))
    for claim in record.claims:
        print(f"claim: {claim.text} Here: {VERDICTS[claim.verdict]}.")
    print(f"all of it is in {config.out}: report.html, results.csv, reproduction.json")
    if not record.n_failed:
        return harness.OK
    print(f"{record.n_failed} experiments have failed: the same command tries them again")
    return harness.FAILED


if __name__ == "__main__":
    harness.exit_process(main())
