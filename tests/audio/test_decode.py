"""Decoding: every format, spans by seek, downmix, and hostile bytes as typed faults."""

import io
import os
import socket
import struct
import subprocess
import sys
import time

import av
import numpy as np
import pytest
import soundfile

from pipeline.audio.decoding import container
from pipeline.audio.decoding.decode import decode, decode_blocks
from pipeline.audio.decoding.ffmpeg import ffmpeg_exe
from pipeline.errors import DecodeError, FetchFault, Reason
from tests.conftest import SAMPLE_RATE_HZ, tones

BY_SNDFILE = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS"}
LOSSY = {"mp3": "libmp3lame", "opus": "libopus", "m4a": "aac", "webm": "libopus"}

AAC_PRIMING = 1024  # PyAV's muxer writes no edit list for it


def sweep(seconds: float, rate: int) -> np.ndarray:
    """A tone that rises by 100 Hz a second: every moment sounds different."""
    time_s = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * (300 + 50 * time_s) * time_s)).astype(np.float32)


def encoded(samples: np.ndarray, suffix: str, rate: int, bit_rate: int = 160_000) -> bytes:
    file = io.BytesIO()
    if suffix in BY_SNDFILE:
        soundfile.write(file, samples.T, rate, format=suffix, subtype=BY_SNDFILE[suffix])
        return file.getvalue()
    stereo = np.atleast_2d(samples)
    layout = "mono" if len(stereo) == 1 else "stereo"
    with av.open(file, "w", format={"m4a": "mp4"}.get(suffix, suffix)) as container:
        stream = container.add_stream(LOSSY[suffix], rate=rate, layout=layout)
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(stereo, np.float32), format="fltp", layout=layout
        )
        frame.sample_rate = rate
        for part in (frame, None):
            container.mux(stream.encode(part))
    return file.getvalue()


@pytest.mark.parametrize("suffix", [*BY_SNDFILE, *LOSSY])
def test_every_format_gives_the_length_and_the_sound(suffix):
    samples = sweep(4, 48_000)
    got = decode(encoded(samples, suffix, 48_000), sample_rate_hz=48_000)
    assert abs(len(got) - len(samples)) < 0.05 * 48_000
    delay = AAC_PRIMING if suffix == "m4a" else 0
    n = min(len(got) - delay, len(samples))
    assert np.corrcoef(got[delay : delay + n], samples[:n])[0, 1] > 0.999


@pytest.mark.parametrize("suffix", [*BY_SNDFILE, *LOSSY])
@pytest.mark.parametrize("start_s", [0.0, 0.05, 7.3, 12.345])
def test_a_span_is_what_a_full_decode_has_there(suffix, start_s):
    data = encoded(sweep(20, 48_000), suffix, 48_000)
    whole = decode(data, sample_rate_hz=44_100)
    span = decode(data, sample_rate_hz=44_100, start_s=start_s, duration_s=2.5)
    assert len(span) == round(2.5 * 44_100)
    first = round(start_s * 44_100)
    expected = whole[first : first + len(span)]
    tolerance = 1e-4 if suffix in ("opus", "webm") else 1e-6  # Opus carries state over
    np.testing.assert_allclose(span, expected, atol=tolerance)


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
@pytest.mark.parametrize("sample_rate_hz", [16_000, 32_000])
@pytest.mark.parametrize("suffix", ["wav", "mp3", "webm"])
def test_a_span_at_the_rates_of_networks_is_what_a_full_decode_has_there(
    suffix, sample_rate_hz, rate_hz
):
    rate_hz = 48_000 if suffix == "webm" else rate_hz  # Opus knows no other
    data = encoded(sweep(12, rate_hz), suffix, rate_hz)
    whole = decode(data, sample_rate_hz=sample_rate_hz)
    for start_s in (0.05, 4.321, 9.9):
        span = decode(data, sample_rate_hz=sample_rate_hz, start_s=start_s, duration_s=1.5)
        first = round(start_s * sample_rate_hz)
        tolerance = 1e-4 if suffix == "webm" else 2e-6
        np.testing.assert_allclose(span, whole[first : first + len(span)], atol=tolerance)


