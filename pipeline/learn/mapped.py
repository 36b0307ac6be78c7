"""A dataset in, memory-mapped clips out, as a model hears them.

What a model hears is read through memory-mapped Arrow files, made once from the dataset's tables
(which may be in a bucket): a copy of FEATURES where the model hears those, else made of CLIPS. So
an epoch reads random windows at the speed of the page cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.audio.clip import from_wav
from pipeline.audio.decode import decode
from pipeline.audio.inputs import Input, LogMelInput
from pipeline.errors import UsageError
from pipeline.store.dataset import Dataset
from pipeline.store.faults import clear_errors


def mapped_clips(dataset: Dataset, split: str, heard: Input, cache: Path) -> list[pa.Table]:
    """Return a split as mapped tables of `segment_id, classes, matrix`, made where need be.

    They have `unknown` as well where the dataset has it: older ones do not.
    """
    from joblib import cpu_count  # here, as tagging does without it

    table = "features" if is_in_features(dataset, heard) else "clips"
    names = [n for n in dataset.folder.names(table) if n.startswith(f"{table}/{split}-")]
    if not names:
        raise UsageError(f"{dataset.folder.uri}: the dataset has no clips in its {split} split")
    folder = cache / hashlib.sha256(json.dumps(heard.to_dict()).encode()).hexdigest()[:12]
    with ThreadPoolExecutor(cpu_count()) as pool:  # decoding and log-mel let go of the GIL
        paths = [folder / f"{Path(name).stem}.arrow" for name in names]
        list(pool.map(lambda name, path: _make(dataset, name, heard, path), names, paths))
    return [pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in paths]


def is_in_features(dataset: Dataset, heard: Input) -> bool:
    """Whether the dataset's FEATURES are what is heard."""
    spec = dataset.meta()["feature_spec"]
    return isinstance(heard, LogMelInput) and heard.spec.to_dict() == spec


def _make(dataset: Dataset, name: str, heard: Input, path: Path) -> None:
    if path.exists():
        return
    source = "logmel" if name.startswith("features/") else "audio"
    table = dataset.folder.read_table(name, [*_columns_of(dataset, name), source])
    if source == "logmel":
        table = table.rename_columns([*table.column_names[:-1], "matrix"])
    else:
        matrices = [_matrix(row["bytes"], heard).tobytes() for row in table["audio"].to_pylist()]
        table = table.drop_columns(["audio"])
        table = table.append_column("matrix", pa.array(matrices, pa.large_binary()))
    temporary = path.with_suffix(f".{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    with clear_errors("write", str(path)):
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


def _matrix(wav: bytes, heard: Input) -> npt.NDArray[Any]:
    return heard.matrix(samples_of(wav, heard.sample_rate_hz))


def samples_of(wav: bytes, sample_rate_hz: int) -> npt.NDArray[np.float32]:
    """Return a clip's samples in -1..1, at the rate that is asked for."""
    samples, rate_hz = from_wav(wav)
    return samples if rate_hz == sample_rate_hz else decode(wav, sample_rate_hz=sample_rate_hz)
