"""Lengths that headers declare: cut files are told, healthy ones never are."""

import io
import subprocess

import numpy as np
import pytest
import soundfile

from pipeline.audio.decoding import declared_length
from pipeline.audio.decoding.decode import decode, decode_blocks
from pipeline.audio.decoding.ffmpeg import ffmpeg_exe
from pipeline.audio.decoding.mp3_length import parse_frame, read_length
from pipeline.audio.fetching.ranges import RangeFile
from pipeline.errors import DecodeError, Reason

SECONDS, RATE_HZ = 8, 16_000


def sound(rate_hz: int) -> np.ndarray:
    """A tone that rises, in noise: no two frames are alike, and a variable bit rate varies."""
    time_s = np.arange(SECONDS * rate_hz) / rate_hz
    noise = np.random.default_rng(0).normal(size=len(time_s)) * time_s / 100
    return 0.4 * np.sin(2 * np.pi * (300 + 50 * time_s) * time_s) + noise


@pytest.fixture
def mp3(tmp_path):
    """Encode by LAME through ffmpeg; its header is filled in where the file can be gone back to."""

    def encode(*flags: str, rate_hz: int = 44_100, n_channels: int = 1, pipe: bool = False):
        stereo = np.stack([sound(rate_hz)] * n_channels, axis=1)
        soundfile.write(tmp_path / "sound.wav", stereo, rate_hz)
        out = "pipe:" if pipe else str(tmp_path / "sound.mp3")
        words = ["-i", str(tmp_path / "sound.wav"), *flags, "-f", "mp3", "-y", out]
        command = [ffmpeg_exe(), "-v", "error", *words]
        done = subprocess.run(command, capture_output=True, check=True)
        return done.stdout if pipe else (tmp_path / "sound.mp3").read_bytes()

    return encode


def by_sndfile(rate_hz: int = 44_100) -> bytes:
    """libsndfile calls LAME itself, which writes its own header."""
    file = io.BytesIO()
    soundfile.write(file, sound(rate_hz), rate_hz, format="MP3")
    return file.getvalue()


def with_vbri(data: bytes, *, n_frames: int | None = None) -> bytes:
    """Put a frame with Fraunhofer's header in front of an mp3 without one."""
    length = read_length(io.BytesIO(data))
    assert length is None
    start = data.index(b"\xff\xfb")
    frame = parse_frame(data[start : start + 4])
    assert frame is not None
    n_frames = n_frames or SECONDS * frame.rate_hz // frame.n_samples
    n_bytes = len(data) - start + frame.n_bytes
    head = b"VBRI" + bytes([0, 1, 0, 0, 0, 75]) + n_bytes.to_bytes(4) + n_frames.to_bytes(4)
    return (data[start : start + 4] + bytes(32) + head).ljust(frame.n_bytes, b"\0") + data[start:]


KINDS = {
    "cbr": (["-b:a", "128k"], {}),
    "cbr stereo": (["-b:a", "192k"], {"n_channels": 2}),
    "vbr": (["-q:a", "4"], {"n_channels": 2}),
    "abr": (["-b:a", "96k", "-abr", "1"], {}),
    "mpeg 2": (["-b:a", "64k"], {"rate_hz": 22_050}),
    "mpeg 2 stereo": (["-b:a", "64k"], {"rate_hz": 24_000, "n_channels": 2}),
    "mpeg 2.5": (["-b:a", "16k"], {"rate_hz": 8_000}),
    "32 kHz": (["-b:a", "64k"], {"rate_hz": 32_000}),
}


def cut(data: bytes, share: float) -> bytes:
    return data[: round(share * len(data))]


def fault_of(data: bytes, **span: float) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode(data, sample_rate_hz=RATE_HZ, **span)
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_an_mp3_of_every_kind_says_how_long_it_is_and_is_told_when_cut(kind, mp3):
    flags, form = KINDS[kind]
    data = mp3(*flags, **form)
    whole = decode(data, sample_rate_hz=RATE_HZ)
    length = read_length(io.BytesIO(data))
    assert length.duration_s == pytest.approx(SECONDS, abs=1e-3)  # without delay and padding
    assert length.duration_s == pytest.approx(len(whole) / RATE_HZ, abs=1e-3)
    assert length.n_bytes == pytest.approx(len(data) - length.first_byte, abs=2)
    for share in (0.1, 0.5, 0.9):
        fault = fault_of(cut(data, share))
        assert fault.reason == Reason.INCOMPLETE
        got_s, _, rest = fault.detail.partition(" s of the 8.0 s")
        assert rest and float(got_s) < SECONDS * (share + 0.1)


