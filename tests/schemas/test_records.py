"""What is written as json: read again as it was, and older files as they are."""

from __future__ import annotations

import ast
import inspect
import json
from dataclasses import replace

import pytest

from pipeline.errors import StoreError
from pipeline.store.folder import Folder
from schemas.build_report import BuildReport
from schemas.clip_embeddings import EmbeddingsRecord
from schemas.comparison import ComparisonRecord, DifferencesRecord
from schemas.dataset import DatasetRecord
from schemas.evaluation import EvaluationRecord, FoldsRecord, QuantizationRecord
from schemas.exploration import ExplorationRecord
from schemas.feature_set import FeatureSetRecord
from schemas.regression import RegressionEvaluation
from schemas.reproduction import (
    ClaimRow,
    DifferenceRow,
    FigureRow,
    ReproductionRecord,
    ResultRow,
    TrainingRow,
)
from schemas.search_index import SearchIndex
from schemas.tagging_run import TaggingRun

RECORDS = (
    *(BuildReport, ComparisonRecord, DatasetRecord, DifferencesRecord, EmbeddingsRecord),
    *(EvaluationRecord, ExplorationRecord, FeatureSetRecord, FoldsRecord, QuantizationRecord),
    *(RegressionEvaluation, ReproductionRecord, SearchIndex, TaggingRun),
    *(ClaimRow, DifferenceRow, FigureRow, ResultRow, TrainingRow),
)
RUN = TaggingRun(
    identity={"model_id": "m", "thresholds": {"cel": 0.5}},
    complete=True,
    run_id="20261121T021500Z",
    tracks=3,
    tagged=2,
    failed=1,
    labels_of_run={"cel": 1},
    labels_in_all={"cel": 2},
)


def test_a_run_is_read_as_it_was_written():
    text = json.dumps(RUN.to_dict(), allow_nan=False)
    assert TaggingRun.from_dict(json.loads(text)) == RUN
    assert json.loads(text)["version"] == 1


def test_what_a_run_has_not_is_not_written():
    written = RUN.to_dict()
    assert "work_s" not in written and "relabelled" not in written
    assert "is_comparable" not in written
    assert written["labels"] == written["labels_in_all"] == {"cel": 2}


def test_a_run_of_an_older_version_has_its_own_labels_in_labels():
    """Version 0.1 wrote no version, no limit, and as `labels` those of the run."""
    older = RUN.to_dict()
    for key in ("version", "labels_of_run", "max_failed", "past_limit", "left_out", "lacking"):
        del older[key]
    run = TaggingRun.from_dict(older | {"labels": {"cel": 1}})
    assert run == RUN
    assert run.is_comparable and run.max_failed == 1.0


def test_a_run_under_way_has_little_and_is_compared_with_nothing():
    run = TaggingRun.from_dict({"identity": {"model_id": "m"}, "complete": False})
    assert (run.model_id, run.complete, run.tracks, run.is_comparable) == ("m", False, 0, False)
    assert TaggingRun.from_dict({}).model_id == ""


def test_keys_of_later_programs_are_left_out_but_not_their_version():
    assert TaggingRun.from_dict(RUN.to_dict() | {"new": 1}) == RUN
    with pytest.raises(ValueError, match="version 2; this program reads up to version 1"):
        TaggingRun.from_dict(RUN.to_dict() | {"version": 2})


@pytest.mark.parametrize("record", RECORDS)
def test_every_field_says_what_it_is(record):
    """A string stands under each field, as with the columns of the tables."""
    (made,) = ast.parse(inspect.getsource(record)).body
    for one, after in zip(made.body, [*made.body[1:], None], strict=True):
        if isinstance(one, ast.AnnAssign):
            assert isinstance(after, ast.Expr) and isinstance(after.value.value, str), one.target.id


