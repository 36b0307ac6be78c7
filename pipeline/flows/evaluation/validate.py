"""Window scores of a dataset's validation split in, its scores by every aggregation out.

A window that is tagged as a track of its own has, after S1, exactly its own scores: so the stages
of tagging run as they are, and the model scores each window once for all the aggregations.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.arrays import Float32
from pipeline.errors import UsageError
from pipeline.evaluation.labels.aggregate import METHODS
from pipeline.evaluation.labels.targets import target_matrix
from pipeline.evaluation.labels.thresholds import thresholds_for
from pipeline.evaluation.labels.validation import Validation
from pipeline.inference.described import windows_of
from pipeline.inference.inference_config import InferenceConfig, aggregated_by
from pipeline.runs.logs import progress_bar


def validation_of(
    window_scores: Sequence[Mapping[str, Float32]],
    truth: Mapping[str, list[str]],
    inference: InferenceConfig,
    *,
    unknown: Mapping[str, list[str]] = MappingProxyType({}),
) -> Validation:
    """Return what the model says of clips, by every aggregation.

    Parameters
    ----------
    window_scores
        Of each model of an ensemble, or of the one: every clip's scores by its uri, `[n_windows,
        n_classes]`. A clip that is broken is not there.
    truth
        The classes of every clip by its uri.
    inference
        The model, and how it is aggregated where nothing else is asked for.
    unknown
        The classes that a clip's labels leave open.
    """
    if strange := sorted(window_scores[0].keys() - truth.keys()):
        raise UsageError(f"{len(strange)} clips have no FEATURES, the first is {strange[0]}")
    none = np.zeros((0, len(inference.codes)), np.float32)
    clip_windows = [[of_part.get(name, none) for of_part in window_scores] for name in truth]
    methods = list(dict.fromkeys([*METHODS, *inference.card.thresholds, inference.aggregation]))
    ways = {method: aggregated_by(inference, method) for method in methods}
    return Validation(
        truth=target_matrix(truth.values(), map(unknown.get, truth), inference.codes),
        scores={
            method: np.stack([way.track_scores(each) for each in clip_windows])
            for method, way in ways.items()
        },
        own={
            method: thresholds_for(inference.card.thresholds, method, inference.codes)
            for method in methods
        },
    )


def of_windows(inference: InferenceConfig) -> InferenceConfig:
    """Return how a window is scored that is a track of its own: by one model, as it is."""
    return replace(inference, aggregation="s1")


def gather_windows(scored: Iterable[Mapping[str, Any]], codes: Sequence[str]) -> dict[str, Float32]:
    """Return every clip's window scores, `[n_windows, n_classes]`, in the order of time.

    `scored` are rows of SCORED, one for each window, in any order; a bar shows how many have come.
    """
    gathered: dict[str, list[tuple[float, list[float]]]] = defaultdict(list)
    waits = "waiting for the first windows"
    with progress_bar(unit=" windows", desc="validate", postfix=waits) as bar:
        for row in scored:
            scores = [row["scores"][code] for code in codes]
            gathered[row["uri"]].append((row["starts_s"][0], scores))
            bar.set_postfix_str("", refresh=False)
            bar.update()
    return {uri: in_time(rows) for uri, rows in gathered.items()}


def in_time(rows: list[tuple[float, list[float]]]) -> Float32:
    """Return the scores of (start, scores) in the order of time.

    >>> in_time([(1.0, [0.5]), (0.0, [0.25])]).tolist()
    [[0.25], [0.5]]
    """
    return np.array([scores for _, scores in sorted(rows)], np.float32)


def one_row_a_window(described: pa.Table, inference: InferenceConfig) -> pa.Table:
    """Return DESCRIBED with a row for every window that counts; a broken track has none."""
    rows: list[dict[str, Any]] = []
    tracks = described.drop_columns(["matrix"]).to_pylist()
    for row, windows in zip(tracks, windows_of(described, inference), strict=True):
        rows += [
            row
            | {"n_windows": 1, "matrix": windows[k : k + 1].tobytes(), "columns": [0]}
            | {key: row[key][k : k + 1] for key in ("starts_s", "active")}
            for k in range(len(windows))
            if row["active"][k]
        ]
    return pa.Table.from_pylist(rows, described.schema)
