"""What an export is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.flags import Count, Flag, Uri, described
from pipeline.seams import summaries

_FOUND = {
    stem.replace("_", "-"): text for stem, text in summaries("pipeline.exports", "EXPORT").items()
}
FORMATS = tuple(dict.fromkeys(("csv", "jsonl", "jams", "audacity", "m3u", *_FOUND)))
"""Names of the formats: the modules of `pipeline.exports`, with - in the place of _."""
_CHOICES = tuple(f"{name}: {_FOUND[name]}" for name in FORMATS)


@described
@dataclass(frozen=True)
class ExportConfig:
    """What to export, as what, to where."""

    tags: Uri
    """A tagging folder, as tag_catalog writes it."""
    format: Annotated[str, Flag("NAME", choices=FORMATS, known=_CHOICES)]
    """What to write {known}"""
    out: Uri
    """The folder for the files."""
    model_id: Annotated[str | None, Flag("ID")] = None
    """Whose tags; those of the last run's model if not given."""
    include_gone: bool = False
    """Also the tracks that are gone from their catalogue."""
    beside: bool = False
    """Write each track's file beside its audio, and to --out only the index of them. A file that is
    there and that this export has not written is left as it is. Of jams and audacity."""
    relative: bool = False
    """Write paths that count from the playlist's folder. Of m3u."""
    in_place: bool = False
    """Write the tags into your audio files themselves, not into copies of them below --out. Of
    file-tags; give --yes-change-my-files, too."""
    yes_change_my_files: bool = False
    """Says for --in-place that your files are to be changed."""
    max_shard_mib: Count = 1024
    """Size of a shard from which on the next one is begun, in MiB. Of webdataset."""


@described
@dataclass(frozen=True)
class UndoConfig:
    """What an export has changed, to be taken back."""

    undo: Annotated[str | None, Flag("FILE")] = None
    """The file-tags.journal.jsonl of an export with --in-place: your files get back the tags that
    they had before. No other flag is needed."""
