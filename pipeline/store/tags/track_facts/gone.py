"""Tracks that are gone: rows of TAGS whose track its catalogue had no more at the last run.

Their rows of TAGS stay until they are pruned, as a disk that is not mounted today may be back
tomorrow; whoever reads TAGS leaves them out. GONE has a row for each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from pipeline.arrays import Bools, Hashes
from pipeline.store.folder import Folder
from pipeline.store.tags.known import are_in, each_once, no_hashes, text_hashes
from pipeline.store.tags.track_facts.part_table import PartRows, PartTable
from pipeline.sums import Sums
from schemas.gone import GONE

GONE_TABLE = PartTable("gone", GONE)


@dataclass(frozen=True)
class Presence(Sums):
    """What became of the tracks that a catalogue no longer has, in one part or in all."""

    n_gone: int = 0
    """Tracks that are gone now."""
    n_new: int = 0
    """Of those, tracks that were there at the run before."""
    n_returned: int = 0
    """Tracks that were gone and are back."""


def gone_tracks(folder: Folder, model_id: str) -> Hashes:
    """Return the hashes of the uris of a model's tracks that are gone, sorted, each once."""
    names = GONE_TABLE.files(folder, model_id)
    hashes = [text_hashes(folder.read_table(name, ["uri"])["uri"]) for name in names]
    return each_once(np.concatenate([no_hashes(), *hashes]))


def read_gone(folder: Folder, model_id: str) -> pa.Table:
    """Return the rows of GONE of a model's tracks."""
    return folder.read_tables(GONE_TABLE.files(folder, model_id), GONE)


def are_present(uris: pa.ChunkedArray, gone: Hashes) -> Bools:
    """Return which of some uris are not among the `gone_tracks`, `[n]`."""
    if not len(gone):
        return np.ones(len(uris), bool)
    return ~are_in(text_hashes(uris), gone)


def gone_now(
    before: PartRows, missing: pa.Table, *, listed: Hashes, known: Hashes
) -> tuple[PartRows, Presence]:
    """Return the rows of GONE after a run, and how many are new or back. PURE.

    Parameters
    ----------
    before
        The rows of GONE until now.
    missing
        Rows of GONE of other tracks, which the run's catalogue speaks for and has not.
    listed
        Hashes of the uris that the catalogue has, sorted.
    known
        Hashes of the uris that have a row of TAGS, sorted.
    """
    is_known, is_back = are_in(before.hashes, known), are_in(before.hashes, listed)
    stay = before.kept(is_known & ~is_back)
    new = text_hashes(missing["uri"])
    rows = PartRows.of([stay.table, missing], [stay.hashes, new])
    return rows, Presence(len(rows.hashes), len(new), int((is_known & is_back).sum()))


def rows_of_gone(uris: list[str], catalog: str, since: datetime) -> pa.Table:
    """Return rows of GONE for tracks that a catalogue has no more."""
    rows = [{"uri": uri, "gone_since": since, "catalog": catalog} for uri in uris]
    return pa.Table.from_pylist(rows, GONE)
