"""An audio file in, what its own metadata says under some keys out, and back into it, by mutagen.

A key is spelt as each format spells it:

- ID3 (mp3, wav, aiff): a TXXX frame of that description, with several texts. The tag keeps its
  version, 2.3 or 2.4, and its other frames as they are: mutagen would otherwise bring those of 2.3
  up to 2.4 and join several values with a slash. Tags of 2.2 become 2.3; new ones are 2.4.
- Vorbis comments (flac, ogg, opus): a comment of that name for each value.
- MP4 (m4a, m4b, mp4): a free-form atom `----:com.apple.iTunes:KEY`, with several values.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mutagen
from mutagen._vorbis import VComment
from mutagen.aiff import AIFF
from mutagen.flac import FLAC
from mutagen.id3 import ID3, TXXX, Encoding, ParseID3v1
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4, AtomDataType, MP4FreeForm, MP4Tags
from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggspeex import OggSpeex
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE

from pipeline.exports.metadata.unfit import Unfit

Values = Mapping[str, Sequence[str]]
"""Texts by key; none where the file does not have the key."""

_ID3 = (MP3, WAVE, AIFF)
_WRITTEN = (*_ID3, FLAC, OggFLAC, OggOpus, OggSpeex, OggVorbis, MP4)
_MALFORMED = (mutagen.MutagenError, ValueError, EOFError, IndexError, struct.error)
"""What mutagen raises of a file that is not as its format says."""
_ID3V1_BYTES = 128


class AudioTags:
    """The metadata of one audio file, open to be changed."""

    def __init__(self, path: Path, kind: type[Any]) -> None:
        """Open a file of a kind that `kind_of` has found; Unfit where it cannot be read."""
        try:
            self._audio: Any = kind(path, **_options(path, kind))
        except _MALFORMED as error:
            raise Unfit("have metadata that cannot be read") from error
        self._path = path
        if _loses_something(self._audio.tags):
            raise Unfit("have metadata that would not survive a change")

    @property
    def has_tags(self) -> bool:
        """Whether the file has a place for metadata; of an mp3, a tag of ID3v2."""
        if isinstance(self._audio, MP3):
            return _has_id3v2(self._path)
        return self._audio.tags is not None

    @property
    def length_s(self) -> float:
        """Length of the sound, as the file's head or frames say."""
        return float(self._audio.info.length)

    def read(self, keys: Iterable[str]) -> dict[str, list[str]]:
        """Return the texts of each key."""
        return {key: _texts(self._audio.tags, key) for key in keys}

    def others(self, keys: Iterable[str]) -> list[tuple[str, Any]]:
        """Return all that the metadata says under other keys, in an order that does not matter."""
        tags = self._audio.tags
        own = {name.lower() for key in keys for name in (key, f"TXXX:{key}", _atom(key))}
        pairs = [] if tags is None else [(key, tags[key]) for key in tags.keys()]  # noqa: SIM118
        found = [(key, value) for key, value in pairs if key.lower() not in own]
        return sorted(found, key=lambda pair: pair[0].lower())

    def write(self, values: Values) -> None:
        """Put texts in the place of those that a key has; a key without any is removed.

        Unfit where mutagen cannot; OSError where the disk refuses.
        """
        if self._audio.tags is None:
            self._audio.add_tags()
        for key, texts in values.items():
            _put(self._audio.tags, key, list(texts))
        with _write_errors():
            self._save()

    def remove_all(self) -> None:
        """Remove the place for metadata, if nothing is in it but what ID3v1 says as well."""
        tags = self._audio.tags
        known = _id3v1_of(self._path) if isinstance(tags, ID3) else {}
        if tags is None or any(known.get(key) != tags[key] for key in tags.keys()):  # noqa: SIM118
            return  # Vorbis comments are a list: without keys() these would be pairs
        with _write_errors():
            if isinstance(self._audio, MP3):
                tags.delete(self._path, delete_v1=False)
            else:
                self._audio.delete()

    def _save(self) -> None:
        if not isinstance(self._audio, _ID3):
            self._audio.save()
            return
        tags: Any = self._audio.tags
        before = _id3v1(self._path) if isinstance(self._audio, MP3) else b""
        version = 3 if tags.version[:2] in ((2, 2), (2, 3)) else 4
        self._audio.save(v2_version=version, v23_sep=None)
        if before:  # mutagen writes it anew, from the frames
            with self._path.open("r+b") as file:
                file.seek(-_ID3V1_BYTES, 2)
                file.write(before)


@contextmanager
def _write_errors() -> Iterator[None]:
    """Tell a disk that refuses from a file that mutagen cannot write: it calls both the same."""
    try:
        yield
    except _MALFORMED as error:
        if isinstance(cause := error.__cause__ or error.__context__, OSError):
            raise cause from error
        raise Unfit("have metadata that cannot be written") from error


def kind_of(path: Path) -> type[Any]:
    """Return mutagen's class for a file, by its first bytes and its name; Unfit where none is."""
    try:
        found = mutagen.File(path)
    except _MALFORMED as error:
        raise Unfit("have metadata that cannot be read") from error
    if not isinstance(found, _WRITTEN):
        raise Unfit(f"are of a format that is not written ({path.suffix.lower() or 'no suffix'})")
    return type(found)


def _loses_something(tags: Any) -> bool:
    """Say whether mutagen would not write all back: text that is no UTF-8, frames of 2.2 alone."""
    if isinstance(tags, ID3):
        return bool(tags.version[:2] == (2, 2) and tags.unknown_frames)
    if isinstance(tags, VComment):
        return any("\ufffd" in value for _, value in tags)
    return False


def _options(path: Path, kind: type[Any]) -> dict[str, bool]:
    """Return how mutagen opens a file: frames stay those of their version.

    Where ID3v1 is the only tag its frames are taken: a player that finds the new tag of ID3v2 does
    not look at the old one any more.
    """
    if kind not in _ID3:
        return {}
    return {"translate": False, "load_v1": kind is MP3 and not _has_id3v2(path)}


def _texts(tags: Any, key: str) -> list[str]:
    if isinstance(tags, ID3):
        return [str(text) for frame in tags.getall(f"TXXX:{key}") for text in frame.text]
    if isinstance(tags, MP4Tags):
        return [bytes(one).decode("utf-8", "replace") for one in tags.get(_atom(key), ())]
    return list(tags.get(key, ())) if tags is not None else []


def _put(tags: Any, key: str, texts: list[str]) -> None:
    if isinstance(tags, ID3):
        frame = TXXX(encoding=Encoding.UTF8, desc=key, text=texts)
        tags.setall(f"TXXX:{key}", [frame] if texts else [])
        return
    is_mp4 = isinstance(tags, MP4Tags)
    name = _atom(key) if is_mp4 else key
    if texts:
        tags[name] = [_free_form(text) for text in texts] if is_mp4 else texts
    elif name in tags:
        del tags[name]


def _atom(key: str) -> str:
    return f"----:com.apple.iTunes:{key}"


def _free_form(text: str) -> MP4FreeForm:
    return MP4FreeForm(text.encode(), AtomDataType.UTF8)


def _has_id3v2(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(3) == b"ID3"


def _id3v1(path: Path) -> bytes:
    """Return the tag of ID3v1 at the end of an mp3; nothing where there is none."""
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(-min(_ID3V1_BYTES, file.tell()), 2)
        found = file.read()
    return found if found.startswith(b"TAG") and len(found) == _ID3V1_BYTES else b""


def _id3v1_of(path: Path) -> Mapping[str, Any]:
    """Return the frames that ID3v1 alone would give."""
    return ParseID3v1(_id3v1(path)) or {}
