"""Take in what people said of a catalogue's tags elsewhere: Label Studio's export, or a csv."""

from __future__ import annotations

from jobs import harness
from pipeline.api import take_in
from pipeline.configs.correct import CorrectConfig
from pipeline.flags import from_flags


def main(argv: list[str] | None = None) -> int:
    """Parse, add the corrections, print how many."""
    flags = vars(harness.parser(__doc__, CorrectConfig).parse_args(argv))

    def job() -> int:
        done = take_in(from_flags(CorrectConfig, flags))
        print(f"{done.n_added:,d} corrections added, {done.n_known:,d} known before")
        if done.unknown_uris:
            print(
                f"  left out what is said of {len(done.unknown_uris):,d} tracks that have no tags "
                f"there, the first is {done.unknown_uris[0]}"
            )
        print(f"they are in {flags['tags']}/corrections")
        return harness.OK

    return harness.run(job)


if __name__ == "__main__":
    harness.exit_process(main())
