"""What a user of commit 569e935 has on disk: a dataset, models, tags, made by that version's jobs.

Its source comes out of this repository's history, and runs in processes of its own with the
packages of today.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import SAMPLE_RATE_HZ

ROOT = Path(__file__).parents[2]
COMMIT = "569e935"
N_EPOCHS, N_EPOCHS_INTERRUPTED = 2, 8
Command = tuple[object, ...]
"""Words of a command line: a job's name and its flags, or the flags alone."""
MIDS = {"cel": "/m/01xqw", "flu": "/m/0l14j_", "pia": "/m/05r5c"}
_PATIENT = {"RAY_worker_register_timeout_seconds": "600"}
"""For a busy machine: Ray gives a process 60 s to start."""
_F0_HZ = {"cel": 130.0, "flu": 700.0, "pia": 350.0}
_TINY = ("--model", "resnet10t", "--input-size", "32x32", "--batch-size", "8", "--lr", "1e-3")


@dataclass(frozen=True)
class Old:
    """The folders that the old version has written, and what it made them of."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        """Return a file or folder by its name."""
        return self.folder / name

    @property
    def night(self) -> Command:
        """The command line that wrote `tags`, but for --out; in float32, so that machines agree."""
        flags = ("--keep-windows", "--embeddings", "--gate", "0.2", "--precision", "f32")
        return ("--catalog", self.music, "--model", self.model, *flags)

    def train(self, n_epochs: int) -> Command:
        """Return the old command line of a network, but for --out."""
        return ("--dataset", self.dataset, *_TINY, "--epochs", n_epochs)

    @property
    def build(self) -> Command:
        """The old command line of the dataset, but for --out."""
        sheet, split = self.folder / "segments.csv", ("--split", "50/25/25", "--shard-size", "4")
        return ("--segments", sheet, "--source", self.videos, *split)


def old_tree(folder: Path) -> Path:
    """Unpack the old version; skip the test where the checkout does not have it."""
    packed = subprocess.run(
        ["git", "archive", COMMIT, "README.md", "docs", "jobs", "pipeline", "schemas"],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    if packed.returncode:
        pytest.skip(f"the history has no commit {COMMIT}: not a clone of git, or a shallow one")
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", folder], input=packed.stdout, check=True)
    # It asks for the version of the distribution `timbre`, which has another name now.
    info = folder / "timbre-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: timbre\nVersion: 0.1.0\n")
    return folder


def run_old_jobs(tree: Path, *commands: Command) -> None:
    """Run jobs of the old version one after the other; fail with what they said."""
    environment = {**os.environ, "PYTHONPATH": str(tree), **_PATIENT}
    environment.pop("RAY_ADDRESS", None)
    words = [texts(*command) for command in commands]
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("old_jobs.py"), json.dumps(words)],
        cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def texts(*words: object) -> list[str]:
    """Return words as a command line has them."""
    return [str(word) for word in words]


def write_segments(folder: Path) -> None:
    """Write 24 videos of 5 s, one of which is missing and one no audio, and their segments."""
    rows = ["# Segments csv", "# num_ytids=24", "# YTID, start_seconds, end_seconds, labels"]
    for k in range(24):
        code, name = list(MIDS)[k % 3], f"video{k:06d}"
        rows.append(f'{name}, 1.000, 4.000, "{MIDS[code]}"')
        if k < 22:
            write_track(folder / "videos" / f"{name}.wav", code, 5.0, seed=k)
    (folder / "videos" / "video000023.wav").write_bytes(b"no audio" * 99)
    (folder / "segments.csv").write_text("\n".join(rows) + "\n")


def write_music(folder: Path) -> None:
    """Write ten tracks of four formats, a silent one and one that is no audio; and their truth."""
    truth = ["uri,labels"]
    for k in range(10):
        code, suffix = list(MIDS)[k % 3], ("wav", "flac", "ogg", "mp3")[k % 4]
        write_track(folder / f"track {k}.{suffix}", code, 2 + 0.7 * k, seed=100 + k)
        truth.append(f"track {k}.{suffix},{code}")
    soundfile.write(folder / "silence.wav", np.zeros(3 * SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)
    (folder / "text.mp3").write_bytes(b"no music at all\n" * 99)
    (folder / "truth.csv").write_text("\n".join(truth) + "\n")


def write_track(path: Path, code: str, seconds: float, *, seed: int) -> None:
    """Write a tone with harmonics and some noise, by which the three classes are told apart."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    f0_hz = _F0_HZ[code] * rng.uniform(0.95, 1.05)
    sound = 0.01 * rng.standard_normal(len(time_s))
    for n in range(1, 6):
        sound += 0.1 / n * np.sin(2 * np.pi * n * f0_hz * time_s)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, SAMPLE_RATE_HZ)


def make_old(tree: Path, folder: Path) -> Old:
    """Make the audio, and run the old version on it: about two minutes of two slow cores."""
    old = Old(folder)
    write_segments(folder)
    write_music(old.music)
    run_old_jobs(tree, *_models(old), *_taggings(old), _interrupted(old))
    return old


def _models(old: Old) -> list[Command]:
    """Return a build, two trainings, an evaluation, and features."""
    data = ("--dataset", old.dataset)
    features = ("--features", "rms,zcr", "--pool", "mean")
    return [
        ("build_subset", *old.build, "--out", old.dataset),
        ("train", *old.train(N_EPOCHS), "--out", old.model),
        ("train", *data, "--model", "random-forest", "--out", old.forest),
        ("evaluate", *data, "--model", old.model, "--out", old.evaluation),
        ("extract_features", *data, *features, "--out", old.features),
    ]


def _taggings(old: Old) -> list[Command]:
    """Return two nights, each by one process of the model, and an export."""
    one = ("--workers", "1")
    forest = ("--catalog", old.music, "--model", old.forest)
    return [
        ("tag_catalog", *old.night, *one, "--out", old.tags),
        ("tag_catalog", *forest, *one, "--out", old.forest_tags),
        ("export", "--tags", old.tags, "--format", "csv", "--out", old.exported),
    ]


def _interrupted(old: Old) -> Command:
    return ("interrupted:train", *old.train(N_EPOCHS_INTERRUPTED), "--out", old.interrupted)
