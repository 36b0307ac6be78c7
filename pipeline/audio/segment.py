"""From one planned segment to its LEDGER row and, where it was got, CLIPS and FEATURES rows."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from tenacity import RetryCallState, Retrying
from tenacity.wait import wait_exponential_jitter

from pipeline.arrays import Float32
from pipeline.audio.decoding.clip import fit_length, from_pcm16, to_pcm16, wav_bytes
from pipeline.audio.decoding.decode import decode
from pipeline.audio.description.moments import Moments
from pipeline.audio.fetching.circuit_breaker import OpenGate, RequestGate, is_line_fault
from pipeline.audio.fetching.fetch import Source
from pipeline.audio.fetching.remote_file import Meter
from pipeline.audio.spectra.logmel import LogMelSpec, log_mel
from pipeline.errors import ItemFault, Outcome, Reason

Row = dict[str, Any]

TRANSIENT = frozenset(
    {
        Reason.SERVER_ERROR,
        Reason.CONNECTION,
        Reason.TIMEOUT,
        Reason.TRUNCATED,
        Reason.RATE_LIMITED,
        Reason.BOT_CHECK,
    }
)
"""What may be gone a moment later; everything else stays as it is and is asked for once."""

LONGEST_RETRY_AFTER_S = 600.0
"""A server that asks for more patience than this is left to a later run."""

_BACKOFF = wait_exponential_jitter(initial=1.0, max=60.0, jitter=1.0)
_OPEN = OpenGate()


@dataclass(frozen=True)
class SegmentRows:
    """What one segment adds to the tables; `clip` and `features` are None where it was not got."""

    ledger: Row
    clip: Row | None = None
    features: Row | None = None
    samples: Moments = field(default_factory=Moments)
    """Of the clip's samples, full scale 1."""
    logmel: Moments = field(default_factory=Moments)
    """Of its log-mel, in dB."""


@dataclass
class _Effort:
    """What a segment has cost so far, over all attempts."""

    meter: Meter = field(default_factory=Meter)
    attempts: int = 0
    """Those that count: the line's own outages do not."""
    was_free: bool = False
    """Whether the last attempt did not count."""
    seconds: dict[str, float] = field(
        default_factory=lambda: {"wait_s": 0.0, "decode_s": 0.0, "describe_s": 0.0}
    )

    @contextmanager
    def clocked(self, stage: str) -> Iterator[None]:
        """Count the time inside as `stage`, without what the source took of it."""
        began, fetched_s = time.monotonic(), self.meter.fetch_s
        try:
            yield
        finally:
            fetch_s = self.meter.fetch_s - fetched_s
            self.seconds[stage] += time.monotonic() - began - fetch_s

    def sleep(self, seconds: float) -> None:
        """Wait before the next try, and count those seconds."""
        with self.clocked("wait_s"):
            time.sleep(seconds)


def get_segment(
    source: Source,
    segment: Mapping[str, Any],
    spec: LogMelSpec,
    *,
    gate: RequestGate = _OPEN,
    max_attempts: int = 3,
) -> SegmentRows:
    """Fetch, decode, trim and describe one segment; a fault of the item becomes its LEDGER row.

    Transient faults are retried after a growing, jittered wait, or after the server's Retry-After.
    """
    began, effort = time.monotonic(), _Effort()
    row: Row = _identity(segment) | {"outcome": Outcome.OK, "reason": Reason.OK}
    got: tuple[Row, Row, Moments, Moments] | tuple[()] = ()
    try:
        got = _retrying(effort, max_attempts)(_attempt, source, segment, spec, gate, effort)
    except ItemFault as fault:
        row |= {
            "outcome": fault.outcome,
            "reason": fault.reason,
            "detail": fault.detail,
            "http_status": fault.http_status,
        }
    row |= vars(effort.meter) | effort.seconds
    row |= {
        "attempts": effort.attempts,
        "seconds": time.monotonic() - began,
        "ended_at": datetime.now(UTC),
    }
    return SegmentRows(row, *got)


