"""What was found, as text: other programs read it back, and a terminal only shows it."""

import csv
import io
import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UsageError
from pipeline.searching.outputs import TEXTS, check_file, to_bytes, write

HOSTILE = [
    '=cmd("x")://a',
    '/m/a,"b"\r\nc.mp3',
    "/m/nul\0.mp3",
    "/m/\x1b[2J\u202egnp.mp3",
    "/m/ü.mp3",
]
SCORES = pa.struct([("cel", pa.float32())])
FOUND = pa.table(
    {
        "uri": HOSTILE,
        "duration_s": [60.0, 9.26, None, 1.0, 2.0],
        "labels": [["cel", "pia"], [], None, [], []],
        "scores": pa.array([{"cel": 0.7}, None, {"cel": None}, {"cel": 0.1}, {"cel": 1.0}], SCORES),
        "tagged_at": pa.array([datetime(2026, 11, 21, tzinfo=UTC)] * 5, pa.timestamp("ms", "UTC")),
    }
)


def test_a_csv_gives_every_uri_back_and_is_no_formula():
    text = TEXTS["csv"](FOUND)
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    assert head == ["uri", "duration_s", "labels", "score_cel", "tagged_at"]
    assert [row[0].removeprefix("'") for row in rows] == HOSTILE
    assert rows[0][0].startswith("'=") and rows[0][2:4] == ["cel+pia", "0.7"]
    assert rows[1][3] == rows[2][1] == ""


def test_json_lines_are_one_object_a_row():
    rows = [json.loads(line) for line in TEXTS["jsonl"](FOUND).splitlines()]
    assert [row["uri"] for row in rows] == HOSTILE
    assert rows[0]["scores"] == {"cel": 0.7}  # not 0.699999988
    assert rows[0]["tagged_at"] == "2026-11-21T00:00:00.000+00:00"


def test_a_playlist_has_two_lines_a_track_and_each_once():
    twice = pa.concat_tables([FOUND, FOUND.slice(0, 1)])
    lines = to_bytes(twice, "m3u").decode().splitlines()
    assert lines[:3] == ["#EXTM3U", "#EXTENC:UTF-8", "#PLAYLIST:search"]
    assert len(lines) == 3 + 2 * len(HOSTILE)
    assert lines[4] == HOSTILE[0] and lines[6] == "file:///m/a%2C%22b%22%0D%0Ac.mp3"


def test_a_terminal_shows_a_uri_and_does_not_obey_it():
    lines = to_bytes(FOUND, "table").decode().splitlines()
    assert len(lines) == 1 + len(HOSTILE)
    assert lines[0].split() == ["uri", "duration", "s", "labels", "scores", "tagged_at"]
    assert r"/m/a,\"b\"\r\nc.mp3".replace('\\"', '"') in lines[2]
    assert r"/m/\x1b[2J\u202egnp.mp3" in lines[4]
    assert all(c.isprintable() for line in lines for c in line)
    assert TEXTS["table"](FOUND.slice(0, 0)) == ""


def test_of_a_long_uri_its_end_is_shown():
    (line,) = TEXTS["table"](pa.table({"uri": ["/a" * 99 + "/end.mp3"]})).splitlines()[1:]
    assert line.startswith("…") and line.endswith("/end.mp3") and len(line) == 80


def test_a_file_is_named_as_what_it_is(tmp_path):
    write(str(tmp_path / "found.parquet"), FOUND, "parquet")
    assert pq.read_table(tmp_path / "found.parquet").equals(FOUND)
    with pytest.raises(UsageError, match=r"expected a name with \.m3u or \.m3u8"):
        check_file("/music/song.mp3", "m3u")
    with pytest.raises(UsageError, match="--format parquet: give --out FILE"):
        check_file(None, "parquet")
