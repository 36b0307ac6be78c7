"""Changes of files in, a journal of them on the disk out, and from it what there was before."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.errors import StoreError, UsageError
from pipeline.exports.metadata.audio_tags import AudioTags, kind_of
from pipeline.exports.metadata.edit import write_tags
from pipeline.exports.metadata.unfit import GONE, Unfit, check_may_change
from pipeline.store.folder import Folder
from pipeline.store.store_errors import store_errors
from schemas.file_tags import TagChange

NAME = "file-tags.journal.jsonl"
"""The journal's name in an export's folder."""


class Journal:
    """The changes of files under one folder, in their order; more are added at its end."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, change: TagChange) -> None:
        """Add a change; when this returns, a power cut does not lose it."""
        line = json.dumps(change.to_dict()) + "\n"  # ASCII: half a character is its own escape
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("r+b" if self.path.exists() else "w+b") as file:
            file.seek(_whole_bytes(self.path))
            file.truncate()
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def changes(self) -> Iterator[TagChange]:
        """Yield the changes; one that a kill has cut off was not made yet, and is left out."""
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield TagChange.from_dict(json.loads(line))
                except (ValueError, TypeError, AttributeError) as error:
                    raise StoreError(f"{self.path}: line {number} is no change: {error}") from error

    def to_undo(self) -> list[TagChange]:
        """Return a change for each file: from what was before the first one to what is in it now.

        A change that does not begin with what the one before it has left begins anew: that one was
        not made in the end, or the user has written other values since.
        """
        found: dict[str, TagChange] = {}
        for one in self.changes():
            first = found.pop(one.path, None)
            if not one.is_undo:
                found[one.path] = _joined(first, one) if first and _follows(first, one) else one
        return list(found.values())


@dataclass(frozen=True)
class Undone:
    """How many changes of files `--undo` took back, and which it did not."""

    n_restored: int
    """Files whose metadata is as it was."""
    skipped: Counter[str]
    """Files that are left as they are, by why."""


def undo(path: str) -> Undone:
    """Take back the changes of a journal, file by file; done again after a kill, it goes on.

    A file whose keys were changed by another program since is left as it is.
    """
    journal = Journal(Path(path).expanduser().absolute())
    if not journal.path.is_file():
        raise UsageError(f"--undo {path}: no such file; expected the {NAME} of an export")
    skipped: Counter[str] = Counter()
    n_restored = 0
    with Folder(str(journal.path.parent)).claimed(), store_errors("change", "a file"):
        for change in journal.to_undo():
            try:
                _undo_one(journal, change)
                n_restored += 1
            except Unfit as error:
                skipped[str(error)] += 1
    return Undone(n_restored, skipped)


def _undo_one(journal: Journal, change: TagChange) -> None:
    path = Path(change.path)
    if not path.is_file():
        raise Unfit(GONE)
    now = AudioTags(path, kind_of(path)).read(change.before)
    if now == change.before:
        return  # the change was about to be made when the program was killed
    if any(now[key] not in (change.before[key], change.after[key]) for key in now):
        raise Unfit("have other values under the keys than the export wrote")
    check_may_change(path)
    back = replace(change, before=change.after, after=change.before, is_undo=True)
    write_tags(path, path, change.before, removes_tags=not change.had_tags)
    journal.add(back)


def _follows(first: TagChange, later: TagChange) -> bool:
    shared = first.after.keys() & later.before.keys()
    return all(first.after[key] == later.before[key] for key in shared)


def _joined(first: TagChange, later: TagChange) -> TagChange:
    """Return two changes of one file as one; keys that only the later one has are from it."""
    before = {**later.before, **first.before}
    return TagChange(first.path, first.had_tags, before, {**first.after, **later.after})


def _whole_bytes(path: Path) -> int:
    """Return the length of a journal without a line that was cut off."""
    with path.open("rb") as file:
        n_bytes = file.seek(0, 2)
        file.seek(-min(n_bytes, 1 << 16), 2)
        tail = file.read()
    return n_bytes - len(tail) + tail.rfind(b"\n") + 1
