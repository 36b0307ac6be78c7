"""Which programs of General MIDI are a class, and notes and phrases as people play them. PURE."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CODES = ["cel", "cla", "flu", "gac", "gel", "org", "pia", "sax", "tru", "vio", "voi"]
OTHER, DRUMS = len(CODES), len(CODES) + 1
"""What is no class: other instruments and drums, by number."""
SECONDS = 3.2
"""Of a clip: a window of 2 s at any speed lies within it."""

RANGES = {
    "cel": (36, 78),
    "cla": (50, 92),
    "flu": (60, 97),
    "gac": (40, 84),
    "gel": (40, 86),
    "org": (36, 96),
    "pia": (24, 105),
    "sax": (44, 84),
    "tru": (54, 87),
    "vio": (55, 100),
    "voi": (45, 84),
    "other": (28, 90),
}
"""Lowest and highest note, in MIDI's numbers."""
_SAXOPHONES = {64: (56, 87), 65: (49, 80), 66: (44, 76), 67: (37, 69)}
_BASSES = range(32, 40)
_OTHERS: tuple[int, ...] = (
    6,
    8,
    11,
    12,
    13,
    14,
    15,
    21,
    22,
    32,
    33,
    34,
    35,
    36,
    38,
    46,
    47,
    57,
    58,
    60,
    62,
    68,
)
_OTHERS += (70, 81, 88, 90, 104, 105, 107, 114)
PROGRAMS: dict[str, list[tuple[int, int, float]]] = {
    "cel": [(0, 42, 3), (17, 42, 1)],
    "cla": [(0, 71, 3), (17, 71, 1)],
    "flu": [(0, 73, 4), (0, 72, 0.5), (17, 73, 1)],
    "gac": [(0, 24, 3), (0, 25, 3), (8, 25, 1)],
    "gel": [
        *((0, 26, 1), (0, 27, 2), (0, 28, 0.7), (0, 29, 1.5), (0, 30, 1.5), (0, 31, 0.2)),
        *((8, 27, 0.4), (8, 28, 0.5), (12, 27, 1), (8, 26, 0.3)),
    ],
    "org": [
        *((0, 16, 1.5), (0, 17, 1), (0, 18, 1), (0, 19, 2.5), (0, 20, 0.4)),
        *((8, 16, 0.5), (8, 17, 0.5), (8, 19, 0.8)),
    ],
    "pia": [(0, 0, 3), (0, 1, 2), (0, 2, 0.6), (0, 3, 0.5), (8, 0, 1.5)],
    "sax": [(0, 64, 1), (0, 65, 1.3), (0, 66, 1.3), (0, 67, 0.8)],
    "tru": [(0, 56, 3), (0, 59, 0.9), (1, 56, 1.5), (17, 56, 1)],
    "vio": [(0, 40, 3), (8, 40, 1), (17, 40, 1)],
    "voi": [(0, 52, 2), (0, 53, 1.5), (1, 52, 1), (0, 54, 0.15)],
    "other": [(0, program, 1) for program in _OTHERS],
}
"""Bank, program and weight of what a soundfont may have for a class."""
POLYPHONIC = {"gac", "gel", "org", "pia"}
BENT = {"cel", "vio", "flu", "voi", "sax", "tru", "cla"}
"""Classes that are played with vibrato."""


@dataclass(frozen=True, order=True)
class Event:
    """A note begins (velocity above 0) or ends."""

    time_s: float
    note: int
    velocity: int


def note_range(code: str, program: int) -> tuple[int, int]:
    """Return the lowest and highest note of a class that a program plays."""
    if code == "sax":
        return _SAXOPHONES.get(program, RANGES[code])
    return (24, 55) if code == "other" and program in _BASSES else RANGES[code]


def one_note(low: int, high: int, rng: np.random.Generator) -> list[Event]:
    """Return a single note of 0.15 to 3 s, anywhere in the range or near its middle."""
    middle = int(np.clip(rng.normal((low + high) / 2, 7), low, high))
    note = int(rng.integers(low, high + 1)) if rng.random() < 0.75 else middle
    begin_s, length_s = rng.uniform(0, 0.3), 0.15 * 20 ** rng.random()
    return [Event(begin_s, note, int(rng.integers(20, 127))), Event(begin_s + length_s, note, 0)]


def phrase(
    low: int, high: int, rng: np.random.Generator, *, is_polyphonic: bool, seconds: float = SECONDS
) -> list[Event]:
    """Return a melody, or chords where the instrument has such, legato to staccato."""
    note = int(np.clip(rng.normal((low + high) / 2, (high - low) / 5), low, high))
    velocity, step = int(rng.integers(20, 127)), int(rng.choice([1, 2, 3, 5]))
    time_s, beat_s, legato = rng.uniform(0, 0.2), rng.uniform(0.1, 0.55), rng.uniform(0.5, 1.25)
    has_chords, is_broken = is_polyphonic and rng.random() < 0.6, rng.random() < 0.3
    events: list[Event] = []
    while time_s < seconds:
        length_s = beat_s * rng.choice([0.5, 1, 1, 1, 2, 3])
        notes = _chord(note, low, high, rng) if has_chords else [note]
        for k, one in enumerate(notes):
            late_s = rng.uniform(0, 0.04) * k if has_chords else 0.0
            begin_s = time_s + late_s + (k * length_s / len(notes) if is_broken else 0)
            loud = int(np.clip(velocity + rng.normal(0, 10), 10, 127))
            end_s = max(begin_s + 0.03, time_s + length_s * legato)
            events += [Event(begin_s, one, loud), Event(end_s, one, 0)]
        time_s += length_s if rng.random() > 0.1 else 2 * length_s
        note = int(np.clip(note + rng.integers(-2 * step, 2 * step + 1), low, high))
    return events


def _chord(note: int, low: int, high: int, rng: np.random.Generator) -> list[int]:
    triad = [0, 4, 7] if rng.random() < 0.5 else [0, 3, 7]
    intervals = triad[: int(rng.integers(1, 4))]
    intervals += [octave for octave in (12, -12) if rng.random() < 0.3]
    return [note + one for one in intervals if low <= note + one <= high + 5] or [note]
