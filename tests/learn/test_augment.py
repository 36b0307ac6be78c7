"""Augmentation of samples: the report's ranges, seeded."""

import numpy as np
import pytest
import torch

from pipeline.learn.augment import (
    NOISE,
    SHIFT_SHARE,
    augment_samples,
    mix_samples,
    noise,
    pitch,
    shift,
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
    moved = shifted(sine(440), semitones)
    assert len(moved) == RATE_HZ
    assert loudest_hz(moved) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.01)


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
