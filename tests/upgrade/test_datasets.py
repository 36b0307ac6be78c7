"""A dataset and features that the old version has made, under today's jobs."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs import build_subset, extract_features
from tests.upgrade.old_version import texts

pytestmark = pytest.mark.slow
TABLES = ("clips", "features", "ledger")


def content(folder: Path, *tables: str) -> dict[str, tuple[bytes, int]]:
    """Return the bytes of the files of some tables, and when they were written."""
    files = [path for table in tables for path in sorted((folder / table).glob("*.parquet"))]
    return {str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def ids(folder: Path, table: str) -> list[str]:
    rows = pq.read_table(folder / table, partitioning=None, columns=["segment_id"])
    return sorted(rows["segment_id"].to_pylist())


@pytest.fixture
def dataset(old, tmp_path):
    """Give a copy of the old dataset."""
    return shutil.copytree(old.dataset, tmp_path / "dataset")


def test_the_same_command_finds_the_dataset_built(old, dataset, capsys):
    """Also with the eleven classes, of which the old version did not know `unknown_if`."""
    before, record = content(dataset, *TABLES), json.loads((dataset / "dataset.json").read_text())
    assert build_subset.main(texts(*old.build, "--out", dataset)) == 0
    said = capsys.readouterr()
    assert "22 of 24 segments got" in said.out
    assert "another unknown_if; it goes on with that one" in said.err
    assert content(dataset, *TABLES) == before
    assert ids(dataset, "segments.parquet") == ids(old.folder, "dataset/segments.parquet")
    now = json.loads((dataset / "dataset.json").read_text())
    assert now["complete"] and now["train_moments"] == record["train_moments"]
    assert (now["fingerprint"], now["classes"]) == (record["fingerprint"], record["classes"])


def test_classes_that_are_named_are_not_replaced(old, dataset, capsys):
    named = ("--classes", "instruments")
    assert build_subset.main(texts(*old.build, *named, "--out", dataset)) == 2
    assert "differ in unknown_if alone" in capsys.readouterr().err


def test_only_what_failed_is_tried_again(old, dataset, ray_local):
    before = content(dataset, *TABLES)
    retry = texts(*old.build, *("--retry", "all"), "--out", dataset)
    assert build_subset.main(retry) == 0
    after = content(dataset, *TABLES)
    assert before.items() <= after.items()
    ledger = ids(dataset, "ledger")
    assert set(ledger) == set(ids(old.folder, "dataset/segments.parquet"))
    assert len(ledger) == 24 + 2
    assert ids(dataset, "clips") == ids(old.folder, "dataset/clips")


def test_features_are_not_made_again(old, tmp_path, ray_local):
    features = shutil.copytree(old.features, tmp_path / "features")
    tables = ("rms", "zcr", "rms-pooled", "zcr-pooled")
    before = content(features, *tables)
    again = texts("--dataset", old.dataset, *("--features", "rms,zcr", "--pool", "mean"))
    assert extract_features.main([*again, "--out", str(features)]) == 0
    assert before and content(features, *tables) == before
