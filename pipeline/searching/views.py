"""One model's tags in a folder in, an SQL view of its tracks out: the last row of each.

    tags/*.parquet ─→ last_rows ─→ tracks ←join→ windows
    gone/*.parquet ─┘           ↑
    corrections/*.parquet ─→ people

`tracks` is the one place where it is said which rows a search sees, and with which labels: not
those of tracks that are gone, and as people have corrected them. After a run each track has
one row, and the files are read as they are; only files with rows that a later one replaces, as a
killed run leaves them, are read into memory without these.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import duckdb
import pyarrow as pa
from pyarrow import dataset

from pipeline.errors import SpecMismatch, StoreError
from pipeline.searching.conditions import identifier, quoted
from pipeline.store.matrices import codes_of
from pipeline.store.tags.tagfiles import AT_ONCE, file_beside
from pipeline.store.tags.tagstore import TagStore
from pipeline.store.tags.track_facts.corrections import Corrections, corrected, read_corrections
from pipeline.store.tags.track_facts.gone import read_gone
from schemas.attributes import attributes_of_all
from schemas.tags import tags_schema
from schemas.timeline import windows_schema

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    # Nothing is fetched from the network: what is needed is in the wheel.
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "temp_directory": tempfile.gettempdir(),  # not .tmp in the folder that the user is in
}
_WINDOW_COLUMNS = ("uri", "fingerprint", "window", "start_s", "end_s", "is_active", "scores")


_EACH_WINDOW_ONCE = (
    ' qualify row_number() over (partition by w.uri, w.fingerprint, w."window" order by 1) = 1'
)


class Views:
    """A DuckDB connection with the views `tracks` and, where windows were kept, `windows`.

    Parameters
    ----------
    store
        The tagging folder.
    model_id
        Whose rows.
    in_memory
        Whether the rows are a table in memory, 250 bytes a track: for many questions. They are
        sorted by uri then, and `n` is their number.
    """

    def __init__(self, store: TagStore, model_id: str, *, in_memory: bool = False) -> None:
        self._store, self._model_id, self._in_memory = store, model_id, in_memory
        self._files = store.files(model_id)
        self._schemas = self._read_schemas()
        first = self._schemas[self._files[0]]
        self.codes = codes_of(first)
        self.attributes = attributes_of_all(self._schemas.values())
        self.connection = duckdb.connect(config=_SETTINGS)
        replaced = store.replaced_rows(model_id)
        # Where a track has two rows of one content, as a killed run leaves them, each has windows.
        self._once = _EACH_WINDOW_ONCE if replaced else ""
        self._gone = read_gone(store.folder, model_id)
        self.is_whole = not replaced and not self._gone.num_rows
        """Whether each row of the files is the last of its track, and none is gone."""
        self.corrections = read_corrections(store.folder)
        with sql_errors(store.folder.uri):
            self._create_last_rows(in_memory=in_memory, replaced=replaced)
            self._create_tracks()
        self.has_windows = False

    def correct(self, corrections: Corrections) -> None:
        """Take other corrections: the labels of `tracks` are those from now on."""
        self.corrections = corrections
        self._create_tracks()

    def files_beside(self, table: str) -> dict[str, int]:
        """Return the files of a table beside those of TAGS, with their sizes in bytes."""
        there = {name: size for name, size, _ in self._store.walk(self._model_id, table)}
        names = [file_beside(name, table) for name in self._files]
        return {name: there[name] for name in names if name in there}

    def add_windows(self) -> None:
        """Create the view `windows`: those of tracks' last rows, with the tracks' columns."""
        names = list(self.files_beside("windows"))
        if self.has_windows or not names:
            return
        own = pa.schema([windows_schema(self.codes).field(key) for key in _WINDOW_COLUMNS])
        source = self._source("window_files", names, own)
        of_track = [*self._columns().names, "model_id"]
        kept = ", ".join(f"t.{identifier(key)}" for key in of_track if key not in _WINDOW_COLUMNS)
        with sql_errors(self._store.folder.uri):
            self.connection.execute(
                f"create temp view windows as select w.*, {kept} from {source} w "
                f"join tracks t on w.uri = t.uri and w.fingerprint = t.fingerprint{self._once}"
            )
        self.has_windows = True

    def _read_schemas(self) -> dict[str, pa.Schema]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(self._store.folder.read_schema, self._files))
        for name, schema in zip(self._files, found, strict=True):
            if codes_of(schema) != codes_of(found[0]):
                raise SpecMismatch(
                    f"{self._store.folder.uri_of(name)}: its classes differ from those of "
                    f"{self._files[0]} though the model is called the same"
                )
        return dict(zip(self._files, found, strict=True))

    def _columns(self) -> pa.Schema:
        """Return the columns of the tracks; what no file has, such as `peaks`, is null."""
        wanted = tags_schema(self.codes, self.attributes)
        return pa.schema([one for one in wanted if one.name != "model_id"])

    def _create_last_rows(self, *, in_memory: bool, replaced: Mapping[str, pa.Array]) -> None:
        as_they_are = [name for name in self._files if name not in replaced]
        parts = [self._source("tag_files", as_they_are, self._columns())] if as_they_are else []
        if replaced:
            self.connection.register("rest", self._rest(replaced))
            parts.append("rest")
        names = ", ".join(map(identifier, self._columns().names))
        rows = " union all ".join(f"select {names} from {part}" for part in parts)
        if self._gone.num_rows:
            self.connection.register("gone", self._gone)
            rows = f"select * from ({rows}) where uri not in (select uri from gone)"
        kind, order = ("table", " order by uri") if in_memory else ("view", "")
        self.connection.execute(f"create temp {kind} last_rows as {rows}{order}")

    def _create_tracks(self) -> None:
        """Make `tracks`: with the labels of `people`, where somebody said something.

        Without a join otherwise, which costs time and mixes the rows.
        """
        own, join = "*", ""
        said = "labels as of_model, null::varchar[] as confirmed, null::varchar[] as rejected"
        if self._register_people():
            own = "l.* replace (case when p.uri is null then l.labels else p.labels end as labels)"
            said = "l.labels as of_model, p.confirmed, p.rejected"
            join = (
                " left join people p on l.uri = p.uri "
                "and l.fingerprint is not distinct from p.fingerprint"
            )
        number = ", l.rowid as n" if self._in_memory else ""
        self.connection.execute(
            f"create or replace temp view tracks as select {own}, {said}{number}, "
            f"{quoted(self._model_id)} as model_id from last_rows l{join}"
        )

    def _register_people(self) -> bool:
        """Make `people`: the corrected tracks, with their labels; say whether there are any."""
        if not self.corrections:
            return False
        self.connection.register("said_of", self.corrections.rows)
        rows = self.connection.sql(
            "select uri, fingerprint, labels from last_rows where uri in (select uri from said_of) "
            "or fingerprint in (select fingerprint from said_of)"
        ).to_arrow_table()
        self.connection.unregister("said_of")
        self.connection.register("people", corrected(rows, self.corrections))
        return bool(rows.num_rows)

    def _rest(self, replaced: Mapping[str, pa.Array]) -> pa.Table:
        """Return the rows of files of which some are replaced, without these."""
        folder, schema = self._store.folder, self._columns()
        return pa.concat_tables(
            folder.read_tables([name], schema).filter(is_last) for name, is_last in replaced.items()
        )

    def _source(self, name: str, files: Sequence[str], schema: pa.Schema) -> str:
        """Return what SQL selects from to read files; in a bucket, through pyarrow.

        DuckDB reads local files itself, several times as fast, and of a struct only the fields that
        are asked for.
        """
        folder = self._store.folder
        found = [self._schemas[name].names for name in files if name in self._schemas]
        is_whole = all(key in names for names in found for key in schema.names)
        if not (folder.is_local and is_whole):
            places = [folder.location(file)[1] for file in files]
            rows = dataset.dataset(
                places, schema=schema, format="parquet", filesystem=folder.location("")[0]
            )
            self.connection.register(name, rows)
            return name
        paths = ", ".join(quoted(str(folder.local_path(file))) for file in files)
        return f"read_parquet([{paths}], hive_partitioning = false)"


@contextmanager
def sql_errors(uri: str) -> Iterator[None]:
    """Make what DuckDB or pyarrow meet in the files a StoreError, which a user can mend."""
    try:
        yield
    except (duckdb.OperationalError, duckdb.InvalidInputException, OSError) as error:
        first = str(error).splitlines()[0]
        raise StoreError(
            f"cannot read {uri}: {first}; run the same command again when no tagging runs there"
        ) from error
