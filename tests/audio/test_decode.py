"""Decoding: every format, spans by seek, downmix, and hostile bytes as typed faults."""

import io

import av
import numpy as np
import pytest
import soundfile

from pipeline.audio.decode import decode
from pipeline.errors import DecodeError, FetchFault, Reason
from tests.conftest import SAMPLE_RATE_HZ, tones

BY_SNDFILE = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS"}
LOSSY = {"mp3": "libmp3lame", "opus": "libopus", "m4a": "aac", "webm": "libopus"}

AAC_PRIMING = 1024  # PyAV's muxer writes no edit list for it


def sweep(seconds: float, rate: int) -> np.ndarray:
    """A tone that rises by 100 Hz a second: every moment sounds different."""
    time_s = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * (300 + 50 * time_s) * time_s)).astype(np.float32)


def encoded(samples: np.ndarray, suffix: str, rate: int) -> bytes:
    file = io.BytesIO()
    if suffix in BY_SNDFILE:
        soundfile.write(file, samples.T, rate, format=suffix, subtype=BY_SNDFILE[suffix])
        return file.getvalue()
    stereo = np.atleast_2d(samples)
    layout = "mono" if len(stereo) == 1 else "stereo"
    with av.open(file, "w", format={"m4a": "mp4"}.get(suffix, suffix)) as container:
        stream = container.add_stream(LOSSY[suffix], rate=rate, layout=layout)
        stream.bit_rate = 160_000
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
