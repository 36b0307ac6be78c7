"""Tag an audio catalogue in bulk: what is new gets a row of labels and scores; nothing is lost."""

from __future__ import annotations

import sys

from jobs import harness
from pipeline.flows.tag import TagConfig, tag_catalog
from pipeline.score.aggregate import METHODS


def main(argv: list[str] | None = None) -> int:
    """Parse, tag, print the summary."""
    parser = harness.parser(__doc__)
    add = parser.add_argument
    add(
        "--catalog",
        required=True,
        metavar="URI|GLOB|MANIFEST",
        help="a folder, a glob, an audio file, or a .parquet or .csv manifest with a uri column",
    )
    add("--model", required=True, metavar="URI", help="the model's folder, from train")
    add("--out", required=True, metavar="URI", help="the folder for tags/ and run.json")
    add(
        "--aggregate",
        choices=sorted(METHODS),
        help="windows to track; the model's own if not given",
    )
    add(
        "--threshold",
        type=float,
        metavar="X",
        help="score from which a label is given, 0 to 1; the model's own if not given",
    )
    add("--gpu", action="store_true", help="a GPU for every actor of the model")
    add(
        "--max-failed",
        type=harness.share,
        default=1.0,
        metavar="SHARE",
        help="exit with 3 when more than this share of the catalogue failed (5%% or 0.05)",
    )
    flags = vars(parser.parse_args(argv))
    max_failed = flags.pop("max_failed")

    def job() -> int:
        run = tag_catalog(TagConfig(**flags))
        print(
            f"{run['tracks']} tracks: {run['tagged']} tagged, {run['failed']} failed, "
            f"{run['skipped']} unchanged since an earlier run; {run['seconds']:.1f} s"
        )
        print(f"the tags are in {flags['out']}/tags, the run in run.json there")
        past = run["failed_in_all"] > max_failed * run["tracks"]
        return harness.PAST_LIMIT if past else harness.OK

    return harness.run(job)


if __name__ == "__main__":
    sys.exit(main())
