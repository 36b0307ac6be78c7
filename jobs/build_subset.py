"""Build the AudioSet instrument subset: segments CSVs in, a dataset of clips and features out."""

from __future__ import annotations

import sys

from jobs import harness
from pipeline.flows.build import BuildConfig, build


def main(argv: list[str] | None = None) -> int:
    """Parse, build, print the summary."""
    parser = harness.parser(__doc__)
    add = parser.add_argument
    add(
        "--segments",
        nargs="+",
        required=True,
        metavar="CSV",
        help="segments CSVs in AudioSet's form",
    )
    add("--out", required=True, metavar="URI", help="the dataset's folder: a path, s3://, gs://")
    add("--classes", metavar="TOML", help="class vocabulary instead of the eleven instruments")
    add("--ontology", metavar="JSON", help="AudioSet's ontology.json, for classes that expand ids")
    add(
        "--source",
        default="youtube",
        metavar="youtube|TEMPLATE|DIR",
        help="where the audio is: YouTube, a URL with {ytid} in it, or a folder of {ytid}.* files",
    )
    add("--limit", type=int, metavar="N", help="take the first N selected segments only")
    add("--shard-size", type=int, default=64, metavar="N", help="segments a shard")
    add("--max-downloads", type=int, default=8, metavar="N", help="downloads at once, cluster-wide")
    add("--split", default="70/10/20", metavar="T/V/T", help="percent of videos: train/val/test")
    add(
        "--max-failed",
        type=harness.share,
        default=1.0,
        metavar="SHARE",
        help="exit with 3 when more than this share of the segments was not got (5%% or 0.05)",
    )
    flags = vars(parser.parse_args(argv))
    max_failed = flags.pop("max_failed")
    flags["segments"] = tuple(flags["segments"])

    def job() -> int:
        config = BuildConfig(**flags)
        report = build(config)
        wanted, got = report["wanted"], report["got"]
        print(f"{got} of {wanted} segments got; they are in {config.out}, see report.html there")
        for row in report["outcomes"]:
            print(f"  {row['n']:>8}  {row['outcome']} / {row['reason']}")
        return harness.PAST_LIMIT if wanted - got > max_failed * wanted else harness.OK

    return harness.run(job)


if __name__ == "__main__":
    sys.exit(main())
