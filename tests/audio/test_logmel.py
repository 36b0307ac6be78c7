"""Log-mel equals librosa's, over a grid of specs, and a frame depends on its own samples only."""

import librosa
import numpy as np
import pytest

from pipeline.audio.logmel import LogMelSpec, log_mel
from pipeline.errors import SpecMismatch

SPECS = [
    LogMelSpec(),
    LogMelSpec(sample_rate_hz=16_000, n_fft=400, hop=160, n_mels=128),
    LogMelSpec(sample_rate_hz=32_000, n_fft=1024, hop=320, n_mels=64, f_min_hz=50, f_max_hz=14e3),
    LogMelSpec(sample_rate_hz=22_050, n_mels=40, htk=True),
]


def librosas(samples: np.ndarray, spec: LogMelSpec) -> np.ndarray:
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=spec.sample_rate_hz,
        n_fft=spec.n_fft,
        hop_length=spec.hop,
        n_mels=spec.n_mels,
        fmin=spec.f_min_hz,
        fmax=spec.f_max_hz,
        htk=spec.htk,
    )
    return librosa.power_to_db(power, amin=spec.amin, top_db=None)


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.filterwarnings("ignore:n_fft=")
@pytest.mark.parametrize("n_samples", [1, 100, 2048, 44_100, 100_003])
def test_equals_librosa(spec, n_samples, rng):
    samples = (rng.standard_normal(n_samples) * 0.1).astype(np.float32)
    ours, theirs = log_mel(samples, spec), librosas(samples, spec)
    assert ours.shape == theirs.shape == (spec.n_mels, spec.n_frames(n_samples))
    assert ours.dtype == np.float32
    peak = theirs.max()
    near = np.maximum(theirs, peak - 80)  # below that float32 has no digits left to agree on
    np.testing.assert_allclose(np.maximum(ours, peak - 80), near, atol=2e-3)


def test_one_second_is_87_frames_and_ten_are_862():
    assert LogMelSpec().n_frames(44_100) == 87
    assert LogMelSpec().n_frames(441_000) == 862


def test_silence_is_the_floor():
    silence = log_mel(np.zeros(5000, np.float32), LogMelSpec())
    np.testing.assert_allclose(silence, LogMelSpec().floor_db, atol=1e-4)


def test_a_frame_depends_on_its_own_samples_only(rng):
    spec = LogMelSpec()
    quiet = (rng.standard_normal(88_200) * 0.01).astype(np.float32)
    loud_end = quiet.copy()
    loud_end[-10_000:] *= 90
    first = (88_200 - 10_000 - spec.n_fft) // spec.hop
    a, b = log_mel(quiet, spec)[:, :first], log_mel(loud_end, spec)[:, :first]
    np.testing.assert_array_equal(a, b)


def test_a_spec_survives_json_and_refuses_what_it_does_not_know():
    assert LogMelSpec.from_dict(LogMelSpec(n_mels=64).to_dict()) == LogMelSpec(n_mels=64)
    with pytest.raises(SpecMismatch, match="n_bands"):
        LogMelSpec.from_dict({"n_bands": 64})
