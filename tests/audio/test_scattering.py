"""The scattering transform is kymatio's, hardly moves with its sound, and is made in pieces."""

import numpy as np
import pytest

from pipeline.audio.description.features import FrameSpec, describe, extract
from pipeline.audio.description.more_features import scattering
from pipeline.errors import UsageError
from tests.conftest import tones

SPEC = FrameSpec()
N = 49_152
"""Samples of a short piece: 12 columns, of which the first 8 do not see its end."""


@pytest.fixture(scope="module", autouse=True)
def short_pieces():
    """Make pieces short, and their filters once: they take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scattering, "_PIECE", N)
        yield
    scattering._transform.cache_clear()


def plucked(n_samples: int, at: int = 0) -> np.ndarray:
    time_s = np.arange(n_samples) / SPEC.sample_rate_hz
    sound = tones(n_samples / SPEC.sample_rate_hz, 440, 1320)[:n_samples]
    return np.roll(sound * (time_s % 0.25) * np.exp(-8 * (time_s % 0.25)), at).astype(np.float32)


def test_it_is_kymatios():
    from kymatio.scattering1d.frontend.torch_frontend import ScatteringTorch1D
    from torch import from_numpy

    sound = plucked(N)
    theirs = ScatteringTorch1D(J=12, shape=N, Q=8)(from_numpy(sound)).numpy()
    found = extract("scattering", sound, SPEC)
    assert found.shape == (546, 12)
    expected = 20 * np.log10(np.maximum(np.abs(theirs[:, :8]), 1e-6))
    np.testing.assert_allclose(found[:, :8], expected, atol=0.5)
    loud = expected > -70
    np.testing.assert_allclose(found[:, :8][loud], expected[loud], atol=0.01)


def test_pieces_give_the_whole():
    sound = plucked(3 * N)
    found = extract("scattering", sound, SPEC)
    assert found.shape == (546, 36)
    one = extract("scattering", sound[N // 3 * 2 :], SPEC)
    inside = slice(4, 20)
    loud = found[:, 8:][:, inside] > -60
    np.testing.assert_allclose(one[:, inside][loud], found[:, 8:][:, inside][loud], atol=0.2)


def test_a_short_shift_changes_little():
    """By 3 ms: a sample of it becomes another one, and a mean over 93 ms hardly does."""

    def apart(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.linalg.norm(one - other) / np.linalg.norm(one))

    here, there = plucked(N), plucked(N, 128)
    assert apart(here, there) > 0.5
    rows = [extract("scattering", one, SPEC)[1:, 2:8] for one in (here, there)]
    assert apart(*(10 ** (one / 20) for one in rows)) < 0.1


def test_silence_and_a_softer_copy():
    assert (extract("scattering", np.zeros(5000, np.float32), SPEC) == -120).all()
    loud, soft = (extract("scattering", gain * plucked(N), SPEC) for gain in (1.0, 0.1))
    np.testing.assert_allclose((loud - soft)[soft > -110], 20, atol=0.01)


def test_what_it_was_made_with_is_said():
    about = describe("scattering", SPEC)
    assert (about["settings"]["J"], about["settings"]["Q"]) == (12, 8)
    assert len(about["rows"]) == 546


def test_without_kymatio_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(
        __import__("sys").modules, "kymatio.scattering1d.frontend.numpy_frontend", None
    )
    monkeypatch.setattr(scattering, "_transform", scattering._transform.__wrapped__)
    with pytest.raises(UsageError, match=r"pip install '.\[scattering\]'"):
        extract("scattering", np.ones(100, np.float32), SPEC)
