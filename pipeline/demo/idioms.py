"""How each sound of the demo is played: the tables that composing reads. PURE.

A sound is a class code of the vocabulary, or one of `OTHERS`, which are no class. Programs are
General MIDI, counted from 0; pitches are MIDI note numbers, 60 is middle C.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Texture = Literal["melody", "chords", "held", "arpeggio", "strum", "riff", "hands", "bass", "drums"]

DRUM_CHANNEL = 9


@dataclass(frozen=True)
class Voice:
    """One program of the soundfont."""

    program: int
    """Its General MIDI program, from 0."""
    low: int
    """The lowest pitch that players write for it."""
    high: int
    """Highest MIDI note that the voice plays."""
    level_db: float
    """How loud the soundfont plays it, in dBFS RMS: measured, to balance one with another."""
    ring_s: float = 60.0
    """How long a held note sounds: composing writes no note that is longer."""


@dataclass(frozen=True)
class Idiom:
    """What a player does with a sound."""

    voices: tuple[Voice, ...]
    """Programs to choose from; one that stands twice is chosen twice as often."""
    textures: tuple[Texture, ...]
    """What to play, chosen likewise."""
    bends: bool = False
    """Notes swell, shake and are scooped: strings, winds and voices."""
    gain_db: float = 0.0
    """Against the other sounds: backing is quiet."""


CLASSES: dict[str, Idiom] = {
    "cel": Idiom((Voice(42, 36, 76, -29.2),), ("melody",), bends=True),
    "cla": Idiom((Voice(71, 50, 89, -32.9),), ("melody",), bends=True),
    "flu": Idiom((Voice(73, 60, 94, -30.5),), ("melody",), bends=True),
    "gac": Idiom(
        (Voice(24, 40, 79, -33.2, 2.5), Voice(25, 40, 79, -36.6, 2.5)),
        ("strum", "arpeggio", "melody"),
    ),
    "gel": Idiom(
        (
            Voice(27, 40, 82, -40.0, 2.0),
            Voice(29, 40, 84, -35.5),
            Voice(30, 40, 84, -33.4),
        ),
        ("riff", "strum", "melody", "arpeggio"),
    ),
    "org": Idiom(
        (
            Voice(16, 36, 90, -33.4),
            Voice(18, 36, 90, -34.3),
            Voice(19, 36, 90, -35.7),
        ),
        ("hands", "hands", "chords", "melody"),
    ),
    "pia": Idiom(
        (Voice(0, 28, 98, -39.0, 3.0), Voice(1, 28, 98, -39.0, 3.0)),
        ("hands", "hands", "chords", "arpeggio", "melody"),
    ),
    "sax": Idiom(
        (
            Voice(65, 49, 63, -32.5),  # the soundfont's alto is mute at 64
            Voice(65, 65, 80, -32.5),
            Voice(66, 44, 76, -35.3),
        ),
        ("melody",),
        bends=True,
    ),
    "tru": Idiom((Voice(56, 54, 84, -35.5),), ("melody",), bends=True),
    "vio": Idiom((Voice(40, 55, 96, -30.1),), ("melody",), bends=True),
    "voi": Idiom(
        (Voice(52, 45, 79, -34.0), Voice(53, 45, 79, -34.1)),
        ("melody", "chords"),
        bends=True,
    ),
}

OTHERS: dict[str, Idiom] = {
    "epi": Idiom((Voice(4, 36, 90, -32.6, 2.5), Voice(5, 36, 90, -36.3, 2.5)), ("hands", "chords")),
    "piz": Idiom((Voice(45, 55, 84, -36.0, 0.4),), ("melody", "arpeggio")),
    "bas": Idiom(
        (
            Voice(32, 28, 52, -32.8, 1.5),
            Voice(33, 28, 52, -32.7, 2.0),
            Voice(34, 28, 52, -34.6, 1.5),
            Voice(35, 28, 52, -32.1, 2.0),
        ),
        ("bass",),
        gain_db=-10.0,
    ),
    "pad": Idiom(
        (Voice(49, 45, 76, -38.1), Voice(51, 45, 76, -34.0), Voice(89, 45, 76, -37.6)),
        ("held",),
        gain_db=-12.0,
    ),
    "dru": Idiom(
        tuple(Voice(kit, 35, 81, -37.0) for kit in (0, 8, 16, 24, 25, 32, 40)),
        ("drums",),
        gain_db=-9.0,
    ),
}

SOUNDS = CLASSES | OTHERS
