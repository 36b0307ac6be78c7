"""Build the AudioSet instrument subset: segments CSVs in, a dataset of clips and features out."""

from __future__ import annotations

from argparse import ArgumentParser

from jobs import harness
from pipeline.audio.access import Access
from pipeline.flows.build import build
from pipeline.flows.build_plan import BuildConfig, dry_run
from pipeline.report.forecast import forecast_text
from pipeline.report.history import history_text
from pipeline.selection.retry import Retry
from pipeline.store.dataset import Dataset

_SOURCE = "YouTube, a URL with {ytid} in it, a folder of {ytid}.* files, or IRMAS's own folder"
_MAX_PER_CLASS = "take at most N segments of a class, all splits together, rare classes first"
_MAX_FAILED = "exit with 3 when more than this share of the segments was not got (5%% or 0.05)"


def main(argv: list[str] | None = None) -> int:
    """Parse, build, print the summary."""
    flags = vars(_parser().parse_args(argv))
    max_failed, only_plan = flags.pop("max_failed"), flags.pop("dry_run")
    explain = flags.pop("explain")
    access = {key: flags.pop(key) for key in ("cookies", "proxy", "source_address")}

    def job() -> int:
        if explain:
            print(history_text(explain, *Dataset.open(flags["out"]).history(explain)))
            return harness.OK
        config = BuildConfig(**flags, access=Access(**access))
        if only_plan:
            print(forecast_text(dry_run(config)))
            return harness.OK
        report = build(config)
        wanted, got = report["wanted"], report["got"]
        print(f"{got} of {wanted} segments got; they are in {config.out}, see report.html there")
        if report.get("cap"):
            print(report["cap"])
        for row in report["outcomes"]:
            print(f"  {row['n']:>8}  {row['outcome']} / {row['reason']}")
        return harness.check_limit(wanted - got, wanted, max_failed, "segments were not got")

    return harness.run(job)


def _parser() -> ArgumentParser:
    parser = harness.parser(__doc__)
    add = parser.add_argument
    add("--segments", nargs="+", default=(), metavar="CSV", help="segments CSVs in AudioSet's form")
    add("--out", required=True, metavar="URI", help="the dataset's folder: a path, s3://, gs://")
    add("--source", default="youtube", metavar="youtube|TEMPLATE|DIR|irmas:DIR", help=_SOURCE)
    add("--classes", metavar="TOML", help="class vocabulary instead of the eleven instruments")
    add("--ontology", metavar="JSON", help="AudioSet's ontology.json, for classes that expand ids")
    add("--split", default="70/10/20", metavar="T/V/T", help="percent of videos, or 'audioset'")
    add("--limit", type=int, metavar="N", help="take the first N selected segments only")
    add("--max-per-class", type=int, metavar="N", help=_MAX_PER_CLASS)
    add("--shard-size", type=int, default=64, metavar="N", help="segments a shard")
    add("--max-downloads", type=int, default=8, metavar="N", help="downloads at once, cluster-wide")
    add("--rate", type=float, metavar="X", help="attempts a second, cluster-wide, at most")
    add("--attempts", type=int, default=3, metavar="N", help="of one run at a transient fault")
    add("--retry", type=Retry, choices=list(Retry), default=Retry.NONE, help="of earlier runs")
    add("--max-outage-s", type=float, default=21600.0, metavar="S", help="then give the source up")
    add("--cookies", metavar="FILE", help="a Netscape cookies.txt; every worker takes a copy")
    add("--proxy", metavar="URL", help="http(s):// or socks5:// proxy for the source")
    add("--source-address", metavar="IP", help="this machine's address to ask from")
    add("--wav-dir", metavar="URI", help="also write every clip as {segment_id}.wav there")
    add("--dry-run", action="store_true", help="print the plan; ask for nothing, write nothing")
    add("--explain", metavar="SEGMENT_ID", help="print all that is known of one segment of --out")
    add("--max-failed", type=harness.share, default="100%", metavar="SHARE", help=_MAX_FAILED)
    return parser


if __name__ == "__main__":
    harness.exit_process(main())
