"""IRMAS's own files in, selected segments out, with their split. PURE.

The training form is 3-s clips in one folder per class (`cel/[cel][cla]0001__1.wav`); the testing
form is clips of 5 to 20 s with a text file of class codes beside each (`(02) some song-1.wav`,
`.txt`).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from pipeline.errors import TableError, UsageError
from pipeline.selection.plan import split_of
from pipeline.selection.splits import SplitBy
from schemas.segments import SELECTED

EXPECTED = (
    "IRMAS's training form (wav files in folders named cel, cla, flu, ...) or its testing form (a "
    ".txt with a class code a line beside each wav)"
)
TEST_RATIO = (0, 30, 70)
"""Percent of the testing form's songs or files in train, val and test, as in the report."""
NOMINAL_S = 3.0
"""Planned for a file whose length cannot be read, so that its fault gets its row in the LEDGER."""

_ROWS = SELECTED.append(pa.field("n_files", pa.int64()))


@dataclass(frozen=True)
class IrmasFile:
    """One wav file of the folder."""

    path: str
    """Relative to the folder, with slashes."""
    duration_s: float | None
    """None where it cannot be read."""
    labels: str | None = None
    """What the .txt beside it says; None where there is none."""
    content: str | None = None
    """A hash of its bytes, where another file of the folder may have the same."""


def irmas_rows(
    files: Iterable[IrmasFile], codes: Sequence[str], *, name: str, by: SplitBy = "song"
) -> pa.Table:
    """Return the files as whole segments, ordered by path, with `group`, `split` and `n_files`.

    `codes` are the classes, in order; `name` is the folder's in error messages. The training form
    is train; the testing form's songs, or its files, are shared out to val and test. `group` is the
    recording or song: a group is in one split only, but where the testing form is shared out by
    file, as in the report.

    Files of equal content are one segment, under the first one's path, with the classes of all of
    them: what sounds is what any of them says. Their recordings become one group, in one split.
    """
    in_order = sorted(files, key=lambda file: file.path)
    rows = [_row(file, codes, name, by) for file in in_order]
    if not rows:
        raise UsageError(f"--source irmas:{name}: found no wav file; expected {EXPECTED}")
    if len({row["ytid"] for row in rows}) != len(rows):
        raise UsageError(f"--source irmas:{name}: two files get the same id; rename one")
    return pa.Table.from_pylist(_without_twins(rows, codes, by), _ROWS)


def irmas_id(path: str) -> str:
    """Return the id of a file: readable, of A-Z a-z 0-9 _ and -, the same on every machine."""
    path = unicodedata.normalize("NFC", path)  # macOS takes names apart
    words = re.sub(r"[^A-Za-z0-9_]+", "-", PurePosixPath(path).stem)[:40].strip("-")
    return f"{words}-{hashlib.blake2b(path.encode(), digest_size=8).hexdigest()}".lstrip("-")


def recording_of(path: str) -> str:
    """Return what a training clip was cut from: the class and the name, without its number."""
    file = PurePosixPath(path)
    return f"train/{file.parent.name}/{re.sub(r'__[0-9]+$', '', file.stem)}"


def song_of(path: str) -> str:
    """Return what a testing clip was cut from, whatever part of the set it lies in."""
    stem = unicodedata.normalize("NFC", PurePosixPath(path).stem)
    return f"test/{re.sub(r'-[0-9]+$', '', stem).strip().casefold()}"


def parse_labels(text: str, codes: Sequence[str], *, name: str) -> list[str]:
    """Return the classes that a label file names, in the order of `codes`."""
    found = set()
    for number, line in enumerate(text.splitlines(), 1):
        if not (code := line.strip()):
            continue
        if code not in codes:
            raise TableError(name, number, f"code {code!r}", f"one of {', '.join(codes)}")
        found.add(code)
    if not found:
        raise TableError(name, 1, "no class code", f"one per line, of {', '.join(codes)}")
    return [code for code in codes if code in found]


def _row(file: IrmasFile, codes: Sequence[str], name: str, by: SplitBy) -> dict[str, Any]:
    path = PurePosixPath(file.path)
    if file.labels is not None:
        label_file = f"{name}/{path.with_suffix('.txt')}"
        classes, group = parse_labels(file.labels, codes, name=label_file), song_of(file.path)
        split = split_of(group if by == "song" else file.path, TEST_RATIO)
    elif path.parent.name in codes:
        classes, group, split = [path.parent.name], recording_of(file.path), "train"
    else:
        raise UsageError(
            f"--source irmas:{name}: {file.path} has no .txt beside it, and its folder is not "
            f"named by a class; expected {EXPECTED}"
        )
    ytid = irmas_id(file.path)
    return {
        "segment_id": f"{ytid}_0",
        "ytid": ytid,
        "start_s": 0.0,
        "end_s": file.duration_s or NOMINAL_S,
        "mids": [],
        "classes": classes,
        "unknown": [],
        "group": group,
        "split": split,
        "content": file.content or file.path,
    }


def _without_twins(
    rows: Sequence[dict[str, Any]], codes: Sequence[str], by: SplitBy
) -> list[dict[str, Any]]:
    """Return the rows with those of equal content as one, and the groups that these link as one."""
    twins: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        twins.setdefault(row["content"], []).append(row)
    group_of = _linked([[row["group"] for row in alike] for alike in twins.values()])
    trained = {group_of[row["group"]] for row in rows if row["split"] == "train"}
    kept = []
    for first, *others in twins.values():
        group = group_of[first["group"]]
        if by == "song":
            split = "train" if group in trained else split_of(group, TEST_RATIO)
        else:
            splits = [row["split"] for row in (first, *others)]
            split = "train" if "train" in splits else first["split"]
        there = {code for row in (first, *others) for code in row["classes"]}
        classes = [code for code in codes if code in there]
        changes = {"classes": classes, "group": group, "split": split, "n_files": 1 + len(others)}
        kept.append(first | changes)
    return kept


def _linked(sets: Iterable[Sequence[str]]) -> dict[str, str]:
    """Return a name for every group, the same for those that share a set: the first of them."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for names in sets:
        roots = sorted({root(name) for name in names})
        parent.update(dict.fromkeys(roots, roots[0]))
    return {name: root(name) for name in parent}
