"""Features equal librosa's on the samples, and say what is known of known sounds."""

import json

import librosa
import numpy as np
import pytest

from pipeline.audio.description import crepe
from pipeline.audio.description.features import (
    FEATURES,
    Analysis,
    FrameSpec,
    describe,
    extract,
    extract_all,
    extract_locally,
    pool,
)
from pipeline.errors import SpecMismatch, UsageError

NAMES = [
    *("logmel", "mfcc", "descriptors", "zcr", "rms", "centroid", "bandwidth", "contrast"),
    *("rolloff", "flatness", "flux", "poly", "chroma_stft", "chroma_cqt", "chroma_cens"),
    *("tonnetz", "cqt", "tempogram", "yin", "pyin", "crepe", "pitch_roll"),
    *("nmf_components", "nmf_activations"),
]
GRID = [
    FrameSpec(r, n, h) for r in (16_000, 22_050, 44_100) for n in (1024, 2048) for h in (256, 512)
]
DEFAULT = FrameSpec()
# 256 bands are too many for 1,024 points at 44.1 kHz, and librosa is right to say so.
narrow_bands = pytest.mark.filterwarnings("ignore:Empty filters:UserWarning")


def sine(seconds, f_hz, spec=DEFAULT, peak=0.25):
    time_s = np.arange(round(seconds * spec.sample_rate_hz)) / spec.sample_rate_hz
    return (peak * np.sin(2 * np.pi * f_hz * time_s)).astype(np.float32)


def mixture(seconds, spec):
    noise = np.random.default_rng(1).standard_normal(round(seconds * spec.sample_rate_hz)) * 0.02
    swell = np.linspace(0.2, 1, len(noise))
    tones = sine(seconds, 331, spec) + sine(seconds, 1250, spec) * (swell > 0.6)
    return (tones * swell + noise).astype(np.float32)


def log_mel_of_librosa(y, sr, n_fft, hop_length):
    mel = librosa.feature.melspectrogram(y=y, sr=sr, n_fft=n_fft, hop_length=hop_length, n_mels=256)
    return librosa.power_to_db(mel, top_db=None)


def without_rate(function, name="n_fft"):
    return lambda y, sr, n_fft, hop_length: function(y=y, hop_length=hop_length, **{name: n_fft})


def flux_by_hand(y, sr, n_fft, hop_length):
    spectra = np.abs(librosa.stft(y, n_fft=n_fft, hop_length=hop_length)).T
    rises = [np.sum(b[b > a] - a[b > a]) for a, b in zip(spectra[:-1], spectra[1:], strict=True)]
    return np.array([[0.0, *rises]])


def tempogram_of_librosa(y, sr, n_fft, hop_length):
    onset = librosa.onset.onset_strength(y=y, sr=sr, n_fft=n_fft, hop_length=hop_length)
    return librosa.feature.tempogram(onset_envelope=onset, sr=sr, hop_length=hop_length)


def mfcc_of(n_mfcc):
    return lambda **how: librosa.feature.mfcc(n_mfcc=n_mfcc, **how)


DIRECT = {
    "logmel": log_mel_of_librosa,
    "mfcc": mfcc_of(40),
    "zcr": without_rate(librosa.feature.zero_crossing_rate, "frame_length"),
    "rms": without_rate(librosa.feature.rms, "frame_length"),
    "centroid": librosa.feature.spectral_centroid,
    "bandwidth": librosa.feature.spectral_bandwidth,
    "contrast": librosa.feature.spectral_contrast,
    "rolloff": librosa.feature.spectral_rolloff,
    "flatness": without_rate(librosa.feature.spectral_flatness),
    "flux": flux_by_hand,
    "poly": librosa.feature.poly_features,
    "chroma_stft": librosa.feature.chroma_stft,
    "tempogram": tempogram_of_librosa,
}
AFTER_MFCC = [
    *("chroma_stft", "contrast", "poly", "zcr", "rms", "centroid"),
    *("bandwidth", "rolloff", "flatness"),
]
IN_ORDER = [mfcc_of(13), *(DIRECT[name] for name in AFTER_MFCC)]


