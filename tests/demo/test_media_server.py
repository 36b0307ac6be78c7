"""The local server: ranges, faults by id, counters, and a clean end."""

import http.client
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from pipeline.demo.injected_faults import STATUS_OF
from pipeline.demo.media_server import Fault, InjectedFault, MediaServer, byte_range
from pipeline.demo.traffic import Traffic
from tests.waiting import wait_for

GOOD, GONE, CUT, PAGE = "-_good_id-0", "gone_id_000", "cut_id_0000", "page_id_000"
DATA = bytes(range(256)) * 1000


@pytest.fixture
def origin(tmp_path):
    for ytid in (GOOD, CUT, GONE):
        (tmp_path / f"{ytid}.webm").write_bytes(DATA)
    faults = {GONE: Fault.MISSING, CUT: Fault.TRUNCATED, PAGE: Fault.NOT_AUDIO}
    with MediaServer(tmp_path, faults) as origin:
        yield origin


def get(origin: MediaServer, ytid: str, byte_range: str = "") -> http.client.HTTPResponse:
    headers = {"Range": byte_range} if byte_range else {}
    url = origin.url_template.replace("{ytid}", ytid)
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers))


def port_of(origin: MediaServer) -> int:
    return int(urllib.parse.urlsplit(origin.url_template.format(ytid="")).port or 0)


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


def test_a_connection_serves_many_requests(origin):
    connection = http.client.HTTPConnection("127.0.0.1", port_of(origin))
    with closing(connection):
        for path in (f"/{GOOD}", f"/{GONE}", f"/{GOOD}.webm?signature=a", f"/{PAGE}"):
            connection.request("GET", path)
            with connection.getresponse() as answer:
                assert len(answer.read()) == int(answer.headers["Content-Length"])
            if path == f"/{GOOD}":
                socket = connection.sock
            assert connection.sock is socket  # the server did not hang up
    assert origin.n_requests == {GOOD: 2, GONE: 1, PAGE: 1}


def test_head_tells_the_size_and_sends_nothing(origin):
    request = urllib.request.Request(origin.url_template.format(ytid=GOOD), method="HEAD")
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["Content-Length"] == str(len(DATA))
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.read() == b""
    assert origin.n_bytes[GOOD] == 0


@pytest.mark.parametrize("path", ["/", "/short", f"/{GOOD}.mp4", f"/../{GOOD}", f"/x/{GOOD}"])
def test_what_is_no_video_is_404(origin, path):
    connection = http.client.HTTPConnection("127.0.0.1", port_of(origin))
    with closing(connection):
        connection.request("GET", path)
        assert connection.getresponse().status == 404


