"""Write the tags of a tagging run in formats that other programs read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs import harness
from pipeline.api import export_tags, undo_file_tags
from pipeline.configs.export import ExportConfig, UndoConfig
from pipeline.flags import from_flags

_NEEDED = ("tags", "format", "out")


def main(argv: list[str] | None = None) -> int:
    """Parse, export or take an export back, print the summary."""
    parser = harness.parser(__doc__, ExportConfig, UndoConfig, optional=_NEEDED)
    flags = vars(parser.parse_args(argv))
    given = [name for name in _NEEDED if flags[name] is not None]
    missing = [f"--{name}" for name in _NEEDED if name not in given]
    if flags["undo"] and given:
        parser.error(f"--undo takes all from its file: leave --{given[0]} away")
    if missing and not flags["undo"]:
        parser.error(f"the following arguments are required: {', '.join(missing)}")
    return harness.run(lambda: _undo(flags) if flags["undo"] else _export(flags))


def _export(flags: Mapping[str, Any]) -> int:
    done = export_tags(from_flags(ExportConfig, flags))
    print(f"{done.n_tracks:,d} tracks, {done.n_failed:,d} of them failed, by {done.model_id}")
    print(f"  {done.files}")
    for note in done.notes:
        print(f"  {note}")
    print(f"all of it is in {flags['out']}")
    return harness.OK


def _undo(flags: Mapping[str, Any]) -> int:
    """Take back what a journal says; failed where a file is left as it is."""
    done = undo_file_tags(flags["undo"])
    print(f"{done.n_restored:,d} files have the tags that they had before")
    for reason, n_files in done.skipped.items():
        print(f"  {n_files:,d} files {reason}: left as they are")
    return harness.FAILED if done.skipped else harness.OK


if __name__ == "__main__":
    harness.exit_process(main())
