"""Kaldi's filter bank equals torchaudio's, and a window has what its samples alone would give."""

import numpy as np
import pytest
import torch
from torchaudio.compliance import kaldi as torchaudios

from pipeline.audio.spectra.input_kinds import input_from_dict
from pipeline.audio.spectra.kaldi import (
    DB_PER_NEPER,
    KaldiInput,
    KaldiSpec,
    kaldi_fbank,
    plain_kaldi_fbank,
)
from pipeline.audio.spectra.windows import WindowSpec, cut_windows, window_starts
from pipeline.errors import SpecMismatch
from pipeline.training.spectra.kaldi import KaldiFbank
from tests.conftest import tones

SPEC = KaldiSpec()
SPECS = [
    SPEC,
    KaldiSpec(n_mels=64, f_min_hz=60, f_max_hz=7000),
    KaldiSpec(sample_rate_hz=32_000, frame_length=800, hop=320, pre_emphasis=0.9),
    KaldiSpec(sample_rate_hz=8_000, frame_length=256, hop=100, n_mels=23),
]
PATHS = pytest.mark.parametrize("fbank", [kaldi_fbank, plain_kaldi_fbank])


def reference(samples, spec):
    rate_hz = spec.sample_rate_hz
    features = torchaudios.fbank(
        torch.from_numpy(samples)[None],
        sample_frequency=rate_hz,
        frame_length=1000 * spec.frame_length / rate_hz,
        frame_shift=1000 * spec.hop / rate_hz,
        num_mel_bins=spec.n_mels,
        low_freq=spec.f_min_hz,
        high_freq=spec.f_max_hz or 0.0,
        preemphasis_coefficient=spec.pre_emphasis,
        window_type="hanning",
        htk_compat=True,
    )
    return features.numpy().T


def noise(n_samples, *, level=0.1, mean=0.0):
    rng = np.random.default_rng(0)
    return (rng.standard_normal(n_samples) * level + mean).astype(np.float32)


@PATHS
@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("n_samples", [1000, 16_000, 40_123])
def test_equals_torchaudio(fbank, spec, n_samples):
    samples = noise(n_samples)
    ours, theirs = fbank(samples, spec), reference(samples, spec)
    assert ours.shape == theirs.shape == (spec.n_mels, spec.n_frames(n_samples))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3)
    assert np.abs(ours - theirs).mean() < 1e-5


@PATHS
@pytest.mark.parametrize(
    "samples",
    [
        tones(1.0, 220, 330, 4000, sample_rate_hz=16_000) + noise(16_000, level=1e-3),
        noise(16_000, level=1e-4, mean=0.5),
        np.zeros(16_000, np.float32),
    ],
    ids=["tones", "a mean far from 0", "silence"],
)
def test_equals_torchaudio_where_float32_is_strained(fbank, samples):
    """Down to 80 dB below the peak: further down float32's rounding is all that torchaudio has."""
    ours, theirs = fbank(samples, SPEC), reference(samples, SPEC)
    floor = theirs.max() - 80 / DB_PER_NEPER
    np.testing.assert_allclose(
        np.maximum(ours, floor), np.maximum(theirs, floor), rtol=0, atol=1e-3
    )


def test_the_samples_are_left_as_they_were():
    samples = noise(4000)
    before = samples.copy()
    kaldi_fbank(samples, SPEC)
    np.testing.assert_array_equal(samples, before)


@PATHS
def test_less_than_a_frame_gives_none(fbank):
    assert fbank(noise(399), SPEC).shape == (128, 0)
    assert fbank(noise(400), SPEC).shape == (128, 1)


def test_a_window_is_what_its_second_alone_gives():
    input_spec, windows = KaldiInput(), WindowSpec()
    samples = noise(48_000)
    matrix = input_spec.matrix(samples)
    starts = window_starts(matrix.shape[1], windows, input_spec)
    cut = cut_windows(matrix, starts, windows.n_frames(input_spec), silence=input_spec.silence)
    assert cut.shape == (3, 128, 98)
    for window, second in zip(cut, np.split(samples, 3), strict=True):
        np.testing.assert_allclose(window, input_spec.matrix(second), rtol=0, atol=1e-3)


def test_the_input_survives_json():
    input_spec = KaldiInput(KaldiSpec(n_mels=64))
    assert input_from_dict(input_spec.to_dict()) == input_spec
    with pytest.raises(SpecMismatch, match="Kaldi spec of another version"):
        input_from_dict({"kind": "kaldi", "smell": 1})


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_torch_has_the_same_numbers(spec):
    samples = np.stack([noise(16_000), noise(16_000, level=0.01)[::-1]])
    ours = KaldiFbank(spec)(torch.from_numpy(samples)).numpy()
    for one, row in zip(ours, samples, strict=True):
        np.testing.assert_allclose(one, kaldi_fbank(row, spec), rtol=0, atol=1e-3)
