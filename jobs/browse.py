"""Search, hear and correct the tags of a catalogue on a page in the browser."""

from __future__ import annotations

from jobs import harness
from pipeline.api import browse
from pipeline.configs.browse import BrowseConfig
from pipeline.flags import from_flags


def main(argv: list[str] | None = None) -> int:
    """Parse, then serve the page until Ctrl-C."""
    flags = vars(harness.parser(__doc__, BrowseConfig).parse_args(argv))

    def ready(address: str) -> None:
        print(f"the page is at {address}", flush=True)
        print("only this machine reaches it; Ctrl-C ends it, and what was corrected stays")

    def job() -> int:
        browse(from_flags(BrowseConfig, flags), ready)
        return harness.OK

    return harness.run(job)


if __name__ == "__main__":
    harness.exit_process(main())
