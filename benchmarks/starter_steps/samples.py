"""Recorded notes in, clips out: a real grand piano, and what Sonic Pi's CC0 samples are of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from pipeline.arrays import Float32
from pipeline.audio.decoding.decode import decode
from starter_steps.notes import CODES, DRUMS, OTHER, SECONDS
from starter_steps.render import N_SAMPLES, SAMPLE_RATE_HZ, save_clips

_SEMITONES = {"C": 0, "D#": 3, "F#": 6, "A": 9}
_PIANO_FILE = re.compile(r"([A-G]#?)(\d)v(\d+)\.ogg")
_LONGEST_S = 6.0
_SONIC_PI = {
    **dict.fromkeys(("guit_em9", "guit_e_slide", "guit_e_fifths", "guit_harmonics"), "gel"),
    "ambi_piano": "pia",
    "ambi_choir": "voi",
}
_SONIC_PI_DRUMS = ("drum", "bd", "sn", "hat", "loop_am", "perc", "tabla")


class Piano:
    """The notes of Salamander: four an octave, sixteen velocities."""

    def __init__(self, folders: list[Path]) -> None:
        self._files: dict[tuple[int, int], Path] = {}
        for path in (path for folder in folders for path in folder.rglob("*.ogg")):
            if found := _PIANO_FILE.fullmatch(path.name):
                name, octave, velocity = found.groups()
                key = _SEMITONES[name] + 12 * (int(octave) + 1)
                self._files[key, int(velocity)] = path
        self.velocities = sorted({velocity for _, velocity in self._files})

    def note(self, midi: int, velocity: int) -> Float32:
        """Return a note, from the nearest one that was recorded."""
        near = min(
            (key for key, one in self._files if one == velocity), key=lambda k: abs(k - midi)
        )
        samples = _decoded(self._files[near, velocity])
        ratio = 2 ** ((midi - near) / 12)
        at = np.arange(0, len(samples) - 1, ratio)
        return np.asarray(np.interp(at, np.arange(len(samples)), samples), np.float32)


@lru_cache(maxsize=600)
def _decoded(path: Path) -> Float32:
    samples: Float32 = decode(str(path), sample_rate_hz=SAMPLE_RATE_HZ)
    return samples[: round(_LONGEST_S * SAMPLE_RATE_HZ)]


def piano_clip(piano: Piano, rng: np.random.Generator, *, is_note: bool) -> Float32:
    """Return a note or a phrase with chords."""
    velocity = int(rng.choice(piano.velocities))
    out = np.zeros(N_SAMPLES, np.float32)
    for begin_s, midi, length_s in _one(rng) if is_note else _several(rng):
        held = round((length_s + rng.uniform(0.05, 0.4)) * SAMPLE_RATE_HZ)
        note = piano.note(midi, velocity)[:held].copy()
        n_fade = min(len(note), round(0.12 * SAMPLE_RATE_HZ))
        note[len(note) - n_fade :] *= np.linspace(1, 0, n_fade, dtype=np.float32)
        part = out[round(begin_s * SAMPLE_RATE_HZ) :][: len(note)]
        part += note[: len(part)] * np.float32(rng.uniform(0.6, 1))
    return out


def _one(rng: np.random.Generator) -> Iterator[tuple[float, int, float]]:
    yield rng.uniform(0, 0.3), int(rng.integers(24, 105)), 0.15 * 21 ** rng.random()


def _several(rng: np.random.Generator) -> Iterator[tuple[float, int, float]]:
    begin_s, beat_s, midi = rng.uniform(0, 0.2), rng.uniform(0.12, 0.55), int(rng.integers(40, 85))
    while begin_s < SECONDS:
        length_s = beat_s * rng.choice([0.5, 1, 1, 1, 2, 3])
        others = [4, 7, -12][: int(rng.integers(0, 4))] if rng.random() < 0.5 else []
        for interval in [0, *others]:
            yield begin_s, int(np.clip(midi + interval, 22, 107)), length_s * rng.uniform(0.7, 1.4)
        begin_s += length_s
        midi = int(np.clip(midi + rng.integers(-5, 6), 30, 100))


def write_piano(folders: list[Path], out: Path, *, n_clips: int) -> None:
    """Write `salamander.npz` under `out`."""
    piano, rng = Piano(folders), np.random.default_rng(5)
    clips = [piano_clip(piano, rng, is_note=k % 3 == 0) for k in range(n_clips)]
    save_clips(out / "salamander.npz", clips, [CODES.index("pia")] * n_clips)


def sonic_pi_label(name: str) -> int | None:
    """Return the number of what a sample is of; None where it is left out."""
    if name in _SONIC_PI:
        return CODES.index(_SONIC_PI[name])
    if name.startswith(_SONIC_PI_DRUMS):
        return DRUMS
    return OTHER if name.startswith("bass") else None


def write_sonic_pi(folder: Path, out: Path) -> None:
    """Write `sonicpi.npz` under `out`: clips of at most 3.2 s every 1.6 s."""
    clips: list[Float32] = []
    labels: list[int] = []
    for path in sorted(folder.rglob("samples/*.flac")):
        label = sonic_pi_label(path.stem)
        if label is None:
            continue
        samples = decode(str(path), sample_rate_hz=SAMPLE_RATE_HZ)
        starts = range(0, max(1, len(samples) - SAMPLE_RATE_HZ), N_SAMPLES // 2)
        loud = [clip for at in starts if np.abs(clip := samples[at : at + N_SAMPLES]).max() > 0.02]
        clips += loud
        labels += [label] * len(loud)
    save_clips(out / "sonicpi.npz", clips, labels)
