"""Augmentation of samples: the report's ranges, seeded."""

import numpy as np
import pytest
import torch
import torchaudio

from pipeline.training.augmenting.augment import (
    NOISE,
    SHIFT_SHARE,
    augment_samples,
    mix,
    mix_samples,
    noise,
    shift,
)
from pipeline.training.augmenting.pitch import (
    nearest_peaks,
    pitch,
    resampled_together,
    shifted,
)

RATE_HZ = 16_000


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


def sine(f_hz: float) -> torch.Tensor:
    return torch.sin(2 * torch.pi * f_hz * torch.arange(RATE_HZ) / RATE_HZ)


def loudest_hz(samples: torch.Tensor) -> float:
    middle = samples[2000:12_000].numpy() * np.hanning(10_000)
    return float(np.abs(np.fft.rfft(middle, 80_000)).argmax() * RATE_HZ / 80_000)


@pytest.mark.parametrize("semitones", [-6, -3.3, -0.5, 0, 1, 4.4, 6])
def test_pitch_moves_by_semitones_and_keeps_the_length(semitones):
    (moved,) = shifted(sine(440)[None], torch.tensor([semitones]))
    assert len(moved) == RATE_HZ
    assert loudest_hz(moved) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.01)


def level_db(samples: torch.Tensor, f_hz: float, rate_hz: int) -> float:
    """Return the level of what lies within 3 % of a frequency, in the middle of the sound."""
    middle = samples[int(0.42 * rate_hz) : int(0.8 * rate_hz)].numpy()
    power = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))) ** 2
    hz = np.fft.rfftfreq(len(middle), 1 / rate_hz)
    return float(10 * np.log10(power[abs(hz / f_hz - 1) < 0.03].sum()))


def tone(f0_hz: float, n_partials: int, *, begin_s: float) -> torch.Tensor:
    """Return a second at 44.1 kHz of partials, 1/k each, that begin together in faint noise."""
    rng, time_s = np.random.default_rng(0), np.arange(44_100) / 44_100
    partials = [
        np.sin(2 * np.pi * (k * f0_hz * time_s + rng.random())) / k
        for k in range(1, n_partials + 1)
    ]
    sound = 0.2 * np.sum(partials, axis=0) * (time_s >= begin_s)
    return torch.from_numpy((sound + 1e-4 * rng.standard_normal(44_100)).astype(np.float32))


@pytest.mark.parametrize("begin_s", [0.0, 0.3])
@pytest.mark.parametrize("n_partials", [1, 12])
@pytest.mark.parametrize("semitones", [-6, -3.3, -1, 1, 3.3, 6])
def test_partials_keep_their_levels_up_and_down(semitones, n_partials, begin_s):
    """Also of a tone whose attack the stretched sound has to get over."""
    ratio = 2 ** (semitones / 12)
    for f0_hz in (147.0, 330.0, 880.0):
        before = tone(f0_hz, n_partials, begin_s=begin_s)
        (after,) = shifted(before[None], torch.tensor([semitones]))
        changes = [
            level_db(after, k * f0_hz * ratio, 44_100) - level_db(before, k * f0_hz, 44_100)
            for k in range(1, n_partials + 1)
        ]
        assert np.abs(changes).max() < 1, (f0_hz, changes)


def test_rows_are_shifted_as_if_alone(rng):
    rows = torch.stack([sine(f) for f in (200, 300, 400, 500, 600)])
    steps = 12 * torch.rand(5, generator=torch.Generator().manual_seed(0)) - 6
    together = pitch(rows, rng)
    for row, step, moved in zip(rows, steps, together, strict=True):
        torch.testing.assert_close(moved, shifted(row[None], step[None])[0], atol=1e-4, rtol=0)


def test_rows_resampled_together_are_torchaudios():
    """What a GPU does, without a wait for the ratios, is what a row takes on a CPU."""
    rows = torch.randn(4, 30_000, generator=torch.Generator().manual_seed(0))
    ratios = [(7, 5), (5, 4), (3, 4), (99, 100)]
    together = resampled_together(rows, torch.tensor([p / q for p, q in ratios]), 20_000)
    for row, (p, q), found in zip(rows, ratios, together, strict=True):
        torch.testing.assert_close(
            found, torchaudio.functional.resample(row, p, q)[:20_000], atol=3e-3, rtol=0
        )


