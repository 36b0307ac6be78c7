"""Rows of SCORED in, a file of TAGS and its tally out: the last stage of tagging, wherever it runs.

A batch of TAGS is committed as one file, whole or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.evaluation.runs.tally import Tally, tally_of
from pipeline.inference.inference_config import InferenceConfig
from pipeline.inference.scored_rows import tables_of
from pipeline.inference.tracks import SAME
from pipeline.store.tags.tagrows import not_before
from pipeline.store.tags.tagstore import TagStore
from pipeline.store.tags.work.work_table import SAME_PLACE, WorkTable

MODEL_TRACKS = 8
"""Tracks whose windows the model gets at once: batches of windows are filled across tracks."""
COMMIT_TRACKS = 64
"""Tracks whose rows become one file: what a kill may lose at most, for each process that writes."""
MAX_COMMIT_TRACKS = 4096
"""The same of a large run, whose files need not be joined after it."""
_COPIED = [
    *("uri", "fingerprint", "known_as", "size_bytes", "modified_ns", "attempts", "tagged_at"),
]


@dataclass(frozen=True)
class Writing:
    """Where and how the rows of TAGS of a run are written."""

    store: TagStore
    """The folder of the run's tags."""
    date: str
    """Of the run, as the folder's name has it."""
    lineage: Mapping[str, str] = field(default_factory=dict)
    """Into the metadata of every file."""
    n_parts: int = 1
    """Into how many parts the model's rows are cut."""
    not_before: datetime | None = None
    """The least `tagged_at` of a row: it must be the last word, whatever a node's clock says."""


@dataclass(frozen=True)
class Committed:
    """What became of a batch of tracks, once its rows are written."""

    tally: Tally
    """Counts of the batch, and the seconds that its stages took."""
    same: WorkTable
    """The tracks whose content was known, for which no row was written, as `copy_rows` takes
    them."""


Stages = Callable[[Sequence[WorkTable]], Iterator[Committed]]
"""All stages of tagging: rows of WORK in, what became of each batch out."""


def commit(scored: pa.Table, inference: InferenceConfig, writing: Writing) -> Committed:
    """Write rows of SCORED as TAGS, in one file; those whose content is known are left out.

    Raises
    ------
    StoreError
        Where the disk or bucket gives out.
    """
    began = monotonic()
    if writing.not_before is not None:
        scored = not_before(scored, writing.not_before)
    is_same = pc.equal(scored["status"], SAME)
    same, new = scored.filter(is_same), scored.filter(pc.invert(is_same))
    if new.num_rows:
        tags, beside = tables_of(new, inference)
        tags = tags.replace_schema_metadata(dict(writing.lineage))
        writing.store.commit(tags, date=writing.date, beside=beside, n_parts=writing.n_parts)
    tally = tally_of(scored.to_pylist(), inference.codes, same=SAME)
    tally.stages["write_s"] += monotonic() - began
    return Committed(tally, _kept(same.select(_COPIED), writing))


def _kept(same: pa.Table, writing: Writing) -> WorkTable:
    """Keep what is to be copied when all is tagged: in a file where there are several parts.

    The file is named by its tracks, so a batch that is done twice has one.
    """
    if writing.n_parts == 1 or not same.num_rows:
        return WorkTable.in_memory(same)
    name = hashlib.sha256("\n".join(same["uri"].to_pylist()).encode()).hexdigest()
    return WorkTable.in_file(same, writing.store.folder, f"{SAME_PLACE}/{name}.parquet")
