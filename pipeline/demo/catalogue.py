"""A seed in, a small music library out: tracks in seven formats, a few hostile files, the truth.

The tracks are new music, by the same synthesizer as the corpus. What is hostile is what real
libraries hold: empty files, text by the name of music, files cut short, headers that lie.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from pipeline.demo.compose import Section
from pipeline.demo.corpus import backing, deal
from pipeline.demo.recording import Recording, record_all, with_soundfont
from pipeline.demo.soundfonts import Soundfont

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".webm")
FOLDERS = ("", "Été & Orages", 'It\'s "live" (2)', "a/b/c")
N_CHANNELS = (2, 2, 1)
RATES_HZ = (44_100, 48_000, 22_050)
ONE_RATE = (".opus", ".webm")  # Opus knows 48 kHz only


@dataclass(frozen=True)
class Track:
    """One good file of the library."""

    recording: Recording
    codes: tuple[str, ...]
    """The classes that play in it."""


def plan_catalogue(folder: Path, seed: int, *, n_tracks: int = 21) -> list[Track]:
    """Return `n_tracks` tracks of 20 to 45 s, in every format in turn."""
    rng = Random(f"catalogue/{seed}")
    sizes = [1 + (k % 4 == 3) for k in range(n_tracks)]
    return [_track(rng, folder, seed, k, codes) for k, codes in enumerate(deal(rng, sizes))]


def render_catalogue(
    folder: Path, seed: int, *, workers: int, fonts: Sequence[Soundfont] = ()
) -> list[Track]:
    """Make the library and `truth.csv` (uri, labels) beside it; what is there already stays."""
    tracks = [
        replace(track, recording=with_soundfont(track.recording, fonts))
        for track in plan_catalogue(folder, seed)
    ]
    record_all([track.recording for track in tracks], workers=workers, title="tracks")
    _write_hostile(folder, tracks)
    _write_truth(folder.with_name("truth.csv"), tracks)
    return tracks


def _track(rng: Random, folder: Path, seed: int, k: int, codes: tuple[str, ...]) -> Track:
    suffix = SUFFIXES[k % len(SUFFIXES)]
    duration_s = float(rng.randint(20, 45))
    path = folder / FOLDERS[k % len(FOLDERS)] / f"{k:02d} {'+'.join(sorted(codes))}{suffix}"
    recording = Recording(
        path=path,
        seed=f"catalogue/{seed}/{k}",
        sections=(Section(0.0, duration_s, codes + backing(rng)),),
        loud_s=(0.0, duration_s),
        rate_hz=48_000 if suffix in ONE_RATE else RATES_HZ[k % len(RATES_HZ)],
        n_channels=N_CHANNELS[k % len(N_CHANNELS)],
    )
    return Track(recording, tuple(sorted(codes)))


def _write_hostile(folder: Path, tracks: Sequence[Track]) -> None:
    """Write the files that no decoder can make music of; once, so that a second run skips them."""
    wav, flac, m4a = (
        next(t.recording.path for t in tracks if t.recording.path.suffix == suffix)
        for suffix in (".wav", ".flac", ".m4a")
    )
    hostile = {
        "empty.wav": b"",
        "notes.mp3": b"This is a shopping list, not music.\n" * 40,
        "only a header.wav": wav.read_bytes()[:44],
        "cut short.m4a": m4a.read_bytes()[:4000],
        "cut in the header.flac": flac.read_bytes()[:40],
        "noise.ogg": Random(0).randbytes(5000),
    }
    for name, data in hostile.items():
        path = folder / "broken" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)


def _write_truth(path: Path, tracks: Sequence[Track]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["uri", "labels"])
        writer.writerows([t.recording.path.absolute(), "+".join(t.codes)] for t in tracks)
