"""Splits without leaks, and a plan that a second run makes again."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.selection.plan import (
    FinishedSegments,
    Shard,
    count_to_do,
    parse_split,
    plan_segments,
    shards_to_do,
    split_as_audioset,
    split_by_hash,
    split_of,
)

RATIO = (70, 10, 20)


def planned(rows: pa.Table, shard_size: int) -> pa.Table:
    return plan_segments(split_by_hash(rows, RATIO), shard_size=shard_size)


def ids_of(shards: list[Shard]) -> list[str]:
    return [i for shard in shards for i in shard.segments["segment_id"].to_pylist()]


def to_do(
    segments: pa.Table, finished: FinishedSegments, size: int = 8, piece: int = 7
) -> list[Shard]:
    pieces = (segments.slice(at, piece) for at in range(0, segments.num_rows, piece))
    return list(shards_to_do(pieces, finished, shard_size=size))


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
    segments = planned(chosen(30_000, per_video=3), 64)
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
        parse_split(text)


@given(n=st.integers(1, 120), size=st.integers(1, 40), data=st.data())
def test_shards_hold_exactly_what_is_left(n, size, data):
    """Whatever was settled, by whole shards or by segments of shards that have another size."""
    segments = planned(chosen(n), size)
    names = sorted(set(segments["shard"].to_pylist()))
    ids = segments["segment_id"].to_pylist()
    whole = set(data.draw(st.lists(st.sampled_from(names), unique=True)))
    strays = data.draw(st.lists(st.sampled_from(ids), unique=True))
    finished = FinishedSegments(frozenset(whole), pa.array(strays, pa.string()))
    shards = to_do(segments, finished, size, piece=data.draw(st.integers(1, 50)))
    rows = segments.to_pylist()
    done = {r["segment_id"] for r in rows if r["shard"] in whole or r["segment_id"] in strays}
    assert sorted(ids_of(shards)) == sorted(set(ids) - done)
    assert count_to_do(segments, finished) == len(ids) - len(done)
    assert all(1 <= shard.segments.num_rows <= size for shard in shards)
    assert all(len(set(shard.segments["split"].to_pylist())) == 1 for shard in shards)
    assert all(set(shard.segments["run"].to_pylist()) == {1} for shard in shards)
    assert len({shard.name for shard in shards}) == len(shards)


def test_a_rerun_plans_the_same_shards_and_leaves_out_the_done():
    segments = planned(chosen(100), 8)
    first = to_do(segments, FinishedSegments())
    assert [s.name for s in first] == list(dict.fromkeys(segments["shard"].to_pylist()))
    again = to_do(segments, FinishedSegments(frozenset(shard.name for shard in first[::2])))
    assert [shard.name for shard in again] == [shard.name for shard in first[1::2]]
    assert again[0].segments.equals(first[1].segments)


def test_what_is_tried_again_has_its_run_and_a_name_of_its_own():
    segments = planned(chosen(40), 8)
    names = frozenset(segments["shard"].to_pylist())
    ids = segments["segment_id"].to_pylist()[::3]
    runs = [2 + k % 3 for k in range(len(ids))]
    finished = FinishedSegments(
        names, again=pa.table({"segment_id": ids, "run": pa.array(runs, pa.int32())})
    )
    shards = to_do(segments, finished)
    assert count_to_do(segments, finished) == len(ids)
    assert not names & {shard.name for shard in shards}
    found = {r["segment_id"]: r["run"] for s in shards for r in s.segments.to_pylist()}
    assert found == dict(zip(ids, runs, strict=True))
    assert [s.name for s in shards] == [s.name for s in to_do(segments, finished, piece=3)]
    later = FinishedSegments(
        names, again=pa.table({"segment_id": ids, "run": pa.array(runs, pa.int32())})
    )
    later = FinishedSegments(
        names, again=later.again.set_column(1, "run", pa.array([9] * len(ids)))
    )
    assert not {s.name for s in shards} & {s.name for s in to_do(segments, later)}


def test_audiosets_own_split_keeps_every_video_in_one():
    rows = chosen(3000).append_column("file", pa.array(["balanced_train.csv"] * 3000))
    both = rows.slice(0, 10).set_column(6, "file", pa.array(["/x/eval_segments.csv"] * 10))
    every = pa.concat_tables([rows, both])
    split = split_as_audioset(every, every)
    by_video: dict[str, set[str]] = {}
    for row in split.to_pylist():
        by_video.setdefault(row["ytid"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in by_video.values())
    assert [by_video[f"v{k}"] for k in range(10)] == [{"test"}] * 10
    share = split["split"].to_pylist().count("val") / 3000
    assert share == pytest.approx(0.10, abs=0.02)
    with pytest.raises(UsageError, match=r"mine\.csv: --split audioset"):
        split_as_audioset(rows, rows.set_column(6, "file", pa.array(["mine.csv"] * 3000)))


def test_audiosets_own_split_looks_at_files_and_at_rows_that_were_left_out():
    """The folder's name is not the file's, and a segment in both files is chosen from the first."""
    rows = chosen(20).append_column("file", pa.array(["/training/balanced_train.csv"] * 20))
    path = "s3://b/training/eval_segments.csv?scheme=http"
    both = pa.concat_tables([rows, rows.slice(0, 5).set_column(6, "file", pa.array([path] * 5))])
    split = split_as_audioset(rows, both)
    assert split["split"].to_pylist()[:5] == ["test"] * 5
    assert "test" not in split["split"].to_pylist()[5:]
