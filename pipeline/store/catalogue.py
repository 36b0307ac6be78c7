"""A catalogue in, its tracks out, a batch at a time: `uri, size_bytes, modified_ns`.

Those of a manifest have its own columns besides (`manifest_columns`).

A catalogue is a folder, a glob, one audio file, or a Parquet, CSV or JSON-lines manifest with a
`uri` column, here or in a bucket. Nothing is kept but the batch at hand, so ten million rows cost
no more memory than ten thousand.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.audio.decoding.formats import AUDIO_SUFFIXES
from pipeline.errors import UsageError
from pipeline.store.folder import Folder
from pipeline.store.left_out import LeftOut
from pipeline.store.manifests.lines import STATED, Row, checked_row, csv_rows, json_rows
from pipeline.store.manifests.manifest_columns import kept_names, own_columns, own_columns_of
from pipeline.store.manifests.playlist import (
    FORMS,
    PLAYLISTS,
    playlist_uris,
    refuse_other_playlists,
)
from pipeline.store.uris import split_uri, uri_in, without_options

MANIFEST_SUFFIXES = (".parquet", ".csv", ".jsonl", *PLAYLISTS)
TRACKS = pa.schema([("uri", pa.string()), ("size_bytes", pa.int64()), ("modified_ns", pa.int64())])
_BATCH_TRACKS = 1 << 16
_OWN = "own"  # of a track's row: the manifest's row that names it
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")


def track_batches(catalog: str, left_out: LeftOut | None = None) -> Iterator[pa.Table]:
    """Yield a catalogue's tracks in batches of TRACKS, as they are met; UsageError where none is.

    A manifest's tracks are taken as they stand, files that are missing included: they become rows
    that say so. Where it has columns `size_bytes` and `modified_ns` these are taken, and no file is
    looked at. In a folder or a glob, files without a suffix of audio are no tracks, nor are the
    `._` files that macOS leaves: `left_out` counts them, and is complete after the last batch.
    """
    n_rows = 0
    for batch in _batches(catalog, LeftOut() if left_out is None else left_out):
        n_rows += batch.num_rows
        yield batch
    if not n_rows:
        raise UsageError(f"{catalog}: no tracks: {_why_none(catalog)}; expected {FORMS}")


def _batches(catalog: str, left_out: LeftOut) -> Iterator[pa.Table]:
    catalog = without_scheme(catalog)
    is_parquet = catalog.lower().partition("?")[0].endswith(".parquet")
    if is_parquet and (is_uri(catalog) or Path(catalog).is_file()):
        refuse_web_manifest(catalog)
        path = catalog if is_uri(catalog) else str(Path(catalog).absolute())
        yield from _parquet_batches(path)
    else:
        yield from _as_tables(_rows(catalog, left_out))


def with_columns(table: pa.Table, columns: Mapping[str, pa.Array]) -> pa.Table:
    """Return a table with more columns."""
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table


def without_scheme(catalog: str) -> str:
    """Return the path of a file:// URI: the caller's own, as one in a manifest is not read."""
    return unquote(urlsplit(catalog).path) if catalog.startswith("file://") else catalog


def _as_tables(rows: Iterable[Row]) -> Iterator[pa.Table]:
    rows = iter(rows)
    while batch := list(islice(rows, _BATCH_TRACKS)):
        table = pa.Table.from_pylist(batch, TRACKS)
        own = [row[_OWN] for row in batch if _OWN in row]
        yield with_columns(table, own_columns_of(own)) if own else table


def _why_none(catalog: str) -> str:
    """Return why a catalogue has no tracks: it may be missing, empty, or all of other kinds."""
    path = Path(catalog).absolute()
    if is_uri(catalog) or path.exists():
        is_file = catalog.lower().partition("?")[0].endswith(MANIFEST_SUFFIXES)
        return "it names none" if is_file else "no file there has a suffix of audio"
    if any(mark in catalog for mark in "*?["):
        return "no file of audio matches"
    return "no such file or folder"


def list_tracks(catalog: str) -> pa.Table:
    """Return the tracks of a catalogue, sorted by uri, each once: for catalogues of some size."""
    rows = {row["uri"]: row for table in track_batches(catalog) for row in table.to_pylist()}
    return pa.Table.from_pylist([rows[uri] for uri in sorted(rows)], TRACKS)


