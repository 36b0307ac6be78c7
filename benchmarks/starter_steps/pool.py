"""Clips in, a pool of windows to learn from out: mixed, randomised, and heard by the teachers once.

Nine in twenty clips of a class that has recordings are real. A recording says nothing of classes
that no recording has (electric guitar, organ, piano): else "sounds real" would teach "no piano".
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.arrays import Float32
from pipeline.audio.decoding.decode import decode
from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.training.augmenting.randomise.base import rms
from pipeline.training.augmenting.randomise.chain import DEFAULT, randomised
from pipeline.training.augmenting.randomise.silence import placed
from starter_steps.encoders import Teacher, encoded
from starter_steps.mixture import Mixture, mixed
from starter_steps.notes import CODES, DRUMS, OTHER
from starter_steps.render import SAMPLE_RATE_HZ

INPUT_SPEC = LogMelInput(LogMelSpec(SAMPLE_RATE_HZ, 2048, 640, 96, 40.0, 14_000.0))
WINDOWS = WindowSpec(2.0, 1.0)
N_WINDOW = round(WINDOWS.window_s * SAMPLE_RATE_HZ)
REAL = "real:"
UNRECORDED = [CODES.index(code) for code in ("gel", "org", "pia")]

_LEVEL = 0.1  # root mean square that clips are brought to
_LOUD_ENOUGH = 1e-3  # mean square, at full scale, of a place in a recording with sound in it
_MIXTURE = Mixture()


@dataclass(frozen=True)
class Clip:
    """A sound, what it is of, and where it is from."""

    samples: Float32
    label: int
    source: str

    @property
    def is_real(self) -> bool:
        """Whether it is a recording."""
        return self.source.startswith(REAL)


def recordings(folder: Path) -> list[Clip]:
    """Return the recordings of a folder with `manifest.csv`: path, label, source."""
    with (folder / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    clips = []
    for row in rows:
        samples = decode(str(folder / row["path"]), sample_rate_hz=SAMPLE_RATE_HZ)
        label = CODES.index(row["label"]) if row["label"] in CODES else OTHER
        full = (samples / (np.abs(samples).max() + 1e-9)).astype(np.float32)
        clips.append(Clip(full, label, REAL + row["source"]))
    return clips


class Sounds:
    """All clips by class and source; draws are balanced over both."""

    def __init__(
        self, files: list[Path], real: list[Clip], rng: np.random.Generator, *, real_share: float
    ) -> None:
        self.rng, self._real_share = rng, real_share
        self._rendered: dict[int, dict[str, list[Float32]]] = defaultdict(dict)
        self._real: dict[int, dict[str, list[Clip]]] = defaultdict(lambda: defaultdict(list))
        for path in files:
            kept = np.load(path)
            samples, labels = kept["samples"], kept["labels"]
            for label in np.unique(labels).tolist():
                self._rendered[label][path.stem] = list(samples[labels == label])
        for clip in real:
            self._real[clip.label][clip.source].append(clip)

    def draw(self, label: int) -> Clip:
        """Draw a clip of a class, brought to one level."""
        if label in self._real and self.rng.random() < self._real_share:
            clip = self._recording(self._real[label])
        else:
            of_class = self._rendered.get(label) or self._rendered[OTHER]
            source = list(of_class)[self.rng.integers(len(of_class))]
            found = of_class[source][self.rng.integers(len(of_class[source]))]
            clip = Clip(found.astype(np.float32) / np.float32(32_768), label, source)
        samples = self._part(clip.samples)
        levelled = samples * np.float32(_LEVEL / (rms(samples) + 1e-6))
        return Clip(levelled, label, clip.source)

    def _recording(self, of_class: dict[str, list[Clip]]) -> Clip:
        """Draw a recording; a source with four times as many is drawn twice as often."""
        sources = list(of_class)
        weights = np.sqrt([len(of_class[one]) for one in sources])
        source = sources[self.rng.choice(len(sources), p=weights / weights.sum())]
        return of_class[source][self.rng.integers(len(of_class[source]))]

    def _part(self, samples: Float32) -> Float32:
        """Return as much as a window asks for at any speed, from a place with sound in it."""
        n = DEFAULT.n_asked(N_WINDOW)
        if len(samples) <= n:
            return samples
        parts = []
        for _ in range(3):
            start = int(self.rng.integers(0, len(samples) - n + 1))
            parts.append(samples[start : start + n])
            if rms(parts[-1]) ** 2 > _LOUD_ENOUGH:
                return parts[-1]
        return max(parts, key=rms)


@dataclass(frozen=True)
class Drawn:
    """A window to learn from."""

    samples: Float32
    target: Float32
    is_known: Float32
    """1 where the target is to be believed."""
    sources: str
    """Of its clips, with | between them."""


def draw_window(sounds: Sounds, *, is_randomised: bool = True, has_mixtures: bool = True) -> Drawn:
    """Draw a window of one to three clips, as one recording of them may sound."""
    rng = sounds.rng
    label = int(rng.integers(0, OTHER + 1))
    clips = [sounds.draw(int(rng.choice([OTHER, DRUMS])) if label == OTHER else label)]
    n_clips = _MIXTURE.draw_n(rng) if has_mixtures else 1
    clips += [sounds.draw(_accompaniment(rng)) for _ in range(n_clips - 1)]
    target, is_known = np.zeros(len(CODES), np.float32), np.ones(len(CODES), np.float32)
    for clip in clips:
        if clip.label < len(CODES):
            target[clip.label] = 1
        if clip.is_real:
            is_known[UNRECORDED] = 0
    longest = max(len(clip.samples) for clip in clips)
    parts = [_overdriven(clip, rng) if k == 0 else clip.samples for k, clip in enumerate(clips)]
    parts = [_somewhere(part, longest, rng) for part in parts]
    gains_db = [0.0, *rng.uniform(*_MIXTURE.gain_db, len(parts) - 1)]
    samples = mixed(parts, gains_db)
    if is_randomised:
        samples = randomised(samples, rng, SAMPLE_RATE_HZ, n_samples=N_WINDOW)
    else:
        samples = placed(samples, rng, N_WINDOW)
    sources = "|".join(clip.source for clip in clips)
    return Drawn(samples, target, np.maximum(is_known, target), sources)


def _accompaniment(rng: np.random.Generator) -> int:
    kind = rng.random()
    if kind < 0.6:
        return int(rng.integers(0, len(CODES)))
    return OTHER if kind < 0.8 else DRUMS


def _overdriven(clip: Clip, rng: np.random.Generator) -> Float32:
    """Return an electric guitar through an amplifier, now and then; other clips as they are."""
    if clip.label != CODES.index("gel") or rng.random() >= 0.35:
        return clip.samples
    drive = 10 ** rng.uniform(0.2, 1.6)
    loud = np.tanh(clip.samples / (np.abs(clip.samples).max() + 1e-6) * drive)
    return np.asarray(loud / (rms(loud) + 1e-6) * _LEVEL, np.float32)


def _somewhere(samples: Float32, n_samples: int, rng: np.random.Generator) -> Float32:
    before = int(rng.integers(0, n_samples - len(samples) + 1))
    return np.pad(samples, (before, n_samples - len(samples) - before))


def write_pool(
    sounds: Sounds,
    encoders: list[Teacher],
    path: Path,
    *,
    n_windows: int,
    is_randomised: bool = True,
    has_mixtures: bool = True,
) -> None:
    """Write log-mels for the student, features of the teachers, targets and sources."""
    n_frames = WINDOWS.n_frames(INPUT_SPEC)
    mels = np.zeros((n_windows, INPUT_SPEC.n_rows, n_frames), np.float16)
    features = np.zeros((n_windows, sum(one.n_features for one in encoders)), np.float16)
    targets, is_known = np.zeros((2, n_windows, len(CODES)), np.float32)
    sources = []
    for k in range(n_windows):
        drawn = draw_window(sounds, is_randomised=is_randomised, has_mixtures=has_mixtures)
        mels[k] = INPUT_SPEC.matrix(drawn.samples)
        features[k] = encoded(drawn.samples, encoders)
        targets[k], is_known[k] = drawn.target, drawn.is_known
        sources.append(drawn.sources)
    np.savez(
        path,
        mels=mels,
        features=features,
        targets=targets,
        is_known=is_known,
        sources=np.array(sources),
    )
