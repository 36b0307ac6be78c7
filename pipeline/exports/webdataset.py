"""Shards of WebDataset: the bytes of every track on a local disk, and its tags as JSON."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import IO, Any

from pipeline.errors import UsageError
from pipeline.exports import texts
from pipeline.exports.jsonl import json_row
from pipeline.exports.metadata.unfit import Unfit, check_content, file_of
from pipeline.exports.source import Intervals
from pipeline.exports.task import Export, Task
from pipeline.exports.texts import Row, Span, TagSource
from pipeline.exports.tracks.files import index_name
from schemas.export_index import IndexEntry

_MIB = 1 << 20
Sample = tuple[str, Path, bytes]
"""A track's uri, its file, and its tags as JSON."""


def sample_json(row: Row, spans: list[Span], origin: TagSource) -> bytes:
    """Return a track's tags: its row as in tags.jsonl, names, and where what sounds."""
    said = {
        **json_row(row, origin.attributes),
        "label_names": [origin.name(code) for code in row["labels"] or ()],
        "intervals": [asdict(span) for span in spans],
    }
    return texts.to_bytes(texts.to_json(said))


def key_of(uri: str) -> str:
    """Return a sample's key: a name without a dot, as WebDataset takes all behind one for a suffix.

    >>> key_of("s3://bucket/Trio No. 1.mp3")
    'Trio_No__1-5d8afc5bf9899314'
    """
    return texts.file_stem(uri).replace(".", "_")


def _samples(task: Task) -> Iterator[Sample]:
    intervals = Intervals(task.source)
    for name, _, ok in task.batches():
        for row, found in zip(ok, intervals.of(name, ok), strict=True):
            try:
                path = file_of(row)
                check_content(row, path)
            except Unfit as error:
                task.counts[f"tracks {error}: left out"] += 1
                continue
            spans = texts.spans(row, found)
            yield row["uri"], path, sample_json(row, spans, task.source.origin)


def _shard_name(number: int) -> str:
    return f"webdataset-{number:06d}.tar"


def _write(task: Task) -> str:
    if (max_mib := task.config.max_shard_mib) < 1:
        raise UsageError(f"--max-shard-mib {max_mib}: expected 1 or more")
    samples, n_shards, n_samples = _samples(task), 0, 0
    with task.writing(index_name("webdataset")) as add:
        for first in samples:
            name = _shard_name(n_shards)
            for uri in _write_shard(task, name, chain([first], samples), max_mib * _MIB):
                add(json.dumps(asdict(IndexEntry(uri, name))) + "\n")
                n_samples += 1
            n_shards += 1
    _delete_others(task, n_shards)
    return f"{n_shards} shards webdataset-*.tar, {n_samples:,d} samples: audio and json"


def _write_shard(task: Task, name: str, samples: Iterator[Sample], max_bytes: int) -> Iterator[str]:
    """Write samples to a shard until it is full; yield the uri of each."""
    with task.writing_bytes(name) as file, tarfile.open(fileobj=file, mode="w") as tar:
        while tar.offset < max_bytes and (sample := next(samples, None)):
            uri, path, said = sample
            _add(tar, uri, path, said)
            yield uri


def _add(tar: tarfile.TarFile, uri: str, path: Path, said: bytes) -> None:
    """Add a sample; the same tracks make the same bytes whenever it is done."""
    key, suffix = key_of(uri), path.suffix.lower() or ".audio"
    with path.open("rb") as audio:
        _add_file(tar, f"{key}{suffix}", audio, path.stat().st_size)
    _add_file(tar, f"{key}.json", io.BytesIO(said), len(said))


def _add_file(tar: tarfile.TarFile, name: str, file: IO[Any], n_bytes: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = n_bytes, 0o644
    tar.addfile(info, file)


def _delete_others(task: Task, n_shards: int) -> None:
    """Delete the shards of an earlier export that had more of them."""
    mine = {_shard_name(k) for k in range(n_shards)}
    for name in task.out.names("", ".tar"):
        if name.startswith("webdataset-") and name not in mine:
            task.out.delete(name)


EXPORT = Export("webdataset", _write, takes=("max_shard_mib",))
