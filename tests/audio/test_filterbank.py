"""The filter banks of pretrained taggers equal those of their authors' tools, on all paths."""

from dataclasses import replace

import librosa
import numpy as np
import pytest
import torch
from torchaudio.compliance import kaldi as torchaudios

from pipeline.audio.decoding.decode import decode
from pipeline.audio.spectra.filterbank import (
    FilterBankInput,
    FilterBankSpec,
    filter_bank,
    mel_filters_of,
    plain_filter_bank,
)
from pipeline.audio.spectra.input_kinds import SamplesInput, input_from_dict
from pipeline.audio.spectra.windows import WindowSpec, cut_windows, window_starts
from pipeline.errors import SpecMismatch
from pipeline.training.data.window_set import WindowSet
from pipeline.training.spectra.filterbank import FilterBank, mirrored
from pipeline.training.spectra.logmel import SamplesToLogMel, with_margins
from tests.conftest import tones
from tests.front_ends import CED, EFFICIENTAT, PANNS, YAMNET
from tests.shared_files import shared

INPUTS = {"S": EFFICIENTAT, "C": CED, "P": PANNS, "Y": YAMNET}
SPECS = {
    **{name: one.spec for name, one in INPUTS.items()},
    "uncentred, emphasised, dB of magnitude": replace(
        YAMNET.spec, pre_emphasis=0.9, logarithm="db", mel_scale="slaney", floor=1e-3
    ),
    "a wide hop": replace(CED.spec, hop=500, window="hann_symmetric"),
}
LENGTHS = [0, 1, 2, 100, 160, 399, 400, 401, 511, 512, 513, 1000, 16_000, 20_123]
EACH_INPUT = pytest.mark.parametrize("input_spec", INPUTS.values(), ids=INPUTS)
EACH_SPEC = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
PATHS = pytest.mark.parametrize("bank", [filter_bank, plain_filter_bank])


def noise(n_samples, *, level=0.1, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(n_samples) * level).astype(np.float32)


def strained(rate_hz):
    """Return a loud low tone over noise that is 80 dB below it."""
    return (tones(1.0, 110, sample_rate_hz=rate_hz) + noise(rate_hz, level=1e-5)).astype(np.float32)


def assert_near(ours, theirs, input_spec, *, within, below_peak_db=80):
    """Compare down to 80 dB below the peak: further down float32's rounding is all there is."""
    assert ours.shape == theirs.shape
    floor = theirs.max() - below_peak_db / input_spec.db_per_unit
    np.testing.assert_allclose(
        np.maximum(ours, floor), np.maximum(theirs, floor), rtol=0, atol=within
    )


# Known numbers.


@pytest.mark.parametrize(
    "bank", [filter_bank, plain_filter_bank, None], ids=["fused", "plain", "torch"]
)
def test_efficientats_is_that_of_its_authors(bank):
    kept = np.load(shared("weights/parity_mn04.npz"))
    for samples, mel in zip(kept["samples_32k"], kept["mel"], strict=True):
        ours = bank(samples, EFFICIENTAT.spec) if bank else in_torch(samples, EFFICIENTAT.spec)
        mean, deviation = EFFICIENTAT.scaling
        np.testing.assert_allclose((ours - mean) / deviation, mel, rtol=0, atol=1e-3)


@PATHS
@pytest.mark.parametrize("make", [noise, strained], ids=["noise", "strained"])
def test_efficientats_by_torchs_own_parts(bank, make):
    """torch.stft and torchaudio's mel banks, put together as the authors do."""
    samples = torch.from_numpy(make(32_000))
    emphasised = samples[1:] - 0.97 * samples[:-1]
    window = torch.hann_window(800, periodic=False)
    spectrum = torch.stft(emphasised, 1024, 320, 800, window=window, return_complex=True)
    filters, _ = torchaudios.get_mel_banks(128, 1024, 32_000.0, 0.0, 15_000.0, 100, -500, 1.0)
    mel = torch.nn.functional.pad(filters, (0, 1)) @ spectrum.abs().square()
    ours = bank(samples.numpy(), EFFICIENTAT.spec)
    np.testing.assert_allclose(ours, (mel + 1e-5).log().numpy(), rtol=0, atol=1e-3)


@PATHS
@pytest.mark.parametrize("input_spec", [PANNS, CED], ids=["P", "C"])
@pytest.mark.parametrize("make", [noise, strained], ids=["noise", "strained"])
@pytest.mark.parametrize("n_samples", [1101, 16_000])
def test_those_of_panns_and_ced_are_librosas(bank, input_spec, make, n_samples):
    spec = input_spec.spec
    samples = make(spec.sample_rate_hz)[:n_samples]
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=spec.sample_rate_hz,
        n_fft=spec.n_fft,
        hop_length=spec.hop,
        n_mels=spec.n_mels,
        fmin=spec.f_min_hz,
        fmax=spec.f_max_hz,
        htk=spec.mel_scale == "htk",
        norm="slaney" if spec.equal_area else None,
        pad_mode="reflect",
    )
    theirs = librosa.power_to_db(power, amin=1e-10, top_db=None)
    assert_near(
        bank(samples, spec), theirs, input_spec, within=1e-3 if bank is filter_bank else 3e-3
    )