def same(ours, theirs):
    """Agree to float32's digits, counted from the largest value of the row."""
    assert ours.shape == theirs.shape
    assert ours.dtype == np.float32
    scale = np.abs(theirs).max(axis=1, keepdims=True) + 1e-9
    np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=2e-4)


def settings(spec):
    return {"sr": spec.sample_rate_hz, "n_fft": spec.n_fft, "hop_length": spec.hop}


def test_the_catalogue_is_complete_and_in_order_of_its_names():
    assert set(FEATURES) >= set(NAMES)
    assert list(FEATURES)[: len(NAMES)] == [name for name in FEATURES if name in NAMES]
    assert all(FEATURES[name].name == name for name in NAMES)


@narrow_bands
@pytest.mark.parametrize("name", DIRECT)
@pytest.mark.parametrize("spec", GRID, ids=str)
def test_equals_librosa_on_the_samples(spec, name):
    samples = mixture(0.8, spec)
    same(extract(name, samples, spec), DIRECT[name](y=samples, **settings(spec)))


@pytest.mark.parametrize("spec", [DEFAULT, FrameSpec(16_000, 1024, 256)], ids=str)
def test_the_descriptors_are_the_reports_forty_in_its_order(spec):
    samples = mixture(0.8, spec)
    blocks = [direct(y=samples, **settings(spec)) for direct in IN_ORDER]
    assert [len(block) for block in blocks] == [13, 12, 7, 2, 1, 1, 1, 1, 1, 1]
    same(extract("descriptors", samples, spec), np.vstack(blocks))
    rows = FEATURES["descriptors"].rows(spec)
    assert rows[0] == "mfcc_0"
    assert rows[13] == "chroma_C"
    assert rows[25] == "contrast_0"
    assert rows[32:] == (
        *("poly_slope", "poly_offset", "zcr", "rms"),
        *("centroid_hz", "bandwidth_hz", "rolloff_hz", "flatness"),
    )


@pytest.mark.parametrize("spec", [FrameSpec(22_050), FrameSpec(16_000, 1024, 256)], ids=str)
def test_constant_q_features_equal_librosas(spec):
    samples = mixture(3.5, spec)
    ours = extract_all(["cqt", "chroma_cqt", "chroma_cens", "tonnetz"], samples, spec)
    how = {"y": samples, "sr": spec.sample_rate_hz, "hop_length": spec.hop}
    same(ours["cqt"], np.abs(librosa.cqt(**how)))
    same(ours["chroma_cqt"], librosa.feature.chroma_cqt(**how))
    same(ours["chroma_cens"], librosa.feature.chroma_cens(**how))
    same(ours["tonnetz"], librosa.feature.tonnetz(**how))


def test_pitches_equal_librosas():
    spec = FrameSpec(22_050)
    samples = np.concatenate([np.zeros(6000, np.float32), mixture(0.7, spec)])
    ours = extract_all(["yin", "pyin"], samples, spec)
    span = {"fmin": librosa.note_to_hz("C2"), "fmax": librosa.note_to_hz("C7")}
    how = {"y": samples, "sr": 22_050, "frame_length": 2048, "hop_length": 512, **span}
    f0_hz, _, probability = librosa.pyin(**how)
    same(ours["yin"], librosa.yin(**how)[np.newaxis])
    assert 0 < np.isnan(f0_hz).sum() < len(f0_hz)
    np.testing.assert_allclose(ours["pyin"], np.stack([f0_hz, probability]), rtol=1e-5, atol=1e-7)


def test_a_short_frame_is_made_longer_for_yin():
    short = FrameSpec(44_100, 1024, 512)  # holds 1.5 periods of C2, and librosa would warn
    assert (short.pitch_length, DEFAULT.pitch_length) == (2048, 2048)
    low = sine(0.5, 66, short)
    assert np.median(extract("yin", low, short)) == pytest.approx(66, rel=0.02)


