"""The embeddings of a folder in, an index of them by faiss out: a search reads a part of them.

    search/model=.../vectors.faiss  vectors.parquet (what each is of)  vectors.json

faiss, and not LanceDB: the index is one file beside the tags, which stay the only copy of all else,
and it takes a set of rows that may be found, so a question narrows it. Vectors are divided into
lists by their nearest centre (an inverted file), and kept as 16-bit floats: what is found has its
exact similarity, but a near one in a list that is not looked at is missed. Files that the index
does not cover are searched exactly.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Float32, Int64
from pipeline.errors import UsageError
from pipeline.searching.vectors import Vectors, best_of, unit
from pipeline.store.folder import Folder
from pipeline.store.matrices import vector_matrix
from pipeline.store.tags.tagfiles import model_place
from schemas.search_index import SearchIndex

KEYS = ("uri", "fingerprint")
_TRAINED = 64  # vectors a list, from which the centres are found
_PROBED = 1 / 16
"""Share of the lists that a search looks at."""


@dataclass(frozen=True)
class IndexedVectors:
    """Embeddings by their index, and those that it does not cover; used as `Vectors` are."""

    rows: pa.Table
    """`uri` and `fingerprint`: of what the index has, then of the rest."""
    record: SearchIndex
    """Which files the index covers, and how it was made."""
    index: Any
    """The index itself, as faiss has read it."""
    is_there: np.ndarray[Any, np.dtype[np.bool_]]
    """Of the index's rows, those whose file is as it was."""
    rest: Vectors
    """The embeddings that the index does not cover."""

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    @property
    def about(self) -> str:
        """What a search by it looks at, in words."""
        newer = f", and {len(self.rest):,d} that it does not cover" if len(self.rest) else ""
        return (
            f"by the index of {self.record.n_vectors:,d} embeddings{newer}: nearly all of the "
            "nearest; --no-index compares with all"
        )

    def rows_of(self, uri: str) -> Int64:
        """Return the rows that are of a track."""
        found = np.flatnonzero(pc.equal(self.rows["uri"], uri).to_numpy())
        n = self.record.n_vectors
        return found[(found >= n) | self.is_there[np.minimum(found, n - 1)]]

    def vector(self, row: int) -> Float32:
        """Return an embedding, `[n_features]`; of the index's rows with length 1."""
        if row >= self.record.n_vectors:
            return self.rest.vector(row - self.record.n_vectors)
        return np.asarray(self.index.reconstruct(int(row)), np.float32)

    def nearest(
        self, vector: Float32, limit: int, among: Int64 | None = None
    ) -> tuple[Int64, Float32]:
        """Return the rows nearest to a vector, `[n_features]`, and their cosine similarities.

        Of the index's rows, nearly all of the nearest; of the others, all.
        """
        n = self.record.n_vectors
        allowed = self.is_there.copy()
        if among is not None:
            allowed[:] = False
            allowed[among[among < n]] = True
            allowed &= self.is_there
        rows, similarity = self._probed(vector, limit, allowed)
        others = None if among is None else among[among >= n] - n
        more, of_more = self.rest.nearest(vector, limit, others)
        return best_of(
            np.concatenate([rows, more + n]), np.concatenate([similarity, of_more]), limit
        )

    def _probed(
        self, vector: Float32, limit: int, allowed: np.ndarray[Any, np.dtype[np.bool_]]
    ) -> tuple[Int64, Float32]:
        """Search the lists nearest to a vector; the fewer rows are allowed, the more of them."""
        import faiss

        n_allowed = int(allowed.sum())
        if not n_allowed:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        share = _PROBED * len(allowed) / n_allowed
        bits = np.packbits(allowed, bitorder="little")
        how = faiss.SearchParametersIVF(
            nprobe=min(self.record.n_lists, int(np.ceil(self.record.n_lists * share))),
            sel=faiss.IDSelectorBitmap(bits),
        )
        query = (vector / (np.linalg.norm(vector) or 1.0)).astype(np.float32)
        similarity, rows = self.index.search(query[None], min(limit, n_allowed), params=how)
        found = rows[0] >= 0
        return rows[0][found], similarity[0][found]


