"""What each transform of `learn/randomise` does to a spectrum, a decay, a level."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.starter_steps.mixture import Mixture, mixed
from pipeline.arrays import Float32
from pipeline.training.augmenting.randomise.band import HighPass, LowPass
from pipeline.training.augmenting.randomise.base import Transform, ratio, rms
from pipeline.training.augmenting.randomise.chain import DEFAULT, randomised
from pipeline.training.augmenting.randomise.codec import Codec, coded, coders
from pipeline.training.augmenting.randomise.dynamics import (
    Clipping,
    Compressor,
    block_levels_db,
)
from pipeline.training.augmenting.randomise.eq import Equaliser
from pipeline.training.augmenting.randomise.gain import Gain
from pipeline.training.augmenting.randomise.noise import Noise, coloured
from pipeline.training.augmenting.randomise.room import Room
from pipeline.training.augmenting.randomise.silence import placed
from pipeline.training.augmenting.randomise.speed import Speed

RATE_HZ = 32000
N = 2 * RATE_HZ
ALL = [DEFAULT.speed, *DEFAULT.transforms]


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def white(seed: int = 1, n: int = N) -> Float32:
    return 0.1 * generator(seed).standard_normal(n, np.float32)


def tone(hz: float = 440.0, n: int = N) -> Float32:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(n) / RATE_HZ)).astype(np.float32)


def always(transform: Transform, **ranges: object) -> Transform:
    return replace(transform, probability=1.0, **ranges)  # type: ignore[arg-type]


def power_db(samples: Float32) -> npt.NDArray[np.float64]:
    """The power in dB of each third of an octave from 50 Hz to 12.7 kHz, `[25]`."""
    power = np.abs(np.fft.rfft(samples.astype(np.float64) * np.hanning(len(samples)))) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    edges = 50 * 2 ** (np.arange(26) / 3)
    bands = [power[(hz >= low) & (hz < high)].mean() for low, high in pairwise(edges)]
    return 10 * np.log10(np.array(bands) + 1e-20)


def peak_hz(samples: Float32) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * RATE_HZ / len(samples))


@pytest.mark.parametrize("transform", ALL, ids=lambda one: type(one).__name__)
def test_transform_is_pure_and_follows_its_generator_and_leaves_silence_alone(
    transform: Transform,
) -> None:
    samples = white()
    before = samples.copy()
    one = always(transform)(samples, generator(3), RATE_HZ)
    again = always(transform)(samples, generator(3), RATE_HZ)
    other = always(transform)(samples, generator(4), RATE_HZ)
    assert one.dtype == np.float32
    assert np.isfinite(one).all()
    np.testing.assert_array_equal(samples, before)
    np.testing.assert_array_equal(one, again)
    assert len(one) != len(other) or not np.array_equal(one, other)
    never = replace(transform, probability=0.0)
    np.testing.assert_array_equal(never(samples, generator(), RATE_HZ), samples)
    silence = np.zeros(N, np.float32)
    np.testing.assert_array_equal(always(transform)(silence, generator(), RATE_HZ), silence)
    assert len(always(transform)(silence[:0], generator(), RATE_HZ)) == 0


def test_equaliser_changes_bands_smoothly_and_within_its_decibels() -> None:
    samples, equaliser = white(), Equaliser(1.0)
    spread = 0.0
    for seed in range(20):
        change_db = power_db(equaliser(samples, generator(seed), RATE_HZ)) - power_db(samples)
        assert np.abs(change_db).max() <= equaliser.most_db + equaliser.most_tilt_db
        # points lie 1.13 octaves apart: what a third of an octave may change by at most
        steepest = (2 * equaliser.most_db + equaliser.most_tilt_db / 4) / 3 / 1.13
        assert np.abs(np.diff(change_db)).max() <= steepest
        spread = max(spread, float(np.ptp(change_db)))
    assert spread > 10


def test_tilt_alone_is_a_straight_line_over_octaves() -> None:
    tilt = Equaliser(1.0, deviation_db=0.0)
    gains_db = tilt.draw_db(generator(2))
    change_db = power_db(tilt.apply(white(), generator(2), RATE_HZ)) - power_db(white())
    octaves = np.arange(25) / 3
    slope, start = np.polyfit(octaves, change_db, 1)
    assert abs(np.ptp(gains_db)) > 2
    assert slope == pytest.approx((gains_db[-1] - gains_db[0]) / np.log2(16000 / 30), rel=0.1)
    np.testing.assert_allclose(change_db, start + slope * octaves, atol=0.3)


def test_low_pass_keeps_what_is_below_its_cutoff_and_falls_by_its_slope_above() -> None:
    low_pass = LowPass(1.0, cutoff_hz=(2000.0, 2000.0), slope_db=(24.0, 24.0))
    low_hz, high_hz = tone(1000), tone(8000)
    np.testing.assert_allclose(
        low_pass(low_hz, generator(), RATE_HZ)[4000:-4000], low_hz[4000:-4000], atol=1e-3
    )
    fallen = low_pass(high_hz, generator(), RATE_HZ)[4000:-4000]
    assert 20 * np.log10(rms(fallen) / rms(high_hz)) == pytest.approx(-48, abs=1)


def test_high_pass_falls_by_its_slope_below_its_cutoff() -> None:
    high_pass = HighPass(1.0, cutoff_hz=(200.0, 200.0), slope_db=(12.0, 12.0))
    fallen = high_pass(tone(50), generator(), RATE_HZ)[8000:-8000]
    assert 20 * np.log10(rms(fallen) / rms(tone(50))) == pytest.approx(-24, abs=1)
    kept = high_pass(tone(1000), generator(), RATE_HZ)[4000:-4000]
    np.testing.assert_allclose(kept, tone(1000)[4000:-4000], atol=1e-3)


def test_room_lengthens_the_decay_by_its_rt60_and_keeps_pitch_and_place() -> None:
    room = Room(1.0, rt60_s=(0.8, 0.8), wet_db=(0.0, 0.0), pre_delay_s=(0.0, 0.0))
    burst = np.zeros(N, np.float32)
    burst[8000:11200] = tone(880)[:3200]  # 0.1 s
    heard = room(burst, generator(), RATE_HZ)
    assert not np.abs(heard[:7990]).max() > 1e-4  # nothing before the sound
    assert peak_hz(heard) == pytest.approx(880, abs=6)
    levels_db = block_levels_db(heard[12000:], 3200)  # blocks of 0.1 s
    fall_db = np.polyfit(np.arange(7) / 10, levels_db[:7], 1)[0]
    assert fall_db == pytest.approx(-60 / 0.8, rel=0.2)
    assert rms(burst[12000:]) == 0


def test_room_adds_reverberation_of_the_stated_energy() -> None:
    for wet_db in (-18.0, 0.0):
        click = np.zeros(N, np.float32)
        click[0] = 1.0
        heard = Room(1.0, rt60_s=(0.5, 0.5), wet_db=(wet_db, wet_db))(click, generator(), RATE_HZ)
        assert heard[0] == pytest.approx(1, abs=1e-4)
        assert 10 * np.log10(np.square(heard[1:]).sum()) == pytest.approx(wet_db, abs=0.1)


@pytest.mark.parametrize(("hard_share", "kind"), [(0.0, "tanh"), (1.0, "hard")])
def test_clipping_adds_odd_harmonics_and_keeps_the_level(hard_share: float, kind: str) -> None:
    clipping = Clipping(1.0, drive_db=(12.0, 12.0), hard_share=hard_share)
    heard = clipping(tone(500), generator(), RATE_HZ)
    spectrum = 20 * np.log10(np.abs(np.fft.rfft(heard * np.hanning(N))) + 1e-9)
    first, second, third = (spectrum[hz * N // RATE_HZ] for hz in (500, 1000, 1500))
    assert -20 < third - first < -5, kind
    assert second - first < -80
    assert rms(heard) == pytest.approx(rms(tone(500)), rel=1e-4)


def test_compressor_brings_a_soft_part_nearer_to_a_loud_one_by_its_ratio() -> None:
    samples = tone()
    samples[N // 2 :] *= 0.1  # -20 dB
    compressor = Compressor(
        1.0, threshold_db=(-20.0, -20.0), ratio=(4.0, 4.0), release_s=(0.05, 0.05)
    )
    heard = compressor(samples, generator(), RATE_HZ)
    loud, soft = heard[N // 4 : N // 2 - 400], heard[3 * N // 4 :]
    assert 20 * np.log10(rms(soft) / rms(loud)) == pytest.approx(-5, abs=0.3)
    assert rms(heard) == pytest.approx(rms(samples), rel=1e-4)


def test_gain_is_a_factor_within_its_range() -> None:
    found = {rms(Gain(1.0)(white(), generator(seed), RATE_HZ)) / rms(white()) for seed in range(9)}
    assert len(found) == 9
    assert ratio(-12) <= min(found) < max(found) <= ratio(12)


@pytest.mark.parametrize("name", coders())
@pytest.mark.parametrize("kbits", [16, 64])
def test_codec_keeps_level_and_place_and_cuts_what_is_above_its_band(name: str, kbits: int) -> None:
    samples = white()
    heard = coded(samples, RATE_HZ, name, kbits)
    assert len(heard) == N
    low = [HighPass(1.0, (100.0, 100.0)), LowPass(1.0, (2500.0, 2500.0), (60.0, 60.0))]
    before, after = samples, heard
    for transform in low:
        before = transform(before, generator(), RATE_HZ)
        after = transform(after, generator(), RATE_HZ)
    assert 20 * np.log10(rms(after) / rms(before)) == pytest.approx(0, abs=2.5)
    lags = np.arange(-40, 41)
    likeness = [float(np.dot(before[100:-100], np.roll(after, -lag)[100:-100])) for lag in lags]
    assert abs(lags[int(np.argmax(likeness))]) <= 2
    power = np.abs(np.fft.rfft(heard)) ** 2
    top, middle = power[15_000 * 2 :].mean(), power[2 * 500 : 2 * 2500].mean()
    if kbits == 16:  # Opus fills its upper bands with noise of their level
        assert 10 * np.log10(top / middle) < (-5 if name == "opus" else -40)
    else:  # something is left of what lies above telephone quality
        assert power[2 * 6000 : 2 * 7000].mean() > 0.01 * middle


def test_every_encoder_that_is_lacking_is_left_out() -> None:
    assert {"mp3", "opus", "aac"} <= set(coders())
    none = Codec(1.0, names=())
    np.testing.assert_array_equal(none(white(), generator(), RATE_HZ), white())


@pytest.mark.parametrize(("colour", "slope_db"), [("white", 0), ("pink", -3.01), ("brown", -6.02)])
def test_noise_falls_by_its_slope_an_octave(colour: str, slope_db: float) -> None:
    noise = coloured(generator(), 8 * N, RATE_HZ, colour)
    assert rms(noise) == pytest.approx(1, rel=1e-4)
    slope = np.polyfit(np.arange(25) / 3, power_db(noise), 1)[0]
    assert slope == pytest.approx(slope_db, abs=0.15)


def test_noise_lies_at_its_ratio_under_the_samples() -> None:
    for snr_db in (12.0, 40.0):
        added = Noise(1.0, snr_db=(snr_db, snr_db))(tone(), generator(), RATE_HZ) - tone()
        assert 20 * np.log10(rms(tone()) / rms(added)) == pytest.approx(snr_db, abs=0.1)


def test_speed_moves_pitch_and_length_together() -> None:
    for seed in range(6):
        heard = Speed(1.0)(tone(440), generator(seed), RATE_HZ)
        speed = N / len(heard)
        assert 2 ** (-2 / 12) <= speed <= 2 ** (2 / 12)
        assert peak_hz(heard) == pytest.approx(440 * speed, abs=1.5)
    assert Speed(1.0).most == pytest.approx(2 ** (1 / 6))


def test_short_clip_lies_whole_at_a_random_place_in_silence() -> None:
    starts = set()
    for seed in range(20):
        window = placed(white(n=1000), generator(seed), 5000)
        start = int(np.flatnonzero(window)[0])
        np.testing.assert_array_equal(window[start : start + 1000], white(n=1000))
        assert len(window) == 5000
        assert np.count_nonzero(window) == 1000
        starts.add(start)
    assert len(starts) > 15
    assert {len(placed(white(n=n), generator(), 500)) for n in (0, 500, 800)} == {500}


def test_mixture_has_others_at_their_level() -> None:
    clips = [tone(440), 0.01 * tone(1000), np.zeros(N, np.float32)]
    other = mixed(clips, [0.0, -6.0, 0.0]) - clips[0]
    assert 20 * np.log10(rms(other) / rms(clips[0])) == pytest.approx(-6, abs=0.01)
    drawn = [Mixture(share=0.5, most=3).draw_n(generator(seed)) for seed in range(400)]
    assert np.bincount(drawn, minlength=4)[1:] == pytest.approx([200, 100, 100], abs=40)


def test_chain_gives_windows_of_the_length_asked_and_the_same_ones_again() -> None:
    samples = white(n=DEFAULT.n_asked(N))
    for seed in range(5):
        window = randomised(samples, generator(seed), RATE_HZ, n_samples=N)
        assert window.shape == (N,)
        assert np.count_nonzero(window) > 0.999 * N  # filled, at every speed
        np.testing.assert_array_equal(
            window, randomised(samples, generator(seed), RATE_HZ, n_samples=N)
        )
    assert len(randomised(samples[:777], generator(), RATE_HZ)) == 777
