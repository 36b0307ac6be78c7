"""A catalogue in every form it may have, and its tracks by uri."""

import errno
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from pipeline.demo.media_server import Fault, MediaServer
from pipeline.errors import DecodeError, FetchFault, ItemFault, TableError, UsageError
from pipeline.store import track
from pipeline.store.catalogue import TRACKS, list_tracks, track_batches
from pipeline.store.left_out import LeftOut
from pipeline.store.track import open_track


@pytest.fixture
def music(tmp_path):
    for name in ["b.mp3", "a.wav", "sub/ü 'x\".FLAC", "notes.txt", "cover.jpg"]:
        path = tmp_path / "music" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "music"


def uris(catalog) -> list[str]:
    return list_tracks(str(catalog))["uri"].to_pylist()


def test_a_folder_gives_its_audio_files(music):
    assert uris(music) == [str(music / n) for n in ("a.wav", "b.mp3", "sub/ü 'x\".FLAC")]


def test_a_glob_gives_what_it_matches(music):
    assert uris(music / "*.mp3") == [str(music / "b.mp3")]
    assert len(uris(music / "**" / "*")) == 3


def left_out(catalog) -> dict[str, int]:
    counted = LeftOut()
    assert list(track_batches(str(catalog), counted))
    return counted.counts


def test_what_a_listing_leaves_out_is_counted_by_suffix(music):
    for name in ("COVER.JPG", "sub/back.jpg", "README", ".DS_Store", "Mr. Brightside", "._a.wav"):
        (music / name).write_bytes(b"x")
    (music / "sub" / "more.d").mkdir()
    (music / "sub" / "list.m3u8").write_text("a.wav")
    expected = {".jpg": 3, "none": 3, "._*": 1, ".m3u8": 1, ".txt": 1}
    assert left_out(music) == expected
    assert list(left_out(music)) == list(expected)  # the commonest first
    assert left_out(f"file://{music}") == expected
    everything = expected | {"none": 2}  # glob leaves hidden files alone
    everything.pop("._*")
    assert left_out(music / "**" / "*") == everything
    assert left_out(music / "*.*") == {".jpg": 2, "none": 1, ".txt": 1}
    assert left_out(music / "*.wav") == {}
    assert left_out(music / "a.wav") == {}
    (music / "m.csv").write_text("uri\nREADME\ncover.jpg\n")
    assert left_out(music / "m.csv") == {}
    assert len(uris(music / "m.csv")) == 2


def test_what_is_left_out_is_counted_in_bounded_memory():
    counted = LeftOut()
    for k in range(1000):
        counted.add(f"a/b.{k}")
        counted.add("a/The End (8. take of Tuesday, with a very long name)")
    assert counted.counts == {"none": 1000, "other": 801} | {f".{k}": 1 for k in range(199)}


def test_one_file_is_a_catalogue(music):
    assert uris(music / "a.wav") == [str(music / "a.wav")]


def test_a_uri_is_listed(music):
    assert len(uris(f"file://{music}")) == 3


def test_manifests_keep_every_row_and_count_relative_paths_from_themselves(music):
    (music / "m.csv").write_text("title,uri\nx,a.wav\ny,gone.wav\nx,a.wav\n")
    pq.write_table(pa.table({"uri": ["b.mp3", str(music / "a.wav")]}), music / "m.parquet")
    tracks = list_tracks(str(music / "m.csv"))
    assert tracks["uri"].to_pylist() == [str(music / "a.wav"), str(music / "gone.wav")]
    assert tracks["size_bytes"].to_pylist() == [5, None]
    assert uris(music / "m.parquet") == [str(music / "a.wav"), str(music / "b.mp3")]


def test_what_is_no_catalogue_is_told(music, tmp_path):
    (music / "bad.csv").write_text("path\na.wav\n")
    (music / "empty.csv").write_text("uri\n")
    (music / "gap.csv").write_text("uri,x\na.wav,1\n,2\n")
    (music / "text.parquet").write_text("x")
    with pytest.raises(TableError, match=r"bad\.csv:1: .*expected a column 'uri'"):
        list_tracks(str(music / "bad.csv"))
    with pytest.raises(TableError, match=r"gap\.csv:3: found an empty value"):
        list_tracks(str(music / "gap.csv"))
    for catalog in (music / "empty.csv", tmp_path / "nowhere", music / "*.aiff"):
        with pytest.raises(UsageError, match="no tracks"):
            list_tracks(str(catalog))
    with pytest.raises(UsageError, match=r"text\.parquet"):
        list_tracks(str(music / "text.parquet"))


@pytest.mark.parametrize("uri", ["/nowhere.wav", "/", "s3x://b/x.wav"])
def test_a_track_that_cannot_be_read_is_a_fault_of_the_track(uri):
    with pytest.raises(DecodeError, match="unreadable"):
        open_track(uri)


