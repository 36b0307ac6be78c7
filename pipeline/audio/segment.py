"""One planned segment in; its LEDGER row, and its CLIPS and FEATURES rows where it was got, out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.audio.clip import fit_length, from_pcm16, to_pcm16, wav_bytes
from pipeline.audio.decode import decode
from pipeline.audio.fetch import Source
from pipeline.audio.logmel import LogMelSpec, log_mel
from pipeline.errors import ItemFault, Outcome, Reason

Row = dict[str, Any]


@dataclass(frozen=True)
class SegmentRows:
    """What one segment adds to the tables; `clip` and `features` are None where it was not got."""

    ledger: Row
    clip: Row | None = None
    features: Row | None = None


def get_segment(source: Source, segment: Mapping[str, Any], spec: LogMelSpec) -> SegmentRows:
    """Fetch, decode, trim and describe one segment; a fault of the item becomes its LEDGER row."""
    began = time.monotonic()
    row: Row = {
        "segment_id": segment["segment_id"],
        "ytid": segment["ytid"],
        "outcome": Outcome.OK,
        "reason": Reason.OK,
        "detail": None,
        "attempts": 1,
        "http_status": None,
        "bytes_fetched": 0,
    }
    clip = features = None
    try:
        with source.open(segment["ytid"]) as media:
            try:
                clip, features = _describe(media.file, segment, spec)
            finally:
                row["bytes_fetched"] = media.bytes_fetched()
    except ItemFault as fault:
        row |= {
            "outcome": fault.outcome,
            "reason": fault.reason,
            "detail": fault.detail,
            "http_status": fault.http_status,
        }
    row |= {"seconds": time.monotonic() - began, "ended_at": datetime.now(UTC)}
    return SegmentRows(row, clip, features)


def _describe(file: Any, segment: Mapping[str, Any], spec: LogMelSpec) -> tuple[Row, Row]:
    rate, duration_s = spec.sample_rate_hz, segment["end_s"] - segment["start_s"]
    samples = decode(file, sample_rate_hz=rate, start_s=segment["start_s"], duration_s=duration_s)
    samples = fit_length(samples, n_samples=round(duration_s * rate), sample_rate_hz=rate)
    pcm = to_pcm16(samples)
    wav = wav_bytes(pcm, rate)
    logmel = log_mel(from_pcm16(pcm), spec)  # of the clip as stored, so that it can be made again
    shared = {key: segment[key] for key in ("segment_id", "ytid", "classes", "split")}
    clip = shared | {
        "start_s": segment["start_s"],
        "end_s": segment["end_s"],
        "audio": {"bytes": wav, "path": f"{segment['segment_id']}.wav"},
        "sample_rate_hz": rate,
        "n_samples": len(pcm),
        "sha256": hashlib.sha256(wav).hexdigest(),
    }
    features = shared | {
        "logmel": logmel.astype("<f2").tobytes(),
        "n_frames": logmel.shape[1],
    }
    return clip, features
