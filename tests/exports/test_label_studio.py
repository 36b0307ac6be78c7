"""Tasks for Label Studio, as its own library reads them, and what persons say there read back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from pipeline.errors import UsageError
from pipeline.exports.annotations import Annotation, read_label_studio
from pipeline.exports.label_studio import interface, task_of
from pipeline.exports.texts import TagSource
from tests.exports.conftest import row_of
from tests.tag_rows import MODEL, interval

ORIGIN = TagSource(MODEL, {"cel": 'cello <&">', "pia": "piano"}, "s2", "0")
WHEN = "2026-11-29T21:52:49.513742Z"


@pytest.fixture
def exported(music, run_folder, export, tmp_path):
    """Return the tasks of two tracks, the second without labels."""
    row, silent = row_of(music / "Trio/flac.flac"), row_of(music / "Trio/wav.wav", labels=[])
    export(run_folder([row, silent], intervals=[interval(row, "pia", 0.1, 0.3)]), "label-studio")
    return json.loads((tmp_path / "out" / "label-studio.json").read_text())


def annotation(result, **other):
    return {
        "result": result,
        "completed_by": 7,
        "was_cancelled": False,
        "updated_at": WHEN,
        **other,
    }


def test_a_track_s_labels_and_intervals_are_one_prediction(exported, music):
    task, silent = exported
    assert task["data"] == {
        "audio": f"/data/local-files/?d={str(music)[1:]}/Trio/flac.flac",
        "uri": f"{music}/Trio/flac.flac",
        "classes": ["cel", "pia"],
    }
    (prediction,) = task["predictions"]
    assert (prediction["model_version"], prediction["score"]) == (MODEL, 0.6)
    choices, region = prediction["result"]
    assert choices["value"] == {"choices": ["cel", "pia"]}
    assert region["value"] == {"start": 0.1, "end": 0.3, "channel": 0, "labels": ["pia"]}
    assert (silent["predictions"][0]["result"], silent["predictions"][0]["score"]) == ([], 0.1)


def test_the_interface_shows_names_and_gives_codes(tmp_path):
    view = ElementTree.fromstring(interface(["cel", "pia"], ORIGIN))
    for tag in ("Choice", "Label"):
        assert [(one.get("value"), one.get("alias")) for one in view.iter(tag)] == [
            ('cello <&">', "cel"),
            ("piano", "pia"),
        ]
    names = {one.get("name"): one.get("toName") for one in view}
    assert names == {"instruments": "audio", "intervals": "audio", "audio": None}


def test_label_studio_s_own_library_takes_tasks_and_interface(exported):
    label_studio = pytest.importorskip("label_studio_sdk.label_interface")
    view = label_studio.LabelInterface(interface(["cel", "pia"], ORIGIN))
    view.validate()
    for task in exported:
        assert view.validate_task({"data": task["data"]})
        for prediction in task["predictions"]:
            assert view.validate_prediction(prediction, return_errors=True) == []


def test_what_a_person_says_comes_back(exported, tmp_path):
    task, silent = exported
    choices, region = task["predictions"][0]["result"]
    choices["value"]["choices"] = ["cel"]
    task["annotations"] = [
        annotation([choices, region]),
        annotation([], completed_by={"id": 3, "email": "a@b.example"}),
        annotation([choices], was_cancelled=True),
    ]
    silent["annotations"] = []
    (tmp_path / "done.json").write_text(json.dumps([task, silent]))
    uri, when = task["data"]["uri"], datetime(2026, 11, 29, 21, 52, 49, 513742, UTC)
    assert read_label_studio(str(tmp_path / "done.json")) == [
        Annotation(uri, "pia", True, 0.1, 0.3, "7", when),
        Annotation(uri, "cel", True, None, None, "7", when),  # pia is heard in a region
        Annotation(uri, "cel", False, None, None, "a@b.example", when),
        Annotation(uri, "pia", False, None, None, "a@b.example", when),
    ]


def test_a_project_of_one_s_own_has_names_and_no_classes(tmp_path):
    path = tmp_path / "own.json"
    note = {"from_name": "n", "to_name": "audio", "type": "textarea", "value": {"text": ["hm"]}}
    chosen = {"type": "choices", "value": {"choices": ["cello", "banjo"]}}
    done = annotation([chosen, note], updated_at="2026-11-29T21:00:00+02:00")
    path.write_text(json.dumps([{"data": {"audio": "s3://b/a.mp3"}, "annotations": [done]}]))
    rows = read_label_studio(str(path), {"cello": "cel"})
    assert [(one.uri, one.code, one.present) for one in rows] == [
        ("s3://b/a.mp3", "cel", True),
        ("s3://b/a.mp3", "banjo", True),
    ]
    assert rows[0].updated_at == datetime(2026, 11, 29, 19, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("uri,label\n", "not JSON: .*; export the project as JSON"),
        ('{"data": 1}', "expected a list of tasks"),
        ('[{"data": {"uri": "a"}, "annotations": []}, {"audio": "a"}]', "task 2: no 'annotations'"),
        ('[{"data": {}, "annotations": [{"result": []}]}]', "task 1: no 'audio'"),
        ("[7]", "task 1: "),
    ],
)
def test_what_is_no_export_is_told_with_its_task(tmp_path, text, said):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UsageError, match=f"x.json: {said}"):
        read_label_studio(str(tmp_path / "x.json"))
    with pytest.raises(UsageError, match="no such file"):
        read_label_studio(str(tmp_path / "none.json"))


def test_a_uri_of_half_characters_is_a_task():
    row = {"uri": "/m/\udc80 ü.mp3", "labels": [], "scores": None, "duration_s": 1.0}
    task = task_of(row, [], ["cel"], ORIGIN)
    assert task["data"]["audio"].startswith("/data/local-files/?d=m/%")
    assert task["predictions"][0]["score"] == 0.0
