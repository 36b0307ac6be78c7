"""How large and how plain the source is: files, lines, functions, docstrings, untyped dictionaries.

    python benchmarks/source_counts.py [TREE ...]

A tree is a checkout; without one it is this one. Give two, for example a worktree of an older
commit, to see what changed.
"""

from __future__ import annotations

import ast
import sys
from itertools import chain, pairwise
from pathlib import Path
from statistics import median

ROOMS = ("pipeline", "jobs", "schemas")
LONG_LINES = 40  # of a function's body
FEW_WORDS = 5


def main() -> None:
    """Print a table with a column a tree."""
    trees = [Path(one) for one in sys.argv[1:]] or [Path(__file__).parents[1]]
    columns = [counts(tree) for tree in trees]
    for name in columns[0]:
        print(f"{name:42s}" + "".join(f"{column[name]:>12}" for column in columns))


def counts(tree: Path) -> dict[str, str]:
    """Return the figures of a checkout, by name."""
    paths = [path for room in ROOMS for path in sorted((tree / room).rglob("*.py"))]
    texts = [path.read_text() for path in paths]
    nodes = list(chain.from_iterable(ast.walk(ast.parse(text)) for text in texts))
    lengths = [length for node in nodes if (length := _body_lines(node))]
    words = [len(text.split()) for node in nodes for text in _docstrings(node)]
    most = max(sum(path.parent == folder for path in paths) for folder in {p.parent for p in paths})
    return {
        "files": f"{len(paths):,}",
        "lines": f"{sum(text.count(chr(10)) for text in texts):,}",
        "files in the largest folder": f"{most}",
        "functions": f"{len(lengths):,}",
        "lines of a function, median": f"{median(lengths):g}",
        f"functions over {LONG_LINES} lines": f"{_share(lengths, LONG_LINES):.1%}",
        f"docstrings under {FEW_WORDS} words": f"{sum(n < FEW_WORDS for n in words):,}",
        "dict[str, Any]": f"{sum(text.count('dict[str, Any]') for text in texts):,}",
    }


def _share(lengths: list[int], limit: int) -> float:
    return sum(length > limit for length in lengths) / len(lengths)


def _body_lines(node: ast.AST) -> int | None:
    """Return how long a function is without its docstring; None of what is none."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else None


def _docstrings(node: ast.AST) -> list[str]:
    """Return the docstrings of a module, class or function, and of a class's fields."""
    found = []
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        found.append(ast.get_docstring(node))
    if isinstance(node, ast.ClassDef):
        for field, after in pairwise(node.body):
            if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
                found.append(str(getattr(after.value, "value", "")))
    return [text for text in found if text]


if __name__ == "__main__":
    main()
