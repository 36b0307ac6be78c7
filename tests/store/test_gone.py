"""Which rows of TAGS count: those of tracks that are there, by what runs found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import StoreError, UsageError
from pipeline.store.catalogue import TRACKS
from pipeline.store.folder import Folder
from pipeline.store.reach import Reach, reach_of
from pipeline.store.tags.cutting import cut_into_parts
from pipeline.store.tags.known import text_hashes
from pipeline.store.tags.tagpart import TagPart
from pipeline.store.tags.tagstore import TagStore
from pipeline.store.tags.track_facts.gone import GONE_TABLE, Presence, gone_tracks, rows_of_gone
from pipeline.store.tags.work.listing import Listing
from pipeline.tagging.part_presence import prune_part, update_part_presence
from pipeline.tagging.truth import present_truth
from tests.store.test_tagstore import tags, windows

NIGHT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def store(tmp_path) -> TagStore:
    """Give TAGS of five tracks of two folders, in two files."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    found = TagStore(Folder(str(tmp_path / "out")))
    for k, names in enumerate((("a/1.mp3", "a/2.mp3", "b/1.mp3"), ("a/3.mp3", "b/2.mp3"))):
        rows = [(str(tmp_path / name), 3 * k + n) for n, name in enumerate(names)]
        date = f"2026-01-0{k + 1}"
        found.commit(tags(*rows), date=date, beside={"windows": windows(*rows)})
    found.compact("m")
    return found


def settle(store, tmp_path, catalog: str | Reach, *names: str, night: int = 0) -> Presence:
    """Say which tracks are gone, after a run whose catalogue has some."""
    reach = catalog if isinstance(catalog, Reach) else reach_of(str(tmp_path / catalog))
    at = NIGHT + timedelta(days=night)
    (part,) = store.parts("m")
    listing = listed(store, tmp_path, *names)
    return update_part_presence(part, listing=listing, reach=reach, catalog=str(catalog), at=at)


def listed(store, tmp_path, *names: str) -> Listing:
    rows = [{"uri": str(tmp_path / name), "size_bytes": 1, "modified_ns": 1} for name in names]
    return Listing.of([pa.Table.from_pylist(rows, TRACKS)], store.folder)


def present(store, tmp_path, **options: bool) -> list[str]:
    """Return the tracks whose rows count."""
    current = store.current_rows("m", **options)
    tables = [
        store.folder.read_table(name).filter(pa.array(rows))
        for name, rows in current.by_file.items()
    ]
    uris = pa.concat_tables(tables)["uri"].to_pylist()
    assert current.n_gone + len(uris) == 5 or not options
    return sorted(uri.removeprefix(f"{tmp_path}/") for uri in uris)


def test_a_run_decides_on_its_own_tracks_and_the_last_one_counts(store, tmp_path):
    assert settle(store, tmp_path, "a", "a/1.mp3", "a/3.mp3") == Presence(1, 1, 0)
    assert present(store, tmp_path) == ["a/1.mp3", "a/3.mp3", "b/1.mp3", "b/2.mp3"]
    assert settle(store, tmp_path, "b", "b/1.mp3", night=1) == Presence(2, 1, 0)
    assert present(store, tmp_path) == ["a/1.mp3", "a/3.mp3", "b/1.mp3"]
    assert present(store, tmp_path, include_gone=True) == [
        "a/1.mp3", "a/2.mp3", "a/3.mp3", "b/1.mp3", "b/2.mp3",
    ]  # fmt: skip
    assert settle(store, tmp_path, "a", "a/2.mp3", night=2) == Presence(3, 2, 1)
    assert present(store, tmp_path) == ["a/2.mp3", "b/1.mp3"]
    (name,) = store.files("m", "gone")
    since = {
        row["uri"][-7:]: row["gone_since"] for row in store.folder.read_table(name).to_pylist()
    }
    days = {
        name: NIGHT + timedelta(days=n)
        for name, n in (("a/1.mp3", 2), ("a/3.mp3", 2), ("b/2.mp3", 1))
    }
    assert since == days


def test_when_all_are_back_there_is_no_file(store, tmp_path):
    settle(store, tmp_path, "a", "a/1.mp3")
    everything = ("a/1.mp3", "a/2.mp3", "a/3.mp3")
    assert settle(store, tmp_path, "a", *everything) == Presence(0, 0, 2)
    assert store.files("m", "gone") == []
    assert len(present(store, tmp_path)) == 5


def test_a_file_alone_takes_nothing_away(store, tmp_path):
    assert settle(store, tmp_path, Reach(), "a/1.mp3") == Presence(0, 0, 0)


def test_nothing_is_written_when_nothing_changes(store, tmp_path):
    settle(store, tmp_path, "a", "a/1.mp3")
    (path,) = (tmp_path / "out").glob("gone/*/*.parquet")
    before = path.stat().st_ino, path.stat().st_mtime_ns
    settle(store, tmp_path, "a", "a/1.mp3", night=1)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == before


