"""Top-1 accuracy: how often the class of a clip that has one class scores highest."""

from __future__ import annotations

from pipeline.evaluation.labels.top1 import top1_accuracy
from pipeline.evaluation.statistics.more_metrics.base import Judged, Metric


def of_one_class(judged: Judged) -> float | None:
    """Return the share of items with one class whose highest score is that class's.

    What is said of sets that label one instrument a clip, such as NSynth. Items with several
    classes or none, or of which anything is unknown, do not count; None where no item counts.
    """
    counts = judged.known.all(axis=1) & (judged.truth.sum(axis=1) == 1)
    return top1_accuracy(judged.truth[counts], judged.scores[counts])


METRIC = Metric("top1_accuracy", "top-1 accuracy, of clips with one class", of_one_class)
