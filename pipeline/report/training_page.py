"""A model's card in, the `Page` of its training out. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.learn.selection import WORDS, best_row, chosen_by
from pipeline.report.model_plots import training_curves
from pipeline.report.page import Cell, Page, Table, Tile

_UNTRAINED = "No clip to learn from has {}: nothing is taught about them, and they are never named."
_COLUMNS = {
    "train_loss": "training loss",
    "val_loss": "validation loss",
    "val_s2_loss": "after S2",
    "val_s1_loss": "after S1",
    "val_map": "validation mAP",
    "val_macro_f1": "validation macro F1",
    "seconds": "seconds",
    "peak_mib": "peak MiB",
}
"""Of the table of epochs, by key of the history; older ones have fewer."""


def training_page(
    model_id: str,
    training: Mapping[str, Any],
    provenance: Mapping[str, str],
    *,
    untrained: Sequence[str] = (),
) -> Page:
    """Return the page of a run: `training` as in model.json, with its config and history.

    `untrained` are the codes of the classes that no clip had to learn from.
    """
    history: Sequence[Mapping[str, Any]] = training["history"]
    select = chosen_by(training)
    best = best_row(history, select)
    config = training["config"]
    return Page(
        title="Training",
        lead=f"{model_id}: the best of {len(history)} "
        f"{'epoch' if len(history) == 1 else 'epochs'} by {WORDS[select]} is "
        f"number {best['epoch']:.0f}.",
        tiles=[
            Tile("validation loss", best["val_loss"], "in that epoch, of clips, not windows"),
            Tile("validation macro F1", best["val_macro_f1"], _macro_note(best)),
            Tile("epochs", len(history), f"of at most {config['epochs']}"),
            *_cost_tiles(training),
        ],
        blocks=[
            training_curves(history, best_epoch=best["epoch"], chosen_by=WORDS[select]),
            Table("Config", ["setting", "value"], [[k, _cell(v)] for k, v in config.items()]),
            Table(
                "Epochs",
                ["epoch", *(words for key, words in _COLUMNS.items() if key in history[0])],
                [
                    [int(row["epoch"]), *(row.get(key) for key in _COLUMNS if key in history[0])]
                    for row in history
                ],
            ),
        ],
        notes=[_UNTRAINED.format(", ".join(untrained))] if untrained else [],
        provenance=provenance,
    )


def _macro_note(best: Mapping[str, Any]) -> str:
    """Return what the macro F1 of the best epoch is of; trainings of older versions have one."""
    of_all = best.get("val_macro_f1_all", best["val_macro_f1"])
    if of_all == best["val_macro_f1"]:
        return "in the same epoch, threshold 0.5"
    return f"of the classes that are there, in the same epoch, threshold 0.5; {of_all:.3f} of all"


def _cost_tiles(training: Mapping[str, Any]) -> list[Tile]:
    """Return what the training cost; nothing of an older one, which does not say."""
    if "seconds" not in training:
        return []
    return [
        Tile("seconds", f"{training['seconds']:,.0f}", "of all epochs, validation included"),
        Tile("peak memory", f"{training['peak_mib']:,.0f} MiB", "of the worker that held most"),
    ]


def _cell(value: Any) -> Cell:
    if value is None:
        return "none"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