def test_a_network_disk_that_is_gone_is_not_the_track_s_fault(tmp_path, monkeypatch):
    (tmp_path / "x.wav").write_bytes(b"x")

    def stale(path):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "is_file", stale)
    with pytest.raises(FetchFault, match=r"connection: .*Stale"):
        open_track(str(tmp_path / "x.wav"))


@pytest.mark.parametrize("is_there", [False, True])
def test_a_folder_that_is_gone_is_not_the_track_s_fault(tmp_path, is_there):
    """The next run takes its tracks again: a disk was not mounted, and left its empty folder."""
    folder = tmp_path / "music"
    if is_there:
        folder.mkdir()
    with pytest.raises(FetchFault, match=r"connection: no such file, .*music is gone or empty"):
        open_track(str(folder / "x.wav"))
    folder.mkdir(exist_ok=True)
    (folder / "y.wav").touch()
    with pytest.raises(DecodeError, match=r"unreadable: no such file$"):
        open_track(str(folder / "x.wav"))


def test_a_fifo_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "x.wav")
    with pytest.raises(DecodeError, match="not a regular file"):
        open_track(str(tmp_path / "x.wav"))


def test_a_manifest_of_lines_and_what_it_states(music):
    lines = [
        '{"uri": "a.wav"}',
        "",
        '{"uri": "s3://b/x.mp3", "size_bytes": 7, "modified_ns": 8, "title": "x"}',
        '{"uri": "b.mp3", "size_bytes": 1, "modified_ns": 2}',
    ]
    (music / "m.jsonl").write_text("\n".join(lines))
    rows = list_tracks(str(music / "m.jsonl")).to_pylist()
    assert [(r["uri"], r["size_bytes"]) for r in rows] == [
        (str(music / "a.wav"), 5), (str(music / "b.mp3"), 1), ("s3://b/x.mp3", 7)
    ]  # fmt: skip
    (music / "m.csv").write_text("uri,size_bytes,modified_ns\n./b.mp3,3,4\n../music/a.wav,,\n")
    assert list_tracks(str(music / "m.csv")).to_pylist() == [
        {**rows[0]},
        {"uri": str(music / "b.mp3"), "size_bytes": 3, "modified_ns": 4},
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.jsonl", '{"uri": "a"}\n[1]\n', r"m\.jsonl:2: found '\[1\]'; expected a JSON object"),
        ("m.jsonl", '{"uri": "a"}\n{"uri"\n', r"m\.jsonl:2: .*expected a JSON object"),
        ("m.jsonl", '{"url": "a"}\n', r"m\.jsonl:1: found an empty value; expected a uri"),
        ("m.jsonl", '{"uri": 5}\n', r"m\.jsonl:1: found 5; expected a uri"),
        ("m.csv", "uri,size_bytes\na,1\nb,big\n", r"m\.csv:3: found size_bytes 'big'; expected"),
        ("m.csv", b"uri\n\xff\xfe\n", r"m\.csv: not a CSV file in UTF-8"),
    ],
)  # fmt: skip
def test_a_row_that_is_none_is_named(tmp_path, name, text, said):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError, match=said):
        list_tracks(str(tmp_path / name))


def test_a_wrong_parquet_manifest_is_told(tmp_path):
    pq.write_table(pa.table({"url": ["a"]}), tmp_path / "m.parquet")
    with pytest.raises(UsageError, match=r"m\.parquet: expected .* its columns are url"):
        list_tracks(str(tmp_path / "m.parquet"))
    pq.write_table(pa.table({"uri": ["a", None]}), tmp_path / "m.parquet")
    with pytest.raises(TableError, match=r"m\.parquet:2: found an empty value"):
        list_tracks(str(tmp_path / "m.parquet"))


def test_names_that_are_no_text_links_and_leftovers(music):
    (music / "._a.wav").write_bytes(b"what macOS leaves")
    (music / "sub" / "round").symlink_to(music)
    (music / "gone.mp3").symlink_to(music / "nowhere.mp3")
    (music / "other").symlink_to(music / "sub")
    os.close(os.open(os.fsencode(music) + b"/b\xff.mp3", os.O_CREAT))
    found = uris(music)
    assert [u for u in found if u.endswith(r"b\udcff.mp3")]
    assert not [u for u in found if "._" in u or "gone" in u]
    assert [u for u in found if u.endswith("FLAC")] == [str(music / "sub" / "ü 'x\".FLAC")]
    assert len([u for u in found if u.endswith("a.wav")]) == 1
    with pytest.raises(DecodeError, match="unreadable"):
        open_track(next(u for u in found if "udcff" in u))


