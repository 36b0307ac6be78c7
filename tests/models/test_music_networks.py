"""The music tagging networks have the layers, sizes and steps of their papers.

Parameters for 50 classes are counted here by hand from the layers of github.com/minzwon/
sota-music-tagging-models (training/model.py and modules.py, of which Won et al. 2020 speak) and
github.com/biboamy/instrument-prediction (function/model.py of Hung and Yang 2018), for FCN-4 from
table 1 of Choi et al. 2016, for the full-band CNN from section 3 of Dieleman and Schrauwen 2014.
"""

import librosa
import numpy as np
import pytest
import torch

from pipeline.audio.spectra.input_kinds import LogMelInput, SamplesInput
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.models.networks import harmonic_cnn, samplecnn, timbre_pitch
from pipeline.models.networks.registry import build_network, networks
from pipeline.training.presets import PRESETS
from pipeline.training.recipes import input_spec_of

N_CLASSES = 50


def linear(n_in, n_out):
    return n_in * n_out + n_out


def convolved(n_in, n_out, kernel):
    """Weights and bias of a convolution of so many taps, and the two of its batch norm."""
    return linear(n_in * kernel, n_out) + 2 * n_out


def blocks(widths, kernel):
    return sum(convolved(*ends, kernel) for ends in zip(widths[:-1], widths[1:], strict=True))


def residual(n_in, n_out, kernel=9, short_cut=True):
    """Two convolutions and, unless the input is added as it is, a third one."""
    both = convolved(n_in, n_out, kernel) + convolved(n_out, n_out, kernel)
    return both + short_cut * convolved(n_in, n_out, kernel)


def dense(width):
    return linear(width, width) + 2 * width


def excited(n_in, n_out, kernel, short_cut):
    return residual(n_in, n_out, kernel, short_cut) + 2 * linear(n_out, n_out)


def timbre_pitch_block(n_in, n_out):
    """Three batch norms, two convolutions over three steps, one over a single step."""
    norms = 2 * (n_in + 2 * n_out)
    return norms + linear(n_in * 3, n_out) + linear(n_out * 3, n_out) + linear(n_in, n_out)


SAMPLE_WIDTHS = (1, 128, 128, 128, 256, 256, 256, 256, 256, 256, 512)
SE_BLOCKS = [
    excited(n_in, n_out, 3, k == 0 or n_in != n_out)
    for k, (n_in, n_out) in enumerate(zip(SAMPLE_WIDTHS[:-1], SAMPLE_WIDTHS[1:], strict=True))
]
SA_WIDTHS = (1, 128, 128, 256, 256, 256, 256, 256)
ENCODER_LAYER = 4 * linear(256, 256) + linear(256, 1024) + linear(1024, 256) + 2 * 2 * 256
N_PARAMETERS = {
    "fcn": 2 + blocks((1, 64, 128, 128, 128, 64), 9) + linear(64, N_CLASSES),
    "fcn4": 2 + blocks((1, 128, 384, 768, 2048), 9) + linear(2048, N_CLASSES),
    "musicnn": 2
    + convolved(1, 204, 67 * 7)
    + convolved(1, 204, 38 * 7)
    + sum(convolved(1, 51, n_frames) for n_frames in (129, 65, 33))
    + blocks((561, 64, 64, 64), 7)
    + linear(2 * (561 + 3 * 64), 200)
    + 2 * 200
    + linear(200, N_CLASSES),
    "samplecnn": blocks(SAMPLE_WIDTHS, 3) + convolved(512, 512, 1) + linear(512, N_CLASSES),
    "samplecnn-se": sum(SE_BLOCKS)
    + excited(512, 512, 1, False)
    + dense(512)
    + linear(512, N_CLASSES),
    "cnn-sa": 2
    + sum(residual(*ends) for ends in zip(SA_WIDTHS[:-1], SA_WIDTHS[1:], strict=True))
    + 2 * ENCODER_LAYER
    + linear(256, 256)
    + linear(256, N_CLASSES),
    "cnn1d-mel": linear(128 * 8, 32)
    + linear(32 * 8, 32)
    + linear(32 * 9, 100)  # of 188 frames 9 positions are left
    + linear(100, N_CLASSES),
    "timbre-pitch": 2 * 176
    + linear(176 * 3, 88)
    + sum(timbre_pitch_block(*ends) for ends in ((88, 176), (176, 264), (264, 264)))
    + 2 * 264
    + linear(264 * 3, N_CLASSES),
    "harmonic-cnn": 1  # Q
    + 2 * 6
    + convolved(6, 128, 9)
    + 3 * residual(128, 128, short_cut=False)
    + convolved(128, 256, 9)
    + 2 * residual(256, 256, short_cut=False)
    + dense(256)
    + linear(256, N_CLASSES),
}