def test_lames_own_header_is_read_too():
    data = by_sndfile()
    assert read_length(io.BytesIO(data)).duration_s == pytest.approx(SECONDS, abs=1e-3)
    assert len(decode(data, sample_rate_hz=RATE_HZ)) == pytest.approx(SECONDS * RATE_HZ, abs=1)
    assert fault_of(cut(data, 0.6)).reason == Reason.INCOMPLETE


def test_fraunhofers_header_is_read_too(mp3):
    data = with_vbri(mp3("-b:a", "128k", "-write_xing", "0", "-id3v2_version", "0"))
    length = read_length(io.BytesIO(data))
    assert (length.first_byte, length.n_bytes) == (0, len(data))
    assert len(decode(data, sample_rate_hz=RATE_HZ)) > SECONDS * RATE_HZ
    assert fault_of(cut(data, 0.5)).reason == Reason.INCOMPLETE


def test_where_nothing_is_declared_nothing_is_said(mp3):
    for data in (mp3("-write_xing", "0"), mp3(pipe=True)):
        assert read_length(io.BytesIO(data)) is None
        assert len(decode(cut(data, 0.5), sample_rate_hz=RATE_HZ)) < 0.6 * SECONDS * RATE_HZ


ID3V2 = b"ID3\x03\x00\x00\x00\x03\x00\x00" + b"cover \xff\xfb\x90\x64 Xing".ljust(3 << 14, b"\xff")
ID3V1, APE = b"TAG".ljust(128), b"APETAGEX" + b"lyrics and covers " * 800
SURROUNDINGS = {
    "a picture in front": (ID3V2, b""),
    "two tags in front": (ID3V2 * 2, b""),
    "zeros in front": (bytes(3_000), b""),
    "a tag behind": (b"", ID3V1),
    "tags behind": (b"", APE + ID3V1),
}


@pytest.mark.parametrize("where", SURROUNDINGS)
def test_tags_are_neither_frames_nor_missing_bytes(where, mp3):
    before, behind = SURROUNDINGS[where]
    data = mp3("-b:a", "128k", "-id3v2_version", "0")
    expected = decode(data, sample_rate_hz=RATE_HZ)
    tagged = before + data + behind
    assert read_length(io.BytesIO(tagged)).first_byte == len(before)
    got = decode(tagged, sample_rate_hz=RATE_HZ)  # FFmpeg does not always find delay and padding
    assert 0 <= len(got) - len(expected) < 0.06 * RATE_HZ
    assert fault_of(before + cut(data, 0.7) + behind).reason == Reason.INCOMPLETE


def test_a_joined_mp3_is_longer_than_its_first_part_declares(mp3):
    data = mp3("-b:a", "128k")
    got = decode(data + data, sample_rate_hz=RATE_HZ)
    assert len(got) > 1.9 * SECONDS * RATE_HZ


def test_a_header_that_counts_itself_and_a_few_frames_more_is_no_fault(mp3):
    plain = mp3("-b:a", "128k", "-write_xing", "0", "-id3v2_version", "0")
    n_frames = len(decode(plain, sample_rate_hz=44_100)) // 1152
    decode(with_vbri(plain, n_frames=n_frames + 4), sample_rate_hz=RATE_HZ)
    assert fault_of(with_vbri(plain, n_frames=n_frames + 60)).reason == Reason.INCOMPLETE


