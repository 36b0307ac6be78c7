"""Rendering: every format holds what was written, levels are kept, files are seekable."""

import io
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.demo.compose import Section, compose
from pipeline.demo.render import (
    RATE_HZ,
    SUFFIXES,
    comment_of,
    encode,
    master,
    resample,
    synthesize,
)

SECONDS = 3.3
CUES, CLUSTER = b"\x1c\x53\xbb\x6b", b"\x1f\x43\xb6\x75"  # element ids of Matroska


def tone(rate_hz: int, n_channels: int) -> np.ndarray:
    times_s = np.arange(round(SECONDS * rate_hz)) / rate_hz
    mono = 0.3 * np.sin(2 * np.pi * 440 * times_s).astype(np.float32)
    return np.stack([mono] * n_channels, axis=1)


def read(path: Path) -> tuple[np.ndarray, int]:
    with av.open(str(path)) as container:
        rate_hz = container.streams.audio[0].rate
        resampler = av.AudioResampler("flt", "mono", rate_hz)
        frames = [g for f in container.decode(audio=0) for g in resampler.resample(f)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]), rate_hz


@pytest.mark.parametrize("rate_hz, n_channels", [(48_000, 2), (44_100, 1)])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_holds_what_was_written(tmp_path, suffix, rate_hz, n_channels):
    path = tmp_path / f"tone{suffix}"
    encode(tone(rate_hz, n_channels), rate_hz, path, comment="who made it")
    samples, decoded_hz = read(path)
    assert len(samples) / decoded_hz == pytest.approx(SECONDS, abs=0.05)
    assert decoded_hz == (48_000 if suffix in (".webm", ".opus") else rate_hz)
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    bin_hz = decoded_hz / len(samples)
    assert power.argmax() * bin_hz == pytest.approx(440, abs=1)
    assert power[abs(np.arange(len(power)) * bin_hz - 440) < 10].sum() > 0.99 * power.sum()
    assert comment_of(path) == "who made it"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_file_without_a_comment_or_without_audio_has_an_empty_one(tmp_path):
    encode(tone(48_000, 1), 48_000, tmp_path / "plain.wav")
    (tmp_path / "text.webm").write_text("no audio")
    for name in ("plain.wav", "text.webm", "missing.webm"):
        assert comment_of(tmp_path / name) == ""


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "tone.wav"
    encode(tone(48_000, 1), 48_000, path)
    before = path.read_bytes()

    def fail(frames: np.ndarray, rate_hz: int, path: Path, comment: str) -> None:
        path.write_bytes(b"half a file")
        raise OSError("disk full")

    monkeypatch.setattr("pipeline.demo.render._write_av", fail)
    with pytest.raises(OSError, match="disk full"):
        encode(tone(48_000, 2), 48_000, path)
    assert path.read_bytes() == before


class CountingFile(io.BytesIO):
    """A file in memory that counts the bytes read from it."""

    n_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.n_bytes += len(data)
        return data


def test_webm_can_be_read_at_a_segment_only(tmp_path):
    encode(np.tile(tone(48_000, 2), (12, 1)), 48_000, tmp_path / "tone.webm")
    data = (tmp_path / "tone.webm").read_bytes()
    assert 0 < data.rindex(CUES) < data.index(CLUSTER)
    file = CountingFile(data)
    with av.open(file) as container:
        stream = container.streams.audio[0]
        container.seek(round(30 / stream.time_base), stream=stream)
        frame = next(container.decode(stream))
    assert 30 - 2.1 < frame.time <= 30
    assert file.n_bytes < 0.5 * len(data)


def test_synthesis_is_as_long_as_was_asked():
    midi = compose([Section(0.0, 2.5, ("gac",))], seed="length")
    assert synthesize(midi, duration_s=2.5).shape == (120_000, 2)
    longer = synthesize(midi, duration_s=4.0)
    assert longer.shape == (192_000, 2)
    assert np.abs(longer[:120_000]).max() > 0.01
    assert not longer[130_000:].any()


@pytest.mark.parametrize("seed", [str(k) for k in range(8)])
def test_mastering_sets_the_level_and_keeps_the_peaks(seed):
    noise = np.random.default_rng(0).standard_normal((6 * RATE_HZ, 2), dtype=np.float32) * 0.01
    noise[: 2 * RATE_HZ] *= 20
    parts = master(noise, seed=seed, loud_s=(2.0, 4.0)).reshape(3, -1)
    before_db, inside_db, after_db = 10 * np.log10((parts**2).mean(axis=1))
    assert -28 < inside_db < -15
    assert before_db == pytest.approx(inside_db + 3, abs=0.6)  # it was 26 dB louder
    assert after_db == pytest.approx(inside_db, abs=0.5)
    assert np.abs(parts).max() < 0.9


def test_recordings_differ_in_tone():
    noise = np.random.default_rng(0).standard_normal((RATE_HZ, 2), dtype=np.float32) * 0.1
    treble = []
    for seed in "abcdef":
        power = np.abs(np.fft.rfft(master(noise, seed=seed, loud_s=(0.0, 1.0))[:, 0])) ** 2
        treble.append(10 * np.log10(power[8000:].sum() / power[500:1500].sum()))
    assert np.ptp(treble) > 3


def test_resampling_keeps_the_pitch():
    low = resample(tone(RATE_HZ, 2), 44_100)
    assert low.shape == (round(SECONDS * 44_100), 2)
    crossings = (np.diff(np.signbit(low[:, 0])) != 0).sum()
    assert crossings == pytest.approx(2 * 440 * SECONDS, abs=2)
