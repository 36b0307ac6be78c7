"""Random windows a second from a mapped file that is not in memory: frame by frame, row by row.

    python benchmarks/cold_windows.py [--clips 200] [--batches 2] [--rounds 9] [--folder DIR]

Training maps a file of log-mels (`pipeline.training.data.mapped`) and cuts batches of 32 random
windows of 1 s out of clips of 10 s. Before, a clip's matrix lay in it row by row, so a window of
44.5 kB touched every page of its clip, 441 kB, and Linux read some megabytes around each. Now it
lies frame by frame, and a batch's pieces are asked for before they are cut (`ahead`). Before each
round the file's pages are written and dropped (fsync, then POSIX_FADV_DONTNEED of this file only).
Printed are medians: windows a second, and kB that the disk gave for each window; then the same
batches again, which are in memory by then.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.training.data.ahead import mapped_table
from pipeline.training.data.windows import load_windows

INPUT_SPEC, WINDOWS = LogMelInput(), WindowSpec()
N_COLUMNS, BATCH = 862, 32
LAYOUTS = {"matrix": "row by row (before)", "frames": "frame by frame"}


def write(path: Path, column: str, n_clips: int) -> None:
    """Write a mapped file of noise, with the matrices in one of the two orders."""
    rng = np.random.default_rng(0)
    frames = pa.array(
        [rng.bytes(N_COLUMNS * INPUT_SPEC.n_rows * 2) for _ in range(n_clips)], pa.large_binary()
    )
    ids = [str(k) for k in range(n_clips)]
    table = pa.table({"segment_id": ids, "classes": [["a"]] * n_clips, column: frames})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def make_cold(path: Path) -> None:
    """Drop a file's pages from memory; it must not be mapped."""
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)


def read_bytes() -> int:
    """Return how many bytes disks have given to this process so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def table_of(path: Path) -> pa.Table:
    """Return the file mapped, as it was before (row by row) or is now."""
    if path.name == "matrix":
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    return mapped_table(path)


def measured(path: Path, n_batches: int, seed: int) -> tuple[float, float, float]:
    """Return windows a second and kB a window of a cold file, and windows a second once more."""
    data = load_windows([table_of(path)], codes=["a"], windows=WINDOWS, input_spec=INPUT_SPEC)
    make_cold(path)  # also of what Arrow asked for when it opened it
    rng = np.random.default_rng(seed)
    picks = [rng.integers(0, len(data), BATCH) for _ in range(n_batches)]
    n, before, began_s = n_batches * BATCH, read_bytes(), time.perf_counter()
    for pick in picks:
        data.windows(pick)
    cold_s, kb = time.perf_counter() - began_s, (read_bytes() - before) / 1000
    began_s = time.perf_counter()
    for pick in picks:
        data.windows(pick)
    return n / cold_s, kb / n, n / (time.perf_counter() - began_s)


def main() -> None:
    """Time both layouts in turn and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=200, help="clips of 10 s in a file")
    parser.add_argument("--batches", type=int, default=2, help="batches of a round")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each")
    parser.add_argument("--folder", help="on the disk to be measured; the temporary folder")
    flags = parser.parse_args()
    found: dict[str, list[tuple[float, float, float]]] = {column: [] for column in LAYOUTS}
    with tempfile.TemporaryDirectory(prefix="timbre-cold-", dir=flags.folder) as folder:
        for column in LAYOUTS:
            write(Path(folder) / column, column, flags.clips)
        for number in range(flags.rounds):
            for column in LAYOUTS:
                make_cold(Path(folder) / column)
                found[column].append(measured(Path(folder) / column, flags.batches, number))
    for column, name in LAYOUTS.items():
        per_s, kb, again = np.median(found[column], axis=0)
        rates = ", ".join(f"{one[0]:,.0f}" for one in found[column])
        print(f"{name:<22}{per_s:8,.0f} windows/s {kb:7,.0f} kB a window ({rates})", end="")
        print(f"; in memory {again:,.0f} windows/s")


if __name__ == "__main__":
    main()
