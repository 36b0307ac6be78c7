"""What k-means makes of the pooled features of clips that have one class. PURE.

Where clusters are classes, the feature tells instruments apart by itself; where they are not, a
classifier must do more than draw circles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.impute import SimpleImputer
from sklearn.metrics import adjusted_mutual_info_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.arrays import Float32, Int64

_N_STARTS = 10


@dataclass(frozen=True)
class Clusters:
    """What k-means makes of one feature, with as many clusters as there are classes."""

    feature: str
    counts: Int64
    """Clips, `[n_clusters, n_classes]`; the largest class of a cluster rises with its number."""
    mutual_information: float
    """Between cluster and class, adjusted for chance: 0 for chance, 1 for the same groups."""

    @property
    def purity(self) -> float:
        """The share of clips that are of their cluster's most frequent class."""
        return float(self.counts.max(axis=1).sum() / max(1, self.counts.sum()))

    def to_dict(self) -> dict[str, Any]:
        """Return the clusters as plain values, fit for json."""
        return {
            "feature": self.feature,
            "counts": self.counts.tolist(),
            "adjusted_mutual_information": self.mutual_information,
            "purity": self.purity,
        }


def clusters(
    feature: str,
    values: Float32,
    groups: npt.NDArray[np.integer[Any]],
    n_classes: int,
) -> Clusters | None:
    """Return the clusters of clips, `[n_clips, n_values]`, whose classes are `groups`, `[n_clips]`.

    Every value is scaled by its mean and deviation; a gap becomes the mean. None where there are
    fewer clips than classes to cluster, or fewer than two classes.
    """
    n_clusters = len(np.unique(groups))
    finite = np.where(np.isfinite(values), values, np.nan)
    finite = finite[:, np.isfinite(finite).any(axis=0)]
    if n_clusters < 2 or len(np.unique(finite, axis=0)) < n_clusters:
        return None
    found = make_pipeline(
        SimpleImputer(), StandardScaler(), KMeans(n_clusters, n_init=_N_STARTS, random_state=0)
    ).fit_predict(finite)
    counts = np.zeros((n_clusters, n_classes), np.int64)
    np.add.at(counts, (found, groups), 1)
    return Clusters(
        feature,
        counts=counts[np.argsort(counts.argmax(axis=1), kind="stable")],
        mutual_information=float(adjusted_mutual_info_score(groups, found)),
    )
