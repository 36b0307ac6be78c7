"""Memory of a tagging run over many tracks: who holds how much, and whether it grows.

    python benchmarks/memory.py [--tracks 10000] [--model resnet10t] [--seconds 5]

The tracks are flac files, the same hundred again and again by other names. Memory that is not
shared (USS) is read twice a second, by kind of process, and its peak shown for each tenth of the
run; shared memory is the object store of Ray.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import soundfile
from untrained import write_untrained

MIB, N_FILES, RATE_HZ = 1 << 20, 100, 44_100
KINDS = {
    "driver": "jobs.tag_catalog",
    "models": "ray::MapWorker",
    "decoders": "pipeline.audio.decoding.guard",
    "other workers": "ray::",
    "raylet, gcs, agents": "",
}


def main() -> None:
    """Make a catalogue, run the job, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tracks", type=int, default=10_000)
    parser.add_argument("--model", default="resnet10t", help="a backbone, with random weights")
    parser.add_argument("--input-size", type=int, default=64, help="its height and width")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each track")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="timbre-memory-") as folder:
        here = Path(folder)
        write_catalogue(here / "music", flags.tracks, flags.seconds)
        write_untrained(here / "model", flags.model, flags.input_size)
        run(here, flags.tracks)


def write_catalogue(folder: Path, n_tracks: int, seconds: float) -> None:
    """Write a hundred files, and links to them."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(n_tracks):
        path = folder / f"{k:06d}.flac"
        if k < N_FILES:
            time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
            tone = 0.3 * np.sin(2 * np.pi * rng.uniform(100, 2000) * time_s)
            soundfile.write(path, tone + 0.01 * rng.standard_normal(len(tone)), RATE_HZ)
        else:
            os.link(folder / f"{k % N_FILES:06d}.flac", path)


def run(here: Path, n_tracks: int) -> None:
    """Run the job, and read its processes' memory as it goes on."""
    out = here / "tagging"
    words = ["--catalog", here / "music", "--model", here / "model", "--out", out]
    words += ["--workers", 2]  # asks for Ray, which a small catalogue would not get
    job = subprocess.Popen([sys.executable, "-m", "jobs.tag_catalog", *map(str, words)])
    peaks: dict[int, Counter[str]] = {}
    whole: Counter[str] = Counter()
    while job.poll() is None:
        time.sleep(0.5)
        now = memory(job.pid)
        tenth = min(9, 10 * rows_in(out) // n_tracks)
        for kind, n_bytes in now.items():
            whole[kind] = max(whole[kind], n_bytes)
            peak = peaks.setdefault(tenth, Counter())
            peak[kind] = max(peak[kind], n_bytes)
    assert job.returncode == 0
    kinds = [*KINDS, "object store"]
    print(f"\npeak MiB {'':<10}" + "".join(f"{kind:>21}" for kind in kinds))
    for tenth, peak in sorted(peaks.items()):
        values = "".join(f"{peak[kind] / MIB:>21,.0f}" for kind in kinds)
        print(f"{tenth * 10:>3} to {tenth * 10 + 10:>3} %     {values}")
    print("of the whole run   " + "".join(f"{whole[kind] / MIB:>21,.0f}" for kind in kinds))


def memory(pid: int) -> Counter[str]:
    """Return the bytes of a job's processes by kind; shared memory counts once."""
    found: Counter[str] = Counter()
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return found
    for one in family:
        try:
            words, full = " ".join(one.cmdline()), one.memory_full_info()
            shared = one.memory_info().shared
        except psutil.Error:
            continue
        kind = next(kind for kind, sign in KINDS.items() if sign in words)
        found[kind] += full.uss
        if "raylet/raylet" in words:
            found["object store"] = shared
    return found


def rows_in(out: Path) -> int:
    """Return how many tracks have their row by now."""
    n_rows = 0
    for path in out.glob("tags/**/*.parquet"):
        try:
            n_rows += pq.read_metadata(path).num_rows
        except OSError:  # joined meanwhile
            continue
    return n_rows


if __name__ == "__main__":
    main()
