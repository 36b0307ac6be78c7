"""Every clip is held out once, and a video is never on two sides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.training.folds import fold_of
from tests.training.test_epochs import window_set


def videos_of(ids):
    return [segment_id.rpartition("_")[0] for segment_id in ids]


def video_of(ids, part):
    return set(videos_of([ids[clip] for clip in part]))


@given(n_videos=st.integers(3, 20), n_folds=st.integers(3, 6), seed=st.integers(0, 5))
def test_every_clip_is_held_out_once_and_no_video_is_on_two_sides(n_videos, n_folds, seed):
    ids = [
        f"-v_{k}_{start}" for k in range(n_videos) for start in range(0, 1000 * (1 + k % 3), 1000)
    ]
    if n_folds > n_videos:
        with pytest.raises(UsageError, match="--folds"):
            fold_of(ids, videos_of(ids), n_folds=n_folds, fold=0, seed=seed)
        return
    folds = [
        fold_of(ids, videos_of(ids), n_folds=n_folds, fold=k, seed=seed) for k in range(n_folds)
    ]
    held_out = np.concatenate([fold.held_out for fold in folds])
    assert sorted(held_out) == list(range(len(ids)))
    for fold in folds:
        sides = [video_of(ids, part) for part in (fold.train, fold.val, fold.held_out)]
        assert all(sides)
        assert sum(map(len, sides)) == len(set().union(*sides)) == n_videos


def test_folds_do_not_depend_on_the_order_of_the_clips():
    ids = [f"v{k}_0" for k in range(20)]
    before = fold_of(ids, videos_of(ids), n_folds=4, fold=1, seed=0)
    turned = fold_of(ids[::-1], videos_of(ids[::-1]), n_folds=4, fold=1, seed=0)
    assert {ids[c] for c in before.held_out} == {ids[::-1][c] for c in turned.held_out}


def test_a_subset_has_the_clips_own_windows():
    data = window_set([862, 50, 300, 400])
    part = data.subset(np.array([3, 0]))
    assert part.segment_ids == ["s3", "s0"]
    assert part.targets.tolist() == data.targets[[3, 0]].tolist()
    for new, old in ((0, 3), (1, 0)):
        np.testing.assert_array_equal(part.clip_windows(new), data.clip_windows(old))
    assert len(part) == len(data.clip_windows(3)) + len(data.clip_windows(0))
    assert len(data.subset(np.array([], int))) == 0
