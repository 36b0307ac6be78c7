"""Timbral descriptors equal their authors' package on 200 sounds, and are defined everywhere."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.audio.description.features import FEATURES, FrameSpec, describe, extract, pool
from pipeline.audio.description.timbral.descriptors import NAMES, timbral_descriptors
from pipeline.audio.description.timbral.loudness.k_weighting import at_target_loudness
from pipeline.audio.description.timbral.loudness.zwicker import specific_loudness
from pipeline.audio.description.timbral.reverb import reverberation_time_s
from tests.audio.timbral_sounds import N_SOUNDS, RATE_HZ, sound

REFERENCE = json.loads((Path(__file__).parent / "timbral_reference.json").read_text())
SOME = range(0, N_SOUNDS, 11)


def tone(seconds=1.0, f_hz=440.0, peak=0.25):
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (peak * np.sin(2 * np.pi * f_hz * time_s)).astype(np.float32)


def equals_the_reference(number):
    samples = sound(number)
    found = timbral_descriptors(samples, RATE_HZ)
    found["reverberation_time_s"] = reverberation_time_s(samples.astype(float), RATE_HZ)
    for name, value in found.items():
        theirs = REFERENCE[name][number]
        if theirs is not None:  # they raise where there is no number
            assert value == pytest.approx(theirs, rel=0.01), (number, name)


@pytest.mark.parametrize("number", SOME)
def test_some_sounds_have_the_numbers_of_timbral_models(number):
    equals_the_reference(number)


@pytest.mark.slow
@pytest.mark.parametrize("number", sorted(set(range(N_SOUNDS)) - set(SOME)))
def test_all_sounds_have_the_numbers_of_timbral_models(number):
    equals_the_reference(number)


def test_the_reference_covers_the_scales():
    columns = {name: [v for v in REFERENCE[name] if v is not None] for name in NAMES}
    assert all(len(REFERENCE[name]) == N_SOUNDS for name in NAMES)
    assert all(len(values) > 0.95 * N_SOUNDS for values in columns.values())
    assert all(np.ptp(columns[name]) > 50 for name in NAMES[:-1])
    assert 40 < sum(columns["reverb"]) < 160


def test_a_sound_is_brought_to_a_loudness():
    levelled = at_target_loudness(tone(2.0).astype(float), RATE_HZ)
    loudness_lufs = extract("loudness", levelled.astype(np.float32), FrameSpec())[0, 0]
    assert loudness_lufs == pytest.approx(-24, abs=1e-3)
    click = np.zeros(RATE_HZ)
    click[1000] = 0.5
    assert np.abs(at_target_loudness(click, RATE_HZ)).max() == 1  # full scale, and no more


def test_a_tone_has_the_loudness_of_iso_532_b():
    # 1 kHz at 60 dB has 4 sone; the reference level of 100 dB is a mean square of 1.
    samples = np.sqrt(2) * 10 ** (-40 / 20) * tone(f_hz=1000, peak=1).astype(float)
    loudness = specific_loudness(samples[np.newaxis, :32_768], RATE_HZ)
    assert loudness.pattern.sum() * 0.1 == pytest.approx(4, rel=0.1)
    assert abs(int(loudness.pattern[0].argmax()) - 85) < 10  # 8.5 Bark
    assert loudness.is_audible.tolist() == [True]
    silent = specific_loudness(np.zeros((2, 4096)), RATE_HZ)
    assert not silent.pattern.any() and not silent.is_audible.any()


def test_windows_do_not_depend_on_each_other():
    windows = sound(4)[: 4096 * 8].reshape(8, 4096).astype(float)
    together = specific_loudness(windows, RATE_HZ).pattern
    for window, pattern in zip(windows, together, strict=True):
        alone = specific_loudness(window[np.newaxis], RATE_HZ).pattern[0]
        np.testing.assert_allclose(alone, pattern, rtol=1e-9)


def test_the_words_order_sounds_as_listeners_do():
    low, high = (timbral_descriptors(tone(f_hz=f_hz), RATE_HZ) for f_hz in (80, 4000))
    assert low["depth"] > high["depth"] + 20
    assert low["boominess"] > high["boominess"] + 20
    assert low["warmth"] > high["warmth"] + 10
    assert high["brightness"] > low["brightness"] + 20
    assert high["sharpness"] > low["sharpness"] + 20
    beating, plain = tone() + tone(f_hz=470), tone()
    rough, smooth = (timbral_descriptors(one, RATE_HZ) for one in (beating, plain))
    assert rough["roughness"] > 30 > smooth["roughness"]


def test_the_level_does_not_matter():
    loud, soft = (timbral_descriptors(gain * sound(2), RATE_HZ) for gain in (1.0, 0.3))
    for name in NAMES[:-1]:
        assert loud[name] == pytest.approx(soft[name], rel=1e-3), name


def test_clipped_values_stay_within_the_scale():
    number = int(np.argmin([value or 0 for value in REFERENCE["boominess"]]))
    assert timbral_descriptors(sound(number), RATE_HZ)["boominess"] < 0
    clipped = timbral_descriptors(sound(number), RATE_HZ, is_clipped=True)
    assert clipped["boominess"] == 0
    assert all(0 <= value <= 100 for value in clipped.values())


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 48_000, 96_000])
def test_other_rates_give_numbers(rate_hz):
    assert all(np.isfinite(list(timbral_descriptors(sound(2), rate_hz).values())))


SHORT = (1, 2, 100, 881, 882, 883, 1000, 2047, 2048, 2205, 4095, 4096, 4097, 9002, 17_640)


@pytest.mark.parametrize("n_samples", SHORT)
def test_short_sounds_are_defined_or_nan(n_samples, rng):
    for samples in (rng.standard_normal(n_samples) * 0.1, tone()[:n_samples], np.ones(n_samples)):
        found = timbral_descriptors(samples.astype(np.float32), RATE_HZ)
        assert tuple(found) == NAMES
        assert not np.isinf(list(found.values())).any()
    noise = timbral_descriptors(rng.standard_normal(n_samples).astype(np.float32), RATE_HZ)
    assert np.isfinite(list(noise.values())).all() == (n_samples >= 882), noise


def odd_sounds():
    silence, click = np.zeros(RATE_HZ, np.float32), np.zeros(RATE_HZ, np.float32)
    click[20_000] = 1
    first, last = silence.copy(), silence.copy()
    first[0] = last[-1] = 1
    broken, endless = tone(), tone()
    broken[5], endless[5] = np.nan, np.inf
    return {
        "silence": silence,
        "click": click,
        "first": first,
        "last": last,
        "nan": broken,
        "inf": endless,
        "constant": np.full(RATE_HZ, 0.5, np.float32),
        "too soft": 1e-6 * tone(),
        "soft": 3e-3 * tone(),
        "huge": 1e6 * tone(),
        "gap": np.concatenate([tone(0.5), silence, tone(0.5)]),
        "late": np.concatenate([silence, tone(0.3)]),
        "early": np.concatenate([tone(0.3), silence]),
        "square": np.sign(tone()),
        "slow": tone(f_hz=5),
        "highest": tone(f_hz=21_900),
        "two levels": np.repeat([0.1, 0.5], RATE_HZ // 2).astype(np.float32),
    }


UNDEFINED = {"silence", "nan", "inf", "too soft"}


@pytest.mark.parametrize("name", odd_sounds())
def test_odd_sounds_are_defined_or_nan_and_nothing_warns(name):
    found = np.array(list(timbral_descriptors(odd_sounds()[name], RATE_HZ).values()))
    assert not np.isinf(found).any()
    assert np.isnan(found).all() == (name in UNDEFINED), found


def test_it_is_a_feature_with_one_column_a_clip():
    spec = FrameSpec()
    matrix = extract("timbral", sound(2), spec)
    assert FEATURES["timbral"].rows(spec) == NAMES
    assert matrix.shape == (8, 1) and matrix.dtype == np.float32
    np.testing.assert_allclose(matrix[:, 0], list(timbral_descriptors(sound(2), RATE_HZ).values()))
    assert describe("timbral", spec)["columns"] == "recording"
    assert FEATURES["timbral"].row_units(spec) == (*["rating"] * 7, "ratio")
    assert np.isnan(extract("timbral", np.zeros(100, np.float32), spec)).all()
    np.testing.assert_array_equal(pool(matrix, ["mean"])["mean"], matrix[:, 0])
