"""A tagging run's folder in, other people's formats out. No Ray is needed.

A format is a file in `pipeline.exports`; here are the folder that it writes to and the summary.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields

from pipeline.configs.export import FORMATS as _NAMES
from pipeline.configs.export import ExportConfig as ExportConfig
from pipeline.errors import UsageError
from pipeline.exports.source import ExportSource
from pipeline.exports.task import Export, Task
from pipeline.runs.logs import progress_bar
from pipeline.seams import declared
from pipeline.store.folder import Folder
from pipeline.store.out import EXPORT, check_out

_HALF_WRITTEN = re.compile(r"\..+\.[0-9a-f]{8}\.tmp|\.timbre-[0-9a-f]{16}\.tmp")
_MODULES = [name.replace("-", "_") for name in _NAMES]
_FORMATS: list[Export] = declared("pipeline.exports", "EXPORT", first=_MODULES)
_OPTIONS = ("beside", "relative", "in_place", "yes_change_my_files", "max_shard_mib")
"""Fields of `ExportConfig` that not all formats know."""
FORMATS: Mapping[str, Export] = {one.name.replace("_", "-"): one for one in _FORMATS}
"""The formats by name: every module of `pipeline.exports` that has an `EXPORT`."""


@dataclass(frozen=True)
class Exported:
    """What an export has written."""

    model_id: str
    n_tracks: int
    n_failed: int
    files: str
    """How many files were written, in words."""
    notes: tuple[str, ...]
    """What is not as one may expect, and of how many tracks."""


def export_tags(config: ExportConfig) -> Exported:
    """Write the tags of one model in another format."""
    check_options(config)
    check_out(config.out, EXPORT, {"--tags": config.tags})
    source = ExportSource.open(config.tags, config.model_id, include_gone=config.include_gone)
    export = FORMATS[config.format]
    if export.writes_audio and not config.in_place:
        check_out(config.out, EXPORT, catalog=source.origin.catalog or None)
    out = Folder(config.out)
    with out.claimed():
        _delete_half_written(out)
        with progress_bar(total=source.n_tracks, unit=" tracks", desc="export") as bar:
            task = Task(source, out, Counter(), bar.update, config)
            files = export.write(task)
    n_failed = task.counts.pop("failed", 0)
    notes = [f"{n:,d} {what}" for what, n in task.counts.items() if n]
    return Exported(
        source.origin.model_id, source.n_tracks, n_failed, files, (*source.notes, *notes)
    )


def check_options(config: ExportConfig) -> None:
    """Raise UsageError where there is no such format, or a flag was given that is not of it."""
    if config.format not in FORMATS:
        raise UsageError(f"format {config.format!r}: expected one of {', '.join(FORMATS)}")
    usual = {field.name: field.default for field in fields(ExportConfig)}
    for name in _OPTIONS:
        if getattr(config, name) != usual[name] and name not in FORMATS[config.format].takes:
            known = ", ".join(one.name for one in _FORMATS if name in one.takes)
            raise UsageError(
                f"--{name.replace('_', '-')}: not for --format {config.format}; for {known}"
            )


def _delete_half_written(out: Folder) -> None:
    """Delete what a killed export left below its folder; no file of the user's is called so."""
    for name, _, _ in list(out.walk()) if out.is_local else ():
        if _HALF_WRITTEN.fullmatch(name.rpartition("/")[2]):
            out.delete(name)
