"""A catalogue's listing: the same rows in memory and in files, by part."""

import pyarrow as pa
import pytest

from pipeline.store.catalogue import TRACKS
from pipeline.store.folder import Folder
from pipeline.store.tags.known import text_hashes
from pipeline.store.tags.parts import part_numbers
from pipeline.store.tags.work.listing import PLACE, Listing


def batches(n: int, size: int = 70):
    for start in range(0, n, size):
        uris = [f"s3://b/{k}.mp3" for k in range(start, min(n, start + size))]
        nothing = [None] * len(uris)
        yield pa.table({"uri": uris, "size_bytes": nothing, "modified_ns": nothing}, schema=TRACKS)


def uris_of(tables) -> list[str]:
    return sorted(uri for table in tables for uri in table["uri"].to_pylist())


@pytest.mark.parametrize("n_in_memory", [10_000, 100])
@pytest.mark.parametrize("n_parts", [1, 8])
def test_every_track_is_in_its_part_once(tmp_path, n_in_memory, n_parts):
    listing = Listing.of(batches(1000), Folder(str(tmp_path)), n_in_memory=n_in_memory)
    assert listing.n_rows == 1000
    assert (len(listing.files) > 1) == (n_in_memory == 100) == (tmp_path / PLACE).exists()
    found = []
    for number in range(n_parts):
        mine = uris_of(listing.part(number, n_parts))
        assert (part_numbers(text_hashes(pa.array(mine)), n_parts) == number).all()
        found += mine
    assert sorted(found) == uris_of(batches(1000))
    asked = text_hashes(pa.array(["s3://b/7.mp3", "s3://b/1000.mp3"]))
    assert listing.has(asked).tolist() == [True, False]
    listing.delete()
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_catalogue_of_nothing(tmp_path):
    listing = Listing.of([], Folder(str(tmp_path)))
    assert (listing.n_rows, list(listing.part(0, 1))) == (0, [])
