"""What differs between two models' labels in, a `Page` and a summary for the terminal out. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from pipeline.report.page import Cell, Page, Table, Tile, cell_text
from pipeline.report.panels import panels_height_in, unit_panels
from pipeline.report.picture import (
    BLACK,
    GREY,
    VERMILLION,
    Picture,
    as_picture,
    class_labels,
    count_in_integers,
    drawing,
    grouped_bars,
    tidy_grid,
)
from pipeline.score.anova import p_text
from pipeline.score.tag_differences import Pairs, known_scores

Report = Mapping[str, Any]

_APART = {
    "only_a": "only A has the track",
    "only_b": "only B has the track",
    "other_bytes": "both have it, with other bytes",
    "failed_a": "it failed in A only",
    "failed_b": "it failed in B only",
    "failed_both": "it failed in both",
}
_SAID = ("model_id", "folder", "run_id", "catalog", "engine", "n_tracks", "n_failed")
_N_DRAWN = 24
_N_NUMBERED = 16
_N_BINS = 40


def summary_lines(report: Report) -> list[str]:
    """Return what the terminal shows of a comparison: six or seven lines."""
    labels = report["labels"]
    most = sorted(report["per_class"], key=lambda row: -(row["only_a"] + row["only_b"]))[:3]
    apart = [f"{why} {n:,d}" for why, n in report["apart"].items() if n]
    sides = [(key.upper(), report[key]) for key in "ab"]
    lines = [
        *(
            f"{key}: {x['model_id']}, {x['n_tracks']:,d} tracks in {x['folder']}"
            for key, x in sides
        ),
        f"{report['n_compared']:,d} tracks compared in {len(report['class_names'])} classes; not "
        f"compared: {', '.join(apart) or 'none'}",
        f"labels differ in {labels['changed']:,d} ({labels['changed_share']:.2%}): B adds "
        f"{labels['added']:,d} and removes {labels['removed']:,d}, mean Jaccard "
        f"{labels['jaccard_mean']:.3f}",
        f"tracks that lose all their labels: {labels['lost_all']:,d}; that gain their first: "
        f"{labels['gained_first']:,d}",
        "most changed: "
        + ", ".join(f"{row['code']} +{row['only_b']:,d} -{row['only_a']:,d}" for row in most),
    ]
    if report["past_limit"]:
        lines.append(f"more tracks change than --max-changed allows, {report['max_changed']:.2%}")
    return lines


def tag_differences_page(report: Report, pairs: Pairs) -> Page:
    """Return the page that shows what differs: `report` is what differences.json holds."""
    labels = report["labels"]
    return Page(
        title="Two models' labels",
        lead=f"A is {report['a']['model_id']}, B is {report['b']['model_id']}. Of "
        f"{report['n_compared']:,d} tracks that both have tagged, {labels['changed']:,d} "
        f"({labels['changed_share']:.2%}) get other labels from B than from A.",
        tiles=_tiles(report),
        blocks=[
            _models_table(report),
            changes_bars(report),
            _classes_table(report),
            labels_grid(report),
            score_panels(report, pairs),
            _scores_table(report),
            _apart_table(report),
            _largest_table(report),
        ],
        notes=_notes(report),
        provenance=report["provenance"],
    )


def changes_bars(report: Report) -> Picture:
    """Draw, by class, how many tracks only A and only B gives the label."""
    names, rows = _drawn(report)
    counts = {
        "only A, so B takes it away": [rows[code]["only_a"] for code in names],
        "only B, so B adds it": [rows[code]["only_b"] for code in names],
    }
    with drawing(height_in=1.0 + 0.44 * max(2, len(names))) as figure:
        axes = figure.subplots()
        right = 1.12 * max(1, *(max(values) for values in counts.values()))
        grouped_bars(axes, counts, class_labels(names), number="{:,.0f}", right=right)
        count_in_integers(axes.xaxis, "tracks")
        figure.legend(loc="outside upper right", ncols=2)
        return as_picture(
            figure,
            title="Labels that only one of them gives",
            caption=f"Tracks that get the label from one model and not from the other."
            f"{_left_out(report)}",
        )


def labels_grid(report: Report) -> Picture:
    """Draw what B makes of each of A's labels, as shares of the tracks that have it from A."""
    names, rows = _drawn(report)
    at = [list(report["class_names"]).index(code) for code in names] + [-1]
    counts = np.asarray(report["grid"])[np.ix_(at, at)]
    n_none = int(counts[-1, -1]) + report["labels"]["gained_first"]
    n_tracks = [rows[code]["both"] + rows[code]["only_a"] for code in names] + [n_none]
    labels = [*class_labels(names), "no label"]
    with drawing(height_in=min(11.0, 1.4 + 0.34 * max(3, len(at)))) as figure:
        axes = figure.subplots()
        _draw_shares(axes, counts / np.maximum(1, n_tracks)[:, None])
        axes.set_xticks(range(len(at)), [*names, "none"], rotation=90 * (len(at) > _N_NUMBERED))
        axes.set_yticks(
            range(len(at)), [f"{x}, {n:,d}" for x, n in zip(labels, n_tracks, strict=True)]
        )
        tidy_grid(axes)
        return as_picture(
            figure,
            title="What becomes of A's labels",
            caption="Of the tracks that have the label on the left from A, with their number: in "
            "blue the share on which B keeps it, in orange the share to which B gives a label that "
            "A does not, or none at all. Each colour has a scale of its own." + _left_out(report),
        )


