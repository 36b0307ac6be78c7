"""The `Page` of what a dataset holds: labels, clips, and features by class. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.arrays import Float64
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.evaluation.runs.exploration import ClipExample, FeatureTests, SeparatedClip
from pipeline.evaluation.statistics.anova import P_LIMIT, Row, ranked
from pipeline.report.page import Page, Table, Tile
from pipeline.report.picture import Picture
from pipeline.report.plots import clip_plots, data_plots, feature_plots
from pipeline.report.plots.clusters import clusters_map, clusters_table
from pipeline.report.plots.feature_plots import p_text, row_label
from pipeline.report.separated import separated_sounds
from schemas.exploration import ExplorationRecord

HOW_TO_GET_FEATURES = (
    "This page has no ANOVA and no features by class, as it was made without --features. Make "
    "them with python -m jobs.extract_features --pool mean,var, and give their folder."
)


def explore_page(
    report: ExplorationRecord,
    *,
    durations_s: Float64,
    examples: Sequence[ClipExample],
    spec: LogMelSpec,
    tested: FeatureTests | None,
    separated: Sequence[SeparatedClip] = (),
) -> Page:
    """Return the page that shows what a dataset holds (see `exploration.explore_report`).

    `report`, `examples` and `tested` are one call's; `durations_s` has the length of every clip,
    and `spec` is what the examples' log-mels were made with. `separated` are clips in parts.
    """
    names = {row["code"]: row["name"] for row in report.classes}
    sounds = separated_sounds(separated, class_names=names)
    return Page(
        title="What the dataset holds",
        lead=_lead(report),
        tiles=_tiles(report),
        blocks=[
            *_label_blocks(report, names),
            clip_plots.durations(durations_s),
            clip_plots.example_spectrograms(examples, spec=spec, class_names=names),
            *(_feature_blocks(tested, report.anova, names) if tested and report.anova else []),
            *([] if sounds is None else [sounds]),
        ],
        notes=_notes(report),
        provenance=report.provenance,
    )


def _lead(report: ExplorationRecord) -> str:
    text = f"{report.n_clips:,d} clips of {len(report.classes)} classes."
    if not report.anova:
        return text
    features = report.anova["features"]
    n_rows, n_significant = (sum(f[key] for f in features) for key in ("n_rows", "n_significant"))
    return (
        f"{text} Of {n_rows:,d} rows of {len(features)} features, {n_significant:,d} differ "
        f"between the classes at p < {P_LIMIT}."
    )


def _tiles(report: ExplorationRecord) -> list[Tile]:
    splits = report.splits
    n_segments = sum(split["segments"] for split in splits.values())
    tiles = [
        Tile("clips", report.n_clips, f"of {n_segments:,d} segments" if n_segments else ""),
        Tile("hours", report.hours),
        Tile("classes", len(report.classes)),
        Tile("splits", len(splits), ", ".join(splits)),
    ]
    if report.anova:
        n_single, n_clips = report.anova["n_single"], report.anova["n_clips"]
        tiles.append(Tile("clips in the ANOVA", n_single, f"of {n_clips:,d} with features"))
    return tiles


def _label_blocks(report: ExplorationRecord, names: Mapping[str, str]) -> list[Table | Picture]:
    counts = {s: [row["clips"][s] for row in report.classes] for s in report.splits}
    return [
        _splits_table(report),
        _classes_table(report),
        data_plots.label_counts(counts, class_names=names),
        data_plots.labels_per_clip(report.labels_per_clip),
        data_plots.cooccurrence(report.cooccurrence, class_names=names),
    ]


def _splits_table(report: ExplorationRecord) -> Table:
    rows = [(name, n["segments"], n["clips"], n["hours"]) for name, n in report.splits.items()]
    return Table("Splits", ("split", "segments", "clips", "hours"), rows)


def _classes_table(report: ExplorationRecord) -> Table:
    splits, n_clips = list(report.splits), max(1, report.n_clips)
    rows = [
        (row["code"], row["name"], *row["clips"].values(), total, total / n_clips)
        for row in report.classes
        for total in [sum(row["clips"].values())]
    ]
    return Table("Clips per class", ("class", "name", *splits, "all", "share of clips"), rows)


def _feature_blocks(
    tested: FeatureTests, anova: Mapping[str, Any], class_names: Mapping[str, str]
) -> list[Table | Picture]:
    blocks: list[Table | Picture] = [
        features_table(anova["features"]),
        feature_plots.anova_bars(tested.table, n_classes=tested.n_classes),
        feature_plots.feature_distributions(tested.rows, class_names=class_names),
    ]
    if found := tested.clusters:
        blocks += [clusters_table(found), clusters_map(found[0], class_names=class_names)]
    return [*blocks, rows_table(ranked(tested.table))]


def features_table(features: Sequence[Row]) -> Table:
    """Return what the ANOVA says of each feature."""
    rows = [
        (
            row["feature"],
            row["n_rows"],
            row["n_significant"],
            row["n_untested"],
            *_said(row["best"]),
            *_said(row["worst"]),
        )
        for row in features
    ]
    columns = ("feature", "rows", f"p < {P_LIMIT}", "untested")
    ends = ("smallest p", "of", "largest p", "of")
    return Table("ANOVA by feature", (*columns, *ends), rows)


def _said(row: Row | None) -> tuple[str, str]:
    return (p_text(row["p_value"]), row_label(row)) if row else ("\u2013", "\u2013")


def rows_table(rows: Sequence[Row]) -> Table:
    """Return the tests of rows, in their order."""
    cells = [
        (
            row["feature"],
            row["row"],
            row["statistic"],
            row["f_value"],
            p_text(row["p_value"]),
            row["eta_squared"],
            row["n_clips"],
        )
        for row in rows
    ]
    columns = ("feature", "row", "statistic", "F", "p", "eta squared", "recordings")
    return Table("ANOVA of every row", columns, cells, "Sorted by p.")


def _notes(report: ExplorationRecord) -> list[str]:
    notes = [
        "A clip with several classes counts in each of them, so the classes add up to more than "
        "the clips.",
        f"Example clips and features are of the split: {report.split}.",
    ]
    anova = report.anova
    if not anova:
        return [*notes, HOW_TO_GET_FEATURES]
    n_out = anova["n_clips"] - anova["n_single"]
    return [
        *notes,
        "The groups of a one-way ANOVA must be disjoint, so only clips with exactly one class "
        f"count: {anova['n_single']:,d}; the {n_out:,d} with none or several are left out. So are "
        "classes with fewer than 2 such clips, and clips where a row has no finite value.",
        f"They were cut from {anova['n_recordings']:,d} recordings. Clips of one recording are "
        "alike, so it is their mean that counts.",
        "A row that is the same for all clips cannot be tested. F is without bound, shown as a "
        "dash with p < 1e-300, where clips of a class do not differ at all.",
        f"Of 1,000 rows of pure noise one has p < {P_LIMIT}. With many clips a small difference "
        "is significant too: eta squared says how large it is.",
    ]
