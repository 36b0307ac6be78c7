"""What stands in README, CONTRIBUTING and docs: commands, blocks of code, links; the jobs' parsers.

Shell stands in indented blocks, everything else in fenced ones.
"""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import jobs.__main__ as timbre

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES.remove(ROOT / "docs" / "log.md")  # says what was typed on a day
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
_INDENTED = re.compile(r" {4,}\S")


def fenced(page: Path) -> list[tuple[str, str]]:
    """Return the fenced blocks of a page: the language, and what is in them."""
    return _FENCED.findall(page.read_text())


def shell_lines(text: str) -> list[str]:
    """Return the lines of the indented code blocks."""
    return [line.strip() for line in _FENCED.sub("", text).splitlines() if _INDENTED.match(line)]


def inline(text: str) -> list[str]:
    """Return the code within the text."""
    lines = _FENCED.sub("", text).splitlines()
    text = "\n".join(line for line in lines if not _INDENTED.match(line))
    return re.findall(r"`([^`\n]+)`", text)


def sections(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", _FENCED.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Yield the file and the anchor ('' where none) of every link into the repository."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if ":" not in link:
            name, _, anchor = link.partition("#")
            yield page.parent / name if name else page, anchor


class _Made(Exception):
    """A parser is made."""


def parser_of(job: str, *words: str) -> argparse.ArgumentParser:
    """Return the parser that a job makes for some words; the job does not begin."""
    made: list[argparse.ArgumentParser] = []

    def parse(self: argparse.ArgumentParser, *_: object) -> None:
        made.append(self)
        raise _Made

    with pytest.MonkeyPatch.context() as patched, pytest.raises(_Made):
        patched.setattr(argparse.ArgumentParser, "parse_args", parse)
        importlib.import_module(f"jobs.{timbre.COMMANDS.get(job, job)}").main([*words])
    return made[-1]
