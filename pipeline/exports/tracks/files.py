"""A track's uri and bytes in, its file out: in the catalogue's folders below --out, or beside it.

Beside the audio lie other people's files. One is written over only where the index of --out says
that this export has written what is in it now.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from pathlib import Path

from pipeline.configs.export import ExportConfig
from pipeline.errors import StoreError
from pipeline.exports import texts
from pipeline.exports.tracks.places import Places
from pipeline.store.catalogue import is_uri
from pipeline.store.folder import Folder
from schemas.export_index import IndexEntry


class TrackFiles:
    """The files of one format, one for each track; several threads may write them."""

    def __init__(self, out: Folder, catalog: str, suffix: str, config: ExportConfig) -> None:
        self.index = index_name(config.format)
        self.n_written = 0
        self.left_out: Counter[str] = Counter()
        """Tracks without a file, by why."""
        self._out, self._suffix, self._beside = out, suffix, config.beside
        self._places = Places(catalog)
        self._written = known_files(out, self.index) if config.beside else {}
        self._lock = threading.Lock()

    def write(self, uri: str, data: bytes) -> IndexEntry | None:
        """Write a track's file, whole or not at all; None where it gets none."""
        digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        if self._beside:
            file, reason = f"{uri}.{self._suffix}", self._why_not_beside(uri, data)
        else:
            file, reason = f"{self._places.of(uri) or texts.file_stem(uri)}.{self._suffix}", ""
        if not reason:
            self._write(file, data)
        with self._lock:
            self.n_written += not reason
            self.left_out[reason] += bool(reason)
        return None if reason else IndexEntry(uri, file, digest)

    def _write(self, file: str, data: bytes) -> None:
        if self._beside:
            path = Path(file)
            Folder(str(path.parent)).write_bytes(path.name, data)
        else:
            self._out.write_bytes(file, data)

    def _why_not_beside(self, uri: str, data: bytes) -> str:
        """Return why a track gets no file beside it; nothing where it gets one."""
        try:
            if is_uri(uri) or not Path(uri).is_file():
                return "tracks are not on a local disk, or not any more: nothing is beside them"
            there = Path(f"{uri}.{self._suffix}").read_bytes()
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot read what is beside {uri}: {error}") from error
        known = self._written.get(f"{uri}.{self._suffix}")
        if there == data or hashlib.blake2b(there, digest_size=16).hexdigest() == known:
            return ""
        return f"tracks have a .{self._suffix} beside them that is not this export's: left as it is"


def index_name(name: str) -> str:
    """Return what the index of a format's files is called."""
    return f"index-{name}.jsonl"


def known_files(out: Folder, index: str) -> dict[str, str]:
    """Return the hash of each file that the index of an earlier export lists."""
    if not out.exists(index):
        return {}
    lines = out.read_bytes(index).splitlines()
    try:
        entries = [IndexEntry(**json.loads(line)) for line in lines]
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"{out.uri_of(index)}: no index of an export: {error}; delete it, or name another --out"
        ) from error
    return {one.file: one.blake2b for one in entries}
