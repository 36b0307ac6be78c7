"""Find tracks of a tagged catalogue by labels, scores and likeness, and its near-duplicates."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from jobs import harness
from pipeline.api import search
from pipeline.configs.search import SearchConfig
from pipeline.flags import from_flags

if TYPE_CHECKING:
    from pipeline.searching.search import Found


def main(argv: list[str] | None = None) -> int:
    """Parse, search, print or write what was found."""
    flags = vars(harness.parser(__doc__, SearchConfig).parse_args(argv))

    def job() -> int:
        from pipeline.searching.outputs import check_file, to_bytes, write

        config = from_flags(SearchConfig, flags)
        check_file(config.out, config.format)
        found = search(config)
        if config.out is not None:
            write(config.out, found.rows, config.format)
            print(f"{_summary(found, config)}{_notes(found)}\nwritten to {config.out}")
            return harness.OK
        sys.stdout.flush()
        sys.stdout.buffer.write(to_bytes(found.rows, config.format))
        print(_summary(found, config) + _notes(found), file=sys.stderr)
        return harness.OK

    return harness.run(job)


def _summary(found: Found, config: SearchConfig) -> str:
    what = "groups" if config.duplicates else "windows" if config.windows else "tracks"
    n_rows = found.rows.num_rows
    if config.duplicates:
        n_shown = min(config.limit or found.n_found, found.n_found)
        return (
            f"{n_shown:,d} of {found.n_found:,d} groups of duplicates, {n_rows:,d} tracks, by "
            f"{found.model_id}"
        )
    return f"{n_rows:,d} of {found.n_found:,d} {what}, by {found.model_id}"


def _notes(found: Found) -> str:
    return "".join(f"\n{note}" for note in found.notes)


if __name__ == "__main__":
    harness.exit_process(main())
