"""Tagging folders with embeddings that tests make by hand, as jobs.tag_catalog leaves them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.store.folder import Folder
from pipeline.store.matrices import vector_lists
from schemas.tags import tags_schema
from schemas.timeline import EMBEDDINGS, WINDOW_EMBEDDINGS, windows_schema
from tests.tag_rows import CODES, MODEL, NAMES, Row


def write(
    folder: Folder,
    rows: list[Row],
    vectors: Any = None,
    name: str = "a",
    windows: dict[str, Any] | None = None,
    attributes: tuple[pa.Field, ...] = (),
) -> None:
    """Write rows as a file of TAGS.

    `vectors` are the embeddings of those that are ok; `windows` those of the windows of each uri,
    1 s each, whose score of "cel" is the first number of theirs.
    """
    place = f"model={MODEL}/part=0-of-1/date=2026-11-21/{name}.parquet"
    ok = [row for row in rows if row["status"] == "ok"]
    folder.write_table(f"tags/{place}", pa.Table.from_pylist(rows, tags_schema(CODES, attributes)))
    if vectors is not None:
        keys = pa.Table.from_pylist(ok, pa.schema(list(EMBEDDINGS)[:-1]))
        lists = vector_lists(np.array(vectors, np.float32))
        folder.write_table(f"embeddings/{place}", keys.append_column(EMBEDDINGS[-1], lists))
    if windows is not None:
        lines, parts = [], []
        for row in (row for row in ok if row["uri"] in windows):
            for k, vector in enumerate(windows[row["uri"]]):
                span = {"window": k, "start_s": float(k), "end_s": k + 1.0, "is_active": True}
                lines.append(row | span | {"scores": {"cel": vector[0], "pia": 0.0}})
                parts.append(vector)
        table = pa.Table.from_pylist(lines, windows_schema(CODES))
        folder.write_table(f"windows/{place}", table)
        keys = pa.Table.from_pylist(lines, pa.schema(list(WINDOW_EMBEDDINGS)[:-1]))
        lists = vector_lists(np.array(parts, np.float32))
        folder.write_table(
            f"window_embeddings/{place}", keys.append_column(WINDOW_EMBEDDINGS[-1], lists)
        )


def write_run(folder: Folder, **other: Any) -> None:
    """Write the run.json of a run that has ended."""
    identity = {"model_id": MODEL, "aggregation": "s2"}
    folder.write_json(
        "run.json", {"identity": identity, "complete": True, "class_names": NAMES} | other
    )
