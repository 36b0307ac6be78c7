"""Command lines of the old version: each flag is known, and takes what it took."""

import re
import shlex
import subprocess
import sys
from argparse import ArgumentParser

import pytest

from tests.pages import parser_of

_HELP = """
import contextlib, importlib, io, sys
for job in sys.argv[1:]:
    print(f"== {job}")
    with contextlib.suppress(SystemExit):
        importlib.import_module(f"jobs.{job}").main(["--help"])
"""
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_USAGE_FLAG = re.compile(r"(--[a-z-]+)(?: (\{[^}]*\}|[^\s\]|]+))?")


def options(parser: ArgumentParser):
    """Return a parser's actions by flag."""
    return {flag: action for action in parser._actions for flag in action.option_strings}


def documented(tree):
    """Return the commands of the old README and docs, as job and words."""
    pages = [tree / "README.md", *sorted((tree / "docs").glob("*.md"))]
    text = "\n".join(page.read_text() for page in pages if page.name != "log.md")
    found = re.findall(r"-m jobs\.([a-z_]+)([^`\n]*)", text)
    return [(job, re.sub(r" >>.*|\s#.*|…", "", words)) for job, words in found]


def test_commands_of_the_old_pages_are_parsed(tree):
    n_parsed = 0
    for job, words in documented(tree):
        parser = parser_of(job)
        assert set(_FLAG.findall(words)) <= set(options(parser)), job
        if not re.search(r"[\[(|]|\.\.\.|\b(NAME|X)\b|^\W*$", words):
            parser.parse_args(shlex.split(words))
            n_parsed += 1
    assert n_parsed > 5


@pytest.mark.slow
def test_every_old_flag_takes_the_values_that_it_took(tree):
    jobs = sorted(path.stem for path in (tree / "jobs").glob("[a-z]*.py") if path.stem != "harness")
    done = subprocess.run(
        [sys.executable, "-c", _HELP, *jobs],
        cwd=tree, env={"PATH": "/usr/bin:/bin", "COLUMNS": "1000", "PYTHONPATH": str(tree)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    texts = re.findall(r"== (\w+)\nusage:(.*?)\n\n", done.stdout, re.S)
    assert [job for job, _ in texts] == jobs
    n_flags = 0
    for job, usage in texts:
        now = options(parser_of(job))
        for flag, values in _USAGE_FLAG.findall(usage):
            assert flag in now, (job, flag)
            assert (now[flag].nargs == 0) == (values == ""), (job, flag)
            if values.startswith("{") and now[flag].choices:
                assert set(values[1:-1].split(",")) <= set(map(str, now[flag].choices))
            n_flags += 1
    assert n_flags > 100
