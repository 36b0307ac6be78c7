"""Marks of single cases."""

from typing import Any

import pytest


def slow(*values: Any) -> Any:
    """Return a case of `parametrize` that `make test` leaves to `make test-all`."""
    return pytest.param(*values, marks=pytest.mark.slow)
