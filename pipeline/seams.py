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
from traceback import extract_tb
from types import ModuleType
from typing import Any

from pipeline.errors import UsageError


def declaring(package: str, constant: str) -> list[str]:
    """Return the names of a package's modules that have a constant, sorted; nothing is imported.

    `--help` and configs list what there is by it. A line of the module begins with the constant.
    """
    return [path.stem for path in _declaring(package, constant)]


def summaries(package: str, constant: str) -> dict[str, str]:
    """Return what those modules say of themselves: their docstrings' first lines, by name."""
    return {path.stem: summary(path).removesuffix(".") for path in _declaring(package, constant)}


def summary(path: Path) -> str:
    """Return the first line of a module's docstring; its file is read, and not run.

    Of a file that does not parse there is none: `declared` says so where it is needed.
    """
    try:
        parsed = ast.parse(path.read_text("utf-8"))
    except SyntaxError:
        return ""
    return (ast.get_docstring(parsed) or "").partition("\n")[0]


def declared(package: str, constant: str, *, first: Sequence[str] = ()) -> list[Any]:
    """Return the constant of every module of a package that has it.

    They stand in the order of the modules' names, but those in `first` before all others and in its
    order: what users have seen in an order keeps it. Of a module that cannot
    be imported the error names the line that failed: it is often a file that was just added.
    """
    names = declaring(package, constant)
    ordered = [*(name for name in first if name in names), *(n for n in names if n not in first)]
    return [getattr(_imported(package, name), constant) for name in ordered]


def failed_at(error: Exception, folder: Path) -> str:
    """Return where something failed and why, in a line: the last step that is in a folder's files.

    Of a file that does not parse it is that file's own line.
    """
    steps = extract_tb(error.__traceback__)
    last = ([step for step in steps if folder in Path(step.filename).parents] or steps)[-1]
    file, line, why = last.filename, last.lineno, str(error).strip().partition("\n")[0]
    if isinstance(error, SyntaxError):
        file, line, why = error.filename or file, error.lineno, error.msg
    return f"{file}, line {line}: {type(error).__name__}: {why}"


def _imported(package: str, name: str) -> ModuleType:
    try:
        return import_module(f"{package}.{name}")
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"{failed_at(error, _folder(package))}; {package}.{name} cannot be imported: mend it, "
            "install what it needs, or take the file away"
        ) from error


def _folder(package: str) -> Path:
    (folder,) = import_module(package).__path__
    return Path(folder)


def _declaring(package: str, constant: str) -> list[Path]:
    begins = re.compile(rf"^{constant}\b.*=", re.MULTILINE)
    paths = sorted(_folder(package).glob("*.py"))
    return [path for path in paths if begins.search(path.read_text("utf-8"))]
