"""Tables of clips in, the windows of one split out, and the moments of their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pipeline.arrays import Float32, Int64
from pipeline.audio.description.moments import Moments
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.windows import WindowSpec, window_starts
from pipeline.binaries import buffers_of
from pipeline.evaluation.labels.targets import target_matrix
from pipeline.training.data.ahead import ask_for
from pipeline.training.data.window_set import ActiveStarts, Windows, WindowSet

_LOOKS = 5


def load_windows(
    tables: Sequence[pa.Table], *, codes: Sequence[str], windows: WindowSpec, input_spec: InputSpec
) -> WindowSet:
    """Return the windows of tables, with the classes as targets in `codes`' order.

    A table has its clips' matrices as `matrix`, `[n_rows, n_columns]`, or as `frames`,
    `[n_columns, n_rows]`: so do those that are mapped (`mapped.mapped_clips`). Where the tables say
    which windows are active, the others are left out; a clip may have none then.
    """
    matrices = [matrix for table in tables for matrix in _matrices(table, input_spec)]
    classes = [row for table in tables for row in table["classes"].to_pylist()]
    unknown = [row for table in tables for row in _unknown_of(table)]
    starts = [window_starts(matrix.shape[1], windows, input_spec) for matrix in matrices]
    n_all, active = list(map(len, starts)), _active(tables, matrices, windows, input_spec)
    if active:
        starts = [
            start[[found.at(column) for column in start]]
            for start, found in zip(starts, active, strict=True)
        ]
    counts = [len(start) for start in starts]
    return WindowSet(
        segment_ids=[i for table in tables for i in table["segment_id"].to_pylist()],
        matrices=matrices,
        targets=target_matrix(classes, unknown, codes),
        clip_of=np.repeat(np.arange(len(matrices)), counts),
        start_of=np.concatenate([np.zeros(0, np.int64), *starts]),
        n_frames=windows.n_frames(input_spec),
        silence=input_spec.silence,
        db_per_unit=input_spec.db_per_unit,
        active=active,
        left_out=[n - n_active for n, n_active in zip(n_all, counts, strict=True)],
        is_mapped=all("frames" in table.column_names for table in tables),
    )


def _matrices(table: pa.Table, input_spec: InputSpec) -> Iterator[Windows]:
    """Yield every clip's matrix, `[n_rows, n_columns]`, without copying the table's memory."""
    has_frames = "frames" in table.column_names
    for data in buffers_of(table["frames" if has_frames else "matrix"]):
        values = np.frombuffer(data, input_spec.dtype)
        if has_frames:
            yield values.reshape(-1, input_spec.n_rows).T
        else:
            yield values.reshape(input_spec.n_rows, -1)


def _unknown_of(table: pa.Table) -> list[Sequence[str] | None]:
    """Return the codes that are unknown of each clip; older files have no such column."""
    if "unknown" not in table.column_names:
        return [None] * table.num_rows
    return list(table["unknown"].to_pylist())


def looked_at(n_columns: int, windows: WindowSpec, input_spec: InputSpec) -> Int64:
    """Return the columns of a clip at which it is asked whether a window there is active.

    Those of its windows, and for windows that are moved five more in the time of one.
    """
    between = WindowSpec(windows.window_s, windows.hop_s / _LOOKS)
    own = window_starts(n_columns, windows, input_spec)
    return np.union1d(own, window_starts(n_columns, between, input_spec))


def _active(
    tables: Sequence[pa.Table], matrices: list[Windows], windows: WindowSpec, input_spec: InputSpec
) -> list[ActiveStarts]:
    """Return what tables say of their clips' windows; nothing where they say nothing."""
    if not all("active" in table.column_names for table in tables):
        return []
    found = [row for table in tables for row in table["active"].to_pylist()]
    return [
        ActiveStarts(looked_at(matrix.shape[1], windows, input_spec), np.array(row, bool))
        for matrix, row in zip(matrices, found, strict=True)
    ]


def row_moments(
    data: WindowSet, levelled: Callable[[Tensor], Tensor] | None = None
) -> tuple[Float32, Float32]:
    """Return mean and deviation of every row over all clips, `[n_rows, 1]`; 1 where it is still.

    With `levelled`, of the windows that it gives (`Preparation.levelled`), not of the clips.
    """
    moments, has_windows = [Moments()] * data.n_rows, set(data.clip_of.tolist())
    for clip, matrix in enumerate(data.matrices):
        if levelled is not None and clip not in has_windows:
            continue
        if data.is_mapped:
            ask_for([matrix])
        if levelled is None:
            rows = np.ascontiguousarray(matrix)  # mapped ones lie frame by frame
        else:
            rows = _levelled_rows(data.clip_windows(clip), levelled)
        moments = [one + Moments.of(row) for one, row in zip(moments, rows, strict=True)]
    mean = np.array([[one.mean] for one in moments], np.float32)
    return mean, np.array([[one.deviation or 1.0] for one in moments], np.float32)


def _levelled_rows(windows: Windows, levelled: Callable[[Tensor], Tensor]) -> Windows:
    """Return windows side by side, `[n_rows, n_columns]`, less columns that only fill them up."""
    values = levelled(torch.from_numpy(windows.astype(np.float32))).numpy()
    columns = np.concatenate(list(values), axis=1)
    return columns if len(columns) == 1 else columns[:, columns.any(axis=0)]