def test_the_nearest_peaks():
    magnitudes = torch.tensor([0.0, 3, 1, 0.5, 0.2, 0.3, 2, 1])
    assert nearest_peaks(magnitudes).tolist() == [1, 1, 1, 1, 6, 6, 6, 6]
    assert nearest_peaks(torch.zeros(3, 200)).tolist() == [list(range(200))] * 3
    rising = torch.arange(200.0)
    assert nearest_peaks(rising)[-60:].tolist() == [199] * 60


def test_pitch_draws_a_step_for_each_row(rng):
    found = [loudest_hz(row) for row in pitch(sine(440).repeat(6, 1), rng)]
    assert len({round(f) for f in found}) == 6
    assert min(found) > 440 * 2 ** (-6.2 / 12)
    assert max(found) < 440 * 2 ** (6.2 / 12)


def test_shift_is_a_rotation_of_at_most_two_fifths(rng):
    before = torch.arange(1000.0).repeat(200, 1)
    after = shift(before, rng)
    assert torch.equal(after.sort(dim=1).values, before)
    by = (before[:, 0] - after[:, 0]).long() % 1000
    signed = torch.where(by > 500, by - 1000, by)
    assert signed.abs().max() <= SHIFT_SHARE * 1000
    assert signed.abs().max() > 0.35 * 1000
    assert signed.min() < 0 < signed.max()


def test_noise_is_gaussian_of_the_training_sets_spread(rng):
    mean, deviation = torch.tensor([[2.0]]), torch.tensor([[3.0]])
    added = noise(torch.zeros(4, 50_000), rng, mean=mean, deviation=deviation)
    assert added.mean().item() == pytest.approx(2 * NOISE, rel=0.05)
    assert added.std().item() == pytest.approx(3 * NOISE, rel=0.02)


def test_mixing_joins_labels(rng):
    samples, targets = torch.eye(64, 100), torch.eye(64)
    mixed, joined = mix_samples(samples, targets, rng)
    is_mixed = joined.sum(dim=1) > 1
    assert 0.1 < is_mixed.float().mean() < 0.5
    assert torch.equal(
        mixed[joined.sum(dim=1) == 1].amax(dim=1) >= 1,
        torch.ones(64, dtype=bool)[joined.sum(dim=1) == 1],
    )
    assert ((mixed != 0).sum(dim=1)[is_mixed] == 2).all()


@pytest.mark.parametrize("is_db", [False, True])
def test_what_is_mixed_in_is_heard(rng, is_db):
    """Rows 30 dB apart: -6 to 6 dB of the row itself is added, never 30 dB less."""
    loud = torch.from_numpy(np.random.default_rng(0).standard_normal((64, 9, 40))).float()
    loud[::2] *= 10**-1.5
    rows = 10 * torch.log10(loud.square()) if is_db else loud.flatten(1)

    def power(values):
        return (10 ** (values / 10)).mean(dim=(1, 2)) if is_db else values.square().mean(dim=1)

    mixed, joined = (mix if is_db else mix_samples)(rows, torch.eye(64), rng)
    is_mixed = joined.sum(dim=1) > 1
    assert is_mixed.any()
    added_db = 10 * torch.log10(power(mixed) / power(rows) - 1)[is_mixed]
    assert added_db.min() > -7
    assert added_db.max() < 7


def test_the_same_seed_is_the_same_and_no_name_is_nothing():
    samples, targets = sine(300).repeat(3, 1), torch.eye(3)
    names = ("noise", "pitch", "shift", "mix")

    def run(seed, names):
        rng = torch.Generator().manual_seed(seed)
        one = torch.ones(1, 1)
        return augment_samples(samples, targets, rng, names, mean=one, deviation=one)[0]

    assert torch.equal(run(1, names), run(1, names))
    assert not torch.equal(run(1, names), run(2, names))
    assert torch.equal(run(1, ()), samples)