def built(name, shape, **options):
    return build_network(name, n_classes=N_CLASSES, input_shape=shape, dropout=0.5, **options)


def paper_shape(name):
    """Rows and columns of the window that a paper trains on."""
    return {
        "fcn": (96, 1813),
        "fcn4": (96, 1366),
        "musicnn": (96, 188),
        "cnn-sa": (128, 938),
        "cnn1d-mel": (128, 188),
        "timbre-pitch": (1, 160_000),
        "harmonic-cnn": (1, 80_000),
    }.get(name, (1, 59_049))


@pytest.mark.parametrize("name", N_PARAMETERS)
def test_parameters_are_as_many_as_the_authors(name):
    with torch.device("meta"):
        network = built(name, paper_shape(name))
    assert sum(one.numel() for one in network.parameters()) == N_PARAMETERS[name]


def test_musicnn_is_as_large_as_its_paper_says():
    """Pons and Serra 2019 count 787 K, which has the statistics of the batch norms, too."""
    assert N_PARAMETERS["musicnn"] == pytest.approx(787_000, rel=0.005)


@pytest.mark.parametrize("name", ["fcn", "fcn4", "samplecnn", "samplecnn-se", "harmonic-cnn"])
def test_one_value_a_channel_is_left_of_a_papers_window(name):
    network, seen = built(name, paper_shape(name)).eval(), []
    network.features.register_forward_hook(lambda _, __, out: seen.append(out.shape[2:].numel()))
    with torch.inference_mode():
        network(torch.randn(1, *paper_shape(name)))
        network(torch.randn(1, paper_shape(name)[0], 2 * paper_shape(name)[1]))
    assert seen[0] == 1 < seen[1]


def test_self_attention_reads_118_steps_of_15_s():
    network, seen = built("cnn-sa", paper_shape("cnn-sa")).eval(), []
    network.encoder.register_forward_hook(lambda _, args, __: seen.append(tuple(args[0].shape)))
    with torch.inference_mode():
        network(torch.randn(2, *paper_shape("cnn-sa")))
    assert seen == [(2, 1 + 118, 256)]


def test_the_order_of_steps_does_not_matter_to_the_encoder():
    """It has no positions: the first token's state is that of a set."""
    encoder = built("cnn-sa", (128, 63)).eval().encoder
    tokens = torch.randn(1, 9, 256)
    with torch.inference_mode():
        mixed = encoder(tokens[:, [0, 3, 1, 2, 8, 7, 6, 5, 4]])
        torch.testing.assert_close(mixed[:, 0], encoder(tokens)[:, 0], atol=1e-5, rtol=1e-5)


def test_inputs_are_those_of_the_benchmark():
    for name in N_PARAMETERS:
        front_end = input_spec_of(name, LogMelSpec())
        if isinstance(front_end, SamplesInput):
            assert front_end == SamplesInput(16_000, "window")
            continue
        assert isinstance(front_end, LogMelInput)
        spec = front_end.spec
        rate_hz = 12_000 if name == "fcn4" else 16_000
        assert (spec.sample_rate_hz, spec.n_fft, spec.hop) == (rate_hz, 512, 256)
        assert spec.n_mels == (128 if name in ("cnn-sa", "cnn1d-mel") else 96)


def test_presets_are_the_benchmarks():
    found = {name: one for name, one in PRESETS.items() if name.startswith("benchmark-")}
    assert {one.model for one in found.values()} <= networks().keys()
    assert {(one.lr, one.weight_decay, one.batch_size) for one in found.values()} == {
        (1e-4, 1e-4, 16)
    }
    samples = found["benchmark-samplecnn"].window_s * 16_000
    assert samples == samplecnn.N_SAMPLES
    assert found["benchmark-musicnn"].window_s == 3


# Harmonic filters.


@pytest.fixture(scope="module")
def filters():
    return harmonic_cnn.HarmonicFilters()


