"""Rows of TAGS, and of what stands beside them, that tests make by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

CODES = ["cel", "pia"]
NAMES = {"cel": "cello", "pia": "piano"}
MODEL = "cnn-0123456789ab"
WHEN = datetime(2026, 11, 21, 2, 15, tzinfo=UTC)
Row = dict[str, Any]


def tagged(uri: str, scores: Mapping[str, float], **other: Any) -> Row:
    """Return the row of a track that is ok; its labels are the codes of 0.5 and more."""
    row = {
        "uri": uri,
        "fingerprint": f"blake2b:{blake2b(uri.encode(), digest_size=16).hexdigest()}",
        "size_bytes": 1000,
        "duration_s": 10.0,
        "status": "ok",
        "reason": "ok",
        "attempts": 1,
        "labels": [code for code, score in scores.items() if score >= 0.5],
        "scores": scores,
        "peaks": scores,
        "n_windows": 3,
        "n_active": 3,
        "model_id": MODEL,
        "tagged_at": WHEN,
    }
    return row | other


def track(uri: str, labels: tuple[str, ...] = ("cel",), score: float = 0.75, **other: Any) -> Row:
    """Return the row of a track of CODES; `score` is that of its labels."""
    scores = {code: score if code in labels else 0.125 for code in CODES}
    return tagged(uri, scores, labels=list(labels)) | other


def failed(uri: str, reason: str = "empty", detail: str | None = None, **other: Any) -> Row:
    """Return the row of a track that could not be read."""
    nothing = dict.fromkeys(("fingerprint", "duration_s", "scores", "peaks"))
    why = {"status": "failed", "reason": reason, "detail": detail}
    return tagged(uri, {}) | nothing | why | other


def interval(row: Row, code: str, start_s: float, end_s: float, score: float = 0.5) -> Row:
    """Return a row of INTERVALS of a track."""
    keys = {key: row[key] for key in ("uri", "fingerprint", "model_id")}
    return {**keys, "code": code, "start_s": start_s, "end_s": end_s, "score": score}
