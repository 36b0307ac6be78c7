"""Every model trains, is saved and is loaded; the presets are the report's."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.audio.spectra.input_kinds import (
    FeatureInput,
    LogMelInput,
    SamplesInput,
    input_from_dict,
)
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import SpecMismatch, UsageError
from pipeline.models.model import Architecture, Tagger
from pipeline.training.config import TrainConfig
from pipeline.training.data.windows import load_windows, row_moments
from pipeline.training.loop import Hooks, train
from pipeline.training.recipes import PRESETS, input_spec_of, preset
from pipeline.training.spectra.logmel import SamplesToLogMel, with_margins
from pipeline.training.step.gradients import augmented
from tests.conftest import tones
from tests.marks import slow

SPEC = LogMelSpec()
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "model", ["cnn1d-raw", "cnn2d-mfcc", "cnn1d-descriptors", "ast", "resnet18"]
)
def test_what_a_model_hears_survives_json_and_has_its_shape(model):
    input_spec = input_spec_of(model, SPEC)
    assert input_from_dict(input_spec.to_dict()) == input_spec
    samples = tones(1.0, 440, sample_rate_hz=input_spec.sample_rate_hz)
    matrix = input_spec.matrix(samples)
    assert matrix.shape == (input_spec.n_rows, WindowSpec().n_frames(input_spec))
    assert matrix.dtype == np.dtype(input_spec.dtype)


def test_samples_are_the_16_bits_of_clips():
    samples = tones(0.5, 440)
    matrix = SamplesInput().matrix(samples)
    assert matrix.dtype == np.int16
    np.testing.assert_array_equal(matrix[0], np.rint(samples * 32_768).astype(np.int16))


def test_older_models_hear_log_mels_and_newer_kinds_are_refused():
    assert input_from_dict(SPEC.to_dict()) == LogMelInput(SPEC)
    with pytest.raises(SpecMismatch, match="kind 'smell'"):
        input_from_dict({"kind": "smell"})
    with pytest.raises(UsageError):
        FeatureInput("nmf_components")


def set_of(input_spec, n_clips=4):
    rows = []
    for k in range(n_clips):
        samples = tones(2.0, 300 if k % 2 else 2500, sample_rate_hz=input_spec.sample_rate_hz)
        samples += np.random.default_rng(k).standard_normal(len(samples)).astype(np.float32) * 0.02
        matrix = input_spec.matrix(samples)
        rows.append({"segment_id": f"s{k}", "classes": ["ab"[k % 2]], "matrix": matrix.tobytes()})
    schema = pa.schema(
        [
            ("segment_id", pa.string()),
            ("classes", pa.list_(pa.string())),
            ("matrix", pa.large_binary()),
        ]
    )
    table = pa.Table.from_pylist(rows, schema)
    return load_windows([table], codes=["a", "b"], windows=WindowSpec(), input_spec=input_spec)


@pytest.mark.parametrize("model", ["cnn1d-raw", "cnn2d-mfcc", "cnn1d-descriptors", slow("crnn")])
def test_each_learns_two_tones(model):
    input_spec = input_spec_of(model, SPEC)
    data = set_of(input_spec)
    shape = (input_spec.n_rows, WindowSpec().n_frames(input_spec))
    torch.manual_seed(0)
    architecture = Architecture(
        model, 2, input_shape=shape, dropout=0.0, below_peak=isinstance(input_spec, LogMelInput)
    )
    tagger = Tagger(architecture)
    if not architecture.below_peak:
        mean, deviation = row_moments(data)
        tagger.row_mean.copy_(torch.from_numpy(mean))
        tagger.row_deviation.copy_(torch.from_numpy(deviation))
        scaled = tagger.scaled(torch.from_numpy(data.windows(np.arange(len(data))).astype("f4")))
        assert abs(scaled.mean().item()) < 0.1
        assert scaled.std().item() == pytest.approx(1, abs=0.2)
    config = TrainConfig(model, epochs=5, batch_size=4, lr=2e-3, augment=(), ema=0.5)
    progress = train(
        config, tagger, data, data, device=CPU, checkpoint=None,
        hooks=Hooks(lambda step: None, lambda metrics, state: None),
    )  # fmt: skip
    assert progress.history[-1]["train_loss"] < 0.8 * progress.history[0]["train_loss"]


def test_masks_leave_rows_of_small_numbers_small():
    """Descriptors are hertz in one row and millionths in another; a mask must be near both."""
    input_spec = input_spec_of("cnn1d-descriptors", SPEC)
    data = set_of(input_spec)
    tagger = Tagger(Architecture("cnn1d-descriptors", 2, input_shape=(40, 87), below_peak=False))
    mean, deviation = row_moments(data)
    tagger.row_mean.copy_(torch.from_numpy(mean))
    tagger.row_deviation.copy_(torch.from_numpy(deviation))
    windows = torch.from_numpy(data.windows(np.arange(len(data))))
    config, rng = TrainConfig(augment=("masks",)), torch.Generator().manual_seed(0)
    masked, _ = augmented(tagger, windows, torch.zeros(len(windows), 2), config, rng)
    assert (masked != windows).any(dim=2).any(dim=0).all()
    assert tagger.scaled(masked).abs().max() <= tagger.scaled(windows).abs().max() + 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_trains(name):
    """One epoch of it; without the ImageNet weights, which no test can have.

    In float32: to try bfloat16 takes longer than this epoch, and has tests of its own.
    """
    config = replace(preset(name), epochs=1, weights=None, precision="f32")
    input_spec = input_spec_of(config.model, SPEC)
    val_set = set_of(input_spec, 2)
    spec = input_spec if isinstance(input_spec, FeatureInput) else getattr(input_spec, "spec", None)
    data = val_set
    if spec is not None:
        data = with_margins(set_of(SamplesInput(input_spec.sample_rate_hz), 2), spec)
    shape = (input_spec.n_rows, WindowSpec().n_frames(input_spec))
    is_below_peak = isinstance(input_spec, LogMelInput)
    tagger = Tagger(Architecture(config.model, 2, input_shape=shape, below_peak=is_below_peak))
    tagger.db_per_unit = input_spec.db_per_unit
    mean, deviation = map(torch.from_numpy, row_moments(data))
    front_end = None
    if spec is not None:
        front_end = SamplesToLogMel(spec, mean=mean, deviation=deviation)
    progress = train(
        config, tagger, data, val_set, device=CPU, checkpoint=None,
        hooks=Hooks(lambda step: None, lambda metrics, state: None),
        samples=front_end,
    )  # fmt: skip
    assert np.isfinite(progress.history[0]["val_loss"])
    assert progress.best_weights


def test_presets_are_the_reports():
    resnet, ast = preset("harmony-resnet50"), preset("harmony-ast")
    assert (resnet.batch_size, resnet.epochs, resnet.lr, resnet.lr_end) == (16, 35, 2e-4, 1e-6)
    assert (resnet.weight_decay, resnet.dropout, resnet.weights) == (1e-5, 0.2, "imagenet")
    assert (ast.lr, ast.lr_end, ast.head_lr, ast.head_lr_end) == (2e-5, 2e-6, 1e-3, 1e-4)
    assert (ast.weight_decay, ast.head_weight_decay) == (1e-4, 1e-3)
    for name in ("cnn1d-raw", "cnn2d-mfcc", "cnn1d-descriptors"):
        one = PRESETS[f"harmony-{name}"]
        assert set(one.augment) == {"noise", "pitch", "shift"}
        assert (one.lr, one.lr_end, one.weight_decay) == (1e-3, 1e-5, 5e-4)
    assert preset(None) == TrainConfig()
    with pytest.raises(UsageError, match="harmony-ast"):
        preset("harmony")
