"""What the modules of a folder declare: how a new file is found without an edit elsewhere.

A seam (an extension point) is a folder of `pipeline/` and the name of a constant: `FAMILY` in
models/pretrained/, `EXPORT` in exports/, and so on. A module of the folder that has the constant is
one more of its kind. The file name of an export, an augmentation, a feature or a family is the name
users type, as `declaring` lists them by it. What --help says of an export and a source is the first
line of the module's docstring (`summaries`). CONTRIBUTING.md shows each seam.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any


def declaring(package: str, constant: str) -> list[str]:
    """Return the names of a package's modules that have a constant, sorted; nothing is imported.

    `--help` and configs list what there is by it. A line of the module begins with the constant.
    """
    return [path.stem for path in _declaring(package, constant)]


def summaries(package: str, constant: str) -> dict[str, str]:
    """Return what those modules say of themselves: their docstrings' first lines, by name."""
    return {path.stem: summary(path).removesuffix(".") for path in _declaring(package, constant)}


def summary(path: Path) -> str:
    """Return the first line of a module's docstring; its file is read, and not run."""
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]


def declared(package: str, constant: str, *, first: Sequence[str] = ()) -> list[Any]:
    """Return the constant of every module of a package that has it.

    They stand in the order of the modules' names, but those in `first` before all others and in its
    order: what users have seen in an order keeps it.
    """
    names = declaring(package, constant)
    ordered = [*(name for name in first if name in names), *(n for n in names if n not in first)]
    return [getattr(import_module(f"{package}.{name}"), constant) for name in ordered]


def _declaring(package: str, constant: str) -> list[Path]:
    (folder,) = import_module(package).__path__
    begins = re.compile(rf"^{constant}\b.*=", re.MULTILINE)
    paths = sorted(Path(folder).glob("*.py"))
    return [path for path in paths if begins.search(path.read_text("utf-8"))]
