"""A model and a dataset's validation split in, the split's scores by every aggregation out.

    clips → [decode, windows] → one row per window → [the model] → gather by clip → aggregate

A window that is tagged as a track of its own has, after S1, exactly its own scores: so the stages
of tagging run as they are, and the model scores each window once for all the aggregations.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data

from pipeline.arrays import Float32
from pipeline.errors import UsageError
from pipeline.evaluation.labels.aggregate import METHODS
from pipeline.evaluation.labels.targets import target_matrix
from pipeline.evaluation.labels.thresholds import thresholds_for
from pipeline.evaluation.labels.validation import Validation
from pipeline.flows.tagging.tag_stages import memory_of, pool_of, quiet, scored
from pipeline.inference.described import describe, windows_of
from pipeline.inference.inference_config import InferenceConfig, aggregated_by
from pipeline.runs.logs import progress_bar

_MODEL_WINDOWS = 64


def validation_of(
    clips: ray.data.Dataset,
    truth: dict[str, list[str]],
    inference: InferenceConfig,
    *,
    n_blocks: int,
    unknown: Mapping[str, list[str]] = MappingProxyType({}),
) -> Validation:
    """Return what the model says of clips, rows of TRACKS with bytes, by every aggregation.

    `truth` gives the classes of every clip by its uri, `unknown` those that its labels leave open;
    needs a running Ray. Of an ensemble each model scores the clips by itself.
    """
    windows = [window_scores_of(clips, part, n_blocks=n_blocks) for part in inference.parts]
    if strange := sorted(windows[0].keys() - truth.keys()):
        raise UsageError(f"{len(strange)} clips have no FEATURES, the first is {strange[0]}")
    none = np.zeros((0, len(inference.codes)), np.float32)
    clip_windows = [[of_part.get(name, none) for of_part in windows] for name in truth]
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


def window_scores_of(
    clips: ray.data.Dataset, inference: InferenceConfig, *, n_blocks: int
) -> dict[str, Float32]:
    """Return every clip's window scores, `[n_windows, n_classes]`, in the order of time.

    A broken clip is not there.
    """
    quiet()
    alone = replace(inference, aggregation="s1")
    # Equal demands of all stages: else Ray Data would not fuse them on a CPU.
    demand: dict[str, Any] = {"num_cpus": 1, "memory": memory_of(inference)}
    demand |= {"batch_size": None, "batch_format": "pyarrow"}
    windows = clips.map_batches(partial(describe, inference=inference), **demand)
    windows = windows.map_batches(partial(one_row_a_window, inference=inference), **demand)
    pool = pool_of(None, n_blocks, gpu=inference.gpu)
    rows = scored(windows, alone, batch_size=_MODEL_WINDOWS, pool=pool)
    gathered: dict[str, list[tuple[float, list[float]]]] = defaultdict(list)
    waits = "waiting for the model's processes to start"
    with progress_bar(unit=" windows", desc="validate", postfix=waits) as bar:
        for row in rows.select_columns(["uri", "starts_s", "scores"]).iter_rows():
            scores = [row["scores"][code] for code in inference.codes]
            gathered[row["uri"]].append((row["starts_s"][0], scores))
            bar.set_postfix_str("", refresh=False)
            bar.update()
    return {uri: in_time(rows) for uri, rows in gathered.items()}


def in_time(rows: list[tuple[float, list[float]]]) -> Float32:
    """Return the scores of (start, scores) in the order of time: actors hand them on as they end.

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
