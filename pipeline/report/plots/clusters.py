"""Table and picture of what k-means makes of features (see `statistics.clusters`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.evaluation.statistics.clusters import Clusters
from pipeline.report.page import Table
from pipeline.report.picture import BLACK, Picture, as_picture, class_labels, drawing

_N_NUMBERED = 25


def clusters_table(found: Sequence[Clusters]) -> Table:
    """Return one row per feature, the one whose clusters are nearest to the classes first."""
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
