"""Write the tags of a tagging run in formats that other programs read."""

from __future__ import annotations

from jobs import harness
from pipeline.api import export_tags
from pipeline.configs.export import ExportConfig
from pipeline.flags import from_flags


def main(argv: list[str] | None = None) -> int:
    """Parse, export, print the summary."""
    flags = vars(harness.parser(__doc__, ExportConfig).parse_args(argv))

    def job() -> int:
        done = export_tags(from_flags(ExportConfig, flags))
        print(f"{done.n_tracks:,d} tracks, {done.n_failed:,d} of them failed, by {done.model_id}")
        print(f"  {done.files}")
        for note in done.notes:
            print(f"  {note}")
        print(f"all of it is in {flags['out']}")
        return harness.OK

    return harness.run(job)


if __name__ == "__main__":
    harness.exit_process(main())
