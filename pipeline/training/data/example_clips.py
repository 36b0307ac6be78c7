"""Two clips to show a training by, from a dataset and the ids of its training set."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pipeline.store.dataset import Dataset


@dataclass(frozen=True)
class Clip:
    """A clip of a dataset."""

    segment_id: str
    classes: list[str]
    wav: bytes
    """A whole wav file, as in CLIPS."""


def example_clips(dataset: Dataset, segment_ids: Collection[str]) -> list[Clip]:
    """Return two clips with different classes, of those with the ids given; fewer or none at need.

    They are the first ones in CLIPS, of a shard those with the fewest classes.
    """
    wanted, found = set(segment_ids), list[Clip]()
    for name in dataset.folder.names("clips"):
        for k, row in _usable(dataset, name, wanted):
            if all(row["classes"] != one.classes for one in found):
                found.append(_read(dataset, name, k, row))
            if len(found) == 2:
                return found
    return found


def _usable(dataset: Dataset, name: str, wanted: set[str]) -> list[tuple[int, dict[str, Any]]]:
    """Return a shard's rows that are wanted and have a class, with their numbers."""
    rows = dataset.folder.read_table(name, ["segment_id", "classes"]).to_pylist()
    usable = [
        (k, row) for k, row in enumerate(rows) if row["segment_id"] in wanted and row["classes"]
    ]
    return sorted(usable, key=lambda item: len(item[1]["classes"]))


def _read(dataset: Dataset, name: str, k: int, row: dict[str, Any]) -> Clip:
    audio = dataset.folder.read_table(name, ["audio"])["audio"]
    return Clip(row["segment_id"], row["classes"], audio[k].as_py()["bytes"])
