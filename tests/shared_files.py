"""Real recordings and weights beside the checkout: tests use them where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).resolve().parents[1]


def shared(path: str) -> Path:
    """Return the file or folder `path` of the shared data; skip the test where it is absent.

    It is looked for in `$TIMBRE_SHARED`, then in a folder `shared` beside the checkout or beside
    one of the checkout's parents.
    """
    named = os.environ.get("TIMBRE_SHARED")
    roots = [Path(named)] if named else []
    roots += [parent / "shared" for parent in _CHECKOUT.parents]
    for root in roots:
        if (root / path).exists():
            return root / path
    pytest.skip(f"{path} is in none of $TIMBRE_SHARED and the folders ../shared")
