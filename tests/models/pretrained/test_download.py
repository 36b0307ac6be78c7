"""Weights over a real loopback server that breaks off, lacks ranges, or is not there."""

import hashlib
import re
import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from pipeline.errors import SourceUnreachable, UsageError
from pipeline.models.pretrained import download as module
from pipeline.models.pretrained import efficientat, importing
from pipeline.models.pretrained.download import cache_folder, download
from pipeline.models.pretrained.importing import ImportConfig, import_model
from tests.models.pretrained.published import write_published

BODY = np.random.default_rng(0).bytes(3_000_000)
DIGEST = hashlib.sha256(BODY).hexdigest()
CHUNK = module._CHUNK_BYTES  # of a break, what is left of a chunk is lost
INSTEAD = "bring w.pt from home and pass --weights w.pt"


class Handler(BaseHTTPRequestHandler):
    """Sends `server.body`, or its rest; breaks off after `server.break_after` bytes of answers."""

    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.asked.append(asked)
        if self.path != "/w.pt":
            return self.send_error(404)
        first = int(re.match(r"bytes=(\d+)-", asked)[1]) if asked and server.has_ranges else 0
        if asked and first >= len(server.body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.body)}")
            return self.end_headers()
        rest = server.body[first:]
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        n_bytes = server.break_after.pop(0) if server.break_after else len(rest)
        with suppress(ConnectionError):
            self.wfile.write(rest[:n_bytes])
        return None

    def log_message(self, *_): ...


@contextmanager
def serving(body=BODY, *, break_after=(), has_ranges=True):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.body, server.break_after, server.has_ranges = body, list(break_after), has_ranges
        server.asked, server.url = [], f"http://127.0.0.1:{server.server_port}/w.pt"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def fetched(url, folder, sha256=DIGEST):
    return download(url, folder, sha256=sha256, instead=INSTEAD)


def test_what_breaks_off_goes_on_where_it_was(tmp_path):
    with serving(break_after=[16 * CHUNK, 8 * CHUNK + 100]) as server:
        path = fetched(server.url, tmp_path)
    assert path.read_bytes() == BODY
    assert server.asked == [None, f"bytes={16 * CHUNK}-", f"bytes={24 * CHUNK}-"]
    assert [one.name for one in tmp_path.iterdir() if one.name != ".lock"] == ["w.pt"]


def test_a_killed_run_leaves_a_partial_file_that_the_next_one_goes_on_with(tmp_path):
    breaks = [10 * CHUNK, *[0] * (module._ATTEMPTS - 1)]
    with serving(break_after=breaks) as server:
        with pytest.raises(SourceUnreachable, match=f"w.pt: .*; {INSTEAD}"):
            fetched(server.url, tmp_path)
        assert (tmp_path / "w.pt.part").stat().st_size == 10 * CHUNK
        server.asked.clear()
        assert fetched(server.url, tmp_path).read_bytes() == BODY
        assert server.asked == [f"bytes={10 * CHUNK}-"]
        fetched(server.url, tmp_path)  # it is there
        assert len(server.asked) == 1


def test_killed_before_it_got_its_name_it_is_not_fetched_again(tmp_path):
    (tmp_path / "w.pt.part").write_bytes(BODY)
    with serving() as server:
        assert fetched(server.url, tmp_path).read_bytes() == BODY
    assert server.asked == [f"bytes={len(BODY)}-"]


def test_a_partial_file_longer_than_the_file_begins_anew(tmp_path):
    (tmp_path / "w.pt.part").write_bytes(BODY + b"more")
    with serving() as server:
        assert fetched(server.url, tmp_path).read_bytes() == BODY
    assert server.asked == [f"bytes={len(BODY) + 4}-", None]


def test_without_ranges_it_begins_anew(tmp_path):
    with serving(break_after=[16 * CHUNK], has_ranges=False) as server:
        assert fetched(server.url, tmp_path).read_bytes() == BODY
    assert server.asked == [None, f"bytes={16 * CHUNK}-"]


def test_another_files_bytes_are_deleted_and_named(tmp_path):
    (tmp_path / "w.pt.part").write_bytes(b"of another file")
    with serving() as server, pytest.raises(UsageError, match=f"expected {DIGEST}; bring"):
        fetched(server.url, tmp_path)
    assert not (tmp_path / "w.pt.part").exists() and not (tmp_path / "w.pt").exists()


def test_a_file_that_is_not_there_is_asked_for_once(tmp_path):
    with serving() as server, pytest.raises(UsageError, match=f"404 .*; {INSTEAD}"):
        fetched(server.url.replace("w.pt", "v.pt"), tmp_path)
    assert server.asked == [None]


def test_offline_says_which_file_to_bring(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(SourceUnreachable, match=f"ConnectionError; {INSTEAD}"):
        fetched(f"http://127.0.0.1:{port}/w.pt", tmp_path)


def test_import_fetches_what_its_family_names(tmp_path, monkeypatch):
    """The address and sha256 are the family's; without a file, this is all it takes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    body = write_published(tmp_path / "w.pt").read_bytes()
    with serving(body, break_after=[2_000_000]) as server:
        config = ImportConfig("efficientat", str(tmp_path / "m"), server.url)
        card = import_model(config, {}).card
        again = import_model(ImportConfig("efficientat", str(tmp_path / "n"), server.url), {})
    assert card.source["read_from"] == server.url
    assert card.source["sha256"] == {"w.pt": hashlib.sha256(body).hexdigest()}
    assert again.card.model_id == card.model_id and len(server.asked) == 2


def test_a_page_in_place_of_the_weights_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with serving(b"<html>sign in</html>") as server:
        config = ImportConfig("efficientat", str(tmp_path / "m"), server.url)
        with pytest.raises(UsageError, match="expected mn04 of efficientat"):
            import_model(config, {})
    assert not list(cache_folder().rglob("w.pt"))


def test_without_weights_it_is_the_variants_source(tmp_path, monkeypatch):
    asked = []

    def noted(url, folder, **options):
        asked.append((url, options["sha256"], options["instead"]))
        return write_published(tmp_path / "w.pt")

    monkeypatch.setattr(importing, "download", noted)
    import_model(ImportConfig("efficientat", str(tmp_path / "m")), {})
    source = efficientat.FAMILY.variant("mn04").source
    instead = (
        "bring mn04_as_mAP_432.pt from https://github.com/fschmid56/EfficientAT and pass "
        "--weights mn04_as_mAP_432.pt"
    )
    assert asked == [(source.url, source.sha256, instead)]
