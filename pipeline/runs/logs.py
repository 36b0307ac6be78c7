"""What a job says while it runs: for people, or with TIMBRE_LOG=json as an object a line.

Both go to stderr; the summary at a job's end goes to stdout, in words, whatever the form.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pythonjsonlogger.json import JsonFormatter
from tqdm import tqdm

from pipeline.errors import UsageError

FORMS = ("text", "json")
_KEYS = {"asctime": "time", "levelname": "level", "name": "logger", "message": "event"}
_EVERY_S = 10.0

_log = logging.getLogger(__name__)


def log_form() -> str:
    """Return how a job is to talk, as the environment's TIMBRE_LOG says."""
    form = os.environ.get("TIMBRE_LOG") or FORMS[0]
    if form not in FORMS:
        raise UsageError(f"TIMBRE_LOG={form}: expected one of {', '.join(FORMS)}")
    return form


@contextmanager
def logged(job: str) -> Iterator[None]:
    """Log what runs within as objects, one per line; nothing changes where text is asked for."""
    if log_form() == "text":
        yield
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            " ".join(f"%({key})s" for key in _KEYS),
            rename_fields=_KEYS,
            static_fields={"job": job},
            datefmt="%Y-%m-%dT%H:%M:%S%z",
        )
    )
    root = logging.getLogger()
    kept, level = root.handlers, root.level
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.handlers = kept
        root.setLevel(level)


def log_as_objects(name: str) -> None:
    """Let a library's logger print objects, where they are asked for: Ray's have own handlers."""
    if log_form() == "text":
        return
    formatters = [handler.formatter for handler in logging.getLogger().handlers]
    for handler in logging.getLogger(name).handlers:
        if isinstance(handler, logging.StreamHandler) and not hasattr(handler, "baseFilename"):
            handler.setFormatter(next(iter(formatters), None))


def say(event: str, *, level: int = logging.INFO, text: str | None = None, **values: Any) -> None:
    """Log an event with its values; as text, print only the line that stands for it, if any."""
    if log_form() == "json":
        _log.log(level, event, extra=values | ({} if text is None else {"text": text}))
    elif text is not None:
        print(text, file=sys.stderr)


def progress_bar(**options: Any) -> tqdm[Any]:
    """Return a progress bar: live on a terminal, every ten seconds a line or object in a log."""
    if log_form() == "json":
        return _Events(file=io.StringIO(), mininterval=_EVERY_S, maxinterval=_EVERY_S, **options)
    if sys.stderr.isatty():
        return tqdm(dynamic_ncols=True, **options)
    return tqdm(file=_Lines(), mininterval=_EVERY_S, maxinterval=_EVERY_S, ncols=0, **options)


class _Events(tqdm):  # type: ignore[type-arg]
    """A log of objects: where a progress bar stands."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write a line to the log in place of a drawn bar."""
        stands = self.format_dict
        rate = stands["rate"] or (self.n / stands["elapsed"] if stands["elapsed"] else None)
        say(
            "progress",
            what=self.desc.removesuffix(": "),
            n=self.n,
            total=self.total,
            unit=self.unit.strip(),
            elapsed_s=round(stands["elapsed"], 3),
            rate_per_s=rate and round(rate, 3),
            note=stands["postfix"],
        )


class _Lines(io.TextIOBase):
    """A log: what a progress bar would write over itself becomes a line, once."""

    _last = ""

    def write(self, text: str) -> int:
        line = text.strip("\r\n ")
        if line and line != self._last:
            print(line, file=sys.stderr, flush=True)
            self._last = line
        return len(text)
