"""The files that the listing of a catalogue leaves out, counted by suffix."""

from __future__ import annotations

import os
import re
from collections import Counter

NO_SUFFIX, OTHER, MACOS = "none", "other", "._*"
_MOST_SUFFIXES = 200
_SUFFIX = re.compile(r"\.[a-z0-9_+~-]{1,12}")


class LeftOut:
    """Counts files by suffix, in lower case; of a bounded size, however names look.

    What is no suffix as programs write them ("Mr. Brightside") counts as `none`, files that macOS
    leaves beside others as `._*`, and the 201st suffix and all later ones as `other`.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, path: str) -> None:
        """Count a file, by its path or name."""
        name = path.rpartition("/")[2]
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (a Path for each of a million)
        key = suffix if _SUFFIX.fullmatch(suffix) else NO_SUFFIX
        key = MACOS if name.startswith("._") else key
        if key not in self._counts and len(self._counts) >= _MOST_SUFFIXES:
            key = OTHER
        self._counts[key] += 1

    @property
    def counts(self) -> dict[str, int]:
        """Files by suffix, the commonest first."""
        return dict(sorted(self._counts.items(), key=lambda item: (-item[1], item[0])))
