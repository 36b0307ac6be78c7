"""A catalogue's embeddings in, points on a plane out: what lies together sounds alike."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from sklearn.decomposition import PCA

from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.searching.vectors import unit

MOST_POINTS = 20_000
"""More points lie over each other; of a larger catalogue so many are drawn at random."""
_SEED = 0


@dataclass(frozen=True)
class EmbeddingMap:
    """Points of tracks, scaled to 0..1."""

    n: list[int] = field(default_factory=list)
    """The number of each point's track, as the page knows it."""
    x: list[float] = field(default_factory=list)
    """First principal component of each track's embedding, 0 to 1."""
    y: list[float] = field(default_factory=list)
    """Second principal component, 0 to 1."""
    explained: float = 0.0
    """Share of the embeddings' variance that the two axes hold."""
    why: str | None = None
    """Why there are no points; None where there are."""


def embedding_map(catalogue: TaggedCatalogue) -> EmbeddingMap:
    """Return the map of a catalogue: the first two principal components of its embeddings.

    They are brought to length 1 first, as likeness is a matter of direction.
    """
    if not catalogue.embeddings.are_there:
        return EmbeddingMap(why="The folder keeps no embeddings, so there is no map.")
    every = catalogue.embeddings.of()
    rows = catalogue.tracks_with_vectors(every, columns=["n"])
    numbers, at = rows["n"].to_numpy(), rows["row"].to_numpy()
    if len(at) < 3:
        return EmbeddingMap(why="Fewer than three tracks have an embedding, so there is no map.")
    kept = np.random.default_rng(_SEED).permutation(len(at))[:MOST_POINTS]
    vectors = unit(np.stack([every.vector(row) for row in at[kept].tolist()]))
    pca = PCA(2, svd_solver="randomized", random_state=_SEED)
    points = pca.fit_transform(vectors)
    low, high = np.percentile(points, [0.5, 99.5], axis=0)
    scaled = np.clip((points - low) / np.maximum(high - low, 1e-9), 0, 1).round(4)
    return EmbeddingMap(
        numbers[kept].tolist(),
        scaled[:, 0].tolist(),
        scaled[:, 1].tolist(),
        float(pca.explained_variance_ratio_.sum()),
    )