def _rows(catalog: str, left_out: LeftOut) -> Iterable[Row]:
    is_manifest = catalog.lower().partition("?")[0].endswith(MANIFEST_SUFFIXES)
    if is_uri(catalog):
        return _remote_rows(catalog, left_out, is_manifest=is_manifest)
    path = Path(catalog).absolute()
    if path.is_dir():
        return _audio_only(_listed(str(path)), left_out)
    if path.is_file():
        refuse_other_playlists(str(path))
        return _manifest(str(path)) if is_manifest else [_stated(str(path))]
    found = (str(Path(p).absolute()) for p in glob.iglob(catalog, recursive=True))  # noqa: PTH207
    files = (path for path in found if is_audio(path) or os.path.isfile(path))  # noqa: PTH113
    return _audio_only(map(_stated, files), left_out)


def _remote_rows(catalog: str, left_out: LeftOut, *, is_manifest: bool) -> Iterable[Row]:
    refuse_other_playlists(catalog.partition("?")[0])
    if catalog.startswith(("http://", "https://")):
        if is_manifest:
            refuse_web_manifest(catalog)
        return [_track(catalog, None, None)]
    if is_manifest:
        return _manifest(catalog)
    if "*" in catalog:  # not "[", with which folders of albums are named
        return _audio_only(_matching(catalog), left_out)
    if is_audio(without_options(catalog)[0]):
        return [_remote_file(catalog)]
    return _audio_only(_listed(catalog), left_out)


def refuse_web_manifest(catalog: str) -> None:
    """Raise UsageError for a manifest on a web server."""
    if catalog.startswith(("http://", "https://")):
        raise UsageError(f"{catalog}: fetch the manifest first; its tracks may be http(s)")


def is_uri(text: str) -> bool:
    """Say whether a text is a URI with a scheme, not a path."""
    return _SCHEME.match(text) is not None


def is_audio(path: str) -> bool:
    """Say whether a file's name has a suffix of audio, and is none that macOS leaves."""
    name = path.rpartition("/")[2]
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES and not name.startswith("._")  # noqa: PTH122 (a Path for each of a million names takes seconds)


def _audio_only(rows: Iterable[Row], left_out: LeftOut) -> Iterator[Row]:
    """Yield the rows of audio files; count the others."""
    for row in rows:
        path = without_options(row["uri"])[0]
        if is_audio(path):
            yield row
        else:
            left_out.add(path)


def _listed(uri: str) -> Iterator[Row]:
    """Yield every file of a folder, whatever it is."""
    folder = Folder(uri)
    for name, size, modified_ns in folder.walk():
        yield _track(folder.uri_of(name), size, modified_ns)


def _matching(pattern: str) -> Iterator[Row]:
    """Yield a bucket's files that a glob names: `**/` crosses folders, `*` does not."""
    address, options = without_options(pattern)
    wanted = re.compile(bucket_pattern(address))
    for row in _listed(address.partition("*")[0].rpartition("/")[0] + options):
        if wanted.fullmatch(without_options(row["uri"])[0]):
            yield row


def bucket_pattern(address: str) -> str:
    """Return a regular expression of the files that a bucket's glob names."""
    forms = {"**/": "(?:.*/)?", "*": "[^/]*"}
    parts = re.split(r"(\*\*/|\*)", address)
    return "".join(forms.get(part) or re.escape(part) for part in parts)


def _remote_file(uri: str) -> Row:
    folder, name = split_uri(uri)
    return _track(uri, *Folder(folder).stat(name))


def _track(uri: str, size_bytes: int | None, modified_ns: int | None) -> Row:
    """Return a row of TRACKS; what is not UTF-8 in a file's name is shown by its escapes."""
    readable = uri.encode("utf-8", "backslashreplace").decode()
    return {"uri": readable, "size_bytes": size_bytes, "modified_ns": modified_ns}


def _stated(path: str) -> Row:
    try:
        info = os.stat(path)  # noqa: PTH116 (twice as fast as Path's)
    except (OSError, ValueError):
        return _track(path, None, None)
    return _track(path, info.st_size, info.st_mtime_ns)


