"""Real encoded files of a catalogue's folder, and a tagging run's folder of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pytest
import soundfile

from pipeline.audio.decoding.fingerprint import fingerprint
from pipeline.configs.export import ExportConfig
from pipeline.store.folder import Folder
from pipeline.tagging.export import export_tags
from schemas.attributes import attribute
from schemas.tags import tags_schema
from schemas.timeline import EMBEDDINGS, INTERVALS
from tests.tag_rows import CODES, MODEL, NAMES, tagged

DEPTH = attribute("timbral", "depth", "how deep", of_track="mean", unit="", range="0..100")
SUFFIXES = ("mp3", "flac", "ogg", "opus", "m4a", "wav", "aiff")
_SUBTYPES = {"mp3": ("MP3", "MPEG_LAYER_III"), "ogg": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS")}


def encode(path: Path, samples: np.ndarray, rate_hz: int = 48_000) -> None:
    """Write samples in the format of the path's suffix."""
    if path.suffix == ".m4a":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate_hz, layout="mono")
            frame = av.AudioFrame.from_ndarray(samples[None].astype("f4"), "fltp", "mono")
            frame.sample_rate = rate_hz
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
        return
    form, subtype = _SUBTYPES.get(path.suffix[1:], (path.suffix[1:].upper(), None))
    soundfile.write(path, samples, rate_hz, format=form, subtype=subtype)


@pytest.fixture(scope="session")
def encoded(tmp_path_factory):
    """Return a folder with half a second of a tone in every format."""
    folder = tmp_path_factory.mktemp("encoded")
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 48_000)
    for suffix in SUFFIXES:
        encode(folder / f"{suffix}.{suffix}", tone)
    return folder


@pytest.fixture
def music(tmp_path, encoded):
    """Return a catalogue's folder: `Trio/mp3.mp3`, `Trio/flac.flac`, and so on."""
    shutil.copytree(encoded, tmp_path / "music" / "Trio")
    return tmp_path / "music"


def row_of(path, labels=("cel", "pia"), **other):
    """Return the row of TAGS of a file, as it is now."""
    stat, scores = path.stat(), {"cel": 0.9, "pia": 0.6 if "pia" in labels else 0.1}
    own = {"fingerprint": fingerprint(path), "size_bytes": stat.st_size, "duration_s": 0.5}
    own |= {"modified_ns": stat.st_mtime_ns, "labels": list(labels), "timbral_depth": 51.25}
    return tagged(str(path), scores) | own | other


@pytest.fixture
def run_folder(tmp_path, music):
    """Give a function that writes a tagging run's folder of rows; of all the music if none."""

    def write(rows=None, *, intervals=(), embeddings=(), catalog=str(music)):
        folder = Folder(str(tmp_path / "run"))
        rows = [row_of(path) for path in sorted(music.rglob("*.*"))] if rows is None else rows
        place = f"model={MODEL}/date=2026-11-21/a.parquet"
        tables = {"tags": (rows, tags_schema(CODES, [DEPTH]))}
        tables |= {"intervals": (intervals, INTERVALS), "embeddings": (embeddings, EMBEDDINGS)}
        for name, (some, schema) in tables.items():
            folder.delete(f"{name}/{place}")
            if not some and name != "tags":
                continue
            folder.write_table(f"{name}/{place}", pa.Table.from_pylist(list(some), schema))
        run = {
            "identity": {"model_id": MODEL, "aggregation": "s2"},
            "complete": True,
            "catalog": catalog,
            "class_names": NAMES,
            "provenance": {"timbre": "0.2.0"},
        }
        folder.write_json("run.json", run)
        return folder.uri

    return write


@pytest.fixture
def export(tmp_path):
    """Give a function that exports a folder's tags to `out/`, and returns what it did."""

    def run(tags, name, **options):
        return export_tags(ExportConfig(tags, name, str(tmp_path / "out"), **options))

    return run
