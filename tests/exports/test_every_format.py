"""What holds of every format: hostile names harm nothing, twice is the same, folders are known."""

from __future__ import annotations

import hashlib

import pytest

from pipeline.errors import UsageError
from pipeline.store.out import DATASET, EXPORT, check_out
from pipeline.tagging.export import FORMATS
from tests.exports.conftest import row_of

HOSTILE = [
    '=cmd("x")://a',
    "/m/../../up.mp3",
    '/m/a,"b"\r\nc.mp3',
    "/m/nul\0.mp3",
    "/m/ü\u2028.mp3",
    "/m/" + "ä" * 300 + ".mp3",
    "s3://bucket/a.mp3?scheme=http",
    "/",
    "",
]


def files_below(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture
def rows(music):
    """Return rows of a file, of one without labels, of a failed one, and of hostile names."""
    first = row_of(music / "Trio" / "flac.flac")
    second = row_of(music / "Trio" / "mp3.mp3", labels=[])
    none = {"scores": None, "peaks": None, "duration_s": None, "labels": []}
    failed = {**first, "uri": str(music / "x.wav"), "status": "failed", **none}
    return [first, second, failed, *({**first, "uri": uri} for uri in HOSTILE)]


@pytest.mark.parametrize("name", FORMATS)
def test_a_format(name, rows, run_folder, export, tmp_path):
    tags, out = run_folder(rows), tmp_path / "out"
    done = export(tags, name)
    assert (done.n_tracks, done.n_failed) == (len(rows), 1)
    assert all("\n" not in note for note in done.notes)
    once = files_below(out)
    assert once
    export(tags, name)
    assert files_below(out) == once
    assert {path.name for path in tmp_path.iterdir()} == {"music", "run", "out"}
    check_out(str(out), EXPORT)
    with pytest.raises(UsageError, match="so it holds exported tags; name another folder"):
        check_out(str(out), DATASET)


def test_all_of_them_share_a_folder(rows, run_folder, export, tmp_path):
    tags = run_folder(rows)
    for name in FORMATS:
        export(tags, name)
    together = files_below(tmp_path / "out")
    for name in FORMATS:
        export(tags, name)
    assert files_below(tmp_path / "out") == together
