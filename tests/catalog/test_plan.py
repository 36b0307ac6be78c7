"""Splits without leaks, and a plan that a second run makes again."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalog.plan import parse_ratio, plan_segments, shards_to_do, split_of
from pipeline.errors import UsageError

NONE_DONE = pa.array([], pa.string())


def chosen(n: int, *, per_video: int = 1) -> pa.Table:
    return pa.table(
        {
            "segment_id": [f"v{i // per_video}_{i}" for i in range(n)],
            "ytid": [f"v{i // per_video}" for i in range(n)],
            "start_s": [float(i) for i in range(n)],
            "end_s": [float(i + 10) for i in range(n)],
            "mids": [["/m/01xqw"]] * n,
            "classes": [["cel"]] * n,
        }
    )


def test_split_is_by_video_and_near_the_ratio():
    segments = plan_segments(chosen(30_000, per_video=3), ratio=(70, 10, 20), shard_size=64)
    by_video: dict[str, set[str]] = {}
    for row in segments.select(["ytid", "split"]).to_pylist():
        by_video.setdefault(row["ytid"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in by_video.values())
    share = segments["split"].to_pylist().count("train") / 30_000
    assert share == pytest.approx(0.70, abs=0.015)


def test_split_is_the_same_on_every_machine():
    names = [split_of(ytid, (70, 10, 20)) for ytid in ("--4gqARaEJE", "abc", "v4", "v7", "v9")]
    assert names == KNOWN_SPLITS


KNOWN_SPLITS = ["train", "train", "test", "test", "val"]  # a change here moves users' videos


@pytest.mark.parametrize("text", ["70/10", "70/10/10", "a/b/c", "70/10/20/0", "-10/90/20"])
def test_a_wrong_ratio_is_refused(text):
    with pytest.raises(UsageError, match="--split"):
        parse_ratio(text)


@given(n=st.integers(1, 200), size=st.integers(1, 40), n_done=st.integers(0, 200))
def test_shards_hold_exactly_what_is_left(n, size, n_done):
    segments = plan_segments(chosen(n), ratio=(70, 10, 20), shard_size=size)
    done = segments["segment_id"].combine_chunks().slice(0, min(n_done, n))
    shards = list(shards_to_do(segments, done))
    left = [i for shard in shards for i in shard.segments["segment_id"].to_pylist()]
    assert sorted(left + done.to_pylist()) == sorted(segments["segment_id"].to_pylist())
    assert all(1 <= shard.segments.num_rows <= size for shard in shards)
    assert all(len(set(shard.segments["split"].to_pylist())) == 1 for shard in shards)
    assert len({shard.name for shard in shards}) == len(shards)


def test_a_rerun_plans_the_same_shards_and_leaves_out_the_done():
    segments = plan_segments(chosen(100), ratio=(70, 10, 20), shard_size=8)
    first = list(shards_to_do(segments, NONE_DONE))
    done = pa.concat_arrays([shard.segments["segment_id"].combine_chunks() for shard in first[::2]])
    again = list(shards_to_do(segments, done))
    assert [shard.name for shard in again] == [shard.name for shard in first[1::2]]
    assert again[0].segments.equals(first[1].segments)
