"""Whether torch can compile networks on this machine, and what it lacks where it cannot.

On a GPU torch writes C code, which a C compiler builds against Python's headers. A node without
them computes all the same, but slower, so whoever runs has to be told.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

NOT_COMPILED = "not compiled: "
"""How an engine's note begins where its network was to be compiled and is not."""


def compiler_fault(headers: str | None = None) -> str:
    """Return what torch lacks here to compile, and the cure; '' where nothing is missing.

    Python's `headers` are looked for where this Python says if not given.
    """
    named = os.environ.get("CC") or "cc"
    if not any(map(shutil.which, (named, "gcc", "clang"))):
        return "no C compiler (install build-essential)"
    folder = Path(headers or sysconfig.get_path("include"))
    if not (folder / "Python.h").exists():
        return f"no Python.h in {folder} (install python3.11-dev)"
    return ""
