"""A stack of front ends has, in each part's rows, what that front end gives by itself."""

import numpy as np
import pytest

from pipeline.audio.spectra.input_kinds import (
    FeatureInput,
    LogMelInput,
    SamplesInput,
    adds_up,
    input_from_dict,
)
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.stacked import StackedInput, row_scaling
from pipeline.audio.spectra.windows import WindowSpec, cut_windows, window_starts
from pipeline.errors import SpecMismatch, UsageError
from tests.conftest import tones
from tests.front_ends import CED, EFFICIENTAT, INPUTS, YAMNET

STACK = StackedInput((YAMNET, EFFICIENTAT))


def music(n_seconds, rate_hz):
    return tones(n_seconds, 220, 1000, 3000, sample_rate_hz=rate_hz).astype(np.float32)


def test_the_highest_rate_and_the_rows_of_all():
    assert (STACK.sample_rate_hz, STACK.hop, STACK.n_rows) == (32_000, 320, 192)
    assert STACK.rows_of_parts == (slice(0, 64), slice(64, 192))
    assert STACK.n_frames_of_parts(32_000) == (98, 100)
    assert STACK.n_frames(32_000) == 100


def test_each_part_has_what_it_gives_by_itself():
    samples = music(1.5, 32_000)
    of_yamnet, of_mn = (STACK.matrix(samples)[rows] for rows in STACK.rows_of_parts)
    np.testing.assert_array_equal(of_mn, EFFICIENTAT.matrix(samples))
    alone = YAMNET.matrix(music(1.5, 16_000))  # the same tones, made at the lower rate
    assert alone.shape == (64, 148) and of_yamnet.shape == (64, 150)
    np.testing.assert_allclose(of_yamnet[:, 3:145], alone[:, 3:145], atol=0.02)
    np.testing.assert_array_equal(of_yamnet[:, 148:], np.float32(YAMNET.silence))


def test_samples_are_resampled_once_a_rate(monkeypatch):
    from pipeline.audio.spectra import stacked

    rates, real = [], stacked.resampled

    def counted(blocks, rate_in_hz, rate_out_hz):
        rates.append(rate_out_hz)
        return real(blocks, rate_in_hz, rate_out_hz)

    monkeypatch.setattr(stacked, "resampled", counted)
    StackedInput(tuple(INPUTS.values())).matrix(music(0.5, 32_000))
    assert sorted(rates) == [16_000, 32_000]


@pytest.mark.parametrize("n_samples", [0, 1, 319, 320, 799, 800, 801, 1599, 16_001])
def test_any_length_has_the_columns_that_are_said(n_samples):
    stack = StackedInput(tuple(INPUTS.values()))
    samples = music(1, 32_000)[:n_samples]
    assert stack.matrix(samples).shape == (stack.n_rows, stack.n_frames(n_samples))


def test_beyond_a_clip_each_part_has_its_own_silence():
    windows = WindowSpec(2.0, 2.0)
    matrix = STACK.matrix(music(1, 32_000))
    starts = window_starts(matrix.shape[1], windows, STACK)
    (window,) = cut_windows(matrix, starts, windows.n_frames(STACK), silence=STACK.silence)
    assert window.shape == (192, 200)
    np.testing.assert_array_equal(window[:, :100], matrix)
    for part, rows in zip(STACK.parts, STACK.rows_of_parts, strict=True):
        np.testing.assert_array_equal(window[rows, 100:], np.float32(part.silence))


def test_rows_are_scaled_as_their_parts_are():
    mean, deviation = row_scaling(STACK)
    assert STACK.scaling is None
    np.testing.assert_array_equal(mean, np.repeat(np.float32([0, -4.5]), [64, 128]))
    np.testing.assert_array_equal(deviation, np.repeat(np.float32([1, 5]), [64, 128]))
    assert StackedInput((EFFICIENTAT, EFFICIENTAT)).scaling == EFFICIENTAT.scaling
    own = LogMelInput(LogMelSpec(32_000, 1024, 320, 64))
    mean, _ = row_scaling(StackedInput((own, EFFICIENTAT)))
    assert np.isnan(mean[:64]).all() and (mean[64:] == -4.5).all()


def test_units_are_known_where_all_parts_have_the_same():
    assert StackedInput((CED, CED)).db_per_unit == 1
    assert STACK.db_per_unit is None  # YAMNet's are of magnitude
    assert not adds_up(STACK)
    assert adds_up(EFFICIENTAT) and adds_up(SamplesInput()) and not adds_up(FeatureInput("mfcc"))


def test_it_survives_json():
    stack = StackedInput((STACK, *INPUTS.values(), LogMelInput(LogMelSpec(32_000, 1024, 320))))
    assert input_from_dict(stack.to_dict()) == stack
    with pytest.raises(SpecMismatch, match="another version"):
        input_from_dict({"kind": "stacked"})


def test_what_has_no_columns_in_common_is_refused():
    with pytest.raises(UsageError, match=r"hops of 10 ms, 11.61 ms"):
        StackedInput((EFFICIENTAT, LogMelInput()))
    with pytest.raises(UsageError, match="stands alone"):
        StackedInput((FeatureInput("mfcc", level="window"),))
    with pytest.raises(UsageError, match="no parts"):
        StackedInput(())