def test_scratches_up_to_a_tenth_are_left_out_where_no_byte_is_missing(mp3):
    data = bytearray(mp3("-b:a", "128k"))
    at = len(data) // 2
    data[at : at + len(data) // 20] = bytes(len(data) // 20)
    assert len(decode(bytes(data), sample_rate_hz=RATE_HZ)) > 0.9 * SECONDS * RATE_HZ
    data[at : at + len(data) // 3] = bytes(len(data) // 3)  # a download that was made room for
    assert fault_of(bytes(data)).reason == Reason.INCOMPLETE


def test_a_span_of_a_cut_mp3_is_what_is_there(mp3):
    data = mp3("-b:a", "128k")
    span = decode(cut(data, 0.5), sample_rate_hz=RATE_HZ, start_s=1, duration_s=2)
    np.testing.assert_array_equal(
        span, decode(data, sample_rate_hz=RATE_HZ, start_s=1, duration_s=2)
    )
    assert fault_of(cut(data, 0.5), start_s=1).reason == Reason.INCOMPLETE
    got = 0
    with pytest.raises(DecodeError, match="incomplete"):
        for block in decode_blocks(cut(data, 0.5), sample_rate_hz=RATE_HZ):
            got += len(block)
    assert got > 0.4 * SECONDS * RATE_HZ


class Counted(io.BytesIO):
    """Counts what is read, as a file over HTTP would have to fetch it."""

    n_read = 0

    def read(self, n_bytes=-1):
        data = super().read(n_bytes)
        self.n_read += len(data)
        return data


def test_a_length_costs_the_head_of_the_file_and_not_its_tags(mp3):
    file = Counted(ID3V2 * 20 + mp3("-b:a", "320k", "-id3v2_version", "0"))
    file.seek(7)
    assert read_length(file) is not None
    assert file.tell() == 7
    assert file.n_read < 80_000


def test_over_http_a_length_costs_no_request_that_decoding_does_not(mp3, monkeypatch):
    asked = []

    def get(first: int, last: int | None) -> tuple[int, dict[str, str], bytes]:
        asked.append((first, last))
        part = data[first : last + 1]
        span = f"bytes {first}-{first + len(part) - 1}/{len(data)}"
        return 206, {"content-range": span}, part

    data = ID3V2 + mp3("-b:a", "320k", "-id3v2_version", "0")
    decode(RangeFile(get), sample_rate_hz=RATE_HZ)
    with_length = asked.copy()
    asked.clear()
    with monkeypatch.context() as patched:
        patched.setattr(declared_length, "read_length", lambda file: None)
        decode(RangeFile(get), sample_rate_hz=RATE_HZ)
    assert asked == with_length
    data = cut(data, 0.5)
    with pytest.raises(DecodeError, match="incomplete"):
        decode(RangeFile(get), sample_rate_hz=RATE_HZ)


@pytest.mark.parametrize(
    "data",
    [b"", b"ID3", b"\xff" * 5_000, ID3V2[:100], b"\xff\xfb\x90\x64", b"\xff\xfb\x90\x64Xing"],
)
def test_what_is_no_head_declares_nothing(data):
    assert read_length(io.BytesIO(data)) is None


# ------------------------------------------------------------------- flac with variable block sizes


def checksum(data: bytes, n_bits: int, polynomial: int) -> bytes:
    value, top, mask = 0, 1 << n_bits - 1, (1 << n_bits) - 1
    for byte in data:
        value ^= byte << n_bits - 8
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value & top else 0)) & mask
    return value.to_bytes(n_bits // 8)


def coded_number(number: int) -> bytes:
    """As UTF-8 codes characters: the first byte's leading ones say how many there are."""
    if number < 0x80:
        return bytes([number])
    n_more = next(n for n in range(1, 7) if number < 1 << 5 * n + 6)
    more = [0x80 | number >> 6 * k & 0x3F for k in reversed(range(n_more))]
    return bytes([0xFF << 7 - n_more & 0xFF | number >> 6 * n_more, *more])


def flac_of(pcm: np.ndarray, block_sizes: list[int], *, n_declared: int | None = None) -> bytes:
    """Write 16-bit mono at 44.1 kHz as flac, uncompressed, in blocks of these sizes in turn."""
    packed = 44_100 << 44 | 15 << 36 | (len(pcm) if n_declared is None else n_declared)
    sizes = min(block_sizes).to_bytes(2) + max(block_sizes).to_bytes(2) + bytes(6)
    parts = [b"fLaC\x80\x00\x00\x22" + sizes + packed.to_bytes(8) + bytes(16)]
    at = 0
    while at < len(pcm):
        block = pcm[at : at + block_sizes[(len(parts) - 1) % len(block_sizes)]]
        head = b"\xff\xf9\x79\x08" + coded_number(at) + (len(block) - 1).to_bytes(2)
        body = head + checksum(head, 8, 0x07) + b"\x02" + block.astype(">i2").tobytes()
        parts.append(body + checksum(body, 16, 0x8005))
        at += len(block)
    return b"".join(parts)


BLOCKS = [[4096, 16, 192, 8192, 1024, 40], [8192] + [16] * 12, [32_768, 16]]


@pytest.mark.parametrize("block_sizes", BLOCKS, ids=str)
def test_a_flac_with_variable_block_sizes_is_judged_by_its_samples(block_sizes):
    pcm = np.rint(8_000 * sound(44_100)[: 3 * 44_100]).astype(np.int16)
    data = flac_of(pcm, block_sizes)
    theirs, _ = soundfile.read(io.BytesIO(data), dtype="int16")
    np.testing.assert_array_equal(theirs, pcm)  # a flac as libFLAC understands it
    np.testing.assert_array_equal(decode(data, sample_rate_hz=44_100), pcm / np.float32(32_768))
    span = decode(data, sample_rate_hz=44_100, start_s=1.234, duration_s=1)
    first = round(1.234 * 44_100)
    np.testing.assert_array_equal(span, pcm[first : first + 44_100] / np.float32(32_768))
    assert len(decode(flac_of(pcm, block_sizes, n_declared=0), sample_rate_hz=44_100)) == len(pcm)
    fault = fault_of(cut(data, 0.4))
    assert fault.reason == Reason.INCOMPLETE
    assert fault.detail.endswith("s of the 3.0 s that its header declares")
