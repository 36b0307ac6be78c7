"""How a nightly run's planning scales: listing, manifests, and a catalogue of which all is known.

    python benchmarks/catalogue.py listing manifest known --folder /tmp/catalogue-bench

`listing`: a folder of 1,000,000 files. `manifest`: 10,000,000 rows of Parquet, nothing known, so
all of it is left to do. `known`: the job itself, on 1,000,000 tracks that all have their row of
TAGS, in files of 256. Each part runs in a process of its own, whose peak
memory is shown.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from untrained import write_untrained

from pipeline.selection.vocabulary import default_vocabulary
from pipeline.store.catalogue import track_batches
from pipeline.store.folder import Folder
from pipeline.store.tags.known import Known
from pipeline.store.tags.tagstore import TagStore
from pipeline.store.tags.work.worklist import plan_work
from schemas.tags import tags_schema

N_FILES, N_ROWS, N_KNOWN, N_A_FILE = 1_000_000, 10_000_000, 1_000_000, 256


def main() -> None:
    """Run the parts that are asked for, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "parts",
        nargs="*",
        choices=["all", *sorted(PARTS)],
        default="all",
        help="all if none is named",
    )
    parser.add_argument("--folder", type=Path, default=Path("/tmp/catalogue-bench"))
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    flags.folder.mkdir(parents=True, exist_ok=True)
    for part in sorted(PARTS) if "all" in flags.parts else flags.parts:
        if flags.here:
            print(json.dumps(PARTS[part](flags.folder)))
            continue
        command = [sys.executable, __file__, part, "--folder", str(flags.folder), "--here"]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        print(part)
        for name, value in json.loads(output.splitlines()[-1]).items():
            print(f"  {name:<46} {value:>14,.1f}")


def listing(folder: Path) -> dict[str, float]:
    """List a folder of a million files, and plan it."""
    music = folder / "music"
    made = [music / f"{k:03d}" for k in range(1000)]
    if not made[-1].exists():
        for where in made:
            where.mkdir(parents=True, exist_ok=True)
            for k in range(N_FILES // len(made)):
                (where / f"some artist - some title {k:04d}.mp3").touch()
    return planned(str(music), Known.of([]))


def manifest(folder: Path) -> dict[str, float]:
    """Read a manifest of ten million rows, and plan it."""
    path = folder / "manifest.parquet"
    if not path.exists():
        schema = pa.schema([("uri", pa.string()), ("size_bytes", pa.int64())])
        with pq.ParquetWriter(path, schema) as writer:
            for start in range(0, N_ROWS, 100_000):
                uris = [f"s3://catalogue/music/{k // 1000:05d}/track-{k:08d}.flac"
                        for k in range(start, start + 100_000)]  # fmt: skip
                writer.write_table(pa.table([uris, np.full(100_000, 30_000_000)], schema=schema))
    return planned(str(path), Known.of([]))


def planned(catalog: str, known: Known) -> dict[str, float]:
    """Plan a catalogue; return what it cost."""
    before_mib, began = peak_mib(), time.monotonic()
    work = plan_work(track_batches(catalog), known, retry_failed=False)
    return {
        "tracks": work.n_tracks,
        "left to do": work.left.num_rows,
        "seconds": time.monotonic() - began,
        "peak memory, MiB": peak_mib(),
        "of these before it began, MiB": before_mib,
    }


def known(folder: Path) -> dict[str, float]:
    """Run the job on a catalogue of which all is known."""
    out, model = folder / "known", folder / "model"
    write_untrained(model, "resnet10t", 32)
    codes = default_vocabulary().codes
    path = folder / "known.parquet"
    if not path.exists():
        write_known(path, out, model, codes)
    words = ["--catalog", str(path), "--model", str(model), "--out", str(out)]
    began = time.monotonic()
    command = [sys.executable, "-m", "jobs.tag_catalog", *words]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    run = json.loads((out / "run.json").read_text())
    assert (run["tracks"], run["skipped"]) == (N_KNOWN, N_KNOWN), said
    return {
        "tracks known": run["skipped"],
        "files of TAGS": len(list(out.glob("tags/**/*.parquet"))),
        "seconds, start-up included": time.monotonic() - began,
        "peak memory of the job, MiB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        / 1024,
    }


def write_known(path: Path, out: Path, model: Path, codes: list[str]) -> None:
    """Write a manifest of a million tracks, and the TAGS that a model has given them."""
    model_id = json.loads((model / "model.json").read_text())["model_id"]
    store, schema = TagStore(Folder(str(out))), tags_schema(codes)
    uris = [f"s3://catalogue/music/{k // 1000:05d}/track-{k:08d}.flac" for k in range(N_KNOWN)]
    scores = np.random.default_rng(0).random((N_A_FILE, len(codes))).round(3)
    values = [dict(zip(codes, row, strict=True)) for row in scores.tolist()]
    for start in range(0, N_KNOWN, N_A_FILE):
        part = uris[start : start + N_A_FILE]
        rows = [
            {"uri": uri, "fingerprint": f"blake2b:{start + k:032x}", "size_bytes": 7,
             "modified_ns": 8, "duration_s": 240.0, "status": "ok", "reason": "ok", "attempts": 1,
             "labels": codes[:2],
             "scores": values[k], "peaks": values[k], "n_windows": 240, "n_active": 240,
             "model_id": model_id, "tagged_at": datetime.now(UTC)}
            for k, uri in enumerate(part)
        ]  # fmt: skip
        store.commit(pa.Table.from_pylist(rows, schema), date="2026-01-01", beside={})
    sevens = np.full(N_KNOWN, 7)
    pq.write_table(pa.table({"uri": uris, "size_bytes": sevens, "modified_ns": sevens + 1}), path)


def peak_mib() -> float:
    """Return this process's peak memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


PARTS: dict[str, Callable[[Path], dict[str, float]]] = {
    "listing": listing,
    "manifest": manifest,
    "known": known,
}


if __name__ == "__main__":
    main()
