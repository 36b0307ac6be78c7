"""What a reproduction's page shows of its data: clips by class and length, and the ANOVA. PURE."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.evaluation.runs.exploration import durations_s
from pipeline.evaluation.runs.summary import cooccurrence_counts, labels_per_clip
from pipeline.evaluation.statistics.anova import ranked
from pipeline.report.page import Block
from pipeline.report.pages.explore_page import features_table, rows_table
from pipeline.report.picture import class_labels
from pipeline.report.plots import data_plots, feature_plots
from pipeline.report.plots.reproduction_plots import duration_boxes
from pipeline.selection.splits import SPLITS
from pipeline.store.matrices import label_matrix
from schemas.anova import ANOVA


@dataclass(frozen=True)
class ClipsShown:
    """The clips of a dataset."""

    dataset: str
    """Its name: irmas or audioset."""
    class_names: Mapping[str, str]
    """Names of the classes by their codes."""
    clips: pa.Table
    """classes, split, sample_rate_hz and n_samples of CLIPS."""


def clip_blocks(shown: ClipsShown) -> list[Block]:
    """Return how many clips have which labels, and how long they are; the test set apart."""
    names, title = shown.class_names, shown.dataset
    labels = label_matrix(shown.clips["classes"], list(names))
    splits = np.array(shown.clips["split"].to_pylist(), np.str_)
    seconds, n_labels = durations_s(shown.clips), labels.sum(axis=1)
    is_test = splits != "train"
    counts: dict[str, list[int]] = {s: labels[splits == s].sum(axis=0).tolist() for s in SPLITS}
    held_out = {name: values for name, values in counts.items() if name != "train"}
    by_class = {
        label: seconds[is_test & labels[:, k]] for k, label in enumerate(class_labels(names))
    }
    by_number = {
        f"{n} {'class' if n == 1 else 'classes'}": seconds[is_test & (n_labels == n)]
        for n in sorted(set(n_labels[is_test].tolist()))
    }
    test = f"{title}, validation and test"
    pictures = (
        data_plots.label_counts({"train": counts["train"]}, class_names=names),
        data_plots.label_counts(held_out, class_names=names),
        data_plots.labels_per_clip({s: labels_per_clip(labels[splits == s]) for s in SPLITS}),
        data_plots.cooccurrence(cooccurrence_counts(labels[is_test]), class_names=names),
    )
    titles = (
        f"{title}, training: clips per class",
        f"{test}: clips per class",
        f"{title}: classes per clip",
        f"{test}: classes that sound together",
    )
    return [
        *(replace(one, title=words) for one, words in zip(pictures, titles, strict=True)),
        duration_boxes(by_class, title=f"{test}: durations by class", what="class"),
        duration_boxes(
            by_number, title=f"{test}: durations by number of classes", what="how many classes"
        ),
    ]


def anova_blocks(anova: Mapping[str, Any], *, title: str, note: str) -> list[Block]:
    """Return the ANOVA of explore.json as a table of features and a picture of rows."""
    rows = [
        {key: math.nan if value is None else value for key, value in row.items()}
        for row in anova["rows"]
    ]
    table = pa.Table.from_pylist(rows, schema=ANOVA)
    bars = feature_plots.anova_bars(table, n_classes=anova["n_classes"])
    by_feature = features_table(anova["features"])
    return [
        replace(by_feature, title=title, note=note),
        replace(bars, title=f"{title}: by row"),
        replace(rows_table(ranked(table)), title=f"{title}: every row"),
    ]
