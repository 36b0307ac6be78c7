"""Selected segments in, SEGMENTS and shards out: splits, and what is left to do. PURE."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from schemas.segments import SEGMENTS

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Shard:
    """The unit of work: segments of one split, under a name that tells what it holds."""

    name: str
    segments: pa.Table


def parse_ratio(text: str) -> tuple[int, int, int]:
    """Return '70/10/20' as (70, 10, 20)."""
    parts = text.split("/")
    if len(parts) != 3 or not all(p.isdecimal() for p in parts) or sum(map(int, parts)) != 100:
        raise UsageError(f"--split {text!r}: expected three whole percentages that add up to 100")
    return int(parts[0]), int(parts[1]), int(parts[2])


def split_of(ytid: str, ratio: tuple[int, int, int]) -> str:
    """Return the split of a video: by a hash of its id, so the same on every machine."""
    draw = int.from_bytes(hashlib.blake2b(ytid.encode(), digest_size=8).digest()) % 10_000
    bounds = np.cumsum(ratio) * 100
    return SPLITS[int(np.searchsorted(bounds, draw, side="right"))]


def plan_segments(chosen: pa.Table, *, ratio: tuple[int, int, int], shard_size: int) -> pa.Table:
    """Return SEGMENTS: the chosen rows with `split` and `shard`, ordered by split."""
    videos = pc.dictionary_encode(chosen["ytid"].combine_chunks())
    splits = np.array([split_of(ytid, ratio) for ytid in videos.dictionary.to_pylist()], object)
    rows = chosen.append_column("split", pa.array(splits[videos.indices.to_numpy()], pa.string()))
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


def shard_name(split: str, segment_ids: Sequence[str]) -> str:
    """Return a name that is the same for the same segments and differs for any others."""
    digest = hashlib.blake2b("\n".join(segment_ids).encode(), digest_size=8).hexdigest()
    return f"{split}-{digest}"


def shards_to_do(segments: pa.Table, done_ids: pa.Array) -> Iterator[Shard]:
    """Yield the shards that have segments without a ledger row, cut down to those segments."""
    done = pc.is_in(segments["segment_id"], value_set=done_ids)
    left = segments.filter(pc.invert(done)).combine_chunks()
    if not left.num_rows:
        return
    runs = pc.run_end_encode(left["shard"].combine_chunks())
    start = 0
    for end in runs.run_ends.to_pylist():
        part = left.slice(start, end - start)
        yield Shard(shard_name(part["split"][0].as_py(), part["segment_id"].to_pylist()), part)
        start = end
