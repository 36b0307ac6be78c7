"""vectors.json: what an index of embeddings covers, and how it was made."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.record import Record


@dataclass(frozen=True)
class SearchIndex(Record):
    """An index of one model's EMBEDDINGS, which lies beside it as vectors.faiss."""

    n_vectors: int = 0
    """How many embeddings it has, in the order of `files`."""
    width: int = 0
    """How many numbers an embedding has."""
    n_lists: int = 0
    """Into how many lists the embeddings are divided, by the centre that is nearest to each."""
    files: dict[str, list[int]] = field(default_factory=dict)
    """The files of EMBEDDINGS that it covers: size in bytes, and rows. One of another size counts
    as not covered."""
