"""Small catalogues that tests of tagging make, and what a run says of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import soundfile

from tests.conftest import tones

ROOT = Path(__file__).parents[2]
MEASURED = {
    *("run_id", "started_at", "seconds", "work_s", "overhead_s", "stages", "memory", "provenance"),
}
"""Of run.json, what is another at every run."""


def write_catalogue(folder: Path) -> Path:
    """Write tracks of four formats, a silent one and three hostile ones."""
    for k in range(10):
        suffix = ("wav", "flac", "ogg", "mp3")[k % 4]
        path = folder / f"sub {k % 2}" / f"track '{k}' ü.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tones(2 + 0.7 * k, 220 + 50 * k, 660), 44_100 if k % 3 else 22_050)
    soundfile.write(folder / "silence.wav", np.zeros(3 * 44_100), 44_100)
    whole = (folder / "sub 1" / "track '1' ü.flac").read_bytes()
    (folder / "cut.flac").write_bytes(whole[:1000])
    (folder / "text.mp3").write_bytes(b"no music at all\n" * 99)
    (folder / "zero.wav").write_bytes(b"")
    (folder / "cover.jpg").write_bytes(b"a picture")
    return folder


def without_ray() -> dict[str, str]:
    """Return an environment that names no cluster."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("RAY_ADDRESS", None)
    return environment


_PROGRAM = """
import json, sys
from jobs import tag_catalog
code = tag_catalog.main(json.loads(sys.argv[1]))
heavy = {"ray", "torch", "numba", "openvino"}
print(json.dumps({"code": code, "imported": sorted(heavy & set(sys.modules))}))
"""


def tag_in_a_process(*words: object) -> dict[str, Any]:
    """Run jobs.tag_catalog in a process; return its exit code, and what it has imported."""
    texts = json.dumps([str(word) for word in words])
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, texts],
        cwd=ROOT, env=without_ray(), stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    ended: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return ended


def table(out: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of a table in a fixed order, without when they were made."""
    source = f"read_parquet('{out}/{name}/**/*.parquet', hive_partitioning = false)"
    rows = duckdb.sql(f"select * from {source}").to_arrow_table().to_pylist()
    kept = [{key: value for key, value in row.items() if key != "tagged_at"} for row in rows]
    return sorted(kept, key=lambda row: json.dumps(row, sort_keys=True, default=str))


def counts(out: Path) -> dict[str, Any]:
    """Return what run.json says, but for times and memory."""
    run = json.loads((out / "run.json").read_text())
    return {key: value for key, value in run.items() if key not in MEASURED}
