"""TAGS in a folder: written whole, each track once, the last word counts, copies by content."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from pipeline.audio.description.track_attributes import attribute_columns
from pipeline.store.folder import Folder
from pipeline.store.tags import tagpart
from pipeline.store.tags.copies import copy_rows
from pipeline.store.tags.tagstore import TagStore
from schemas.tags import tags_schema

SCHEMA = tags_schema(["cel"])
DESCRIBED = tags_schema(["cel"], attribute_columns(["timbral"]))
START = datetime(2026, 1, 1, tzinfo=UTC)


def tags(*rows: tuple[str, int], model_id: str = "m", at: int = 0, status: str = "ok") -> pa.Table:
    return pa.Table.from_pylist(
        [
            {"uri": uri, "size_bytes": n, "modified_ns": n, "model_id": model_id, "status": status,
             "fingerprint": f"blake2b:{n:032x}", "attempts": 1, "scores": {"cel": n / 10},
             "labels": ["cel"], "tagged_at": START + timedelta(seconds=at)}
            for uri, n in rows
        ],
        SCHEMA,
    )  # fmt: skip


def described(*rows: tuple[str, int], brightness: float, at: int = 0) -> pa.Table:
    """Return rows that have attributes."""
    added = {"attributes": ["timbral"], "timbral_brightness": brightness}
    plain = tags(*rows, at=at).to_pylist()
    return pa.Table.from_pylist([row | added for row in plain], DESCRIBED)


def windows(*rows: tuple[str, int]) -> pa.Table:
    """Return a row of WINDOWS for each of some tracks, by its content."""
    return pa.Table.from_pylist(
        [{"uri": uri, "fingerprint": f"blake2b:{n:032x}", "start_s": n / 1} for uri, n in rows]
    )


def beside(store, table: str = "windows") -> list[tuple[str, float]]:
    """Return whose rows stand beside TAGS; all of them in a file of the same name."""
    assert {name.partition("/")[2] for name in store.files("m", table)} <= {
        name.partition("/")[2] for name in store.files("m")
    }
    found = [store.folder.read_table(name) for name in store.files("m", table)]
    return sorted((row["uri"], row["start_s"]) for one in found for row in one.to_pylist())


def moved(*rows: tuple[str, int]) -> pa.Table:
    """Return tracks, as a night later they are known by their content."""
    return pa.Table.from_pylist(
        [
            {"uri": uri, "fingerprint": f"packets:{n:032x}", "known_as": f"blake2b:{n:032x}",
             "size_bytes": 77, "modified_ns": 78,
             "attempts": 1, "tagged_at": START + timedelta(days=1)}
            for uri, n in rows
        ]
    )  # fmt: skip


@pytest.fixture
def store(tmp_path):
    return TagStore(Folder(str(tmp_path)))


def commit(store, table, **beside):
    store.commit(table, date="2026-01-01", beside=beside)


def copy(store, tracks, date, schema=SCHEMA):
    """Copy rows as a run does, once its plan has made the index whole."""
    copy_rows(store, *store.parts("m"), tracks, date=date, schema=schema)


def rows(store) -> list[tuple[str, str, int]]:
    return sorted((r["model_id"], r["uri"], r["size_bytes"]) for r in store.read().to_pylist())


def test_files_lie_by_model_and_date_and_a_strange_id_stays_inside(store, tmp_path):
    commit(store, tags(("a", 1)))
    commit(store, tags(("a", 1), model_id="../../x"))
    assert len(list(tmp_path.glob("tags/model=m/part=0-of-1/date=2026-01-01/*.parquet"))) == 1
    assert len(store.files()) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"tags"}
    assert store.files("m") != store.files("../../x")


def test_a_batch_written_twice_is_there_once(store):
    commit(store, tags(("a", 1)))
    commit(store, tags(("a", 1)))
    assert store.read().num_rows == 1


def test_what_stands_beside_a_touched_track_stays(store):
    """The time is another one, the bytes are the same: its row is copied, and the old one goes."""
    commit(store, tags(("a", 1), ("b", 2)), windows=windows(("a", 1), ("b", 2)))
    store.compact("m")
    before = rows(store)
    copy(store, moved(("a", 1)), "2026-01-02")
    assert store.compact("m") == 1
    assert [uri for _, uri, _ in rows(store)] == [uri for _, uri, _ in before]
    assert beside(store) == [("a", 1), ("b", 2)]
    assert store.compact("m") == 0


@pytest.mark.parametrize("day", ["2026-01-01", "2026-01-02"])
def test_what_stands_beside_a_renamed_track_outlives_the_old_name(store, day):
    commit(store, tags(("latest", 1), ("z", 9)), windows=windows(("latest", 1), ("latest", 1)))
    commit(store, tags(("other", 3)))
    store.compact("m")
    tracks = moved(("previous", 1), ("backup", 1), ("other's copy", 3))
    copy(store, tracks, day)
    store.commit(tags(("latest", 2), at=9), date=day, beside={"windows": windows(("latest", 2))})
    store.compact("m")
    assert beside(store) == [("backup", 1)] * 2 + [("latest", 2)] + [("previous", 1)] * 2


def test_a_track_done_again_on_one_day_has_its_windows_once(store):
    """Joined before they are settled, both of its rows come into one file."""
    commit(store, tags(("a", 1), ("b", 5)), windows=windows(("a", 1), ("b", 5)))
    commit(store, tags(("a", 2), at=5), windows=windows(("a", 2)))
    copy(store, moved(("b", 5)), "2026-01-01")  # touched, besides
    store.compact("m")
    assert len(store.files("m")) == 1
    assert beside(store) == [("a", 2), ("b", 5)]


def test_a_file_with_two_rows_of_a_track_keeps_what_is_of_the_last(store):
    """As it was joined by versions that did not look."""
    both = pa.concat_tables([tags(("a", 1)), tags(("a", 2), at=5)])
    commit(store, both, windows=windows(("a", 1), ("a", 2)))
    assert store.compact("m") == 1
    assert beside(store) == [("a", 2)]


def test_a_table_beside_that_runs_out_of_rows_is_still_there(store):
    """A track changes, and what stays in its file has no window: it was asked for, all the same."""
    commit(store, tags(("a", 1), ("b", 2)), windows=windows(("a", 1)))
    commit(store, tags(("a", 3), at=5), windows=windows(("a", 3)))
    assert store.compact("m") == 1
    assert list(store.whole("m").missing_tables(["windows"])) == []
    assert beside(store) == [("a", 3)]
    commit(store, tags(("a", 4), ("b", 4), at=9), windows=windows(("a", 4)))
    assert store.compact("m") == 2
    assert len(store.files("m")) == len(store.files("m", "windows")) == 1


def test_a_file_that_is_rotated_twice_a_day(store):
    """`latest` is renamed, and another one is there: its row must not be where the old one is."""
    commit(store, tags(("latest", 1)))
    store.compact("m")
    commit(store, tags(("latest", 2), at=5))
    copy(store, moved(("previous", 1)), "2026-01-01")
    store.compact("m")
    found = {row["uri"]: row["scores"]["cel"] for row in store.read().to_pylist()}
    assert found == {"latest": pytest.approx(0.2), "previous": pytest.approx(0.1)}


def test_the_last_word_counts_and_other_models_are_left_alone(store):
    commit(store, tags(("a", 1), ("b", 1)))
    commit(store, tags(("a", 9), model_id="other"))
    commit(store, tags(("b", 2), ("c", 1), at=5), windows=windows(("b", 2), ("b", 2), ("c", 1)))
    commit(store, tags(("b", 3), at=9), windows=windows(("b", 3), ("b", 3)))
    store.compact("m")
    assert rows(store) == [("m", "a", 1), ("m", "b", 3), ("m", "c", 1), ("other", "a", 9)]
    kept = [
        store.folder.read_table(name)["uri"].to_pylist() for name in store.files("m", "windows")
    ]
    assert sorted(uri for uris in kept for uri in uris) == ["b", "b", "c"]
    assert store.compact("m") == 0


def test_nothing_is_settled(store):
    assert store.compact("m") == 0
    commit(store, tags(("a", 1), model_id="other"))
    assert store.compact("m") == 0


@pytest.mark.parametrize("again", [f"t{k}" for k in range(8)])  # the order of hashes decides
def test_a_track_done_again_every_run_of_a_day_is_never_lost(store, again):
    every = [f"t{k}" for k in range(8)]
    for run in range(4):
        done = every if run == 0 else [again]
        commit(store, tags(*[(uri, run) for uri in done], at=run))
        store.compact("m")
        assert rows(store) == [("m", uri, run if uri == again else 0) for uri in every]


def test_small_files_become_one(store, tmp_path):
    for k in range(5):
        beside = {"windows": windows((f"t{k}", k), (f"t{k}", k))}
        store.commit(tags((f"t{k}", k)), date="2026-01-01", beside=beside)
    commit(store, tags(("t9", 1), model_id="other"))
    store.commit(tags(("older", 1)), date="2025-01-01", beside={})
    before = rows(store)
    kept = next(name for name in store.files("m") if "2026" in name)
    saved = (tmp_path / kept).read_bytes()
    store.compact("m")
    assert rows(store) == before
    assert len(store.files("m")) == 2
    (name,) = store.files("m", "windows")
    assert store.folder.read_table(name).num_rows == 10
    assert (tmp_path / name.replace("windows/", "tags/")).exists()
    (tmp_path / kept).write_bytes(saved)  # as if killed before the last part went
    assert len(rows(store)) == len(before) + 1
    store.compact("m")
    assert rows(store) == before


def test_small_is_what_has_few_rows_however_many_classes(store):
    codes = [f"c{k}" for k in range(527)]
    schema, scores = tags_schema(codes), np.random.default_rng(0).random((5, 64, 527))
    for k, of_file in enumerate(scores):
        rows = tags(*[(f"{k}-{n}", n) for n in range(64)]).drop_columns(["scores", "peaks"])
        both = pa.array([dict(zip(codes, row, strict=True)) for row in of_file.tolist()])
        rows = rows.append_column("scores", both).append_column("peaks", both)
        commit(store, rows.select(schema.names).cast(schema))
    assert min(size for _, size, _ in store.walk("m")) > 1 << 18
    store.compact("m")
    assert len(store.files("m")) == 1
    assert store.read(["uri"]).num_rows == 5 * 64


def test_files_of_all_days_are_joined_up_to_a_limit_and_with_their_like(store, monkeypatch):
    monkeypatch.setattr(tagpart, "SMALL_ROWS", 3)
    monkeypatch.setattr(tagpart, "JOINED_ROWS", 4)
    for day in ("2026-01-01", "2026-01-02"):
        for k in range(9):
            store.commit(tags((f"{day}-{k}", k)), date=day, beside={})
        store.commit(tags(*[(f"{day}-{k}", k) for k in range(9, 12)]), date=day, beside={})
    for uri in ("with", "and"):
        table = windows((uri, 1))
        store.commit(tags((uri, 1)), date="2026-01-02", beside={"windows": table})
    store.compact("m")
    n_rows = [store.folder.n_rows(name) for name in store.files("m")]
    assert sorted(n_rows) == [1, 1, 2, 3, 3, 4, 4, 4, 4]
    assert beside(store) == [("and", 1), ("with", 1)]
    assert list(store.whole("m").missing_tables(["windows", "embeddings"])) == [
        "windows",
        "embeddings",
    ]


def test_known_is_of_one_model(store):
    commit(store, tags(("a", 1), ("b", 1)))
    commit(store, tags(("c", 1), model_id="other"))
    assert len(store.whole("m").known().rows) == 2
    assert len(store.whole("nobody").known().rows) == 0
    commit(store, tags(("d", 1), at=7))
    assert store.whole("m").known().totals.latest == START + timedelta(seconds=7)
    assert store.whole("nobody").known().totals.latest is None


def test_what_a_kill_leaves_is_cleared_up(store, tmp_path):
    commit(store, tags(("a", 1)), windows=windows(("a", 1)))
    (kept,) = tmp_path.glob("windows/*/**/*.parquet")
    lost = kept.with_name("0" * 24 + ".parquet")
    lost.write_bytes(kept.read_bytes())
    half = next(tmp_path.glob("tags/*/*/*/")) / ".x.parquet.tmp"
    half.write_bytes(b"half")
    store.clear_up()
    assert not lost.exists()
    assert not half.exists()
    assert kept.exists()
    assert store.read().num_rows == 1


def test_a_renamed_track_takes_the_row_of_its_content(store):
    commit(store, tags(("a", 1), ("b", 2)))
    commit(store, tags(("old", 3), status="failed"))
    store.compact("m")
    tracks = moved(("new-b", 2), ("copy-a", 1), ("copy-b", 2))
    copy(store, tracks, "2026-01-02")
    found = {r["uri"]: r for r in store.read().to_pylist()}
    assert len(found) == 6
    assert found["new-b"]["scores"] == found["copy-b"]["scores"] == found["b"]["scores"]
    assert found["copy-a"]["labels"] == ["cel"]
    assert (found["copy-a"]["size_bytes"], found["a"]["size_bytes"]) == (77, 1)
    assert found["copy-a"]["tagged_at"] == START + timedelta(days=1)
    (name,) = [n for n in store.files("m") if "2026-01-02" in n]
    assert store.folder.read_schema(name).field("scores").metadata


def test_a_copy_takes_its_attributes_along_whether_they_are_asked_for_or_not(store):
    commit(store, described(("a", 1), brightness=60.0))
    commit(store, tags(("b", 2), ("old-a", 1)))
    store.compact("m")
    copy(store, moved(("copy-a", 1), ("copy-b", 2)), "2026-01-02")
    found = {r["uri"]: r for r in store.read().to_pylist()}
    assert found["copy-b"]["attributes"] is None
    assert found["copy-b"]["timbral_brightness"] is None
    store.compact("m")
    copy(store, moved(("again-a", 1), ("again-b", 2)), "2026-01-03", DESCRIBED)
    found = {r["uri"]: r for r in store.read().to_pylist()}
    assert (found["again-a"]["attributes"], found["again-a"]["timbral_brightness"]) == (
        ["timbral"], 60,
    )  # fmt: skip
    assert "again-b" not in found  # its content was not described: it must be decoded
    (name,) = [n for n in store.files("m") if "2026-01-03" in n]
    assert store.folder.read_schema(name).field("timbral_brightness").metadata[b"range"]
    assert [one.name for one in store.attributes("m")] == DESCRIBED.names[-8:]


@pytest.mark.parametrize("first", ["described", "plain"])
def test_files_with_attributes_and_without_are_joined_and_no_row_says_more_than_it_knows(
    store, first
):
    tables = [described(("a", 1), brightness=60.0), tags(("b", 2))]
    for table in tables if first == "described" else tables[::-1]:
        commit(store, table)
    store.compact("m")
    assert len(store.files("m")) == 1
    found = {r["uri"]: r for r in store.read().to_pylist()}
    assert found["a"]["timbral_brightness"] == 60 and found["a"]["attributes"] == ["timbral"]
    assert found["b"]["timbral_brightness"] is None and found["b"]["attributes"] is None
    (name,) = store.files("m")
    assert store.folder.read_schema(name).field("timbral_brightness").metadata[b"range"]
    (part,) = store.parts("m")
    assert part.known().rows.are_described(["timbral"]).tolist().count(True) == 1
