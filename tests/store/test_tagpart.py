"""A part of TAGS: its index is as good as its files, each is opened once, and kills lose no row."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.store.folder import Folder
from pipeline.store.tags import tagpart
from pipeline.store.tags.attribute_flags import SETS, bits_of, translated
from pipeline.store.tags.cutting import cut_into_parts
from pipeline.store.tags.known import IS_OK, Known, text_hashes
from pipeline.store.tags.parts import by_part, hash_range, n_parts_for, part_numbers
from pipeline.store.tags.tag_index import INDEX, read_index
from pipeline.store.tags.tagstore import TagStore
from tests.store.test_tagstore import START, described, tags, windows


@pytest.fixture
def store(tmp_path):
    return TagStore(Folder(str(tmp_path)))


def commit(store, table, date="2026-01-01", n_parts=1, **beside):
    store.commit(table, date=date, beside=beside, n_parts=n_parts)


def state_of(store) -> dict[str, int]:
    """Return the size of each track by its uri, as the rows say; each has one row."""
    found = store.read()
    rows = [] if found is None else found.to_pylist()
    assert max(Counter(row["uri"] for row in rows).values(), default=1) == 1
    return {row["uri"]: row["size_bytes"] for row in rows}


def as_set(known: Known) -> set[tuple[int, ...]]:
    rows = known.rows
    columns = [rows.uris, rows.states, rows.flags, rows.attempts, *rows.contents.T]
    return set(zip(*(column.tolist() for column in columns), strict=True))


def without_index(part) -> Known:
    """Return what is known by reading every file."""
    return TagStore(part.folder).whole(part.model_id).known()


@pytest.fixture
def opened(monkeypatch):
    """Give the names of the files of TAGS that are read, with repetitions."""
    names = []
    for method in ("read_table", "read_tables", "n_rows", "read_schema"):
        original = getattr(Folder, method)

        def counted(self, name, *args, original=original, **kwargs):
            some = [name] if isinstance(name, str) else list(name)
            names.extend(one for one in some if one.startswith("tags/"))
            return original(self, name, *args, **kwargs)

        monkeypatch.setattr(Folder, method, counted)
    return names


def test_a_part_is_a_range_of_hashes():
    hashes = np.random.default_rng(0).integers(0, 2**64, 1000, np.uint64, endpoint=False)
    for n_parts in (1, 2, 16):
        numbers = part_numbers(hashes, n_parts)
        for number in range(n_parts):
            least, most = hash_range(number, n_parts)
            assert ((numbers == number) == ((hashes >= least) & (hashes <= most))).all()
    table = pa.table({"k": np.arange(1000)})
    parts = dict(by_part(table, hashes, 4))
    assert sorted(k for rows in parts.values() for k in rows["k"].to_pylist()) == list(range(1000))
    assert n_parts_for(1 << 20) == 1 < n_parts_for((1 << 20) + 1) == 2


def test_the_index_says_what_the_files_say_and_opens_none(store, opened):
    commit(store, tags(*[(f"t{k}", k) for k in range(5)]))
    commit(store, tags(("t9", 9), status="failed", at=3))
    assert store.compact("m") == 0
    (part,) = store.parts("m")
    expected = without_index(part)
    opened.clear()
    known = part.known()
    assert opened == []
    assert as_set(known) == as_set(expected)
    assert (known.totals, len(known.rows)) == (expected.totals, 6)
    assert known.totals.latest == START + timedelta(seconds=3)
    assert int(known.rows.has(IS_OK).sum()) == 5
    assert pq.read_schema(store.folder.local_path(part.index_name)).names == INDEX.names


def test_the_index_says_who_is_described_by_the_names_that_it_was_written_with(store):
    commit(store, described(("a", 1), brightness=1.0))
    commit(store, tags(("b", 2)))
    store.compact("m")
    (part,) = store.parts("m")
    assert as_set(part.known()) == as_set(without_index(part))
    table = store.folder.read_table(part.index_name)
    said = json.loads(table.schema.metadata[b"timbre.index"])
    assert said["attributes"] == list(SETS)
    for names, expected in ((["x", "timbral"], 0), (["x"], 0), ([], 0), (["timbral"], 1)):
        text = json.dumps(said | {"attributes": names})
        other = table.replace_schema_metadata({b"timbre.index": text})
        store.folder.write_table(part.index_name, other)
        assert int(part.known().rows.are_described(["timbral"]).sum()) == expected
    del said["attributes"]  # as earlier versions wrote it
    other = table.replace_schema_metadata({b"timbre.index": json.dumps(said)})
    store.folder.write_table(part.index_name, other)
    assert part.known().rows.flags.tolist() == [5, 5]


def test_bits_of_sets_move_with_their_names():
    flags = np.array([7, 8 | 1, 16 | 2, 8 | 16], np.uint8)
    bit = bits_of(["timbral"])
    assert translated(flags, ["x", "timbral"]).tolist() == [7, 1, 2 | bit, bit]
    assert translated(flags, ["timbral", "x"]).tolist() == [7, 1 | bit, 2, bit]


def test_a_night_opens_each_of_its_files_once_and_old_ones_only_where_a_row_changes(store, opened):
    for night in range(3):
        commit(store, tags(*[(f"{night}-{k}", k) for k in range(4)]), f"2026-01-0{night + 1}")
        store.compact("m")
    old = {name.split("/")[-2]: name for name in store.files("m")}
    new = [f"n{k}" for k in range(5)]
    for k, uri in enumerate(new):
        commit(store, tags((uri, k), at=50), "2026-01-04")
    commit(store, tags(("1-2", 77), at=60), "2026-01-04")
    fresh = set(store.files("m")) - set(old.values())
    opened.clear()
    assert store.compact("m") == 1
    assert Counter(opened) == Counter([*fresh, old["date=2026-01-02"]])
    opened.clear()
    assert store.compact("m") == 0
    assert opened == []


def test_an_index_that_is_old_cut_or_of_another_version_costs_time_alone(store, tmp_path):
    commit(store, tags(("a", 1), ("b", 2)))
    store.compact("m")
    (part,) = store.parts("m")
    older = store.folder.read_bytes(part.index_name)
    commit(store, tags(("b", 3), ("c", 4), at=5), "2026-01-02")
    store.compact("m")
    expected = as_set(part.known())
    for text in (older, b"PAR1 cut", b""):
        store.folder.write_bytes(part.index_name, text)
        assert as_set(part.known()) == expected
        assert store.compact("m") == 0
        assert as_set(part.known()) == expected
        assert len(read_index(store.folder, part.index_name).files) == len(store.files("m"))
    table = pq.read_table(tmp_path / part.index_name)
    said = {b"timbre.index": b'{"version": 99}'}
    store.folder.write_table(part.index_name, table.replace_schema_metadata(said))
    assert not read_index(store.folder, part.index_name).files
    assert as_set(part.known()) == expected


@settings(max_examples=40)
@given(st.lists(st.tuples(st.lists(st.integers(0, 7), min_size=1, max_size=5), st.integers(0, 2)),
                min_size=1, max_size=6), st.integers(0, 30))  # fmt: skip
def test_whatever_the_nights_and_whenever_it_is_killed(tmp_path_factory, nights, kill_at):
    """Against a plain dictionary: after each night every track has its last row, and no other."""
    store = TagStore(Folder(str(tmp_path_factory.mktemp("nights"))))
    expected: dict[str, int] = {}
    n_writes = 0
    for at, (tracks, day) in enumerate(nights):
        for number in tracks:
            uri, size = f"t{number}", at * 10 + number
            commit(
                store, tags((uri, size), at=at), f"2026-01-0{day + 1}", windows=windows((uri, size))
            )
            expected[uri] = size
        with pytest.MonkeyPatch.context() as patch:
            for method in ("write_table", "delete"):
                original = getattr(Folder, method)

                def dying(self, *args, original=original, **kwargs):
                    nonlocal n_writes
                    n_writes += 1
                    if n_writes == kill_at:
                        raise KeyboardInterrupt
                    return original(self, *args, **kwargs)

                patch.setattr(Folder, method, dying)
            try:
                store.compact("m")
            except KeyboardInterrupt:
                store.clear_up()
                store.compact("m")
        assert state_of(store) == expected
        (part,) = store.parts("m")
        assert as_set(part.known()) == as_set(without_index(part))
        assert part.known().totals == without_index(part).totals
        beside = [store.folder.read_table(name) for name in store.files("m", "windows")]
        found = sorted((r["uri"], r["start_s"]) for one in beside for r in one.to_pylist())
        assert found == sorted((uri, float(size)) for uri, size in expected.items())


def old_folder(store, n_days=3) -> dict[str, int]:
    """Write files as versions without parts did."""
    expected = {}
    for day in range(n_days):
        rows = [(f"{day}-{k}", k) for k in range(20)]
        folder = f"model=m/date=2026-01-0{day + 1}"
        if day:
            table = windows(*rows[:7], *rows[:7])
            store.folder.write_table(f"windows/{folder}/{day:024d}.parquet", table)
        store.folder.write_table(f"tags/{folder}/{day:024d}.parquet", tags(*rows))
        expected |= dict(rows)
    return expected


@pytest.mark.parametrize("n_parts", [1, 4])
def test_a_folder_from_before_there_were_parts_comes_into_them(store, n_parts):
    expected = old_folder(store)
    assert state_of(store) == expected
    for place in store.to_cut("m", n_parts):
        cut_into_parts(store.folder, place, n_parts)
    assert store.to_cut("m", n_parts) == []
    assert store.n_parts("m") == n_parts
    store.compact("m")
    assert state_of(store) == expected
    assert {name.split("/")[3] for name in store.files("m")} == {
        f"date=2026-01-0{d}" for d in (1, 2, 3)
    }
    found = [
        store.folder.read_table(name)["uri"].to_pylist() for name in store.files("m", "windows")
    ]
    assert Counter(uri for uris in found for uri in uris) == Counter(
        {f"{day}-{k}": 2 for day in (1, 2) for k in range(7)}
    )
    for part in store.parts("m"):
        rows = part.known().rows
        assert (part_numbers(rows.uris, n_parts) == part.number).all()


@pytest.mark.parametrize("kill_at", range(1, 24, 2))
def test_a_cut_that_is_killed_goes_on(store, monkeypatch, kill_at):
    """From no parts to two, then to eight; killed at a write or a deletion of the second."""
    expected = old_folder(store)
    for place in store.to_cut("m", 2):
        cut_into_parts(store.folder, place, 2)
    store.compact("m")
    monkeypatch.setattr("pipeline.store.tags.cutting._CUT_BYTES", 1)  # a file at a time
    n_calls = 0
    with monkeypatch.context() as patch:
        for method in ("write_table", "delete"):
            original = getattr(Folder, method)

            def dying(self, *args, original=original, **kwargs):
                nonlocal n_calls
                n_calls += 1
                if n_calls >= kill_at:
                    raise KeyboardInterrupt
                return original(self, *args, **kwargs)

            patch.setattr(Folder, method, dying)
        with pytest.raises(KeyboardInterrupt):
            for place in store.to_cut("m", 8):
                cut_into_parts(store.folder, place, 8)
    store.clear_up()
    n_parts = max(store.n_parts("m"), 8)
    for place in store.to_cut("m", n_parts):
        cut_into_parts(store.folder, place, n_parts)
    for part in store.parts("m", n_parts):
        part.compact()
    assert state_of(store) == expected
    assert list(store.whole("m").missing_tables(["windows"])) == ["windows"]
    n_windows = sum(store.folder.n_rows(name) for name in store.files("m", "windows"))
    assert n_windows == 2 * 2 * 7


def test_small_files_are_joined_within_their_part(store, monkeypatch):
    monkeypatch.setattr(tagpart, "JOINED_ROWS", 100)
    for k in range(6):
        commit(store, tags(*[(f"{k}-{n}", n) for n in range(20)]), n_parts=2)
    assert len(store.files("m")) == 12
    store.compact("m")
    assert len(store.files("m")) == 2
    for part in store.parts("m"):
        uris = pa.chunked_array([store.read()["uri"].combine_chunks()])
        mine = text_hashes(uris)[part_numbers(text_hashes(uris), 2) == part.number]
        assert set(part.known().rows.uris.tolist()) == set(mine.tolist())
