"""The segments in IRMAS's own folder, as it lies on the disk, and the path of every id.

IRMAS holds files of equal content under several names, some in folders of two classes: they are
found here, before anything is built of them.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import soundfile

from pipeline.errors import UsageError
from pipeline.selection.irmas import IrmasFile, irmas_id, irmas_rows
from pipeline.selection.splits import SplitBy
from pipeline.selection.vocabulary import Vocabulary, default_vocabulary

Shown = Callable[[Collection[str], str], Iterable[str]]
"""Goes through names, and shows how far it is with what is done to them."""

_SAMPLE_BYTES = 16_384


def _silently(names: Collection[str], what: str) -> Iterable[str]:
    return names


def list_irmas(
    folder: Path,
    vocabulary: Vocabulary | None = None,
    *,
    by: SplitBy = "song",
    shown: Shown = _silently,
) -> pa.Table:
    """Return the selected segments of the folder, with `group` and `split` (see `irmas_rows`)."""
    codes = (vocabulary or default_vocabulary()).codes
    wavs = _wavs(folder)
    contents = _equal_contents(wavs, shown)
    names = shown(list(wavs), "read IRMAS")
    files = [_read(name, wavs[name], contents.get(name)) for name in names]
    return irmas_rows(files, codes, name=str(folder), by=by)


def irmas_paths(folder: Path) -> dict[str, Path]:
    """Return the path of every id; only names are read."""
    return {irmas_id(name): path for name, path in _wavs(folder).items()}


def _wavs(folder: Path) -> dict[str, Path]:
    """Return the wav files below a folder, by relative path; linked folders are looked into."""
    wavs: dict[str, Path] = {}
    seen: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        if os.path.realpath(root) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(os.path.realpath(root))
        folders.sort()  # of two links to one folder the same one counts everywhere
        paths = [Path(root, name) for name in names if not name.startswith(".")]  # macOS' ._*
        found = [path for path in paths if path.suffix.lower() == ".wav"]
        if strange := [path for path in found if not _is_utf8(path)]:
            raise UsageError(f"{str(strange[0])!r}: the file's name is not UTF-8; rename it")
        wavs |= {path.relative_to(folder).as_posix(): path for path in found}
    return wavs


def _is_utf8(path: Path) -> bool:
    try:
        return bool(str(path).encode())
    except UnicodeEncodeError:
        return False


def _equal_contents(wavs: dict[str, Path], shown: Shown) -> dict[str, str]:
    """Return a hash of the content of the files that may have the same as another one.

    Nearly all training files have one size. So of those of equal size a few bytes from the middle
    are read, and of those that agree in these all.
    """
    alike = _alike(wavs, lambda name: _size_of(wavs[name]))
    compared = shown(alike, "compare IRMAS")
    alike = _alike(compared, lambda name: _hash_of(wavs[name], _SAMPLE_BYTES))
    return {name: str(_hash_of(wavs[name])) for name in alike}


def _alike(names: Iterable[str], key: Callable[[str], Any]) -> list[str]:
    """Return the names whose key another one has as well; None is nobody's equal."""
    keys = {name: key(name) for name in names}
    counts = Counter(keys.values())
    return [name for name, one in keys.items() if one is not None and counts[one] > 1]


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:  # the build opens it again, and says why it cannot
        return None


def _hash_of(path: Path, n_bytes: int | None = None) -> tuple[int, str] | None:
    """Return the size and a hash of a file: of all of it, or of some bytes from its middle."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if n_bytes is None:
                return size, hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(max(0, (size - n_bytes) // 2))
            return size, hashlib.sha256(file.read(n_bytes)).hexdigest()
    except OSError:
        return None


def _read(name: str, path: Path, content: str | None) -> IrmasFile:
    labels = path.with_suffix(".txt")
    text = labels.read_text("utf-8", errors="replace") if labels.is_file() else None
    try:
        duration_s = soundfile.info(str(path)).duration
    except soundfile.LibsndfileError:  # the build decodes it again, and says why it cannot
        duration_s = None
    return IrmasFile(name, duration_s, text, content)