@narrow_bands
@pytest.mark.parametrize("kind", ["sound", "silence"])
@pytest.mark.parametrize("seconds", [0.1, 1.0])
@pytest.mark.parametrize("spec", [DEFAULT, FrameSpec(16_000, 1024, 160)], ids=str)
def test_short_sound_and_silence_have_all_rows_and_frames_and_no_nan(spec, seconds, kind):
    n_samples = round(seconds * spec.sample_rate_hz)
    samples = np.zeros(n_samples, np.float32) if kind == "silence" else mixture(seconds, spec)
    before = samples.copy()
    for name, matrix in extract_all(NAMES, samples, spec).items():
        feature = FEATURES[name]
        n_columns = 16 if feature.columns == "components" else 1 + n_samples // spec.hop
        assert matrix.shape == (len(feature.rows(spec)), n_columns), name
        assert matrix.dtype == np.float32
        assert np.isfinite(matrix[1:] if name == "pyin" else matrix).all(), name
    np.testing.assert_array_equal(samples, before)


def test_one_sample_is_enough_for_all_and_none_is_refused():
    for name, matrix in extract_all(NAMES, np.full(1, 0.5, np.float32), DEFAULT).items():
        assert matrix.shape[1] == (16 if name == "nmf_components" else 1), name
    for wrong in (np.zeros(0, np.float32), np.zeros((2, 100), np.float32)):
        with pytest.raises(UsageError, match="at least one"):
            extract("rms", wrong, DEFAULT)


def test_what_is_shared_changes_nothing():
    samples = mixture(0.5, DEFAULT)
    together = extract_all(NAMES, samples, DEFAULT)
    assert list(together) == NAMES
    for name in ("mfcc", "flux", "descriptors", "tempogram", "nmf_activations"):
        np.testing.assert_array_equal(together[name], extract(name, samples, DEFAULT))


def test_the_spectrum_is_computed_once(monkeypatch):
    calls = []
    stft = librosa.stft
    monkeypatch.setattr(librosa, "stft", lambda *a, **k: calls.append(1) or stft(*a, **k))
    extract_all(["descriptors", "flux", "mfcc", "nmf_activations"], mixture(0.3, DEFAULT), DEFAULT)
    assert len(calls) == 1


