"""The `Page`, and a summary for the terminal, of how two models' labels differ. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.evaluation.runs.tag_differences import Pairs
from pipeline.report.page import Cell, Page, Table, Tile
from pipeline.report.plots.feature_plots import p_text
from pipeline.report.plots.tag_differences_plots import (
    changes_bars,
    labels_grid,
    score_panels,
    threshold_of,
)
from pipeline.report.wording import thresholds_text
from schemas.comparison import DifferencesRecord

_APART = {
    "only_a": "only A has the track",
    "only_b": "only B has the track",
    "other_bytes": "both have it, with other audio",
    "failed_a": "it failed in A only",
    "failed_b": "it failed in B only",
    "failed_both": "it failed in both",
}
_SAID = ("model_id", "folder", "run_id", "catalog", "engine", "n_tracks", "n_failed")


def summary_lines(report: DifferencesRecord) -> list[str]:
    """Return what the terminal shows of a comparison: seven lines."""
    labels = report.labels
    most = sorted(report.per_class, key=lambda row: -(row["only_a"] + row["only_b"]))[:3]
    unmatched = [f"{why} {n:,d}" for why, n in report.apart.items() if n]
    sides = [(key.upper(), getattr(report, key)) for key in "ab"]
    return [
        *(
            f"{key}: {x['model_id']}, {x['n_tracks']:,d} tracks in {x['folder']}"
            for key, x in sides
        ),
        f"{report.n_compared:,d} tracks compared in {len(report.class_names)} classes; not "
        f"compared: {', '.join(unmatched) or 'none'}",
        f"labels differ in {labels['changed']:,d} ({labels['changed_share']:.2%}): B adds "
        f"{labels['added']:,d} and removes {labels['removed']:,d}, mean Jaccard "
        f"{labels['jaccard_mean']:.3f}",
        f"tracks that lose all their labels: {labels['lost_all']:,d}; that gain their first: "
        f"{labels['gained_first']:,d}",
        "most changed: "
        + ", ".join(f"{row['code']} +{row['only_b']:,d} -{row['only_a']:,d}" for row in most),
    ]


def tag_differences_page(report: DifferencesRecord, pairs: Pairs) -> Page:
    """Return the page that shows what differs: `report` is what differences.json holds."""
    labels = report.labels
    return Page(
        title="Two models' labels",
        lead=f"A is {report.a['model_id']}, B is {report.b['model_id']}. Of "
        f"{report.n_compared:,d} tracks that both have tagged, {labels['changed']:,d} "
        f"({labels['changed_share']:.2%}) get other labels from B than from A.",
        tiles=_tiles(report),
        blocks=[
            _models_table(report),
            changes_bars(report),
            _classes_table(report),
            labels_grid(report),
            score_panels(report, pairs),
            _scores_table(report),
            _unmatched_table(report),
            _largest_table(report),
        ],
        notes=_notes(report),
        provenance=report.provenance,
    )


def _tiles(report: DifferencesRecord) -> list[Tile]:
    labels = report.labels
    rose = labels["per_track_b"] - labels["per_track_a"]
    return [
        Tile("tracks compared", report.n_compared),
        Tile("labels differ", f"{labels['changed_share']:.2%}", f"{labels['changed']:,d} tracks"),
        Tile("mean Jaccard", labels["jaccard_mean"], "of the two label sets"),
        Tile("labels a track", labels["per_track_b"], f"in B, {rose:+.3f} against A"),
        Tile("lose all labels", labels["lost_all"], "tracks"),
        Tile("gain first labels", labels["gained_first"], "tracks"),
    ]


def _models_table(report: DifferencesRecord) -> Table:
    sides = report.a, report.b
    said = [side["identity"] or {} for side in sides]
    keys = sorted({*said[0], *said[1]} - {"model_id", "thresholds", "calibration"})
    rows = [
        *((key, *(_plain(side[key]) for side in sides)) for key in _SAID),
        ("thresholds", *(thresholds_text(one.get("thresholds") or {}) for one in said)),
        ("scores are probabilities", *("yes" if "calibration" in one else "no" for one in said)),
        *((key, *(_plain(one.get(key)) for one in said)) for key in keys),
    ]
    only_a, only_b = (", ".join(getattr(report, f"classes_only_{key}")) or "none" for key in "ab")
    note = f"Classes that only A knows: {only_a}; only B: {only_b}. They are not compared."
    return Table("The models", ("what", "A", "B"), rows, note)


def _classes_table(report: DifferencesRecord) -> Table:
    rows = [
        (
            f"{report.class_names[row['code']]} ({row['code']})",
            *(row[key] for key in ("both", "only_a", "only_b", "neither", "kappa")),
            *(100 * row[key] for key in ("share_a", "share_b")),
            100 * (row["share_b"] - row["share_a"]),
            p_text(row["p_holm"]),
        )
        for row in report.per_class
    ]
    columns = (
        "class",
        "both",
        "only A",
        "only B",
        "neither",
        "kappa",
        "A %",
        "B %",
        "B - A %",
        "p",
    )
    note = (
        "Tracks that have the label from both, from one or from neither; Cohen's kappa, which is 1 "
        "where all agree and 0 where they agree by chance; the share of tracks that have the "
        "label. p is of McNemar's exact test that A and B give it equally often, corrected for "
        "the number of classes after Holm: over many tracks even a difference too small to matter "
        "is no chance."
    )
    return Table("Labels by class", columns, rows, note)


def _scores_table(report: DifferencesRecord) -> Table:
    rows = [
        (
            f"{report.class_names[row['code']]} ({row['code']})",
            *(threshold_of(report, side, row["code"]) for side in "ab"),
            *(row[key] for key in ("mean_difference", "pearson", "spearman")),
        )
        for row in report.per_class
    ]
    columns = ("class", "threshold A", "threshold B", "mean of B - A", "Pearson", "Spearman")
    note = "The scores of the compared tracks: how far B's lie from A's, and how they correlate."
    return Table("Thresholds and scores by class", columns, rows, note)


def _unmatched_table(report: DifferencesRecord) -> Table:
    rows = [
        (_APART[why], n, next(iter(report.apart_first[why]), None))
        for why, n in report.apart.items()
    ]
    note = "All of them are in apart.parquet."
    return Table("Tracks that are not compared", ("why", "tracks", "the first"), rows, note)


def _largest_table(report: DifferencesRecord) -> Table:
    rows = [
        (
            row["uri"],
            row["duration_s"],
            *("+".join(row[key]) or "none" for key in ("labels_a", "labels_b")),
            " ".join(
                [f"+{code}" for code in row["added"]] + [f"-{code}" for code in row["removed"]]
            ),
            row["distance"],
        )
        for row in report.largest
    ]
    columns = ("track", "seconds", "A", "B", "what differs", "distance")
    note = (
        f"The {len(rows)} tracks with the most labels that differ, and among those the most "
        "distant scores (the root mean square of B - A). All that differ are in "
        "differences.parquet."
    )
    return Table("Where they disagree most", columns, rows, note)


def _notes(report: DifferencesRecord) -> list[str]:
    notes = [
        "Neither model is held for right: where they differ, listen. jobs.evaluate says which is "
        "better, where there is truth.",
    ]
    if report.n_unverified:
        notes.append(
            f"{report.n_unverified:,d} tracks have no fingerprint in one of the runs, or one of an "
            "older version: their audio is taken to be the same, as their uris are."
        )
    notes += [
        f"The last run of {key.upper()} has not ended: tracks it has not reached are missing."
        for key in "ab"
        if getattr(report, key)["complete"] is False
    ]
    return notes


def _plain(value: Any) -> Cell:
    """Return a value of a run's json as a cell: what is nested as its text, a gap for nothing."""
    if isinstance(value, Mapping):
        words = [f"{key} {x}" for key, x in value.items() if x not in ("", None)]
        return ", ".join(words) or None
    return value if value is None or isinstance(value, str | float | int) else str(value)
