"""A catalogue that people have corrected in; the windows to learn from, and what was said, out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Bools, Float32, Float64
from pipeline.errors import UsageError
from pipeline.runs.logs import progress_bar
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.searching.scored_now import ScoredNow
from pipeline.store.matrices import score_matrix, vector_matrix
from pipeline.training.transfer.correction_fit import CorrectedWindows
from schemas.corrections import PRESENT

MOST_OTHERS = 1000
"""Tracks of which nothing was said, drawn at random, whose scores are held where they were."""
MOST_OTHERS_HEARD = 100
"""As many where windows were not kept, so that the tracks are decoded and scored again."""
_MOST_WINDOWS = 64  # of a track of which nothing was said
_LEAST_SAID = 2  # tracks: one is held out while the others are learned
_SEED = 0
_TABLES = ("windows", "window_embeddings")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class TrackWindows:
    """The active windows of a track, in their order."""

    start_s: Float64
    """Where each window begins, in s, `[n_windows]`."""
    end_s: Float64
    """Where each window ends, in s, `[n_windows]`."""
    scores: Float32
    """The model's scores of each window, 0 to 1, `[n_windows, n_classes]`."""
    vectors: Float32
    """The embedding of each window, `[n_windows, n_features]`."""

    def taken(self, which: Any) -> TrackWindows:
        """Return some of the windows."""
        return TrackWindows(*(values[which] for values in vars(self).values()))


def corrected_windows(catalogue: TaggedCatalogue, model: str) -> CorrectedWindows:
    """Return the windows of all tracks of which something was said, and of some of the others.

    UsageError where something was said of fewer than two tracks that can be had.
    """
    rows = catalogue.query("select uri, fingerprint from tracks where status = 'ok' order by n", {})
    said = [(row, catalogue.corrections.of_track(row["uri"], row["fingerprint"])) for row in rows]
    corrected = [(row, found) for row, found in said if found]
    others = [row for row, found in said if not found]
    _check_enough(catalogue, len(corrected))
    keeps = all(catalogue.store.files(catalogue.model_id, table) for table in _TABLES)
    drawn = np.random.default_rng(_SEED).permutation(len(others))
    others = [others[k] for k in drawn[: MOST_OTHERS if keeps else MOST_OTHERS_HEARD]]
    windows = windows_of(catalogue, [*(row for row, _ in corrected), *others], model)
    stretches = [*_corrected_stretches(corrected, windows, catalogue.codes)]
    _check_enough(catalogue, len({uri for uri, _, _ in stretches}))
    nothing = np.full(len(catalogue.codes), np.nan, np.float32)
    stretches += [
        (row["uri"], _thinned(windows[row["uri"]]), nothing)
        for row in others
        if row["uri"] in windows
    ]
    return _joined(stretches)


def _check_enough(catalogue: TaggedCatalogue, n_tracks: int) -> None:
    """Raise UsageError where too few tracks that can be read have corrections of the classes."""
    if n_tracks < _LEAST_SAID:
        raise UsageError(
            f"{catalogue.store.folder.uri}: {n_tracks} tracks that can be read have corrections, "
            f"of {catalogue.model_id}'s classes; expected {_LEAST_SAID} or more: correct some with "
            "jobs.browse"
        )


def windows_of(
    catalogue: TaggedCatalogue, tracks: Sequence[Row], model: str
) -> dict[str, TrackWindows]:
    """Return the active windows of tracks by uri: those that were kept, or else scored now.

    Tracks without any, and those that cannot be read any more, are left out.
    """
    uris = [row["uri"] for row in tracks]
    found = _tables_of_kept(catalogue, {row["uri"]: row["fingerprint"] for row in tracks})
    left = [uri for uri in uris if uri not in found]
    score = ScoredNow(catalogue, model)
    with progress_bar(
        iterable=left, disable=not left, unit=" tracks", desc="scoring what was not kept"
    ) as bar:
        for uri in bar:
            now = score(uri)
            if now["windows"].num_rows:
                found[uri] = (now["windows"], now["window_embeddings"])
    codes = catalogue.codes
    active = {uri: _windows(*both, codes) for uri, both in found.items()}
    return {uri: one for uri, one in active.items() if len(one.vectors)}


