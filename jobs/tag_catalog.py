"""Tag an audio catalogue in bulk: what is new gets a row of labels and scores; nothing is lost."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import dataclass
from logging import WARNING
from typing import TYPE_CHECKING

from jobs import harness
from pipeline.api import plan_tagging, tag_catalog
from pipeline.configs.tag import TagConfig
from pipeline.flags import from_flags
from pipeline.report.wording import duration_text, size_text

if TYPE_CHECKING:
    from pipeline.tagging.tag_plan import TaggingPlan
    from schemas.tagging_run import TaggingRun


@dataclass(frozen=True)
class Options:
    """What only the command line knows."""

    dry_run: bool = False
    """Say what would be done, and do nothing."""


def main(argv: list[str] | None = None) -> int:
    """Parse, tag, print the summary."""
    flags = vars(_parser().parse_args(argv))

    def job() -> int:
        config = from_flags(TagConfig, flags)
        if flags["dry_run"]:
            print(_planned(plan_tagging(config)))
            return harness.OK
        run = tag_catalog(config)
        from pipeline.report.tagging.alerts import HAVE_FAILED

        print(_done(run, config.out), flush=True)  # before what stderr says of it, in a log too
        _warn_of_slow_engine(run)
        return harness.check_limit(run.failed_in_all, run.tracks, config.max_failed, HAVE_FAILED)

    return harness.run(job)


def _parser() -> ArgumentParser:
    return harness.parser(__doc__, TagConfig, Options)


def _planned(plan: TaggingPlan) -> str:
    time = "no run yet that says how long it takes"
    if plan.seconds is not None:
        time = f"about {duration_text(plan.seconds)} as the last run went, start and page included"
    again = f"{plan.retried:,} again"
    if plan.undescribed:
        again += f", {plan.undescribed:,} for attributes"
    return (
        f"{plan.tracks:,} tracks: {plan.left:,} to do ({plan.changed:,} changed, "
        f"{again}), {plan.unchanged:,} unchanged; {plan.gone:,} with tags "
        f"are gone\nto read: {size_text(plan.bytes)}, about "
        f"{duration_text(plan.audio_s)} of audio; {time}{_left_out(plan.left_out)}"
        f"{_duplicates(plan.duplicates)}"
    )


def _done(run: TaggingRun, out: str) -> str:
    missing_tables = ""
    if run.lacking:
        missing_tables = (
            f"\ntracks that were tagged before have no {', '.join(run.lacking)}; to have them "
            "of all tracks, tag to another --out"
        )
    return (
        f"{run.tracks:,} tracks: {run.tagged:,} tagged, {run.failed:,} failed, "
        f"{run.skipped:,} skipped ({run.unchanged:,} unchanged, {run.same_content:,} "
        f"renamed, copied, touched or retitled); {duration_text(run.audio_s)} of audio in "
        f"{duration_text(run.seconds)}{_left_out(run.left_out)}"
        f"{_duplicates(run.duplicates)}{_gone(run)}\n{_reasons(run)}{_failed_before(run)}"
        f"the tags are in {out}/tags, the run in run.json and report.html there{missing_tables}"
    )


def _duplicates(n: int) -> str:
    """Return a line of the rows that name a track again; nothing without any."""
    return (
        f"\n{n:,} rows of the manifest name a track again, which has one row of tags" if n else ""
    )


def _gone(run: TaggingRun) -> str:
    """Return a line of the tracks that are gone and of what was pruned; nothing without any."""
    said = []
    if run.marked_gone:
        said.append(
            f"{run.marked_gone:,} tracks with tags are gone: exports and the like leave them out, "
            "and --prune gone deletes their rows"
        )
    if run.returned:
        said.append(f"{run.returned:,} that were gone are back")
    if run.pruned:
        said.append(f"the rows of {run.pruned:,} tracks were deleted")
    return f"\n{'; '.join(said)}" if said else ""


def _warn_of_slow_engine(run: TaggingRun) -> None:
    """Say where the network was to be compiled and was not: the run was right, but slower."""
    from pipeline.models.engines.compiler import NOT_COMPILED
    from pipeline.runs.logs import say

    note = str(run.engine.get("note", ""))
    if NOT_COMPILED in note:
        say(
            "not_compiled",
            level=WARNING,
            text=f"warning: the network ran slower than it can: {note}",
        )


def _left_out(counts: Mapping[str, int]) -> str:
    """Return a line of what the listing did not take, by suffix; nothing where it took all."""
    from pipeline.report.left_out import left_out_text

    text = left_out_text(counts)
    return f"\n{text}" if text else ""


def _reasons(run: TaggingRun) -> str:
    """Return one line per reason why tracks have failed in this run, the commonest first."""
    from pipeline.report.tagging.failures import REASONS

    commonest = sorted(run.reasons.items(), key=lambda item: -item[1])
    return "".join(f"  {n:>8,}  {reason}: {REASONS.get(reason, '')}\n" for reason, n in commonest)


def _failed_before(run: TaggingRun) -> str:
    """Return a line of the tracks that have failed in earlier runs; nothing without any."""
    n = run.failed_in_all - run.failed
    text = f"  {n:>8,}  failed in earlier runs: --retry failed takes them again\n"
    return text if n > 0 else ""


if __name__ == "__main__":
    harness.exit_process(main())
