"""A recording in parts: they add up to it, and two notes that alternate come apart."""

import numpy as np
import pytest

from pipeline import separate
from pipeline.errors import UsageError
from tests.conftest import tones

RATE = 16_000


def alternating() -> np.ndarray:
    """Return 2 s of two notes that take turns, the first one louder."""
    first, second = tones(2.0, 440, sample_rate_hz=RATE), tones(2.0, 1500, sample_rate_hz=RATE)
    is_first = np.arange(2 * RATE) % 8000 < 4000
    return np.where(is_first, first, 0.5 * second).astype(np.float32)


@pytest.mark.parametrize("n_samples", [1, 511, 2048, 20_011])
@pytest.mark.parametrize("n_parts", [1, 4])
def test_the_parts_add_up_to_the_recording(n_parts, n_samples):
    noise = np.random.default_rng(0).standard_normal(n_samples)
    samples = (alternating()[:n_samples] + 0.01 * noise).astype(np.float32)
    parts = separate(samples, n_parts=n_parts)
    assert parts.shape == (n_parts, n_samples)
    assert parts.dtype == np.float32
    np.testing.assert_allclose(parts.sum(axis=0), samples, atol=1e-5)


def test_two_notes_come_apart_the_louder_one_first():
    parts = separate(alternating(), n_parts=2)
    spectra = np.abs(np.fft.rfft(parts))
    peaks_hz = spectra.argmax(axis=1) * RATE / parts.shape[1]
    np.testing.assert_allclose(peaks_hz, [440, 1500], atol=2)
    turns = np.square(parts).reshape(2, 8, 4000).sum(axis=2)  # energy of each part in each turn
    assert (turns[0, 0::2] > 50 * turns[0, 1::2]).all()
    assert (turns[1, 1::2] > 50 * turns[1, 0::2]).all()


def test_silence_is_shared_alike_and_it_is_the_same_again():
    assert not separate(np.zeros(5000, np.float32)).any()
    np.testing.assert_array_equal(separate(alternating()), separate(alternating()))


def test_what_is_no_recording_is_told_in_a_line():
    for samples, n_parts in ((np.zeros((2, 9), np.float32), 2), (np.zeros(9, np.float32), 0)):
        with pytest.raises(UsageError, match="expected mono samples, at least one, and 1 part"):
            separate(samples, n_parts=n_parts)
