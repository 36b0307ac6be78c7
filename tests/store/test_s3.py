"""A folder in a bucket: the same as one on a disk, over HTTP, and never half an object."""

import json
import multiprocessing
import pickle
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import BaseRequestHandler, TCPServer

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from pipeline.audio.description.moments import Moments
from pipeline.errors import DecodeError, FetchFault, Outcome, StoreError, UsageError
from pipeline.store import catalogue
from pipeline.store.catalogue import list_tracks, resolve, track_batches
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.store.left_out import LeftOut
from pipeline.store.track import open_track
from pipeline.store.uris import split_uri
from schemas.columns import MOMENTS_KEY
from tests.s3 import BUCKET, S3Server
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def server():
    threads = set(threading.enumerate())
    with S3Server() as server:
        yield server
    left = set(threading.enumerate()) - threads
    assert not [one for one in left if not one.name.startswith("pytest_timeout")]


@pytest.fixture
def s3(server, monkeypatch):
    """A server that `s3://` means."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.requests.clear()
    yield server
    server.fails = lambda method, path, query: False


@pytest.fixture(params=["environment", "options"])
def folder(request, s3):
    """A new folder, by both ways of saying where S3 is."""
    prefix = f"{request.node.name}/d"
    environment = f"s3://{BUCKET}/{prefix}"
    return Folder(environment if request.param == "environment" else s3.uri(prefix))


def test_roundtrip(folder):
    table = pa.table({"a": [1, 2]})
    folder.write_table("sub/t.parquet", table)
    began_s = int(time.time())
    folder.write_json("x.json", {"é": [1, None]})
    ended_s = time.time()
    assert folder.read_table("sub/t.parquet").equals(table)
    assert folder.read_tables(["sub/t.parquet"], table.schema).equals(table)
    assert list(folder.read_pieces("sub/t.parquet")) == [table]
    assert folder.read_schema("sub/t.parquet").equals(table.schema)
    assert folder.read_json("x.json") == {"é": [1, None]}
    assert folder.names("sub") == ["sub/t.parquet"]
    assert folder.names("nowhere") == []
    assert not folder.exists("sub")
    files = {name: (size, modified_ns) for name, size, modified_ns in folder.walk()}
    assert set(files) == {"sub/t.parquet", "x.json"}
    assert began_s <= files["x.json"][1] / 1e9 <= ended_s
    folder.delete("x.json")
    folder.delete("x.json")
    assert not folder.exists("x.json")


def test_a_file_opens_by_the_uri_that_names_it(folder):
    folder.write_bytes("sub/x", b"1")
    parent, name = split_uri(folder.uri_of("sub/x"))
    assert (Folder(parent).read_bytes(name), name) == (b"1", "x")
    assert pickle.loads(pickle.dumps(folder)).read_bytes("sub/x") == b"1"


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("s3://b/a/c.wav", ("s3://b/a", "c.wav")),
        ("s3://b/a/c?.wav?endpoint_override=http://h:1", None),
        ("s3://b/What?/Why?.wav", ("s3://b/What?", "Why?.wav")),
        ("/a?b=c/d", ("/a?b=c", "d")),
        ("/d", ("/", "d")),
        ("d", (".", "d")),
    ],
)
def test_a_uri_is_split(uri, parts):
    assert split_uri(uri) == (parts or ("s3://b/a?endpoint_override=http://h:1", "c?.wav"))


def test_tracks_of_any_name_open_again(folder):
    names = ["Is it? Yes/100% #1.mp3", "Émile/ä b.mp3", "a%20b.mp3", "plain.mp3"]
    for name in names:
        folder.write_bytes(name, name.encode())
    folder.write_bytes("cover.jpg", b"")
    tracks = list_tracks(folder.uri).to_pylist()
    assert sorted(open_track(track["uri"]) for track in tracks) == sorted(map(str.encode, names))
    assert all(track["size_bytes"] and track["modified_ns"] for track in tracks)
    with pytest.raises(DecodeError, match="gone"):
        open_track(folder.uri_of("gone.mp3"))


def test_what_a_bucket_s_listing_leaves_out_is_counted(folder):
    for name in ("a.wav", "cover.JPG", "sub/b.mkv", "sub/n.txt", "sub/cover.jpg", "sub/README"):
        folder.write_bytes(name, b"12")
    for uri, expected in {
        folder.uri: {".jpg": 2, ".txt": 1, "none": 1},
        folder.uri_of("sub/*"): {".jpg": 1, ".txt": 1, "none": 1},
        folder.uri_of("a.wav"): {},
    }.items():
        counted = LeftOut()
        assert list(track_batches(uri, counted))
        assert counted.counts == expected


def test_a_big_file_is_whole(folder):
    data = bytes(range(256)) * 100_000  # more than a part
    folder.write_bytes("x", data)
    assert folder.read_bytes("x") == data


@pytest.mark.parametrize("n_bytes", [10, 25_000_000])
def test_a_write_that_breaks_leaves_the_old_file_and_no_other(folder, s3, n_bytes):
    folder.write_bytes("x", b"old")
    for name in ("x", "new"):
        with pytest.raises(ZeroDivisionError), folder._writing(name) as stream:
            stream.write(bytes(n_bytes))
            raise ZeroDivisionError
    assert folder.read_bytes("x") == b"old"
    assert [name for name, _, _ in folder.walk()] == ["x"]


@pytest.mark.parametrize("part", ["partNumber=1", "partNumber=2", "uploads", "uploadId="])
def test_an_upload_of_which_a_part_is_refused_leaves_nothing(folder, s3, part):
    s3.fails = lambda method, path, query: part in query and method != "DELETE"
    with pytest.raises(StoreError, match="cannot write"):
        folder.write_bytes("x", bytes(25_000_000))
    s3.fails = lambda method, path, query: False
    assert not folder.exists("x")


def test_a_writer_killed_in_an_upload_leaves_nothing(s3):
    folder = Folder(s3.uri("killed"))
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    s3.latency_s = 1.0
    try:
        writer = context.Process(target=_put_big, args=(folder, ready))
        writer.start()
        wait_for(ready.is_set, writer)
        wait_for(lambda: any("partNumber" in query for _, _, query in s3.requests), writer)
        writer.kill()
        writer.join()
    finally:
        s3.latency_s = 0.0
    wait_for(lambda: not s3.n_in_flight)  # what was under way has arrived
    assert list(folder.walk()) == []
    folder.write_bytes("x", b"again")
    assert folder.read_bytes("x") == b"again"


def _put_big(folder, ready):
    ready.set()
    folder.write_bytes("x", bytes(40_000_000))


def test_a_table_is_plain_parquet(s3):
    Folder(s3.uri("plain")).write_table("t.parquet", pa.table({"a": [1]}))
    bucket = fs.S3FileSystem(endpoint_override=s3.host, scheme="http", region="us-east-1")
    assert pq.read_table(f"{BUCKET}/plain/t.parquet", filesystem=bucket).to_pydict() == {"a": [1]}


@pytest.mark.slow
def test_twenty_thousand_files_are_a_page_a_thousand(s3):
    s3.fill(f"many/ledger/{k:05d}.parquet" for k in range(20_000))
    folder = Folder(s3.uri("many"))
    s3.requests.clear()
    assert len(folder.names("ledger")) == 20_000
    assert len(s3.requests) <= 21
    s3.fill(f"few/{k // 100}/{k:05d}.wav" for k in range(2_000))
    s3.requests.clear()
    assert len(list(Folder(s3.uri("few")).walk())) == 2_000
    assert len(s3.requests) <= 3


def test_moments_of_many_shards_are_asked_for_at_once(s3):
    dataset, part = Dataset(Folder(s3.uri("moments"))), Moments(2, 3.0, 5.0)
    table = pa.table({"a": [1]}).replace_schema_metadata({MOMENTS_KEY: json.dumps(part.to_dict())})
    for k in range(24):
        dataset.folder.write_table(f"clips/train-{k}.parquet", table)
    dataset.folder.write_table("clips/val-0.parquet", table)
    s3.peak_in_flight, s3.latency_s = 0, 0.1
    try:
        assert dataset.moments("clips", "train") == Moments(48, 72.0, 120.0)
    finally:
        s3.latency_s = 0.0
    assert s3.peak_in_flight >= 4


def test_a_missing_bucket_is_told(s3):
    folder = Folder("s3://no-such-bucket/d")
    for action in (
        lambda: folder.exists("x"),
        lambda: folder.names("x"),
        lambda: list(folder.walk()),
        lambda: folder.write_bytes("x", b""),
        lambda: Dataset.open("s3://no-such-bucket/d"),
    ):
        with pytest.raises(StoreError, match=r"s3://no-such-bucket/d.*create the bucket first"):
            action()
    with pytest.raises(StoreError, match=r"cannot read s3://no-such-bucket/d/x: .*x"):
        folder.read_bytes("x")
    with pytest.raises(UsageError, match="expected a bucket"):
        Folder("s3://")


def test_wrong_credentials_are_told(s3):
    s3.fill(["secret/x"])
    folder = Folder(f"s3://{BUCKET}/secret")
    s3.check_credentials()
    try:
        for action in (
            lambda: folder.exists("x"),
            lambda: folder.names(""),
            lambda: folder.read_bytes("x"),
            lambda: folder.write_bytes("x", b""),
            lambda: folder.delete("x"),
        ):
            with pytest.raises(StoreError, match=r"s3://bucket/secret.*check AWS_ACCESS_KEY_ID"):
                action()
    finally:
        s3.check_credentials(after="inf")


class _Credentials(BaseHTTPRequestHandler):
    """Hand out a key, as a container's role does."""

    def do_GET(self):
        self.server.n_asked += 1
        said = {"AccessKeyId": "test", "SecretAccessKey": "test", "Token": "t"}
        body = json.dumps({**said, "Expiration": "2100-01-01T00:00:00Z"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


def test_many_tracks_of_a_bucket_take_one_client(s3, monkeypatch):
    s3.fill([f"m/{k}.mp3" for k in range(8)], b"x")
    source = HTTPServer(("127.0.0.1", 0), _Credentials)
    source.n_asked = 0
    thread = threading.Thread(target=source.serve_forever)
    thread.start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    url = f"http://127.0.0.1:{source.server_port}/key"
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
    try:
        for k in range(8):
            assert open_track(s3.uri(f"m/{k}.mp3")) == b"x"
    finally:
        source.shutdown()
        thread.join()
        source.server_close()
    assert 1 <= source.n_asked <= 2


def test_a_bucket_that_refuses_is_not_the_track_s_fault(s3):
    s3.fill(["m/a.mp3"], b"x")
    s3.fails = lambda method, path, query: True
    with pytest.raises(FetchFault, match=r"connection: cannot read s3://bucket/m/a\.mp3") as caught:
        open_track(s3.uri("m/a.mp3"))
    assert caught.value.outcome is Outcome.NETWORK
    s3.fails = lambda method, path, query: False
    with pytest.raises(DecodeError, match=r"unreadable: .*no such file"):
        open_track(s3.uri("m/b.mp3"))
    assert open_track(s3.uri("m/a.mp3")) == b"x"


def test_a_manifest_s_relative_names_ask_nobody(monkeypatch):
    monkeypatch.setattr(catalogue, "Folder", None)
    assert resolve("a/x.mp3", "s3://b/m?scheme=http") == "s3://b/m/a/x.mp3?scheme=http"


class _HangsUp(BaseRequestHandler):
    """Answer nothing, and count who asked."""

    def handle(self):
        self.server.n_asked += 1


def test_an_endpoint_that_is_down_is_told_soon(s3, monkeypatch):
    """By what it tries: 31 times with pauses of 0.2 s."""
    assert not Folder(f"s3://{BUCKET}/d").exists("x")  # by a client that is kept
    with TCPServer(("127.0.0.1", 0), _HangsUp) as down:
        down.n_asked = 0
        thread = threading.Thread(target=down.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{down.server_address[1]}")
        with pytest.raises(StoreError, match=r"s3://bucket/d/x: .*check the network and AWS_ENDP"):
            Folder(f"s3://{BUCKET}/d").exists("x")
        down.shutdown()
        thread.join()
    assert 1 <= down.n_asked <= 40


def test_where_it_was_sent_a_folder_is_opened_when_it_is_used(s3):
    """What fails while Ray reads a task's arguments is tracebacks and new tries, and no line."""
    arrived, (uri,) = Folder(f"s3://{BUCKET}/d").__reduce__()
    folder = arrived(f"{uri}?fluff=1")  # as on a node whose settings are wrong
    with pytest.raises(UsageError, match="not a path or URI that can be opened"):
        folder.exists("x")


@pytest.mark.parametrize("uri", ["s3://b/d?fluff=1", "nonsense://x", "http://h/x"])
def test_what_is_no_uri_is_the_users_fault(uri):
    with pytest.raises(UsageError, match="not a path or URI that can be opened"):
        Folder(uri)


def test_globs_and_single_files_of_a_bucket(folder):
    for name in ("a.wav", "sub/b.wav", "sub/deep/c.wav", "sub/d.mp3", "Live [1998]/e.wav", "n.txt"):
        folder.write_bytes(name, b"12")

    def found(pattern: str) -> list[str]:
        uris = list_tracks(folder.uri_of(pattern))["uri"].to_pylist()
        return sorted(uri.partition("?")[0].partition("/d/")[2] for uri in uris)

    assert found("*.wav") == ["a.wav"]
    assert found("**/*.wav") == ["Live [1998]/e.wav", "a.wav", "sub/b.wav", "sub/deep/c.wav"]
    assert found("sub/*") == ["sub/b.wav", "sub/d.mp3"]
    assert found("s*/*.wav") == ["sub/b.wav"]
    assert found("Live [1998]") == ["Live [1998]/e.wav"]
    (track,) = list_tracks(folder.uri_of("sub/d.mp3")).to_pylist()
    assert (track["uri"], track["size_bytes"]) == (folder.uri_of("sub/d.mp3"), 2)
    assert track["modified_ns"]
    with pytest.raises(StoreError, match="no such file"):
        list_tracks(folder.uri_of("gone.wav"))
    with pytest.raises(UsageError, match="no tracks"):
        list_tracks(folder.uri_of("*.flac"))
