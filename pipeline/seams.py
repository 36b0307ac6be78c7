"""A folder in, what its modules declare out: how a new file is found without an edit elsewhere.

A seam is a folder of `pipeline/` and the name of a constant: `FAMILY` in models/pretrained/,
`EXPORT` in exports/, and so on. A module of the folder that has the constant is one more of its
kind. Of an export, an augmentation, a feature and a family the module's name is the name that users
give, as `declaring` lists them by it. CONTRIBUTING.md shows each seam.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any


def declaring(package: str, constant: str) -> list[str]:
    """Return the names of a package's modules that have a constant, sorted; nothing is imported.

    `--help` and configs list what there is by it. A line of the module begins with the constant.
    """
    (folder,) = import_module(package).__path__
    begins = re.compile(rf"^{constant}\b.*=", re.MULTILINE)
    return sorted(
        path.stem for path in Path(folder).glob("*.py") if begins.search(path.read_text())
    )


def declared(package: str, constant: str, *, first: Sequence[str] = ()) -> list[Any]:
    """Return the constant of every module of a package that has it.

    They stand in the order of the modules' names, but those in `first` before all others and in its
    order: what users have seen in an order keeps it.
    """
    names = sorted(one.name for one in pkgutil.iter_modules(import_module(package).__path__))
    ordered = [*(name for name in first if name in names), *(n for n in names if n not in first)]
    modules = [import_module(f"{package}.{name}") for name in ordered]
    return [getattr(module, constant) for module in modules if hasattr(module, constant)]
