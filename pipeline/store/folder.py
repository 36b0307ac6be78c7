"""A folder of files, on this machine or in a bucket: everything that pyarrow.fs opens.

A file appears whole or not at all: on a disk it is written under a temporary name, synced and
renamed; for an object store it is made in memory and sent once it is whole.

The names in a URI are taken as they are, unescaped, as `aws s3` takes them: a listing's URIs open
again whatever the files are called. Options of pyarrow's may stand at the end, as in
`s3://bucket/x?endpoint_override=127.0.0.1:9000&scheme=http`; `AWS_ENDPOINT_URL` does the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import dataset, fs

from pipeline.errors import StoreError, UsageError
from pipeline.store.claims.keeper import leased
from pipeline.store.claims.lease import FILE as LEASE
from pipeline.store.claims.lock import locked
from pipeline.store.clients import opened
from pipeline.store.disk import TEMPORARY, Walked, renamed, walk_local
from pipeline.store.store_errors import store_errors
from pipeline.store.uris import split_uri, uri_in, without_options
from schemas.record import Record

R = TypeVar("R", bound=Record)

_LOCAL = fs.LocalFileSystem()


class Folder:
    """A folder by URI (`/data/x`, `s3://bucket/x`); it need not exist before it is written to."""

    def __init__(self, uri: str) -> None:
        self.uri = uri if "://" in uri else str(Path(uri).expanduser().absolute())
        self._may_write: Callable[[], None] | None = None
        _ = self._place  # what cannot be opened is told where it was named

    def __reduce__(self) -> tuple[Callable[[str], Folder], tuple[str]]:
        """Travel to other processes by URI."""
        return _arrived, (self.uri,)

    def uri_of(self, name: str) -> str:
        """Return the URI of a file in the folder."""
        return uri_in(self.uri, name)

    def location(self, name: str) -> tuple[fs.FileSystem, str]:
        """Return a name as pyarrow's filesystem and the path in it, as some libraries want it."""
        return self._fs, self._path(name)

    def is_same(self, other: Folder) -> bool:
        """Say whether both are one folder, whatever links and names lead there."""
        places = [
            one.local_path("").resolve() if one.is_local else one.uri.rstrip("/")
            for one in (self, other)
        ]
        return bool(places[0] == places[1])

    @property
    def is_local(self) -> bool:
        """Whether the folder is on this machine's disks."""
        return isinstance(self._fs, fs.LocalFileSystem)

    def local_path(self, name: str) -> Path:
        """Return the path of a file of a local folder."""
        return Path(self._path(name))

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other jobs from writing to the folder at the same time; UsageError names the other.

        A job that loses a bucket's folder to another is stopped by StoreError (`claims.keeper`).
        """
        if self.is_local:
            self.refuse_file()
            with locked(self.local_path(""), self.uri):
                yield
            return
        with leased(self._fs, self._root, without_options(self.uri)[1], self.uri) as check:
            self._may_write = check
            try:
                yield
            finally:
                self._may_write = None

    def refuse_file(self) -> None:
        """Raise UsageError where a file stands where a local folder should be, or above it."""
        path = self.local_path("")
        if self.is_local and (found := next(filter(Path.is_file, (path, *path.parents)), None)):
            raise UsageError(f"{self.uri}: {found} is a file; name a folder")

    def exists(self, name: str) -> bool:
        """Say whether a file is there."""
        with store_errors("read", self.uri_of(name)):
            found = self._fs.get_file_info(self._path(name)).type
            if found == fs.FileType.NotFound:
                self._check_bucket()
        return bool(found == fs.FileType.File)

    def names(self, folder: str, suffix: str = ".parquet") -> list[str]:
        """Return the files of a sub-folder, sorted, as names that the other methods take."""
        infos = self._infos(folder)
        prefix = f"{folder}/" if folder else ""
        return sorted(prefix + info.base_name for info in infos if info.path.endswith(suffix))

    def folders(self, folder: str) -> list[str]:
        """Return the names of the sub-folders of a sub-folder, sorted."""
        infos = self._infos(folder)
        return sorted(info.base_name for info in infos if info.type == fs.FileType.Directory)

    def walk(self, folder: str = "") -> Iterator[Walked]:
        """Yield every file below the folder: name, size in bytes, modification time in ns.

        Local files come as they are met: a million of them are never in memory at once.
        """
        if self.is_local:
            with store_errors("list", self.uri_of(folder)):
                yield from walk_local(self._path(folder), f"{folder}/" if folder else "")
            return
        for info in self._infos(folder, recursive=True):
            if info.type == fs.FileType.File:
                yield info.path[len(self._root) :].lstrip("/"), info.size, info.mtime_ns

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open a file for reading, wherever it is; it can seek."""
        with store_errors("read", self.uri_of(name)):
            if self.is_local:
                with self.local_path(name).open("rb") as file:
                    yield file
                return
            with self._fs.open_input_file(self._path(name)) as file:
                yield file

    def stat(self, name: str) -> tuple[int, int | None]:
        """Return a file's size in bytes and time in ns; StoreError where it is not there."""
        with store_errors("read", self.uri_of(name)):
            info = self._fs.get_file_info(self._path(name))
            if info.type != fs.FileType.File:
                raise FileNotFoundError("no such file")
        return int(info.size), info.mtime_ns

    def read_table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Read a Parquet file; local ones are mapped, not copied."""
        with store_errors("read", self.uri_of(name)):
            return pq.read_table(
                self._path(name),
                filesystem=self._fs,
                columns=list(columns) if columns is not None else None,
                memory_map=self.is_local,
                partitioning=None,
            )

    def read_rows(self, name: str, wanted: pc.Expression) -> pa.Table:
        """Read the rows of a Parquet file that are wanted, of the row groups that may have some."""
        with store_errors("read", self.uri_of(name)):
            path = self._path(name)
            return pq.read_table(path, filesystem=self._fs, filters=wanted, partitioning=None)

    def read_tables(self, names: Sequence[str], schema: pa.Schema) -> pa.Table:
        """Read the columns of `schema` from many Parquet files; columns a file lacks are null."""
        paths = [self._path(name) for name in names]
        if not paths:
            return schema.empty_table()
        with store_errors("read", self.uri):
            source = dataset.dataset(paths, schema=schema, format="parquet", filesystem=self._fs)
            return source.to_table()

    def scan(self, names: Sequence[str], schema: pa.Schema) -> Iterator[pa.Table]:
        """Yield the columns of `schema` from many Parquet files, some ten thousand rows at a time.

        Columns that a file lacks are null.
        """
        paths = [self._path(name) for name in names]
        if not paths:
            return
        with store_errors("read", self.uri):
            source = dataset.dataset(paths, schema=schema, format="parquet", filesystem=self._fs)
            for batch in source.to_batches(batch_readahead=2, fragment_readahead=16):
                if batch.num_rows:
                    yield pa.Table.from_batches([batch])

    def read_groups(self, name: str, groups: Iterable[int]) -> pa.Table:
        """Read some row groups of a Parquet file."""
        with self.open(name) as raw:
            return pq.ParquetFile(raw).read_row_groups(list(groups))

    def read_pieces(self, name: str) -> Iterator[pa.Table]:
        """Read a Parquet file a row group at a time."""
        with self.open(name) as raw:
            file = pq.ParquetFile(raw)
            for group in range(file.num_row_groups):
                yield file.read_row_group(group)

    def read_schema(self, name: str) -> pa.Schema:
        """Read the schema of a Parquet file, metadata and all."""
        with store_errors("read", self.uri_of(name)):
            return pq.read_schema(self._path(name), filesystem=self._fs)

    def n_rows(self, name: str) -> int:
        """Return how many rows a Parquet file has."""
        with self.open(name) as file:
            return int(pq.read_metadata(file).num_rows)

    def read_bytes(self, name: str) -> bytes:
        """Return the bytes of a file of the folder."""
        with self.open(name) as file:
            return file.read()

    def read_json(self, name: str) -> Any:
        """Return the content of a json file of the folder."""
        try:
            return json.loads(self.read_bytes(name))
        except ValueError as error:
            raise StoreError(f"{self.uri_of(name)}: not json: {error}") from error

    def read_record(self, name: str, kind: type[R]) -> R:
        """Read a json as the record that it is; StoreError where it is another thing."""
        try:
            return kind.from_dict(self.read_json(name))
        except (ValueError, TypeError, AttributeError) as error:
            what = f"no {kind.__name__} that this program reads"
            raise StoreError(f"{self.uri_of(name)}: {what}: {error}") from error

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
            self._check_claim()
            with store_errors("delete", self.uri_of(name)):
                self._fs.delete_file(self._path(name))

    def delete_temporary(self, folder: str = "") -> None:
        """Delete what a killed writer left half-written in the folder or a sub-folder."""
        for name in self.names(folder, suffix=TEMPORARY):
            self.delete(name)

    @contextmanager
    def _writing(self, name: str) -> Iterator[BinaryIO]:
        """Give a stream whose bytes become the file once the block has ended well."""
        with store_errors("write", self.uri_of(name)):
            if self.is_local:
                with renamed(self.local_path(name)) as file:
                    yield file
                return
            # Not straight into the bucket's stream: pyarrow closes that when the block raises, and
            # closing puts what there is so far (github.com/apache/arrow/issues/40502). Nor with
            # allow_delayed_open, which saves requests: an upload whose start fails is then put cut.
            buffer = pa.BufferOutputStream()
            yield buffer
            self._check_claim()
            with self._fs.open_output_stream(self._path(name), compression=None) as stream:
                stream.write(buffer.getvalue())

    def _infos(self, folder: str, *, recursive: bool = False) -> list[fs.FileInfo]:
        """List a sub-folder, a thousand files a request; one that is not there has no files."""
        selector = fs.FileSelector(self._path(folder), allow_not_found=True, recursive=recursive)
        with store_errors("list", self.uri_of(folder)):
            infos: list[fs.FileInfo] = self._fs.get_file_info(selector)
            if not infos:
                self._check_bucket()
        return [info for info in infos if info.base_name != LEASE]

    def _check_claim(self) -> None:
        """Raise StoreError where the folder was claimed, and another job has taken it over."""
        if self._may_write is not None:
            self._may_write()

    def _check_bucket(self) -> None:
        """Raise FileNotFoundError where the bucket is missing, which looks like an empty folder."""
        bucket = self._root.partition("/")[0]  # a disk's root begins with a slash: no bucket
        if bucket and self._fs.get_file_info(bucket).type == fs.FileType.NotFound:
            raise FileNotFoundError(f"no such bucket: {bucket}")

    @cached_property
    def _place(self) -> tuple[fs.FileSystem, str]:
        is_uri = "://" in self.uri
        filesystem, root = opened(*without_options(self.uri)) if is_uri else (_LOCAL, self.uri)
        return filesystem, root.rstrip("/")

    @property
    def _fs(self) -> fs.FileSystem:
        return self._place[0]

    @property
    def _root(self) -> str:
        return self._place[1]

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")


def _arrived(uri: str) -> Folder:
    """Return a folder in a process that it was sent to; it is opened when it is first used.

    What fails while Ray reads a task's arguments it tells by its own tracebacks, and tries again.
    """
    folder = Folder.__new__(Folder)
    folder.uri, folder._may_write = uri, None
    return folder


def read_input(uri: str) -> bytes:
    """Read a file that a user names; UsageError where it is not there."""
    address, name = split_uri(uri)
    folder = Folder(address)
    if not folder.exists(name):
        raise UsageError(f"{uri}: no such file")
    return folder.read_bytes(name)
