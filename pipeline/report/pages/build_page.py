"""A build's report in, its `Page` out: what was wanted and got, and why the rest was not. PURE."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from pipeline.evaluation.runs.summary import BUILD_STAGES
from pipeline.evaluation.runs.tagging_figures import ratio
from pipeline.report.page import Page, Table, Tile
from pipeline.report.picture import Picture
from pipeline.report.plots import data_plots
from pipeline.report.wording import duration_text, size_text
from schemas.build_report import BuildReport

_N_DETAIL_CHARS = 300
_WANTED_GOT = ("wanted", "got")


def build_page(report: BuildReport) -> Page:
    """Return the page that shows a build's report (see `runs.summary`)."""
    return Page(
        title="Dataset",
        lead=f"Of {report.wanted:,d} segments wanted, {report.got:,d} were got and "
        f"{report.not_got:,d} were not.",
        tiles=_tiles(report),
        blocks=_blocks(report),
        notes=_notes(report),
        provenance=report.provenance,
    )


def label_counts(report: BuildReport) -> Picture:
    """Draw the labels got per class and split, of a build's report."""
    counts = {split: [row["got"][split] for row in report.classes] for split in report.splits}
    names = {row["code"]: row["name"] for row in report.classes}
    return data_plots.label_counts(counts, class_names=names)


def _tiles(report: BuildReport) -> list[Tile]:
    share = f"{report.got / report.wanted:.1%} of them" if report.wanted else ""
    return [
        Tile("wanted", report.wanted),
        Tile("got", report.got, share),
        Tile("not got", report.not_got, _untried_note(report)),
        Tile("audio got", duration_text(report.audio_s)),
        Tile("fetched", size_text(report.bytes_fetched), _saved_note(report)),
        Tile("workers' time", duration_text(report.seconds), "of all tries, many at once"),
    ]


def _blocks(report: BuildReport) -> list[Table | Picture]:
    names = {row["code"]: row["name"] for row in report.classes}
    return [
        _splits_table(report),
        _classes_table(report),
        label_counts(report),
        data_plots.labels_per_clip(report.labels_per_clip),
        data_plots.cooccurrence(report.cooccurrence, class_names=names),
        data_plots.outcomes(report.outcomes),
        _outcomes_table(report),
        _stages_table(report),
        _slowest_table(report),
        _failed_table(report),
    ]


def _notes(report: BuildReport) -> list[str]:
    notes = [
        "Wanted = got + not got: every segment that was planned is counted once.",
        "A clip with several classes counts in each of them, so the classes add up to more than "
        "the clips.",
        "Pictures of labels show the clips that were got.",
    ]
    if any(_n_unknown(row) for row in report.classes):
        notes.append(
            "Unknown are the clips, of those that were got, of which the labels leave the class "
            "open: its family is labelled, or a label excludes it. They neither teach the class "
            "nor count for it."
        )
    if report.cap:
        notes.append(f"{report.cap.capitalize()}.")
    if report.untried:
        notes.append(f"The build has not ended: {report.untried:,d} segments are untried.")
    return notes


def _splits_table(report: BuildReport) -> Table:
    rows = [
        (split, n["wanted"], n["got"], n["wanted"] - n["got"], ratio(n["got"], n["wanted"]))
        for split, n in report.splits.items()
    ]
    return Table(
        "Wanted and got per split", ("split", "wanted", "got", "not got", "share got"), rows
    )


def _classes_table(report: BuildReport) -> Table:
    splits = list(report.splits)
    columns = ["class", "name", *(f"{split} {key}" for split in splits for key in _WANTED_GOT)]
    has_unknown = any(_n_unknown(row) for row in report.classes)
    rows = []
    for row in report.classes:
        totals = [sum(row[key].values()) for key in _WANTED_GOT]
        cells = [row[key][split] for split in splits for key in _WANTED_GOT]
        totals += [_n_unknown(row)] if has_unknown else []
        rows.append((row["code"], row["name"], *cells, *totals, ratio(totals[1], totals[0])))
    columns += ["all wanted", "all got", *(["unknown"] if has_unknown else []), "share got"]
    return Table("Wanted and got per class", columns, rows)


def _n_unknown(row: Mapping[str, Any]) -> int:
    """Return of how many clips that were got a class is unknown; older reports do not say."""
    return sum(row.get("unknown", {}).get("got", {}).values())


def _outcomes_table(report: BuildReport) -> Table:
    tried = sum(row["n"] for row in report.outcomes)
    rows = [
        (row["outcome"], row["reason"], row["n"], ratio(row["n"], tried)) for row in report.outcomes
    ]
    return Table("Outcomes and reasons", ("outcome", "reason", "segments", "share"), rows)


def _stages_table(report: BuildReport) -> Table:
    tries, total_s = report.tries, sum(report.stages.values())
    rows = [
        (BUILD_STAGES[stage], duration_text(s), ratio(s, total_s), ratio(s, tries))
        for stage, s in report.stages.items()
    ]
    outages = report.outages
    note = (
        f"In the last run the source was down {outages['n_outages']} times, "
        f"{duration_text(outages['paused_s'])} in all; no attempt was lost to that."
        if outages["n_outages"]
        else ""
    )
    columns = ("stage", "in all", "share", "s a segment")
    return Table("Where the time went", columns, rows, note, numbers=("in all",))


def _slowest_table(report: BuildReport) -> Table:
    rows = [
        tuple(row[key] for key in ("segment_id", "outcome", "attempts", "seconds", *BUILD_STAGES))
        for row in report.slowest
    ]
    columns = ("segment", "outcome", "attempts", "seconds", *BUILD_STAGES.values())
    return Table("The slowest segments", columns, rows, "Times in seconds.")


def _failed_table(report: BuildReport) -> Table:
    rows = [
        (
            row["segment_id"],
            row["outcome"],
            row["reason"],
            row["attempts"],
            None if row["http_status"] is None else str(row["http_status"]),
            textwrap.shorten(row["detail"] or "", _N_DETAIL_CHARS, placeholder=" …"),
        )
        for row in report.failed
    ]
    n_failed = sum(row["n"] for row in report.outcomes if row["outcome"] != "ok")
    columns = ("segment", "outcome", "reason", "attempts", "HTTP status", "message")
    note = f"The first {len(rows):,d} of {n_failed:,d}." if rows else ""
    return Table("Segments that were tried and not got", columns, rows, note)


def _saved_note(report: BuildReport) -> str:
    whole = report.bytes_fetched + report.bytes_saved
    share = f", {report.bytes_saved / whole:.0%}" if whole else ""
    return f"{size_text(report.bytes_saved)} fewer than the whole files{share}"


def _untried_note(report: BuildReport) -> str:
    return f"{report.untried:,d} untried" if report.untried else ""
