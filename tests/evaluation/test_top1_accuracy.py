import numpy as np

from pipeline.evaluation.statistics.metrics import multilabel_metrics


def accuracy(truth: list[list[float]], scores: list[list[float]]) -> float | None:
    metrics = multilabel_metrics(
        np.array(truth, np.float32).reshape(-1, 2),
        np.array(scores, np.float64).reshape(-1, 2),
        thresholds=0.5,
        class_codes=["cel", "cla"],
    )
    return metrics.more["top1_accuracy"]


def test_it_is_the_share_of_right_first_classes():
    truth, scores = [[1, 0], [1, 0], [0, 1]], [[0.9, 0.1], [0.2, 0.3], [0.0, 0.01]]
    assert accuracy(truth, scores) == 2 / 3  # whatever the thresholds


def test_only_items_with_one_class_and_nothing_unknown_count():
    others = [[1, 1], [0, 0], [1, np.nan], [np.nan, 0]]
    assert accuracy([[0, 1], *others], [[0.1, 0.2]] + [[0.3, 0.2]] * 4) == 1.0
    assert accuracy(others, [[0.3, 0.2]] * 4) is None
    assert accuracy([], []) is None
