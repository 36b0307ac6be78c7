"""The windows that a training's page shows differ from the original as each augmentation says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.audio.decoding.clip import loudest_start_s, to_pcm16, wav_bytes
from pipeline.audio.description.features import FrameSpec
from pipeline.audio.spectra.input_kinds import FeatureInput, LogMelInput, SamplesInput
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.models.model import Architecture, Tagger
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.training import config
from pipeline.training.augmenting import augment, augment_examples
from pipeline.training.augmenting.augment import MASK_SHARE, N_MASKS, TILT_DB
from pipeline.training.augmenting.augment_examples import (
    ALL_OF_THEM,
    ORIGINAL,
    AugmentedWindow,
    TrainingInput,
    augmented_windows,
)
from pipeline.training.augmenting.augmentations.base import LOG_MELS, Augmentation
from pipeline.training.config import TrainConfig
from pipeline.training.data.epochs import SHIFT_SHARE
from pipeline.training.data.example_clips import Clip, example_clips
from pipeline.training.data.mapped import samples_of
from schemas.clips import clips_schema

RATE_HZ = 16_000
SPEC = LogMelSpec(sample_rate_hz=RATE_HZ, n_fft=512, hop=160, n_mels=64)
CONFIG = TrainConfig(model="resnet10t", input_size=(32, 32), augment=("masks", "mix", "shift"))
WINDOWS = WindowSpec(1.0, 1.0)


def tone(f_hz, seconds=4):
    """A tone that comes in at 2.2 s: the third window is the loudest."""
    time_s = np.arange(seconds * RATE_HZ) / RATE_HZ
    swell = np.where((time_s > 2.2) & (time_s < 2.9), 0.3, 0.01)
    noise = np.random.default_rng(int(f_hz)).normal(0, 1e-4, len(time_s))
    return (swell * np.sin(2 * np.pi * f_hz * time_s) + noise).astype(np.float32)


def clip(name, f_hz, classes):
    return Clip(name, classes, wav_bytes(to_pcm16(tone(f_hz)), RATE_HZ))


CLIPS = [clip("a_0", 700, ["cel"]), clip("b_0", 2500, ["pia"])]


def given(input_spec, **changes):
    config = replace(CONFIG, **changes)
    shape = (input_spec.n_rows, WINDOWS.n_frames(input_spec))
    is_db = isinstance(input_spec, LogMelInput)
    torch.manual_seed(0)
    model = Tagger(Architecture(config.model, 2, (32, 32), input_shape=shape, below_peak=is_db))
    return TrainingInput(config, model, input_spec, WINDOWS, SPEC)


@pytest.fixture(scope="module")
def windows():
    return augmented_windows(CLIPS, given(LogMelInput(SPEC)))


def stored(source):
    """Return a clip's log-mel as the dataset has it."""
    matrix = LogMelInput(SPEC).matrix(samples_of(source.wav, RATE_HZ))
    return matrix.astype(np.float32)


def images_of(windows):
    """Give the original and the others of both clips."""
    return [(one.images[ORIGINAL], one.images) for one in windows]


def test_every_augmentation_is_there_and_the_unused_are_told(windows):
    names = ["noise", "pitch", "shift", "frequency masks", "time masks", "mix", "tilt"]
    for one, source in zip(windows, CLIPS, strict=True):
        assert (one.segment_id, one.classes) == (source.segment_id, source.classes)
        assert list(one.images) == [ORIGINAL, *names, ALL_OF_THEM]
        assert one.unused == ["noise", "pitch", "tilt"]
        assert {image.shape for image in one.images.values()} == {(64, 101)}
        assert all(np.isfinite(image).all() for image in one.images.values())


def test_the_original_is_the_loudest_window_as_it_is_stored(windows):
    for (original, _), source in zip(images_of(windows), CLIPS, strict=True):
        assert np.array_equal(original, stored(source)[:, 200:301])
    assert loudest_start_s(tone(700), RATE_HZ, 1.0) == 2.0


def test_noise_raises_what_is_quiet(windows):
    for original, images in images_of(windows):
        quiet = original < np.quantile(original, 0.2)
        assert np.median((images["noise"] - original)[quiet]) > 3
        assert np.abs((images["noise"] - original)[~quiet & (original > -10)]).max(initial=0) < 1