def test_lossless_spans_are_exact():
    samples = tones(5, 440, 700)
    data = encoded(samples, "wav", SAMPLE_RATE_HZ)
    span = decode(data, sample_rate_hz=SAMPLE_RATE_HZ, start_s=2, duration_s=1)
    np.testing.assert_allclose(span, samples[2 * 44_100 : 3 * 44_100], atol=1 / 32_768)


def test_stereo_is_the_mean_of_the_channels():
    left, right = tones(1, 440), tones(1, 1000)
    got = decode(encoded(np.stack([left, right]), "wav", 44_100), sample_rate_hz=44_100)
    np.testing.assert_allclose(got, (left + right) / 2, atol=1e-4)


def test_a_span_past_the_end_is_short_not_wrong():
    data = encoded(tones(3, 440), "wav", 44_100)
    assert len(decode(data, sample_rate_hz=44_100, start_s=2, duration_s=5)) == 44_100
    assert len(decode(data, sample_rate_hz=44_100, start_s=10, duration_s=5)) == 0


WAV = encoded(tones(2, 440), "wav", 44_100)
HOSTILE = {
    "nothing": (b"", Reason.EMPTY),
    "html": (b"<html><body>Not found</body></html>" * 50, Reason.NOT_AUDIO),
    "playlist": (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", Reason.NOT_AUDIO),
    "concat": (b"ffconcat version 1.0\nfile /etc/passwd\n", Reason.UNDECODABLE),
    "header only": (WAV[:44], Reason.EMPTY),
    "half a header": (WAV[:20], Reason.NOT_AUDIO),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(200), Reason.UNDECODABLE),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_typed_faults(name):
    data, reason = HOSTILE[name]
    with pytest.raises(DecodeError) as caught:
        decode(data, sample_rate_hz=44_100)
    assert caught.value.reason == reason
    assert caught.value.detail


def test_nan_is_refused():
    file = io.BytesIO()
    samples = np.full(44_100, np.nan, np.float32)
    soundfile.write(file, samples, 44_100, format="WAV", subtype="FLOAT")
    with pytest.raises(DecodeError, match="NaN"):
        decode(file.getvalue(), sample_rate_hz=44_100)


def test_too_long_is_told():
    with pytest.raises(DecodeError, match=r"longer than 3 s"):
        decode(encoded(tones(9, 440), "wav", 44_100), sample_rate_hz=44_100, max_duration_s=3)


@pytest.mark.parametrize("path", ["missing.wav", "."])
def test_a_path_that_is_no_file(tmp_path, path):
    with pytest.raises(DecodeError) as caught:
        decode(tmp_path / path, sample_rate_hz=44_100)
    assert caught.value.reason == Reason.UNREADABLE


def test_a_fault_of_the_line_comes_through_the_decoder():
    class Broken(io.RawIOBase):
        def readable(self):
            return True

        def seekable(self):
            return True

        def seek(self, offset, whence=0):
            return 0

        def read(self, n=-1):
            raise FetchFault(Reason.TIMEOUT, "the line is dead")

    with pytest.raises(FetchFault, match="the line is dead"):
        decode(Broken(), sample_rate_hz=44_100)


# ------------------------------------------------------------------ every format, rate and channel

WAV_SUBTYPES = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"]


@pytest.mark.parametrize("subtype", WAV_SUBTYPES)
def test_wav_of_every_depth(subtype):
    file, samples = io.BytesIO(), sweep(1, 44_100)
    soundfile.write(file, samples, 44_100, format="WAV", subtype=subtype)
    got = decode(file.getvalue(), sample_rate_hz=44_100)
    np.testing.assert_allclose(got, samples, atol=1 / 100 if subtype == "PCM_U8" else 1 / 30_000)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4, 5, 6, 7, 8])
def test_any_number_of_channels_is_averaged(suffix, n_channels):
    channels = np.stack([tones(0.5, 200 * (k + 1)) for k in range(n_channels)])
    got = decode(encoded(channels, suffix, 44_100), sample_rate_hz=44_100)
    np.testing.assert_allclose(got, channels.mean(axis=0), atol=1e-4)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 48_000, 96_000, 192_000])
