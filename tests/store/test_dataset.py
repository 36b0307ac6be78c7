"""A shard counts when its LEDGER is there; what else a kill left goes; nothing is done twice."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.audio.logmel import LogMelSpec
from pipeline.errors import SpecMismatch, UsageError
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from schemas.clips import clips_schema
from schemas.features import features_schema, read_logmels
from schemas.ledger import LEDGER
from schemas.segments import SEGMENTS

SPEC = LogMelSpec(n_mels=4)
IDENTITY = {"classes": [{"code": "cel"}], "feature_spec": SPEC.to_dict()}


def segments(*ids: str) -> pa.Table:
    rows = [
        {"segment_id": i, "ytid": i, "start_s": 0.0, "end_s": 1.0, "mids": [], "classes": ["cel"]}
        | {"split": "train", "shard": "s"}
        for i in ids
    ]
    return pa.Table.from_pylist(rows, SEGMENTS)


def commit(dataset: Dataset, shard: str, *ids: str) -> None:
    shared = {"ytid": "v", "classes": ["cel"], "split": "train"}
    matrix = np.arange(8, dtype="<f2").reshape(4, 2)
    dataset.commit(
        shard,
        clips=pa.Table.from_pylist(
            [
                shared | {"segment_id": i, "sha256": i, "audio": {"bytes": b"", "path": i}}
                for i in ids
            ],
            clips_schema(44_100),
        ),
        features=pa.Table.from_pylist(
            [shared | {"segment_id": i, "logmel": matrix.tobytes(), "n_frames": 2} for i in ids],
            features_schema(SPEC.to_dict()),
        ),
        ledger=pa.Table.from_pylist(
            [{"segment_id": i, "outcome": "ok", "reason": "ok"} for i in ids], LEDGER
        ),
    )


@pytest.fixture
def dataset(tmp_path):
    dataset = Dataset(Folder(str(tmp_path / "ds")))
    dataset.begin(IDENTITY)
    return dataset


def test_features_come_back_as_they_were(dataset):
    commit(dataset, "train-1", "a", "b")
    (table,) = dataset.features("train")
    first, second = read_logmels(table)
    np.testing.assert_array_equal(first, np.arange(8).reshape(4, 2))
    np.testing.assert_array_equal(second, first)
    assert list(dataset.features("test")) == []


def test_begin_removes_what_has_no_ledger(dataset):
    commit(dataset, "train-1", "a")
    commit(dataset, "train-2", "b")
    dataset.folder.delete("ledger/train-2.parquet")
    (dataset.folder.local_path("clips") / ".x.parquet.1.tmp").write_bytes(b"half")
    dataset.begin(IDENTITY)
    assert dataset.folder.names("clips") == ["clips/train-1.parquet"]
    assert dataset.folder.names("features") == ["features/train-1.parquet"]
    assert dataset.ledger()["segment_id"].to_pylist() == ["a"]
    assert len(list(dataset.folder.local_path("clips").iterdir())) == 1


@pytest.mark.parametrize("key", IDENTITY)
def test_another_identity_is_refused(dataset, key):
    with pytest.raises(SpecMismatch, match=key):
        dataset.begin(IDENTITY | {key: "other"})


def test_the_plan_keeps_what_earlier_runs_settled(dataset):
    none = pa.array([], pa.string())
    dataset.write_plan(segments("a", "b", "c"), none)
    commit(dataset, "train-1", "a")
    done = dataset.ledger(["segment_id"])["segment_id"].combine_chunks()
    planned = dataset.write_plan(segments("c", "d"), done)
    assert sorted(planned["segment_id"].to_pylist()) == ["a", "c", "d"]
    assert dataset.segments().equals(planned)


def test_the_fingerprint_is_that_of_the_clips(tmp_path):
    prints = []
    for name, shards in {"x": {"1": "ab", "2": "c"}, "y": {"7": "cba"}, "z": {"1": "ab"}}.items():
        dataset = Dataset(Folder(str(tmp_path / name)))
        for shard, ids in shards.items():
            commit(dataset, f"train-{shard}", *ids)
        prints.append(dataset.fingerprint())
    assert prints[0] == prints[1] != prints[2]


def test_no_dataset_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"no dataset\.json there; build one"):
        Dataset.open(str(tmp_path))
