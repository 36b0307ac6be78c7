"""A build's dry run looks into a folder: what of the plan is there, and what nobody asks for."""

import pytest

from jobs import build_subset
from pipeline.audio.fetching.fetch import IRMAS

HEADER = "# YTID, start_seconds, end_seconds, positive_labels\n"
ROW = '{}, 0.000, 10.000, "/m/01xqw"\n'


@pytest.fixture
def sheet(tmp_path):
    ids = ["aaaaaaaaaa0", "aaaaaaaaaa1", *(f"bbbbbbbbbb{k}" for k in range(7))]
    path = tmp_path / "segments.csv"
    path.write_text(HEADER * 3 + "".join(map(ROW.format, ids)))
    return path


def dry_run(sheet, source, tmp_path, capsys):
    flags = ["--segments", str(sheet), "--source", str(source), "--out", str(tmp_path / "ds")]
    code = build_subset.main([*flags, "--dry-run"])
    assert not (tmp_path / "ds").exists()
    return code, "".join(capsys.readouterr())


def test_what_is_there_and_what_is_not(sheet, tmp_path, capsys):
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("aaaaaaaaaa0.wav", "aaaaaaaaaa1.m4a", "aaaaaaaaaa1.jpg", "song.mp3", "notes.txt"):
        (folder / name).write_bytes(b"")
    code, text = dry_run(sheet, folder, tmp_path, capsys)
    assert code == 0 and "to do 9;" in text
    assert (
        f"in {folder}: 2 of the planned segments have a file, 7 have none: "
        "bbbbbbbbbb0, bbbbbbbbbb1, bbbbbbbbbb2, bbbbbbbbbb3, bbbbbbbbbb4, ...\n"
        "  2 files are asked for by no segment: notes.txt, song.mp3\n"
    ) in text
    size = text.split("requests, ")[1].split(" on disk")[0]
    (folder / "bbbbbbbbbb0.flac").write_bytes(b"")
    for k in range(1, 7):
        (folder / f"bbbbbbbbbb{k}.flac").write_bytes(b"")
    for name in ("song.mp3", "notes.txt"):
        (folder / name).unlink()
    _, text = dry_run(sheet, folder, tmp_path, capsys)
    assert f"in {folder}: 9 of the planned segments have a file, 0 have none\n" in text
    assert "asked for by no segment" not in text
    assert text.split("requests, ")[1].split(" on disk")[0] != size  # of what is there


def test_a_server_is_not_asked_and_the_dry_run_says_so(sheet, tmp_path, capsys):
    code, text = dry_run(sheet, "http://127.0.0.1:9/{ytid}", tmp_path, capsys)
    assert code == 0
    assert "how many of them the server has is not known before it is asked" in text


@pytest.mark.parametrize("kind", ["", IRMAS])
def test_a_folder_that_is_missing_is_said_to_be(sheet, tmp_path, capsys, kind):
    code, text = dry_run(sheet, f"{kind}{tmp_path}/nowhere", tmp_path, capsys)
    assert code == 2
    assert text.startswith(f"error: --source '{kind}{tmp_path}/nowhere': no such folder; expected")
    code, text = dry_run(sheet, f"{kind}{sheet}", tmp_path, capsys)
    assert (code, "that is a file; expected" in text) == (2, True)
