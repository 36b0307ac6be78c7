"""Recordings in, audio files out: composed, synthesized, mastered, encoded, on all cores. An edge.

A file carries the fingerprint of its recording in its comment, so a second run over the same folder
makes only what is missing or was planned otherwise.
"""

from __future__ import annotations

import csv
import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import connection, get_context, parent_process
from pathlib import Path

from pipeline.demo.compose import Section, compose
from pipeline.demo.render import RATE_HZ, comment_of, encode, master, resample, synthesize
from pipeline.demo.soundfonts import WHEEL, Soundfont, chosen
from pipeline.runs.logs import progress_bar

RECIPE = 2  # goes up when the same recording would sound otherwise


@dataclass(frozen=True)
class Recording:
    """One audio file to make: what plays, and its format."""

    path: Path
    """Where it goes; the suffix says in which format."""
    seed: str
    """What all its chances are drawn from."""
    sections: tuple[Section, ...]
    """What sounds when; the last one ends the file."""
    loud_s: tuple[float, float]
    """From when to when its loudness is measured and set."""
    rate_hz: int = RATE_HZ
    n_channels: int = 2
    soundfont: str = field(default="", repr=False)
    """Path of the soundfont that plays; empty for the wheel's."""

    @property
    def duration_s(self) -> float:
        """How long it is."""
        return max(section.end_s for section in self.sections)

    @property
    def fingerprint(self) -> str:
        """The same for the same recording, in whatever folder."""
        soundfont = self.soundfont or os.environ.get("TIMBRE_SOUNDFONT", "")
        text = repr((RECIPE, soundfont, replace(self, path=Path(self.path.name))))
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def with_soundfont(recording: Recording, fonts: Sequence[Soundfont]) -> Recording:
    """Return the recording to be played by one of the soundfonts; by the wheel's without any."""
    if not fonts:
        return recording
    sounds = {sound for section in recording.sections for sound in section.sounds}
    return replace(recording, soundfont=chosen(fonts, sounds, recording.seed).path)


def record(recording: Recording) -> Path:
    """Make the file, and return its path."""
    midi = compose(recording.sections, seed=recording.seed)
    samples = synthesize(midi, duration_s=recording.duration_s, soundfont=recording.soundfont)
    samples = master(samples, seed=recording.seed, loud_s=recording.loud_s)
    if recording.n_channels == 1:
        samples = samples.mean(axis=1)
    recording.path.parent.mkdir(parents=True, exist_ok=True)
    encode(
        resample(samples, recording.rate_hz),
        recording.rate_hz,
        recording.path,
        comment=recording.fingerprint,
    )
    return recording.path


def record_all(recordings: Sequence[Recording], *, workers: int, title: str) -> list[Path]:
    """Make the files that are missing or of another plan, and return the paths of those.

    The longest come first, so that all processes end at about the same time.
    """
    todo = [each for each in recordings if comment_of(each.path) != each.fingerprint]
    todo.sort(key=lambda each: each.duration_s, reverse=True)
    bar = progress_bar(
        desc=title, unit=" files", total=len(recordings), initial=len(recordings) - len(todo)
    )
    with bar, _results(todo, min(workers, len(todo))) as paths:
        made = []
        for path in paths:
            made.append(path)
            bar.update()
    return made


def write_chosen(root: Path, recordings: Sequence[Recording]) -> None:
    """Write `soundfonts.csv`: `file`, relative to `root`, and `soundfont`, which made it."""
    with (root / "soundfonts.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "soundfont"])
        for one in recordings:
            name = Path(one.soundfont).name or WHEEL
            writer.writerow([one.path.relative_to(root).as_posix(), name])


@contextmanager
def _results(todo: Sequence[Recording], workers: int) -> Iterator[Iterator[Path]]:
    """Give the paths as they are made: by processes, for synthesizing holds the interpreter."""
    if workers <= 1:
        yield map(record, todo)
        return
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_end_with_parent
    ) as pool:
        yield pool.map(record, todo)


def _end_with_parent() -> None:
    """Let a worker end when its parent is killed: else it would wait for work for ever."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
