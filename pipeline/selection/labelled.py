"""Clips that a data set's own files describe in, selected segments out, with their split. PURE.

OpenMIC-2018, NSynth and what mirdata loads come as audio files with labels of their own: a file is
a segment, as a whole. Which classes it has is what its labels say of the run's vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa

from pipeline.selection.class_states import Mids, class_states
from pipeline.selection.plan import VAL_PERCENT, split_of
from pipeline.selection.splits import Split
from pipeline.selection.vocabulary import Vocabulary
from schemas.segments import SELECTED


@dataclass(frozen=True)
class LabelledClip:
    """One audio file of a data set, and what the set's own files say of it."""

    id: str
    """The set's own name of it, of A-Z a-z 0-9 _ and -."""
    duration_s: float
    there: tuple[str, ...]
    """The labels that it has, as the set names them."""
    group: str
    """What it was cut from: the track, the instrument that was recorded."""
    absent: tuple[str, ...] = ()
    """The labels that it is known not to have; of no account where labels are complete."""
    split: Split | None = None
    """The set's own; None where it has none."""
    left_out: str = ""
    """Why it is not taken, as the end of "12 sounds ..."; empty where it is."""


@dataclass(frozen=True)
class Labelling:
    """What a data set's labels mean."""

    mids: Mapping[str, Mids]
    """The AudioSet ids that each label stands for; none where AudioSet has no such id."""
    is_complete: bool
    """Whether the labels of a clip name every instrument that sounds in it."""


def labelling_of(vocabulary: Vocabulary, *, is_complete: bool) -> Labelling:
    """Return the labelling of a data set that has a vocabulary of its own."""
    mids = {one.code: frozenset(one.any_of) for one in vocabulary.instruments}
    return Labelling(mids, is_complete)


def labelled_rows(
    clips: Iterable[LabelledClip],
    labelling: Labelling,
    vocabulary: Vocabulary,
    ratio: tuple[int, int, int],
) -> pa.Table:
    """Return the clips as whole segments, ordered by id, with `classes`, `unknown` and `split`.

    Those that are `left_out` are not among them.

    `ratio` is the percentages of train, val and test for the groups of clips without a split of
    their own.
    """

    @cache  # sets have few different labellings, and up to 300,000 clips
    def states(there: tuple[str, ...], absent: tuple[str, ...]) -> tuple[list[str], list[str]]:
        has, has_not = ([labelling.mids[one] for one in labels] for labels in (there, absent))
        return class_states(has, has_not, vocabulary, is_complete=labelling.is_complete)

    ordered = sorted((clip for clip in clips if not clip.left_out), key=lambda clip: clip.id)
    rows = [_row(clip, *states(clip.there, clip.absent), ratio) for clip in ordered]
    return pa.Table.from_pylist(rows, SELECTED)


def train_or_val(group: str) -> Split:
    """Return the part of a set's training clips that a group belongs to: a tenth is validation."""
    return "val" if split_of(group, (100 - VAL_PERCENT, VAL_PERCENT, 0)) == "val" else "train"


def _row(
    clip: LabelledClip, classes: list[str], unknown: list[str], ratio: tuple[int, int, int]
) -> dict[str, Any]:
    return {
        "segment_id": f"{clip.id}_0",
        "ytid": clip.id,
        "start_s": 0.0,
        "end_s": clip.duration_s,
        "mids": [],
        "classes": classes,
        "unknown": unknown,
        "group": clip.group,
        "split": clip.split or split_of(clip.group, ratio),
    }
