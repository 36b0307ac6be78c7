"""A tagging folder in; its tracks or windows by labels, scores and likeness out.

    catalogue = TaggedCatalogue.open("tagging")
    catalogue.find("cel and not voi, duration > 60", order_by="cel desc", limit=20)
    catalogue.like(catalogue.vector_of("/music/a.flac"), "not voi", limit=20)

Results are Arrow tables. One query runs at a time; threads wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Float32, Int64
from pipeline.errors import UsageError
from pipeline.searching.conditions import Columns, Condition, condition_of, identifier
from pipeline.searching.embeddings import Embeddings
from pipeline.searching.index import IndexedVectors
from pipeline.searching.vectors import Vectors
from pipeline.searching.views import Views, sql_errors
from pipeline.searching.words import columns_of, order_of
from pipeline.store.tags.tagstore import TagStore
from pipeline.store.tags.track_facts.corrections import Corrections
from schemas.tagging_run import TaggingRun


class TaggedCatalogue:
    """The tracks that one model has tagged in a folder, each by its last row.

    Parameters
    ----------
    store
        The tagging folder.
    model_id
        Whose tags.
    in_memory
        Whether the tracks' columns are held in memory, 250 bytes a track: for many questions.
    by_index
        Whether likeness goes by the index of embeddings, where one was made (`index.py`).
    """

    def __init__(
        self, store: TagStore, model_id: str, *, in_memory: bool = False, by_index: bool = True
    ) -> None:
        self.store, self.model_id = store, model_id
        self.run = next((run for run in store.runs(model_id) if run.class_names), TaggingRun())
        self._views = Views(store, model_id, in_memory=in_memory)
        self._lock = Lock()
        self.embeddings = Embeddings(store, model_id, self._views, self.run, by_index=by_index)
        self._hashed: dict[str, Vectors | IndexedVectors] = {}

    @classmethod
    def open(
        cls,
        uri: str,
        model_id: str | None = None,
        *,
        in_memory: bool = False,
        by_index: bool = True,
    ) -> TaggedCatalogue:
        """Open a tagging folder, here or in a bucket.

        The tags are those of `model_id`, or of the last run's model. UsageError where there are
        none.
        """
        store = TagStore.open(uri)
        return cls(store, store.choose(model_id), in_memory=in_memory, by_index=by_index)

    @property
    def codes(self) -> list[str]:
        """The classes, in the order of their scores."""
        return self._views.codes

    @property
    def attributes(self) -> list[str]:
        """The columns that say how a track sounds; none where no run was asked for any."""
        return [one.name for one in self._views.attributes]

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The thresholds that the labels were made by, by code."""
        return dict(self.run.identity.get("thresholds") or {})

    def columns(self, *, windows: bool = False) -> Columns:
        """Return the words of questions about tracks, or about windows of them."""
        return columns_of(self.codes, self.attributes, self.run.class_names, windows=windows)

    def count(self, where: str = "", *, windows: bool = False) -> int:
        """Return how many tracks, or windows, a question finds."""
        condition = self._condition(where, windows=windows)
        sql = f"select count(*) as n from {self._rows(windows)} where {condition.sql}"
        return int(self._query(sql, condition.values)["n"][0].as_py())

    def find(
        self,
        where: str = "",
        *,
        order_by: str = "",
        limit: int | None = None,
        offset: int = 0,
        columns: Sequence[str] | None = None,
        windows: bool = False,
    ) -> pa.Table:
        """Return the tracks, or windows, that a question finds.

        Parameters
        ----------
        where
            The question (`pipeline.searching.expression`); an empty one finds all. Failed tracks
            are found only where it names `status`, `reason` or `detail`.
        order_by
            A word that may be compared, and `desc` behind it for the largest first; without one,
            rows come as they lie in the files.
        limit, offset
            How many rows at most, and how many before them are left out.
        columns
            Columns of TAGS; all where None.
        windows
            Whether rows are windows, which the tagging must have kept.
        """
        condition = self._condition(where, windows=windows)
        order = order_of(order_by, self.columns(windows=windows))
        kept = "*" if columns is None else ", ".join(map(identifier, columns))
        sql = f"select {kept} from {self._rows(windows)} where {condition.sql}{order}"
        sql += "" if limit is None else f" limit {int(limit)}"
        return self._query(f"{sql} offset {int(offset)}", condition.values)

    def numbers(self, where: str = "", *, order_by: str = "") -> Int64:
        """Return the numbers (`n`) of the tracks that a question finds, in an order.

        Numbers are places by uri; only a catalogue that is held in memory has them.
        """
        condition = self._condition(where, windows=False)
        order = order_of(order_by, self.columns())
        order = f"{order}, n" if order else " order by n"
        sql = f"select n from tracks where {condition.sql}{order}"
        return np.asarray(self._query(sql, condition.values)["n"].to_numpy(), np.int64)

    def numbered(self, numbers: Sequence[int] | Int64, columns: Sequence[str]) -> pa.Table:
        """Return columns of the tracks of some numbers, and `n`, in the order of the numbers."""
        wanted = [int(n) for n in numbers]
        named = ", ".join(map(identifier, dict.fromkeys(("n", *columns))))
        rows = self._query(f"select {named} from tracks where n in (select unnest(?))", [wanted])
        at = pc.index_in(pa.array(wanted, pa.int64()), value_set=rows["n"].combine_chunks())
        return rows.take(at)

    def query(
        self, sql: str, values: Mapping[str, Any], tables: Mapping[str, pa.Table] | None = None
    ) -> list[dict[str, Any]]:
        """Return the rows of a query over the view `tracks`, and over tables of the caller's."""
        connection = self._views.connection
        with self._lock, sql_errors(self.store.folder.uri):
            for name, table in (tables or {}).items():
                connection.register(name, table)
            rows: list[dict[str, Any]] = (
                connection.sql(sql, params=values).to_arrow_table().to_pylist()
            )
            for name in tables or ():
                connection.unregister(name)
        return rows

    def correct(self, corrections: Corrections) -> None:
        """Take other corrections: labels are those from now on."""
        with self._lock:
            self._views.correct(corrections)

    @property
    def corrections(self) -> Corrections:
        """What people have said of the tags of the folder, as far as it counts."""
        return self._views.corrections

    def vector_of(self, uri: str) -> Float32 | None:
        """Return the embedding of a track; None where the catalogue has none of it."""
        vectors = self.embeddings.of()
        found = vectors.rows_of(uri)
        return vectors.vector(int(found[-1])) if len(found) else None

    def like(
        self,
        vector: Float32,
        where: str = "",
        *,
        limit: int = 20,
        columns: Sequence[str] | None = None,
        windows: bool = False,
        without: str = "",
    ) -> pa.Table:
        """Return the tracks, or windows, whose embeddings are nearest to a vector.

        All are compared. The table has a column `similarity` more: the cosine, -1 to 1, of which
        the largest stands first.

        Parameters
        ----------
        vector
            The vector, `[n_features]`.
        where, limit, columns, windows
            As `find` has them.
        without
            The uri of a track that is left out, such as the one that is asked with.
        """
        vectors = self.embeddings.of(windows=windows)
        among = self._among(vectors, where, without, windows=windows)
        rows, similarity = vectors.nearest(vector, limit, among)
        near = vectors.rows.take(pa.array(rows))
        near = near.append_column("similarity", pa.array(similarity))
        return self._with_columns(near, columns, windows=windows)

    def _with_columns(
        self, near: pa.Table, columns: Sequence[str] | None, *, windows: bool
    ) -> pa.Table:
        """Return what was found by likeness, in its order, with columns of its rows."""
        keys = _keys(windows)
        uris = list(dict.fromkeys(near["uri"].to_pylist()))
        marks = ", ".join("?" * len(uris)) or "null"
        wanted = "*" if columns is None else ", ".join(map(identifier, columns))
        places = ", ".join(f"{identifier(key)} as near_{key}" for key in keys)
        found = self._query(
            f"select {places}, {wanted} from {self._rows(windows)} where uri in ({marks})", uris
        )
        at = {place: k for k, place in enumerate(_places(found, [f"near_{key}" for key in keys]))}
        which = [at.get(place) for place in _places(near, keys)]
        is_there = pa.array([k is not None for k in which], pa.bool_())
        rows = found.drop_columns([f"near_{key}" for key in keys]).take(pa.array(which, pa.int64()))
        return rows.append_column("similarity", near["similarity"]).filter(is_there)

    def tracks_with_vectors(
        self,
        vectors: Vectors | IndexedVectors,
        where: str = "",
        columns: Sequence[str] = ("uri", "fingerprint", "duration_s", "size_bytes"),
    ) -> pa.Table:
        """Return the tracks of a question that have an embedding, and its `row` in `vectors`.

        `columns` of TAGS are beside it.
        """
        keys = self._hashed_vectors(vectors, _hashed(windows=False), windows=False)
        condition = self._condition(where, windows=False)
        return self._query(
            f"select {', '.join(map(identifier, columns))}, max(v.row) as row from tracks "
            f"join {keys} v on {_hashed(windows=False)} = v.hash where {condition.sql} "
            "group by all order by row",
            condition.values,
        )

    def _condition(self, where: str, *, windows: bool) -> Condition:
        found = condition_of(where, self.columns(windows=windows))
        if found.names_status:
            return found
        return Condition(f"status = 'ok' and {found.sql}", found.values)

    def _rows(self, windows: bool) -> str:
        """Return the view that is asked; UsageError where no windows were kept."""
        if not windows:
            return "tracks"
        self._views.add_windows()
        if not self._views.has_windows:
            raise UsageError(
                f"{self.store.folder.uri}: no windows/ beside its tags; tag to another --out with "
                "--keep-windows"
            )
        return "windows"

    def _among(
        self, vectors: Vectors | IndexedVectors, where: str, without: str, *, windows: bool
    ) -> Int64 | None:
        """Return the rows of vectors that a question finds; None where that is all of them."""
        among = None
        if where.strip() or not self._views.is_whole:
            condition = self._condition(where, windows=windows)
            hashed = _hashed(windows=windows)
            keys = self._hashed_vectors(vectors, hashed, windows=windows)
            sql = (
                f"select v.row from {keys} v join (select {hashed} as hash from "
                f"{self._rows(windows)} where {condition.sql}) r on v.hash = r.hash order by v.row"
            )
            among = self._query(sql, condition.values)["row"].to_numpy()
        if not without:
            return among
        own = vectors.rows_of(without)
        among = np.arange(len(vectors)) if among is None else among
        return among[~np.isin(among, own)]

    def _hashed_vectors(
        self, vectors: Vectors | IndexedVectors, hashed: str, *, windows: bool
    ) -> str:
        """Return the table of 64-bit hashes of what each vector is of, which is made once."""
        name = "hashed_window_vectors" if windows else "hashed_vectors"
        if self._hashed.get(name) is not vectors:
            keys = vectors.rows.select(_keys(windows))
            keys = keys.append_column("row", pa.array(np.arange(len(vectors))))
            # A killed run may leave the same vector twice.
            sql = (
                f"create or replace temp table {name} as select max(row) as row, {hashed} as hash "
                "from vector_keys group by hash"
            )
            with self._lock:
                self._views.connection.register("vector_keys", keys)
                self._views.connection.execute(sql)
                self._views.connection.unregister("vector_keys")
            self._hashed[name] = vectors
        return name

    def _query(self, sql: str, values: Sequence[Any] = ()) -> pa.Table:
        with self._lock, sql_errors(self.store.folder.uri):
            return self._views.connection.sql(sql, params=list(values)).to_arrow_table()


def _keys(windows: bool) -> list[str]:
    """Return the columns by which a vector belongs to a row of the catalogue."""
    return ["uri", "fingerprint", *(["window"] if windows else [])]


def _hashed(*, windows: bool) -> str:
    return f"hash({', '.join(map(identifier, _keys(windows)))})"


def _places(rows: pa.Table, keys: Sequence[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(rows[key].to_pylist() for key in keys), strict=True))
