"""Build the AudioSet instrument subset: segments CSVs in, a dataset of clips and features out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from jobs import harness
from pipeline.api import build, dry_run
from pipeline.configs.build import BuildConfig
from pipeline.flags import Flag, Share, add_flags, from_flags


@dataclass(frozen=True)
class Options:
    """What only the command line knows."""

    dry_run: bool = False
    """Print the plan; ask for nothing, write nothing."""
    explain: Annotated[str | None, Flag("SEGMENT_ID")] = None
    """Print all that is known of one segment of --out."""
    max_failed: Annotated[Share, "limits"] = 1.0
    """Exit with 3 when more than this share of the segments was not got (5% or 0.05)."""


def main(argv: list[str] | None = None) -> int:
    """Parse, build, print the summary."""
    parser = harness.parser(__doc__)
    add_flags(parser, BuildConfig, optional=("segments",))
    add_flags(parser, Options)
    flags = vars(parser.parse_args(argv))

    def job() -> int:
        if flags["explain"]:
            print(_explained(flags["out"], flags["explain"]))
            return harness.OK
        config = from_flags(BuildConfig, flags)
        if flags["dry_run"]:
            print(_planned(config))
            return harness.OK
        report = build(config)
        wanted, got = report.wanted, report.got
        print(f"{got} of {wanted} segments got; they are in {config.out}, see report.html there")
        if report.cap:
            print(report.cap)
        for row in report.outcomes:
            print(f"  {row['n']:>8}  {row['outcome']} / {row['reason']}")
        return harness.check_limit(
            wanted - got, wanted, flags["max_failed"], "segments were not got"
        )

    return harness.run(job)


def _explained(out: str, segment_id: str) -> str:
    from pipeline.report.history import history_text
    from pipeline.store.dataset import Dataset

    return history_text(segment_id, *Dataset.open(out).history(segment_id))


def _planned(config: BuildConfig) -> str:
    from pipeline.report.forecast import forecast_text

    return forecast_text(dry_run(config))


if __name__ == "__main__":
    harness.exit_process(main())
