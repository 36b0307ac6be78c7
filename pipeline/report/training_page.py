"""A model's card in, the `Page` of its training out. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report.model_plots import training_curves
from pipeline.report.page import Cell, Page, Table, Tile

_UNTRAINED = "No clip to learn from has {}: nothing is taught about them, and they are never named."


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
    best = min(history, key=lambda row: row["val_loss"])
    config = training["config"]
    return Page(
        title="Training",
        lead=f"{model_id}: the best of {len(history)} "
        f"{'epoch' if len(history) == 1 else 'epochs'} by validation loss is "
        f"number {best['epoch']:.0f}.",
        tiles=[
            Tile("validation loss", best["val_loss"], "the lowest, of clips, not windows"),
            Tile("validation macro F1", best["val_macro_f1"], _macro_note(best)),
            Tile("epochs", len(history), f"of at most {config['epochs']}"),
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
        notes=[_UNTRAINED.format(", ".join(untrained))] if untrained else [],
        provenance=provenance,
    )


def _macro_note(best: Mapping[str, Any]) -> str:
    """Return what the macro F1 of the best epoch is of; trainings of older versions have one."""
    of_all = best.get("val_macro_f1_all", best["val_macro_f1"])
    if of_all == best["val_macro_f1"]:
        return "in the same epoch, threshold 0.5"
    return f"of the classes that are there, in the same epoch, threshold 0.5; {of_all:.3f} of all"


def _cell(value: Any) -> Cell:
    if value is None:
        return "none"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
