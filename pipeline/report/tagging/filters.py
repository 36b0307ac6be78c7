"""Expressions of docs/search.md that find what a tagging run's page counts. PURE.

The page is a file: it knows neither port nor token of a `jobs.browse`, so an expression stands as
text beside its count, and one command under a table opens the page with it.
"""

from __future__ import annotations

import re
import shlex

from schemas.tagging_run import TaggingRun

HOW_TO_FILTER = "A filter goes into the search line of the browser, or behind --where:"
"""The note above a command."""


def of_run(run: TaggingRun, condition: str) -> str:
    """Return the expression of a condition on the tracks that a run has tagged or tried.

    >>> of_run(TaggingRun(started_at="2026-11-21T02:15:00+00:00"), "cel")
    'cel and tagged_at >= "2026-11-21T02:15:00"'
    """
    began = run.started_at.removesuffix("+00:00")  # expressions count in UTC
    return f"{condition} and tagged_at >= {_quoted(began)}"


def with_label(code: str) -> str:
    """Return the expression of a label; nothing for a code that no expression can name.

    >>> with_label("cel"), with_label("tagged_at"), with_label("a-b")
    ('labels.cel', 'labels.tagged_at', '')
    """
    return f"labels.{code}" if re.fullmatch(r"\w+", code) else ""


def of_reason(reason: str) -> str:
    """Return the expression of the tracks that have failed for a reason.

    >>> of_reason("not_audio")
    'status = failed and reason = not_audio'
    """
    value = reason if reason.isidentifier() and reason.isascii() else _quoted(reason)
    return f"status = failed and reason = {value}"


def browse_command(tags_uri: str, expression: str) -> str:
    """Return the command that opens a tagging folder in the browser at a filter.

    >>> browse_command("/srv/tags", "status = failed")
    "python -m jobs.browse --tags /srv/tags --open --where 'status = failed'"
    """
    words = ["--tags", tags_uri, "--open", "--where", expression]
    return f"python -m jobs.browse {shlex.join(words)}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
