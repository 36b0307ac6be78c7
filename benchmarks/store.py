"""Reading FEATURES into torch against a raw memory-mapped array, side by side in one run.

    python benchmarks/store.py [--clips 600]

Two ways to read: everything in order, as a job over all clips does, and random windows of one
second in batches of 32, as training does. The limit of both is the same float16 array as one raw
file, mapped by numpy. Each is the median of rounds taken in turn; files are in the page cache.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.training.data.mapped import mapped_clips
from pipeline.training.data.windows import load_windows
from schemas.features import features_schema, read_logmels
from schemas.ledger import LEDGER

SPEC, N_FRAMES, N_ROUNDS, BATCH, N_BATCHES, SHARD = LogMelSpec(), 862, 5, 32, 40, 64
CLIP_BYTES = SPEC.n_mels * N_FRAMES * 2


def make_files(root: Path, n_clips: int) -> None:
    """Write the same log-mels as FEATURES, as tensors, as zstd, and as one raw array."""
    rng = np.random.default_rng(0)
    raw = np.memmap(root / "raw.f2", "<f2", "w+", shape=(n_clips, SPEC.n_mels, N_FRAMES))
    dataset, schema = Dataset(Folder(str(root / "dataset"))), features_schema(SPEC.to_dict())
    (root / "tensor").mkdir()
    (root / "zstd").mkdir()
    for k, first in enumerate(range(0, n_clips, SHARD)):
        n = min(SHARD, n_clips - first)
        part = (rng.standard_normal((n, SPEC.n_mels, N_FRAMES)) * 15 - 40).astype("<f2")
        raw[first : first + n] = part
        rows = [
            {
                "segment_id": f"{first + i}",
                "ytid": "x",
                "logmel": part[i].tobytes(),
                "n_frames": N_FRAMES,
                "classes": ["vio"],
                "split": "train",
            }
            for i in range(n)
        ]
        table = pa.Table.from_pylist(rows, schema)
        dataset.commit(
            f"train-{k:04d}", clips=pa.table({}), features=table, ledger=LEDGER.empty_table()
        )
        pq.write_table(table, root / "zstd" / f"{k}.parquet", compression="zstd")
        tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(part)
        pq.write_table(pa.table({"logmel": tensors}), root / "tensor" / f"{k}.parquet")
    dataset.folder.write_json("dataset.json", {"feature_spec": SPEC.to_dict()})
    raw.flush()


def n_renamed_in_place(array: np.ndarray) -> torch.Tensor:
    """Return a tensor of its own memory, so that every byte is read once."""
    return torch.from_numpy(np.array(array))


def read_raw(root: Path, n_clips: int) -> None:
    """Read the raw array."""
    for clip in np.memmap(root / "raw.f2", "<f2", "r", shape=(n_clips, SPEC.n_mels, N_FRAMES)):
        n_renamed_in_place(clip)


def read_parquet(folder: Path) -> None:
    """Read every log-mel of a folder of FEATURES."""
    for file in sorted(folder.glob("*.parquet")):
        for clip in read_logmels(pq.read_table(file, memory_map=True, columns=["logmel"])):
            n_renamed_in_place(clip)


def read_tensors(folder: Path) -> None:
    """Read every log-mel of a folder of Arrow tensors."""
    for file in sorted(folder.glob("*.parquet")):
        column = pq.read_table(file, memory_map=True)["logmel"].combine_chunks()
        for clip in column.to_numpy_ndarray():
            n_renamed_in_place(clip)


def in_order(root: Path, n_clips: int) -> dict[str, Callable[[], object]]:
    """Return the readers of everything."""
    return {
        "raw memory map": lambda: read_raw(root, n_clips),
        "FEATURES": lambda: read_parquet(root / "dataset" / "features"),
        "the same with zstd": lambda: read_parquet(root / "zstd"),
        "the same as tensors": lambda: read_tensors(root / "tensor"),
    }


def at_random(root: Path, n_clips: int) -> dict[str, Callable[[], object]]:
    """Return the readers of `N_BATCHES` batches of random windows."""
    windows = WindowSpec()
    raw = np.memmap(root / "raw.f2", "<f2", "r", shape=(n_clips, SPEC.n_mels, N_FRAMES))
    input_spec, dataset = LogMelInput(SPEC), Dataset(Folder(str(root / "dataset")))
    tables = mapped_clips(dataset, "train", input_spec, root / "cache")
    ours = load_windows(tables, codes=["vio"], windows=windows, input_spec=input_spec)
    rng = np.random.default_rng(1)
    picks = [rng.integers(0, len(ours), BATCH) for _ in range(N_BATCHES)]
    length = windows.n_frames(input_spec)

    def from_raw() -> None:
        for pick in picks:
            parts = [
                raw[clip, :, start : start + length]
                for clip, start in zip(ours.clip_of[pick], ours.start_of[pick], strict=True)
            ]
            torch.from_numpy(np.stack(parts))

    def from_ours() -> None:
        for pick in picks:
            torch.from_numpy(ours.windows(pick))

    def from_row_groups() -> None:
        files = [pq.ParquetFile(f) for f in sorted((root / "dataset/features").glob("*.parquet"))]
        for clip in ours.clip_of[picks[0]]:
            table = files[clip // SHARD].read_row_group(0, columns=["logmel"])
            start = clip % SHARD
            torch.from_numpy(read_logmels(table.slice(start, 1))[0][:, :length].copy())

    return {
        "raw memory map": from_raw,
        "timbre's training reader": from_ours,
        "Parquet row groups (1 batch)": from_row_groups,
    }


def timed(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each, taken in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(N_ROUNDS + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return {name: float(np.median(values[1:])) for name, values in seconds.items()}


def main() -> None:
    """Write the files, read them in every way, print the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=600, help="log-mels of 10 s")
    n_clips = parser.parse_args().clips
    with tempfile.TemporaryDirectory(prefix="timbre-store-") as folder:
        root = Path(folder)
        make_files(root, n_clips)
        print(f"{n_clips} log-mels of 10 s, {n_clips * CLIP_BYTES / 1e6:.0f} MB\n\nall in order")
        times = timed(in_order(root, n_clips))
        for name, seconds in times.items():
            share = times["raw memory map"] / seconds
            print(f"{name:<30}{n_clips * CLIP_BYTES / seconds / 1e6:>9.0f} MB/s{share:>8.2f}")
        print(f"\nrandom windows of 1 s, batches of {BATCH}")
        times = timed(at_random(root, n_clips))
        rates = {
            name: BATCH * (1 if "1 batch" in name else N_BATCHES) / seconds
            for name, seconds in times.items()
        }
        for name, rate in rates.items():
            print(f"{name:<30}{rate:>9.0f} /s  {rate / rates['raw memory map']:>8.2f}")


if __name__ == "__main__":
    main()
