"""A dataset and the ids of a training set in, two clips to show it by out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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

    They are of the first shard of CLIPS that has any; clips with a single class are preferred.
    """
    wanted = set(segment_ids)
    for name in dataset.folder.names("clips"):
        rows = dataset.folder.read_table(name, ["segment_id", "classes"]).to_pylist()
        usable = {
            k: row for k, row in enumerate(rows) if row["segment_id"] in wanted and row["classes"]
        }
        if usable:
            audio = dataset.folder.read_table(name, ["audio"])["audio"]
            return [
                Clip(row["segment_id"], row["classes"], audio[k].as_py()["bytes"])
                for k, row in _two_of(sorted(usable.items(), key=_n_classes))
            ]
    return []


def _n_classes(item: tuple[int, dict[str, Any]]) -> int:
    return len(item[1]["classes"])


def _two_of(rows: Sequence[tuple[int, dict[str, Any]]]) -> list[tuple[int, dict[str, Any]]]:
    first, *others = rows
    other = next((row for row in others if row[1]["classes"] != first[1]["classes"]), None)
    return [first] if other is None else [first, other]
