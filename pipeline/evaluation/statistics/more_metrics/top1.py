"""Top-1 accuracy: how often the class with the highest score is the item's one label."""

from __future__ import annotations

from pipeline.evaluation.labels.top1 import top1_accuracy
from pipeline.evaluation.statistics.more_metrics.base import Judged, Metric


def _of(judged: Judged) -> float | None:
    return top1_accuracy(judged.truth & judged.known, judged.scores)


METRIC = Metric("top1_accuracy", "top-1 accuracy", _of)
