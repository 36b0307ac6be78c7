"""A model and a dataset's validation split in, the split's scores by every aggregation out.

    clips → [decode, windows] → a row a window → [the model] → gather a clip's windows → aggregate

A window that is tagged as a track of its own has, after S1, exactly its own scores: so the stages
of tagging run as they are, and the model hears each window once for all the aggregations.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray.data

from pipeline.errors import UsageError
from pipeline.flows.logs import progress_bar
from pipeline.flows.tag_stages import places, quiet, scored
from pipeline.learn.tagger import describe
from pipeline.learn.tagging import Tagging
from pipeline.score.aggregate import METHODS, aggregate
from pipeline.score.thresholds import own
from pipeline.score.validation import Validation

_MODEL_WINDOWS = 64


def validation_of(
    clips: ray.data.Dataset, truth: dict[str, list[str]], how: Tagging, *, n_blocks: int
) -> Validation:
    """Return what the model says of clips, rows of TRACKS with bytes, by every aggregation.

    `truth` gives the classes of every clip by its uri; needs a running Ray.
    """
    windows = window_scores_of(clips, how, n_blocks=n_blocks)
    if strange := sorted(windows.keys() - truth.keys()):
        raise UsageError(f"{len(strange)} clips have no FEATURES, the first is {strange[0]}")
    none = np.zeros((0, len(how.codes)), np.float32)
    methods = list(dict.fromkeys([*METHODS, *how.card.thresholds, how.aggregation]))
    return Validation(
        truth=np.array([[c in truth[name] for c in how.codes] for name in truth], bool),
        scores={
            method: np.stack([aggregate(windows.get(name, none), method) for name in truth])
            for method in methods
        },
        own={method: own(how.card.thresholds, method, how.codes) for method in methods},
    )


def window_scores_of(
    clips: ray.data.Dataset, how: Tagging, *, n_blocks: int
) -> dict[str, npt.NDArray[np.float32]]:
    """Return every clip's window scores, `[n_windows, n_classes]`; a broken clip is not there."""
    quiet()
    alone = replace(how, aggregation="s1")
    windows = clips.map_batches(
        partial(describe, how=how), batch_size=None, batch_format="pyarrow", num_cpus=1
    ).map_batches(one_row_a_window, batch_size=None, batch_format="pyarrow", num_cpus=1)
    n_actors = min(places(gpu=how.gpu), n_blocks)
    rows = scored(windows, alone, batch_size=_MODEL_WINDOWS, n_actors=n_actors)
    gathered: dict[str, list[list[float]]] = defaultdict(list)
    with progress_bar(unit=" windows", desc="validate") as bar:
        for row in rows.select_columns(["uri", "scores"]).iter_rows():
            gathered[row["uri"]].append([row["scores"][code] for code in how.codes])
            bar.update()
    return {uri: np.array(rows, np.float32) for uri, rows in gathered.items()}


def one_row_a_window(described: pa.Table) -> pa.Table:
    """Return DESCRIBED with a row for every window that counts; a broken track has none."""
    rows: list[dict[str, Any]] = []
    for row in described.to_pylist():
        data, n = row["windows"], row["n_windows"]
        size = len(data) // max(1, n)
        rows += [
            row
            | {"n_windows": 1, "windows": data[k * size : (k + 1) * size]}
            | {key: row[key][k : k + 1] for key in ("starts_s", "active")}
            for k in range(n)
            if row["active"][k]
        ]
    return pa.Table.from_pylist(rows, described.schema)
