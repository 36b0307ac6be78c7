"""What an attribute set is: its columns in TAGS, and the function that describes an excerpt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from pipeline.arrays import Float32


@dataclass(frozen=True)
class AttributeSet:
    """Some numbers that describe a sound. Its name is that of its file."""

    columns: tuple[pa.Field, ...]
    """Its columns in TAGS, each made by `schemas.attributes.attribute`."""
    describe: Callable[[Float32, int], Mapping[str, float]]
    """Describes an excerpt: mono samples, `[n_samples]`, and their rate in Hz to a value by column;
    NaN where it is not defined. It imports what it needs when it is called: `--help` reads the
    module."""
