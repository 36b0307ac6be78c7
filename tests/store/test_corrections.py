"""Corrections of people beside TAGS: the last word counts, of the content it was said of."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UsageError
from pipeline.store.folder import Folder
from pipeline.store.tags.track_facts.corrections import (
    add_corrections,
    corrected,
    corrected_spans,
    read_corrections,
    taken_back,
)
from schemas.tags import tags_schema

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(str(tmp_path))


def said(uri: str, code: str, verdict: str, content: str | None = "packets:1", **others) -> dict:
    return {"uri": uri, "fingerprint": content, "code": code, "verdict": verdict, **others}


def tags(*rows: tuple[str, str, list[str]]) -> pa.Table:
    columns = ("uri", "fingerprint", "labels")
    return pa.Table.from_pylist(
        [dict(zip(columns, row, strict=True)) for row in rows], tags_schema(["cel", "flu", "voi"])
    )


def seen(folder: Folder, *rows: tuple[str, str, list[str]]) -> list[tuple]:
    table = corrected(tags(*rows), read_corrections(folder))
    columns = (table[key].to_pylist() for key in ("labels", "confirmed", "rejected"))
    return list(zip(*columns, strict=True))


def test_a_label_is_added_and_another_removed_and_others_stay_as_they_are(folder):
    add_corrections(folder, [said("b", "flu", "present"), said("b", "voi", "absent")])
    assert seen(
        folder, ("a", "packets:0", ["cel"]), ("b", "packets:1", ["voi", "cel"]), ("c", "", [])
    ) == [
        (["cel"], None, None), (["cel", "flu"], ["flu"], ["voi"]), ([], None, None)
    ]  # fmt: skip


def test_a_confirmed_label_keeps_its_place(folder):
    add_corrections(folder, [said("b", "voi", "present")])
    assert seen(folder, ("b", "packets:1", ["voi", "cel"])) == [(["voi", "cel"], ["voi"], [])]


def test_a_failed_track_may_get_a_label(folder):
    add_corrections(folder, [said("b", "cel", "present", None)])
    table = tags(("b", "", [])).set_column(
        9, tags().schema.field("labels"), pa.array([None], tags().schema.field("labels").type)
    )
    assert corrected(table, read_corrections(folder))["labels"].to_pylist() == [["cel"]]


def test_the_last_word_counts_and_what_is_withdrawn_does_not(folder):
    add_corrections(folder, [said("b", "cel", "absent")])
    add_corrections(folder, [said("b", "cel", "present")])
    assert seen(folder, ("b", "packets:1", [])) == [(["cel"], ["cel"], [])]
    add_corrections(
        folder, [taken_back(one, None) for one in read_corrections(folder).rows.to_pylist()]
    )
    assert seen(folder, ("b", "packets:1", [])) == [([], None, None)]
    assert not read_corrections(folder)


def test_it_follows_its_content_to_another_name(folder):
    add_corrections(folder, [said("old", "cel", "present")])
    assert seen(folder, ("new", "packets:1", [])) == [(["cel"], ["cel"], [])]


def test_it_does_not_hold_for_another_recording_under_the_old_name(folder):
    add_corrections(folder, [said("b", "cel", "present")])
    assert seen(folder, ("b", "packets:2", [])) == [([], [], [])]


def test_a_hash_of_another_kind_says_nothing_so_the_name_decides(folder):
    add_corrections(folder, [said("b", "cel", "present", "blake2b:1")])
    assert seen(folder, ("b", "packets:2", [])) == [(["cel"], ["cel"], [])]
    add_corrections(folder, [said("b", "cel", "absent", "packets:2")])
    assert seen(folder, ("b", "packets:2", ["cel"])) == [([], [], ["cel"])]


def test_of_copies_the_last_word_counts(folder):
    add_corrections(folder, [said("a", "cel", "present", said_at=START + timedelta(1))])
    add_corrections(folder, [said("b", "cel", "absent", said_at=START)])
    rows = ("a", "packets:1", []), ("b", "packets:1", ["cel"])
    assert seen(folder, *rows) == [(["cel"], ["cel"], [])] * 2


def test_a_class_heard_in_a_span_is_heard_in_the_track_but_one_absent_there_may_be_elsewhere(
    folder,
):
    add_corrections(
        folder,
        [
            said("b", "cel", "present", start_s=1.0, end_s=2.0),
            said("b", "flu", "absent", start_s=1.0, end_s=2.0),
        ],
    )
    assert seen(folder, ("b", "packets:1", ["flu"])) == [(["flu", "cel"], ["cel"], [])]


def test_spans_are_cut_and_added():
    intervals = [
        {"code": "cel", "start_s": 0.0, "end_s": 10.0, "score": 0.9},
        {"code": "flu", "start_s": 2.0, "end_s": 3.0, "score": 0.5},
    ]
    spans = [
        said("b", "cel", "absent", start_s=4.0, end_s=6.0),
        said("b", "voi", "present", start_s=1.0, end_s=2.0),
        said("b", "flu", "absent", start_s=None, end_s=None),
    ]
    found = [tuple(one.values()) for one in corrected_spans(intervals, spans)]
    assert found == [
        ("cel", 0.0, 4.0, 0.9), ("voi", 1.0, 2.0, None), ("cel", 6.0, 10.0, 0.9)
    ]  # fmt: skip


def test_many_files_become_one_and_nothing_is_lost(folder):
    for k in range(70):
        add_corrections(folder, [said(f"t{k}", "cel", "present", f"packets:{k}")])
    assert len(folder.names("corrections")) < 10
    assert read_corrections(folder).rows.num_rows == 70
    assert pq.read_table(folder.local_path("corrections")).num_rows == 70


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"verdict": "perhaps"}, "expected one of present, absent, withdrawn"),
        ({"verdict": "present", "start_s": 1.0}, "expected two times"),
        ({"verdict": "present", "start_s": 2.0, "end_s": 1.0}, "expected two times"),
    ],
)
def test_what_cannot_be_said_is_refused(folder, row, told):
    with pytest.raises(UsageError, match=told):
        add_corrections(folder, [said("b", "cel", "present"), {"uri": "b", "code": "cel"} | row])
    assert not read_corrections(folder)


def test_what_is_withdrawn_of_a_copy_or_by_another_hash_is_withdrawn(folder):
    add_corrections(folder, [said("a", "flu", "present"), said("b", "voi", "present", "blake2b:9")])
    add_corrections(folder, [said("b", "flu", "withdrawn"), said("b", "voi", "withdrawn")])
    assert seen(folder, ("b", "packets:1", [])) == [([], None, None)]


def test_two_who_write_at_once_lose_nothing(folder):
    def write(who: str) -> None:
        for k in range(90):
            add_corrections(
                Folder(folder.uri), [said(f"{who}{k}", "cel", "present", f"packets:{who}{k}")]
            )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))
    assert read_corrections(folder).rows.num_rows == 360
    assert pq.read_table(folder.local_path("corrections")).num_rows <= 400


def test_undo_brings_back_what_was_said_before(folder):
    add_corrections(folder, [said("b", "cel", "present", author="ann")])
    (before,) = read_corrections(folder).rows.to_pylist()
    later = said("b", "cel", "absent", author="bob")
    add_corrections(folder, [later])
    add_corrections(folder, [taken_back(later, before)])
    (row,) = read_corrections(folder).rows.to_pylist()
    assert (row["verdict"], row["author"]) == ("present", "ann")