@pytest.mark.parametrize("name", ["yin", "pyin", "crepe"])
@pytest.mark.parametrize("spec", [DEFAULT, FrameSpec(16_000, 1024, 160)], ids=str)
def test_a_is_440_hz(name, spec):
    f0_hz = extract(name, sine(1.0, 440, spec), spec)[0]
    middle = f0_hz[len(f0_hz) // 5 : -len(f0_hz) // 5]
    np.testing.assert_allclose(middle, 440, rtol=0.01)


@pytest.mark.parametrize("frame", [0, 1, 400, 861])
def test_crepes_frames_are_centred_at_the_hops_even_after_ten_seconds(frame):
    clicks = np.zeros(441_000, np.float32)
    clicks[frame * DEFAULT.hop] = 1
    heard = crepe._frames(Analysis(clicks, DEFAULT))
    assert heard.shape == (862, 1024)
    assert abs(int(heard[frame].argmax()) - 512) <= 1  # 13 ms would be 213 samples


def test_crepe_hears_a_change_where_it_is():
    samples = np.concatenate([sine(5.0, 300), sine(0.5, 600)])
    f0_hz, periodicity = extract("crepe", samples, DEFAULT)
    change_s = np.flatnonzero(f0_hz > 450)[0] * DEFAULT.hop / DEFAULT.sample_rate_hz
    assert change_s == pytest.approx(5.0, abs=2 * DEFAULT.hop / DEFAULT.sample_rate_hz)
    assert np.median(periodicity) > 0.8
    assert extract("crepe", np.zeros(44_100, np.float32), DEFAULT)[1].max() < 0.5


def test_crepe_says_how_to_get_it(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(crepe, "import_module", missing)
    with pytest.raises(UsageError, match=r"pip install '.\[crepe\]'"):
        extract("crepe", sine(0.1, 440), DEFAULT)


def test_the_roll_has_one_row_a_note():
    samples = np.concatenate([sine(0.5, 440), np.zeros(22_050, np.float32), sine(0.5, 262)])
    spec, rows = DEFAULT, FEATURES["pitch_roll"].rows(DEFAULT)
    matrices = extract_all(["pitch_roll", "pyin"], samples, spec)
    roll, (f0_hz, probability) = matrices["pitch_roll"], matrices["pyin"]
    assert (rows[0], rows[-1], rows[69 - 21]) == ("A0", "C8", "A4")
    assert {rows[i] for i in np.flatnonzero(roll[:, 5:35].any(axis=1))} == {"A4"}
    assert {rows[i] for i in np.flatnonzero(roll[:, 95:125].any(axis=1))} == {"C4"}
    assert not roll[:, 55:75].any()
    np.testing.assert_array_equal(roll.sum(axis=0), np.where(np.isnan(f0_hz), 0, probability))


@pytest.mark.parametrize("name", ["chroma_stft", "chroma_cqt", "chroma_cens"])
def test_chroma_peaks_at_a(name):
    chroma = extract(name, sine(1.0, 440), DEFAULT)[:, 10:-10]
    rows = FEATURES[name].rows(DEFAULT)
    assert {rows[i] for i in chroma.argmax(axis=0)} == {"chroma_A"}


def test_cqt_peaks_at_the_note():
    loudest = extract("cqt", sine(1.0, 440), DEFAULT).sum(axis=1).argmax()
    assert FEATURES["cqt"].rows(DEFAULT)[loudest] == "A4"


def test_flux_is_zero_for_a_steady_tone_and_not_for_an_onset():
    period = sine(2.0, 44_100 / 512 * 5)  # five periods a hop: every frame hears the same
    steady = extract("flux", period, DEFAULT)[0]
    assert steady[0] == 0
    np.testing.assert_allclose(steady[4:-4], 0, atol=0.01)
    onset = extract("flux", np.concatenate([np.zeros(22_050, np.float32), period]), DEFAULT)[0]
    begun = onset[:-10]  # the cut at the end is a click: it would be the largest
    assert abs(int(begun.argmax()) - 22_050 // 512) <= 2
    assert begun.max() > 10
    fade = extract("flux", np.concatenate([period, np.zeros(22_050, np.float32)]), DEFAULT)[0]
    assert fade[-20:].max() < 0.01


def test_known_numbers_of_a_sine():
    tone = extract_all(["zcr", "rms", "centroid", "flatness"], sine(1.0, 1000), DEFAULT)
    middle = {name: float(np.median(matrix)) for name, matrix in tone.items()}
    assert middle["zcr"] == pytest.approx(2000 / 44_100, rel=0.02)
    assert middle["rms"] == pytest.approx(0.25 / np.sqrt(2), rel=0.01)
    assert middle["centroid"] == pytest.approx(1000, rel=0.01)
    assert middle["flatness"] < 1e-3


def test_nmf_factors_give_the_spectrum_back_and_are_the_same_each_time():
    silence = np.zeros(8000, np.float32)
    samples = np.concatenate([sine(0.5, 440), silence, sine(0.5, 990), silence, sine(0.5, 440)])
    names = ["nmf_components", "nmf_activations"]
    components, activations = extract_all(names, samples, DEFAULT).values()
    spectrum = np.abs(librosa.stft(samples))
    error = np.linalg.norm(spectrum - components @ activations) / np.linalg.norm(spectrum)
    assert error < 0.02
    assert components.min() >= 0 <= activations.min()
    again = extract_all(names, samples, DEFAULT)
    np.testing.assert_array_equal(components, again["nmf_components"])


def test_pool_leaves_nan_out():
    matrix = np.array([[1, np.nan, 3], [np.nan] * 3, [2, 2, 8]], np.float32)
    pooled = pool(matrix, ("mean", "var"))
    np.testing.assert_allclose(pooled["mean"], [2, np.nan, 4])
    np.testing.assert_allclose(pooled["var"], [1, np.nan, 8])
    assert pooled["mean"].dtype == pooled["var"].dtype == np.float32
    assert list(pool(matrix, ["var"])) == ["var"]
    assert np.isnan(pool(np.zeros((2, 0), np.float32), ["mean"])["mean"]).all()


def test_pool_keeps_its_digits(rng):
    values = (rng.standard_normal((3, 5000)) + 10_000).astype(np.float32)
    pooled = pool(values, ("mean", "var"))
    np.testing.assert_allclose(pooled["var"], values.astype(float).var(axis=1), rtol=1e-5)


def test_wrong_names_are_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"'mfc'.*logmel, mfcc, descriptors"):
        extract("mfc", sine(0.1, 440), DEFAULT)
    with pytest.raises(UsageError, match=r"nothing.*logmel"):
        describe("nothing", DEFAULT)
    with pytest.raises(UsageError, match=r"median.*mean, var"):
        pool(np.zeros((1, 1), np.float32), ("mean", "median"))


def test_a_rate_too_low_for_a_feature_is_told_with_its_name():
    with pytest.raises(UsageError, match=r"^cqt: .*Nyquist"):
        extract("cqt", np.zeros(8000, np.float32), FrameSpec(sample_rate_hz=6000))


@pytest.mark.parametrize("name", NAMES)
def test_a_description_is_json_and_names_every_row_once(name):
    said = json.loads(json.dumps(describe(name, DEFAULT)))
    assert FrameSpec.from_dict(said["frames"]) == DEFAULT
    assert tuple(said["rows"]) == FEATURES[name].rows(DEFAULT)
    assert len(set(said["rows"])) == len(said["rows"])
    assert said["unit"] and said["source"]


def test_a_spec_refuses_what_it_does_not_know():
    with pytest.raises(SpecMismatch, match="n_bands"):
        FrameSpec.from_dict({"n_bands": 64})
    with pytest.raises(ValueError, match="hop=4096"):
        FrameSpec(hop=4096)


@pytest.mark.parametrize("name", ["mfcc", "descriptors"])
def test_a_frame_described_by_itself_is_the_same_in_any_recording(name):
    """Three seconds later it is 40 dB louder, and out of tune: the first ones do not change."""
    quiet = 0.01 * mixture(3, DEFAULT)
    loud = sine(3, 452, peak=0.9)
    n = 200  # frames, well before the change
    alone = extract_locally(name, quiet, DEFAULT)[:, :n]
    within = extract_locally(name, np.concatenate([quiet, loud]), DEFAULT)[:, :n]
    np.testing.assert_allclose(within, alone, rtol=1e-4, atol=1e-4)
    whole = extract(name, np.concatenate([quiet, loud]), DEFAULT)[:, :n]
    assert np.abs(whole - alone).max() > 1  # librosa's do


@pytest.mark.parametrize("name", ["mfcc", "descriptors"])
def test_described_in_blocks_it_is_the_same(name, monkeypatch):
    samples = mixture(3, DEFAULT)
    once = extract_locally(name, samples, DEFAULT)
    assert once.shape[1] == DEFAULT.n_frames(len(samples))
    monkeypatch.setattr("pipeline.audio.description.features._BLOCK_FRAMES", 37)
    np.testing.assert_allclose(extract_locally(name, samples, DEFAULT), once, rtol=1e-3, atol=1e-3)


def test_without_floor_and_tuning_it_is_librosas():
    samples = mixture(1, DEFAULT)
    power = np.abs(librosa.stft(samples, pad_mode="constant")) ** 2
    mel = librosa.feature.melspectrogram(S=power, sr=44_100)
    expected = librosa.feature.mfcc(S=librosa.power_to_db(mel, amin=1e-5, top_db=None), n_mfcc=40)
    np.testing.assert_allclose(
        extract_locally("mfcc", samples, DEFAULT), expected, rtol=1e-3, atol=1e-2
    )
    rows = list(FEATURES["descriptors"].rows(DEFAULT))
    ours = extract_locally("descriptors", samples, DEFAULT)
    contrast = librosa.feature.spectral_contrast(S=np.sqrt(power), sr=44_100)
    at = rows.index("contrast_0")
    np.testing.assert_allclose(ours[at : at + 7], contrast, rtol=1e-3, atol=1e-2)
    chroma = librosa.feature.chroma_stft(S=power, sr=44_100, tuning=0.0)
    at = rows.index("chroma_C")
    np.testing.assert_allclose(ours[at : at + 12], chroma, rtol=1e-3, atol=1e-3)


def test_features_of_a_whole_recording_are_not_described_by_frame():
    with pytest.raises(UsageError, match="tempogram"):
        extract_locally("tempogram", mixture(1, DEFAULT), DEFAULT)
