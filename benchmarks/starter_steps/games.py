"""Two Debian packages in, clips of real instruments out, which nothing learns from: GPL.

GCompris names instruments to children, each by a short recording; LMMS has single samples of its
own. Both are few (45 files) and by many people, so they say how a model does on unknown sources.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.audio.decoding.decode import decode
from starter_steps.notes import CODES, DRUMS, OTHER
from starter_steps.pool import Clip
from starter_steps.render import SAMPLE_RATE_HZ
from starter_steps.sources import GAMES, fetch

_RCC = "usr/share/gcompris-qt/rcc/instruments.rcc"
_GCOMPRIS = {
    **{"cello": "cel", "clarinet": "cla", "electric_guitar": "gel", "flute_traversiere": "flu"},
    **{"guitar": "gac", "organ": "org", "piano": "pia", "saxophone": "sax", "trumpet": "tru"},
    "violin": "vio",
    **dict.fromkeys(("accordion", "banjo", "harmonica", "harp", "horn", "timpani"), "other"),
    **dict.fromkeys(("trombone", "tuba"), "other"),
    **dict.fromkeys(("bongo", "castanets", "cymbal", "drum_kit", "maracas"), "drums"),
    **dict.fromkeys(("snare_drum", "tambourine", "triangle"), "drums"),
}
_LMMS = {
    **dict.fromkeys((*(f"church_organ0{k}" for k in range(1, 5)), "e_organ01"), "org"),
    **{"cello01": "cel", "flute01": "flu", "trumpet01": "tru", "steel_guitar01": "gac"},
    **dict.fromkeys(("violin_fingered01", "violin_double_stop01", "violin_pizzicato01"), "vio"),
    **dict.fromkeys(("piano01", "piano02"), "pia"),
    **{f"steel_guitar_{one}_distorted01": "gel" for one in ("slight", "medium", "heavy")},
    **dict.fromkeys(("bassslap01", "bassslap02"), "other"),
}
_LABELS = {**{code: k for k, code in enumerate(CODES)}, "other": OTHER, "drums": DRUMS}


def game_clips(packages: Path) -> list[Clip]:
    """Return one clip per file of the two packages, which are fetched into a folder."""
    gcompris, lmms = (fetch(one, packages)[0] for one in GAMES)
    found = dict(_rcc_files((gcompris / _RCC).read_bytes()))
    clips = [_clip(found[f"{name}.ogg"], label, "gcompris") for name, label in _GCOMPRIS.items()]
    paths = {path.stem: path for path in lmms.rglob("instruments/*.ogg")}
    return clips + [_clip(paths[name].read_bytes(), label, "lmms") for name, label in _LMMS.items()]


def _clip(data: bytes, label: str, source: str) -> Clip:
    samples = decode(data, sample_rate_hz=SAMPLE_RATE_HZ)
    full = (samples / (np.abs(samples).max() + 1e-9)).astype(np.float32)
    return Clip(full, _LABELS[label], source)


def _rcc_files(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file in Qt's binary resources (`rcc --binary`).

    A header says where the tree, the data and the names are; a node is 14 bytes, from version 2 on
    with its time 22: where its name is, whether it is a folder (2) or compressed (1), then for a
    folder how many children it has and which is the first, for a file where its data is.
    """
    version, tree, blobs, names = struct.unpack(">IIII", data[4:20])
    size = 22 if version >= 2 else 14
    pending = [0]
    while pending:
        at = tree + pending.pop() * size
        name_at, flags = struct.unpack(">IH", data[at : at + 6])
        if flags & 2:
            n_children, first = struct.unpack(">II", data[at + 6 : at + 14])
            pending += range(first, first + n_children)
        else:
            (offset,) = struct.unpack(">I", data[at + 10 : at + 14])
            yield _name(data, names + name_at), _content(data, blobs + offset, flags)


def _name(data: bytes, at: int) -> str:
    (length,) = struct.unpack(">H", data[at : at + 2])
    return data[at + 6 : at + 6 + 2 * length].decode("utf-16-be")


def _content(data: bytes, at: int, flags: int) -> bytes:
    (length,) = struct.unpack(">I", data[at : at + 4])
    content = data[at + 4 : at + 4 + length]
    return zlib.decompress(content[4:]) if flags & 1 else content
