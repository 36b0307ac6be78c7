"""A catalogue in, its tracks out: `uri, size_bytes, modified_ns`; and a track's bytes, by its uri.

A catalogue is a folder, a glob, one audio file, or a Parquet or CSV manifest with a `uri` column.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import DecodeError, Reason, StoreError, TableError, UsageError
from pipeline.store.folder import Folder, split_uri

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".mp4", ".aac", ".webm", ".mka"}
    | {".aif", ".aiff", ".wma"}
)
TRACKS = pa.schema([("uri", pa.string()), ("size_bytes", pa.int64()), ("modified_ns", pa.int64())])


def list_tracks(catalog: str) -> pa.Table:
    """Return the tracks of a catalogue, sorted by uri, each once.

    A manifest's tracks are taken as they stand, files that are missing included: they become rows
    that say so. In a folder, files without a suffix of audio are no tracks.
    """
    if "://" in catalog:
        tracks = _listed(catalog)
    elif Path(catalog).is_dir():
        tracks = _listed(str(Path(catalog).absolute()))
    elif Path(catalog).is_file():
        path = Path(catalog).absolute()
        is_manifest = path.suffix.lower() in (".parquet", ".csv")
        tracks = _stated(_manifest(path)) if is_manifest else _stated([str(path)])
    else:
        found = [str(Path(p).absolute()) for p in glob.glob(catalog, recursive=True)]  # noqa: PTH207
        tracks = _stated(p for p in found if _is_audio(p))
    if not tracks:
        raise UsageError(
            f"{catalog}: no tracks; expected a folder with audio, a glob, or a .parquet or .csv "
            "manifest with a uri column"
        )
    rows = {row["uri"]: row for row in tracks}
    return pa.Table.from_pylist([rows[uri] for uri in sorted(rows)], TRACKS)


def _is_audio(path: str) -> bool:
    return Path(path).suffix.lower() in AUDIO_SUFFIXES


def _listed(uri: str) -> list[dict[str, Any]]:
    folder = Folder(uri)
    return [
        {"uri": folder.uri_of(name), "size_bytes": size, "modified_ns": modified_ns}
        for name, size, modified_ns in folder.walk()
        if _is_audio(name)
    ]


def _stated(uris: Iterable[str]) -> list[dict[str, Any]]:
    return [{"uri": uri, **_stat(uri)} for uri in uris]


def _stat(uri: str) -> dict[str, int | None]:
    try:
        if "://" in uri:
            return {"size_bytes": None, "modified_ns": None}
        info = Path(uri).stat()
    except OSError:
        return {"size_bytes": None, "modified_ns": None}
    return {"size_bytes": info.st_size, "modified_ns": info.st_mtime_ns}


def _manifest(path: Path) -> list[str]:
    """Return a manifest's uris; relative paths count from the manifest's folder."""
    if path.suffix.lower() == ".parquet":
        try:
            table = pq.read_table(path, columns=["uri"])
        except (pa.ArrowInvalid, KeyError) as error:
            raise UsageError(f"{path}: expected Parquet with a column uri: {error}") from error
        uris = table["uri"].to_pylist()
    else:
        uris = [row["uri"] for row in read_csv(path, ["uri"])]
    return [resolve(uri, path.parent) for uri in uris]


def resolve(uri: str, folder: Path) -> str:
    """Return a uri as a catalogue's listing would name it: relative paths count from `folder`."""
    return uri if "://" in uri else str((folder / uri).absolute())


def read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV file with a header; TableError for a missing column or value."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            header = list(reader.fieldnames or [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: not a CSV file in UTF-8: {error}") from error
    if missing := [column for column in columns if column not in header]:
        raise TableError(str(path), 1, f"columns {header}", f"a column {missing[0]!r}")
    for line, row in enumerate(rows, 2):
        if not row[columns[0]]:
            raise TableError(str(path), line, "an empty value", f"a {columns[0]}")
    return rows


def open_track(uri: str) -> tuple[Path | bytes, str]:
    """Return a track for the decoder, and its fingerprint; DecodeError where it cannot be read."""
    try:
        if "://" in uri:
            folder, name = split_uri(uri)
            data = Folder(folder).read_bytes(name)
            return data, fingerprint(io.BytesIO(data))
        path = Path(uri)
        if not path.is_file():
            kind = "not a regular file" if path.exists() else "no such file"
            raise DecodeError(Reason.UNREADABLE, kind)
        with path.open("rb") as file:
            return path, fingerprint(file)
    except (OSError, StoreError, UsageError) as error:
        raise DecodeError(Reason.UNREADABLE, str(error)) from error


def fingerprint(file: Any) -> str:
    """Return the hash of a file's bytes: what a track is known by, whatever its name."""
    digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return f"blake2b:{digest.hexdigest()}"
