"""A model's card in, the `Page` of its training out. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report.model_plots import training_curves
from pipeline.report.page import Cell, Page, Table, Tile


def training_page(
    model_id: str, training: Mapping[str, Any], provenance: Mapping[str, str]
) -> Page:
    """Return the page of a run: `training` as in model.json, with its config and history."""
    history: Sequence[Mapping[str, Any]] = training["history"]
    best = min(history, key=lambda row: row["val_loss"])
    config = training["config"]
    return Page(
        title="Training",
        lead=f"{model_id}: the best of {len(history)} "
        f"{'epoch' if len(history) == 1 else 'epochs'} by validation loss is "
        f"number {best['epoch']:.0f}.",
        tiles=[
            Tile("validation loss", best["val_loss"], "the lowest, of clips, not windows"),
            Tile("validation macro F1", best["val_macro_f1"], "in the same epoch, threshold 0.5"),
            Tile("epochs", len(history), f"of at most {config['epochs']}"),
            *_windows(training.get("windows")),
        ],
        blocks=[
            training_curves(history),
            Table("Config", ["setting", "value"], [[k, _cell(v)] for k, v in config.items()]),
            Table(
                "Epochs",
                ["epoch", "training loss", "validation loss", "validation macro F1"],
                [
                    [int(r["epoch"]), r["train_loss"], r["val_loss"], r["val_macro_f1"]]
                    for r in history
                ],
            ),
        ],
        provenance=provenance,
    )


def _windows(counts: Mapping[str, int] | None) -> list[Tile]:
    """Return the tile of the windows learned from; none of runs that did not count them."""
    if not counts:
        return []
    left_out = f"{counts['left_out']:,} of silence or noise are left out"
    return [Tile("windows", counts["learned"], left_out)]


def _cell(value: Any) -> Cell:
    if value is None:
        return "none"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
