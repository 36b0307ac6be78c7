"""Planning a build: where its segments may come from, and what is said when they cannot be had."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from jobs import build_subset
from pipeline.datasets.build_plan import BuildConfig, make_plan
from pipeline.errors import StoreError

ROWS = (
    b'# YTID, start_seconds, end_seconds, positive_labels\n--aE2O5G5WE, 0.000, 10.000, "/m/05r5c"\n'
)


class Sheets(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/gone.csv":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(ROWS) * (2 if self.path == "/cut.csv" else 1)))
        self.end_headers()
        self.wfile.write(ROWS)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Sheets) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def plan(sheet: str):
    return make_plan(BuildConfig(segments=(sheet,), out="unused"))


def test_segments_come_over_http(url: str):
    segments = plan(f"{url}/all.csv").segments
    assert segments["segment_id"].to_pylist() == ["--aE2O5G5WE_0"]
    assert segments["classes"].to_pylist() == [["pia"]]


@pytest.mark.parametrize(("name", "said"), [("gone.csv", "404"), ("cut.csv", "IncompleteRead")])
def test_segments_that_cannot_be_had(url: str, name: str, said: str):
    with pytest.raises(StoreError, match=rf"cannot read http.*{said}.*check it and the network"):
        plan(f"{url}/{name}")


def test_a_server_that_is_not_there_is_one_line(capfd: pytest.CaptureFixture[str]):
    code = build_subset.main(["--segments", "http://127.0.0.1:9/x.csv", "--out", "x", "--dry-run"])
    said = capfd.readouterr().err
    assert code == 1 and "Traceback" not in said
    assert "cannot read http://127.0.0.1:9/x.csv" in said and "refused" in said
