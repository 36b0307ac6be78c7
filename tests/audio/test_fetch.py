"""A plain HTTP source over a loopback origin: every fault of the world, and what becomes of it."""

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.audio.decoding.clip import fit_length
from pipeline.audio.decoding.decode import decode
from pipeline.audio.fetching.access import Access
from pipeline.audio.fetching.fetch import TemplateSource, open_source
from pipeline.audio.fetching.remote_file import Meter
from pipeline.demo.media_server import Fault, InjectedFault, MediaServer
from pipeline.errors import FetchFault, ItemFault, Outcome, Reason
from tests.conftest import SAMPLE_RATE_HZ

IMPATIENT = Access(socket_timeout_s=0.5)
"""For servers that never answer; whoever does has the time that a loaded machine takes."""
YTID = "-some_id-01"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of noise, so that its half is beyond the first range."""
    folder = tmp_path_factory.mktemp("videos")
    noise = 0.3 * np.random.default_rng(0).standard_normal((1, 60 * 48_000))
    for suffix, codec in (("webm", "libopus"), ("m4a", "aac")):
        file = io.BytesIO()
        with av.open(file, "w", format={"m4a": "mp4"}.get(suffix, suffix)) as container:
            stream = container.add_stream(codec, rate=48_000, layout="mono")
            stream.bit_rate = 96_000
            frame = av.AudioFrame.from_ndarray(noise.astype(np.float32), "fltp", "mono")
            frame.sample_rate = 48_000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        (folder / f"{YTID}.{suffix}").write_bytes(file.getvalue())
    (folder / "empty_id-01.webm").touch()
    whole = (folder / f"{YTID}.m4a").read_bytes()
    media, index = whole.index(b"mdat") + 4, whole.index(b"moov") - 4
    rotten = np.random.default_rng(0).bytes(index - media)
    (folder / "rotten_id01.m4a").write_bytes(whole[:media] + rotten + whole[index:])
    return folder


def get(
    url_template: str, ytid: str = YTID, *, start_s: float = 40.0, access: Access | None = None
) -> np.ndarray:
    """Return ten seconds as a build gets them, in one attempt."""
    with TemplateSource(url_template, access or Access()).open(ytid, Meter()) as file:
        samples = decode(file, sample_rate_hz=SAMPLE_RATE_HZ, start_s=start_s, duration_s=10)
    return fit_length(samples, n_samples=10 * SAMPLE_RATE_HZ, sample_rate_hz=SAMPLE_RATE_HZ)


CASES: dict[Fault, tuple[Outcome, Reason, int | None]] = {
    Fault.UNAUTHORIZED: (Outcome.RESTRICTED, Reason.UNAUTHORIZED, 401),
    Fault.PAYMENT: (Outcome.BLOCKED, Reason.RATE_LIMITED, 402),
    Fault.FORBIDDEN: (Outcome.BLOCKED, Reason.FORBIDDEN, 403),
    Fault.MISSING: (Outcome.UNAVAILABLE, Reason.NOT_FOUND, 404),
    Fault.GONE: (Outcome.UNAVAILABLE, Reason.NOT_FOUND, 410),
    Fault.THROTTLED: (Outcome.BLOCKED, Reason.RATE_LIMITED, 429),
    Fault.BROKEN: (Outcome.NETWORK, Reason.SERVER_ERROR, 500),
    Fault.OVERLOADED: (Outcome.NETWORK, Reason.SERVER_ERROR, 503),
    Fault.RESET: (Outcome.NETWORK, Reason.CONNECTION, None),
    Fault.RESET_MIDWAY: (Outcome.NETWORK, Reason.CONNECTION, None),
    Fault.STALL: (Outcome.NETWORK, Reason.TIMEOUT, None),
    Fault.TRUNCATED: (Outcome.NETWORK, Reason.TRUNCATED, None),
    Fault.NOT_AUDIO: (Outcome.REJECTED, Reason.NOT_AUDIO, None),
    Fault.GARBAGE: (Outcome.REJECTED, Reason.NOT_AUDIO, None),
    Fault.SHORT: (Outcome.REJECTED, Reason.TOO_SHORT, None),
}
FINE = (Fault.NONE, Fault.NO_RANGES, Fault.RANGES_REFUSED)


def what_became(call: Callable[[], object]) -> tuple[Outcome, Reason, int | None]:
    with pytest.raises(ItemFault) as caught:
        call()
    assert caught.value.detail
    return caught.value.outcome, caught.value.reason, caught.value.http_status


@pytest.mark.parametrize("fault", CASES)
def test_what_a_fault_is_called(folder, fault):
    access = IMPATIENT if fault is Fault.STALL else None
    with MediaServer(folder, {YTID: fault}) as origin:
        assert what_became(lambda: get(origin.url_template, access=access)) == CASES[fault]


def test_every_fault_of_the_origin_is_tried():
    assert {*CASES, *FINE} == set(Fault)


@pytest.mark.parametrize("suffix", ["", ".webm", ".m4a"])
@pytest.mark.parametrize("fault", FINE)
def test_without_ranges_the_samples_are_the_same(folder, fault, suffix):
    path = folder / f"{YTID}{suffix or '.webm'}"
    expected = decode(path, sample_rate_hz=SAMPLE_RATE_HZ)[40 * SAMPLE_RATE_HZ :]
    with MediaServer(folder, {YTID: fault}) as origin:
        got = get(origin.url_template + suffix)
    np.testing.assert_allclose(got, expected[: len(got)], atol=1e-3)


def test_a_name_that_does_not_resolve_is_the_network():
    call = lambda: get("http://origin.invalid/{ytid}")  # noqa: E731
    assert what_became(call) == (Outcome.NETWORK, Reason.CONNECTION, None)


def test_nobody_listening_is_the_network(folder):
    with MediaServer(folder) as origin:
        origin.unplug()
        call = lambda: get(origin.url_template)  # noqa: E731
        assert what_became(call) == (Outcome.NETWORK, Reason.CONNECTION, None)
        origin.plug()
        assert len(get(origin.url_template)) == 10 * SAMPLE_RATE_HZ


def test_an_empty_body_is_rejected(folder):
    with MediaServer(folder) as origin:
        call = lambda: get(origin.url_template, "empty_id-01")  # noqa: E731
        assert what_became(call) == (Outcome.REJECTED, Reason.EMPTY, None)


def test_a_good_index_of_rotten_audio_is_rejected(folder):
    with MediaServer(folder) as origin:
        call = lambda: get(origin.url_template, "rotten_id01")  # noqa: E731
        assert what_became(call) == (Outcome.REJECTED, Reason.UNDECODABLE, None)


def test_an_id_that_the_origin_does_not_have_is_unavailable(folder):
    with MediaServer(folder) as origin:
        call = lambda: get(origin.url_template, "other_id-01")  # noqa: E731
        assert what_became(call) == (Outcome.UNAVAILABLE, Reason.NOT_FOUND, 404)


@pytest.mark.parametrize(("missing_s", "is_padded"), [(0.4, True), (0.7, False)])
def test_half_a_second_may_be_missing(folder, missing_s, is_padded):
    with MediaServer(folder) as origin:
        if is_padded:
            got = get(origin.url_template, start_s=50 + missing_s)
            assert len(got) == 10 * SAMPLE_RATE_HZ
            assert not got[-round((missing_s - 0.05) * SAMPLE_RATE_HZ) :].any()
        else:
            became = what_became(lambda: get(origin.url_template, start_s=50 + missing_s))
            assert became == (Outcome.REJECTED, Reason.TOO_SHORT, None)


def test_retry_after_is_kept(folder):
    trouble = InjectedFault(Fault.THROTTLED, retry_after="7")
    with MediaServer(folder, {YTID: trouble}) as origin, pytest.raises(FetchFault) as caught:
        get(origin.url_template)
    assert caught.value.retry_after_s == 7.0


def test_a_trouble_that_passes(folder):
    with MediaServer(folder, {YTID: InjectedFault(Fault.OVERLOADED, n_failures=2)}) as origin:
        for _ in range(2):
            assert what_became(lambda: get(origin.url_template))[2] == 503
        assert len(get(origin.url_template)) == 10 * SAMPLE_RATE_HZ


def test_a_stall_ends_with_the_time_out(folder):
    with MediaServer(folder, {YTID: Fault.STALL}) as origin:
        began_s = time.monotonic()
        what_became(lambda: get(origin.url_template, access=IMPATIENT))
        assert time.monotonic() - began_s > 0.4
        assert origin.n_requests[YTID] == 1  # it was not tried again


@pytest.fixture
def slow_url(folder: Path) -> Iterator[str]:
    """A server that promises a body, sends its beginning, and stays silent."""
    listener = socket.create_server(("127.0.0.1", 0))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000
    held: list[socket.socket] = []

    def serve() -> None:
        connection, _ = listener.accept()
        held.append(connection)
        connection.recv(65_536)
        connection.sendall(head)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/{{ytid}}"
    thread.join()
    for open_socket in (*held, listener):
        open_socket.close()


def test_a_body_that_stops_coming_is_a_time_out(slow_url):
    became = what_became(lambda: get(slow_url, access=IMPATIENT))
    assert became == (Outcome.NETWORK, Reason.TIMEOUT, None)


def test_the_cost_is_counted_where_it_fails(folder):
    meter = Meter()
    with MediaServer(folder, {YTID: Fault.TRUNCATED}) as origin:
        with TemplateSource(origin.url_template, Access()).open(YTID, meter) as file:
            with pytest.raises(FetchFault):
                decode(file, sample_rate_hz=SAMPLE_RATE_HZ, start_s=40, duration_s=10)
        assert meter.bytes_whole == (folder / f"{YTID}.webm").stat().st_size
        assert 0 < meter.bytes_fetched <= origin.n_bytes[YTID]
        assert meter.fetch_s > 0


def test_of_several_files_of_an_id_the_audio_is_meant(tmp_path):
    for name in ("a.m4a", "a.webp", "b.txt", "b.opus", "c.description"):
        (tmp_path / name).write_bytes(name.encode())
    source = open_source(str(tmp_path))
    for ytid, name in {"a": "a.m4a", "b": "b.opus", "c": "c.description"}.items():
        with source.open(ytid, Meter()) as file:
            assert file.read() == name.encode()
