"""Make the labels of a tagging run anew, with other thresholds, without audio."""

from __future__ import annotations

from jobs import harness
from pipeline.flows.retag import RetagConfig, retag


def main(argv: list[str] | None = None) -> int:
    """Parse, make the labels, print what has changed."""
    parser = harness.parser(__doc__)
    add = parser.add_argument
    add("--tags", required=True, metavar="URI", help="a folder from tag_catalog")
    add("--out", required=True, metavar="URI", help="another folder, for tags/ and run.json")
    add(
        "--thresholds",
        metavar="FILE",
        help='.json or .toml: a threshold by code, such as {"cel": 0.4}; the others keep theirs',
    )
    add(
        "--model",
        metavar="URI",
        help="the model that tagged: the thresholds in its model.json now, which evaluate "
        "--keep-thresholds may have written",
    )
    add("--threshold", type=float, metavar="X", help="one for every class, 0 to 1")
    add(
        "--min-confidence",
        "--gate",  # its name in version 0.1
        type=float,
        metavar="X",
        help="lowest confidence of a label, 0 to 1; as it was if not given",
    )
    flags = vars(parser.parse_args(argv))

    def job() -> int:
        run = retag(RetagConfig(**flags))
        print(
            f"{run['tracks']:,d} tracks, {run['relabelled']:,d} with other labels now, "
            f"{run['unlabelled']:,d} with none, {run['failed_in_all']:,d} failed as before; "
            f"{run['seconds']:,.1f} s"
        )
        for code, now in run["labels_in_all"].items():
            added, removed = run["labels_added"][code], run["labels_removed"][code]
            print(f"  {code}  +{added:,d} -{removed:,d}  ({now:,d} tracks now)")
        print(f"the tags are in {flags['out']}/tags, the run in run.json there")
        return harness.OK

    return harness.run(job)


if __name__ == "__main__":
    harness.exit_process(main())
