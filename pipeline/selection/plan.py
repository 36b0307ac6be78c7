"""Selected segments in, SEGMENTS and shards out: splits, and what is left to do. PURE."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.selection.splits import AUDIOSET, SPLITS, Split
from pipeline.selection.splits import parse_split as parse_split
from schemas.columns import CODES
from schemas.segments import SEGMENTS

VAL_PERCENT = 10
"""Of AudioSet's training videos, held out for validation: AudioSet itself has no such split."""

_NO_IDS = pa.array([], pa.string())
_NO_RUNS = pa.table({"segment_id": _NO_IDS, "run": pa.array([], pa.int32())})


@dataclass(frozen=True)
class Shard:
    """The unit of work: segments of one split, under a name that tells what it holds."""

    name: str
    segments: pa.Table
    """SEGMENTS, and `run`: 1, or more where earlier runs did not get the segment."""


@dataclass(frozen=True)
class FinishedSegments:
    """What earlier runs have finished, and which of it is to be tried again."""

    shards: frozenset[str] = frozenset()
    """Names of the shards that have a ledger."""
    stray_ids: pa.Array = field(default_factory=lambda: _NO_IDS)
    """Segments finished by shards that the plan does not name: of another --shard-size, say."""
    again: pa.Table = field(default_factory=lambda: _NO_RUNS)
    """segment_id, run: what to try again, as which run."""


def split_of(ytid: str, ratio: tuple[int, int, int]) -> Split:
    """Return the split of a video: by a hash of its id, so the same on every machine."""
    found: Split = _splits_of([ytid], ratio)[0]
    return found


def _splits_of(ytids: Iterable[str], ratio: tuple[int, int, int]) -> npt.NDArray[np.object_]:
    draws = [
        int.from_bytes(hashlib.blake2b(ytid.encode(), digest_size=8).digest()) % 10_000
        for ytid in ytids
    ]
    bounds = np.cumsum(ratio) * 100
    return np.array(SPLITS, object)[np.searchsorted(bounds, draws, side="right")]


def split_by_hash(chosen: pa.Table, ratio: tuple[int, int, int]) -> pa.Table:
    """Return the rows with `split`: every video in one, whatever its segments."""
    videos = pc.dictionary_encode(chosen["ytid"].combine_chunks())
    splits = _splits_of(videos.dictionary.to_pylist(), ratio)
    return chosen.append_column("split", pa.array(splits[videos.indices.to_numpy()], pa.string()))


def split_as_audioset(chosen: pa.Table, rows: pa.Table) -> pa.Table:
    """Return the rows with `split`: the eval file's videos are test, a tenth of the others val.

    `rows` are all that were read, with a column `file`; a video that stands in both files is test,
    so that none is in two.
    """
    files = pc.replace_substring_regex(rows["file"], r"\?.*$|^.*/", "")
    is_eval = pc.match_substring(files, "eval", ignore_case=True)
    is_train = pc.match_substring(files, "train", ignore_case=True)
    strangers = rows["file"].filter(pc.equal(is_eval, is_train))
    if len(strangers):
        raise UsageError(
            f"{strangers[0].as_py()}: --split {AUDIOSET} expects files named as AudioSet's are, "
            "with 'train' or 'eval' in the name"
        )
    test_ids = pc.unique(rows["ytid"].filter(is_eval))
    rows = split_by_hash(chosen, (100 - VAL_PERCENT, VAL_PERCENT, 0))
    split = pc.if_else(pc.is_in(rows["ytid"], value_set=test_ids), "test", rows["split"])
    return rows.set_column(rows.column_names.index("split"), "split", split)


