"""A soundfont in, clips of each class out, by tinysoundfont.

Its wheel asks for pyaudio, which does not build without portaudio and is not needed to render:
`pip install --no-deps tinysoundfont`.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pipeline.arrays import Float32
from starter_steps.notes import (
    BENT,
    CODES,
    DRUMS,
    POLYPHONIC,
    PROGRAMS,
    SECONDS,
    Event,
    note_range,
    one_note,
    phrase,
)

SAMPLE_RATE_HZ = 32_000
N_SAMPLES = round(SECONDS * SAMPLE_RATE_HZ)
DRUM_KITS = (0, 8, 16, 24, 25, 32, 40, 48)
_DRUM_BANK = 128
_BARS = {36: "x...x...", 38: "..x...x.", 42: "xxxxxxxx", 46: ".......x"}
_BEND_RANGE = 4096  # pitch wheel steps of a semitone, where the wheel reaches two
_GRID_S = 0.02
_FULL = 30_000  # peak of a clip in 16 bits


class Instrument:
    """A soundfont that plays one clip at a time."""

    def __init__(self, path: Path, name: str) -> None:
        sys.modules.setdefault("pyaudio", ModuleType("pyaudio"))
        synth: Any = importlib.import_module("tinysoundfont").Synth
        self._synth = synth(samplerate=SAMPLE_RATE_HZ, gain=-6)
        self._font = self._synth.sfload(str(path))
        self._rng = np.random.default_rng(list(name.encode()))

    def has(self, bank: int, program: int) -> bool:
        """Say whether it has a program."""
        try:
            return self._synth.sfpreset_name(self._font, bank, program) is not None
        except Exception:  # it has a type of its own for each fault
            return False

    def clip(self, code: str, *, is_note: bool) -> Float32 | None:
        """Play a note or a phrase of a class; None where it has no program for it."""
        known = [one for one in PROGRAMS[code] if self.has(*one[:2])]
        if not known:
            return None
        weights = np.array([weight for *_, weight in known])
        bank, program, _ = known[self._rng.choice(len(known), p=weights / weights.sum())]
        self._select(bank, program)
        low, high = note_range(code, program)
        if is_note:
            events = one_note(low, high, self._rng)
        else:
            events = phrase(low, high, self._rng, is_polyphonic=code in POLYPHONIC)
        has_vibrato = code in BENT and self._rng.random() < 0.4
        return self._played(events, self._bends(has_vibrato))

    def drums(self) -> Float32 | None:
        """Play a bar of drums with accidents; None where it has no kit."""
        kits = [kit for kit in DRUM_KITS if self.has(_DRUM_BANK, kit)]
        if not kits:
            return None
        rng = self._rng
        self._select(_DRUM_BANK, int(rng.choice(kits)), is_drums=True)
        beat_s = rng.uniform(0.1, 0.3)
        parts = []
        for k in range(int(SECONDS / beat_s) + 1):
            for note, bar in _BARS.items():
                if (bar[k % 8] == "x" and rng.random() < 0.85) or rng.random() < 0.05:
                    self._synth.noteon(0, note, int(rng.integers(40, 120)))
            if rng.random() < 0.08:
                self._synth.noteon(0, int(rng.integers(35, 60)), 90)
            parts.append(self._generated(round(beat_s * SAMPLE_RATE_HZ)))
        return np.concatenate(parts)[:N_SAMPLES]

    def _select(self, bank: int, program: int, *, is_drums: bool = False) -> None:
        self._synth.sounds_off()
        self._synth.program_select(0, self._font, bank, program, is_drums)

    def _bends(self, has_vibrato: bool) -> list[tuple[float, float]]:
        """Return seconds and semitones off: some are out of tune, some have vibrato."""
        rng = self._rng
        detuned = rng.normal(0, 0.15)
        rate_hz, depth, onset_s = (
            rng.uniform(4.5, 6.5),
            rng.uniform(0.1, 0.45),
            rng.uniform(0.1, 0.6),
        )
        if not has_vibrato:
            return [(0.0, detuned)]
        times_s = np.arange(0, SECONDS, _GRID_S)
        swing = depth * np.sin(2 * np.pi * rate_hz * times_s) * np.minimum(1, times_s / onset_s)
        return list(zip(times_s.tolist(), (detuned + swing).tolist(), strict=True))

    def _played(self, events: list[Event], bends: list[tuple[float, float]]) -> Float32:
        changes: list[tuple[float, int, Any]] = [(time_s, 0, off) for time_s, off in bends]
        changes += [(one.time_s, 1, one) for one in sorted(events) if one.time_s < SECONDS]
        done, parts = 0, []
        for time_s, kind, what in sorted(changes, key=lambda one: one[:2]):
            at = round(time_s * SAMPLE_RATE_HZ)
            if at > done:
                parts.append(self._generated(at - done))
                done = at
            if kind == 0:
                wheel = 8192 + _BEND_RANGE * what
                self._synth.pitchbend(0, int(np.clip(wheel, 0, 16383)))
            elif what.velocity:
                self._synth.noteon(0, what.note, what.velocity)
            else:
                self._synth.noteoff(0, what.note)
        parts.append(self._generated(N_SAMPLES - done))
        return np.concatenate(parts)

    def _generated(self, n_samples: int) -> Float32:
        stereo = np.frombuffer(bytes(self._synth.generate(n_samples)), np.float32)
        return np.asarray(stereo.reshape(-1, 2).mean(axis=1))


def render(path: Path, name: str, out: Path, *, n_clips: int) -> None:
    """Write `n_clips` of each class, of others and of drums: `NAME.npz` under `out`."""
    instrument = Instrument(path, name)
    clips: list[Float32] = []
    labels: list[int] = []
    for label in range(DRUMS + 1):
        for k in range(n_clips):
            code = [*CODES, "other", "drums"][label]
            clip = (
                instrument.drums() if label == DRUMS else instrument.clip(code, is_note=k % 2 == 0)
            )
            if clip is not None and np.abs(clip).max() > 1e-4:
                clips.append(clip)
                labels.append(label)
    save_clips(out / f"{name}.npz", clips, labels)


def save_clips(path: Path, clips: list[Float32], labels: list[int]) -> None:
    """Write clips of `N_SAMPLES` in 16 bits, each at full scale, and their labels."""
    samples = np.zeros((len(clips), N_SAMPLES), np.int16)
    for row, clip in zip(samples, clips, strict=True):
        n = min(len(clip), N_SAMPLES)
        row[:n] = clip[:n] / np.abs(clip).max() * _FULL
    np.savez(path, samples=samples, labels=np.array(labels))
