"""What is written as json: read again as it was, and older files as they are."""

from __future__ import annotations

import ast
import inspect
import json

import pytest

from pipeline.errors import StoreError
from pipeline.store.folder import Folder
from schemas.build_report import BuildReport
from schemas.comparison import ComparisonRecord, DifferencesRecord
from schemas.evaluation import EvaluationRecord, FoldsRecord
from schemas.tagging_run import TaggingRun

RECORDS = (
    *(BuildReport, ComparisonRecord, DifferencesRecord, EvaluationRecord, FoldsRecord),
    TaggingRun,
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


def test_a_folder_says_which_file_is_no_record(tmp_path):
    folder = Folder(str(tmp_path))
    folder.write_json("run.json", RUN.to_dict())
    assert folder.read_record("run.json", TaggingRun) == RUN
    for odd in ([1], {"version": 9}, {"version": None}):
        folder.write_json("odd.json", odd)
        with pytest.raises(StoreError, match=r"odd\.json: no TaggingRun that this program reads"):
            folder.read_record("odd.json", TaggingRun)
