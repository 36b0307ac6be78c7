"""IRMAS in small: the official folders, a tone of its own for every class, noise under it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from pipeline.selection.vocabulary import default_vocabulary
from tests.conftest import SAMPLE_RATE_HZ

CODES = tuple(default_vocabulary().codes)
_NAMES = "train/IRMAS-TrainingData/{code}/[{code}][cla]{k:04d}__1.wav"


def write_irmas(folder: Path, *, n_train: int = 2, n_songs: int = 12, test_s: float = 5.0) -> Path:
    """Write `n_train` training clips of 3 s a class, and `n_songs` songs with 1 or 2 classes."""
    for code in CODES:
        for k in range(n_train):
            _write(folder / _NAMES.format(code=code, k=k), [code], 3.0, seed=k)
    for k in range(n_songs):
        classes = [CODES[(k + step) % len(CODES)] for step in range(1 + k % 2)]
        wav = folder / f"test/IRMAS-TestingData-Part1/Part1/({k:02d}) song {k}-1.wav"
        _write(wav, classes, test_s + k % 3, seed=100 + k)
        wav.with_suffix(".txt").write_text("".join(f"{code}\t\n" for code in classes))
    return folder


def _write(path: Path, classes: Sequence[str], seconds: float, *, seed: int) -> None:
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    sound = 0.01 * rng.standard_normal(len(time_s))
    for code in classes:
        f0_hz = 150.0 * 1.25 ** CODES.index(code) * rng.uniform(0.98, 1.02)
        for n in range(1, 6):
            sound += 0.1 / n * np.sin(2 * np.pi * n * f0_hz * time_s + rng.uniform(0, 6))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, SAMPLE_RATE_HZ, subtype="PCM_16")
