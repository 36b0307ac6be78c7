"""A track's uri in; its bytes by ranges, a copy that browsers play, or a picture of it out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

import numpy as np

from pipeline.arrays import Float32
from pipeline.audio.decoding.decode import decode, decode_blocks
from pipeline.audio.spectra.logmel import LogMelSpec, log_mel
from pipeline.errors import ItemFault, StoreError
from pipeline.report.listening import encoded
from pipeline.store.catalogue import is_uri
from pipeline.store.folder import Folder
from pipeline.store.track import check_host, refuse_local_uri
from pipeline.store.uris import split_uri

PLAYED = {
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".wav": "audio/wav",
    ".m4a": "audio/mp4",
    ".aac": "audio/aac",
    ".webm": "audio/webm",
}
"""Media types of what browsers play as it is, by suffix; the rest is sent as Opus."""
MOST_AS_OPUS_S = 3600.0
"""A longer track is heard up to here where it is sent as Opus."""

_SPEC = LogMelSpec(sample_rate_hz=16_000, n_fft=1024, hop=256, n_mels=80, f_min_hz=40.0)
_MOST_COLUMNS = 1600
_RANGE_DB = 70.0
_OPUS_HZ = 48_000


def media_type(uri: str) -> str | None:
    """Return the media type of a track that browsers play; None where they do not.

    >>> media_type("s3://bucket/A.FLAC"), media_type("a.aiff")
    ('audio/flac', None)
    """
    return PLAYED.get(PurePosixPath(split_uri(uri)[1]).suffix.lower())


@contextmanager
def opened(uri: str) -> Iterator[tuple[BinaryIO, int]]:
    """Open a track wherever it is; give a file that can seek, and its size in bytes.

    Raises
    ------
    ItemFault, StoreError, OSError
        It is not there, or is refused.
    """
    refuse_local_uri(uri)
    if uri.startswith(("http://", "https://")):
        from pipeline.audio.fetching.remote_file import url_file  # here, as yt-dlp takes its time

        with url_file(uri, check=check_host) as file:
            yield file, cast(Any, file).size
    elif is_uri(uri):
        folder, name = split_uri(uri)
        with Folder(folder).open(name) as file:
            yield file, Folder(folder).stat(name)[0]
    else:
        with Path(uri).open("rb") as file:
            yield file, Path(uri).stat().st_size


def why_not(error: Exception) -> str:
    """Return in a line why a track cannot be opened."""
    if isinstance(error, ItemFault):
        return f"{error.reason}: {error.detail}"
    if isinstance(error, FileNotFoundError):
        return "the file is gone"
    return str(error) if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"


def as_opus(source: Path | bytes) -> bytes:
    """Return a track as a mono file of Opus; for `Guard`, as it decodes."""
    samples = decode(source, sample_rate_hz=_OPUS_HZ, duration_s=MOST_AS_OPUS_S)
    return encoded(samples, sample_rate_hz=_OPUS_HZ)[0]


def picture(source: Path | bytes, duration_s: float) -> np.ndarray:
    """Return a track's log-mel as a picture, `[n_mels, n_columns]` of 0 to 255; for `Guard`.

    A column has the highest level of its frames; 255 is the loudest of all, 0 lies 70 dB below it.
    Memory does not grow with the track.
    """
    frame_s = _SPEC.hop / _SPEC.sample_rate_hz
    n_columns = int(np.clip(duration_s / frame_s, 1, _MOST_COLUMNS))
    levels = np.full((_SPEC.n_mels, n_columns), -np.inf, np.float32)
    n_samples = 0
    for block in decode_blocks(source, sample_rate_hz=_SPEC.sample_rate_hz):
        _raise_to(levels, block, n_samples / _SPEC.sample_rate_hz, duration_s)
        n_samples += len(block)
    loudest = levels.max(initial=-np.inf)
    if not np.isfinite(loudest):
        return np.zeros(levels.shape, np.uint8)
    scaled = 1 + (levels - loudest) / _RANGE_DB
    return np.asarray(np.clip(scaled, 0, 1) * 255, np.uint8)


def _raise_to(levels: Float32, block: Float32, start_s: float, duration_s: float) -> None:
    """Raise the columns that a block of samples lies in to its levels."""
    matrix = log_mel(block, _SPEC)
    times = start_s + np.arange(matrix.shape[1]) * _SPEC.hop / _SPEC.sample_rate_hz
    at = np.minimum((times / duration_s * levels.shape[1]).astype(int), levels.shape[1] - 1)
    np.maximum.at(levels.T, at, matrix.T)