def test_the_spectrum_is_librosas(filters):
    samples = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    expected = librosa.stft(samples, n_fft=512, hop_length=256, pad_mode="reflect")
    padded = torch.nn.functional.pad(torch.from_numpy(samples)[None, None], (256, 256), "reflect")
    real, imaginary = torch.nn.functional.conv1d(padded, filters.dft, stride=256)[0].chunk(2)
    np.testing.assert_allclose(torch.complex(real, imaginary), expected, atol=1e-3)


def test_filters_stand_at_harmonics_of_half_semitones(filters):
    centres = filters.centres_hz.reshape(6, 128)
    assert centres[0, 0].item() == pytest.approx(librosa.note_to_hz("C1"), rel=1e-5)
    assert centres[0, 24].item() == pytest.approx(librosa.note_to_hz("C2"), rel=1e-5)
    torch.testing.assert_close(centres[3], 4 * centres[0])
    assert centres.max() < 8000
    weights = filters.filters().detach().reshape(6, 128, 257)
    assert weights.min() >= 0 and weights.max() <= 1
    peaks = weights[5, 100:].argmax(dim=1) * 31.25
    assert (peaks - centres[5, 100:]).abs().max() <= 31.25 / 2 + 1e-3


def test_a_note_is_loudest_at_its_pitch_in_all_harmonics(filters):
    time = np.arange(16_000) / 16_000
    note = sum(np.sin(2 * np.pi * 440 * k * time) / k for k in range(1, 8))
    with torch.inference_mode():
        levels_db = filters(torch.from_numpy(note.astype(np.float32))[None, None])
    assert levels_db.shape == (1, 6, 128, 63)
    pitch = levels_db[0, :, :, 30].sum(dim=0).argmax().item()
    assert abs(pitch - 2 * (69 - 24)) <= 1


def test_a_higher_q_makes_filters_narrower(filters):
    wide = filters.filters().sum().item()
    narrow = harmonic_cnn.HarmonicFilters()
    torch.nn.init.constant_(narrow.q, 2.0)
    assert narrow.filters().sum().item() == pytest.approx(wide / 2, rel=0.1)


# Timbre and pitch.


@pytest.fixture(scope="module")
def two_spectra():
    return timbre_pitch.TimbreAndPitch()


def spectra_of(module, samples):
    with torch.inference_mode():
        both = module(torch.from_numpy(samples.astype(np.float32))[None, None])[0]
    return both.numpy()[:88], both.numpy()[88:]


@pytest.mark.parametrize("midi", [33, 45, 60, 81, 105])
def test_a_sine_of_rms_1_has_0_db_at_its_semitone_and_less_beside(two_spectra, midi):
    frequency_hz = librosa.midi_to_hz(midi)
    sine = 2**0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(16_000) / 16_000)
    timbre_db = spectra_of(two_spectra, sine)[0][:, 31]
    assert timbre_db.argmax() == midi - 21
    assert timbre_db.max() == pytest.approx(0, abs=0.5)
    if midi >= 45:  # below, filters are shorter than a semitone asks for
        assert timbre_db[midi - 19] < -20


def test_the_salience_of_a_chord_is_highest_at_its_notes_without_their_fundamentals(two_spectra):
    """Harmonics 2 to 6 of A3, C#4 and E4, which a spectrum alone would take for higher notes."""
    time, notes = np.arange(16_000) / 16_000, (57, 61, 64)
    chord = sum(
        np.sin(2 * np.pi * librosa.midi_to_hz(midi) * k * time)
        for midi in notes
        for k in range(2, 7)
    )
    timbre_db, salience_db = spectra_of(two_spectra, chord)
    others = [k for k in range(88) if k + 21 in (58, 59, 60, 62, 63, 65)]
    own = [midi - 21 for midi in notes]
    assert timbre_db[own, 31].max() < -30
    assert salience_db[own, 31].min() > salience_db[others, 31].max()


def test_silence_is_60_db_below_and_one_column_a_hop(two_spectra):
    timbre_db, salience_db = spectra_of(two_spectra, np.zeros(16_000))
    assert timbre_db.shape == salience_db.shape == (88, 63)
    np.testing.assert_allclose(timbre_db, -60, atol=1e-3)


def test_filters_of_the_full_band_cnn_span_all_bands():
    network = built("cnn1d-mel", (128, 63))
    assert network.features[0][0].weight.shape == (32, 128, 8)
