"""LEDGER: one row is what one run made of one planned segment. Key: segment_id, run.

A segment that is tried again in a later run gets a further row; the one with the highest `run`
counts, and `latest` returns just those.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from schemas.columns import column

LEDGER = pa.schema(
    [
        column("segment_id", pa.string(), "'{ytid}_{start in ms}'"),
        column("ytid", pa.string(), "YouTube's id of the video, or the source's own id"),
        column("run", pa.int32(), "1, and one more whenever a later run tried it again"),
        column("outcome", pa.string(), "an Outcome of pipeline.errors: ok, unavailable, ..."),
        column("reason", pa.string(), "a Reason of pipeline.errors: not_found, too_short, ..."),
        column("detail", pa.string(), "the original message; null when ok"),
        column("attempts", pa.int32(), "how often this run asked for the segment"),
        column("http_status", pa.int32(), "the HTTP status that decided; null where none did"),
        column("bytes_fetched", pa.int64(), "bytes read from the source", unit="B"),
        column("bytes_whole", pa.int64(), "the whole file's size; null where unknown", unit="B"),
        column("seconds", pa.float64(), "wall time that the segment took", unit="s"),
        column("wait_s", pa.float64(), "of it: back-off, rate limit and pauses", unit="s"),
        column("fetch_s", pa.float64(), "of it: asking the source and reading from it", unit="s"),
        column("decode_s", pa.float64(), "of it: decoding, trimming, writing the wav", unit="s"),
        column("describe_s", pa.float64(), "of it: log-mel", unit="s"),
        column("ended_at", pa.timestamp("ms", "UTC"), "when the outcome was known"),
    ]
)


def latest(ledger: pa.Table) -> pa.Table:
    """Return the rows that count: of every segment the one with the highest run."""
    if not ledger.num_rows or pc.max(ledger["run"]).as_py() == 1:
        return ledger
    order = pc.sort_indices(ledger, [("segment_id", "ascending"), ("run", "ascending")])
    rows = ledger.take(order)
    ids = rows["segment_id"].combine_chunks()
    is_last = pc.not_equal(ids[:-1], ids[1:])
    return rows.filter(pa.concat_arrays([is_last, pa.array([True])]))
