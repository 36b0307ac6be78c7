"""Each step does what it says to known sounds; a chain's text is parsed, printed and refused."""

import numpy as np
import pytest

from pipeline.audio.description.prepare import (
    Step,
    apply_steps,
    denoise,
    low_pass,
    parse_steps,
    standardise,
)
from pipeline.errors import UsageError
from tests.conftest import tones

RATE = 44_100


def level_db(samples):
    return 20 * np.log10(np.sqrt(np.mean(np.square(samples, dtype=float))) + 1e-12)


def test_low_pass_kills_what_is_above_and_keeps_what_is_below_in_phase():
    low, high = tones(1.0, 500), tones(1.0, 9000)
    heard = low_pass(low + high, sample_rate_hz=RATE, cutoff_hz=3000)
    assert heard.dtype == np.float32
    middle = slice(5000, -5000)
    assert level_db((heard - low)[middle]) < level_db(low) - 60
    assert level_db(low_pass(high, sample_rate_hz=RATE, cutoff_hz=3000)[middle]) < -90


def test_low_pass_is_6_db_down_at_its_cutoff_and_12_order_db_an_octave_above():
    def heard_db(f_hz, order):
        tone = tones(1.0, f_hz)
        heard = low_pass(tone, sample_rate_hz=RATE, cutoff_hz=1000, order=order)
        return level_db(heard[8000:-8000]) - level_db(tone[8000:-8000])

    assert heard_db(1000, 8) == pytest.approx(-6.02, abs=0.1)
    assert heard_db(2000, 2) == pytest.approx(-24.6, abs=0.5)


@pytest.mark.parametrize("n_samples", [1, 2, 20, 100])
def test_low_pass_takes_any_length(n_samples):
    assert len(low_pass(np.ones(n_samples, np.float32), sample_rate_hz=RATE, cutoff_hz=1e3)) == (
        n_samples
    )


@pytest.mark.parametrize("cutoff_hz", [0, -5, 22_050, 30_000])
def test_low_pass_refuses_a_cutoff_beyond_half_the_rate(cutoff_hz):
    with pytest.raises(UsageError, match=r"expected more than 0 and less than 22050 Hz"):
        low_pass(np.ones(100, np.float32), sample_rate_hz=RATE, cutoff_hz=cutoff_hz)


def signal_to_noise_db(heard, signal):
    """Count what is not the signal, at whatever gain, as noise (SI-SDR)."""
    part = signal * (np.dot(heard, signal) / np.dot(signal, signal))
    return level_db(part) - level_db(heard - part)


def test_denoise_raises_the_ratio_of_signal_to_noise(rng):
    beats = np.repeat(np.resize([1, 0, 0, 0], 20), RATE // 4).astype(np.float32)
    signal = tones(5.0, 1000)[: len(beats)] * beats
    noisy = signal + (rng.standard_normal(len(signal)) * 0.05).astype(np.float32)
    heard = denoise(noisy, sample_rate_hz=RATE)
    assert heard.dtype == np.float32
    assert heard.shape == signal.shape
    assert signal_to_noise_db(heard, signal) > signal_to_noise_db(noisy, signal) + 5
    assert level_db(heard[beats == 0]) < level_db(noisy[beats == 0]) - 15
    np.testing.assert_array_equal(heard, denoise(noisy, sample_rate_hz=RATE))


def test_denoise_takes_silence_and_short_sound():
    silence = np.zeros(1000, np.float32)
    np.testing.assert_array_equal(denoise(silence, sample_rate_hz=RATE), silence)
    assert np.isfinite(denoise(tones(0.05, 440), sample_rate_hz=RATE)).all()
    assert len(denoise(np.ones(1, np.float32), sample_rate_hz=RATE)) == 1


def test_denoise_survives_minutes_of_digital_silence():
    # noisereduce works in chunks of 600,000 samples and divides 0 by 0 in a silent one
    track = np.concatenate([tones(0.2, 440, sample_rate_hz=RATE), np.zeros(1_900_000, np.float32)])
    heard = denoise(track, sample_rate_hz=RATE)
    assert np.isfinite(heard).all()
    assert np.abs(heard[20_000:]).max() < 1e-6


def test_denoise_refuses_a_rate_too_low_for_its_smoothing():
    with pytest.raises(UsageError, match="denoise at 2000 Hz"):
        denoise(np.ones(1000, np.float32), sample_rate_hz=2000)


def test_standardise():
    samples = np.array([1, 2, 3], np.float32)
    np.testing.assert_allclose(standardise(samples, mean=2, deviation=0.5), [-2, 0, 2])
    with pytest.raises(UsageError, match="more than 0"):
        standardise(samples, mean=0, deviation=0)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", ()),
        ("  ", ()),
        ("denoise", (Step("denoise"),)),
        ("lowpass:8000,denoise", (Step("lowpass", (8000.0,)), Step("denoise"))),
        ("standardise:-0.00012345678:0.1", (Step("standardise", (-0.00012345678, 0.1)),)),
    ],
)
def test_a_text_is_parsed_and_printed_back(text, steps):
    assert parse_steps(text) == steps
    assert ",".join(map(str, steps)) == text.strip()


def test_spaces_do_not_count():
    assert parse_steps(" lowpass:8000 , denoise ") == parse_steps("lowpass:8000,denoise")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "highpass:80",
            "lowpass",
            "lowpass:",
            "lowpass:a",
            "lowpass:1:2",
            "denoise:1",
            "denoise,",
        ),
        *("lowpass:-5", "lowpass:nan", "lowpass:inf", "standardise:0:0", "standardise:1", ","),
    ],
)
def test_a_wrong_step_is_told_with_the_known_ones(text):
    known = "lowpass:CUTOFF_HZ, denoise, standardise:MEAN:DEVIATION"
    with pytest.raises(UsageError, match=rf"found step '.*expected one of {known}"):
        parse_steps(text)


def test_steps_are_applied_in_turn():
    samples = tones(0.5, 500) + tones(0.5, 9000)
    chain = parse_steps("lowpass:3000,standardise:0.1:0.5")
    filtered = low_pass(samples, sample_rate_hz=RATE, cutoff_hz=3000)
    expected = standardise(filtered, mean=0.1, deviation=0.5)
    np.testing.assert_array_equal(apply_steps(samples, chain, sample_rate_hz=RATE), expected)
    assert apply_steps(samples, (), sample_rate_hz=RATE) is samples
    with pytest.raises(UsageError, match="half the sample rate"):
        apply_steps(samples, chain, sample_rate_hz=4000)


def test_a_low_pass_of_nothing_is_nothing():
    nothing = np.zeros(0, np.float32)
    assert len(low_pass(nothing, sample_rate_hz=16_000, cutoff_hz=2000)) == 0
