"""A file and what is to be changed in it in; the changed file, whole at any moment, out."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.exports.metadata.audio_tags import AudioTags, Values, kind_of
from pipeline.exports.metadata.unfit import CHANGED, Unfit
from pipeline.store.disk import TEMPORARY, sync_folder

_IN_USE = "are being changed by another program"


def write_tags(
    source: Path,
    target: Path,
    values: Values,
    *,
    before_replace: Callable[[AudioTags], object] = lambda _: None,
    removes_tags: bool = False,
) -> None:
    """Write a copy of an audio file with other metadata; `target` may be `source` itself.

    The copy is made beside the target, synced, and renamed to it: a kill at any moment leaves the
    target as it was or as it shall be. It keeps mode, owner, extended attributes and, in another
    place, the time. A file that is changed in its place gets the time of now: programs that
    list files by their time would not see the new tags otherwise.

    Parameters
    ----------
    source, target
        The file, and where the copy goes.
    values
        Texts by key, as `AudioTags.write` takes them.
    before_replace
        Called with the source's metadata when the copy is whole and synced: the last moment before
        the target is replaced.
    removes_tags
        Whether the place for metadata is removed where nothing is left in it.

    Raises
    ------
    Unfit
        Its format is not written, its metadata is malformed, or it changed meanwhile.
    OSError
        The disk is full, or refuses.
    """
    kind = kind_of(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _held(temporary_of(target)) as temporary:
        stat = source.stat()
        shutil.copyfile(source, temporary)
        AudioTags(temporary, kind).write(values)
        if removes_tags:
            AudioTags(temporary, kind).remove_all()
        _check_written(AudioTags(source, kind), AudioTags(temporary, kind), values)
        _take_over(source, temporary, keeps_time=source != target)
        before_replace(AudioTags(source, kind))
        if (now := source.stat()).st_mtime_ns != stat.st_mtime_ns or now.st_size != stat.st_size:
            raise Unfit(CHANGED)
        temporary.replace(target)
        sync_folder(target.parent)


@contextmanager
def _held(temporary: Path) -> Iterator[Path]:
    """Give a temporary file that no other process writes; it is deleted where the block fails.

    One that a kill has left is taken over. Unfit where another process holds it: a second export
    that changes the same file.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    if temporary.exists() and not os.access(temporary, os.W_OK):
        temporary.unlink()  # a kill's copy of a file that is read-only
    with os.fdopen(os.open(temporary, flags, 0o600), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.path.samestat(os.fstat(file.fileno()), temporary.stat())
        except (BlockingIOError, FileNotFoundError) as error:
            raise Unfit(_IN_USE) from error
        if not is_ours:
            raise Unfit(_IN_USE)  # another process had it, and has renamed it meanwhile
        try:
            yield temporary
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def temporary_of(path: Path) -> Path:
    """Return where a file's copy is made: always the same place, so that no kill leaves two."""
    digest = hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
    return path.with_name(f".timbre-{digest}{TEMPORARY}")


def _check_written(before: AudioTags, after: AudioTags, values: Values) -> None:
    """Raise Unfit unless a file says what it shall, and all else as before."""
    if after.read(values) != {key: list(texts) for key, texts in values.items()}:
        raise Unfit("do not read back as they were written")
    if after.others(values) != before.others(values):
        raise Unfit("have metadata that would not survive a change")
    if abs(after.length_s - before.length_s) > 1e-3:
        raise Unfit("would not keep their length")


def _take_over(source: Path, copy: Path, *, keeps_time: bool) -> None:
    """Give a copy its source's mode, owner and attributes, and sync it."""
    stat = source.stat()
    with suppress(PermissionError):  # a group that this user is not in
        os.chown(copy, stat.st_uid, stat.st_gid)
    shutil.copystat(source, copy)
    if not keeps_time:
        os.utime(copy)
    with copy.open("rb") as file:
        os.fsync(file.fileno())