def score_panels(report: Report, pairs: Pairs) -> Picture:
    """Draw how B's scores lie over A's, a panel a class."""
    names, rows = _drawn(report)
    codes = list(report["class_names"])
    grids = [score_grid(pairs, codes.index(code)) for code in names]
    norm = LogNorm(1, max(2, *(int(grid.max()) for grid in grids)))
    with drawing(height_in=panels_height_in(len(names))) as figure:
        panels = unit_panels(figure, len(names), x="A's score", y="B's score")
        for axes, grid, code, label in zip(panels, grids, names, class_labels(names), strict=True):
            image = axes.imshow(
                np.ma.masked_equal(grid.T, 0),
                extent=(0, 1, 0, 1),
                origin="lower",
                aspect="auto",
                interpolation="none",  # the page's file holds these pixels and no more
                cmap="viridis",
                norm=norm,
                zorder=1,  # over the grid
            )
            axes.plot((0, 1), (0, 1), color=GREY, lw=0.8)
            for side, line in (("a", axes.axvline), ("b", axes.axhline)):
                if (limit := _threshold(report, side, code)) is not None:
                    line(limit, color=VERMILLION, lw=1, ls="--")
            axes.set_title(f"{label}\nr {cell_text(rows[code]['pearson'])}", fontsize=8.5)
        bar = figure.colorbar(image, ax=panels, aspect=40, pad=0.01, format="{x:,.0f}")
        bar.set_label("tracks")
        return as_picture(
            figure,
            title="Scores of A and B",
            caption="How many tracks have which scores, a panel a class. On the grey line both "
            "are the same; the dashed lines are the thresholds. Top left and bottom right of "
            "where they cross are labels that differ, but for gates. r is Pearson's."
            + _left_out(report),
        )


def score_grid(pairs: Pairs, k: int) -> npt.NDArray[np.int64]:
    """Return how many tracks have which scores of a class, `[bins of A, bins of B]`."""
    cells = [
        np.clip((x * _N_BINS).astype(np.int64), 0, _N_BINS - 1) for x in known_scores(pairs, k)
    ]
    counts = np.bincount(cells[0] * _N_BINS + cells[1], minlength=_N_BINS**2)
    return counts.reshape(_N_BINS, _N_BINS)


def _draw_shares(axes: Axes, shares: npt.NDArray[np.float64]) -> None:
    """Draw a square of shares: the diagonal in one colour, what is beside it in another."""
    kept = np.eye(len(shares), dtype=bool)
    top = max(0.01, float(shares[~kept].max(initial=0)))
    for hidden, colours, most in (
        (~kept, "Blues", 1.2),
        (kept | (shares == 0), "Oranges", 2 * top),  # pale: a number is read on it
    ):
        shown = np.ma.masked_array(shares, hidden)
        axes.imshow(shown, cmap=colours, vmin=-0.1 * most, vmax=most, aspect="auto")
    axes.set_facecolor("#F1F3F5")
    axes.axhline(len(shares) - 1.5, color=GREY, lw=1)
    axes.axvline(len(shares) - 1.5, color=GREY, lw=1)
    for row, column in np.argwhere(shares) if len(shares) <= _N_NUMBERED else []:
        share = shares[row, column]
        colour = "white" if row == column and share > 0.7 else BLACK
        text = "<0.1" if share < 0.0005 else f"{100 * share:.1f}"
        axes.text(column, row, text, color=colour, fontsize=7.5, ha="center", va="center")


def _drawn(report: Report) -> tuple[dict[str, str], dict[str, Mapping[str, Any]]]:
    """Return the names and the figures, by code, of the classes that pictures have room for."""
    rows = {row["code"]: row for row in report["per_class"]}
    most = sorted(rows, key=lambda code: -(rows[code]["only_a"] + rows[code]["only_b"]))[:_N_DRAWN]
    names = {code: name for code, name in report["class_names"].items() if code in most}
    return names, {code: rows[code] for code in names}


