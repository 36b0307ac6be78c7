"""Who says what is said: whom a flag names, or else the user of this machine."""

from __future__ import annotations

import getpass

from pipeline.errors import UsageError


def author_of(given: str | None) -> str:
    """Return an author's name; UsageError where none is given and the user has no name here.

    A container that runs as a bare number (`--user 1234`) has none.
    """
    try:
        return given or getpass.getuser()
    except (KeyError, OSError) as error:
        raise UsageError("this user has no name here: say who corrects with --author") from error
