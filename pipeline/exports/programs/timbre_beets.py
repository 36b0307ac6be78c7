"""Plugin for beets: what timbre-tagger has found, as flexible attributes of a library's tracks.

`beet timbre beets.jsonl` reads what `jobs.export --format beets` has written. A track is found by
its path; nothing is written into audio files.
"""

from __future__ import annotations

import json
import os
from typing import Any

from beets.plugins import BeetsPlugin
from beets.ui import Subcommand, print_


class TimbrePlugin(BeetsPlugin):
    """Adds the command `beet timbre FILE`."""

    def commands(self) -> list[Subcommand]:
        """Return the command."""
        command = Subcommand("timbre", help="read the beets.jsonl of timbre-tagger")
        command.func = self._read
        return [command]

    def _read(self, lib: Any, opts: Any, args: list[str]) -> None:
        for name in args:
            with open(name, encoding="ascii") as file:  # noqa: PTH123
                rows = [json.loads(line) for line in file]
            fields = {os.fsencode(row["path"]): row["fields"] for row in rows}
            n_found = sum(_changed(item, fields.get(item.path)) for item in lib.items())
            print_(f"{n_found} of {len(fields)} tracks are in the library")


def _changed(item: Any, fields: dict[str, Any] | None) -> bool:
    """Give a track its attributes; those without a value are removed. False where it has no row."""
    if fields is None:
        return False
    for key, value in fields.items():
        if value is not None:
            item[key] = value
        elif key in item:
            del item[key]
    item.store()
    return True
