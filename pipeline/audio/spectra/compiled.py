"""librosa, imported by one process at a time.

Its numba kernels are compiled when their modules are imported, and cached beside them. Two
processes that do so at once leave a cache that crashes all who read it later (seen: a segmentation
fault in `piptrack`), and on a fresh machine a job's workers do everything at once.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path

_WITH_KERNELS = ("audio", "pitch", "constantq")


@cache
def import_alone() -> None:
    """Import what librosa compiles, while no other process of this user does."""
    lock = Path(tempfile.gettempdir()) / f"timbre-{os.getuid()}-librosa.lock"
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for name in _WITH_KERNELS:
            import_module(f"librosa.core.{name}")
