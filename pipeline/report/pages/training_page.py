"""A model's card in, the `Page` of its training out. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.models.networks.classical import CLASSICAL
from pipeline.report.page import Cell, Page, Table, Tile
from pipeline.report.picture import Picture
from pipeline.report.plots.model_plots import training_curves
from pipeline.report.wording import duration_text
from pipeline.training.selection import WORDS, best_row, chosen_by

_UNTRAINED = "No clip to learn from has {}: nothing is taught about them, and they are never named."
_COLUMNS = {
    "train_loss": "training loss",
    "val_loss": "validation loss",
    "val_s2_loss": "after S2",
    "val_s1_loss": "after S1",
    "val_map": "validation mAP",
    "val_macro_f1": "validation macro F1",
    "val_top1": "validation top-1",
    "val_r2": "validation R2",
    "seconds": "seconds",
    "peak_mib": "peak MiB",
}
"""Of the table of epochs, by key of the history; older ones have fewer."""
_CLASSICAL_HEEDS = (
    "model",
    "prepare",
    "window_s",
    "activity",
    "folds",
    "fold",
    "seed",
    "aggregation",
)
"""The settings of a classical model that change it: it has no steps and no augmentation."""


def training_page(
    model_id: str,
    training: Mapping[str, Any],
    provenance: Mapping[str, str],
    pictures: Sequence[Picture] = (),
    *,
    untrained: Sequence[str] = (),
) -> Page:
    """Return the page of a run: `training` as in model.json, with its config and history.

    `pictures` show how it was trained; a model that is fitted at once has none. `untrained` are the
    codes of the classes that no clip had to learn from.
    """
    history, config = training["history"], training["config"]
    select = chosen_by(training)
    best = best_row(history, select)
    is_fitted_once = config.get("model") in CLASSICAL
    curves = training_curves(history, best_epoch=best["epoch"], chosen_by=WORDS[select])
    return Page(
        title="Training",
        lead=f"{model_id}: fitted once."
        if is_fitted_once
        else f"{model_id}: the best of {len(history)} "
        f"{'epoch' if len(history) == 1 else 'epochs'} by {WORDS[select]} is "
        f"number {best['epoch']:.0f}.",
        tiles=[
            Tile("validation loss", best["val_loss"], "in that epoch, of clips, not windows"),
            _quality_tile(best),
            *([] if is_fitted_once else [_epochs_tile(history, config)]),
            *_windows(training.get("windows")),
            *_cost_tiles(training),
        ],
        blocks=[
            *([] if is_fitted_once else [curves]),
            *pictures,
            _epochs_table(history),
            _config_table(config),
        ],
        notes=[
            *([_UNTRAINED.format(", ".join(untrained))] if untrained else []),
            *([f"Computed in {note}."] if (note := training.get("precision_note")) else []),
            *_without_targets(training.get("without_targets", {})),
        ],
        provenance=provenance,
    )


def _epochs_tile(history: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> Tile:
    return Tile("epochs", len(history), f"of at most {config['epochs']}")


def _cost_tiles(training: Mapping[str, Any]) -> list[Tile]:
    """Return what the training took, as far as it was measured."""
    seconds = training.get("seconds")
    peak_mib = training.get("peak_mib", training.get("peak_memory_mib"))
    return [
        *([] if seconds is None else [Tile("time", duration_text(seconds), "of the training")]),
        *([] if peak_mib is None else [Tile("peak memory", f"{peak_mib:,.0f} MiB")]),
    ]


def _epochs_table(history: Sequence[Mapping[str, Any]]) -> Table:
    keys = [key for key in _COLUMNS if any(row.get(key) is not None for row in history)]
    rows = [[int(row["epoch"]), *(_shown(key, row.get(key)) for key in keys)] for row in history]
    return Table(
        "Epochs", ["epoch", *(_COLUMNS[key] for key in keys)], rows, numbers=("seconds", "peak MiB")
    ).filled()


def _shown(key: str, value: float | None) -> Cell:
    if value is None or key not in ("seconds", "peak_mib"):
        return value
    return f"{value:,.1f}" if key == "seconds" else f"{value:,.0f}"


def _quality_tile(best: Mapping[str, Any]) -> Tile:
    """Return how good the best epoch is: macro F1, of a regression R2."""
    if "val_macro_f1" in best:
        return Tile("validation macro F1", best["val_macro_f1"], _macro_note(best))
    return Tile("validation R2", best.get("val_r2"), "mean of the targets, in the same epoch")


def _macro_note(best: Mapping[str, Any]) -> str:
    """Return what the macro F1 of the best epoch is of; trainings of older versions have one."""
    of_all = best.get("val_macro_f1_all", best["val_macro_f1"])
    if of_all == best["val_macro_f1"]:
        return "in the same epoch, threshold 0.5"
    return f"of the classes that are there, in the same epoch, threshold 0.5; {of_all:.3f} of all"


def _windows(counts: Mapping[str, int] | None) -> list[Tile]:
    """Return the tile of the windows learned from; none of runs that did not count them."""
    if not counts:
        return []
    left_out = f"{counts['left_out']:,} of silence or noise are left out"
    return [Tile("windows", counts["learned"], left_out)]


def _without_targets(left_out: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return which clips of each split a regression leaves out, as they have no target."""
    return [
        f"{n:,d} clips of {split} have no timbral descriptors and are left out: {why}."
        for split, reasons in left_out.items()
        for why, n in reasons.items()
    ]


def _cell(value: Any) -> Cell:
    if value is None:
        return "none"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _config_table(config: Mapping[str, Any]) -> Table:
    names = _CLASSICAL_HEEDS if config.get("model") in CLASSICAL else config
    rows = [[name, _cell(config[name])] for name in names if name in config]
    return Table("Config", ["setting", "value"], rows)
