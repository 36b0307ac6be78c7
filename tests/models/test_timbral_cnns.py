"""The four regressors: their numbers of parameters, their shapes, and what they hear."""

import numpy as np
import pytest
import torch

from pipeline.audio.spectra.front_ends.one_shot import OneShotInput
from pipeline.audio.spectra.input_kinds import SamplesInput, input_from_dict, level_rows
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import UsageError
from pipeline.inference.track_front_end import TrackFrontEnd, TrackStretches
from pipeline.models.networks.registry import build_network, networks

COUNTS = {
    "timbral-small": 130_697,
    "timbral-mid": 283_623,
    "timbral-7-filters": 348_063,
    "timbral-big": 2_122_371,
}


def network(name, n_samples=16_000):
    return build_network(name, n_classes=7, input_shape=(1, n_samples), dropout=0.0)


@pytest.mark.parametrize("name", COUNTS)
def test_a_network_has_the_notes_number_of_parameters(name):
    made = network(name).eval()
    assert sum(one.numel() for one in made.parameters()) == COUNTS[name]
    with torch.inference_mode():
        values = made(torch.randn(2, 1, 16_000))
    assert values.shape == (2, 7)
    assert (values < 0).any()  # the last layer is linear
    assert made.get_classifier().out_features == 7


def test_a_window_that_pooling_leaves_nothing_of_is_refused():
    assert network("timbral-big", 218)(torch.zeros(1, 1, 218)).shape == (1, 7)
    with pytest.raises(UsageError, match="a window of samples is 1 x 217; expected 1 x at least"):
        network("timbral-big", 217)


def test_a_short_sound_is_filled_up_by_the_softest_noise_always_the_same():
    input_spec = networks()["timbral-small"].front_end(LogMelSpec())
    assert input_from_dict(input_spec.to_dict()) == input_spec == OneShotInput(16_000, "window")
    assert level_rows(input_spec) == ((), (0,))
    samples = np.full(4000, 0.5, np.float32)
    matrix = input_spec.matrix(samples)
    assert matrix.shape == (1, 16_000) and matrix.dtype == np.int16
    assert (matrix[0, :4000] == 16_384).all()
    assert set(matrix[0, 4000:]) == {-1, 1}  # 1 of 32,768: -90 dBFS
    assert abs(matrix[0, 4000:].mean()) < 0.05
    np.testing.assert_array_equal(matrix, input_spec.matrix(samples))
    longer = np.zeros(20_000, np.float32)
    np.testing.assert_array_equal(
        input_spec.matrix(longer), SamplesInput(16_000, "window").matrix(longer)
    )


def test_noise_follows_a_sound_and_not_each_stretch_of_it(rng):
    front_end = TrackFrontEnd(OneShotInput(16_000, "window"), WindowSpec(), None)
    samples = rng.uniform(-0.5, 0.5, 40_000).astype(np.float32)
    track = TrackStretches([front_end], stretch_s=1.0)
    for start in range(0, len(samples), 9000):
        track.add(samples[start : start + 9000])
    (described,) = track.ended()
    np.testing.assert_array_equal(described.matrix, front_end.input_spec.matrix(samples))
