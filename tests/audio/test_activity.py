"""Which windows count: music at every rate does, silence and noise of every colour do not."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import soxr

from pipeline.audio.spectra.activity import Activity, active_windows, frame_length
from pipeline.errors import UsageError
from tests.conftest import SAMPLE_RATE_HZ, tones

RATES_HZ = [8_000, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000]
SECONDS = 20


def active(samples, *, rate_hz=SAMPLE_RATE_HZ, window_s=1.0, hop_s=None, rule=Activity()):  # noqa: B008
    """Return which whole windows of samples are active."""
    length = round(window_s * rate_hz)
    starts = np.arange(0, len(samples) - length + 1, round((hop_s or window_s) * rate_hz))
    return active_windows(
        samples.astype(np.float32), starts, length, sample_rate_hz=rate_hz, rule=rule
    )


def noise(rng, *, slope, rate_hz=SAMPLE_RATE_HZ, level=0.1):
    """Return noise whose power falls by frequency to the power of `slope`."""
    spectrum = np.fft.rfft(rng.standard_normal(SECONDS * rate_hz))
    spectrum[1:] *= np.arange(1, len(spectrum)) ** (-slope / 2)
    samples = np.fft.irfft(spectrum)
    return level * samples / samples.std()


def notes(rate_hz, *, vibrato_hz=0.0):
    """Return a note a second, of ten partials, up and down from 65 Hz to 1.5 kHz."""
    pitch_hz = 65 * 2 ** (np.abs(np.arange(SECONDS) - SECONDS / 2) * 4.5 / (SECONDS / 2))
    time_s = np.arange(SECONDS * rate_hz) / rate_hz
    wobble = 1 + 0.01 * np.sin(2 * np.pi * vibrato_hz * time_s)
    phase = 2 * np.pi * np.cumsum(np.repeat(pitch_hz, rate_hz) * wobble) / rate_hz
    partials = [np.sin(k * phase) / k for k in range(1, 11) if k * 1500 < rate_hz / 2]
    return 0.1 * np.sum(partials, axis=0) * np.exp(-3 * (time_s % 1))


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("slope", [-1, 0, 1, 2], ids=["blue", "white", "pink", "brown"])
def test_noise_of_every_colour_is_inactive(rng, rate_hz, slope):
    assert not active(noise(rng, slope=slope, rate_hz=rate_hz), rate_hz=rate_hz).any()


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("vibrato_hz", [0, 6])
def test_notes_are_active(rate_hz, vibrato_hz):
    assert active(notes(rate_hz, vibrato_hz=vibrato_hz), rate_hz=rate_hz).all()


def test_notes_in_noise_are_active_until_it_drowns_them(rng):
    music, hiss = notes(SAMPLE_RATE_HZ), noise(rng, slope=1, level=1)
    level = music.std()
    assert active(music + 0.3 * level * hiss).all()
    assert active(music + 10 * level * hiss).mean() <= 0.2


@pytest.mark.parametrize("frequency_hz", np.geomspace(65, 4000, 25).round(1))
@pytest.mark.parametrize("gain", [1, 0.03])
def test_a_single_sine_is_no_noise(rng, frequency_hz, gain):
    """Above and below it there is nothing but the dither of 16 bits, which is white."""
    dither = (rng.random((2, SAMPLE_RATE_HZ)) - 0.5).sum(axis=0)
    steps = np.round(gain * 2**15 * tones(1, frequency_hz) + dither)
    assert active(steps / 2**15).all()


def test_a_tone_that_shows_in_one_band_only(rng):
    """A flute: one partial, and its breath, as loud, from bottom to top."""
    tone = np.sqrt(2) * 0.1 * np.sin(2 * np.pi * 1000 * np.arange(SECONDS * 44_100) / 44_100)
    assert active(tone + noise(rng, slope=0)).mean() >= 0.9
    assert not active(0.01 * tone + noise(rng, slope=0)).any()


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050])
def test_noise_that_was_sampled_at_a_lower_rate_is_noise(rng, rate_hz):
    low = noise(rng, slope=1, rate_hz=rate_hz)
    assert active(soxr.resample(low, rate_hz, SAMPLE_RATE_HZ)[: 19 * SAMPLE_RATE_HZ]).mean() <= 0.06
    assert active(soxr.resample(notes(rate_hz), rate_hz, SAMPLE_RATE_HZ)).all()


def test_noise_that_swells_is_noise(rng):
    """Speech in another room, surf, and a fade-out."""
    time_s = np.arange(SECONDS * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    band = scipy.signal.butter(2, [300, 3400], "band", fs=SAMPLE_RATE_HZ, output="sos")
    babble = scipy.signal.sosfilt(band, noise(rng, slope=0)) * np.sin(2 * np.pi * 2 * time_s) ** 2
    assert not active(babble).any()
    assert not active(noise(rng, slope=1) * 10 ** (-2 * (time_s % 1))).any()


def test_applause_is_noise(rng):
    claps = np.zeros(SECONDS * SAMPLE_RATE_HZ)
    for start in rng.integers(0, len(claps) - 1000, 300 * SECONDS):
        claps[start : start + 800] += rng.standard_normal(800) * np.exp(-np.arange(800) / 200)
    assert not active(0.1 * claps / claps.std()).any()


def test_silence_is_inactive_whatever_its_offset(rng):
    n = 3 * SAMPLE_RATE_HZ
    dither = rng.uniform(-1, 1, n) / 2**15
    for silence in (np.zeros(n), np.full(n, 0.01), dither, dither + 0.01):
        assert not active(silence).any()


def test_the_level_is_the_limit():
    """A sine of amplitude a has an RMS of a / sqrt 2."""
    sine = tones(1, 441) * 4 * np.sqrt(2)
    for level_dbfs, limit_dbfs in ((-59.9, -60), (-60.1, -60), (-39.9, -40), (-40.1, -40)):
        rule = Activity(min_level_dbfs=limit_dbfs)
        found = active(sine * 10 ** (level_dbfs / 20), rule=rule)
        assert found.tolist() == [level_dbfs > limit_dbfs]


def test_the_flatness_is_the_limit(rng):
    white = noise(rng, slope=0)
    assert active(white, rule=Activity(max_flatness=1)).all()
    assert not active(notes(SAMPLE_RATE_HZ), rule=Activity(max_flatness=0)).any()


def test_each_window_is_judged_alone(rng):
    """Windows that overlap, in any number, in any order: as if each were all there is."""
    parts = [notes(SAMPLE_RATE_HZ), noise(rng, slope=1), np.zeros(5 * SAMPLE_RATE_HZ)]
    samples = np.concatenate(parts).astype(np.float32)
    starts = rng.permutation(np.arange(0, len(samples) - SAMPLE_RATE_HZ, 11_111))
    options = {"sample_rate_hz": SAMPLE_RATE_HZ, "rule": Activity()}
    together = active_windows(samples, starts, SAMPLE_RATE_HZ, **options)
    for start, found in zip(starts, together, strict=True):
        window = samples[start : start + SAMPLE_RATE_HZ]
        assert active_windows(window, [0], SAMPLE_RATE_HZ, **options).tolist() == [found]
    assert 0.3 < together.mean() < 0.6


def test_a_window_over_the_end_is_judged_by_what_is_there(rng):
    options = {"sample_rate_hz": SAMPLE_RATE_HZ, "rule": Activity(min_level_dbfs=-40)}
    starts = np.array([0, 400, 1000, 5000])
    tail = 1.8e-2 * np.sqrt(2) * tones(1, 441)[:1000] * 4  # -35 dBFS, and -51 with padding
    found = active_windows(tail.astype(np.float32), starts, SAMPLE_RATE_HZ, **options)
    assert found.tolist() == [True, True, False, False]
    hiss = noise(rng, slope=0)[:20_000].astype(np.float32)
    assert active_windows(hiss, [0, 5_000], SAMPLE_RATE_HZ, **options).tolist() == [False, False]


@pytest.mark.parametrize("window_s", [0.25, 0.5, 2.0, 3.0])
def test_windows_of_other_lengths(rng, window_s):
    assert active(noise(rng, slope=1), window_s=window_s).mean() <= 0.02
    assert active(notes(SAMPLE_RATE_HZ), window_s=window_s).mean() >= 0.98


def test_in_less_than_a_frame_only_the_level_decides(rng):
    loud = noise(rng, slope=0)
    short_s = (frame_length(SAMPLE_RATE_HZ) - 1) / SAMPLE_RATE_HZ
    assert active(loud, window_s=short_s).all()
    assert not active(1e-5 * loud, window_s=short_s).any()


def test_no_samples_and_no_windows():
    options = {"sample_rate_hz": SAMPLE_RATE_HZ, "rule": Activity()}
    assert active_windows(np.zeros(0, np.float32), [0], 100, **options).tolist() == [False]
    assert active_windows(np.ones(9, np.float32), [], 100, **options).tolist() == []


def test_frames_last_alike_at_every_rate():
    assert frame_length(44_100) == 4096
    for rate_hz in RATES_HZ:
        assert 0.06 < frame_length(rate_hz) / rate_hz < 0.14


def test_nothing_is_written_to_the_samples(rng):
    samples = noise(rng, slope=0).astype(np.float32)
    before = samples.copy()
    active(samples)
    np.testing.assert_array_equal(samples, before)


def test_limits_that_make_no_sense():
    with pytest.raises(UsageError, match="0 or less"):
        Activity(min_level_dbfs=1)
    with pytest.raises(UsageError, match="0 to 1"):
        Activity(max_flatness=1.1)
