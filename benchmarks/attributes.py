"""What attributes cost: CPU seconds per minute of audio, tagged with and without them.

    python benchmarks/attributes.py --catalog ../shared/audio/recordings

Two sets of tracks: the files as they are, which may be short, and three of four minutes, made of
the files one after the other. All of it runs in one process and one thread: reading, decoding,
log-mel, attributes, and the starter's network. The first track, which compiles and loads, is left
out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile
from threadpoolctl import threadpool_limits

from pipeline.audio.decoding.decode import decode
from pipeline.audio.spectra.activity import Activity
from pipeline.inference.described import description_of
from pipeline.inference.inference_config import InferenceConfig, inference_config
from pipeline.inference.tagger import TrackTagger
from pipeline.inference.track_description import computed
from pipeline.inference.tracks import described_schema
from pipeline.store.catalogue import list_tracks

RATE_HZ, LONG_S, N_LONG = 44_100, 240, 3


def long_tracks(paths: Sequence[str], folder: Path) -> Iterator[str]:
    """Write tracks of four minutes, each of every third file, repeated; yield their paths."""
    for k in range(N_LONG):
        samples = np.concatenate([decode(Path(p), sample_rate_hz=RATE_HZ) for p in paths[k::3]])
        path = folder / f"{k}.flac"
        soundfile.write(path, np.resize(samples, LONG_S * RATE_HZ), RATE_HZ)
        yield str(path)


def cpu_s_a_minute(tagger: TrackTagger, inference: InferenceConfig, paths: Sequence[str]) -> float:
    """Return the CPU seconds that a minute of the tracks takes."""
    schema = described_schema(len(inference.front_ends), inference.attribute_columns)
    began, audio_s = time.process_time(), 0.0
    for path in paths:
        found = computed(Path(path), description_of(inference))
        row = {"uri": path, "status": "ok", "reason": "ok", **found}
        tagger(pa.Table.from_pylist([row], schema))
        audio_s += found["duration_s"]
    return 60 * (time.process_time() - began) / audio_s


def main() -> None:
    """Tag both sets both ways, and print what a minute of audio took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--catalog", required=True, help="a folder of audio")
    parser.add_argument("--tracks", type=int, default=30, help="files of it to take")
    flags = parser.parse_args()
    listed = list_tracks(flags.catalog)["uri"].to_pylist()
    paths = listed[:: max(1, len(listed) // flags.tracks)][: flags.tracks]
    plain = replace(inference_config(whole_tracks=True), activity=Activity())
    ways = {"without": plain, "with": replace(plain, attributes=("timbral",))}
    taggers = {name: TrackTagger(inference) for name, inference in ways.items()}
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        sets = {"files": paths, "4 min": list(long_tracks(paths, Path(folder)))}
        for name, inference in ways.items():
            cpu_s_a_minute(taggers[name], inference, paths[:1])
        print(
            "CPU seconds per minute of audio, one thread\n" + f"{'':<10}{'without':>10}{'with':>10}"
        )
        for what, some in sets.items():
            took = [cpu_s_a_minute(taggers[name], one, some) for name, one in ways.items()]
            print(f"{what:<10}" + "".join(f"{one:>10.2f}" for one in took))


if __name__ == "__main__":
    main()
