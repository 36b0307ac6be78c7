"""What a dataset holds, as numbers for a json: CLIPS, and the ANOVA of their features. PURE.

The json holds every number of the page, and nothing in it is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.arrays import Bools, Float64, Floats
from pipeline.evaluation.runs.summary import cooccurrence_counts, finite, in_order, labels_per_clip
from pipeline.evaluation.statistics.anova import P_LIMIT, RowValues, by_feature, ranked
from pipeline.evaluation.statistics.clusters import Clusters
from pipeline.selection.splits import SPLITS
from pipeline.store.matrices import label_matrix
from schemas.exploration import ExplorationRecord


@dataclass(frozen=True)
class ClipExample:
    """One clip that stands for a class."""

    code: str
    segment_id: str
    logmel: Floats
    """Log-mel of the clip in dB, `[n_mels, n_frames]`."""


@dataclass(frozen=True)
class SeparatedClip:
    """Some seconds of the clip that stands for a class, as parts that add up to them."""

    code: str
    segment_id: str
    sample_rate_hz: int
    parts: Floats
    """Samples, `[n_parts, n_samples]`, the part of the most energy first."""


@dataclass(frozen=True)
class FeatureTests:
    """What became of the pooled features."""

    table: pa.Table
    """The table of the ANOVA, as schemas/anova.py describes it."""
    n_clips: int
    """How many clips have features."""
    n_single: int
    """Of those, clips with exactly one class: the ones that count."""
    n_recordings: int
    """What those were cut from."""
    n_classes: int
    """How many classes were compared."""
    rows: Sequence[RowValues] = field(default=())
    """The rows whose distributions are drawn."""
    clusters: Sequence[Clusters] = field(default=())
    """What k-means makes of each feature, the best first."""


def explore_report(
    clips: pa.Table,
    *,
    class_names: Mapping[str, str],
    n_segments: Mapping[str, int],
    split: str,
    examples: Sequence[ClipExample],
    tested: FeatureTests | None,
    provenance: Mapping[str, str],
) -> ExplorationRecord:
    """Return what a dataset holds.

    Parameters
    ----------
    clips
        The columns classes, split, sample_rate_hz and n_samples of CLIPS.
    class_names
        Name by code, in the vocabulary's order.
    n_segments
        How many segments SEGMENTS has, by split.
    split
        The split that the examples and features are of; "all" for all of them.
    tested
        The ANOVA of the pooled features; None without features.
    """
    seconds, labels = durations_s(clips), label_matrix(clips["classes"], list(class_names))
    of_split = np.array(clips["split"].to_pylist(), dtype=np.str_)
    names = in_order([*of_split.tolist(), *n_segments], SPLITS)
    masks = {name: of_split == name for name in names}
    return ExplorationRecord(
        n_clips=len(clips),
        hours=float(seconds.sum() / 3600),
        shortest_s=float(seconds.min()) if len(seconds) else None,
        longest_s=float(seconds.max()) if len(seconds) else None,
        splits={
            name: {
                "segments": n_segments.get(name, 0),
                "clips": int(mask.sum()),
                "hours": float(seconds[mask].sum() / 3600),
            }
            for name, mask in masks.items()
        },
        classes=[
            {"code": code, "name": name, "clips": _by_split(labels[:, k], masks)}
            for k, (code, name) in enumerate(class_names.items())
        ],
        labels_per_clip={name: labels_per_clip(labels[mask]) for name, mask in masks.items()},
        cooccurrence=cooccurrence_counts(labels).tolist(),
        split=split,
        examples={example.code: example.segment_id for example in examples},
        anova=None if tested is None else _anova_report(tested),
        clusters=[] if tested is None else [one.to_dict() for one in tested.clusters],
        provenance=dict(provenance),
    )


def durations_s(clips: pa.Table) -> Float64:
    """Return how long every clip is, `[n_clips]`."""
    n_samples, rate_hz = (clips[name].to_numpy() for name in ("n_samples", "sample_rate_hz"))
    return np.asarray(n_samples / rate_hz, np.float64)


def _by_split(has_class: Bools, masks: Mapping[str, Bools]) -> dict[str, int]:
    return {name: int((has_class & mask).sum()) for name, mask in masks.items()}


def _anova_report(tested: FeatureTests) -> dict[str, Any]:
    features = [
        summary | {key: summary[key] and finite(summary[key]) for key in ("best", "worst")}
        for summary in by_feature(tested.table)
    ]
    return {
        "p_limit": P_LIMIT,
        "n_clips": tested.n_clips,
        "n_single": tested.n_single,
        "n_recordings": tested.n_recordings,
        "n_classes": tested.n_classes,
        "features": features,
        "rows": [finite(row) for row in ranked(tested.table)],
    }
