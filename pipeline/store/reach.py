"""A catalogue in, which tracks it speaks for out: those that are gone when it has them no more.

A folder of tags may be of several catalogues: one folder of music today, another one tomorrow, a
part of the first on the third day. Each says only of its own tracks that they are gone:

    a folder      what lies in it and has a suffix of audio
    a glob        what it matches and has a suffix of audio
    a manifest    what the last run of the same manifest found in it
    a single file nothing

A catalogue without any track is an error before all (`catalogue`), so a disk that is not mounted
takes nothing away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.store.catalogue import (
    MANIFEST_SUFFIXES,
    bucket_pattern,
    is_audio,
    is_uri,
    without_scheme,
)
from pipeline.store.folder import Folder
from pipeline.store.uris import without_options

_NOTHING = re.compile(r"(?!)")
_SPECIAL = re.compile(r"[\[\]\\^&~|]")  # within a class; a range keeps its hyphen
_TOKEN = re.compile(r"\*|\?|\[!?\]?[^\]/]*\]")


@dataclass(frozen=True)
class Reach:
    """Which tracks a catalogue speaks for, by their uris."""

    pattern: re.Pattern[str] = _NOTHING
    """Of the uris of audio that a folder or a glob would list, if they were there."""
    manifest: str = ""
    """The name of a manifest, which speaks for what it had; "" for all else."""

    def chosen(self, uris: Iterable[str]) -> list[bool]:
        """Return which of some uris lie where the folder or the glob looks."""
        return [
            self.pattern.fullmatch(uri) is not None and is_audio(without_options(uri)[0])
            for uri in uris
        ]


def reach_of(catalog: str) -> Reach:
    """Return which tracks a catalogue speaks for; `catalog` is as `track_batches` takes it."""
    catalog = without_scheme(catalog)
    is_manifest = catalog.lower().partition("?")[0].endswith(MANIFEST_SUFFIXES)
    if is_uri(catalog):
        return _reach_of_uri(catalog, is_manifest=is_manifest)
    path = Path(catalog).absolute()
    if path.is_dir():
        return _below(str(path))
    if path.is_file():
        return Reach(manifest=str(path)) if is_manifest else Reach()
    return Reach(re.compile(glob_pattern(str(path)), re.DOTALL))


def _reach_of_uri(catalog: str, *, is_manifest: bool) -> Reach:
    if catalog.startswith(("http://", "https://")):
        return Reach()
    if is_manifest:
        return Reach(manifest=catalog)
    address, options = without_options(catalog)
    if "*" in catalog:
        return Reach(re.compile(bucket_pattern(address) + re.escape(options), re.DOTALL))
    return Reach() if is_audio(address) else _below(catalog)


def _below(folder: str) -> Reach:
    address, options = without_options(Folder(folder).uri)
    head = re.escape(f"{address.rstrip('/')}/")
    return Reach(re.compile(f"{head}.+{re.escape(options)}", re.DOTALL))


def glob_pattern(path: str) -> str:
    """Return a regular expression of what Python's glob finds: no hidden file by a wildcard.

    >>> bool(re.fullmatch(glob_pattern("/m/**/*.mp3"), "/m/a/b/c.mp3"))
    True
    >>> bool(re.fullmatch(glob_pattern("/m/*.mp3"), "/m/.c.mp3"))
    False
    """
    *folders, name = path.split("/")
    parts = [r"(?:(?!\.)[^/]+/)*" if one == "**" else f"{_segment(one)}/" for one in folders]
    return "".join(parts) + (r"(?:(?!\.)[^/]+/)*(?!\.)[^/]+" if name == "**" else _segment(name))


def _segment(text: str) -> str:
    """Return the regular expression of one name in a path."""
    forms, at = [], 0
    for found in _TOKEN.finditer(text):
        forms += [re.escape(text[at : found.start()]), _wildcard(found.group())]
        at = found.end()
    visible = r"(?!\.)" if forms and not text.startswith(".") else ""
    return visible + "".join([*forms, re.escape(text[at:])])


def _wildcard(token: str) -> str:
    if token in "*?":
        return {"*": "[^/]*", "?": "[^/]"}[token]
    negation, inside = ("^", token[2:-1]) if token[1] == "!" else ("", token[1:-1])
    escaped = _SPECIAL.sub(lambda found: f"\\{found.group()}", inside)
    return f"[{negation}{escaped}]"