def test_pitch_moves_the_loudest_band(windows):
    for original, images in images_of(windows):
        loudest = [image.sum(axis=1).argmax() for image in (original, images["pitch"])]
        assert loudest[0] != loudest[1]


def test_shift_is_a_window_that_begins_elsewhere(windows):
    for (original, images), source in zip(images_of(windows), CLIPS, strict=True):
        whole = stored(source)
        starts = range(whole.shape[1] - 100)
        away = [np.abs(images["shift"] - whole[:, at : at + 101]).max() for at in starts]
        moved = int(np.argmin(away)) - 200
        assert min(away) == 0
        assert 0 < abs(moved) <= SHIFT_SHARE * 101
        assert not np.array_equal(images["shift"], original)


@pytest.mark.parametrize(("name", "axis"), [("frequency masks", 0), ("time masks", 1)])
def test_masks_are_bands_of_the_windows_mean(windows, name, axis):
    for original, images in images_of(windows):
        changed = (images[name] != original).any(axis=1 - axis)
        assert 0 < changed.sum() <= N_MASKS * (MASK_SHARE * len(changed) + 1)
        inside = images[name].compress(changed, axis=axis)
        assert np.abs(inside - original.mean()).max() < 0.5
        kept = [image.compress(~changed, axis=axis) for image in (images[name], original)]
        assert np.array_equal(*kept)


def test_mix_adds_the_power_of_the_other_window(windows):
    originals = [original for original, _ in images_of(windows)]
    for k, (original, images) in enumerate(images_of(windows)):
        added = 10 ** (images["mix"] / 10) - 10 ** (original / 10)
        other_db = originals[1 - k]
        loud = other_db > original + 10
        gain_db = 10 * np.log10(added[loud]) - other_db[loud]
        assert np.ptp(gain_db) < 0.1
        level_db = [10 * np.log10((10 ** (one / 10)).mean()) for one in (original, other_db)]
        assert abs(gain_db.mean()) < 6.5 + abs(level_db[0] - level_db[1])


def test_tilt_is_a_line_over_the_bands(windows):
    for original, images in images_of(windows):
        moved = images["tilt"] - original
        assert np.ptp(moved, axis=1).max() < 1e-3
        steps = np.diff(moved.mean(axis=1))
        assert np.ptp(steps) < 1e-3
        assert 0 < abs(steps.sum()) <= TILT_DB + 1e-3


def test_an_augmentation_of_a_file_of_its_own_is_shown_where_it_is_used(monkeypatch):
    louder = Augmentation("louder", LOG_MELS, lambda db, targets, rng: (db + 6, targets))
    for module in (augment, augment_examples):
        monkeypatch.setattr(module, "MORE", (louder,))
    monkeypatch.setattr(config, "AUGMENTATIONS", (*augment.AUGMENTATIONS, "louder"))
    one, _ = augmented_windows(CLIPS, given(LogMelInput(SPEC), augment=("louder",)))
    np.testing.assert_allclose(one.images["louder"], one.images[ORIGINAL] + 6, atol=0.2)
    other, _ = augmented_windows(CLIPS, given(SamplesInput(RATE_HZ), model="cnn1d-raw"))
    assert "louder" not in other.images


def test_samples_are_drawn_as_log_mels():
    one, _ = augmented_windows(
        CLIPS, given(SamplesInput(RATE_HZ), model="cnn1d-raw", augment=("noise", "shift"))
    )
    assert list(one.images) == [ORIGINAL, "noise", "pitch", "shift", "mix", ALL_OF_THEM]
    assert one.unused == ["pitch", "mix"]
    assert {image.shape for image in one.images.values()} == {(64, 101)}
    assert one.images[ORIGINAL].max() == pytest.approx(one.images["shift"].max(), abs=3)