def plan_segments(rows: pa.Table, *, shard_size: int) -> pa.Table:
    """Return SEGMENTS: the selected rows, which have a `split`, ordered by it, with `shard`.

    Rows without a `group` of their own are of their video's, and those without `unknown` have
    nothing unknown.
    """
    if "unknown" not in rows.column_names:
        none = pa.repeat(pa.scalar([], CODES), len(rows))
        rows = rows.append_column("unknown", none)
    if "group" not in rows.column_names:
        rows = rows.append_column("group", rows["ytid"])
    parts, shards = [], []
    for split in SPLITS:
        part = rows.filter(pc.equal(rows["split"], split))
        ids = part["segment_id"].to_pylist()
        parts.append(part)
        for start in range(0, len(ids), shard_size):
            chunk = ids[start : start + shard_size]
            shards += [shard_name(split, chunk)] * len(chunk)
    planned = pa.concat_tables(parts).append_column("shard", pa.array(shards, pa.string()))
    return planned.select(SEGMENTS.names).cast(SEGMENTS)


def shard_name(split: str, parts: Sequence[str]) -> str:
    """Return a name that is the same for the same segments and differs for any others."""
    digest = hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()
    return f"{split}-{digest}"


def rows_to_do(segments: pa.Table, finished: FinishedSegments) -> pa.Table:
    """Return the rows of SEGMENTS that are not finished, or that are to be tried again."""
    ids = pa.concat_arrays([_ids(_unfinished(segments, finished)), _ids(finished.again)])
    return segments.filter(pc.is_in(segments["segment_id"], value_set=ids))


def count_to_do(segments: pa.Table, finished: FinishedSegments) -> int:
    """Return how many segments the shards to do hold."""
    return int(_unfinished(segments, finished).num_rows + finished.again.num_rows)


def shards_to_do(
    segments: Iterable[pa.Table], finished: FinishedSegments, *, shard_size: int
) -> Iterator[Shard]:
    """Yield the shards that are not finished, cut down to what is left; then what to try again.

    `segments` comes in pieces, so that a plan of millions need not be in memory.
    """
    again = []
    held = SEGMENTS.empty_table()
    for piece in segments:
        again.append(piece.filter(pc.is_in(piece["segment_id"], value_set=_ids(finished.again))))
        left = pa.concat_tables([held, _unfinished(piece, finished)]).combine_chunks()
        *whole, held = _by_shard(left) or [held]
        yield from (_shard(part, run=1) for part in whole)
    if held.num_rows:
        yield _shard(held, run=1)
    if finished.again.num_rows:
        yield from _shards_again(pa.concat_tables(again), finished.again, shard_size)


def _ids(table: pa.Table) -> pa.Array:
    return table["segment_id"].combine_chunks()


def _unfinished(segments: pa.Table, finished: FinishedSegments) -> pa.Table:
    names = pa.array(sorted(finished.shards), pa.string())
    done = pc.or_(
        pc.is_in(segments["shard"], value_set=names),
        pc.is_in(segments["segment_id"], value_set=finished.stray_ids),
    )
    return segments.filter(pc.invert(done))


def _by_shard(segments: pa.Table) -> list[pa.Table]:
    """Return the table in pieces, one for each run of rows of the same shard."""
    if not segments.num_rows:
        return []
    ends = pc.run_end_encode(segments["shard"].combine_chunks()).run_ends.to_pylist()
    starts = [0, *ends[:-1]]
    return [segments.slice(start, end - start) for start, end in zip(starts, ends, strict=True)]


def _shards_again(segments: pa.Table, runs: pa.Table, shard_size: int) -> Iterator[Shard]:
    place = pc.index_in(segments["segment_id"], value_set=_ids(runs))
    rows = segments.append_column("run", runs["run"].take(place))
    for split in SPLITS:
        part = rows.filter(pc.equal(rows["split"], split))
        for start in range(0, part.num_rows, shard_size):
            chunk = part.slice(start, shard_size)
            ids, times = chunk["segment_id"].to_pylist(), chunk["run"].to_pylist()
            name = shard_name(split, [f"{i}#{n}" for i, n in zip(ids, times, strict=True)])
            yield Shard(name, chunk)


def _shard(segments: pa.Table, *, run: int) -> Shard:
    runs = pa.array([run] * segments.num_rows, pa.int32())
    name = shard_name(segments["split"][0].as_py(), segments["segment_id"].to_pylist())
    return Shard(name, segments.append_column("run", runs))
