"""CORRECTIONS: one row is what one person said of one class of a track, or of a span of it.

They stand beside TAGS and are never written into them: `corrections/{hash}.parquet`, rows are only
added. Of the rows on a content that agree in code, start_s and end_s the last one counts.
"""

from __future__ import annotations

import pyarrow as pa

from schemas.columns import column

PRESENT, ABSENT, WITHDRAWN = "present", "absent", "withdrawn"
VERDICTS = (PRESENT, ABSENT, WITHDRAWN)

CORRECTIONS = pa.schema(
    [
        column("uri", pa.string(), "the track, as in TAGS"),
        column(
            "fingerprint", pa.string(), "the hash of its content, as in TAGS; null where unknown"
        ),
        column("code", pa.string(), "the class"),
        column("start_s", pa.float64(), "where the span begins; null: the whole track", unit="s"),
        column("end_s", pa.float64(), "where it ends; null: the whole track", unit="s"),
        column(
            "verdict",
            pa.string(),
            "present: it is heard there; absent: it is not; withdrawn: what was said before counts "
            "no more",
        ),
        column("author", pa.string(), "who said so"),
        column("said_at", pa.timestamp("us", "UTC"), "when"),
        column("model_id", pa.string(), "whose tags the person saw; null where unknown"),
        column(
            "was_labelled",
            pa.bool_(),
            "whether the track had the label by that model; null where unknown",
        ),
        column("score", pa.float32(), "the score that it had by that model", range="0..1"),
    ]
)