def crashed_row(segment: Mapping[str, Any], detail: str) -> SegmentRows:
    """Return the LEDGER row of a segment that took down the process which decoded it."""
    row = _identity(segment) | {
        "outcome": Outcome.REJECTED,
        "reason": Reason.CRASHED,
        "detail": detail,
        "attempts": 1,
        "ended_at": datetime.now(UTC),
    }
    return SegmentRows(row)


def _identity(segment: Mapping[str, Any]) -> Row:
    return {
        "segment_id": segment["segment_id"],
        "ytid": segment["ytid"],
        "run": segment.get("run", 1),
    }


def _retrying(effort: _Effort, max_attempts: int) -> Retrying:
    def again(state: RetryCallState) -> bool:
        fault = state.outcome.exception() if state.outcome else None
        if not isinstance(fault, ItemFault):
            return False
        return effort.was_free or (
            fault.reason in TRANSIENT and (fault.retry_after_s or 0) <= LONGEST_RETRY_AFTER_S
        )

    def wait_s(state: RetryCallState) -> float:
        fault = state.outcome.exception() if state.outcome else None
        asked_s = fault.retry_after_s if isinstance(fault, ItemFault) else None
        return 0.0 if effort.was_free else max(asked_s or 0.0, _BACKOFF(state))

    return Retrying(
        retry=again,
        wait=wait_s,
        stop=lambda _: effort.attempts >= max_attempts,
        sleep=effort.sleep,
        reraise=True,
    )


def _attempt(
    source: Source, segment: Mapping[str, Any], spec: LogMelSpec, gate: RequestGate, effort: _Effort
) -> tuple[Row, Row, Moments, Moments]:
    """Try once; tell the request gate how it went."""
    ytid = segment["ytid"]
    with effort.clocked("wait_s"):
        ticket = gate.enter(ytid)
    try:
        with effort.clocked("decode_s"), source.open(ytid, effort.meter) as file:
            samples = _samples(file, segment, spec.sample_rate_hz)
    except ItemFault as fault:
        if is_line_fault(fault):
            with effort.clocked("wait_s"):
                effort.was_free = not gate.failed(ticket, ytid, fault)
        else:
            effort.was_free = False
            gate.passed(ticket, ytid, got=False)
        effort.attempts += not effort.was_free
        raise
    effort.attempts += 1
    gate.passed(ticket, ytid, got=True)
    with effort.clocked("decode_s"):
        pcm = to_pcm16(samples)
        clip = _clip(pcm, segment, spec.sample_rate_hz)
    with effort.clocked("describe_s"):  # of the clip as stored, so that it can be made again
        stored = from_pcm16(pcm)
        logmel = log_mel(stored, spec)
        features = _features(logmel, segment)
        return clip, features, Moments.of(stored), Moments.of(logmel)


def _samples(file: BinaryIO, segment: Mapping[str, Any], sample_rate_hz: int) -> Float32:
    duration_s = segment["end_s"] - segment["start_s"]
    samples = decode(
        file, sample_rate_hz=sample_rate_hz, start_s=segment["start_s"], duration_s=duration_s
    )
    n_samples = round(duration_s * sample_rate_hz)
    return fit_length(samples, n_samples=n_samples, sample_rate_hz=sample_rate_hz)


def _clip(pcm: npt.NDArray[np.int16], segment: Mapping[str, Any], sample_rate_hz: int) -> Row:
    wav = wav_bytes(pcm, sample_rate_hz)
    return _shared(segment) | {
        "start_s": segment["start_s"],
        "end_s": segment["end_s"],
        "audio": {"bytes": wav, "path": f"{segment['segment_id']}.wav"},
        "sample_rate_hz": sample_rate_hz,
        "n_samples": len(pcm),
        "sha256": hashlib.sha256(wav).hexdigest(),
    }


def _features(logmel: Float32, segment: Mapping[str, Any]) -> Row:
    return _shared(segment) | {
        "logmel": logmel.astype("<f2").tobytes(),
        "n_frames": logmel.shape[1],
    }


def _shared(segment: Mapping[str, Any]) -> Row:
    shared = {key: segment[key] for key in ("segment_id", "ytid", "classes", "split")}
    return shared | {"unknown": segment.get("unknown") or []}  # plans of older versions have none
