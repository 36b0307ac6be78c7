"""one-shots:DIR: a folder of kits of short sounds, without labels.

    DIR/KIT/kick.wav  DIR/KIT/snares/1.flac  ...

Each folder in DIR is a kit, with all audio files in it however deep. Nothing is known of their
classes: they are for `jobs.train --task regression`, whose targets are measured. A sound ends where
it has fallen 40 dB below its peak for good; longer ones than 1 s are left out, as are files beside
the kits. A fifth of the kits is the test split and a fifth of the others validation, by a hash of a
kit's name: similar sounds of a kit are never in two splits.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.arrays import Float32
from pipeline.audio.decoding.decode import decode
from pipeline.audio.fetching.access import Access
from pipeline.audio.fetching.folder_source import TreeSource, check_folder, id_in_tree
from pipeline.audio.fetching.sources.base import NamedSource, OwnLabels
from pipeline.errors import DecodeError, UsageError
from pipeline.selection.labelled import LabelledClip, Labelling
from pipeline.selection.plan import split_of
from pipeline.selection.splits import SPLITS
from pipeline.selection.vocabulary import default_vocabulary

MOST_S = 1.0
"""Length in s of the longest sound that is taken."""
TAIL_DB = 40.0
"""A sound ends where no sample after it is louder than this much below its peak."""
RATIO = (64, 16, 20)
"""Percent of the kits in train, val and test: 80/20, and 80/20 of the first again."""
_RATE_HZ = 44_100
_LOOK_S = 10.0  # what sounds on for longer is no one-shot, and is not decoded to its end
TOO_LONG = f"last longer than {MOST_S:g} s"
BESIDE = "are in no kit: a kit is a folder"


def list_one_shots(text: str) -> tuple[list[LabelledClip], Labelling]:
    """Return the sounds of all kits, each a clip until it has died away, without labels."""
    folder = Path(text)
    paths = sorted(TreeSource(folder).paths())
    with ThreadPoolExecutor() as pool:  # decoding lets go of the GIL
        clips = list(pool.map(partial(_clip, folder=folder), paths))
    _check_splits(text, clips)
    return clips, Labelling({}, is_complete=False)


def sound_s(samples: Float32, sample_rate_hz: int) -> float:
    """Return how long a sound is, in s, until it is `TAIL_DB` below its peak for good.

    Digital silence is as long as its samples.

    >>> sound_s(np.float32([0.5, -1, 0.1, 0.001]), 2)
    1.5
    """
    level = np.abs(samples)
    heard = np.flatnonzero(level >= level.max(initial=0.0) * 10 ** (-TAIL_DB / 20))
    return (int(heard[-1]) + 1 if len(heard) else 0) / sample_rate_hz


def _clip(path: Path, *, folder: Path) -> LabelledClip:
    kit, *inside = path.relative_to(folder).parts
    duration_s = _duration_s(path)
    left_out = TOO_LONG if duration_s > MOST_S else ""
    return LabelledClip(
        id_in_tree(path, folder),
        duration_s,
        there=(),
        group=kit,
        split=split_of(kit, RATIO),
        left_out=left_out if inside else BESIDE,
    )


def _duration_s(path: Path) -> float:
    """Return the length of a file's sound; of one that does not decode, the longest there is.

    So the build opens it again, and its LEDGER says why it cannot.
    """
    try:
        samples = decode(path, sample_rate_hz=_RATE_HZ, duration_s=_LOOK_S)
    except DecodeError:
        return MOST_S
    return sound_s(samples, _RATE_HZ) or MOST_S


def _check_splits(text: str, clips: list[LabelledClip]) -> None:
    """Raise UsageError where no sound is taken, or a split has no kit."""
    taken = [clip for clip in clips if not clip.left_out]
    if not taken:
        raise UsageError(
            f"--source one-shots:{text}: no sound of at most {MOST_S:g} s in a folder there; "
            "expected DIR/KIT/*.wav"
        )
    if missing := [split for split in SPLITS if all(clip.split != split for clip in taken)]:
        n_kits = len({clip.group for clip in taken})
        raise UsageError(
            f"--source one-shots:{text}: of {n_kits} kits none falls into {missing[0]}, by a hash "
            "of their names; add kits, or divide one into several folders"
        )


def _open(text: str, access: Access) -> TreeSource:
    check_folder(f"one-shots:{text}", Path(text), access, needs=())
    return TreeSource(Path(text))


SOURCE = NamedSource(
    "one-shots:",
    "one-shots:DIR",
    is_path=True,
    open=_open,
    labels=OwnLabels(
        list_one_shots, default_vocabulary, has_split=lambda _: True, has_labels=lambda _: False
    ),
)
