"""Ten seconds over HTTP: few bytes, few requests, and the samples of a full decode."""

import io
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.audio.decoding.decode import decode
from pipeline.audio.fetching.access import Access
from pipeline.audio.fetching.fetch import TemplateSource
from pipeline.audio.fetching.ranges import BLOCK_BYTES, RangeFile, has_fragment_index, index_bytes
from pipeline.audio.fetching.remote_file import Meter
from pipeline.demo.media_server import Fault, MediaServer
from pipeline.errors import FetchFault, Reason

RATE_HZ = 22_050
FRONT, FRAGMENTS = {"cues_to_front": "1"}, "+empty_moov+default_base_moof+frag_keyframe"
LAYOUTS: dict[str, tuple[str, dict[str, str]]] = {
    "cues-at-front-2-s": ("webm", FRONT | {"cluster_time_limit": "2000"}),
    "cues-at-front-5-s": ("webm", FRONT | {"cluster_time_limit": "5000"}),
    "cues-at-front-10-s": (  # as YouTube's
        "webm",
        FRONT | {"cluster_time_limit": "10000", "cluster_size_limit": "5000000"},
    ),
    "cues-at-end-2-s": ("webm", {"cluster_time_limit": "2000"}),
    "cues-at-end-5-s": ("webm", {"cluster_time_limit": "5000"}),
    "moov-at-end": ("m4a", {}),
    "moov-at-front": ("m4a", {"movflags": "+faststart"}),
    "mfra-5-s": ("m4a", {"movflags": FRAGMENTS, "frag_duration": "5000000"}),
    "sidx-each-5-s": ("m4a", {"movflags": "+dash", "frag_duration": "5000000"}),
    "sidx-5-s": ("m4a", {"movflags": "+dash+global_sidx", "frag_duration": "5000000"}),
    "sidx-10-s": (  # as YouTube's
        "m4a",
        {"movflags": "+dash+global_sidx+skip_trailer", "frag_duration": "9980000"},
    ),
}
MOST_REQUESTS = {"cues-at-front": 2, "cues-at-end": 3, "moov-at": 3, "mfra": 4, "sidx": 4}
MINUTES = (4, 20)
CODECS = {
    "webm": ("libopus", 48_000, 128_000, {"compression_level": "0"}),
    # noise substitution makes every decode of AAC another one
    "m4a": ("aac", 44_100, 128_000, {"aac_coder": "fast", "aac_pns": "0"}),
    "lean": ("aac", 48_000, 64_000, {"aac_coder": "fast", "aac_pns": "0"}),
}
LEAN = {"lean-at-end": "moov-at-end", "lean--front": "moov-at-front"}
PLACES = ("start", "middle", "end")


def ytid_of(layout: str, minutes: int) -> str:
    return f"{sorted(LAYOUTS).index(layout):02d}-layout{minutes:02d}"


def start_s_of(place: str, minutes: int) -> float:
    return {"start": 0.0, "middle": minutes * 30 + 7.3, "end": minutes * 60 - 10.0}[place]


