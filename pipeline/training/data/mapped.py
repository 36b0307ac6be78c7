"""A dataset in, memory-mapped clips out, through a model's front end.

What a front end gives is read through memory-mapped Arrow files. They are made once from the
dataset's tables, which may be in a bucket: a copy of FEATURES where the front end is theirs, else
made of CLIPS. So an epoch reads random windows at the speed of the page cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from pipeline.arrays import Float32
from pipeline.audio.decoding.clip import from_wav
from pipeline.audio.decoding.decode import decode
from pipeline.audio.spectra.activity import Activity
from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import UsageError
from pipeline.inference.tracks import TrackFrontEnd
from pipeline.store.dataset import Dataset
from pipeline.store.store_errors import store_errors
from pipeline.training.data.windows import looked_at

_ACTIVE = pa.list_(pa.bool_())


def mapped_clips(
    dataset: Dataset,
    split: str,
    input_spec: InputSpec,
    cache: Path,
    active: WindowSpec | None = None,
) -> list[pa.Table]:
    """Return a split as mapped tables of `segment_id, classes, matrix`, made where need be.

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
    spec = [input_spec.to_dict(), *([] if active is None else [active.to_dict()])]
    folder = cache / hashlib.sha256(json.dumps(spec).encode()).hexdigest()[:12]
    with ThreadPoolExecutor(cpu_count()) as pool:  # decoding and log-mel let go of the GIL
        paths = [folder / f"{Path(name).stem}.arrow" for name in names]
        list(
            pool.map(
                lambda name, path: _make(dataset, name, input_spec, path, active), names, paths
            )
        )
    return [pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in paths]


def is_in_features(dataset: Dataset, input_spec: InputSpec) -> bool:
    """Whether the dataset's FEATURES are what the front end gives."""
    spec = dataset.meta()["feature_spec"]
    return isinstance(input_spec, LogMelInput) and input_spec.spec.to_dict() == spec


def _make(
    dataset: Dataset, name: str, input_spec: InputSpec, path: Path, active: WindowSpec | None
) -> None:
    if path.exists():
        return
    labels = _columns_of(dataset, name)
    if name.startswith("features/"):
        table = dataset.folder.read_table(name, [*labels, "logmel"])
        table = table.rename_columns([*labels, "matrix"])
        if active is not None:
            table = table.append_column(
                "active", _active_of(dataset, name, table, input_spec, active)
            )
    else:
        table = dataset.folder.read_table(name, [*labels, "audio"])
        rate_hz = input_spec.sample_rate_hz
        clips = [samples_of(row["bytes"], rate_hz) for row in table["audio"].to_pylist()]
        table = table.drop_columns(["audio"])
        matrices = [input_spec.matrix(samples).tobytes() for samples in clips]
        table = table.append_column("matrix", pa.array(matrices, pa.large_binary()))
        if active is not None:
            found = [active_starts(samples, input_spec, active) for samples in clips]
            table = table.append_column("active", pa.array(found, _ACTIVE))
    temporary = path.with_suffix(f".{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    with store_errors("write", str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
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
