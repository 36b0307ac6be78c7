"""A shard counts when its LEDGER is there; what else a kill left goes; nothing is done twice."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.errors import OUTCOME_OF, Reason, SpecMismatch, UsageError
from pipeline.selection.plan import count_to_do
from pipeline.selection.retry import Retry
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from schemas.clips import clips_schema
from schemas.columns import CODES
from schemas.dataset import DatasetRecord
from schemas.features import features_schema, read_logmels
from schemas.ledger import LEDGER, latest
from schemas.segments import SEGMENTS

SPEC = LogMelSpec(n_mels=4)
IDENTITY = DatasetRecord(classes=[{"code": "cel"}], feature_spec=SPEC.to_dict())


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
            [{"segment_id": i, "run": 1, "outcome": "ok", "reason": "ok"} for i in ids], LEDGER
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


def test_a_shard_of_a_process_that_outlives_its_killed_driver_is_made_again(dataset, monkeypatch):
    """It commits just as the next build clears up: with its clips gone, its ledger is void."""
    planned = segments("a")
    dataset.folder.write_table("segments.parquet", planned)
    commit(dataset, "s", "a")
    ledger = dataset.folder.read_bytes("ledger/s.parquet")
    dataset.folder.delete("ledger/s.parquet")  # that is the last file of a commit
    delete = Folder.delete

    def outlived(folder, name):
        delete(folder, name)
        folder.write_bytes("ledger/s.parquet", ledger)

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "delete", outlived)
        unfinished = dataset.begin(IDENTITY)
    assert dataset.folder.names("ledger") and not dataset.folder.names("clips")
    assert unfinished == {"s"}
    assert not dataset.finished(planned, unfinished=unfinished).shards
    assert dataset.finished(planned).shards == {"s"}  # for who only reads


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


@pytest.mark.parametrize(
    ("key", "other"),
    [("format", "x"), ("classes", [{"code": "pia"}]), ("feature_spec", {}), ("split", "irmas")],
)
def test_another_identity_is_refused(dataset, key, other):
    with pytest.raises(SpecMismatch, match=key):
        dataset.begin(replace(IDENTITY, **{key: other}))


def test_the_plan_keeps_what_earlier_runs_settled(dataset):
    dataset.write_plan(segments("a", "b", "c"))
    commit(dataset, "train-1", "a")
    planned = dataset.write_plan(segments("c", "d"))
    assert sorted(planned["segment_id"].to_pylist()) == ["a", "c", "d"]
    assert dataset.segments().equals(planned)
    pieces = list(dataset.segments_in_pieces())
    assert pa.concat_tables(pieces).equals(planned)


def test_a_plan_of_an_older_version_goes_on(dataset):
    """It has no groups: its clips are of their videos."""
    older = segments("v_0", "v_1000", "w_0").drop_columns(["group"])
    dataset.folder.write_table("segments.parquet", older)
    commit(dataset, "train-1", "v_0", "v_1000", "w_0")
    planned = dataset.write_plan(segments("w_0", "x_0"))
    assert sorted(planned["segment_id"].to_pylist()) == ["v_0", "v_1000", "w_0", "x_0"]
    assert dataset.groups(["w_0", "v_1000", "v_0"]) == ["w", "v", "v"]


def test_what_is_settled_is_known_by_names_and_by_stray_ids(dataset):
    planned = dataset.write_plan(segments("a", "b", "c"))  # all in shard "s"
    assert not dataset.finished(planned).shards
    commit(dataset, "train-1", "b")
    finished = dataset.finished(planned)
    assert finished.stray_ids.to_pylist() == ["b"]
    commit(dataset, "s", "a", "c")
    assert dataset.finished(planned).shards == {"s", "train-1"}
    assert dataset.finished(planned).stray_ids.to_pylist() == ["b"]


def fail(dataset: Dataset, shard: str, run: int, reasons: dict[str, Reason], age_h: float = 0.0):
    ended_at = datetime.now(UTC) - timedelta(hours=age_h)
    rows = [
        {"segment_id": i, "run": run, "outcome": OUTCOME_OF[r], "reason": r, "ended_at": ended_at}
        for i, r in reasons.items()
    ]
    dataset.folder.write_table(f"ledger/{shard}.parquet", pa.Table.from_pylist(rows, LEDGER))


@pytest.mark.parametrize(
    ("retry", "age_h", "expected"),
    [
        ("none", 48, ""),
        ("transient", 0, "n"),
        ("transient", 48, "nu"),
        ("blocked", 0, "bn"),
        ("all", 0, "bgnu"),
    ],
)
def test_what_is_tried_again(dataset, retry, age_h, expected):
    planned = dataset.write_plan(segments("n", "b", "g", "u", "k"))
    reasons = {
        "n": Reason.TIMEOUT,
        "b": Reason.FORBIDDEN,
        "g": Reason.REMOVED,
        "u": Reason.UNCONFIRMED,
        "k": Reason.OK,
    }
    fail(dataset, "s", 1, reasons, age_h)
    again = dataset.finished(planned, Retry(retry)).again
    assert sorted(again["segment_id"].to_pylist()) == sorted(expected)
    assert set(again["run"].to_pylist()) <= {2}


def test_a_smaller_plan_settles_and_retries_its_own_only(dataset):
    dataset.write_plan(segments("a", "b", "c"))
    commit(dataset, "s", "a", "b")
    fail(dataset, "t", 1, {"c": Reason.TIMEOUT})
    smaller = segments("a").set_column(
        SEGMENTS.get_field_index("shard"), SEGMENTS.field("shard"), pa.array(["other"])
    )
    union = dataset.write_plan(smaller)
    finished = dataset.finished(smaller, Retry.ALL)
    assert sorted(finished.stray_ids.to_pylist()) == ["a", "b", "c"]
    assert count_to_do(union, finished) == 0
    assert dataset.finished(union, Retry.ALL).again["segment_id"].to_pylist() == ["c"]


def test_the_last_run_of_a_segment_counts(dataset):
    planned = dataset.write_plan(segments("a", "b"))
    fail(dataset, "s", 1, {"a": Reason.TIMEOUT, "b": Reason.TIMEOUT})
    fail(dataset, "later", 2, {"a": Reason.OK})
    fail(dataset, "latest", 3, {"b": Reason.REMOVED})
    rows = {r["segment_id"]: r["reason"] for r in latest(dataset.ledger()).to_pylist()}
    assert rows == {"a": "ok", "b": "removed"}
    assert dataset.finished(planned, Retry.TRANSIENT).again.num_rows == 0
    assert dataset.finished(planned, Retry.ALL).again.to_pylist() == [{"segment_id": "b", "run": 4}]
    row, runs = dataset.history("b")
    assert row["shard"] == "s"
    assert [run["reason"] for run in runs] == ["timeout", "removed"]


def test_checking_writes_nothing(tmp_path):
    dataset = Dataset(Folder(str(tmp_path / "none")))
    assert not dataset.check(IDENTITY)
    assert not (tmp_path / "none").exists()


def test_the_fingerprint_is_that_of_the_clips(tmp_path):
    prints = []
    for name, shards in {"x": {"1": "ab", "2": "c"}, "y": {"7": "cba"}, "z": {"1": "ab"}}.items():
        dataset = Dataset(Folder(str(tmp_path / name)))
        dataset.begin(IDENTITY)
        for shard, ids in shards.items():
            commit(dataset, f"train-{shard}", *ids)
        prints.append(dataset.fingerprint())
    assert prints[0] == prints[1] != prints[2]


def test_the_fingerprint_knows_split_classes_and_vocabulary(dataset):
    def written(**changes):
        commit(dataset, "train-1", "a")
        clips = dataset.folder.read_table("clips/train-1.parquet").to_pylist()
        table = pa.Table.from_pylist([row | changes for row in clips], clips_schema(44_100))
        dataset.folder.write_table("clips/train-1.parquet", table)
        return dataset.fingerprint()

    prints = [written(), written(split="val"), written(classes=["cel", "pia"]), written()]
    dataset.open_again(replace(IDENTITY, classes=[{"code": "cel"}, {"code": "pia"}]))
    prints.append(written())
    assert prints[0] == prints[3]
    assert len(set(prints)) == 4


def test_no_dataset_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"no dataset\.json there; build one"):
        Dataset.open(str(tmp_path))


def test_a_build_under_way_is_told(dataset):
    ended = replace(IDENTITY, complete=True, fingerprint="x")
    dataset.folder.write_json("dataset.json", ended.to_dict())
    dataset.open_again(IDENTITY)
    assert dataset.record() == IDENTITY and not IDENTITY.complete


def old_print(rows: str, classes: str) -> str:
    """Return the fingerprint as it was made before there were unknown classes."""
    spec = json.dumps(SPEC.to_dict(), sort_keys=True)
    return f"sha256:{hashlib.sha256((rows + classes + spec).encode()).hexdigest()}"


def with_unknown(dataset: Dataset, table: str, unknown: list[list[str]] | None) -> None:
    """Rewrite a table with other unknown classes, or without the column, as older versions did."""
    name = f"{table}/train-1.parquet"
    rows = dataset.folder.read_table(name)
    at = rows.schema.get_field_index("unknown")
    if unknown is None:
        rows = rows.remove_column(at)
    else:
        rows = rows.set_column(at, rows.schema.field(at), pa.array(unknown, CODES))
    dataset.folder.write_table(name, rows)


@pytest.mark.parametrize("unknown", [None, [[], []]])
@pytest.mark.parametrize("rules", [{}, {"unknown_if": ["/m/0342h"]}])
def test_the_fingerprint_of_a_dataset_without_unknown_is_as_it_was(dataset, unknown, rules):
    commit(dataset, "train-1", "a", "b")
    dataset.open_again(replace(IDENTITY, classes=[{"code": "cel"} | rules]))
    with_unknown(dataset, "clips", unknown)
    expected = old_print("a a train cel\nb b train cel", '[{"code": "cel"}]')
    assert dataset.fingerprint() == expected


def test_the_fingerprint_knows_what_is_unknown(dataset):
    commit(dataset, "train-1", "a", "b")
    prints = [dataset.fingerprint()]
    for unknown in ([["pia"], []], [[], ["pia"]], [["pia", "voi"], []]):
        with_unknown(dataset, "clips", unknown)
        prints.append(dataset.fingerprint())
    assert len(set(prints)) == 4


def test_what_is_unknown_of_a_split(dataset):
    commit(dataset, "train-1", "a", "b")
    with_unknown(dataset, "features", [["pia"], []])
    assert dataset.unknown("train") == {"a": ["pia"]}
    assert dataset.unknown("val") == {}
    with_unknown(dataset, "features", None)
    assert dataset.unknown("train") == {}


def test_other_rules_of_what_is_unknown_are_told_with_the_cure(dataset):
    rules = [{"code": "cel", "unknown_if": ["/m/0l14_3"]}]
    with pytest.raises(SpecMismatch, match=r"another classes.*differ in unknown_if alone"):
        dataset.check(replace(IDENTITY, classes=rules))
    with pytest.raises(SpecMismatch) as told:
        dataset.check(replace(IDENTITY, classes=[{"code": "vio"}]))
    assert "unknown_if" not in str(told.value)