@pytest.mark.parametrize(
    "header, asked",
    [
        (None, None),
        ("bytes=0-0", range(0, 1)),
        ("bytes=10-", range(10, 100)),
        ("bytes=10-999", range(10, 100)),
        ("bytes=-30", range(70, 100)),
        ("bytes=-999", range(100)),
        ("bytes=-0", range(100, 100)),
        ("bytes=100-", range(100, 100)),
        ("bytes=20-10", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("seconds=0-1", None),
    ],
)
def test_what_a_range_header_asks_for(header, asked):
    assert byte_range(header, 100) == asked


def test_many_clients_at_once_get_their_own_bytes(origin):
    def part(k: int) -> bytes:
        return get(origin, GOOD, f"bytes={k * 1000}-{k * 1000 + 999}").read()

    with ThreadPoolExecutor(16) as pool:
        parts = list(pool.map(part, range(64)))
    assert b"".join(parts) == DATA[:64_000]
    assert (origin.n_requests[GOOD], origin.n_bytes[GOOD]) == (64, 64_000)


def test_an_answer_is_held_back_for_the_latency(tmp_path):
    with MediaServer(tmp_path, {PAGE: Fault.NOT_AUDIO}, latency_s=0.2) as origin:
        began_s = time.monotonic()
        get(origin, PAGE).read()
        assert time.monotonic() - began_s >= 0.2


def test_truncated_ranges_end_at_the_half_though_the_client_would_stay(origin):
    half = len(DATA) // 2
    for text, n_bytes in {f"bytes={half - 7}-{half + 7}": 7, f"bytes={half + 9}-": 0}.items():
        connection = http.client.HTTPConnection("127.0.0.1", port_of(origin))
        with closing(connection):
            connection.request("GET", f"/{CUT}", headers={"Range": text})
            answer = connection.getresponse()
            assert answer.status == 206
            with pytest.raises(http.client.IncompleteRead) as caught:
                answer.read()
            assert len(caught.value.partial) == n_bytes


def test_truncated_breaks_off_half_way(origin):
    with get(origin, CUT) as answer, pytest.raises(http.client.IncompleteRead) as caught:
        answer.read()
    assert caught.value.partial == DATA[: len(DATA) // 2]
    assert get(origin, CUT, "bytes=0-9").read() == DATA[:10]


def test_not_audio_is_a_page(origin):
    with get(origin, PAGE) as answer:
        assert answer.headers["Content-Type"].startswith("text/html")
        assert answer.read().startswith(b"<!doctype html>")


def test_the_end_does_not_wait_for_clients_that_stay(tmp_path):
    before = set(threading.enumerate())
    with MediaServer(tmp_path, {PAGE: Fault.NOT_AUDIO}) as origin:
        connections = [http.client.HTTPConnection("127.0.0.1", port_of(origin)) for _ in range(3)]
        for connection in connections:
            connection.request("GET", f"/{PAGE}")
            connection.getresponse().read()
        assert len(set(threading.enumerate()) - before) == 1 + len(connections)
    assert set(threading.enumerate()) == before  # and the clients are still there
    for connection in connections:
        connection.close()


def test_nothing_is_left_after_the_end(tmp_path):
    before = set(threading.enumerate())
    (tmp_path / f"{GOOD}.webm").write_bytes(DATA)
    with MediaServer(tmp_path) as origin:
        get(origin, GOOD).read()
        url = origin.url_template
    assert set(threading.enumerate()) == before
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url.replace("{ytid}", GOOD))


def status_of(origin: MediaServer, ytid: str, byte_range: str = "") -> int:
    try:
        with get(origin, ytid, byte_range) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.UNAUTHORIZED, 401),
        (Fault.PAYMENT, 402),
        (Fault.FORBIDDEN, 403),
        (Fault.MISSING, 404),
        (Fault.GONE, 410),
        (Fault.THROTTLED, 429),
        (Fault.BROKEN, 500),
        (Fault.OVERLOADED, 503),
    ],
)
def test_a_fault_with_a_status(origin, fault, status):
    origin.faults[GOOD] = fault
    assert STATUS_OF[fault] == status
    assert status_of(origin, GOOD) == status_of(origin, GOOD, "bytes=0-9") == status


def test_retry_after_is_said_where_asked_for(origin):
    for injected, said in {
        InjectedFault(Fault.THROTTLED, retry_after="3"): "3",
        InjectedFault(Fault.THROTTLED): None,
    }.items():
        origin.faults[GOOD] = injected
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(origin, GOOD)
        assert caught.value.headers["Retry-After"] == said
        caught.value.close()


def test_a_trouble_passes_after_some_requests(origin):
    origin.faults[GOOD] = InjectedFault(Fault.BROKEN, n_failures=2)
    origin.faults[CUT] = InjectedFault(Fault.BROKEN)
    assert [status_of(origin, GOOD) for _ in range(4)] == [500, 500, 200, 200]
    assert [status_of(origin, CUT) for _ in range(4)] == [500] * 4


def test_a_reset_comes_before_an_answer(origin):
    origin.faults[GOOD] = Fault.RESET
    connection = http.client.HTTPConnection("127.0.0.1", port_of(origin))
    with closing(connection):
        connection.request("GET", f"/{GOOD}")
        with pytest.raises(ConnectionResetError) as caught:
            connection.getresponse()
    assert not isinstance(caught.value, http.client.RemoteDisconnected)  # that is an end in order


def test_a_reset_midway_comes_at_the_half(origin):
    origin.faults[GOOD] = Fault.RESET_MIDWAY
    half = len(DATA) // 2
    assert get(origin, GOOD, "bytes=0-9").read() == DATA[:10]
    with get(origin, GOOD, f"bytes={half - 9}-{half + 9}") as answer:
        with pytest.raises(ConnectionResetError):
            answer.read()


def test_a_stall_lasts_until_the_client_leaves(origin):
    origin.faults[GOOD] = Fault.STALL
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(origin.url_template.format(ytid=GOOD), timeout=0.3)
    assert status_of(origin, GONE) == 404  # the others are served meanwhile


def test_a_stall_does_not_hold_up_the_end(tmp_path):
    with MediaServer(tmp_path, {GOOD: Fault.STALL}) as origin:
        connection = http.client.HTTPConnection("127.0.0.1", port_of(origin))
        connection.request("GET", f"/{GOOD}")
        wait_for(lambda: origin.n_requests[GOOD])
    connection.close()  # only now


