"""Tracks that are gone: rows of TAGS whose track its catalogue had no more at the last run.

    gone/model=resnet50-0123456789ab/0-of-1.parquet

Their rows of TAGS stay until they are pruned, as a disk that is not mounted today may be back
tomorrow; whoever reads TAGS leaves them out. A part's file has a row for each track that is gone,
and is written whole at the end of a run, so a kill leaves the old one or the new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from pipeline.arrays import Bools, Hashes
from pipeline.store.folder import Folder
from pipeline.store.tags.known import are_in, each_once, no_hashes, text_hashes
from pipeline.store.tags.parts import part_numbers
from pipeline.store.tags.tagfiles import model_place, parquet_below
from pipeline.store.tags.tagpart import TagPart
from pipeline.sums import Sums
from schemas.gone import GONE

PLACE = "gone"


@dataclass(frozen=True)
class Presence(Sums):
    """What became of the tracks that a catalogue no longer has, in one part or in all."""

    n_gone: int = 0
    """Tracks that are gone now."""
    n_new: int = 0
    """Of those, tracks that were there at the run before."""
    n_returned: int = 0
    """Tracks that were gone and are back."""


def gone_place(model_id: str) -> str:
    """Return the folder of a model's files of GONE."""
    return f"{PLACE}/{model_place(model_id)}"


def gone_tracks(folder: Folder, model_id: str) -> Hashes:
    """Return the hashes of the uris of the tracks that are gone, sorted, each once."""
    names = [name for name, _, _ in parquet_below(folder, gone_place(model_id))]
    hashes = [text_hashes(folder.read_table(name, ["uri"])["uri"]) for name in names]
    return each_once(np.concatenate([no_hashes(), *hashes]))


def are_present(uris: pa.ChunkedArray, gone: Hashes) -> Bools:
    """Return which of some uris are not among the `gone_tracks`, `[n]`."""
    if not len(gone):
        return np.ones(len(uris), bool)
    return ~are_in(text_hashes(uris), gone)


def read_gone(part: TagPart) -> pa.Table:
    """Return the rows of GONE of a part, those from before TAGS were cut anew, too."""
    names = [name for name, _, _ in parquet_below(part.folder, gone_place(part.model_id))]
    rows = pa.concat_tables([GONE.empty_table(), *map(part.folder.read_table, names)])
    hashes = text_hashes(rows["uri"])
    rows = rows.filter(pa.array(part_numbers(hashes, part.n_parts) == part.number))
    _, first = np.unique(text_hashes(rows["uri"]), return_index=True)
    return rows.take(pa.array(np.sort(first)))


def gone_now(
    before: pa.Table, missing: pa.Table, *, listed: Hashes, known: Hashes
) -> tuple[pa.Table, Presence]:
    """Return the rows of GONE after a run, and how many are new or back. PURE.

    Parameters
    ----------
    before
        The rows of GONE until now.
    missing
        Rows of GONE of tracks that the run's catalogue speaks for and has not.
    listed
        Hashes of the uris that the catalogue has, sorted.
    known
        Hashes of the uris that have a row of TAGS, sorted.
    """
    hashes = text_hashes(before["uri"])
    is_back = are_in(hashes, listed)
    stay = before.filter(pa.array(are_in(hashes, known) & ~is_back))
    is_new = ~are_in(text_hashes(missing["uri"]), np.sort(hashes))
    rows = pa.concat_tables([stay, missing.filter(pa.array(is_new))]).sort_by("uri")
    n_returned = int((is_back & are_in(hashes, known)).sum())
    return rows, Presence(rows.num_rows, int(is_new.sum()), n_returned)


def rows_of_gone(uris: list[str], catalog: str, since: datetime) -> pa.Table:
    """Return rows of GONE for tracks that a catalogue has no more."""
    rows = [{"uri": uri, "gone_since": since, "catalog": catalog} for uri in uris]
    return pa.Table.from_pylist(rows, GONE)


def write_gone(part: TagPart, rows: pa.Table) -> None:
    """Write the rows of GONE of a part, unless they are as they were; without any, no file."""
    name = _name_of(part)
    is_there = part.folder.exists(name)
    if not rows.num_rows:
        if is_there:
            part.folder.delete(name)
    elif not is_there or not part.folder.read_table(name).equals(rows):
        part.folder.write_table(name, rows, compression="zstd")


def _name_of(part: TagPart) -> str:
    return f"{gone_place(part.model_id)}/{part.name}.parquet"


def other_cuts(folder: Folder, parts: Sequence[TagPart]) -> list[str]:
    """Return the files of GONE from before TAGS were cut as they are: to delete at last."""
    names = {_name_of(one) for one in parts}
    below = parquet_below(folder, gone_place(parts[0].model_id))
    return [name for name, _, _ in below if name not in names]