def _manifest(uri: str) -> Iterator[Row]:
    """Yield a manifest's tracks; relative paths count from the manifest's folder."""
    yield from _tracks_of(_manifest_rows(uri), split_uri(uri)[0])


def _tracks_of(rows: Iterable[Row], folder: str) -> Iterator[Row]:
    """Yield the tracks that a manifest in a folder names, and its rows with them."""
    for row in rows:
        track = resolve(row["uri"], folder)
        is_stated = row.get("size_bytes") is not None or is_uri(track)
        stated = (row.get("size_bytes"), row.get("modified_ns"))
        yield (_track(track, *stated) if is_stated else _stated(track)) | {_OWN: row}


def _manifest_rows(uri: str) -> Iterator[Row]:
    kind = uri.lower().partition("?")[0]
    address, name = split_uri(uri)
    folder = Folder(address)
    with folder.open(name) as file:
        if kind.endswith(PLAYLISTS):
            yield from (
                {"uri": one} for _, one in playlist_uris(file, uri, is_local=folder.is_local)
            )
        else:
            lines = csv_rows(file, uri) if kind.endswith(".csv") else json_rows(file, uri)
            for line, row in lines:
                yield checked_row(row, uri, line)


def _parquet_batches(uri: str) -> Iterator[pa.Table]:
    """Yield a Parquet manifest's tracks; batches that need no look at a row go through whole."""
    address, name = split_uri(uri)
    expected = f"{uri}: expected Parquet with a column uri of strings"
    n_before = 0
    with Folder(address).open(name) as file:
        try:
            source = pq.ParquetFile(file)
            names = set(source.schema_arrow.names)
            if "uri" not in names:
                raise UsageError(f"{expected}; its columns are {', '.join(sorted(names))}")
            columns = ["uri", *(name for name in STATED if name in names)]
            kept = kept_names(source.schema_arrow)
            for batch in source.iter_batches(_BATCH_TRACKS, columns=kept):
                tracks, own = batch.select(columns), own_columns(batch)
                if is_plain(tracks):
                    table = pa.Table.from_batches([tracks]).select(TRACKS.names).cast(TRACKS)
                else:
                    rows = enumerate(tracks.to_pylist(), n_before + 1)
                    checked = (checked_row(row, uri, n) for n, row in rows)
                    found = list(_tracks_of(checked, address))
                    table = pa.Table.from_pylist(found, TRACKS)
                yield with_columns(table, own)
                n_before += batch.num_rows
        except pa.ArrowInvalid as error:
            raise UsageError(f"{expected}: {error}") from error


def is_plain(batch: pa.RecordBatch) -> bool:
    """Say whether a manifest's rows are tracks as they stand: ten times as fast as one by one.

    Sizes and times are whole numbers, and every uri has a scheme, or is a whole path, of a file
    whose size is given.
    """
    fields = {field.name: field.type for field in batch.schema}
    if set(fields) != set(TRACKS.names) or not pa.types.is_string(fields["uri"]):
        return False
    if not all(pa.types.is_signed_integer(fields[name]) for name in STATED):
        return False
    uris = batch["uri"]
    is_named = pc.match_substring_regex(uris, f"^{_SCHEME.pattern}")
    is_path = pc.and_(
        pc.match_substring_regex(uris, r"^(?:/[^/]+)+$"),
        pc.invert(pc.match_substring_regex(uris, r"/\.\.?(?:/|$)")),
    )
    is_stated = pc.and_(is_path, pc.is_valid(batch["size_bytes"]))
    return bool(pc.all(pc.fill_null(pc.or_(is_named, is_stated), False)).as_py())


def resolve(uri: str, folder: str | Path) -> str:
    """Return a uri as a catalogue's listing would name it: relative paths count from `folder`."""
    if is_uri(uri):
        return uri
    if is_uri(str(folder)):
        return uri_in(str(folder), uri)
    return os.path.abspath(os.path.join(folder, uri))  # noqa: PTH100, PTH118 (a Path for each of
    # ten million rows takes a minute)
