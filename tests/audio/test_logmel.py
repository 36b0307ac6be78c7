"""Log-mel equals librosa's, over a grid of specs, and a frame depends on its own samples only."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import librosa
import numpy as np
import pytest

from pipeline.audio.decoding.decode import decode
from pipeline.audio.spectra import fused
from pipeline.audio.spectra.logmel import LogMelSpec, _window, log_mel, mel_filters, plain_log_mel
from pipeline.errors import SpecMismatch

REAL = sorted(Path(__file__).parents[3].glob("shared/audio/**/*.flac"))

SPECS = [
    LogMelSpec(),
    LogMelSpec(padding="reflect"),
    LogMelSpec(sample_rate_hz=16_000, n_fft=512, hop=160, n_mels=64, htk=True, padding="reflect"),
    LogMelSpec(sample_rate_hz=48_000, n_fft=4096, hop=1111, n_mels=128),
    LogMelSpec(sample_rate_hz=8_000, n_fft=64, hop=16, n_mels=10),
    LogMelSpec(sample_rate_hz=8_000, n_fft=128, hop=128, n_mels=16),
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
        pad_mode=spec.padding,
    )
    return librosa.power_to_db(power, amin=spec.amin, top_db=None)


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.filterwarnings("ignore:n_fft=")
@pytest.mark.parametrize("n_samples", [1, 100, 2048, 44_100, 100_003])
def test_equals_librosa(spec, n_samples, rng):
    samples = (rng.standard_normal(n_samples) * 0.1).astype(np.float32)
    theirs = librosas(samples, spec)
    for ours, within_db in ((log_mel(samples, spec), 1e-3), (plain_log_mel(samples, spec), 3e-3)):
        assert ours.shape == theirs.shape == (spec.n_mels, spec.n_frames(n_samples))
        assert ours.dtype == np.float32
        assert_near(ours, theirs, within_db)


def assert_near(ours: np.ndarray, theirs: np.ndarray, within_db: float) -> None:
    """Compare as librosa shows it, down to 80 dB below the peak."""
    floor = theirs.max() - 80
    np.testing.assert_allclose(
        np.maximum(ours, floor), np.maximum(theirs, floor), rtol=0, atol=within_db
    )


@pytest.mark.skipif(not REAL, reason="no real recordings on this machine")
def test_equals_librosa_on_real_recordings():
    spec = LogMelSpec()
    for path in REAL[::9]:
        samples = decode(path, sample_rate_hz=spec.sample_rate_hz, duration_s=10.0)
        assert_near(log_mel(samples, spec), librosas(samples, spec), 1e-3)


def test_a_loud_tone_does_not_drown_the_rest_in_rounding():
    time_s = np.arange(44_100) / 44_100
    samples = (0.9 * np.sin(2 * np.pi * 110 * time_s)).astype(np.float32)
    samples += np.random.default_rng(1).standard_normal(44_100).astype(np.float32) * 1e-5
    assert_near(log_mel(samples, LogMelSpec()), librosas(samples, LogMelSpec()), 1e-3)


def test_a_batch_is_its_rows(rng):
    batch = rng.standard_normal((2, 3, 5000)).astype(np.float32)
    mels = log_mel(batch, LogMelSpec())
    assert mels.shape == (2, 3, 256, LogMelSpec().n_frames(5000))
    np.testing.assert_array_equal(mels[1, 2], log_mel(batch[1, 2], LogMelSpec()))


def test_threads_do_not_disturb_each_other(rng):
    clips = [rng.standard_normal(30_000).astype(np.float32) for _ in range(16)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda clip: log_mel(clip, LogMelSpec()), clips * 4))
    alone = [log_mel(clip, LogMelSpec()) for clip in clips]
    for k, mel in enumerate(together):
        np.testing.assert_array_equal(mel, alone[k % 16])


def test_the_kernel_takes_powers_of_two_and_is_what_runs(rng):
    assert [fused.can_fuse(n) for n in (32, 64, 400, 2048, 16_384)] == [
        False,
        True,
        False,
        True,
        True,
    ]
    samples = rng.standard_normal(9000).astype(np.float32)
    fused_mel, plain = log_mel(samples, LogMelSpec()), plain_log_mel(samples, LogMelSpec())
    assert (fused_mel != plain).any()


def test_without_numba_the_plain_path_says_so_and_works():
    code = (
        "import numpy as np, pipeline.audio.spectra.logmel as m;"
        "x = np.random.default_rng(0).standard_normal(9000).astype(np.float32);"
        "a = m.log_mel(x, m.LogMelSpec()); b = m.plain_log_mel(x, m.LogMelSpec());"
        "assert (a == b).all()"
    )
    env = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "plain path" in run.stderr


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


@pytest.mark.parametrize(
    "spec",
    [LogMelSpec(), LogMelSpec(16_000, 400, 160, 40, 20.0), LogMelSpec(22_050, htk=True)],
)
def test_window_and_filters_are_librosas_to_the_bit(spec):
    expected = librosa.filters.mel(
        sr=spec.sample_rate_hz,
        n_fft=spec.n_fft,
        n_mels=spec.n_mels,
        fmin=spec.f_min_hz,
        htk=spec.htk,
    )
    np.testing.assert_array_equal(mel_filters(spec), expected)
    hann = librosa.filters.get_window("hann", spec.n_fft).astype(np.float32)
    np.testing.assert_array_equal(_window(spec.n_fft), hann)