def test_ranges_may_be_ignored_or_refused(origin):
    origin.faults[GOOD] = Fault.NO_RANGES
    with get(origin, GOOD, "bytes=0-9") as answer:
        assert (answer.status, answer.read()) == (200, DATA)
    origin.faults[GOOD] = Fault.RANGES_REFUSED
    assert status_of(origin, GOOD, "bytes=0-9") == 416
    assert get(origin, GOOD).read() == DATA


def test_short_and_garbage_look_well(origin):
    origin.faults |= {GOOD: Fault.SHORT, GONE: Fault.GARBAGE}
    half = len(DATA) // 2
    assert get(origin, GOOD).read() == DATA[:half]
    with get(origin, GOOD, f"bytes={half - 5}-{half + 5}") as answer:
        assert answer.headers["Content-Range"] == f"bytes {half - 5}-{half - 1}/{half}"
    with get(origin, GONE) as answer:
        assert answer.headers["Content-Type"] == "audio/webm"
        assert len(answer.read()) == int(answer.headers["Content-Length"])


def test_files_of_any_suffix(origin):
    (origin.folder / "other_id-00.m4a").write_bytes(b"m4a")
    (origin.folder / f"{GOOD}.m4a").write_bytes(b"another")
    for path, body in {
        "other_id-00": b"m4a",
        "other_id-00.m4a": b"m4a",
        GOOD: DATA,
        f"{GOOD}.webm": DATA,
        f"{GOOD}.m4a": b"another",
    }.items():
        with get(origin, path) as answer:
            kind = "audio/webm" if body == DATA else "audio/mp4"
            assert (answer.read(), answer.headers["Content-Type"]) == (body, kind)
    assert status_of(origin, "other_id-00.webm") == 404


def test_unplugged_and_plugged_in_again_at_the_same_port(origin):
    connection = http.client.HTTPConnection("127.0.0.1", port_of(origin))
    with closing(connection):
        connection.request("GET", f"/{GOOD}")
        assert connection.getresponse().read() == DATA
        url, kept_open = origin.url_template, connection.sock
        origin.unplug()
        assert kept_open.recv(1) == b""
        with pytest.raises(urllib.error.URLError) as caught:
            get(origin, GOOD)
        assert isinstance(caught.value.reason, ConnectionRefusedError)
        origin.unplug()  # again: nothing happens
    origin.plug()
    assert origin.url_template == url
    assert get(origin, GOOD).read() == DATA
    assert origin.n_requests[GOOD] == 2


def test_unplugging_cuts_answers_short(tmp_path):
    big = bytes(50_000_000)  # more than the sockets hold
    (tmp_path / f"{GOOD}.webm").write_bytes(big)
    with MediaServer(tmp_path) as origin:
        with get(origin, GOOD) as answer:
            answer.read(10)
            origin.unplug()
            with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
                answer.read()


class MeetingOrigin(MediaServer):
    """A server that answers nobody before eight have asked."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.all_are_here = threading.Barrier(8)

    def injected(self, ytid: str, client_port: int = 0) -> InjectedFault:
        self.all_are_here.wait()
        return super().injected(ytid, client_port)


def test_requests_at_once_are_counted(tmp_path):
    with MeetingOrigin(tmp_path, {PAGE: Fault.NOT_AUDIO}) as origin:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: get(origin, PAGE).read(), range(16)))
    assert origin.traffic.peak_in_flight == 8
    times_s = [at_s for at_s, _ in origin.traffic.arrivals]
    assert [ytid for _, ytid in origin.traffic.arrivals] == [PAGE] * 16
    assert times_s == sorted(times_s)
    assert origin.traffic.busy_s > 0


def test_the_mean_is_of_the_time_in_which_there_is_any():
    now_s = 0.0
    traffic = Traffic(lambda: now_s)
    assert traffic.mean_in_flight == 0
    with traffic.request(GOOD):
        with traffic.request(PAGE):
            now_s = 10.0
        assert (traffic.busy_s, traffic.mean_in_flight) == (10, 2)
        now_s = 20.0
        assert traffic.mean_in_flight == 1.5
    now_s = 100.0  # nobody asks: this is not part of the mean
    assert (traffic.busy_s, traffic.mean_in_flight, traffic.peak_in_flight) == (20, 1.5, 2)
    with traffic.request(GOOD):
        now_s = 110.0
    assert traffic.busy_s == 30
    assert traffic.mean_in_flight == pytest.approx(40 / 30)
    assert traffic.arrivals == [(0, GOOD), (0, PAGE), (100, GOOD)]