def encode(path: Path, kind: str) -> Path:
    """Write 4 minutes of a rising tone in noise, which keeps the codec busy: stereo."""
    codec, rate_hz, bit_rate, options = CODECS[kind]
    rng = np.random.default_rng(0)
    time_s = np.arange(10 * rate_hz) / rate_hz
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="stereo", options=options)
        stream.bit_rate = bit_rate
        for part in range(6 * min(MINUTES)):
            tone = 0.3 * np.sin(2 * np.pi * (300 + 20 * part + 50 * time_s) * time_s)
            noise = 0.1 * rng.standard_normal((2, len(time_s)), dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(
                (tone + noise).astype(np.float32), format="fltp", layout="stereo"
            )
            frame.sample_rate = rate_hz
            frame.pts, frame.time_base = part * len(time_s), Fraction(1, rate_hz)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def remux(source: Path, path: Path, options: dict[str, str], *, n_times: int) -> Path:
    """Write a file's packets again, laid out otherwise, one or several times on end."""
    format_ = {".m4a": "mp4", ".webm": "webm"}[path.suffix]
    with av.open(str(path), "w", format=format_, options=options) as new:
        stream = None
        for k in range(n_times):
            with av.open(str(source)) as old:
                packets = [p for p in old.demux(old.streams.audio[0]) if p.dts is not None]
                *packets, last = packets  # the last one tells how much of it is padding
                shift = k * len(packets) * packets[1].duration
                stream = stream or new.add_stream_from_template(old.streams.audio[0])
                for packet in packets + [last] * (k == n_times - 1):
                    packet.pts = packet.dts = packet.pts + shift
                    packet.stream = stream
                    new.mux(packet)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layouts")
    (folder / "encoded").mkdir()
    encoded = {
        kind: encode(folder / "encoded" / f"{kind}.{'webm' if kind == 'webm' else 'mp4'}", kind)
        for kind in CODECS
    }
    for layout, (suffix, options) in LAYOUTS.items():
        for minutes in MINUTES:
            path = folder / f"{ytid_of(layout, minutes)}.{suffix}"
            remux(encoded[suffix], path, options, n_times=minutes // min(MINUTES))
    for ytid, layout in LEAN.items():
        remux(encoded["lean"], folder / f"{ytid}.m4a", LAYOUTS[layout][1], n_times=5)
    return folder


@pytest.fixture
def origin(folder: Path) -> Iterator[MediaServer]:
    with MediaServer(folder) as origin:
        yield origin


def fetched(origin: MediaServer, ytid: str, start_s: float, duration_s: float = 10.0) -> np.ndarray:
    source = TemplateSource(origin.url_template, Access())
    with source.open(ytid, Meter()) as file:
        return decode(file, sample_rate_hz=RATE_HZ, start_s=start_s, duration_s=duration_s)


@cache
def full_decode(path: Path) -> dict[str, np.ndarray]:
    """Return the ten seconds at every place of a file, cut out of all of it."""
    whole = decode(path, sample_rate_hz=RATE_HZ)
    minutes = int(path.stem[-2:])
    firsts = {place: round(start_s_of(place, minutes) * RATE_HZ) for place in PLACES}
    return {place: whole[first : first + 10 * RATE_HZ].copy() for place, first in firsts.items()}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("minutes", MINUTES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_ten_seconds_cost_ten_seconds(origin, folder, layout, minutes, place):
    ytid = ytid_of(layout, minutes)
    path = folder / f"{ytid}.{LAYOUTS[layout][0]}"
    got = fetched(origin, ytid, start_s_of(place, minutes))
    share = path.stat().st_size * 10 / (60 * minutes)
    assert share > 140_000  # else the bound would say little
    assert origin.n_bytes[ytid] <= 1.5 * share + 256 * 1024
    most = next(n for name, n in MOST_REQUESTS.items() if layout.startswith(name))
    assert origin.n_requests[ytid] <= most
    if minutes == min(MINUTES):
        expected = full_decode(path)[place]
        assert abs(len(got) - len(expected)) <= 1024  # a frame, at the very end
        n = min(len(got), len(expected))
        np.testing.assert_allclose(got[:n], expected[:n], atol=1e-3)


def test_a_url_is_a_source_of_its_own(origin, folder):
    layout, minutes = "cues-at-end-5-s", min(MINUTES)
    ytid = ytid_of(layout, minutes)
    path = folder / f"{ytid}.{LAYOUTS[layout][0]}"
    url = origin.url_template.replace("{ytid}", ytid)
    got = decode(url, sample_rate_hz=RATE_HZ, start_s=100, duration_s=10.0)
    expected = decode(path, sample_rate_hz=RATE_HZ, start_s=100, duration_s=10.0)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert origin.n_bytes[ytid] < 0.2 * path.stat().st_size
    with pytest.raises(FetchFault) as caught:
        decode(url.replace(ytid, "nowhere"), sample_rate_hz=RATE_HZ)
    assert caught.value.reason == Reason.NOT_FOUND


@pytest.mark.parametrize("layout", ["cues-at-end-5-s", "moov-at-end"])
def test_the_samples_are_right_far_into_a_long_file(origin, folder, layout):
    ytid = ytid_of(layout, 20)
    expected = full_decode(folder / f"{ytid}.{LAYOUTS[layout][0]}")
    for place in PLACES:
        got = fetched(origin, ytid, start_s_of(place, 20))
        n = min(len(got), len(expected[place]))
        assert n > 9.9 * RATE_HZ
        np.testing.assert_allclose(got[:n], expected[place][:n], atol=1e-3)


@pytest.mark.parametrize("ytid", LEAN)
@pytest.mark.parametrize("place", PLACES)
def test_an_index_of_200_kb_leaves_room_for_a_lean_segment(origin, folder, ytid, place):
    fetched(origin, ytid, start_s_of(place, 20))
    share = (folder / f"{ytid}.m4a").stat().st_size / 120
    assert share < 90_000
    assert origin.n_bytes[ytid] <= 1.5 * share + 256 * 1024


@pytest.mark.parametrize("fault", [Fault.NO_RANGES, Fault.RANGES_REFUSED])
@pytest.mark.parametrize("layout", ["cues-at-end-5-s", "moov-at-end", "sidx-10-s"])
def test_without_ranges_the_whole_is_read_once(folder, layout, fault):
    ytid = ytid_of(layout, 4)
    path = folder / f"{ytid}.{LAYOUTS[layout][0]}"
    with MediaServer(folder, {ytid: fault}) as origin:
        got = fetched(origin, ytid, start_s_of("middle", 4))
    assert origin.n_bytes[ytid] == path.stat().st_size
    np.testing.assert_allclose(got, full_decode(path)["middle"], atol=1e-3)


DATA = np.random.default_rng(0).bytes(1_000_000)


class Server:
    """A file's bytes, and a log of what was asked for."""

    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.asked: list[tuple[int, int]] = []

    def get(self, first: int, last: int | None) -> tuple[int, dict[str, str], bytes]:
        body = self.data[first : None if last is None else last + 1]
        self.asked.append((first, len(body)))
        span = f"bytes {first}-{first + len(body) - 1}/{len(self.data)}"
        return 206, {"content-range": span}, body


def test_any_walk_through_the_file_gives_its_bytes(rng):
    server = Server()
    ranges, plain = RangeFile(server.get), io.BytesIO(DATA)
    for _ in range(300):
        position, n_bytes = rng.integers(0, 1_000_100), rng.integers(1, 40_000)
        if rng.random() < 0.3:
            ranges.expect(int(rng.integers(0, 100_000)))
        for file in (ranges, plain):
            file.seek(position)
        expected = plain.read(n_bytes)
        assert (ranges.read(n_bytes) or b"") == expected[: ranges.tell() - position]
        assert ranges.tell() > position or not expected
    assert sum(n for _, n in server.asked) <= len(DATA)  # nothing twice


def test_what_is_expected_comes_in_one_range():
    server = Server()
    file = RangeFile(server.get)
    file.seek(500_000)
    file.expect(200_000)
    while file.tell() < 700_000:
        file.read(32_768)
    assert server.asked == [(0, BLOCK_BYTES), (500_000, 200_000)]


def test_what_is_at_hand_is_not_asked_for_again():
    server = Server()
    file = RangeFile(server.get)
    file.expect(100_000, at=10_000)
    file.seek(10_000)
    while file.tell() < 110_000:
        file.read(32_768)
    assert server.asked == [(0, BLOCK_BYTES), (BLOCK_BYTES, 110_000 - BLOCK_BYTES)]


def test_a_reader_who_says_nothing_needs_few_ranges_and_little_in_vain():
    server = Server(bytes(20_000_000))
    file = RangeFile(server.get)
    for position in range(0, 10_000_000, 80_000):
        file.seek(position)
        file.read(100)
    assert len(server.asked) < 30
    server = Server(bytes(20_000_000))
    file = RangeFile(server.get)
    while file.tell() < 1_000_000:
        file.read(32_768)
    assert sum(n for _, n in server.asked) < 1.25 * 1_050_000


def test_no_range_is_longer_than_8_mib():
    server = Server(bytes(20_000_000))
    file = RangeFile(server.get)
    file.expect(15_000_000)
    file.seek(1_000_000)
    file.read(1)
    assert server.asked[-1] == (1_000_000, 8 << 20)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, Reason.SERVER_ERROR),
        ({"content-range": "bytes 500000-500099/*"}, Reason.SERVER_ERROR),
        ({"content-range": "bytes 400000-400099/1000000"}, Reason.TRUNCATED),
        ({"content-range": "bytes 500000-500099/999999"}, Reason.TRUNCATED),
    ],
)
def test_an_answer_to_another_question_is_a_fault(headers, reason):
    def get(first: int, last: int | None) -> tuple[int, dict[str, str], bytes]:
        answer = Server().get(first, last)
        return (answer[0], headers, bytes(100)) if first else answer

    file = RangeFile(get)
    file.seek(500_000)
    with pytest.raises(FetchFault) as caught:
        file.read(10)
    assert caught.value.reason == reason


