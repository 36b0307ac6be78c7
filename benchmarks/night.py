"""A night of new tracks on a cluster of pretended GPUs, into a bucket at 50 ms a request.

    python benchmarks/night.py        # 10^4 and 10^5 tracks, 4 and 32 GPUs
    python benchmarks/night.py --tracks 1000000 --gpus 32 --tracks-per-s 500 --plot night.png

The whole of `jobs.tag_catalog` runs, on several Ray nodes of this machine and a head without CPUs,
but for two stages: decoding gives empty windows at once, and the model waits as long as GPUs would
that tag so many tracks a second in all. What is left is what the flow itself costs: whether the
GPUs are fed, how many requests a track takes, and what the leading process holds. The bucket is an
S3 on loopback. Each night runs in a process of its own; figures go to docs/scale.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray.cluster_utils import Cluster

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipeline.configs.tag import TagConfig
from pipeline.flows.tagging import tag_stages
from pipeline.flows.tagging.tag import tag_catalog
from pipeline.inference import tagger
from pipeline.inference.inference_config import InferenceConfig
from pipeline.inference.scored_rows import scored_schema
from pipeline.inference.tracks import described_schema
from pipeline.store.catalogue import TRACKS
from tests.s3 import S3Server

GPUS_A_NODE, CPUS_A_NODE = 8, 4
TRACK_S, TRACK_BYTES, N_WINDOWS = 240.0, 5_760_000, 240
LATENCY_S = 0.05
Figures = dict[str, float]


def main() -> None:
    """Run each night in a process of its own, and print and draw what it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tracks", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--gpus", type=int, nargs="*", default=[4, 32])
    parser.add_argument("--tracks-per-s", type=float, default=300.0, help="of all GPUs together")
    parser.add_argument("--plot", type=Path, help="a picture of the figures over the size")
    parser.add_argument("--here", metavar="OUT", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.here:
        (n_tracks,), (n_gpus,) = flags.tracks, flags.gpus
        print(json.dumps(night(flags.here, n_tracks, n_gpus, flags.tracks_per_s)))
        return
    found: dict[int, dict[int, Figures]] = {}
    with S3Server() as s3:
        for n_gpus in flags.gpus:
            for n_tracks in flags.tracks:
                figures = in_a_process(s3, n_tracks, n_gpus, flags.tracks_per_s)
                found.setdefault(n_gpus, {})[n_tracks] = figures
                print(f"{n_tracks:,} tracks, {n_gpus} GPUs", flush=True)
                for name, value in figures.items():
                    print(f"  {name:<46} {value:>14,.4g}", flush=True)
    if flags.plot:
        draw(found, flags.plot)


def in_a_process(s3: S3Server, n_tracks: int, n_gpus: int, tracks_per_s: float) -> Figures:
    """Run a night; return its figures with those of the bucket."""
    s3.requests.clear()
    s3.latency_s = LATENCY_S
    command = [sys.executable, __file__, "--here", s3.uri(f"{n_tracks}-{n_gpus}")]
    command += ["--tracks", str(n_tracks), "--gpus", str(n_gpus)]
    command += ["--tracks-per-s", str(tracks_per_s)]
    said = subprocess.run(
        command, env=os.environ | s3.environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    figures: Figures = json.loads(said.splitlines()[-1])
    return figures | {"requests a thousand tracks": 1000 * len(s3.requests) / n_tracks}


def night(out: str, n_tracks: int, n_gpus: int, tracks_per_s: float) -> Figures:
    """Tag a catalogue of new tracks, by stages of which two only wait."""
    with tempfile.TemporaryDirectory(prefix="r") as folder:
        manifest = Path(folder) / "catalogue.parquet"
        write_manifest(manifest, n_tracks)
        os.environ["RAY_TMPDIR"] = folder
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        for first in range(0, n_gpus, GPUS_A_NODE):
            n_here = min(GPUS_A_NODE, n_gpus - first)
            cluster.add_node(num_cpus=CPUS_A_NODE, num_gpus=n_here, object_store_memory=256 << 20)
        os.environ["RAY_ADDRESS"] = cluster.address
        Waiting.track_s = n_gpus / tracks_per_s
        tag_stages.described = described
        tagger.TrackTagger = Waiting  # type: ignore[misc, assignment]
        try:
            began = time.monotonic()
            run = tag_catalog(
                TagConfig(str(manifest), out=out, gpu=True, engine="torch", n_examples=0)
            )
            seconds = time.monotonic() - began
        finally:
            ray.shutdown()
            cluster.shutdown()  # type: ignore[no-untyped-call]
    assert (run.tracks, run.tagged, run.failed) == (n_tracks, n_tracks, 0) and run.work_s
    busy_s = n_tracks * Waiting.track_s / n_gpus
    return {
        "seconds": seconds,
        "of these while tracks were tagged": run.work_s,
        "share of GPUs' time idle, while tagging": 1 - busy_s / run.work_s,
        "share of GPUs' time idle, of the whole job": 1 - busy_s / seconds,
        "peak memory of the leading process, MiB": resource.getrusage(
            resource.RUSAGE_SELF
        ).ru_maxrss
        / 1024,
    }


def write_manifest(path: Path, n_tracks: int) -> None:
    """Write a catalogue that no disk holds."""
    with pq.ParquetWriter(path, TRACKS) as writer:
        for first in range(0, n_tracks, 1 << 16):
            numbers = range(first, min(first + (1 << 16), n_tracks))
            uris = [f"s3://catalogue/music/{number:012d}.mp3" for number in numbers]
            sizes = np.full(len(uris), TRACK_BYTES)
            columns = {"uri": uris, "size_bytes": sizes, "modified_ns": np.full(len(uris), 8)}
            writer.write_table(pa.table(columns).cast(TRACKS))


def described(
    tracks: pa.Table, inference: InferenceConfig, known: Sequence[Any]
) -> Iterator[pa.Table]:
    """Describe tracks as decoding does, but for their windows, which are empty."""
    schema = described_schema(len(inference.front_ends))
    texts = tracks["uri"].to_pylist()
    constant: dict[str, Any] = {
        "duration_s": TRACK_S,
        "status": "ok",
        "reason": "ok",
        "n_windows": N_WINDOWS,
    }
    constant |= {"matrix": b"", "columns": [], "starts_s": [], "active": []}
    constant |= {"read_s": 0.0, "decode_s": 0.0, "features_s": 0.0}
    prints = pa.array([f"blake2b:{int(text[-16:-4]):032x}" for text in texts])
    yield filled(tracks.append_column("fingerprint", prints), constant, schema)


def filled(tracks: pa.Table, constant: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """Return rows of a schema: columns that tracks do not have are constant, or null."""
    one = pa.Table.from_pylist([dict(constant)], schema)
    rows = one.take(pa.array(np.zeros(tracks.num_rows, np.int64)))
    for k, field in enumerate(schema):
        if field.name in tracks.column_names:
            rows = rows.set_column(k, field, tracks[field.name].cast(field.type))
    return rows


class Waiting:
    """A model that takes its time and has one answer."""

    track_s = 0.0

    def __init__(self, inference: InferenceConfig) -> None:
        self._inference, self._schema = inference, scored_schema(inference)

    def __call__(self, tracks: pa.Table) -> pa.Table:
        """Wait as long as a GPU takes; return rows of SCORED."""
        time.sleep(tracks.num_rows * self.track_s)
        codes = self._inference.codes
        scores = dict.fromkeys(codes, 0.5)
        constant: dict[str, Any] = {
            "model_id": self._inference.card.model_id,
            "labels": [],
            "engine": "{}",
        }
        constant |= {"tagged_at": round(time.time() * 1000), "n_active": N_WINDOWS}
        constant |= {"scores": scores, "peaks": scores, "model_s": self.track_s, "peak_mib": 0}
        return filled(tracks, constant, self._schema)


def draw(found: dict[int, dict[int, Figures]], path: Path) -> None:
    """Draw each figure over the number of tracks, a line for each number of GPUs."""
    names = list(next(iter(next(iter(found.values())).values())))
    figure, axes = plt.subplots(1, len(names), figsize=(3.2 * len(names), 3), layout="constrained")
    for name, axis in zip(names, axes, strict=True):
        for n_gpus, of_size in found.items():
            sizes = sorted(of_size)
            axis.plot(sizes, [of_size[n][name] for n in sizes], "o-", label=f"{n_gpus} GPUs")
        axis.set(title=name, xlabel="tracks", xscale="log", ylim=(0, None))
        axis.title.set_fontsize(8)
    axes[0].legend()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
