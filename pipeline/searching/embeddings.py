"""Which embeddings a tagging folder has, read when they are first asked for."""

from __future__ import annotations

from pipeline.errors import UsageError
from pipeline.searching.index import IndexedVectors, read_index
from pipeline.searching.vectors import Vectors
from pipeline.searching.views import Views
from pipeline.store.tags.tagstore import TagStore
from schemas.tagging_run import TaggingRun

_WINDOW_KEYS = ("window", "start_s", "end_s", "is_active")


class Embeddings:
    """The embeddings of one model's tracks and windows, in memory or by their index."""

    def __init__(
        self, store: TagStore, model_id: str, views: Views, run: TaggingRun, *, by_index: bool
    ) -> None:
        self._store, self._model_id, self._views, self._run = store, model_id, views, run
        self._by_index = by_index
        self._read: dict[bool, Vectors | IndexedVectors] = {}

    def of(self, *, windows: bool = False) -> Vectors | IndexedVectors:
        """Return the embeddings of the tracks or windows, or those of the tracks by their index.

        They are read once. UsageError where the folder has none.
        """
        if windows not in self._read:
            index = None
            if self._by_index and not windows:
                index = read_index(self._store.folder, self._model_id, self.files())
            self._read[windows] = index or self.exact(windows=windows)
        return self._read[windows]

    def exact(self, *, windows: bool = False) -> Vectors:
        """Return the embeddings themselves, in memory; UsageError where the folder has none."""
        found = self._read.get(windows)
        if isinstance(found, Vectors):
            return found
        keys = ["uri", "fingerprint", *(_WINDOW_KEYS if windows else ())]
        return Vectors.read(self._store.folder, list(self.files(windows=windows)), keys)

    def files(self, *, windows: bool = False) -> dict[str, int]:
        """Return the files of embeddings, with their sizes; UsageError where there are none."""
        table = "window_embeddings" if windows else "embeddings"
        names = self._views.files_beside(table)
        if not names:
            raise UsageError(f"{self._store.folder.uri}: {self._why_none(table)}")
        return names

    @property
    def are_there(self) -> bool:
        """Whether tracks have embeddings, so that they can be searched by likeness."""
        return bool(self._views.files_beside("embeddings"))

    def _why_none(self, table: str) -> str:
        if "members" in self._run.identity:
            return "no embeddings: its tags are the mean of several models; tag with one of them"
        if self._run.retagged_from:
            return f"no {table}/: jobs.retag writes tags alone; search in {self._run.retagged_from}"
        flags = "--keep-windows" if table == "window_embeddings" else "jobs.tag_catalog"
        return f"no {table}/ beside its tags; tag to another --out with {flags}, which writes them"
