"""A section's span in, its musical frame out: tempo, metre, key and chords. PURE."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

MODES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10))  # in semitones
PROGRESSIONS = ((0, 3, 4, 0), (0, 5, 3, 4), (0, 4, 5, 3), (1, 4, 0, 0), (0, 6, 5, 4), (0, 2, 3, 4))


@dataclass(frozen=True)
class Song:
    """What all the parts of one section share."""

    start_s: float
    end_s: float
    beat_s: float
    """Seconds from beat to beat."""
    beats_per_bar: int
    tonic: int
    """The key's pitch class, 0 to 11."""
    mode: tuple[int, ...]
    """Semitones of the seven degrees above the tonic."""
    degrees: tuple[int, ...]
    """The chord of each bar as a degree of the mode; starts again at the end."""


def random_song(rng: Random, start_s: float, end_s: float) -> Song:
    """Return a frame with a tempo, metre, key and chords of its own."""
    return Song(
        start_s=start_s,
        end_s=end_s,
        beat_s=60 / rng.uniform(66, 150),
        beats_per_bar=rng.choice((3, 4, 4, 4)),
        tonic=rng.randrange(12),
        mode=rng.choice(MODES),
        degrees=rng.choice(PROGRESSIONS),
    )


def bars(song: Song) -> Iterator[tuple[int, float]]:
    """Yield the number and the start in seconds of every bar, the last one maybe cut short."""
    bar_s = song.beats_per_bar * song.beat_s
    for bar in range(math.ceil((song.end_s - song.start_s) / bar_s)):
        yield bar, song.start_s + bar * bar_s


def scale(song: Song, low: int, high: int) -> list[int]:
    """Return the key's pitches from `low` to `high`."""
    return [p for p in range(low, high + 1) if (p - song.tonic) % 12 in song.mode]


def chord(song: Song, bar: int, low: int, high: int) -> list[int]:
    """Return the pitches of a bar's triad from `low` to `high`."""
    degree = song.degrees[bar % len(song.degrees)]
    classes = {(song.tonic + song.mode[(degree + third) % 7]) % 12 for third in (0, 2, 4)}
    return [p for p in range(low, high + 1) if p % 12 in classes]


def root(song: Song, bar: int, low: int) -> int:
    """Return the first pitch from `low` up that is the root of a bar's chord."""
    pitch_class = song.tonic + song.mode[song.degrees[bar % len(song.degrees)]]
    return low + (pitch_class - low) % 12
