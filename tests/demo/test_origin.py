"""The local server: ranges, faults by id, counters, and a clean end."""

import http.client
import threading
import urllib.error
import urllib.request

import pytest

from pipeline.demo.origin import Fault, Origin

GOOD, GONE, CUT, PAGE = "-_good_id-0", "gone_id_000", "cut_id_0000", "page_id_000"
DATA = bytes(range(256)) * 1000


@pytest.fixture
def origin(tmp_path):
    for ytid in (GOOD, CUT, GONE):
        (tmp_path / f"{ytid}.webm").write_bytes(DATA)
    faults = {GONE: Fault.MISSING, CUT: Fault.TRUNCATED, PAGE: Fault.NOT_AUDIO}
    with Origin(tmp_path, faults) as origin:
        yield origin


def get(origin: Origin, ytid: str, byte_range: str = "") -> http.client.HTTPResponse:
    headers = {"Range": byte_range} if byte_range else {}
    url = origin.url_template.replace("{ytid}", ytid)
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5)


def test_whole_and_ranges(origin):
    assert get(origin, GOOD).read() == DATA
    for text, part in {
        "bytes=0-9": DATA[:10],
        "bytes=255990-": DATA[-10:],
        "bytes=-5": DATA[-5:],
    }.items():
        with get(origin, GOOD, text) as answer:
            assert answer.status == 206
            assert answer.headers["Content-Range"].endswith(f"/{len(DATA)}")
            assert answer.read() == part
    assert origin.n_requests[GOOD] == 4
    assert origin.n_bytes[GOOD] == len(DATA) + 25


def test_a_range_beyond_the_end_is_416(origin):
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(origin, GOOD, "bytes=999999-")
    assert caught.value.code == 416
    caught.value.close()


def test_missing_is_404(origin):
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(origin, GONE)
    assert caught.value.code == 404
    caught.value.close()


def test_truncated_breaks_off_half_way(origin):
    with get(origin, CUT) as answer, pytest.raises(http.client.IncompleteRead) as caught:
        answer.read()
    assert caught.value.partial == DATA[: len(DATA) // 2]
    assert get(origin, CUT, "bytes=0-9").read() == DATA[:10]


def test_not_audio_is_a_page(origin):
    with get(origin, PAGE) as answer:
        assert answer.headers["Content-Type"].startswith("text/html")
        assert answer.read().startswith(b"<!doctype html>")


def test_nothing_is_left_after_the_end(tmp_path):
    before = set(threading.enumerate())
    (tmp_path / f"{GOOD}.webm").write_bytes(DATA)
    with Origin(tmp_path) as origin:
        get(origin, GOOD).read()
        url = origin.url_template
    assert set(threading.enumerate()) == before
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url.replace("{ytid}", GOOD), timeout=1)
