"""What a night costs as a catalogue grows: TAGS as files, a night with nothing new, the anti-join.

    python benchmarks/scale.py    # 1 and 10 million tracks as files, 100 million in memory
    python benchmarks/scale.py --files 1000000 --tracks 1000000

`files`: the TAGS of so many tracks as a year of runs leaves them, 4,096 rows each, in parts with
their indexes, and a Parquet manifest of them: written once; then `jobs.tag_catalog` with nothing
new, whole (night), and the indexes made anew from the files (compact). `tracks`: what is known, and
a catalogue of which one track in a thousand is new, as batches that no disk holds. Each step runs
in a process of its own, whose peak memory is shown. Figures go to docs/log.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.configs.tag import TagConfig
from pipeline.flows.tagging.tag import tag_catalog
from pipeline.store.catalogue import TRACKS
from pipeline.store.folder import Folder
from pipeline.store.tags.known import KNOWN, Known
from pipeline.store.tags.parts import n_parts_for
from pipeline.store.tags.tagstore import TagStore
from pipeline.store.tags.work.worklist import plan_work
from pipeline.tagging.tag_inference import inference_of, lineage_of
from schemas.tags import tags_schema

MILLION = 1_000_000
ROWS_A_FILE, ROWS_A_BATCH = 4096, 1 << 16
ONE_NEW_IN = 1000
Figures = dict[str, float]


def main() -> None:
    """Run the sizes that are asked for, each in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, nargs="*", default=[MILLION, 10 * MILLION])
    parser.add_argument("--tracks", type=int, nargs="*", default=[MILLION, 10 * MILLION, 10**8])
    parser.add_argument("--folder", type=Path, default=Path("/tmp/scale-bench"))
    parser.add_argument("--here", choices=PARTS, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.here:
        (n_tracks,) = flags.files or flags.tracks
        print(json.dumps(PARTS[flags.here](n_tracks, flags.folder)))
        return
    asked = [(part, n) for n in flags.files for part in ("write", "night", "compact")]
    for part, n_tracks in asked + [("tracks", n) for n in flags.tracks]:
        command = [sys.executable, __file__, "--here", part, "--folder", str(flags.folder)]
        command += ["--files", str(n_tracks), "--tracks"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        print(f"{part}, {n_tracks:,} tracks", flush=True)
        for name, value in json.loads(said.splitlines()[-1]).items():
            print(f"  {name:<46} {value:>14,.1f}", flush=True)


def write(n_tracks: int, folder: Path) -> Figures:
    """Write the TAGS of so many tracks."""
    store = _store(n_tracks, folder)
    shutil.rmtree(folder / str(n_tracks), ignore_errors=True)
    inference = inference_of(_config(n_tracks, folder))
    codes, model_id = inference.codes, inference.card.model_id
    schema = tags_schema(codes).with_metadata(lineage_of(inference))
    rng, n_parts = np.random.default_rng(0), n_parts_for(n_tracks)
    began = time.monotonic()
    for start in range(0, n_tracks, ROWS_A_FILE):
        n = min(ROWS_A_FILE, n_tracks - start)
        scores = [pa.array(rng.random(n, np.float32).round(3)) for _ in codes]
        struct = pa.StructArray.from_arrays(scores, fields=list(schema.field("scores").type))
        one = {"reason": "ok", "n_windows": 240, "n_active": 240, "model_id": model_id}
        known = _known(start, n)
        columns = {name: known[name] for name in known.column_names}
        columns |= {"scores": struct, "peaks": struct}
        arrays = [
            columns[field.name].cast(field.type)
            if field.name in columns
            else pa.array([one.get(field.name)] * n, field.type)
            for field in schema
        ]
        date = f"2026-{1 + start * 12 // n_tracks:02d}-01"
        store.commit(pa.table(arrays, schema=schema), date=date, beside={}, n_parts=n_parts)
    files = store.walk(model_id)
    committed = time.monotonic()
    store.compact(model_id)
    settled = time.monotonic()
    with pq.ParquetWriter(_manifest(n_tracks, folder), TRACKS) as manifest:
        for batch in _batches(n_tracks):
            manifest.write_table(batch.select(TRACKS.names))
    return {
        "seconds": committed - began,
        "seconds to compact": settled - committed,
        "parts": n_parts,
        "files of TAGS": len(files),
        "MB of TAGS": sum(size for _, size, _ in files) / 1e6,
    }


def night(n_tracks: int, folder: Path) -> Figures:
    """Run the whole job on a catalogue of which every track is known."""
    began = time.monotonic()
    run = tag_catalog(_config(n_tracks, folder))
    assert (run.tracks, run.unchanged) == (n_tracks, n_tracks)
    return {"seconds": time.monotonic() - began, "peak memory, MiB": _peak_mib()}


def compact(n_tracks: int, folder: Path) -> Figures:
    """Make the indexes from the files, as where they were lost."""
    store = _store(n_tracks, folder)
    shutil.rmtree(folder / str(n_tracks) / "index")
    (model_id,) = store.models()
    began = time.monotonic()
    assert store.compact(model_id) == 0
    return {"seconds": time.monotonic() - began, "peak memory, MiB": _peak_mib()}


def tracks(n_tracks: int, folder: Path) -> Figures:
    """Hash what is known and a catalogue, and find what is new."""
    began, before_mib = time.monotonic(), _peak_mib()
    known = Known.of(_batches(n_tracks))
    hashed = time.monotonic()
    catalogue = (batch.select(TRACKS.names) for batch in _batches(n_tracks, n_new=True))
    work = plan_work(catalogue, known, retry_failed=False)
    ended = time.monotonic()
    assert work.left.num_rows == -(-n_tracks // ONE_NEW_IN)
    return {
        "seconds for what is known": hashed - began,
        "seconds for the catalogue": ended - hashed,
        "of these for making the batches": _making(n_tracks),
        "new tracks": work.left.num_rows,
        "peak memory, MiB": _peak_mib(),
        "of these before it began, MiB": before_mib,
    }


def _making(n_tracks: int) -> float:
    """Return what the batches cost that the planner is given, twice."""
    began = time.monotonic()
    n_made = 20 * ROWS_A_BATCH
    for start in range(0, n_made, ROWS_A_BATCH):
        _known(start, ROWS_A_BATCH)
    return 2 * (time.monotonic() - began) / n_made * n_tracks


def _batches(n_tracks: int, *, n_new: bool = False) -> Iterator[pa.Table]:
    for start in range(0, n_tracks, ROWS_A_BATCH):
        yield _known(start, min(ROWS_A_BATCH, n_tracks - start), with_new=n_new)


def _known(start: int, n: int, *, with_new: bool = False) -> pa.Table:
    """Return rows of KNOWN; of a catalogue, one in a thousand has another name."""
    numbers = pa.array(np.arange(start, start + n))
    digits = pc.utf8_lpad(numbers.cast(pa.string()), 12, "0")
    names = pc.binary_join_element_wise("s3://catalogue/music/", digits, ".flac", "")
    if with_new:
        is_new = pa.array(np.arange(start, start + n) % ONE_NEW_IN == 0)
        names = pc.if_else(is_new, pc.binary_join_element_wise(names, "new", ""), names)
    prints = pc.binary_join_element_wise("blake2b:", pc.utf8_lpad(digits, 32, "0"), "")
    columns = {
        "uri": names,
        "size_bytes": pa.array(np.full(n, 30_000_000)),
        "modified_ns": pa.array(np.full(n, 8)),
        "fingerprint": prints,
        "status": pa.DictionaryArray.from_arrays(np.zeros(n, np.int8), ["ok"]).cast(pa.string()),
        "reason": pa.DictionaryArray.from_arrays(np.zeros(n, np.int8), ["ok"]).cast(pa.string()),
        "attempts": pa.array(np.ones(n, np.int32)),
        "duration_s": pa.array(np.full(n, 240.0)),
        "tagged_at": pa.array(np.full(n, int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000))),
        "labels": pa.ListArray.from_arrays(
            pa.array(np.arange(0, 2 * n + 1, 2, dtype=np.int32)), pa.array(["cel", "pia"] * n)
        ),
        "attributes": pa.nulls(n),
    }
    return pa.table([columns[field.name].cast(field.type) for field in KNOWN], schema=KNOWN)


def _config(n_tracks: int, folder: Path) -> TagConfig:
    out = str(folder / str(n_tracks))
    return TagConfig(str(_manifest(n_tracks, folder)), out=out, n_examples=0)


def _manifest(n_tracks: int, folder: Path) -> Path:
    return folder / f"{n_tracks}.parquet"


def _store(n_tracks: int, folder: Path) -> TagStore:
    return TagStore(Folder(str(folder / str(n_tracks))))


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


PARTS = {"write": write, "night": night, "compact": compact, "tracks": tracks}


if __name__ == "__main__":
    main()