def test_a_server_may_send_less_than_asked_for():
    file = RangeFile(lambda first, last: Server().get(first, min(last, first + 999)))
    assert b"".join(iter(lambda: file.read(700), b"")) == DATA


def test_a_server_may_not_send_nothing():
    file = RangeFile(lambda first, last: (206, {"content-range": f"bytes {first}-{last}/9"}, b""))
    with pytest.raises(FetchFault) as caught:
        file.read(1)
    assert caught.value.reason == Reason.TRUNCATED


def test_a_server_may_send_the_whole_later():
    def get(first: int, last: int | None) -> tuple[int, dict[str, str], bytes]:
        return (200, {}, DATA) if first else Server().get(first, last)

    file = RangeFile(get)
    file.seek(900_000)
    assert file.read(10) == DATA[900_000:900_010]
    file.seek(0)
    assert file.read(10) == DATA[:10]


@pytest.mark.parametrize("status", [403, 416])
def test_only_416_is_asked_again_without_a_range(status):
    asked: list[int | None] = []

    def get(first: int, last: int | None) -> tuple[int, dict[str, str], bytes]:
        asked.append(last)
        if last is not None:
            raise FetchFault(Reason.FORBIDDEN, "no", http_status=status)
        return 200, {}, DATA

    if status == 416:
        assert RangeFile(get).size == len(DATA)
        assert asked == [BLOCK_BYTES - 1, None]
    else:
        with pytest.raises(FetchFault):
            RangeFile(get)
        assert asked == [BLOCK_BYTES - 1]