def test_an_evaluation_of_an_older_version():
    """Version 0.1 wrote no version, and nothing of the training's cost."""
    older = {"metrics": {"n_items": 3, "per_class": []}, "provenance": {"model_id": "m"}}
    found = EvaluationRecord.from_dict(older | {"class_names": {"cel": "cello"}})
    assert (found.metrics["n_items"], found.training, found.build) == (3, {}, None)
    assert EvaluationRecord.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    with pytest.raises(ValueError, match="no metrics"):
        EvaluationRecord.from_dict({})


def test_a_build_of_an_older_version():
    """Version 0.1 counted no outages, and had no --max-per-class."""
    found = BuildReport.from_dict({"wanted": 2, "got": 1, "not_got": 1, "outcomes": []})
    assert (found.outages["n_outages"], found.cap, found.got) == (0, "", 1)
    assert BuildReport.from_dict(found.to_dict()) == found


def read_again(record):
    return type(record).from_dict(json.loads(json.dumps(record.to_dict(), allow_nan=False)))


def test_a_dataset_says_what_it_has_once_its_build_has_ended():
    begun = DatasetRecord(classes=[{"code": "cel"}], feature_spec={"n_mels": 8}, split="80/10/10")
    keys = ["version", "format", "classes", "feature_spec", "split", "complete"]
    assert list(begun.to_dict()) == keys
    moments = {"samples": {"n": 0, "mean": 0.0, "deviation": 0.0}}
    counts = {"n_segments": 2, "n_clips": 0}
    ended = replace(begun, complete=True, fingerprint="x", train_moments=moments, **counts)
    assert list(ended.to_dict())[6:] == ["n_segments", "n_clips", "fingerprint", "train_moments"]
    assert read_again(begun) == begun and read_again(ended) == ended


def test_a_dataset_of_an_older_version():
    """Version 0.1 wrote no version; before there were moments it wrote none."""
    found = DatasetRecord.from_dict({"classes": [], "complete": True, "fingerprint": "x"})
    assert (found.fingerprint, found.train_moments, found.n_clips) == ("x", {}, None)


def test_features_of_an_older_version():
    """Version 0.1 wrote no version, and first ones did not name the dataset."""
    older = {"features": {"rms": {"rows": ["rms"]}}, "pool": ["mean"], "prepare": ""}
    found = FeatureSetRecord.from_dict(older)
    assert (found.dataset, found.complete, found.pool) == ("", False, ["mean"])
    assert "n_shards" not in found.to_dict()
    ended = replace(found, complete=True, n_shards=0, provenance={"timbre": "0.2.0"})
    assert ended.to_dict()["n_shards"] == 0
    assert read_again(ended) == ended


@pytest.mark.parametrize(
    "record",
    [
        EmbeddingsRecord(["ast"], {"kind": "kaldi"}, {"window_s": 1.0}, "f32"),
        QuantizationRecord(
            *("m-int8", {"model_id": "m"}, "val", "s1"),
            precisions={"f32": {"macro_f1": 0.5, "macro_f1_present": None}},
            drop=0.0,
            max_drop=0.02,
            graph_bytes=9,
        ),
        ExplorationRecord(
            *(1, 0.5, None, None),
            splits={"train": {"segments": 2, "clips": 1, "hours": 0.5}},
            classes=[{"code": "cel", "name": "cello", "clips": {"train": 1}}],
            labels_per_clip={"train": [0, 1]},
            cooccurrence=[[1]],
            split="train",
            examples={"cel": "a_0"},
        ),
    ],
    ids=lambda record: type(record).__name__,
)
def test_others_are_read_as_they_were_written(record):
    assert read_again(record) == record
    older = {key: value for key, value in record.to_dict().items() if key != "version"}
    assert type(record).from_dict(older) == record


def test_a_folder_says_which_file_is_no_record(tmp_path):
    folder = Folder(str(tmp_path))
    folder.write_json("run.json", RUN.to_dict())
    assert folder.read_record("run.json", TaggingRun) == RUN
    for odd in ([1], {"version": 9}, {"version": None}):
        folder.write_json("odd.json", odd)
        with pytest.raises(StoreError, match=r"odd\.json: no TaggingRun that this program reads"):
            folder.read_record("odd.json", TaggingRun)
