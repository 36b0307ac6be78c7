"""Make the labels of a tagging run anew, with other thresholds, without audio."""

from __future__ import annotations

from jobs import harness
from pipeline.api import retag
from pipeline.configs.retag import RetagConfig
from pipeline.flags import from_flags


def main(argv: list[str] | None = None) -> int:
    """Parse, make the labels, print what has changed."""
    flags = vars(harness.parser(__doc__, RetagConfig).parse_args(argv))

    def job() -> int:
        run = retag(from_flags(RetagConfig, flags))
        print(
            f"{run.tracks:,d} tracks, {run.relabelled:,d} with other labels now, "
            f"{run.unlabelled:,d} with none, {run.failed_in_all:,d} failed as before; "
            f"{run.seconds:,.1f} s"
        )
        added, removed = run.labels_added or {}, run.labels_removed or {}
        for code, now in run.labels_in_all.items():
            print(f"  {code}  +{added[code]:,d} -{removed[code]:,d}  ({now:,d} tracks now)")
        print(f"the tags are in {flags['out']}/tags, the run in run.json there")
        return harness.OK

    return harness.run(job)


if __name__ == "__main__":
    harness.exit_process(main())
