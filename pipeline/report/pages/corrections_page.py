"""The `Page` of what was learned from people's corrections. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report.page import Page, Table, Tile

_KEYS = ("n_said", "before", "held_out", "after")


def corrections_page(model_id: str, before: str, classes: Sequence[Mapping[str, Any]]) -> Page:
    """Return the page: how much of what was said the model agrees with, before and after."""
    n_said, *agreed = (sum(one[key] for one in classes) for key in _KEYS)
    words = ("agreed with before", "agreed with when held out", "agreed with after")
    tiles = [Tile("said of classes", n_said)]
    tiles += [Tile(label, f"{n} of {n_said}") for label, n in zip(words, agreed, strict=True)]
    rows = [[one["code"], *(one[key] for key in _KEYS)] for one in classes if one["n_said"]]
    return Page(
        title="Learned from corrections",
        lead=f"{model_id} is {before} with a linear correction of its logits. Of {n_said} things "
        f"that people said of a class of a track or of a span, {before} agreed with "
        f"{agreed[0]}, and {agreed[1]} once it was fitted to all but those of the track itself: "
        "that is what it may do on tracks that nobody corrected.",
        tiles=tiles,
        blocks=[Table("By class", ["class", "said", "before", "held out", "after"], rows)],
    )
