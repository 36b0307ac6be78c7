"""SEGMENTS and LEDGER in, counts out: what was wanted and got, and why the rest was not. PURE.

Tables have millions of rows, so all the counting is done column by column.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Bools, Int64
from pipeline.errors import Outcome
from pipeline.selection.splits import SPLITS
from pipeline.store.matrices import label_matrix
from schemas.build_report import BuildReport

Labels = Bools

_OUTCOMES = [str(outcome) for outcome in Outcome]
_N_FAILED_SHOWN, _N_SLOWEST_SHOWN = 50, 20
_FAILED_COLUMNS = ["segment_id", "outcome", "reason", "attempts", "http_status", "detail"]

BUILD_STAGES = {
    "wait_s": "waiting (back-off, rate, pauses)",
    "fetch_s": "fetching",
    "decode_s": "decoding and trimming",
    "describe_s": "log-mel",
}
"""The stages of a segment, by their column in LEDGER."""


def build_report(
    segments: pa.Table,
    ledger: pa.Table,
    *,
    class_names: Mapping[str, str],
    provenance: Mapping[str, str],
    history: pa.Table | None = None,
    pause: Mapping[str, float] | None = None,
    cap_text: str = "",
) -> BuildReport:
    """Return what became of the segments of a build.

    Parameters
    ----------
    segments, ledger
        SEGMENTS, and the rows of LEDGER that count, one a segment.
    class_names
        Name by code, in the vocabulary's order.
    provenance
        Versions and sources.
    history
        The rows of all runs, which is what the work has cost; those of `ledger` when None.
    pause
        How often and how long the source was down in the last run: n_outages, paused_s.
    cap_text
        What --max-per-class left out.
    """
    history = ledger if history is None else history
    labels = label_matrix(segments["classes"], list(class_names))  # [n_segments, n_classes]
    unknown = label_matrix(segments["unknown"], list(class_names))
    got = _among(segments["segment_id"], ledger.filter(pc.equal(ledger["outcome"], Outcome.OK)))
    masks = _masks_by_split(segments["split"], got)
    return BuildReport(
        wanted=len(segments),
        got=int(got.sum()),
        not_got=int((~got).sum()),
        untried=int((~_among(segments["segment_id"], ledger)).sum()),
        audio_s=_total(pc.subtract(segments["end_s"], segments["start_s"]).filter(got)),
        bytes_fetched=int(_total(history["bytes_fetched"])),
        bytes_saved=bytes_saved(history),
        seconds=_total(history["seconds"]),
        stages={stage: _total(history[stage]) for stage in BUILD_STAGES},
        attempts=int(_total(history["attempts"])),
        tries=len(history),
        splits={
            split: {key: int(mask.sum()) for key, mask in pair.items()}
            for split, pair in masks.items()
        },
        classes=[
            {
                "code": code,
                "name": name,
                **_class_counts(labels[:, k], masks),
                "unknown": _class_counts(unknown[:, k], masks),
            }
            for k, (code, name) in enumerate(class_names.items())
        ],
        labels_per_clip={"wanted": labels_per_clip(labels), "got": labels_per_clip(labels[got])},
        cooccurrence=cooccurrence_counts(labels[got]).tolist(),
        outcomes=outcome_counts(ledger),
        failed=failed_rows(ledger, n_rows=_N_FAILED_SHOWN),
        slowest=slowest_rows(ledger, n_rows=_N_SLOWEST_SHOWN),
        outages={"n_outages": 0, "paused_s": 0.0} | dict(pause or {}),
        cap=cap_text,
        provenance=dict(provenance),
    )


def cooccurrence_counts(labels: Labels) -> Int64:
    """Return how many rows have both classes, `[n_classes, n_classes]`; the diagonal has each."""
    return np.array([labels[labels[:, k]].sum(axis=0) for k in range(labels.shape[1])])


def labels_per_clip(labels: Labels) -> list[int]:
    """Return how many rows have 0, 1, 2, ... classes."""
    return [int(n) for n in np.bincount(labels.sum(axis=1), minlength=1)]


def outcome_counts(ledger: pa.Table) -> list[dict[str, Any]]:
    """Return dicts of outcome, reason and n, in the outcomes' order, the most common first."""
    groups = ledger.group_by(["outcome", "reason"]).aggregate([([], "count_all")]).to_pylist()
    rows = [{"outcome": g["outcome"], "reason": g["reason"], "n": g["count_all"]} for g in groups]
    rank = {name: i for i, name in enumerate(in_order([r["outcome"] for r in rows], _OUTCOMES))}
    return sorted(rows, key=lambda row: (rank[row["outcome"]], -row["n"], row["reason"]))


def failed_rows(ledger: pa.Table, *, n_rows: int) -> list[dict[str, Any]]:
    """Return the first rows of the ledger that are not ok, as dicts."""
    failed = pc.not_equal(ledger["outcome"], Outcome.OK).to_numpy()
    rows: list[dict[str, Any]] = (
        ledger.select(_FAILED_COLUMNS).take(np.flatnonzero(failed)[:n_rows]).to_pylist()
    )
    return rows


def bytes_saved(ledger: pa.Table) -> int:
    """Return how many bytes fewer were read than the whole files have, where that is known."""
    known = ledger.filter(pc.is_valid(ledger["bytes_whole"]))
    return int(_total(known["bytes_whole"]) - _total(known["bytes_fetched"]))


def slowest_rows(ledger: pa.Table, *, n_rows: int) -> list[dict[str, Any]]:
    """Return the rows of the ledger that took longest, as dicts, with the time of each stage."""
    by_time = [("seconds", "descending"), ("segment_id", "ascending")]
    order = pc.sort_indices(ledger, sort_keys=by_time)[:n_rows]
    rows: list[dict[str, Any]] = (
        ledger.select(["segment_id", "outcome", "attempts", "seconds", *BUILD_STAGES])
        .take(order)
        .to_pylist()
    )
    return rows


def _among(segment_id: pa.ChunkedArray, ledger: pa.Table) -> Labels:
    found = pc.is_in(segment_id, value_set=ledger["segment_id"])
    return np.asarray(found.to_numpy(), dtype=np.bool_)


def _masks_by_split(split: pa.ChunkedArray, got: Labels) -> dict[str, dict[str, Labels]]:
    """Return, for every split, which rows are wanted in it and which of those were got."""
    masks = {
        name: np.asarray(pc.equal(split, name).to_numpy(), dtype=np.bool_)
        for name in in_order(pc.unique(split).to_pylist(), SPLITS)
    }
    return {name: {"wanted": mask, "got": mask & got} for name, mask in masks.items()}


def _class_counts(
    has_class: Labels, masks: Mapping[str, Mapping[str, Labels]]
) -> dict[str, dict[str, int]]:
    return {
        key: {split: int((has_class & pair[key]).sum()) for split, pair in masks.items()}
        for key in ("wanted", "got")
    }


def finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without what json cannot say: None for NaN and for what is infinite."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }


def in_order(words: Sequence[str], order: Sequence[str]) -> list[str]:
    """Return the distinct words: those of `order` first and in it, then the others by name."""
    return sorted(
        set(words), key=lambda word: (order.index(word) if word in order else len(order), word)
    )


def _total(column: pa.ChunkedArray) -> float:
    return float(pc.sum(column).as_py() or 0)
