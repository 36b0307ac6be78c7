"""What the page asks, answered: searches, one track, the queue; what people say, kept.

All methods may be called from several threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import cached_property, lru_cache
from threading import Lock
from typing import Any

import numpy as np
import pyarrow.compute as pc

from pipeline.arrays import Int64
from pipeline.audio.decoding.clip import wav_bytes
from pipeline.audio.decoding.guard import Guard
from pipeline.browsing.embedding_map import EmbeddingMap, embedding_map
from pipeline.browsing.sound import as_opus, media_type, picture
from pipeline.browsing.taken_in import what_was_there
from pipeline.browsing.worth_a_look import worth_a_look
from pipeline.errors import UsageError
from pipeline.evaluation.statistics.judged_labels import judged_labels
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.searching.query_vector import query_vector
from pipeline.searching.scored_now import ScoredNow
from pipeline.store.tags.track_facts.corrections import (
    add_corrections,
    corrected_spans,
    read_corrections,
    taken_back,
)
from pipeline.store.track import open_track
from pipeline.store.uris import split_uri

Row = dict[str, Any]
Span = tuple[float, float]

_SHOWN = ("uri", "duration_s", "status", "reason", "labels", "confirmed", "rejected", "scores")
_OF_TRACK = (*_SHOWN, "fingerprint", "detail", "peaks", "of_model")
_FACTS = ("fingerprint", "size_bytes", "duration_s", "n_windows", "n_active", "attempts")
_MOST_ALIKE = 1000
_KEPT_COPIES, _KEPT_PICTURES = 3, 32
_KEPT_ANSWERS = 16
_TIMEOUT_S = 300.0
_WARM_SAMPLES = 16_000


class Browser:
    """One model's tags in a folder, as a page shows them.

    Parameters
    ----------
    catalogue
        The tags, held in memory.
    author
        Who corrects.
    model
        The model's folder, for likeness to a span and for windows that were not kept; where None,
        the one that tagged.
    """

    def __init__(self, catalogue: TaggedCatalogue, author: str, model: str | None = None) -> None:
        self.catalogue, self.author, self._model = catalogue, author, model
        (counted,) = catalogue.query("select count(*) as n from tracks", {})
        self.n_tracks = int(counted["n"])
        self._guard, self._decoding = Guard(timeout_s=_TIMEOUT_S), Lock()
        self._scored_now = ScoredNow(catalogue, model)
        self._said: list[tuple[int, Mapping[str, Any], Mapping[str, Any] | None]] = []
        self._n_corrections = 0
        self._writing = Lock()
        self._found = lru_cache(_KEPT_ANSWERS)(self._numbers)
        self.as_opus = lru_cache(_KEPT_COPIES)(self._as_opus)
        self.picture = lru_cache(_KEPT_PICTURES)(self._picture)

    def warm(self) -> None:
        """Start the decoder's process, which takes seconds, before somebody waits for it."""
        silence = wav_bytes(np.zeros(_WARM_SAMPLES, np.int16), _WARM_SAMPLES)
        with self._decoding:
            self._guard(picture, silence, 1.0)

    def close(self) -> None:
        """End the process that decodes."""
        self._guard.close()

    def about(self) -> dict[str, Any]:
        """Return what the page needs to know before it asks anything."""
        run, codes = self.catalogue.run, self.catalogue.codes
        names, thresholds = run.class_names, self.catalogue.thresholds
        classes = [
            {"code": one, "name": names.get(one, one), "threshold": thresholds.get(one)}
            for one in codes
        ]
        return {
            "catalogue": run.catalog,
            "model_id": self.catalogue.model_id,
            "models": self.catalogue.store.models(),
            "n_tracks": self.n_tracks,
            "classes": classes,
            "has_embeddings": self.catalogue.embeddings.are_there,
            "words": list(self.catalogue.columns().by_word),
            "author": self.author,
        }

    def find(
        self,
        where: str,
        *,
        order: str = "",
        like: int | None = None,
        span: Span | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> dict[str, Any]:
        """Return how many tracks are found, and a page of them."""
        similarity: Mapping[int, float] = {}
        if like is None:
            found = self._found(where, order, self._n_corrections)
        else:
            found, similarity = self._alike(like, span, where)
        rows = self.catalogue.numbered(found[offset : offset + limit], _SHOWN).to_pylist()
        listed = [self._listed(row) | {"similarity": similarity.get(row["n"])} for row in rows]
        return {"total": len(found), "rows": listed}

    def _numbers(self, where: str, order: str, _: int) -> Int64:
        return self.catalogue.numbers(where, order_by=order)

    def _alike(self, n: int, span: Span | None, where: str) -> tuple[Int64, Mapping[int, float]]:
        """Return the tracks nearest to one, or to a span of it, and how near they are."""
        uri = self.uri(n)
        from_s, to_s = span or (None, None)
        vector = query_vector(self.catalogue, uri, from_s=from_s, to_s=to_s, model=self._model)
        rows = self.catalogue.like(
            vector, where, limit=_MOST_ALIKE, columns=["n"], without="" if span else uri
        )
        similarity = dict(zip(rows["n"].to_pylist(), rows["similarity"].to_pylist(), strict=True))
        return np.array(list(similarity), np.int64), similarity

    def uri(self, n: int) -> str:
        """Return where a track is that was decoded when it was tagged; UsageError of another.

        Only such a one is opened: a row that failed may name whatever its catalogue had.
        """
        row = self._row(n, ["uri", "status"])
        if row["status"] != "ok":
            raise UsageError(f"{row['uri']}: it could not be decoded when it was tagged")
        return str(row["uri"])

    def _row(self, n: int, columns: Sequence[str]) -> Row:
        (row,) = self.catalogue.numbered([n], columns).to_pylist()
        return dict(row)

    def track(self, n: int) -> dict[str, Any]:
        """Return all that is known of a track, but its sound."""
        attributes = self.catalogue.attributes
        row = self._row(n, [*_OF_TRACK, *_FACTS, "tagged_at", *attributes])
        said = self.catalogue.corrections.of_track(row["uri"], row["fingerprint"])
        peaks = row["peaks"] or {}
        facts = {key: row[key] for key in (*_FACTS, "tagged_at", *attributes)}
        facts |= {f"confidence of {code}": peaks.get(code) for code in row["labels"] or ()}
        return {
            **self._listed(row),
            "detail": row["detail"],
            "facts": {key: _plain(value) for key, value in facts.items()},
            "plays": media_type(row["uri"]) is not None,
            "intervals": corrected_spans(self._beside("intervals", row), said),
            "windows": self._windows(self._beside("windows", row)),
            "corrections": [{key: _plain(value) for key, value in one.items()} for one in said],
        }

    def _beside(self, table: str, row: Row) -> list[Row]:
        """Return a track's rows of a table beside TAGS, in their order."""
        wanted = (pc.field("uri") == row["uri"]) & (pc.field("fingerprint") == row["fingerprint"])
        store = self.catalogue.store
        names = store.files(self.catalogue.model_id, table) if row["fingerprint"] else []
        tables = [store.folder.read_rows(name, wanted) for name in names]
        rows = [one for table_ in tables for one in table_.to_pylist()]
        keys = ("code", "start_s", "end_s", "score", "is_active", "scores")
        each_once = {(one.get("code"), one["start_s"], one["end_s"]): one for one in rows}
        kept = [{key: one[key] for key in keys if key in one} for one in each_once.values()]
        return sorted(kept, key=lambda one: one["start_s"])

    def _windows(self, rows: Sequence[Row]) -> dict[str, Any] | None:
        """Return windows as the page draws them: a list a column; None where there are none."""
        if not rows:
            return None
        columns = {key: [row[key] for row in rows] for key in ("start_s", "end_s", "is_active")}
        codes = self.catalogue.codes
        return columns | {"scores": {code: [row["scores"][code] for row in rows] for code in codes}}

    def windows_now(self, n: int) -> dict[str, Any]:
        """Return a track's windows and intervals, scored now, as they were not kept."""
        row = self._row(n, ["uri", "fingerprint"])
        now = self._scored_now(row["uri"])
        windows, intervals = (now[key].to_pylist() for key in ("windows", "intervals"))
        said = self.catalogue.corrections.of_track(row["uri"], row["fingerprint"])
        return {"windows": self._windows(windows), "intervals": corrected_spans(intervals, said)}

    def _as_opus(self, n: int) -> bytes:
        """Return a copy of a track that browsers play."""
        source = open_track(self.uri(n))
        with self._decoding:
            return self._guard(as_opus, source)

    def _picture(self, n: int) -> np.ndarray:
        """Return a track's log-mel as a picture, `[n_mels, n_columns]` of 0 to 255."""
        source, duration_s = open_track(self.uri(n)), self._row(n, ["duration_s"])["duration_s"]
        with self._decoding:
            return self._guard(picture, source, duration_s)

    def queue(self, kind: str, code: str) -> dict[str, Any]:
        """Return what is worth a look, of one class or of all."""
        codes = self.catalogue.codes
        if code and code not in codes:
            raise UsageError(f"code {code!r}: expected one of {', '.join(codes)}")
        found = worth_a_look(self.catalogue, kind, [code] if code else codes)
        numbers = [row["n"] for row in found]
        uris = self.catalogue.numbered(numbers, ["uri"])["uri"].to_pylist()
        keys = ("n", "code", "why")
        rows = zip(found, uris, strict=True)
        return {"rows": [{key: row[key] for key in keys} | self._named(uri) for row, uri in rows]}

    @cached_property
    def _map(self) -> EmbeddingMap:
        return embedding_map(self.catalogue)

    def map(self) -> dict[str, Any]:
        """Return the points of the map of embeddings."""
        found = self._map
        rows = self.catalogue.numbered(found.n, ["uri", "labels", "scores"]).to_pylist()
        return {
            "n": found.n,
            "x": found.x,
            "y": found.y,
            "code": [_highest(row) for row in rows],
            "title": [self._named(row["uri"])["title"] for row in rows],
            "total": self.n_tracks,
            "explained": found.explained,
            "why": found.why,
        }

    def precision(self) -> dict[str, Any]:
        """Return how right the model's labels have been, by class."""
        codes, model_id = self.catalogue.codes, self.catalogue.model_id
        judged = judged_labels(self.catalogue.corrections.rows.to_pylist(), codes, model_id)
        counts = self.catalogue.query(
            "select code, count(*) as n from (select unnest(of_model) as code from tracks) "
            "group by all",
            {},
        )
        n_labels = {row["code"]: row["n"] for row in counts}
        return {"rows": [{**asdict(one), "n_labels": n_labels.get(one.code, 0)} for one in judged]}

    def correct(self, n: int, code: str, verdict: str, span: Span | None) -> dict[str, Any]:
        """Keep what a person says of a class of a track, or of a span of it; return the track."""
        if code not in self.catalogue.codes:
            raise UsageError(f"code {code!r}: expected one of {', '.join(self.catalogue.codes)}")
        with self._writing:  # what is said next must see this
            self._correct(n, code, verdict, span)
        return self.track(n)

    def _correct(self, n: int, code: str, verdict: str, span: Span | None) -> None:
        row = self._row(n, ["uri", "fingerprint", "of_model", "scores"])
        start_s, end_s = span or (None, None)
        said = what_was_there(self.catalogue, row, code) | {
            "code": code,
            "start_s": start_s,
            "end_s": end_s,
            "verdict": verdict,
            "author": self.author,
        }
        keys = ("code", "start_s", "end_s")
        of_track = self.catalogue.corrections.of_track(row["uri"], row["fingerprint"])
        before = next((one for one in of_track if all(one[k] == said[k] for k in keys)), None)
        self._add([said])
        self._said.append((n, said, before))

    def undo(self) -> dict[str, Any]:
        """Take back the last thing that was said since the page was opened; return its track."""
        with self._writing:
            if not self._said:
                raise UsageError("nothing is left to undo: this session has said nothing yet")
            n, said, before = self._said[-1]
            self._add([taken_back(said, before)])
            self._said.pop()
        return self.track(n)

    def _add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        folder = self.catalogue.store.folder
        add_corrections(folder, rows)
        self.catalogue.correct(read_corrections(folder))
        self._n_corrections += 1  # what was found before counts no more

    def _listed(self, row: Row) -> dict[str, Any]:
        """Return what a list shows of a track."""
        lists = {key: row[key] or [] for key in ("labels", "confirmed", "rejected")}
        rest = {key: row[key] for key in ("n", "duration_s", "status", "reason", "scores")}
        return self._named(row["uri"]) | rest | lists

    def _named(self, uri: str) -> dict[str, str]:
        """Return a track's uri, its name, and its folder within the catalogue."""
        folder, name = split_uri(uri)
        place = folder.removeprefix(self.catalogue.run.catalog.rstrip("/"))
        return {"uri": uri, "title": name, "place": place.removeprefix("/")}


def _highest(row: Row) -> str | None:
    """Return the label with the highest score; None where there is none."""
    scores = row["scores"] or {}
    return max(row["labels"] or (), key=lambda code: scores.get(code) or 0.0, default=None)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