def _tables_of_kept(
    catalogue: TaggedCatalogue, contents: Mapping[str, str]
) -> dict[str, tuple[pa.Table, pa.Table]]:
    """Return kept windows and their embeddings of tracks that have both, by uri.

    `contents` are the fingerprints of the tracks: what stands there of another one is older.
    """
    store, wanted = catalogue.store, pc.field("uri").isin(list(contents))
    of_tables = []
    for table in _TABLES:
        names = store.files(catalogue.model_id, table)
        parts = [store.folder.read_rows(name, wanted) for name in names]
        rows = pa.concat_tables(parts, promote_options="default") if parts else None
        of_tables.append({} if rows is None else _by_uri(rows, contents))
    both = of_tables[0].keys() & of_tables[1].keys()
    pairs = {uri: (of_tables[0][uri], of_tables[1][uri]) for uri in both}
    return {uri: two for uri, two in pairs.items() if two[0].num_rows == two[1].num_rows}


def _by_uri(rows: pa.Table, contents: Mapping[str, str]) -> dict[str, pa.Table]:
    """Return the rows of each track's content, each window once, in their order."""
    keys = zip(*(rows[key].to_pylist() for key in ("uri", "window", "fingerprint")), strict=True)
    places = {(uri, k): at for at, (uri, k, one) in enumerate(keys) if one == contents[uri]}
    rows = rows.take(pa.array([places[key] for key in sorted(places)], pa.int64()))
    uris, starts = np.unique(rows["uri"].to_numpy(zero_copy_only=False), return_index=True)
    ends = [*starts[1:], rows.num_rows]
    each = zip(uris.tolist(), starts.tolist(), ends, strict=True)
    return {uri: rows.slice(start, end - start) for uri, start, end in each}


def _windows(windows: pa.Table, vectors: pa.Table, codes: Sequence[str]) -> TrackWindows:
    whole = TrackWindows(
        windows["start_s"].to_numpy(),
        windows["end_s"].to_numpy(),
        score_matrix(windows["scores"], codes).astype(np.float32),
        vector_matrix(vectors["embedding"]).astype(np.float32),
    )
    return whole.taken(np.asarray(windows["is_active"].to_numpy(zero_copy_only=False), bool))


def _thinned(windows: TrackWindows) -> TrackWindows:
    """Return at most so many windows, evenly over the track."""
    n = len(windows.vectors)
    return windows.taken(np.unique(np.linspace(0, n - 1, min(n, _MOST_WINDOWS)).astype(int)))


def _corrected_stretches(
    corrected: Sequence[tuple[Row, Sequence[Row]]],
    windows: Mapping[str, TrackWindows],
    codes: Sequence[str],
) -> Iterator[tuple[str, TrackWindows, Float32]]:
    """Yield the tracks and spans of which something was said, with what was said of them."""
    for row, said in corrected:
        if (own := windows.get(row["uri"])) is None:
            continue
        by_span: dict[tuple[float, float] | None, Float32] = defaultdict(
            lambda: np.full(len(codes), np.nan, np.float32)
        )
        for one in said:
            if one["code"] in codes:
                span = None if one["start_s"] is None else (one["start_s"], one["end_s"])
                by_span[span][codes.index(one["code"])] = one["verdict"] == PRESENT
        for span, target in by_span.items():
            inside = _within(own, span)
            if inside.any():
                yield row["uri"], own.taken(inside), target


def _within(windows: TrackWindows, span: tuple[float, float] | None) -> Bools:
    """Return which windows have their middle in a span; all of them where there is none."""
    if span is None:
        return np.ones(len(windows.vectors), bool)
    middles = (windows.start_s + windows.end_s) / 2
    return np.asarray((middles >= span[0]) & (middles <= span[1]))


def _joined(stretches: Sequence[tuple[str, TrackWindows, Float32]]) -> CorrectedWindows:
    uris, windows, said = zip(*stretches, strict=True)
    counts = [len(one.vectors) for one in windows]
    _, track_of = np.unique(uris, return_inverse=True)
    return CorrectedWindows(
        np.concatenate([one.vectors for one in windows]),
        np.concatenate([one.scores for one in windows]),
        np.repeat(np.arange(len(windows)), counts),
        np.stack(said),
        track_of,
    )
