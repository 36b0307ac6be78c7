"""Pooled features of clips with one class in, what k-means makes of them without the classes out.

Where clusters are classes, the feature tells instruments apart by itself; where they are not, a
classifier must do more than draw circles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from pipeline.report.page import Table
from pipeline.report.picture import BLACK, Picture, as_picture, class_labels, drawing

_N_STARTS = 10
_N_NUMBERED = 25


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
        """Return the clusters as plain values, as report.json has them."""
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


def clusters_table(found: Sequence[Clusters]) -> Table:
    """Return a row a feature, the one whose clusters are nearest to the classes first."""
    return Table(
        "k-means by feature",
        ("feature", "clusters", "adjusted mutual information", "purity"),
        [(one.feature, len(one.counts), one.mutual_information, one.purity) for one in found],
        "As many clusters as classes, found without them. Information is 0 for chance and 1 where "
        "the clusters are the classes; purity is the share of clips of their cluster's main class.",
    )


def clusters_map(found: Clusters, *, class_names: Mapping[str, str]) -> Picture:
    """Draw how the clips of each class fall into the clusters of one feature."""
    n_clusters, n_classes = found.counts.shape
    shares = found.counts.T / np.maximum(1, found.counts.sum(axis=0))[:, None]
    with drawing(height_in=min(11.0, 1.3 + 0.32 * max(3, n_classes))) as figure:
        axes = figure.subplots()
        shown = np.ma.masked_equal(shares, 0.0)
        axes.imshow(shown, cmap="Blues", vmin=-0.1, vmax=1.2, aspect="auto")
        for row, column in np.argwhere(found.counts.T) if n_classes <= _N_NUMBERED else []:
            color = "white" if shares[row, column] > 0.75 else BLACK
            text = f"{found.counts[column, row]:,d}"
            axes.text(column, row, text, color=color, fontsize=8, ha="center", va="center")
        axes.set_yticks(range(n_classes), class_labels(class_names))
        axes.set_xticks(range(n_clusters), [str(k + 1) for k in range(n_clusters)])
        axes.set_xlabel("cluster")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return as_picture(
            figure,
            title=f"Clusters of {found.feature}",
            caption="Clips with exactly one class, in the clusters that k-means finds in the "
            "feature without knowing the classes. The darker, the larger the share of the class.",
        )
