"""A dataset in, memory-mapped clips out, through a model's front end.

What a front end gives is read through memory-mapped Arrow files. They are made once on each node,
whatever its processes, from the dataset's tables, which may be in a bucket: a copy of FEATURES
where the front end is theirs, else made of CLIPS. A clip's matrix lies in them frame by frame, not
row by row as in FEATURES: a window is one piece of the file, and reading it touches no other pages.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.arrays import Float32
from pipeline.audio.decoding.clip import from_wav
from pipeline.audio.decoding.decode import decode
from pipeline.audio.spectra.activity import Activity
from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import UsageError
from pipeline.inference.track_front_end import TrackFrontEnd
from pipeline.store.dataset import Dataset
from pipeline.store.store_errors import store_errors
from pipeline.training.data.ahead import mapped_table
from pipeline.training.data.windows import looked_at

_ACTIVE = pa.list_(pa.bool_())
_LAYOUT = "frames first"
"""Part of a folder's name, so that files of older versions, which lay row by row, are not read."""


def mapped_clips(
    dataset: Dataset,
    split: str,
    input_spec: InputSpec,
    cache: Path,
    active: WindowSpec | None = None,
) -> list[pa.Table]:
    """Return a split as mapped tables of `segment_id, classes, frames`, made where need be.

    They have `unknown` as well where the dataset has it: older ones do not.
    With `active` there is a column of that name, too: which of such windows of a clip, at the
    columns `windows.looked_at`, are neither silence nor noise. That is told by the samples, as in
    tagging, so CLIPS are read also where FEATURES are what the front end gives.
    """
    from joblib import cpu_count  # here, as tagging does without it

    table = "features" if is_in_features(dataset, input_spec) else "clips"
    names = [n for n in dataset.folder.names(table) if n.startswith(f"{table}/{split}-")]
    if not names:
        raise UsageError(f"{dataset.folder.uri}: the dataset has no clips in its {split} split")
    spec = [_LAYOUT, input_spec.to_dict(), *([] if active is None else [active.to_dict()])]
    folder = cache / hashlib.sha256(json.dumps(spec).encode()).hexdigest()[:12]
    with ThreadPoolExecutor(cpu_count()) as pool:  # decoding and log-mel let go of the GIL
        paths = [folder / f"{Path(name).stem}.arrow" for name in names]
        list(
            pool.map(
                lambda name, path: make_once(
                    path, partial(clip_table, dataset, name, input_spec, active)
                ),
                names,
                paths,
            )
        )
    return [mapped_table(path) for path in paths]


def is_in_features(dataset: Dataset, input_spec: InputSpec) -> bool:
    """Whether the dataset's FEATURES are what the front end gives."""
    spec = dataset.meta()["feature_spec"]
    return isinstance(input_spec, LogMelInput) and input_spec.spec.to_dict() == spec


def make_once(path: Path, table_of: Callable[[], pa.Table]) -> None:
    """Write a table, unless it is there; who comes while another makes it waits for that."""
    if path.exists():
        return
    with _sole_maker(path):
        if not path.exists():
            _write(path, table_of())


@contextmanager
def _sole_maker(path: Path) -> Iterator[None]:
    """Let one thread at a time, of all processes of this machine, be in the block for a file.

    The lock ends with its process: where that is killed, the next one makes the file.
    """
    with store_errors("write", str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def clip_table(
    dataset: Dataset, name: str, input_spec: InputSpec, active: WindowSpec | None = None
) -> pa.Table:
    """Return a shard's clips with what the front end gives, and with their active windows.

    `name` is a file of CLIPS, or of FEATURES where these are what the front end gives.
    """
    labels = _columns_of(dataset, name)
    if name.startswith("features/"):
        table = dataset.folder.read_table(name, [*labels, "logmel"])
        stored = [value.as_buffer() for value in table["logmel"].combine_chunks()]
        matrices = [
            np.frombuffer(one, input_spec.dtype).reshape(input_spec.n_rows, -1) for one in stored
        ]
        table = table.drop_columns(["logmel"])
        if active is not None:
            found = _active_of(dataset, name, table, input_spec, active)
            table = table.append_column("active", found)
    else:
        table = dataset.folder.read_table(name, [*labels, "audio"])
        rate_hz = input_spec.sample_rate_hz
        clips = [samples_of(row["bytes"], rate_hz) for row in table["audio"].to_pylist()]
        table = table.drop_columns(["audio"])
        matrices = [input_spec.matrix(samples) for samples in clips]
        if active is not None:
            starts = [active_starts(samples, input_spec, active) for samples in clips]
            table = table.append_column("active", pa.array(starts, _ACTIVE))
    frames = pa.array([matrix.T.tobytes() for matrix in matrices], pa.large_binary())
    return table.append_column("frames", frames)


def _write(path: Path, table: pa.Table) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_suffix(f".{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    with store_errors("write", str(path)):
        try:
            with (
                pa.OSFile(str(temporary), "wb") as sink,
                pa.ipc.new_file(sink, table.schema) as writer,
            ):
                writer.write_table(table.combine_chunks())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _columns_of(dataset: Dataset, name: str) -> list[str]:
    """Return the columns of labels that a file of FEATURES or CLIPS has."""
    has_unknown = "unknown" in dataset.folder.read_schema(name).names
    return ["segment_id", "classes", *(["unknown"] if has_unknown else [])]


def active_starts(samples: Float32, input_spec: InputSpec, windows: WindowSpec) -> list[bool]:
    """Return which windows of a clip tagging would count, of those at `windows.looked_at`."""
    starts = looked_at(input_spec.n_frames(len(samples)), windows, input_spec)
    found: list[bool] = (
        TrackFrontEnd(input_spec, windows, Activity()).active(samples, starts).tolist()
    )
    return found


def _active_of(
    dataset: Dataset, name: str, features: pa.Table, input_spec: InputSpec, windows: WindowSpec
) -> pa.Array:
    """Return the column `active` of a shard of FEATURES, from the CLIPS that it was made of."""
    shard = name.removeprefix("features/")
    clips = dataset.folder.read_table(f"clips/{shard}", ["segment_id", "audio"])
    audio = dict(zip(clips["segment_id"].to_pylist(), clips["audio"].to_pylist(), strict=True))
    wavs = [audio[segment_id]["bytes"] for segment_id in features["segment_id"].to_pylist()]
    rate_hz = input_spec.sample_rate_hz
    found = [active_starts(samples_of(wav, rate_hz), input_spec, windows) for wav in wavs]
    return pa.array(found, _ACTIVE)


def samples_of(wav: bytes, sample_rate_hz: int) -> Float32:
    """Return a clip's samples in -1..1, at the rate that is asked for."""
    samples, rate_hz = from_wav(wav)
    return samples if rate_hz == sample_rate_hz else decode(wav, sample_rate_hz=sample_rate_hz)
