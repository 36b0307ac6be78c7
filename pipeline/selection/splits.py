"""The splits of a dataset, and how a user says what goes where. PURE, and light to import."""

from __future__ import annotations

from typing import Literal, get_args

from pipeline.errors import UsageError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
SplitBy = Literal["song", "file"]
"""What of IRMAS's testing form is kept in one split: all excerpts of a song, or each file alone."""
AUDIOSET = "audioset"
"""The division that AudioSet's own files make."""


def parse_split(text: str) -> tuple[int, int, int] | None:
    """Return '70/10/20' as (70, 10, 20), and 'audioset' as None."""
    if text == AUDIOSET:
        return None
    parts = text.split("/")
    if len(parts) != 3 or not all(p.isdecimal() for p in parts) or sum(map(int, parts)) != 100:
        raise UsageError(
            f"--split {text!r}: expected {AUDIOSET!r}, or three whole percentages that make 100"
        )
    return int(parts[0]), int(parts[1]), int(parts[2])
