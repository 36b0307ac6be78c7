"""The parsers of the jobs, which `main` makes."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable

import pytest


def parsers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., argparse.ArgumentParser]:
    """Return a function that gives a job's parser, as it is for some words."""

    class Made(Exception):
        pass

    def parse(self, args=None, namespace=None):
        made.append(self)
        raise Made

    made: list[argparse.ArgumentParser] = []

    def parser_of(job: str, *words: str) -> argparse.ArgumentParser:
        with monkeypatch.context() as patched, pytest.raises(Made):
            patched.setattr(argparse.ArgumentParser, "parse_args", parse)
            importlib.import_module(f"jobs.{job}").main([*words])
        return made[-1]

    return parser_of