@pytest.mark.parametrize("others", [(), ("noise",)], ids=["in the loader", "on the device"])
@pytest.mark.parametrize(
    ("input_spec", "model"),
    [(LogMelInput(SPEC), "resnet10t"), (SamplesInput(RATE_HZ), "cnn1d-raw")],
    ids=["log-mels", "samples"],
)
def test_another_recording_of_a_window_has_its_tone_and_other_noise(input_spec, model, others):
    augment = ("randomise", *others)
    for one in augmented_windows(CLIPS, given(input_spec, model=model, augment=augment)):
        original, changed = one.images[ORIGINAL], one.images["randomise"]
        loudest = [int(image.mean(axis=1).argmax()) for image in (original, changed)]
        assert abs(loudest[0] - loudest[1]) <= 4  # a speed of two semitones
        assert np.abs(changed - original).mean() > 3
        assert "randomise" not in one.unused
        assert not np.array_equal(changed, one.images[ALL_OF_THEM])


def test_a_feature_has_the_augmentations_that_fit_it():
    frames = FrameSpec(RATE_HZ, 512, 160)
    one, _ = augmented_windows(
        CLIPS, given(FeatureInput("mfcc", frames), model="cnn2d-mfcc", augment=("shift",))
    )
    assert list(one.images) == [
        ORIGINAL, "shift", "frequency masks", "time masks", ALL_OF_THEM,
    ]  # fmt: skip
    assert np.array_equal(one.images["shift"], one.images[ALL_OF_THEM]) is False
    assert len(one.images[ORIGINAL]) == 40


def test_a_feature_whose_samples_are_changed_shows_it():
    feature = FeatureInput("mfcc", FrameSpec(RATE_HZ, 512, 160))
    augment = ("noise", "pitch", "shift")
    one, _ = augmented_windows(CLIPS, given(feature, model="cnn2d-mfcc", augment=augment))
    assert {"noise", "pitch", "shift"} <= set(one.images)
    for name in ("noise", "pitch"):
        assert one.images[name].shape == one.images[ORIGINAL].shape
        assert not np.array_equal(one.images[name], one.images[ORIGINAL])


def test_one_clip_is_not_mixed_and_none_is_nothing():
    (one,) = augmented_windows(CLIPS[:1], given(LogMelInput(SPEC)))
    assert "mix" not in one.images
    assert augmented_windows([], given(LogMelInput(SPEC))) == []


def test_without_augmentation_nothing_is_used():
    (one, _) = augmented_windows(CLIPS, given(LogMelInput(SPEC), augment=()))
    assert ALL_OF_THEM not in one.images
    assert len(one.unused) == 7


def test_the_same_config_draws_the_same_and_a_checkpoint_keeps_it(windows, tmp_path):
    again = augmented_windows(CLIPS, given(LogMelInput(SPEC)))
    torch.save([one.to_state() for one in again], tmp_path / "state.pt")
    read = torch.load(tmp_path / "state.pt", weights_only=True)
    for one, other in zip(windows, map(AugmentedWindow.from_state, read), strict=True):
        assert one.images.keys() == other.images.keys()
        assert replace(one, images={}) == replace(other, images={})
        for name, image in one.images.items():
            assert np.abs(image - other.images[name]).max() < 0.1


def test_two_clips_of_different_classes_are_picked(tmp_path):
    folder = Folder(str(tmp_path))
    shards = {
        "clips/test-0.parquet": [("t_0", ["voi"])],
        "clips/train-0.parquet": [
            ("two", ["cel", "pia"]),
            ("not in the set", ["voi"]),
            ("none", []),
            ("first", ["cel"]),
            ("same", ["cel"]),
            ("other", ["pia"]),
        ],
    }
    schema = clips_schema(RATE_HZ)
    for name, rows in shards.items():
        columns = {field.name: [None] * len(rows) for field in schema}
        columns |= {
            "segment_id": [one for one, _ in rows],
            "classes": [classes for _, classes in rows],
            "audio": [{"bytes": one.encode(), "path": one} for one, _ in rows],
        }
        folder.write_table(name, schema.empty_table().from_pydict(columns, schema=schema))
    ids = {"two", "none", "first", "same", "other"}
    found = example_clips(Dataset(folder), ids)
    assert [(one.segment_id, one.wav) for one in found] == [
        ("first", b"first"),
        ("other", b"other"),
    ]
    assert [one.segment_id for one in example_clips(Dataset(folder), {"two"})] == ["two"]
    assert [one.segment_id for one in example_clips(Dataset(folder), {"t_0", "same"})] == [
        "t_0",  # of another shard than the other
        "same",
    ]
    assert example_clips(Dataset(folder), {"elsewhere"}) == []
