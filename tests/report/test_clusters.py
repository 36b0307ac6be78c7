"""k-means finds groups that are there, and says so when there are none."""

import numpy as np
import pytest

from pipeline.evaluation.statistics.clusters import clusters
from pipeline.report.plots.clusters import clusters_map, clusters_table

GROUPS = np.arange(90) % 3


def values_of(distance, rng):
    values = rng.standard_normal((90, 4)).astype(np.float32)
    values[:, 0] += distance * GROUPS
    return values


def test_classes_that_lie_apart_are_the_clusters(rng):
    found = clusters("mfcc", values_of(50, rng)[:, :1], GROUPS, 4)
    assert found.counts.tolist() == [[30, 0, 0, 0], [0, 30, 0, 0], [0, 0, 30, 0]]
    assert found.mutual_information == pytest.approx(1)
    assert found.purity == 1


def test_noise_has_no_information(rng):
    found = clusters("mfcc", values_of(0, rng), GROUPS, 3)
    assert abs(found.mutual_information) < 0.1
    assert found.counts.sum() == 90


def test_gaps_and_dead_rows_are_no_fault(rng):
    values = values_of(50, rng)[:, :1]
    values = np.concatenate([values, np.full((90, 1), np.nan), np.ones((90, 1))], axis=1)
    values[:5, 0] = np.inf
    assert clusters("f0", values.astype(np.float32), GROUPS, 3).mutual_information > 0.5


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_clips_are_not_clustered(rng, n):
    assert clusters("mfcc", values_of(1, rng)[:n], np.zeros(n, int), 3) is None


def test_it_is_drawn_and_listed(rng):
    found = clusters("mfcc", values_of(3, rng), GROUPS, 3)
    names = {"a": "Alphorn", "b": "Bassoon", "c": "Celesta"}
    assert clusters_map(found, class_names=names).title == "Clusters of mfcc"
    assert clusters_table([found]).rows[0][0] == "mfcc"
    assert sum(map(sum, found.to_dict()["counts"])) == 90