def box(kind: bytes, n_bytes: int, body: bytes = b"") -> bytes:
    return n_bytes.to_bytes(4) + kind + body.ljust(n_bytes - 8, b"\0")


def sidx(version: int, n_fragments: int) -> bytes:
    before = bytes([version]) + bytes(11 + (8 if version == 0 else 16) + 2)
    return box(b"sidx", 100, before + n_fragments.to_bytes(2))


def test_an_mp4_tells_where_its_index_is():
    ftyp = box(b"ftyp", 24)
    assert index_bytes(ftyp + box(b"moov", 5000)[:1000], 9000) == 24 + 5000 + 4096 - 1024 - 120
    assert index_bytes(ftyp + box(b"moov", 5000)[:1000], 6000) == 6000 - 1024
    assert index_bytes(ftyp + box(b"mdat", 7000)[:1000], 9000) == 9000 - 7024
    long = (1).to_bytes(4) + b"mdat" + (1 << 33).to_bytes(8)
    assert index_bytes(ftyp + long, (1 << 33) + 500) == 500 - 24
    assert index_bytes(b"\x1aE\xdf\xa3" + DATA[:1000], 10_000) == 0
    assert index_bytes(bytes(1000), 10_000) == 0


@pytest.mark.parametrize("version", [0, 1])
def test_an_index_of_all_fragments_is_told_from_one_of_each(version):
    head = box(b"ftyp", 24) + box(b"moov", 200)
    assert has_fragment_index(head + sidx(version, 24))
    assert not has_fragment_index(head + sidx(version, 1))
    assert not has_fragment_index(head)
