"""Clips: exactly as long as asked, and a wav that any reader reads back."""

import io
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.decoding.clip import fit_length, from_pcm16, to_pcm16, wav_bytes
from pipeline.errors import DecodeError, Reason


@given(n=st.integers(0, 3000))
def test_length_is_exact_or_refused(n):
    samples = np.ones(n, np.float32)
    if n < 1000 - 500:
        with pytest.raises(DecodeError) as caught:
            fit_length(samples, n_samples=1000, sample_rate_hz=1000)
        assert caught.value.reason == Reason.TOO_SHORT
    else:
        fitted = fit_length(samples, n_samples=1000, sample_rate_hz=1000)
        assert len(fitted) == 1000
        assert fitted.sum() == min(n, 1000)


def test_pcm_is_rounded_clipped_and_comes_back():
    samples = np.array([0, 1, -1, 2, -2, 0.5, 1 / 32_768], np.float32)
    assert to_pcm16(samples).tolist() == [0, 32_767, -32_768, 32_767, -32_768, 16_384, 1]
    pcm = np.arange(-32_768, 32_768, dtype=np.int16)
    np.testing.assert_array_equal(to_pcm16(from_pcm16(pcm)), pcm)


def test_wav_is_mono_16_bit():
    pcm = np.arange(1000, dtype=np.int16)
    with wave.open(io.BytesIO(wav_bytes(pcm, 44_100))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 44_100)
        assert np.frombuffer(file.readframes(1000), "<i2").tolist() == pcm.tolist()