def _left_out(report: Report) -> str:
    n_left = len(report["class_names"]) - _N_DRAWN
    return f" The {n_left} classes that change least are left out." if n_left > 0 else ""


def _threshold(report: Report, side: str, code: str) -> float | None:
    identity = report[side]["identity"] or {}
    limit: float | None = identity.get("thresholds", {}).get(code)
    return limit


def _tiles(report: Report) -> list[Tile]:
    labels = report["labels"]
    rose = labels["per_track_b"] - labels["per_track_a"]
    return [
        Tile("tracks compared", report["n_compared"]),
        Tile("labels differ", f"{labels['changed_share']:.2%}", f"{labels['changed']:,d} tracks"),
        Tile("mean Jaccard", labels["jaccard_mean"], "of the two label sets"),
        Tile("labels a track", labels["per_track_b"], f"in B, {rose:+.3f} against A"),
        Tile("lose all labels", labels["lost_all"], "tracks"),
        Tile("gain first labels", labels["gained_first"], "tracks"),
    ]


def _models_table(report: Report) -> Table:
    sides = report["a"], report["b"]
    said = [side["identity"] or {} for side in sides]
    keys = sorted({*said[0], *said[1]} - {"model_id", "thresholds"})
    rows = [
        *((key, *(_plain(side[key]) for side in sides)) for key in _SAID),
        *((key, *(_plain(one.get(key)) for one in said)) for key in keys),
    ]
    only_a, only_b = (", ".join(report[f"classes_only_{key}"]) or "none" for key in "ab")
    note = f"Classes that only A knows: {only_a}; only B: {only_b}. They are not compared."
    return Table("The models", ("what", "A", "B"), rows, note)


def _classes_table(report: Report) -> Table:
    rows = [
        (
            f"{report['class_names'][row['code']]} ({row['code']})",
            *(row[key] for key in ("both", "only_a", "only_b", "neither", "kappa")),
            *(100 * row[key] for key in ("share_a", "share_b")),
            100 * (row["share_b"] - row["share_a"]),
            p_text(row["p_holm"]),
        )
        for row in report["per_class"]
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


def _scores_table(report: Report) -> Table:
    rows = [
        (
            f"{report['class_names'][row['code']]} ({row['code']})",
            *(_threshold(report, side, row["code"]) for side in "ab"),
            *(row[key] for key in ("mean_difference", "pearson", "spearman")),
        )
        for row in report["per_class"]
    ]
    columns = ("class", "threshold A", "threshold B", "mean of B - A", "Pearson", "Spearman")
    note = "The scores of the compared tracks: how far B's lie from A's, and how they correlate."
    return Table("Thresholds and scores by class", columns, rows, note)


def _apart_table(report: Report) -> Table:
    rows = [
        (_APART[why], n, next(iter(report["apart_first"][why]), None))
        for why, n in report["apart"].items()
    ]
    note = "All of them are in apart.parquet."
    return Table("Tracks that are not compared", ("why", "tracks", "the first"), rows, note)


def _largest_table(report: Report) -> Table:
    rows = [
        (
            row["uri"],
            row["duration_s"],
            *("+".join(row[key]) for key in ("labels_a", "labels_b")),
            " ".join(
                [f"+{code}" for code in row["added"]] + [f"-{code}" for code in row["removed"]]
            ),
            row["distance"],
        )
        for row in report["largest"]
    ]
    columns = ("track", "seconds", "A", "B", "what differs", "distance")
    note = (
        f"The {len(rows)} tracks with the most labels that differ, and among those the most "
        "distant scores (the root mean square of B - A). All that differ are in "
        "differences.parquet."
    )
    return Table("Where they disagree most", columns, rows, note)


def _notes(report: Report) -> list[str]:
    notes = [
        "Neither model is held for right: where they differ, listen. jobs.evaluate says which is "
        "better, where there is truth.",
    ]
    if report["n_unverified"]:
        notes.append(
            f"{report['n_unverified']:,d} tracks have no fingerprint in one of the runs: their "
            "bytes are taken to be the same, as their uris are."
        )
    notes += [
        f"The last run of {key.upper()} has not ended: tracks it has not reached are missing."
        for key in "ab"
        if report[key]["complete"] is False
    ]
    return notes


def _plain(value: Any) -> Cell:
    """Return a value of a run's json as a cell; what is nested as its text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {x}" for key, x in value.items())
    return value if value is None or isinstance(value, str | float | int) else str(value)
