"""A track's row of TAGS in, its file or the reason why that is left as it is out."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.audio.decoding.fingerprint import fingerprint_like
from pipeline.errors import ItemFault
from pipeline.store.catalogue import is_uri

GONE = "are not there any more"
CHANGED = "have changed since they were tagged: tag the catalogue again"


class Unfit(Exception):
    """Why a file is left as it is, as a summary says it of many: "12 tracks are read-only"."""


def file_of(row: Mapping[str, Any]) -> Path:
    """Return the file of a track; where the track is a link, its target.

    Raises
    ------
    Unfit
        It is not on a local disk, or is gone.
    """
    if is_uri(row["uri"]):
        raise Unfit("are not on a local disk")
    try:
        path = Path(row["uri"]).resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:  # ValueError: a name with a zero byte
        raise Unfit(GONE) from error
    if not path.is_file():
        raise Unfit(GONE)
    return path


def check_content(row: Mapping[str, Any], path: Path) -> None:
    """Raise Unfit where a file is not what was tagged: its tags are not of that.

    A file of another size or time than in TAGS may have other metadata only, so its content is
    compared; the others are not opened.
    """
    found = path.stat()
    if (found.st_size, found.st_mtime_ns) == (row.get("size_bytes"), row.get("modified_ns")):
        return
    try:
        fingerprint = fingerprint_like(path, row["fingerprint"] or "")
    except ItemFault as error:
        raise Unfit("cannot be read") from error
    if fingerprint != row["fingerprint"]:
        raise Unfit(CHANGED)


def check_may_change(path: Path) -> None:
    """Raise Unfit where a file may not be replaced by its changed copy without harm.

    A copy takes one name only, so other names of the file (hard links) would keep what was before;
    and it belongs to whom this program runs as.
    """
    found = path.stat()
    if found.st_nlink > 1:
        raise Unfit("have several names on the disk (hard links)")
    if not stat.S_IMODE(found.st_mode) & 0o222 or not os.access(path, os.W_OK):
        raise Unfit("are read-only")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise Unfit("are in a folder that is read-only")
    if found.st_uid != os.geteuid() and os.geteuid() != 0:
        raise Unfit("belong to another user")