def test_batches_are_all_there_is(tmp_path):
    n = 70_000
    pq.write_table(pa.table({"uri": [f"s3://b/{k}.mp3" for k in range(n)]}), tmp_path / "m.parquet")
    batches = list(track_batches(str(tmp_path / "m.parquet")))
    assert [b.num_rows for b in batches] == [65_536, n - 65_536]


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://169.254.169.254/latest/meta-data/x.mp3", "link-local"),
        ("http://[fe80::1]/x.mp3", "link-local"),
        ("http://[::ffff:169.254.169.254]/x.mp3", "link-local"),
        ("http://name.invalid/x.mp3", "connection"),
        ("file:///etc/hostname", "forbidden: file: and local: URIs are not read"),
        ("local:///etc/hostname", "forbidden: file: and local: URIs are not read"),
        ("LOCAL:///etc/hostname", "forbidden"),
        ("file://localhost/etc/hostname", "forbidden"),
    ],
)
def test_addresses_that_are_not_read(uri, said):
    with pytest.raises(ItemFault, match=said):
        open_track(uri)


class _Elsewhere(BaseHTTPRequestHandler):
    """Lead on from 127.0.0.1 to 127.0.0.2, and serve what is kept there."""

    def do_GET(self):
        port = self.server.server_address[1]
        if self.headers["Host"].startswith("127.0.0.1"):
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.2:{port}/secret")
            self.end_headers()
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"a machine's secret")

    def log_message(self, *_):
        """Say nothing."""


def test_a_server_does_not_lead_to_where_a_catalogue_may_not(monkeypatch):
    server = ThreadingHTTPServer(("0.0.0.0", 0), _Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/x.mp3"
    try:
        assert open_track(url) == b"a machine's secret"
        monkeypatch.setattr(track, "is_forbidden", lambda address: address == "127.0.0.2")
        with pytest.raises(FetchFault, match=r"forbidden: 127\.0\.0\.2 is a link-local address"):
            open_track(url)
    finally:
        server.shutdown()
        server.server_close()


def test_a_catalogue_may_be_named_by_a_file_uri(tmp_path):
    (tmp_path / "a b.mp3").touch()
    assert uris((tmp_path / "a b.mp3").as_uri()) == [str(tmp_path / "a b.mp3")]


def test_a_server_s_track_is_read_whole_and_its_faults_are_told(tmp_path):
    (tmp_path / "good0000000.webm").write_bytes(os.urandom(300_000))
    with MediaServer(tmp_path, {"bad00000000": Fault.GONE}) as origin:
        data = open_track(origin.url_template.format(ytid="good0000000"))
        assert data == (tmp_path / "good0000000.webm").read_bytes()
        with pytest.raises(FetchFault, match="not_found"):
            open_track(origin.url_template.format(ytid="bad00000000"))


def test_secrets_in_a_uri_are_refused_and_not_repeated():
    with pytest.raises(UsageError, match="no secrets in a URI") as caught:
        list_tracks("s3://AKIA:hunter2@bucket/music")
    assert "hunter2" not in str(caught.value)


def test_links_that_lead_nowhere_are_passed_over(music):
    (music / "loop").symlink_to("loop")
    (music / "through").symlink_to(music / "a.wav" / "x")
    (music / "gone").symlink_to("nowhere")
    assert len(uris(music)) == 3


def test_what_a_file_system_keeps_for_itself_is_passed_over(music):
    (music / "lost+found").mkdir(mode=0o700)  # of root; others would be refused
    (music / "lost+found" / "#12.wav").write_bytes(b"")
    assert len(uris(music)) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"uri": "a.wav"}\n{"uri": "\xe9.wav"}\n', r"m\.jsonl:2: found '.*a JSON object"),
        (b'{"uri": "a.wav", "size_bytes": 1e999}', r"m\.jsonl:1: found size_bytes inf"),
        (b'{"uri": "a.wav", "size_bytes": 99999999999999999999}', r"m\.jsonl:1: found size_bytes"),
    ],
)
def test_lines_that_hold_no_track(tmp_path, text, said):
    (tmp_path / "m.jsonl").write_bytes(text)
    with pytest.raises(TableError, match=said):
        list_tracks(str(tmp_path / "m.jsonl"))


URIS = ["/m/a.mp3", "/m//b.mp3", "/m/../c.mp3", "/m/.d.mp3", "d.mp3", "s3://b/x/../e.mp3", "/"]


@pytest.mark.parametrize("uris", [URIS, URIS[:1], ["s3://b/é.mp3", "/m/n.mp3"], URIS[3:4]])
@pytest.mark.parametrize("sizes", [[1] * 7, [None] * 7])
def test_a_manifest_in_parquet_names_what_a_csv_names(tmp_path, uris, sizes):
    """Whether its batches go through whole or row by row."""
    columns = {"uri": uris, "size_bytes": sizes[: len(uris)], "modified_ns": [2] * len(uris)}
    table = pa.table(columns, schema=TRACKS)
    pq.write_table(table, tmp_path / "m.parquet")
    pacsv.write_csv(table, tmp_path / "m.csv")
    found = [
        pa.concat_tables(track_batches(str(tmp_path / name))).to_pylist()
        for name in ("m.parquet", "m.csv")
    ]
    assert found[0] == found[1]
    assert found[0][0]["uri"] == uris[0]
