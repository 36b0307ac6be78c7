"""IRMAS's own folder in, as it lies on the disk; its segments, and the path of every id, out."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import soundfile

from pipeline.catalog.irmas import IrmasFile, irmas_id, irmas_rows
from pipeline.catalog.vocabulary import Vocabulary, default_vocabulary
from pipeline.errors import UsageError


def list_irmas(folder: Path, vocabulary: Vocabulary | None = None) -> pa.Table:
    """Return the selected segments of the folder, with `group` and `split` (see `irmas_rows`)."""
    codes = (vocabulary or default_vocabulary()).codes
    return irmas_rows(map(_read, _wavs(folder).items()), codes, name=str(folder))


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


def _read(item: tuple[str, Path]) -> IrmasFile:
    name, path = item
    labels = path.with_suffix(".txt")
    text = labels.read_text("utf-8", errors="replace") if labels.is_file() else None
    try:
        duration_s = soundfile.info(str(path)).duration
    except soundfile.LibsndfileError:  # the build decodes it again, and says why it cannot
        duration_s = None
    return IrmasFile(name, duration_s, text)
