"""The ffmpeg binary: the one on the PATH, or the one that a wheel carries."""

from __future__ import annotations

import shutil
from functools import cache

import imageio_ffmpeg


@cache
def ffmpeg_exe() -> str:
    """Return the path of an ffmpeg binary."""
    return shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()
