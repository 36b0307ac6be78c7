"""CLIPS: one row is a segment that was got, as a wav file inside the table. Key: segment_id."""

from __future__ import annotations

import pyarrow as pa

from schemas.columns import CODES, UNKNOWN, column, with_audio_feature

AUDIO = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])


def clips_schema(sample_rate_hz: int) -> pa.Schema:
    """CLIPS for wavs of one sample rate; Hugging Face `datasets` plays the `audio` column."""
    fields = [
        column("segment_id", pa.string(), "'{ytid}_{start in ms}'"),
        column("ytid", pa.string(), "YouTube's id of the video, or the source's own id"),
        column("start_s", pa.float64(), "where the clip begins in the video", unit="s"),
        column("end_s", pa.float64(), "where it ends", unit="s"),
        column("audio", AUDIO, "a whole wav file, and the name it would have", codec="pcm_s16le"),
        column("sample_rate_hz", pa.int32(), "sample rate", unit="Hz"),
        column("n_samples", pa.int64(), "samples of the one channel"),
        column("sha256", pa.string(), "SHA-256 of the wav file, in hex"),
        column("classes", CODES, "instrument codes of the vocabulary, in its order"),
        column("unknown", CODES, UNKNOWN),
        column("split", pa.string(), "train, val or test"),
    ]
    return with_audio_feature(
        pa.schema(fields), audio_column="audio", sample_rate_hz=sample_rate_hz
    )
