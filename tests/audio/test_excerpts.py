"""Which pieces of a track are described: few, spread over what is active, whatever the blocks."""

import numpy as np
import pytest

from pipeline.audio.description.excerpts import EXCERPT_S, N_EXCERPTS, ExcerptPicker
from pipeline.audio.spectra.activity import Activity
from tests.conftest import tones

RATE_HZ = 8_000


def spans(samples: np.ndarray, *, rate_hz: int, activity=None, block: int = 777):
    """Return begin and length of each excerpt in s; each sample says its own number."""
    picker = ExcerptPicker(activity, sample_rate_hz=rate_hz)
    for start in range(0, len(samples), block):
        picker.add(samples[start : start + block])
    return [(float(one[0]) / rate_hz, len(one) / rate_hz) for one in picker.ended()]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, []),
        (0.5, [(0, 0.5)]),
        (5, [(0, 5)]),
        (7, [(0, 5)]),
        (7.5, [(0, 5), (5, 2.5)]),
        (12, [(0, 5), (5, 5)]),
        (20, [(0, 5), (10, 5), (15, 5)]),
        (300, [(40, 5), (140, 5), (240, 5)]),
    ],
)
@pytest.mark.parametrize("block", [1, 33, 5000])
def test_the_excerpts_of_a_track(seconds, expected, block):
    samples = np.arange(round(seconds * 10), dtype=np.float32)
    assert spans(samples, rate_hz=10, block=block) == expected


@pytest.mark.parametrize("hours", [1, 3, 6])
def test_a_long_track_keeps_little_and_is_described_from_beginning_to_end(hours):
    picker, n_kept = ExcerptPicker(None, sample_rate_hz=10), []
    samples = np.arange(hours * 36_000, dtype=np.float32)
    for block in np.split(samples, hours * 600):
        picker.add(block)
        n_kept.append(sum(len(one) for one in vars(picker)["_kept"]))
    assert max(n_kept) <= 16 * EXCERPT_S * 10
    begins = np.array([one[0] for one in picker.ended()]) / len(samples)
    assert begins == pytest.approx([1 / 6, 3 / 6, 5 / 6], abs=0.07)


def test_silence_and_noise_have_no_excerpt(rng):
    sound, silence = tones(5, 440, sample_rate_hz=RATE_HZ), np.zeros(5 * RATE_HZ, np.float32)
    noise = (0.1 * rng.standard_normal(5 * RATE_HZ)).astype(np.float32)
    pieces = [silence, sound, noise, silence, sound, noise]
    picker = ExcerptPicker(Activity(), sample_rate_hz=RATE_HZ)
    picker.add(np.concatenate(pieces))
    found = picker.ended()
    assert len(found) == 2
    assert all(np.array_equal(one, sound) for one in found)
    picker = ExcerptPicker(None, sample_rate_hz=RATE_HZ)
    picker.add(np.concatenate(pieces))
    assert len(picker.ended()) == N_EXCERPTS


def test_a_short_rest_counts_where_all_else_is_silence():
    picker = ExcerptPicker(Activity(), sample_rate_hz=RATE_HZ)
    picker.add(np.zeros(5 * RATE_HZ, np.float32))
    picker.add(tones(1, 440, sample_rate_hz=RATE_HZ))
    assert [len(one) for one in picker.ended()] == [RATE_HZ]
