"""Write the tags of a tagging run in formats that other programs read."""

from __future__ import annotations

from jobs import harness
from pipeline.flows.export import FORMATS, ExportConfig, export_tags, formats_text


def main(argv: list[str] | None = None) -> int:
    """Parse, export, print the summary."""
    parser = harness.parser(__doc__)
    add = parser.add_argument
    add("--tags", required=True, metavar="URI", help="a folder from tag_catalog")
    add(
        "--format",
        required=True,
        choices=tuple(FORMATS),
        help=formats_text(),
    )
    add("--out", required=True, metavar="URI", help="the folder for its files")
    add("--model-id", metavar="ID", help="whose tags; those of the last run's model by default")
    flags = vars(parser.parse_args(argv))

    def job() -> int:
        done = export_tags(ExportConfig(**flags))
        print(f"{done.n_tracks:,d} tracks, {done.n_failed:,d} of them failed, by {done.model_id}")
        print(f"  {done.files}")
        for note in done.notes:
            print(f"  {note}")
        print(f"all of it is in {flags['out']}")
        return harness.OK

    return harness.run(job)


if __name__ == "__main__":
    harness.exit_process(main())
