"""A dataset's split in, its clips as TRACKS out: they bring their bytes along."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from pipeline.errors import SpecMismatch, UsageError
from pipeline.inference.inference_config import InferenceConfig
from pipeline.selection.splits import SPLITS
from pipeline.selection.vocabulary import Vocabulary
from pipeline.store.catalogue import TRACKS
from pipeline.store.dataset import Dataset


def check_split(dataset: Dataset, split: str, inference: InferenceConfig) -> None:
    """Refuse a dataset that a model cannot be scored on, and a split without clips.

    A model of a cross-validation has learned from most of train and val, divided anew.
    """
    if split == "val" and inference.is_of_fold:
        raise UsageError(
            f"{inference.model}: a model of a cross-validation has learned from clips of the val "
            "split; take a model that was trained without --folds, or what folds.json says"
        )
    vocabulary = Vocabulary.from_dict(dataset.built().classes)
    if vocabulary.without_unknown() != inference.card.vocabulary.without_unknown():
        strange = set(vocabulary.codes) ^ set(inference.card.vocabulary.codes)
        what = f"only one of them has {', '.join(sorted(strange))}" if strange else "of other ids"
        raise SpecMismatch(
            f"{dataset.folder.uri} and {inference.model} have different classes: {what}; take a "
            "model of the dataset's classes"
        )
    if not clip_shards(dataset, split):
        others = [name for name in SPLITS if clip_shards(dataset, name)]
        raise UsageError(
            f"{dataset.folder.uri}: the dataset has no clips in its {split} split; "
            + (f"it has clips in {', '.join(others)}" if others else "it has none at all")
        )


def clip_shards(dataset: Dataset, split: str) -> list[str]:
    """Return the files of a split's CLIPS."""
    return dataset.names("clips", split)


def count_clips(dataset: Dataset, shards: list[str]) -> int:
    """Return how many clips shards hold."""
    return sum(dataset.folder.n_rows(name) for name in shards)


def read_clips(shards: pa.Table, *, dataset: Dataset) -> Iterator[pa.Table]:
    """Yield the clips of shards, a row at a time."""
    schema = TRACKS.append(pa.field("bytes", pa.binary()))
    for name in shards["shard"].to_pylist():
        for clip in dataset.folder.read_table(name, ["segment_id", "audio"]).to_pylist():
            wav = clip["audio"]["bytes"]
            track = {"uri": clip["segment_id"], "size_bytes": len(wav), "bytes": wav}
            yield pa.Table.from_pylist([track], schema)
