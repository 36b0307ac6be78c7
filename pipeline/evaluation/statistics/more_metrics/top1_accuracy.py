"""Top-1 accuracy: how often the class of a clip that has one class scores highest."""

from __future__ import annotations

from pipeline.evaluation.statistics.more_metrics.base import Judged, Metric


def top1_accuracy(judged: Judged) -> float | None:
    """Return the share of items with one class whose highest score is that class's.

    What is said of sets that label one instrument a clip, such as NSynth. Items with several
    classes or none, or of which anything is unknown, do not count; None where no item counts.
    """
    counts = judged.known.all(axis=1) & (judged.truth.sum(axis=1) == 1)
    if not counts.any():
        return None
    best = judged.scores[counts].argmax(axis=1)
    return float((best == judged.truth[counts].argmax(axis=1)).mean())


METRIC = Metric("top1_accuracy", "top-1 accuracy, of clips with one class", top1_accuracy)
