"""The tracks that a playlist names: `.m3u` and `.m3u8`, one path or URI per line.

Lines that begin with # are remarks. Other forms of playlists are named and refused, as a file of
text would else be taken for a track.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from pipeline.errors import UsageError

PLAYLISTS = (".m3u", ".m3u8")
FORMS = (
    "a folder with audio, a glob, an audio file, a .parquet, .csv or .jsonl manifest with a uri "
    "column, or an .m3u or .m3u8 playlist"
)
"""What names a catalogue, in words (`catalogue`)."""
_OTHERS = (".pls", ".xspf", ".cue", ".asx", ".wpl", ".zpl", ".wax", ".wvx", ".b4s", ".jspf", ".mpd")
_STREAM = b"#EXT-X-"


def playlist_uris(file: BinaryIO, name: str, *, is_local: bool) -> Iterator[tuple[int, str]]:
    """Yield line and entry of a playlist, each as it stands there.

    Text is UTF-8 or, where it cannot be, Latin-1, as older .m3u files are. A `file://` URI becomes
    the path that it stands for where the playlist `is_local`, as only then it is this machine's.
    """
    for line, data in enumerate(file, 1):
        if data.startswith(_STREAM):
            raise UsageError(
                f"{name}: the index of a stream in pieces (HLS), no list of tracks; give the audio"
            )
        text = _decoded(data).strip()
        if text and not text.startswith("#"):
            is_file = is_local and text.startswith("file://")
            yield line, unquote(urlsplit(text).path) if is_file else text


def refuse_other_playlists(catalog: str) -> None:
    """Raise UsageError for a file that is a playlist in a form that is not read."""
    suffix = next((one for one in _OTHERS if catalog.lower().endswith(one)), None)
    if suffix:
        raise UsageError(
            f"{catalog}: a playlist ({suffix}), no audio; save it as .m3u8, or give its tracks as "
            "a .csv with a uri column"
        )


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")