def yamnets(samples):
    """Return log mels as YAMNet's authors do: tensorflow/models, audioset/yamnet/features.py."""
    n_frames = 1 + (len(samples) - 400) // 160
    frames = np.stack([samples[160 * t : 160 * t + 400] for t in range(n_frames)]).astype(float)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    magnitude = np.abs(np.fft.rfft(frames * window, 512))
    mel = 1127 * np.log1p(np.arange(257) * 16_000 / 512 / 700)
    low, high = 1127 * np.log1p(np.array([125, 7500]) / 700)
    edges = np.linspace(low, high, 66)
    weights = np.zeros((257, 64))
    for k in range(64):  # as tf.signal.linear_to_mel_weight_matrix: lines in mel, not in hertz
        rising = (mel - edges[k]) / (edges[k + 1] - edges[k])
        falling = (edges[k + 2] - mel) / (edges[k + 2] - edges[k + 1])
        weights[:, k] = np.maximum(0, np.minimum(rising, falling))
    return np.log(magnitude @ weights + 0.001).T


@PATHS
@pytest.mark.parametrize(("make", "within"), [(noise, 1e-5), (strained, 2e-3)])
def test_yamnets_is_that_of_its_authors(bank, make, within):
    samples = make(16_000)
    np.testing.assert_allclose(bank(samples, YAMNET.spec), yamnets(samples), rtol=0, atol=within)


def test_yamnets_mel_filters_are_those_in_googles_file():
    openvino = pytest.importorskip("openvino")
    graph = openvino.Core().read_model(shared("weights/yamnet.tflite"))
    (theirs,) = [
        op.get_data()
        for op in graph.get_ops()
        if op.get_type_name() == "Constant" and list(op.get_output_shape(0)) == [64, 257]
    ]
    np.testing.assert_allclose(mel_filters_of(YAMNET.spec), theirs, rtol=0, atol=1e-6)


# All paths are one.


def in_torch(samples, spec, **settings):
    return FilterBank(spec, **settings)(torch.from_numpy(samples)).numpy()


@EACH_SPEC
@pytest.mark.parametrize("n_samples", LENGTHS)
def test_all_paths_are_equal_at_any_length(spec, n_samples):
    """To 1e-4 neper, 4e-4 dB, down to 80 dB below the peak; in torch to three times that."""
    samples = noise(n_samples)
    fused = filter_bank(samples, spec)
    assert fused.shape == (spec.n_mels, spec.n_frames(n_samples))
    assert fused.dtype == np.float32 and np.isfinite(fused).all()
    if fused.size:
        input_spec, within = FilterBankInput(spec), 1e-4 * spec.per_neper
        assert_near(plain_filter_bank(samples, spec), fused, input_spec, within=within)
        # torch's FFT is in float32, and MKL's depends on the CPU: 1.1e-4 neper on an AMD EPYC.
        assert_near(in_torch(samples, spec), fused, input_spec, within=3 * within)


@EACH_INPUT
def test_all_paths_are_equal_on_real_recordings(input_spec):
    """To 2e-3 dB: loud partials round away what lies 80 dB below them."""
    for path in sorted(shared("audio").glob("**/*.flac"))[::60]:
        samples = decode(path, sample_rate_hz=input_spec.sample_rate_hz, duration_s=3.0)
        fused, spec, within = (
            filter_bank(samples, input_spec.spec),
            input_spec.spec,
            2e-3 / input_spec.db_per_unit,
        )
        assert_near(plain_filter_bank(samples, spec), fused, input_spec, within=within)
        assert_near(in_torch(samples, spec), fused, input_spec, within=within)


def test_the_kernel_is_what_runs():
    samples = noise(9000)
    for spec in SPECS.values():
        assert (filter_bank(samples, spec) != plain_filter_bank(samples, spec)).any()


def test_a_batch_is_its_rows_in_torch():
    batch = noise(6 * 4000).reshape(2, 3, 4000)
    found = in_torch(batch, EFFICIENTAT.spec)
    assert found.shape == (2, 3, 128, EFFICIENTAT.n_frames(4000))
    np.testing.assert_allclose(found[1, 2], in_torch(batch[1, 2], EFFICIENTAT.spec), atol=1e-5)


@EACH_SPEC
@PATHS
def test_silence_has_the_value_that_is_said(bank, spec):
    found = bank(np.zeros(4000, np.float32), spec)
    np.testing.assert_allclose(found, spec.silence, rtol=1e-6)
    np.testing.assert_allclose(in_torch(np.zeros(4000, np.float32), spec), found, rtol=1e-6)