def test_any_rate_is_resampled(rate_hz):
    got = decode(
        encoded(tones(1, 440, sample_rate_hz=rate_hz), "wav", rate_hz), sample_rate_hz=32_000
    )
    expected = tones(1, 440, sample_rate_hz=32_000)
    assert len(got) == len(expected)
    middle = slice(3200, -3200)
    np.testing.assert_allclose(got[middle], expected[middle], atol=2e-3)


def level_db(tone_hz: float, *, rate_hz: int, sample_rate_hz: int) -> float:
    """Return what is left of a tone at full scale once it has been resampled, without the ends."""
    time_s, file = np.arange(2 * rate_hz) / rate_hz, io.BytesIO()
    tone = np.sin(2 * np.pi * tone_hz * time_s)
    soundfile.write(file, tone, rate_hz, format="WAV", subtype="FLOAT")
    got = decode(file.getvalue(), sample_rate_hz=sample_rate_hz)
    middle = got[sample_rate_hz // 2 : -sample_rate_hz // 2].astype(np.float64)
    return float(20 * np.log10(np.sqrt(2 * np.mean(middle**2))))


@pytest.mark.parametrize("way", ["libraries", "command"])
@pytest.mark.parametrize(
    ("rate_hz", "sample_rate_hz"), [(44_100, 16_000), (48_000, 16_000), (48_000, 32_000)]
)
def test_resampling_leaves_no_alias_and_keeps_what_is_below(
    way, rate_hz, sample_rate_hz, monkeypatch
):
    if way == "command":
        monkeypatch.setattr(container, "FORMATS", "flac")  # the libraries refuse the wav
    rates = {"rate_hz": rate_hz, "sample_rate_hz": sample_rate_hz}
    assert level_db(1.025 * sample_rate_hz / 2, **rates) < -100  # 8.2 kHz into 16 kHz
    assert abs(level_db(0.9375 * sample_rate_hz / 2, **rates)) < 0.5  # 7.5 kHz


@pytest.mark.parametrize("suffix", ["mp3", "m4a"])
def test_encoder_delay_and_padding_are_those_of_ffmpegs_own_decode(suffix, tmp_path):
    path = tmp_path / f"sweep.{suffix}"
    soundfile.write(tmp_path / "sweep.wav", sweep(3, 44_100), 44_100)
    codec = {"mp3": "libmp3lame", "m4a": "aac"}[suffix]
    run_ffmpeg("-i", tmp_path / "sweep.wav", "-c:a", codec, "-b:a", "192k", path)
    run_ffmpeg("-i", path, "-c:a", "pcm_f32le", tmp_path / "back.wav")
    theirs, _ = soundfile.read(tmp_path / "back.wav", dtype="float32")
    ours = decode(path, sample_rate_hz=44_100)
    assert abs(len(ours) - len(theirs)) <= 1
    n = min(len(ours), len(theirs))
    np.testing.assert_allclose(ours[:n], theirs[:n], atol=1e-4)
    whole = sweep(3, 44_100)
    assert np.corrcoef(ours[: len(whole)], whole[: len(ours)])[0, 1] > 0.999  # gapless


def run_ffmpeg(*words: object) -> None:
    command = [ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *map(str, words)]
    subprocess.run(command, check=True)


# ----------------------------------------------------------------------------- long and torn files


@pytest.mark.parametrize("suffix", [*BY_SNDFILE, *LOSSY])
def test_blocks_are_the_whole(suffix):
    data = encoded(sweep(12, 48_000), suffix, 48_000)
    blocks = list(decode_blocks(data, sample_rate_hz=44_100))
    assert len(blocks) > 3
    assert max(map(len, blocks)) < 3 * 44_100
    np.testing.assert_array_equal(np.concatenate(blocks), decode(data, sample_rate_hz=44_100))


@pytest.mark.slow
def test_a_ten_hour_mp3_is_decoded_in_bounded_memory(tmp_path):
    minute = encoded(sweep(60, 8_000), "mp3", 8_000)
    path = tmp_path / "ten hours.mp3"
    frames = minute[minute.index(b"\xff\xe3", 400) :]  # behind the tag and the frame that says 60 s
    path.write_bytes(frames * 600)
    code = (
        "import sys; from pipeline.audio.decoding.decode import decode_blocks;"
        "n = sum(map(len, decode_blocks(sys.argv[1], sample_rate_hz=8000)));"
        "status = dict(line.split(':') for line in open('/proc/self/status'));"
        "print(n / 8000, int(status['VmHWM'].split()[0]) / 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    seconds, peak_mib = map(float, done.stdout.split())
    assert abs(seconds - 36_000) < 150  # each minute brings its own padding
    assert peak_mib < 300


def test_a_scratch_costs_its_packets_and_not_the_file():
    data = bytearray(encoded(sweep(10, 44_100), "mp3", 44_100))
    middle = len(data) // 2
    data[middle : middle + 600] = bytes(600)
    got = decode(bytes(data), sample_rate_hz=44_100)
    assert len(got) > 9.8 * 44_100


def test_tags_behind_the_last_frame_are_no_fault():
    data = encoded(sweep(3, 44_100), "mp3", 44_100) + b"APETAGEX" + b"lyrics and covers " * 500
    assert abs(len(decode(data, sample_rate_hz=44_100)) - 3 * 44_100) < 3000


@pytest.mark.parametrize("suffix", ["mp3", "adts"])
@pytest.mark.parametrize(
    ("first", "second"),
    [((2, 44_100), (1, 44_100)), ((1, 44_100), (2, 44_100)), ((2, 44_100), (2, 22_050))],
)
def test_a_joined_file_may_change_channels_and_rate_in_the_middle(suffix, first, second, tmp_path):
    """In a process of its own: PyAV's buffer reads beyond channels that are not there."""
    parts = []
    for n_channels, rate_hz in (first, second):
        run_ffmpeg(
            "-f", "lavfi", "-i", "sine=440:duration=3", "-ac", n_channels, "-ar", rate_hz,
            "-f", suffix, tmp_path / "part",
        )  # fmt: skip
        parts.append((tmp_path / "part").read_bytes())
    (tmp_path / "joined").write_bytes(b"".join(parts))
    code = (
        "import sys; import numpy as np; from pipeline.audio.decoding.decode import decode;"
        "y = decode(sys.argv[1], sample_rate_hz=44100);"
        "print(len(y) / 44100, *(np.abs(part).max() for part in np.array_split(y, 2)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "joined"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    seconds, *peaks = map(float, done.stdout.split())
    assert abs(seconds - 6) < 0.15
    alone = [np.abs(decode(part, sample_rate_hz=44_100)).max() for part in parts]
    assert peaks == pytest.approx(alone, rel=0.05)


# ----------------------------------------------------------------------------------- hostile input


def wav_header(*, channels: int, rate: int, bits: int, n_bytes: int, tag: int = 1) -> bytes:
    block = max(1, channels * bits // 8)
    fmt = struct.pack(
        "<HHIIHH", tag, channels, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, bits
    )
    return (
        b"RIFF"
        + struct.pack("<I", 36 + n_bytes & 0xFFFFFFFF)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + fmt
        + b"data"
        + struct.pack("<I", n_bytes)
    )


def au_header(*, channels: int, rate: int) -> bytes:
    return b".snd" + struct.pack(">IIIII", 24, 0xFFFFFFFF, 3, rate, channels)


def flac_that_claims(n_samples: int) -> bytes:
    data = bytearray(encoded(tones(1, 440), "flac", 44_100))
    packed = int.from_bytes(data[18:26], "big") >> 36 << 36 | n_samples
    data[18:26] = packed.to_bytes(8, "big")
    return bytes(data)


CLAIMS = {
    "a billion seconds at 4 Hz": (
        wav_header(channels=1, rate=4, bits=8, n_bytes=4_000_000_000) + bytes(4000),
        Reason.UNDECODABLE,
    ),
    "a day in a second": (
        wav_header(channels=1, rate=44_100, bits=8, n_bytes=3_810_240_000) + bytes(44_100),
        Reason.INCOMPLETE,
    ),
    "18 days of flac": (flac_that_claims((1 << 36) - 1), Reason.INCOMPLETE),
    "a million channels": (au_header(channels=1_000_000, rate=44_100) + bytes(100_000), None),
    "65,535 channels": (
        wav_header(channels=65_535, rate=44_100, bits=8, n_bytes=100_000) + bytes(100_000),
        None,
    ),
    "no channels": (wav_header(channels=0, rate=44_100, bits=16, n_bytes=1000) + bytes(1000), None),
    "a rate of 4 GHz": (
        wav_header(channels=1, rate=0xFFFFFFFF, bits=16, n_bytes=1000) + bytes(1000),
        None,
    ),
}


@pytest.mark.parametrize("n_bytes", [0x7FFFF000, 0x7FFFF024, 0x80000000, 0xFFFFFFFF, 0xFFFFF000])
def test_a_wav_that_was_written_to_a_pipe_is_whole(n_bytes):
    data = wav_header(channels=1, rate=44_100, bits=16, n_bytes=n_bytes) + bytes(2 * 44_100)
    assert len(decode(data, sample_rate_hz=44_100)) == 44_100


@pytest.mark.parametrize("start_s", [3.003, 5.003, 9.7])
def test_a_span_of_an_mp3_with_a_full_reservoir(start_s):
    """At 32 kbit/s a frame's bits begin up to nine frames before it."""
    noise = np.random.default_rng(0).normal(size=12 * 44_100).cumsum()
    samples = (0.2 * np.sin(noise / 40) * np.linspace(0, 1, len(noise))).astype(np.float32)
    data = encoded(samples, "mp3", 44_100, bit_rate=32_000)
    whole = decode(data, sample_rate_hz=44_100)
    span = decode(data, sample_rate_hz=44_100, start_s=start_s, duration_s=2)
    first = round(start_s * 44_100)
    np.testing.assert_allclose(span, whole[first : first + len(span)], atol=1e-6)


@pytest.mark.parametrize("name", CLAIMS)
def test_what_a_header_claims_costs_nothing(name):
    data, reason = CLAIMS[name]
    began = time.process_time()  # of this process alone, whatever else the machine does
    with pytest.raises(DecodeError) as caught:
        decode(data, sample_rate_hz=44_100)
    assert reason is None or caught.value.reason == reason
    assert time.process_time() - began < 10


@pytest.mark.parametrize("suffix", ["wav", "flac", "m4a", "webm"])
def test_a_truncated_file_is_incomplete(suffix):
    data = encoded(sweep(20, 48_000), suffix, 48_000)
    with pytest.raises(DecodeError) as caught:
        decode(data[: len(data) // 2], sample_rate_hz=44_100)
    assert caught.value.reason in (Reason.INCOMPLETE, Reason.NOT_AUDIO, Reason.UNDECODABLE)


@pytest.mark.parametrize("comment", [b"take of tuesday", b"raw database export, take 3"])
def test_the_word_data_in_a_comment_is_not_the_audio(comment):
    chunk = b"LIST" + struct.pack("<I", 4 + 8 + len(comment) + len(comment) % 2) + b"INFOICMT"
    chunk += struct.pack("<I", len(comment)) + comment + bytes(len(comment) % 2)
    wav = WAV[:36] + chunk + WAV[36:]
    wav = wav[:4] + struct.pack("<I", len(wav) - 8) + wav[8:]
    np.testing.assert_array_equal(
        decode(wav, sample_rate_hz=44_100), decode(WAV, sample_rate_hz=44_100)
    )
    with pytest.raises(DecodeError, match="incomplete"):
        decode(wav[: len(wav) // 4], sample_rate_hz=44_100)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e25])
def test_one_sample_that_is_no_number_is_told(value):
    samples = tones(2, 440)
    samples[50_000] = value
    file = io.BytesIO()
    soundfile.write(file, samples, 44_100, format="WAV", subtype="FLOAT")
    with pytest.raises(DecodeError, match="not numbers") as caught:
        decode(file.getvalue(), sample_rate_hz=44_100)
    assert caught.value.reason == Reason.UNDECODABLE


POINTERS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile '{target}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=audio {port} RTP/AVP 0\n",
    "mpd": "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><Period>"
    "<AdaptationSet><Representation id='1'><BaseURL>{target}</BaseURL></Representation>"
    "</AdaptationSet></Period></MPD>",
    "imf": "{target}\n",
}


@pytest.mark.parametrize("kind", POINTERS)
@pytest.mark.parametrize("suffix", ["mp3", "own"])
@pytest.mark.parametrize("where", ["file", "http"])
def test_nothing_but_the_given_bytes_is_opened(kind, suffix, where, tmp_path):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(WAV)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        target = {"file": str(secret), "http": f"http://127.0.0.1:{port}/secret.wav"}[where]
        path = tmp_path / f"list.{kind if suffix == 'own' else suffix}"
        path.write_text(POINTERS[kind].format(target=target, port=port))
        for source in (path, path.read_bytes()):
            with pytest.raises(DecodeError):
                decode(source, sample_rate_hz=44_100)
        listener.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(DecodeError, match="not a regular file"):
        decode(tmp_path / "pipe.wav", sample_rate_hz=44_100)


def test_a_file_that_cannot_be_read():
    with pytest.raises(DecodeError) as caught:
        decode("/proc/self/mem", sample_rate_hz=44_100)
    assert caught.value.reason == Reason.UNREADABLE


@pytest.mark.parametrize(
    "name",
    [
        b"new\nline.wav",
        b"quo'te\".wav",
        b"not utf-8 \xff\xfe.wav",
        b"-y.wav",
        b"http:x.wav",
        b"%d.wav",
        b" .wav",
    ],
)
def test_odd_names_are_names(name, tmp_path):
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(WAV)
    assert len(decode(path, sample_rate_hz=44_100)) == 2 * 44_100
    path.write_bytes(b"no audio")
    with pytest.raises(DecodeError):  # through ffmpeg's command line as well
        decode(path, sample_rate_hz=44_100)


def test_a_zero_byte_in_a_name():
    with pytest.raises(DecodeError) as caught:
        decode("a\0b.wav", sample_rate_hz=44_100)
    assert caught.value.reason == Reason.UNREADABLE


# ---------------------------------------------------------------------------- ffmpeg's command line


def test_what_the_libraries_refuse_the_command_is_asked_for(tmp_path):
    soundfile.write(tmp_path / "a.wav", sweep(3, 44_100), 44_100)
    run_ffmpeg(
        "-i", tmp_path / "a.wav", "-c:a", "mp2", tmp_path / "a.ts"
    )  # no format of the fast way
    for source in (tmp_path / "a.ts", (tmp_path / "a.ts").read_bytes()):
        got = decode(source, sample_rate_hz=44_100)
        assert abs(len(got) - 3 * 44_100) < 3000
        span = decode(source, sample_rate_hz=44_100, start_s=1.0, duration_s=0.5)
        np.testing.assert_array_equal(span, got[44_100 : 44_100 + 22_050])


def test_the_command_decodes_no_more_than_was_asked_for(tmp_path):
    run_ffmpeg("-f", "lavfi", "-i", "sine=440:duration=6", "-c:a", "mp2", tmp_path / "a.ts")
    with pytest.raises(DecodeError) as caught:
        decode(tmp_path / "a.ts", sample_rate_hz=8_000, max_duration_s=4)
    assert caught.value.reason == Reason.TOO_LONG


@pytest.mark.parametrize("as_path", [True, False])
def test_a_file_of_scratches_is_refused_and_the_command_not_asked(as_path, tmp_path):
    """It would skip them and give the rest as the whole."""
    data = bytearray(encoded(sweep(20, 44_100), "mp3", 44_100))
    noise = np.random.default_rng(0).integers(0, 256, len(data), np.uint8).tobytes()
    for at in range(8_000, len(data) - 2_000, 4_000):
        data[at : at + 1_600] = noise[at : at + 1_600]
    (tmp_path / "bad.mp3").write_bytes(data)
    with pytest.raises(DecodeError, match="packets do not decode") as caught:
        decode(tmp_path / "bad.mp3" if as_path else bytes(data), sample_rate_hz=44_100)
    assert caught.value.reason == Reason.UNDECODABLE


def test_no_file_handle_is_left_open(tmp_path):
    (tmp_path / "good.wav").write_bytes(WAV)
    (tmp_path / "bad.wav").write_bytes(WAV[:30])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        decode(tmp_path / "good.wav", sample_rate_hz=44_100)
        with pytest.raises(DecodeError):
            decode(tmp_path / "bad.wav", sample_rate_hz=44_100)
    assert len(os.listdir("/proc/self/fd")) == before
