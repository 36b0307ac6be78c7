"""Features of whole recordings and of shapes of spectra: known sounds, their references."""

import numpy as np
import pytest
import scipy.stats

from pipeline.audio.description.analysis import Analysis
from pipeline.audio.description.feature_table import _named_as_files
from pipeline.audio.description.features import FEATURES, FrameSpec, describe, extract, pool
from pipeline.errors import UsageError

SPEC = FrameSpec()
RATE_HZ = SPEC.sample_rate_hz
NAMES = ("flux_l2", "spectral_shape", "attack", "loudness", "tonality", "tempo", "stft_multi")


def seconds(n: float) -> np.ndarray:
    return np.arange(round(n * RATE_HZ)) / RATE_HZ


def sine(hz: float, n_s: float = 1.0, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * seconds(n_s))).astype(np.float32)


def noise(n_s: float = 1.0) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(round(n_s * RATE_HZ)).astype(np.float32) / 8


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_samples", [1, 100, 30_000, 150_000])
def test_silence_and_short_sounds_are_as_good_as_any_other(name, n_samples):
    for samples in (np.zeros(n_samples, np.float32), noise(4)[:n_samples]):
        matrix = extract(name, samples, SPEC)
        n_rows = len(describe(name, SPEC)["rows"])
        n_columns = 1 if FEATURES[name].columns == "recording" else SPEC.n_frames(n_samples)
        assert matrix.shape == (n_rows, n_columns)
        assert matrix.dtype == np.float32
        assert np.isfinite(matrix).all()
        assert np.isfinite(pool(matrix, ("mean", "var"))["var"]).all()


def test_the_flux_of_shapes_does_not_hear_levels():
    steps = np.concatenate([sine(440), sine(440, amplitude=0.05), sine(5000), 0 * sine(1)])
    flux = extract("flux_l2", steps, SPEC)[0]
    frames = [round(k * RATE_HZ / SPEC.hop) for k in (1, 2, 3)]
    assert flux[20:60].max() < 0.01
    near = [flux[frame - 4 : frame + 5] for frame in frames]
    assert near[1].max() > 0.7
    magnitude = Analysis(steps, SPEC).magnitude.astype(np.float64)
    unit = magnitude / np.maximum(np.linalg.norm(magnitude, axis=0), 1e-30)
    np.testing.assert_allclose(
        flux[1:], np.linalg.norm(unit[:, 1:] - unit[:, :-1], axis=0), atol=1e-5
    )


def test_the_shape_of_a_spectrum_is_that_of_its_distribution():
    samples = noise() + sine(3000)
    found = extract("spectral_shape", samples, SPEC)
    magnitude = Analysis(samples, SPEC).magnitude
    for frame in (5, 40):
        counts = np.round(1e4 * magnitude[:, frame] / magnitude[:, frame].max()).astype(int)
        bins = np.repeat(np.arange(len(counts)), counts)
        wanted = scipy.stats.skew(bins), scipy.stats.kurtosis(bins, fisher=False)
        np.testing.assert_allclose(found[:, frame], wanted, rtol=1e-3, atol=1e-3)


def test_how_a_sound_begins():
    """A ramp of half a second passes 20 and 90 % of its peak 0.35 s apart."""
    ramp = np.minimum(seconds(1) / 0.5, 1) * sine(2000, amplitude=1)
    click = sine(2000, amplitude=1) * np.exp(-seconds(1) / 0.1)
    slow, fast = (extract("attack", one.astype(np.float32), SPEC) for one in (ramp, click))
    assert 10 ** slow[0, 0] == pytest.approx(0.35, abs=0.02)
    assert 10 ** fast[0, 0] < 0.03
    assert slow[1, 0] == pytest.approx((0.25 / 3 + 0.5 * 0.75) / 0.75, abs=0.01)
    assert fast[1, 0] == pytest.approx(0.11, abs=0.01)  # its decay, and the filter's 10 ms


def test_loudness_is_of_the_recommendation():
    """A sine of 997 Hz at full scale in one channel has -3.01 LUFS (BS.1770-4, annex 1)."""
    full = extract("loudness", sine(997, 5, amplitude=1.0), SPEC)
    assert full[0, 0] == pytest.approx(-3.01, abs=0.1)  # what EBU Tech 3341 allows
    assert extract("loudness", sine(997, 20), SPEC)[1, 0] == pytest.approx(0, abs=0.2)
    steps = np.concatenate([sine(1000, 20, 0.1), sine(1000, 20, 0.1 * 10**-0.5)])
    assert extract("loudness", steps, SPEC)[1, 0] == pytest.approx(10, abs=0.5)  # EBU Tech 3342
    assert extract("loudness", np.zeros(RATE_HZ, np.float32), SPEC)[0, 0] == -70


@pytest.mark.parametrize(("tonic", "mode"), [(0, 1), (7, 1), (9, 0), (3, 0)])
def test_a_cadence_says_its_key(tonic, mode):
    third = 4 if mode else 3
    chords = [(0, third, 7), (5, 5 + third, 12), (7, 11, 14), (0, third, 7)]
    notes = [
        sum(sine(261.63 * 2 ** ((tonic + step) / 12), 0.7, 0.1) for step in chord)
        for chord in chords
    ]
    found = extract("tonality", np.concatenate(notes).astype(np.float32), SPEC)[:, 0]
    assert found[:2].tolist() == [tonic, mode]
    assert 0.6 < found[2] <= 1


@pytest.mark.parametrize("bpm", [90, 120])
def test_a_metronome_says_its_tempo(bpm):
    samples = np.zeros(10 * RATE_HZ, np.float32)
    for beat in np.arange(0, 10, 60 / bpm):
        first = round(beat * RATE_HZ)
        samples[first : first + 200] = noise()[:200]
    found = extract("tempo", samples, SPEC)[:, 0]
    assert found[0] == pytest.approx(bpm, rel=0.03)
    assert 0.2 < found[1] <= 1


def test_short_windows_see_when_and_long_ones_which():
    click = 1e-4 * noise()
    click[RATE_HZ // 2] = 1
    matrix = extract("stft_multi", click + sine(200), SPEC).reshape(3, 64, -1)
    above = matrix[:, 40:] > matrix[:, 40:, :20].mean(axis=(1, 2), keepdims=True) + 10
    widths = above.any(axis=1).sum(axis=1)
    assert widths[0] > widths[1] > widths[2] > 0
    pure = extract("stft_multi", sine(1000), SPEC).reshape(3, 64, -1)[:, :, 40]
    energies_db = 10 * np.log10((10 ** (pure / 10)).sum(axis=1))
    assert np.ptp(energies_db) < 0.5
    spread = (pure > pure.max(axis=1, keepdims=True) - 20).sum(axis=1)
    assert spread[0] <= spread[1] <= spread[2] and spread[0] < spread[2]


def test_a_feature_is_called_as_its_file_as_help_lists_the_files():
    one = FEATURES["tempo"]
    assert _named_as_files(["tempo"], [one]) == [one]
    with pytest.raises(UsageError, match=r"features\.speed: its FEATURE is called 'tempo'"):
        _named_as_files(["speed"], [one])