def test_silence_in_known_numbers():
    said = {name: one.silence for name, one in INPUTS.items()}
    expected = {"S": np.log(1e-5), "C": -100, "P": -100, "Y": np.log(1e-3)}
    assert said == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "frames"),
    {"S": (0, 1, 100), "C": (1, 2, 101), "P": (1, 1, 101), "Y": (0, 0, 98)}.items(),
)
def test_numbers_of_frames(name, frames):
    input_spec = INPUTS[name]
    assert tuple(input_spec.n_frames(n) for n in (1, 160, input_spec.sample_rate_hz)) == frames
    assert input_spec.n_frames(0) == 0


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_a_short_recording_is_mirrored_as_numpy_does(n):
    samples = noise(n)
    np.testing.assert_array_equal(
        mirrored(torch.from_numpy(samples), 25), np.pad(samples, 25, mode="reflect")
    )


# Windows.


def test_a_window_of_yamnets_is_what_its_samples_alone_give():
    samples, windows = noise(48_000), WindowSpec()
    matrix = YAMNET.matrix(samples)
    starts = window_starts(matrix.shape[1], windows, YAMNET)
    cut = cut_windows(matrix, starts, windows.n_frames(YAMNET), silence=YAMNET.silence)
    for window, second in zip(cut, np.split(samples, 3), strict=True):
        np.testing.assert_allclose(window, YAMNET.matrix(second), rtol=0, atol=1e-4)


@pytest.mark.parametrize("input_spec", [EFFICIENTAT, CED, PANNS], ids=["S", "C", "P"])
def test_a_window_is_what_its_samples_give_but_for_its_edges(input_spec):
    samples, rate_hz = noise(2 * input_spec.sample_rate_hz), input_spec.sample_rate_hz
    second = input_spec.matrix(samples[rate_hz:])
    window = input_spec.matrix(samples)[:, 100:]
    n = second.shape[1]
    np.testing.assert_allclose(window[:, 2 : n - 2], second[:, 2:-2], rtol=0, atol=1e-3)
    assert np.abs(window[:, 0] - second[:, 0]).max() > 0.1


def sample_set(samples, rate_hz):
    n = len(samples) // rate_hz
    return WindowSet(
        segment_ids=["a"],
        matrices=[SamplesInput(rate_hz).matrix(samples)],
        targets=np.zeros((1, 1), np.float32),
        clip_of=np.zeros(n, np.int64),
        start_of=np.arange(n) * rate_hz,
        n_frames=rate_hz,
        silence=0.0,
        db_per_unit=None,
    )


@EACH_INPUT
def test_windows_of_samples_have_the_edges_of_the_whole_clip(input_spec):
    rate_hz = input_spec.sample_rate_hz
    samples = np.round(noise(3 * rate_hz) * 32_768) / np.float32(32_768)
    whole, n = input_spec.matrix(samples), input_spec.n_frames(rate_hz)
    data = with_margins(sample_set(samples, rate_hz), input_spec.spec)
    zero = torch.zeros(1, 1)
    front = SamplesToLogMel(input_spec.spec, mean=zero, deviation=zero)
    windows = torch.from_numpy(data.windows(np.arange(3)))
    bands = front(windows, torch.Generator(), ()).numpy()
    assert bands.shape == (3, input_spec.n_rows, n)
    expected = [whole[:, 100 * k : 100 * k + n] for k in range(3)]
    np.testing.assert_allclose(bands[1], expected[1], rtol=0, atol=1e-3)
    # A whole clip is emphasised and then mirrored, and here it is the other way round: of S the
    # very first frame differs, and the last one. The others are mirrored all the same.
    edge = 2 if input_spec is EFFICIENTAT else 0
    n_last = expected[2].shape[1]
    np.testing.assert_allclose(bands[0, :, edge:], expected[0][:, edge:], rtol=0, atol=1e-3)
    np.testing.assert_allclose(
        bands[2, :, : n_last - edge], expected[2][:, : n_last - edge], rtol=0, atol=1e-3
    )


# The spec.


@EACH_INPUT
def test_the_input_survives_json(input_spec):
    assert input_from_dict(input_spec.to_dict()) == input_spec


def test_what_is_of_another_version_is_refused():
    with pytest.raises(SpecMismatch, match="filter bank spec of another version"):
        input_from_dict({**CED.to_dict(), "smell": 1})
    with pytest.raises(SpecMismatch, match="mel_scale 'bark'"):
        FilterBankSpec.from_dict({**CED.spec.to_dict(), "mel_scale": "bark"})
    with pytest.raises(ValueError, match="silence has no logarithm"):
        replace(CED.spec, floor=0.0)


def test_units_in_decibels():
    assert CED.db_per_unit == 1
    assert EFFICIENTAT.db_per_unit == pytest.approx(4.3429, abs=1e-4)
    assert YAMNET.db_per_unit == pytest.approx(8.6859, abs=1e-4)
    for input_spec in INPUTS.values():  # twice the amplitude is 6.02 dB more
        samples = noise(4000, level=0.3)
        rise = filter_bank(samples * 2, input_spec.spec) - filter_bank(samples, input_spec.spec)
        assert np.median(rise) * input_spec.db_per_unit == pytest.approx(6.02, abs=0.05)
    assert isinstance(YAMNET, FilterBankInput)
