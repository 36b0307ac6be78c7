"""What a search is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pipeline.errors import UsageError
from pipeline.flags import Count, Flag, Number, Uri, described

Format = Literal["table", "csv", "jsonl", "m3u", "parquet"]
"""How what was found is written."""

_WHAT, _HOW = "what is found", "how it is written"


@described
@dataclass(frozen=True)
class SearchConfig:
    """Where to search, for what, and how to write it."""

    tags: Uri
    """A tagging folder, as tag_catalog writes it; here or in a bucket."""
    where: Annotated[str, Flag("QUESTION"), _WHAT] = ""
    """Labels, scores and columns, such as "cel and not voi, duration > 60", 'pia > 0.8' or
    'uri ~ "live"'; all tracks if not given."""
    like: Annotated[str | None, Flag("URI|FILE"), _WHAT] = None
    """What sounds like a track of the catalogue, or like a file that is not in it; the nearest
    first."""
    from_s: Annotated[float | None, Flag("S", name="--from"), _WHAT] = None
    """Where the part of --like begins that is meant, in s; its start if not given."""
    to_s: Annotated[float | None, Flag("S", name="--to"), _WHAT] = None
    """Where it ends, in s; its end if not given."""
    windows: Annotated[bool, _WHAT] = False
    """Find windows of tracks instead of tracks; scores are then those of the window. The tagging
    must have run with --keep-windows."""
    duplicates: Annotated[bool, _WHAT] = False
    """Find groups of tracks that are the same recording, in other encodings or masters."""
    min_similarity: Annotated[Number | None, Flag("X"), _WHAT] = None
    """Least similarity, -1 to 1, of what --like finds or of duplicates; any, or what was found to
    be right, if not given."""
    sort: Annotated[str, Flag("WORD [desc]"), _WHAT] = ""
    """The order of what is found without --like: a word of questions, such as "cel desc"."""
    limit: Annotated[Count, _WHAT] = 20
    """How many tracks, windows or groups at most; 0: all of them, of --like 1,000."""
    index: Annotated[bool | None, _WHAT] = None
    """Make an index of the embeddings first, beside the tags, for catalogues of millions; what it
    does not cover is searched exactly, --no-index all. One that is there is used if neither is
    given."""
    format: Annotated[Format, _HOW] = "table"
    """A table for people, or a file for programs and players."""
    out: Annotated[str | None, Flag("FILE"), _HOW] = None
    """The file to write; the terminal if not given."""
    model: Annotated[str | None, Flag("URI")] = None
    """The model's folder, for a --like that the catalogue has no embedding of; the one that tagged,
    as run.json names it, if not given."""
    model_id: Annotated[str | None, Flag("ID")] = None
    """Whose tags; those of the last run's model if not given."""

    def __post_init__(self) -> None:
        if self.format not in (known := get_args(Format)):
            raise UsageError(f"--format {self.format!r}: expected one of {', '.join(known)}")
        if self.limit < 0:
            raise UsageError(f"--limit {self.limit}: expected 0 or more")
        self._check_span()
        if self.like is not None and (self.sort or self.duplicates):
            flag = "--sort" if self.sort else "--duplicates"
            raise UsageError(f"{flag}: leave it out with --like, which has the nearest first")
        if self.duplicates and (self.windows or self.sort):
            flag = "--windows" if self.windows else "--sort"
            raise UsageError(f"{flag}: leave it out with --duplicates, which is of whole tracks")
        given = self.min_similarity
        if given is not None and not (-1 <= given <= 1 and (self.like or self.duplicates)):
            raise UsageError(
                f"--min-similarity {given:g}: expected -1 to 1, and --like or --duplicates"
            )

    def _check_span(self) -> None:
        for flag, value in (("--from", self.from_s), ("--to", self.to_s)):
            if value is not None and (self.like is None or not value >= 0):
                raise UsageError(f"{flag} {value:g}: expected 0 or more, and --like")
        if self.to_s is not None and not self.to_s > (self.from_s or 0.0):
            raise UsageError(f"--to {self.to_s:g}: expected more than --from")
