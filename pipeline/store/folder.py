"""A folder of files, on this machine or in a bucket: everything that pyarrow.fs opens.

A file appears whole or not at all: on a disk it is written under a temporary name, synced and
renamed; on an object store it is one put, which shows nothing before it is closed.
"""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import dataset, fs

from pipeline.errors import StoreError, UsageError

_TEMPORARY = ".tmp"


class Folder:
    """A folder by URI (`/data/x`, `s3://bucket/x`); it need not exist before it is written to."""

    def __init__(self, uri: str) -> None:
        self.uri = uri if "://" in uri else str(Path(uri).expanduser().absolute())
        try:
            self._fs, root = (
                fs.FileSystem.from_uri(self.uri)
                if "://" in self.uri
                else (fs.LocalFileSystem(), self.uri)
            )
        except (pa.ArrowInvalid, OSError) as error:
            raise UsageError(f"{uri}: not a path or URI that can be opened: {error}") from error
        self._root: str = root.rstrip("/")

    def __reduce__(self) -> tuple[Callable[[str], Folder], tuple[str]]:
        """Travel to other processes by URI."""
        return Folder, (self.uri,)

    def uri_of(self, name: str) -> str:
        """Return the URI of a file in the folder."""
        return f"{self.uri.rstrip('/')}/{name}"

    @property
    def is_local(self) -> bool:
        """Whether the folder is on this machine's disks."""
        return isinstance(self._fs, fs.LocalFileSystem)

    def local_path(self, name: str) -> Path:
        """Return the path of a file of a local folder."""
        return Path(self._path(name))

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other jobs of this machine from writing to a local folder at the same time."""
        if not self.is_local:
            yield
            return
        with _wrapped("write", self.uri):
            self.local_path("").mkdir(parents=True, exist_ok=True)
            lock = self.local_path(".lock").open("wb")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UsageError(f"{self.uri}: another job is writing there") from error
            yield

    def exists(self, name: str) -> bool:
        """Say whether a file is there."""
        return bool(self._fs.get_file_info(self._path(name)).type == fs.FileType.File)

    def names(self, folder: str, suffix: str = ".parquet") -> list[str]:
        """Return the files of a sub-folder, sorted, as names that the other methods take."""
        selector = fs.FileSelector(self._path(folder), allow_not_found=True)
        with _wrapped("list", self.uri_of(folder)):
            infos = self._fs.get_file_info(selector)
        prefix = f"{folder}/" if folder else ""
        return sorted(prefix + info.base_name for info in infos if info.path.endswith(suffix))

    def walk(self) -> Iterator[tuple[str, int, int | None]]:
        """Yield every file below the folder: name, size in bytes, modification time in ns."""
        with _wrapped("list", self.uri):
            infos = self._fs.get_file_info(fs.FileSelector(self._root, recursive=True))
        for info in infos:
            if info.type == fs.FileType.File:
                yield info.path[len(self._root) :].lstrip("/"), info.size, info.mtime_ns

    def read_table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Read a Parquet file; local ones are mapped, not copied."""
        with _wrapped("read", self.uri_of(name)):
            return pq.read_table(
                self._path(name),
                filesystem=self._fs,
                columns=list(columns) if columns is not None else None,
                memory_map=self.is_local,
                partitioning=None,
            )

    def read_tables(self, names: Sequence[str], schema: pa.Schema) -> pa.Table:
        """Read the columns of `schema` from many Parquet files; columns a file lacks are null."""
        paths = [self._path(name) for name in names]
        if not paths:
            return schema.empty_table()
        with _wrapped("read", self.uri):
            source = dataset.dataset(paths, schema=schema, format="parquet", filesystem=self._fs)
            return source.to_table()

    def read_pieces(self, name: str) -> Iterator[pa.Table]:
        """Read a Parquet file a row group at a time."""
        with _wrapped("read", self.uri_of(name)), self._fs.open_input_file(self._path(name)) as raw:
            file = pq.ParquetFile(raw)
            for group in range(file.num_row_groups):
                yield file.read_row_group(group)

    def read_schema(self, name: str) -> pa.Schema:
        """Read the schema of a Parquet file, metadata and all."""
        with _wrapped("read", self.uri_of(name)):
            return pq.read_schema(self._path(name), filesystem=self._fs)

    def read_bytes(self, name: str) -> bytes:
        """Read a file."""
        with (
            _wrapped("read", self.uri_of(name)),
            self._fs.open_input_stream(self._path(name), compression=None) as stream,
        ):
            data: bytes = stream.read()
        return data

    def read_json(self, name: str) -> Any:
        """Read a json file."""
        try:
            return json.loads(self.read_bytes(name))
        except ValueError as error:
            raise StoreError(f"{self.uri_of(name)}: not json: {error}") from error

    def write_table(self, name: str, table: pa.Table, **options: Any) -> None:
        """Write a Parquet file, whole or not at all; `options` are those of pyarrow's writer."""
        with self._writing(name) as stream:
            pq.write_table(table, stream, **options)

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all."""
        with self._writing(name) as stream:
            stream.write(data)

    def write_json(self, name: str, value: Any) -> None:
        """Write a json file, whole or not at all."""
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        self.write_bytes(name, text.encode() + b"\n")

    def delete(self, name: str) -> None:
        """Delete a file; one that is not there is no error."""
        if self.exists(name):
            with _wrapped("delete", self.uri_of(name)):
                self._fs.delete_file(self._path(name))

    def delete_temporary(self, folder: str = "") -> None:
        """Delete what a killed writer left half-written in the folder or a sub-folder."""
        for name in self.names(folder, suffix=_TEMPORARY):
            self.delete(name)

    @contextmanager
    def _writing(self, name: str) -> Iterator[BinaryIO]:
        with _wrapped("write", self.uri_of(name)):
            if not self.is_local:
                with self._fs.open_output_stream(self._path(name)) as stream:
                    yield stream
                return
            path = Path(self._path(name))
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{_TEMPORARY}")
            try:
                with temporary.open("wb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")


@contextmanager
def _wrapped(what: str, uri: str) -> Iterator[None]:
    """Turn what a disk or bucket says into one clear line."""
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        hint = "; free some space, then run the same command again" if _is_full(error) else ""
        raise StoreError(f"cannot {what} {uri}: {error}{hint}") from error


def _is_full(error: BaseException) -> bool:
    return getattr(error, "errno", None) == 28 or "No space left" in str(error)