def test_pruning_deletes_the_rows_and_what_stands_beside_them(store, tmp_path):
    settle(store, tmp_path, "a", "a/1.mp3", "a/2.mp3")
    (part,) = store.parts("m")
    pruned = prune_part(part, listing=listed(store, tmp_path, "a/1.mp3", "a/2.mp3"), which="gone")
    assert (pruned.n_tracks, pruned.kept.n_rows) == (1, 4)
    for table in ("tags", "windows"):
        tables = [store.folder.read_table(name) for name in store.files("m", table)]
        uris = sorted(pa.concat_tables(tables)["uri"].to_pylist())
        assert [uri[-7:] for uri in uris] == ["a/1.mp3", "a/2.mp3", "b/1.mp3", "b/2.mp3"], table
    assert (store.files("m", "gone"), len(part.indexed())) == ([], 4)
    assert part.known().totals == part.compact().known.totals


def test_a_kill_while_pruning_is_made_good(store, tmp_path):
    """Rows are gone, their marks are not yet: the next run takes these away."""
    settle(store, tmp_path, "a", "a/1.mp3", "a/2.mp3")
    (part,) = store.parts("m")
    part.forget(gone_tracks(store.folder, "m"))
    assert len(gone_tracks(store.folder, "m")) == 1
    assert settle(store, tmp_path, "a", "a/1.mp3", "a/2.mp3") == Presence(0, 0, 0)
    assert len(gone_tracks(store.folder, "m")) == 0


def test_what_the_catalogue_has_not_may_be_pruned_whatever_it_is_of(store, tmp_path):
    """A folder of music that moved as a whole: what was below its old name is never listed."""
    (part,) = store.parts("m")
    pruned = prune_part(part, listing=listed(store, tmp_path, "b/1.mp3"), which="unlisted")
    assert (pruned.n_tracks, present(store, tmp_path)) == (4, ["b/1.mp3"])
    pruned = prune_part(part, listing=listed(store, tmp_path, "c/1.mp3"), which="unlisted")
    assert (pruned.n_tracks, store.files(), len(part.indexed())) == (1, [], 0)


def test_marks_from_before_tags_were_cut_anew_count(store, tmp_path):
    settle(store, tmp_path, "a", "a/1.mp3")
    n_parts = 4
    for place in store.to_cut("m", n_parts):
        cut_into_parts(store.folder, place, n_parts)
    store.compact("m")
    listing = listed(store, tmp_path, "a/1.mp3", "a/2.mp3")
    found = [
        update_part_presence(
            part, listing=listing, reach=reach_of(str(tmp_path / "a")), catalog="a", at=NIGHT
        )
        for part in store.parts("m")
    ]
    assert sum(found, Presence()) == Presence(1, 0, 1)


def test_a_truth_is_of_the_tracks_that_are_there(store, tmp_path, capsys):
    inference = SimpleNamespace(card=SimpleNamespace(model_id="m"))
    truth = {str(tmp_path / name): ["cel"] for name in ("a/1.mp3", "a/2.mp3", "new.mp3")}
    assert present_truth(store.folder.uri, inference, truth) == truth
    settle(store, tmp_path, "a", "a/1.mp3")
    assert len(present_truth(store.folder.uri, inference, truth)) == 2
    said = "1 tracks of the truth are left out: they are gone from the catalogue; --include-gone"
    assert said in capsys.readouterr().err
    with pytest.raises(UsageError, match="give --include-gone"):
        present_truth(store.folder.uri, inference, {str(tmp_path / "a/2.mp3"): []})


def test_a_part_reads_its_own_file_and_those_of_other_cuts(store):
    rows = rows_of_gone([f"/music/{k}.mp3" for k in range(64)], "music", NIGHT)
    of_all = TagPart(store.folder, "m", 0, 1, "0-of-1")
    store.folder.write_table(GONE_TABLE.name_of(of_all), rows)
    first, second = (TagPart(store.folder, "m", k, 2, f"{k}-of-2") for k in range(2))
    halves = [GONE_TABLE.read(part) for part in (first, second)]
    assert sorted(np.concatenate([half.hashes for half in halves])) == sorted(
        text_hashes(rows["uri"])
    )
    for part, half in zip((first, second), halves, strict=True):
        GONE_TABLE.write(part, half, half)
    GONE_TABLE.delete_other_cuts(store.folder, [first, second])
    assert not store.folder.exists(GONE_TABLE.name_of(of_all))

    store.folder.write_bytes(GONE_TABLE.name_of(second), b"no Parquet")
    assert GONE_TABLE.read(first).table == halves[0].table
    with pytest.raises(StoreError):
        GONE_TABLE.read(second)