def build_index(folder: Folder, model_id: str, sizes: Mapping[str, int]) -> SearchIndex:
    """Index files of EMBEDDINGS, given with their sizes; one is in memory at a time.

    UsageError where faiss is not installed, or there is nothing to index.
    """
    faiss = _faiss()
    counts = {name: folder.n_rows(name) for name in sizes}
    n_vectors = sum(counts.values())
    if not n_vectors:
        raise UsageError(f"--index: {folder.uri} has no embeddings")
    n_lists = 2 ** max(0, round(np.log2(n_vectors) / 2))
    sample = _sample(folder, counts, n_lists * _TRAINED)
    width = sample.shape[1]
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(width), width, n_lists, faiss.ScalarQuantizer.QT_fp16,
        faiss.METRIC_INNER_PRODUCT,
    )  # fmt: skip
    index.train(sample)
    parts = []
    for name in counts:
        table = folder.read_table(name, [*KEYS, "embedding"])
        if table.num_rows:
            index.add(unit(vector_matrix(table["embedding"])))
        parts.append(table.select(list(KEYS)))
    index.make_direct_map()
    covered = {name: [sizes[name], counts[name]] for name in counts}
    record = SearchIndex(n_vectors, width, n_lists, covered)
    place = _place(model_id)
    with folder.claimed(), tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "vectors.faiss"
        faiss.write_index(index, str(path))
        folder.delete(f"{place}/vectors.json")  # until it is there again, there is no index
        folder.write_bytes(f"{place}/vectors.faiss", path.read_bytes())
        folder.write_table(f"{place}/vectors.parquet", pa.concat_tables(parts), compression="zstd")
        folder.write_json(f"{place}/vectors.json", record.to_dict())
    return record


def read_index(folder: Folder, model_id: str, sizes: Mapping[str, int]) -> IndexedVectors | None:
    """Return the index of a folder, and the embeddings of the files that it does not cover.

    None where there is no index. `sizes` are those of all files of EMBEDDINGS, in bytes.
    """
    place = _place(model_id)
    if not folder.exists(f"{place}/vectors.json"):
        return None
    faiss = _faiss()
    record = folder.read_record(f"{place}/vectors.json", SearchIndex)
    name = f"{place}/vectors.faiss"
    if folder.is_local:  # mapped: only the lists that are looked at are read
        index = faiss.read_index(str(folder.local_path(name)), faiss.IO_FLAG_MMAP)
    else:
        index = faiss.deserialize_index(np.frombuffer(folder.read_bytes(name), np.uint8))
    is_there = [
        np.full(n_rows, sizes.get(name) == size) for name, (size, n_rows) in record.files.items()
    ]
    others = [n for n in sizes if record.files.get(n, [-1])[0] != sizes[n]]
    rest = Vectors.read(folder, others, KEYS, width=record.width)
    keys = folder.read_table(f"{place}/vectors.parquet")
    rows = pa.concat_tables([keys, rest.rows])
    return IndexedVectors(rows, record, index, np.concatenate(is_there), rest)


def _sample(folder: Folder, counts: dict[str, int], n_wanted: int) -> Float32:
    """Return vectors of some files, drawn over all of them, with length 1."""
    rng = np.random.default_rng(0)
    share = min(1.0, n_wanted / sum(counts.values()))
    parts = []
    for name in rng.permutation([name for name, n in counts.items() if n]):
        table = folder.read_table(str(name), ["embedding"])
        taken = np.flatnonzero(rng.random(table.num_rows) < share)
        rows = table.take(pa.array(taken if len(taken) else [0]))
        parts.append(unit(vector_matrix(rows["embedding"])))
    return np.concatenate(parts)


def _place(model_id: str) -> str:
    return f"search/{model_place(model_id)}"


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise UsageError(
            "an index needs faiss: pip install '.[index]', or search with --no-index"
        ) from error
    return faiss
