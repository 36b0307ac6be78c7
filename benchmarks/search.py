"""What finding costs in a catalogue of a million tracks: questions, likeness, both, and an index.

    python benchmarks/search.py --tags REAL --tracks 1000000

REAL is a tagging folder: the embeddings of the made-up tracks lie around those of its tracks. The
folder is written once. Shown are the best of five queries each, beside the time that one reading of
the vectors takes at this machine's memory bandwidth, and faiss's exact search of 32-bit floats,
where faiss is installed. Figures go to docs/results.md.
"""

from __future__ import annotations

import argparse
import os
import resource
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.arrays import Float32
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.searching.index import build_index
from pipeline.store.matrices import label_lists, score_structs, vector_lists
from pipeline.store.tags.tagstore import TagStore
from schemas.tags import tags_schema
from schemas.timeline import EMBEDDINGS

MILLION = 1_000_000
_ROWS_A_FILE = 4096
_WORDS = ("live", "studio", "take", "album", "remix", "session", "night", "blue", "trio", "sonata")
_QUESTIONS = ("cel and not voi, duration > 60", "cel > 0.8", 'uri ~ "live"', "cel or vio")
_WHEN = datetime(2026, 11, 21, tzinfo=UTC)


def main() -> None:
    """Write the folder where it is missing, and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tags", required=True)
    parser.add_argument("--tracks", type=int, default=MILLION)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/search-bench"))
    parser.add_argument("--index", action="store_true", help="also an index, which takes minutes")
    flags = parser.parse_args()
    real = TaggedCatalogue.open(flags.tags)
    if not flags.folder.exists():
        write_folder(str(flags.folder), real, flags.tracks)
    _questions(str(flags.folder))
    _likeness(str(flags.folder), with_index=flags.index)
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10:,d} MiB at most")


def _questions(uri: str) -> None:
    for in_memory in (False, True):
        where = "in memory" if in_memory else "in files"
        catalogue = _timed(f"open, tracks {where}", _opening(uri, in_memory=in_memory), n=1)
        for question in _QUESTIONS:
            _timed(f"{where}: count {question}", partial(catalogue.count, question))
            columns = ["uri", "duration_s", "labels"]
            page = partial(catalogue.find, question, limit=50, columns=columns)
            _timed(f"{where}: first 50 of {question}", page)


def _likeness(uri: str, *, with_index: bool) -> None:
    catalogue = TaggedCatalogue.open(uri, in_memory=True, by_index=False)
    vectors = _timed("read all embeddings", catalogue.embeddings.exact, n=1)
    catalogue.embeddings._read[False] = vectors
    query = vectors.vector(0)
    halves = vectors.matrix.view(np.uint64)
    _timed("limit: read the bytes once", lambda: halves.sum(), n=3)
    _timed("like", lambda: catalogue.like(query, columns=["uri", "duration_s", "labels"]))
    for question in _QUESTIONS:
        _timed(f"like, {question}", partial(catalogue.like, query, question, columns=["uri"]))
    _faiss(vectors.matrix[: min(len(vectors), 500_000)].astype(np.float32), query)
    if with_index:
        folder, files = catalogue.store.folder, catalogue.embeddings.files()
        _timed("make the index", lambda: build_index(folder, catalogue.model_id, files), n=1)
        indexed = TaggedCatalogue.open(uri, in_memory=True)
        _timed("read the index", indexed.embeddings.of, n=1)
        _timed("like, by the index", lambda: indexed.like(query, columns=["uri"]))
        rng = np.random.default_rng(1)
        queries = [vectors.vector(int(row)) for row in rng.integers(0, len(vectors), 50)]
        recall = np.mean([_recall(one, indexed, catalogue) for one in queries])
        print(f"{recall:8.3f}    of the 20 nearest are found by the index")


def _recall(query: Float32, indexed: TaggedCatalogue, exact: TaggedCatalogue) -> float:
    found, _ = indexed.embeddings.of().nearest(query, 20)
    nearest, _ = exact.embeddings.of().nearest(query, 20)
    return len(np.intersect1d(found, nearest)) / 20


def _faiss(vectors: Float32, query: Float32) -> None:
    """Measure the peer on as many vectors as memory takes at 32 bits."""
    try:
        import faiss
    except ImportError:
        return
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    _timed(f"peer: faiss, {len(vectors):,d} exactly", lambda: flat.search(query[None], 20))


def _opening(uri: str, *, in_memory: bool) -> Callable[[], TaggedCatalogue]:
    return lambda: TaggedCatalogue.open(uri, in_memory=in_memory)


def _timed(what: str, function: Callable[[], Any], *, n: int = 5) -> Any:
    """Call a function some times, and print the shortest time; return what it gave."""
    times_s, found = [], None
    for _ in range(n):
        began = monotonic()
        found = function()
        times_s.append(monotonic() - began)
    print(f"{min(times_s):8.3f} s  {what}", flush=True)
    return found


def write_folder(uri: str, real: TaggedCatalogue, n_tracks: int) -> None:
    """Write made-up tracks as a night leaves them, and compact them."""
    store, codes = TagStore.open(uri), real.codes
    rng, vectors = np.random.default_rng(0), real.embeddings.exact().matrix.astype(np.float32)
    for start in range(0, n_tracks, _ROWS_A_FILE):
        n = min(_ROWS_A_FILE, n_tracks - start)
        near = vectors[rng.integers(0, len(vectors), n)]
        made = np.maximum(near + rng.normal(0, 0.3 * vectors.std(), near.shape), 0)
        tags = _tags(rng, codes, real.model_id, start, n)
        keys = tags.select(["uri", "fingerprint", "model_id"])
        beside = keys.append_column(EMBEDDINGS.field("embedding"), vector_lists(made))
        store.commit(tags, date=f"{_WHEN:%Y-%m-%d}", beside={"embeddings": beside})
    store.folder.write_json("run.json", real.run.to_dict() | {"tracks": n_tracks})
    store.compact(real.model_id)


def _tags(
    rng: np.random.Generator, codes: list[str], model_id: str, start: int, n: int
) -> pa.Table:
    scores = rng.beta(0.4, 3, (n, len(codes))).astype(np.float32)
    words = rng.integers(0, len(_WORDS), (n, 2))
    names = [f"{_WORDS[a]}/{_WORDS[b]} {start + k:09d}" for k, (a, b) in enumerate(words)]
    structs = score_structs(scores, codes)
    columns = {
        "uri": [f"s3://catalogue/{name}.flac" for name in names],
        "fingerprint": [f"blake2b:{start + k:032x}" for k in range(n)],
        "size_bytes": rng.integers(10**6, 5 * 10**7, n),
        "modified_ns": rng.integers(1, 10**18, n),
        "duration_s": rng.lognormal(5.4, 0.4, n),
        **dict.fromkeys(("status", "reason"), ["ok"] * n),
        "detail": [None] * n,
        "attempts": [1] * n,
        "labels": label_lists(scores > 0.5, codes),
        **dict.fromkeys(("scores", "peaks"), structs),
        "n_windows": [480] * n,
        "n_active": [470] * n,
        "model_id": [model_id] * n,
        "tagged_at": [_WHEN] * n,
    }
    schema = tags_schema(codes)
    arrays = [
        one if isinstance(one, pa.Array) else pa.array(one, field.type)
        for field in schema
        for one in [columns[field.name]]
    ]
    return pa.table(arrays, schema=schema)


if __name__ == "__main__":
    main()
