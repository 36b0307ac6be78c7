"""Which of the machine's General MIDI soundfonts each recording is rendered with.

With the wheel's TimGM6mb alone nothing is drawn, and recordings are what they always were.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from random import Random

import midirenderer

from pipeline.demo.compose import Section, compose
from pipeline.demo.idioms import SOUNDS
from pipeline.errors import UsageError

FOLDERS = (
    "/usr/share/sounds/sf2",
    "/usr/share/sounds/sf3",
    "/usr/share/soundfonts",
    "/usr/local/share/soundfonts",
    "~/.local/share/soundfonts",
)
SUFFIXES = (".sf2", ".sf3")
WHEEL = "TimGM6mb.sf2"
DRUM_BANK = 128
_PRESET = struct.Struct("<20sHH14x")  # name, program, bank (SoundFont 2.04, section 7.2)
_PROBE = (Section(0.0, 1.0, ("pia",)),)


@dataclass(frozen=True)
class Soundfont:
    """A soundfont that the synthesizer can play."""

    path: str
    """Where it is; empty for the wheel's own."""
    sounds: frozenset[str]
    """The sounds in `idioms.SOUNDS` of which it has every program."""

    @property
    def name(self) -> str:
        """Name of the soundfont's file, without its folder."""
        return Path(self.path).name or WHEEL


def usable(
    paths: Sequence[str] = (), folders: Sequence[str] = FOLDERS
) -> tuple[list[Soundfont], list[str]]:
    """Return the soundfonts to render with, and a line of each that lacks something.

    Those of `paths`; without any, the wheel's and what is in `folders`. What the synthesizer cannot
    read is left out with a line. UsageError where a path is no file, or none is left.
    """
    if named := os.environ.get("TIMBRE_SOUNDFONT"):
        paths = paths or (named,)
    for path in paths:
        if not Path(path).is_file():
            raise UsageError(f"--soundfonts {path}: no such file; give .sf2 files, by comma")
    fonts, lines = [], []
    for path in paths or ("", *found(folders)):
        try:
            font = _opened(path)
        except (OSError, ValueError, RuntimeError, struct.error) as error:
            lines.append(f"{path}: left out, as the synthesizer cannot read it: {error}")
            continue
        fonts.append(font)
        if missing := sorted(SOUNDS.keys() - font.sounds):
            lines.append(f"{path}: not used for {', '.join(missing)}: it lacks their programs")
    if not fonts:
        raise UsageError("; ".join(lines))
    return fonts, lines


def found(folders: Sequence[str]) -> list[str]:
    """Return the soundfonts of folders, each file once, but those that the wheel has.

    Distributions link to them by other names (default-GM.sf2).
    """
    paths = [path for folder in folders for path in sorted(Path(folder).expanduser().glob("*"))]
    files = {str(path.resolve()) for path in paths if path.suffix.lower() in SUFFIXES}
    return sorted(file for file in files if Path(file).name != WHEEL)


def chosen(fonts: Sequence[Soundfont], sounds: set[str], seed: str) -> Soundfont:
    """Return the soundfont of a recording: by its seed, of those that have all of its sounds.

    Where none has them all, the first one is it.
    """
    fitting = [font for font in fonts if sounds <= font.sounds]
    return Random(f"soundfont/{seed}").choice(fitting) if fitting else fonts[0]


def programs_of(data: bytes) -> set[tuple[int, int]]:
    """Return the presets of a soundfont, as bank and program; ValueError for other files."""
    if data[:4] != b"RIFF" or data[8:12] != b"sfbk":
        raise ValueError("it is no soundfont")
    for name, start, end in _chunks(data, 12, len(data)):
        if name == b"LIST" and data[start : start + 4] == b"pdta":
            for inner, first, last in _chunks(data, start + 4, end):
                if inner == b"phdr":
                    rows = list(_PRESET.iter_unpack(data[first:last]))
                    return {(bank, program) for _, program, bank in rows[:-1]}  # then the end mark
    raise ValueError("it lists no presets")


def soundfont_bytes(path: str) -> bytes:
    """Return a soundfont's bytes; the wheel's for an empty path."""
    if path:
        return Path(path).read_bytes()
    return (resources.files("pretty_midi") / WHEEL).read_bytes()


def _opened(path: str) -> Soundfont:
    data = soundfont_bytes(path)
    midirenderer.render_wave_from(data, compose(_PROBE, seed=""))
    there = programs_of(data)
    has = {sound: _programs(sound) <= there for sound in SOUNDS}
    return Soundfont(path, frozenset(sound for sound, whole in has.items() if whole))


def _programs(sound: str) -> set[tuple[int, int]]:
    """Return bank and program of every voice of a sound."""
    bank = DRUM_BANK if sound == "dru" else 0
    return {(bank, voice.program) for voice in SOUNDS[sound].voices}


def _chunks(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each chunk of a RIFF file's part."""
    while start + 8 <= end:
        size = int.from_bytes(data[start + 4 : start + 8], "little")
        yield data[start : start + 4], start + 8, start + 8 + size
        start += 8 + size + size % 2
