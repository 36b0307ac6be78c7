"""Constant-Q, chroma and stacked features as what a network sees, in place of log-mels."""

import librosa
import numpy as np
import pytest
import torch

from pipeline.audio.description.analysis import Analysis, FrameSpec
from pipeline.audio.description.features import describe
from pipeline.audio.spectra.front_ends.cqt import CqtInput
from pipeline.audio.spectra.input_kinds import input_from_dict, network_inputs
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.errors import UsageError
from pipeline.models.model import Architecture, Tagger
from pipeline.models.names import INPUTS
from pipeline.training.config import TrainConfig
from pipeline.training.recipes import input_spec_of
from tests.conftest import tones

SPEC = LogMelSpec()


def sound() -> np.ndarray:
    """Return two seconds of a chord that sets in, and a little noise."""
    noise = 1e-3 * np.random.default_rng(0).standard_normal(88_200)
    chord = tones(2.0, 220, 277.18, 330, 1760)
    return (chord * (np.arange(88_200) > 20_000) + noise).astype(np.float32)


def spec_of(name: str):
    return input_spec_of("resnet18", SPEC, name)


def test_the_names_are_those_of_the_folder():
    assert tuple(network_inputs()) == INPUTS == ("chroma", "cqt", "mel-chroma-mfcc")


@pytest.mark.parametrize("name", INPUTS)
def test_model_json_gives_it_back_and_short_input_is_as_good(name):
    spec = spec_of(name)
    assert input_from_dict(spec.to_dict()) == spec
    for n_samples in (1, 511, 512, 44_100):
        matrix = spec.matrix(sound()[:n_samples])
        assert matrix.shape == (spec.n_rows, spec.n_frames(n_samples))
        assert matrix.dtype == np.dtype(spec.dtype)
        assert np.isfinite(matrix).all()


def test_the_cqt_is_librosas_in_db():
    found = spec_of("cqt").matrix(sound()).astype(np.float32)
    magnitude = np.abs(librosa.cqt(sound(), sr=44_100, hop_length=512, tuning=0.0))
    np.testing.assert_allclose(found, 20 * np.log10(np.maximum(magnitude, 1e-5)), atol=0.04)
    at = round(12 * np.log2(220 / librosa.note_to_hz("C1")))
    assert found[:, 120].argmax() == at
    assert (spec_of("cqt").matrix(np.zeros(30_000, np.float32)) == spec_of("cqt").silence).all()


def test_the_chroma_is_librosas_of_each_frame_at_its_own_level():
    found = spec_of("chroma").matrix(sound())
    analysis = Analysis(sound(), FrameSpec(), is_local=True, is_levelled=True)
    expected = librosa.feature.chroma_stft(S=analysis.power, sr=44_100, tuning=0.0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    plain = librosa.feature.chroma_stft(y=sound(), sr=44_100, tuning=0.0)
    np.testing.assert_allclose(found[:, 60:], plain[:, 60:], atol=0.02)  # where the chord sounds


def test_the_stack_is_librosas_three():
    found = spec_of("mel-chroma-mfcc").matrix(sound())
    analysis = Analysis(sound(), FrameSpec(), is_local=True, is_levelled=True)
    mel = librosa.feature.melspectrogram(S=analysis.power, sr=44_100, n_mels=128)
    mel_db = librosa.power_to_db(mel, amin=1e-5, top_db=None)
    np.testing.assert_allclose(found[:128], mel_db, atol=1e-3)
    np.testing.assert_array_equal(found[128:140], spec_of("chroma").matrix(sound()))
    loud_db = mel_db + 20 * np.log10(analysis.frame_level)
    np.testing.assert_allclose(found[140:], librosa.feature.mfcc(S=loud_db, n_mfcc=40), atol=1e-2)
    rows = describe("mel_chroma_mfcc", FrameSpec())["rows"]
    assert (rows[0], rows[128], rows[140]) == ("mel_0", "chroma_C", "mfcc_0")


@pytest.mark.parametrize("name", INPUTS)
def test_a_softer_copy_is_the_same_but_for_its_level(name):
    loud, soft = (spec_of(name).matrix(gain * sound()).astype(np.float32) for gain in (1.0, 0.1))
    apart = loud - soft
    if name == "cqt":  # a network sees it below the window's peak
        np.testing.assert_allclose(apart[loud > -70], 20, atol=0.1)
    else:
        level_row = [140] if name == "mel-chroma-mfcc" else []
        np.testing.assert_allclose(np.delete(apart, level_row, axis=0), 0, atol=2e-2)
        np.testing.assert_allclose(apart[level_row], 20 * 128**0.5, atol=1e-2)


def test_rows_of_an_image_are_scaled_before_it_is_resized():
    """Rows of decibels and of ratios would be mixed otherwise."""
    size = {"input_size": (32, 48), "input_shape": (12, 87), "below_peak": False}
    tagger = Tagger(Architecture("resnet10t", 2, **size)).eval()
    tagger.row_mean.copy_(torch.arange(12.0)[:, None])
    windows = torch.arange(12.0)[None, :, None].expand(3, 12, 87)
    assert tagger.resized(windows).shape == (3, 12, 87)
    prepared = tagger.prepared(windows)
    assert prepared.shape == (3, 1, 32, 48)
    assert not prepared.any()
    assert tagger(windows).shape == (3, 2)


def test_an_older_run_keeps_its_name_and_one_of_another_input_has_its_own():
    assert "input" not in TrainConfig().identity()
    assert TrainConfig(input="cqt").identity()["input"] == "cqt"


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("cnn2d-mfcc", {}, "cnn2d-mfcc has an input of its own"),
        ("yamnet", {}, "yamnet has an input of its own"),
        ("ast", {}, "ast has an input of its own"),
        ("probe", {"encoder": ("a",)}, "--input cqt: --encoder says it already; leave it out"),
        ("resnet18", {"init": "a"}, "--input cqt: --init says it already; leave it out"),
        ("resnet18", {"input": "smell"}, "expected chroma, cqt, mel-chroma-mfcc"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(model, options, said):
    with pytest.raises(UsageError, match=said):
        config = TrainConfig(**{"model": model, "input": "cqt", **options})
        input_spec_of(config.model, SPEC, config.input)


def test_a_rate_without_the_highest_octave_is_refused():
    with pytest.raises(UsageError, match=r"--input cqt: .* 9,000 Hz at least; this is of 8,000 Hz"):
        CqtInput(8_000)
