"""What a search is told in; a table of tracks, windows or duplicates, and counts, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.configs.search import SearchConfig as SearchConfig
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.searching.duplicates import find_duplicates
from pipeline.searching.expression import parse, words_of
from pipeline.searching.index import IndexedVectors, build_index
from pipeline.searching.query_vector import known_uri, query_vector

_MOST_LIKE = 1000
"""Tracks that a --like without a limit gives."""
_TRACK_KEYS = ("uri", "duration_s", "labels")
_WINDOW_KEYS = ("uri", "start_s", "end_s")
_WHOLE_ROWS = ("csv", "jsonl", "parquet")


@dataclass(frozen=True)
class Found:
    """What a search has found."""

    rows: pa.Table
    """Of tracks or windows, columns of TAGS or WINDOWS; of duplicates, DUPLICATES. After --like
    with `similarity`."""
    n_found: int
    """How many tracks, windows or groups there are in all; of --like how many are given."""
    model_id: str
    """The model whose tags were searched."""
    notes: tuple[str, ...] = ()
    """What was done beside, or is not as one may expect."""


def search(config: SearchConfig) -> Found:
    """Find tracks, windows or duplicates in a tagging folder.

    Raises
    ------
    UsageError, SpecMismatch
        For what the config asks.
    StoreError
        Where the folder cannot be read.
    """
    by_index = config.index is not False
    catalogue = TaggedCatalogue.open(config.tags, config.model_id, by_index=by_index)
    notes = (_index(catalogue),) if config.index else ()
    if config.duplicates:
        found = _duplicates(catalogue, config)
    elif config.like is not None:
        found = _like(catalogue, config, config.like)
    else:
        found = _find(catalogue, config)
    return replace(found, notes=(*notes, *found.notes))


def _index(catalogue: TaggedCatalogue) -> str:
    """Make the index, and say what it covers."""
    folder, files = catalogue.store.folder, catalogue.embeddings.files()
    made = build_index(folder, catalogue.model_id, files)
    return f"index: {made.n_vectors:,d} embeddings of {len(made.files):,d} files"


def _find(catalogue: TaggedCatalogue, config: SearchConfig) -> Found:
    rows = catalogue.find(
        config.where,
        order_by=config.sort,
        limit=config.limit or None,
        windows=config.windows,
        columns=_columns(catalogue, config),
    )
    n_found = rows.num_rows
    if config.limit and n_found == config.limit:
        n_found = catalogue.count(config.where, windows=config.windows)
    return Found(_shown(rows, catalogue, config), n_found, catalogue.model_id)


def _like(catalogue: TaggedCatalogue, config: SearchConfig, like: str) -> Found:
    span = {"from_s": config.from_s, "to_s": config.to_s}
    rows = catalogue.like(
        query_vector(catalogue, like, model=config.model, **span),
        config.where,
        limit=config.limit or _MOST_LIKE,
        windows=config.windows,
        columns=_columns(catalogue, config),
        without="" if config.windows else known_uri(catalogue, like),
    )
    if config.min_similarity is not None:
        rows = rows.filter(pc.greater_equal(rows["similarity"], config.min_similarity))
    vectors = catalogue.embeddings.of(windows=config.windows)
    notes = (vectors.about,) if isinstance(vectors, IndexedVectors) else ()
    shown = _shown(rows, catalogue, config)
    return Found(shown, rows.num_rows, catalogue.model_id, notes)


def _duplicates(catalogue: TaggedCatalogue, config: SearchConfig) -> Found:
    rows = find_duplicates(catalogue, config.where, min_similarity=config.min_similarity)
    n_groups = pc.max(rows["group"]).as_py() or 0
    if config.limit:
        rows = rows.filter(pc.less_equal(rows["group"], config.limit))
    if config.format == "table":
        rows = rows.drop_columns(["fingerprint"])
    return Found(rows, n_groups, catalogue.model_id)


def _columns(catalogue: TaggedCatalogue, config: SearchConfig) -> Sequence[str] | None:
    """Return the columns that are read: for a file for programs all that a row has."""
    if config.format in _WHOLE_ROWS:
        return None
    asked = [place[0] for place in _asked(catalogue, config).values()]
    return list(dict.fromkeys([*_keys(config), *asked]))


def _keys(config: SearchConfig) -> tuple[str, ...]:
    if config.format == "m3u":
        return ("uri", "duration_s")
    return _WINDOW_KEYS if config.windows else _TRACK_KEYS


def _asked(catalogue: TaggedCatalogue, config: SearchConfig) -> dict[str, tuple[str, str | None]]:
    """Return the scores and attributes that a question and its order compare, by their word.

    Each is a column and, of scores, the class.
    """
    if config.format == "m3u":
        return {}
    columns = catalogue.columns(windows=config.windows)
    found: dict[str, tuple[str, str | None]] = {}
    for word in [*words_of(parse(config.where)), *config.sort.split()[:1]]:
        if word in catalogue.attributes:
            found[word] = (word, None)
        elif (place := columns.score_of(word)) is not None:
            found[word] = place
    return found


def _shown(rows: pa.Table, catalogue: TaggedCatalogue, config: SearchConfig) -> pa.Table:
    """Return what people are shown of rows: where they are, and what was asked for."""
    if config.format in _WHOLE_ROWS:
        return rows
    values = {key: rows[key] for key in _keys(config)}
    for word, (column, code) in _asked(catalogue, config).items():
        values[word] = rows[column] if code is None else pc.struct_field(rows[column], code)
    if "similarity" in rows.column_names and config.format == "table":
        values["similarity"] = rows["similarity"]
    return pa.table(values)
