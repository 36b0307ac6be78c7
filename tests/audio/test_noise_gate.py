"""Noise that a clip describes is taken away as by noisereduce, and piece by piece alike."""

import numpy as np
import pytest
from noisereduce import reduce_noise

from pipeline.audio.description import noise_gate
from pipeline.audio.description.noise_gate import NoiseProfile, without_noise
from pipeline.audio.description.prepare import Step, apply_steps, parse_steps
from pipeline.errors import SpecMismatch, UsageError

RATE = 16_000


def hiss(seconds: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (0.02 * noise).astype(np.float32)


def recording() -> np.ndarray:
    """Return 2 s of hiss, with a loud chord in the second half."""
    time_s = np.arange(2 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * hz * time_s) for hz in (440, 554, 659))
    return (0.2 * chord * (time_s > 1)).astype(np.float32) + hiss(2.0, 1)


PROFILE = NoiseProfile.of(hiss(1.0, 0), RATE)


def test_it_is_noisereduces_gate():
    theirs = reduce_noise(
        y=recording().astype(np.float64), sr=RATE, stationary=True,
        y_noise=hiss(1.0, 0).astype(np.float64), padding=128 * noise_gate.HOP, use_tqdm=False,
    )  # fmt: skip
    # Limits are kept to 0.01 dB, so a few of the spectrum's values fall on the other side.
    np.testing.assert_allclose(without_noise(recording(), PROFILE), theirs, atol=2e-3)


def test_hiss_goes_and_the_chord_stays():
    found = without_noise(recording(), PROFILE)
    level = {name: np.sqrt(np.square(x).mean()) for name, x in {
        "pause": found[2000:12_000], "hiss": recording()[2000:12_000],
        "chord": found[20_000:], "was": recording()[20_000:],
    }.items()}  # fmt: skip
    assert level["pause"] < 0.2 * level["hiss"]
    assert level["chord"] > 0.25 * level["was"]


@pytest.mark.parametrize("n_samples", [0, 1, 255, 1023, 1024, 10_000])
def test_any_length_keeps_its_length(n_samples):
    found = without_noise(recording()[:n_samples], PROFILE)
    assert found.shape == (n_samples,)
    assert np.isfinite(found).all()


def test_pieces_that_begin_with_a_frame_give_the_same_samples(monkeypatch):
    whole = without_noise(recording(), PROFILE)
    monkeypatch.setattr(noise_gate, "_BLOCK", 16 * noise_gate.HOP)
    np.testing.assert_array_equal(without_noise(recording(), PROFILE), whole)
    first = 40 * noise_gate.HOP
    inside = without_noise(recording()[first:], PROFILE)[PROFILE.context :]
    np.testing.assert_array_equal(inside, whole[first + PROFILE.context :])


def test_a_step_keeps_the_profile_and_not_the_file():
    (step,) = parse_steps("denoise:a/noise.wav", lambda uri: PROFILE)
    assert step == Step("denoise", noise=PROFILE)
    assert str(step) == f"denoise:{PROFILE.digest}"
    assert Step.from_dict(step.to_dict()) == step
    assert "noise.wav" not in str(step.to_dict())
    applied = apply_steps(recording(), [step], sample_rate_hz=RATE)
    np.testing.assert_array_equal(applied, without_noise(recording(), PROFILE))
    other = NoiseProfile.of(hiss(1.0, 5), RATE)
    assert other.digest != PROFILE.digest


def test_what_is_no_clip_of_noise_is_refused():
    with pytest.raises(UsageError, match="1,000 samples are too short"):
        NoiseProfile.of(np.ones(1000, np.float32), RATE)
    with pytest.raises(UsageError, match="digital silence"):
        NoiseProfile.of(np.zeros(RATE, np.float32), RATE)
    with pytest.raises(SpecMismatch, match="another version"):
        NoiseProfile.from_dict({"sample_rate_hz": RATE, "limits_db": [0.0]})
