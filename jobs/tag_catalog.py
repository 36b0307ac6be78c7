"""Tag an audio catalogue in bulk: what is new gets a row of labels and scores; nothing is lost."""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction
from typing import Any

from jobs import harness
from pipeline.flows.tag import RETRY, TagConfig, plan_tagging, tag_catalog
from pipeline.learn.card import DEFAULT_MIN_CONFIDENCE
from pipeline.learn.starter import STARTER
from pipeline.report.alerts import HAVE_FAILED, REASONS
from pipeline.report.left_out import left_out_text
from pipeline.report.wording import duration_text, size_text
from pipeline.score.aggregate import TRACKS, method_named
from pipeline.store.catalogue import FORMS


def main(argv: list[str] | None = None) -> int:
    """Parse, tag, print the summary."""
    flags = vars(_parser().parse_args(argv))
    dry_run = flags.pop("dry_run")

    def job() -> int:
        config = TagConfig(**flags)
        if dry_run:
            print(_planned(plan_tagging(config)))
            return harness.OK
        run = tag_catalog(config)
        print(_done(run, config.out))
        return harness.check_limit(
            run["failed_in_all"], run["tracks"], config.max_failed, HAVE_FAILED
        )

    return harness.run(job)


def _parser() -> ArgumentParser:
    parser = harness.parser(__doc__)
    add = parser.add_argument
    add("--catalog", required=True, metavar="URI|GLOB|MANIFEST", help=FORMS)
    add(
        "--model",
        default=STARTER,
        metavar="starter|URI|URI,URI",
        help="a model's folder, from train or quantize; an ensemble's, from evaluate --ensemble; "
        "several with commas between, of which the scores are averaged",
    )
    add("--out", required=True, metavar="URI", help="the folder for tags/, run.json, report.html")
    add(
        "--aggregate",
        type=method_named,
        metavar="NAME",
        help="windows to track: s1 (mean), s2, max, topN such as top5, or segments such as "
        f"{TRACKS} (S2 over 10 s each, then the highest three), the default where a model's is s2",
    )
    add(
        "--threshold",
        type=float,
        metavar="X",
        help="score from which a label is given, 0 to 1; the model's own if not given",
    )
    add(
        "--min-confidence",
        "--gate",  # its name in version 0.1
        type=float,
        metavar="X",
        help="lowest mean score of a class's three highest windows for a label, 0 to 1; the "
        f"model's own, or {DEFAULT_MIN_CONFIDENCE:g} where it has none, if not given",
    )
    add(
        "--activity",
        action=BooleanOptionalAction,
        default=True,
        help="leave out windows of silence and noise",
    )
    add(
        "--calibrated",
        action="store_true",
        help="scores are probabilities, by what evaluate --keep-calibration wrote into model.json; "
        "the thresholds go with them",
    )
    add("--window-s", type=float, metavar="S", help="window in s; the model's own if not given")
    add("--hop-s", type=float, metavar="S", help="from one window to the next in s; likewise")
    add("--keep-windows", action="store_true", help="also write windows/ and intervals/")
    add("--embeddings", action="store_true", help="also write embeddings/, a vector a track")
    add(
        "--retry",
        choices=RETRY,
        default="none",
        help="take all failed tracks again; those that the line failed are anyway",
    )
    add("--dry-run", action="store_true", help="say what would be done, and do nothing")
    add("--gpu", action="store_true", help="a GPU for every process of the model")
    add("--engine", choices=["auto", "openvino", "torch"], default="auto", help="what runs it")
    add(
        "--precision",
        choices=["auto", "f32", "bf16", "int8"],
        default="auto",
        help="of the model's arithmetic; int8 wants a model from quantize",
    )
    add("--workers", type=int, metavar="N", help="processes of the model; all there is room for")
    add("--examples", dest="n_examples", type=int, default=6, metavar="N", help="on the page")
    add(
        "--max-failed",
        type=harness.share,
        default="100%",
        metavar="SHARE",
        help="exit with 3 when more than this share of the catalogue failed (5%% or 0.05)",
    )
    return parser


def _planned(plan: dict[str, Any]) -> str:
    time = "no run yet that says how long it takes"
    if plan["seconds"] is not None:
        time = (
            f"about {duration_text(plan['seconds'])} as the last run went, start and page included"
        )
    return (
        f"{plan['tracks']:,} tracks: {plan['left']:,} to do ({plan['changed']:,} changed, "
        f"{plan['retried']:,} again), {plan['unchanged']:,} unchanged; {plan['gone']:,} with tags "
        f"are gone\nto read: {size_text(plan['bytes'])}, about "
        f"{duration_text(plan['audio_s'])} of audio; {time}{_left_out(plan)}"
    )


def _done(run: dict[str, Any], out: str) -> str:
    missing_tables = ""
    if run["lacking"]:
        missing_tables = (
            f"\ntracks that were tagged before have no {', '.join(run['lacking'])}; to have them "
            "of all tracks, tag to another --out"
        )
    return (
        f"{run['tracks']:,} tracks: {run['tagged']:,} tagged, {run['failed']:,} failed, "
        f"{run['skipped']:,} skipped ({run['unchanged']:,} unchanged, {run['same_content']:,} "
        f"renamed, copied or touched); {duration_text(run['audio_s'])} of audio in "
        f"{duration_text(run['seconds'])}{_left_out(run)}\n{_reasons(run)}the tags are in "
        f"{out}/tags, the run in run.json and report.html there{missing_tables}"
    )


def _left_out(counted: dict[str, Any]) -> str:
    """Return a line of what the listing did not take, in a plan or a run; nothing where it did."""
    text = left_out_text(counted["left_out"])
    return f"\n{text}" if text else ""


def _reasons(run: dict[str, Any]) -> str:
    """Return a line a reason why tracks have failed in this run, the commonest first."""
    commonest = sorted(run["reasons"].items(), key=lambda item: -item[1])
    return "".join(f"  {n:>8,}  {reason}: {REASONS.get(reason, '')}\n" for reason, n in commonest)


if __name__ == "__main__":
    harness.exit_process(main())
