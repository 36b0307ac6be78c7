"""The nightly `Page` of a tagging run, from its json and that of the run before it. PURE.

All that is compared is compared with the run before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.evaluation.runs.attribute_figures import AttributeFigures
from pipeline.evaluation.runs.tagging_figures import engine_of, n_new, n_renamed, speed_of, tried
from pipeline.evaluation.statistics.drift import class_drift
from pipeline.report.attribute_tables import attributes_table, extremes_table
from pipeline.report.left_out import left_out_table
from pipeline.report.listening import Example
from pipeline.report.page import Block, Page, Points, Sounds, Tile
from pipeline.report.plots.attribute_plots import attributes_picture
from pipeline.report.plots.tagging_plots import drift_panels, labels_picture
from pipeline.report.tagging.alerts import alerts
from pipeline.report.tagging.failures import failed_table, reasons_table
from pipeline.report.tagging.new_and_gone import gone_table, new_table
from pipeline.report.tagging.tables import (
    changes_table,
    drift_table,
    labels_table,
    stages_table,
)
from pipeline.report.wording import duration_text, thresholds_text
from schemas.tagging_run import TaggingRun

_SCORES = {
    False: "of the aggregation, no probabilities",
    True: "probabilities, by a map that was fitted on validation",
}
_HOW_TO_READ = (
    "Under each clip is its log-mel, and the model's score of every window, from 0.05 up. Names in "
    "blue are labels of the track; grey windows are silence or noise, and do not count.",
    "The tracks are chosen, not drawn at random: the highest score of frequent instruments, one "
    "track at a threshold, one without a label. The clip is where the instrument scores best, in "
    "30 s from the middle.",
)


def tagging_page(
    run: TaggingRun,
    before: TaggingRun | None,
    *,
    failures: Sequence[Mapping[str, Any]],
    reasons_in_all: Mapping[str, int] | None = None,
    examples: Sequence[Example],
    notes: Sequence[str] = (),
    attributes: Sequence[AttributeFigures] = (),
    tags_uri: str = "",
) -> Page:
    """Return the page of a tagging run: first what one would do something about, then the rest.

    Parameters
    ----------
    run, before
        run.json of this run, and of the one before it of the same identity, where there is one.
    failures
        The first failed tracks of the catalogue, those of this run before the others: uri, reason,
        detail, attempts and tagged_at, as in TAGS.
    reasons_in_all
        How many tracks of the catalogue have failed for which reason, where that is known.
    examples
        What there is to listen to.
    notes
        What else must be said: which examples are missing, and why.
    attributes
        How the attributes that the run was asked for lie over the catalogue.
    tags_uri
        The run's folder, for the commands that open it in the browser; none where it is empty.
    """
    drifts = class_drift(run, before)
    points = alerts(run, before, drifts)
    blocks: list[Block] = [
        Points("What needs attention first", points or [_calm(run, before)], calm=not points),
        new_table(run, before, drifts, tags_uri=tags_uri).filled(),
        reasons_table(run, before, in_all=reasons_in_all, tags_uri=tags_uri).filled(),
        *_where_any(gone_table(run)),
        *([drift_table(drifts, run)] if before else []),
        failed_table(run, failures).filled(),
        drift_panels(drifts, run, before),
        changes_table(run, before).filled(),
        *([left_out_table(run, before)] if run.left_out else []),
        labels_table(run, before).filled(),
        labels_picture(run, before),
        *_attribute_blocks(attributes),
        stages_table(run, before).filled(),
        Sounds(
            "Listen",
            [example.as_sound() for example in examples],
            " ".join([*(_HOW_TO_READ if examples else ()), *notes]),
        ),
    ]
    return Page(
        title=f"Tagging of {run.started_at[:16].replace('T', ' ')} UTC",
        lead=_lead(run),
        tiles=_tiles(run),
        blocks=blocks,
        notes=_notes(before),
        provenance=_provenance(run, before),
    )


def _where_any(block: Block | None) -> list[Block]:
    return [] if block is None else [block]


def _attribute_blocks(attributes: Sequence[AttributeFigures]) -> list[Block]:
    if not attributes:
        return []
    tables = attributes_table(attributes), extremes_table(attributes)
    return [tables[0], attributes_picture(attributes), tables[1]]


def _calm(run: TaggingRun, before: TaggingRun | None) -> str:
    """Return what to say where nothing stands out; files that have failed come before that."""
    failed, n_all = tried(run)[0], run.failed_in_all
    words = "Nothing unusual"
    if n_all:
        of_run = f", {failed:,d} of them in this run" if failed else ""
        words = f"{n_all:,d} of {run.tracks:,d} tracks have failed{of_run} (see Failed tracks); "
        words += "nothing else is unusual"
    if before is None:
        return f"{words}, but this is the first run: there is nothing to compare with yet."
    return f"{words}." if tried(run)[1] else f"{words}: there was nothing to tag."


def _lead(run: TaggingRun) -> str:
    failed, n_tried = tried(run)
    if not n_tried:
        return _nothing(run)
    return (
        f"Of {run.tracks:,d} tracks in {run.catalog}, {n_tried:,d} were to be tagged: "
        f"{run.tagged:,d} are, and {failed:,d} failed."
    )


def _nothing(run: TaggingRun) -> str:
    n, failed, same = run.tracks, run.failed_in_all, run.same_content
    have = f"{n - failed:,d} of {n:,d}" if failed else f"all {n:,d}"
    words = f"Nothing new: {have} tracks of {run.catalog} have their tags"
    words += f", {failed:,d} have failed" if failed else ""
    return f"{words}; {same:,d} were renamed, copied, touched or retitled." if same else f"{words}."


def _tiles(run: TaggingRun) -> list[Tile]:
    failed, n_tried = tried(run)
    speed = speed_of(run)
    unlabelled = f"{run.unlabelled:,d} without a label" if run.tagged else ""
    return [
        Tile("tracks", run.tracks, "in the catalogue"),
        Tile("new", n_new(run), "never seen before"),
        Tile("tagged", run.tagged, unlabelled),
        Tile("failed", failed, f"{failed / n_tried:.1%} of those tried" if n_tried else ""),
        Tile("unchanged", run.unchanged, "not read again"),
        Tile("renamed", n_renamed(run), "or copied: not decoded again"),
        Tile("audio", duration_text(run.audio_s)),
        Tile(
            "throughput",
            None if speed is None else f"{speed:,.0f}",
            "seconds of audio a second",
        ),
        Tile("wall time", duration_text(run.seconds)),
    ]


def _notes(before: TaggingRun | None) -> list[str]:
    notes = [
        "A run tags what is new. Two runs tag different tracks, so a class may move because the "
        "music is other music: an album of piano is not a fault. Tracks of one album are alike, "
        "which makes every p here smaller than it should be.",
    ]
    if before is None:
        notes.append(
            "There is no earlier run of this model with these settings over this catalogue that "
            "met new or changed tracks."
        )
    return notes


def _weights_of(run: TaggingRun) -> dict[str, str]:
    """Return whose weights a pretrained tagger has; nothing of a model of our own."""
    source = run.model_source
    return {"weights": f"{source['home']}, {source['licence']}"} if source else {}


def _provenance(run: TaggingRun, before: TaggingRun | None) -> dict[str, str]:
    identity = run.identity
    members = identity.get("members", [identity])
    return {
        "run": run.run_id,
        "last run": before.run_id if before else "none",
        "catalogue": run.catalog,
        "model": identity["model_id"],
        **_weights_of(run),
        "aggregation": identity["aggregation"],
        "scores": _SCORES[any("calibration" in one for one in (identity, *members))],
        "thresholds": thresholds_text(identity["thresholds"]),
        "gate": f"{identity['gate']:g}",
        "windows": "; ".join(map(_windows_text, members)),
        "engine": " ".join(filter(None, (engine_of(run), run.engine.get("note")))) or "none",
        **run.provenance,
    }


def _windows_text(input_spec: Mapping[str, Any]) -> str:
    return f"{input_spec['window_s']:g} s, every {input_spec['hop_s']:g} s"
