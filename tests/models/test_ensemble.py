"""Several models, one answer: the mean of what each says of windows of its own."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch

from pipeline.audio.spectra.activity import Activity
from pipeline.audio.spectra.filterbank import FilterBankInput, FilterBankSpec
from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import SpecMismatch, UsageError
from pipeline.evaluation.labels.calibration import Calibration
from pipeline.inference.described import describe
from pipeline.inference.inference_config import (
    aggregated_by,
    calibrated,
    for_parts,
    inference_config,
)
from pipeline.inference.tagger import TrackTagger
from pipeline.inference.tracks import described_schema
from pipeline.models.ensemble import EnsembleCard, averaged, load_any, save_ensemble
from pipeline.models.model import Architecture, ModelCard, Tagger, load_card, save_card, save_model
from pipeline.selection.vocabulary import Vocabulary, default_vocabulary
from pipeline.store.catalogue import list_tracks
from pipeline.store.folder import Folder
from tests.conftest import tones
from tests.models.test_engines import _threads as _threads  # a fixture

CODES = default_vocabulary().codes
FRONT_ENDS = {
    "a": (LogMelInput(LogMelSpec(sample_rate_hz=22_050, n_mels=64)), WindowSpec(), "s2"),
    "b": (
        FilterBankInput(FilterBankSpec(16_000, 400, 512, 160, 64, 50.0, 7_500.0, offset=1e-5)),
        WindowSpec(2.0, 0.5),
        "s1",
    ),
}


def write(folder, name, *, seed=0, codes=CODES, **changes):
    """Write a small model of random weights, with a front end, a rate and windows of its own."""
    input_spec, windows, aggregation = FRONT_ENDS[name]
    torch.manual_seed(seed)
    shape = input_spec.n_rows, windows.n_frames(input_spec)
    is_db = isinstance(input_spec, LogMelInput)
    vocabulary = Vocabulary(
        tuple(one for code in codes for one in default_vocabulary().instruments if one.code == code)
    )
    architecture = Architecture(
        "resnet10t", len(codes), (64, 32), input_shape=shape, below_peak=is_db
    )
    tagger = Tagger(architecture).eval()
    if not is_db:
        tagger.row_mean.fill_(-5)
        tagger.row_deviation.fill_(5)
    torch.nn.init.normal_(tagger.backbone.get_classifier().weight, std=0.2)
    card = ModelCard(
        architecture=architecture,
        vocabulary=vocabulary,
        input_spec=input_spec,
        windows=windows,
        aggregation=aggregation,
        thresholds={aggregation: dict.fromkeys(codes, 0.2 if name == "a" else 0.6)},
        dataset_fingerprint="sha256:x",
        training={"history": []},
        provenance={},
    )
    save_model(Folder(str(folder)), tagger.state_dict(), replace(card, **changes))
    return str(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two models that hear differently, `a` first by its id."""
    root = tmp_path_factory.mktemp("models")
    return {name: write(root / name, name) for name in FRONT_ENDS}


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """A track with silence in its middle, a short one, and one that is no music."""
    folder = tmp_path_factory.mktemp("music")
    sound = tones(7, 440, 30)
    sound[2 * 44_100 : 4 * 44_100] = 0
    soundfile.write(folder / "a.wav", sound, 44_100)
    soundfile.write(folder / "b.flac", tones(0.7, 1000), 48_000)
    (folder / "c.mp3").write_bytes(b"a shopping list")
    return str(folder)


def tagged(music, inference, *, at_once=False):
    """Return the rows of SCORED by uri, without what differs from run to run."""
    tagger, tracks = TrackTagger(inference), list(describe(list_tracks(music), inference))
    tables = [pa.concat_tables(tracks)] if at_once else tracks
    rows = [row for table in tables for row in tagger(table).to_pylist()]
    keys = ("status", "labels", "scores", "peaks", "n_windows", "n_active", "duration_s")
    return {row["uri"].rpartition("/")[2]: {key: row[key] for key in keys} for row in rows}


def all_count(inference, engine="torch"):
    return for_parts(
        inference, lambda part: replace(part, activity=Activity(), precision="f32", engine=engine)
    )


def values(row, key="scores"):
    return np.array(list(row[key].values()), np.float32)


def test_a_model_with_itself_scores_as_alone(models, music):
    alone, twice = (
        tagged(music, all_count(inference_config(name, whole_tracks=True)))
        for name in (models["a"], f"{models['a']},{models['a']}")
    )
    assert twice == alone
    assert alone["a.wav"]["n_active"] < alone["a.wav"]["n_windows"]
    assert alone["c.mp3"]["status"] == "failed" and alone["c.mp3"]["scores"] is None


def test_two_models_score_as_the_mean_of_both(models, music):
    """Front ends, rates, window lengths and hops differ; each hears windows of its own."""
    names = [models["a"], models["b"]]
    a, b, both = (
        tagged(music, all_count(inference_config(name, whole_tracks=True)))
        for name in (*names, ",".join(names))
    )
    for track in ("a.wav", "b.flac"):
        for key in ("scores", "peaks"):
            mean = (values(a[track], key) + values(b[track], key)) / 2
            np.testing.assert_allclose(values(both[track], key), mean, rtol=0, atol=1e-7)
        assert not np.allclose(values(a[track]), values(b[track]), atol=0.05)
    inference = inference_config(",".join(reversed(names)), whole_tracks=True)
    assert inference.thresholds == pytest.approx([0.4] * len(CODES))  # the mean of the members' own
    assert set(inference.aggregation.split("+")) == {"s2-10s-top3", "s1"}
    assert tagged(music, all_count(inference)) == both
    limit = float(np.median(values(both["a.wav"])))
    named = tagged(
        music, replace(all_count(inference), thresholds=(limit,) * len(CODES), min_confidence=0.0)
    )
    expected = [code for code, score in both["a.wav"]["scores"].items() if score >= limit]
    assert named["a.wav"]["labels"] == expected and 0 < len(expected) < len(CODES)


@pytest.mark.slow
def test_scores_are_the_same_whatever_the_batch(models, music):
    inference = all_count(inference_config(f"{models['a']},{models['b']}"), "openvino")
    assert tagged(music, inference, at_once=True) == tagged(music, inference)


def test_what_hears_alike_is_described_once(models, music, tmp_path):
    other = write(tmp_path / "other", "a", seed=1)
    inference = inference_config(f"{models['a']},{other},{models['b']}")
    assert (len(inference.parts), len(inference.front_ends)) == (3, 2)
    first, *_ = describe(list_tracks(music), inference)
    assert first.schema == described_schema(2)
    one, two = (len(first[name][0].as_py()) for name in ("starts_s", "starts_s_1"))
    assert {one, two} == {7, 11}  # of 7 s: windows of 1 s, and of 2 s every half
    three = tagged(music, inference)["b.flac"]
    each = [values(tagged(music, part)["b.flac"]) for part in inference.parts]
    np.testing.assert_allclose(values(three), np.mean(each, axis=0), atol=1e-6)


def test_a_class_is_the_mean_of_those_that_have_learned_it(tmp_path, models, music):
    card = load_card(models["a"])
    lacking = write(
        tmp_path / "lacking",
        "b",
        architecture=replace(load_card(models["b"]).architecture, untrained=(CODES.index("voi"),)),
    )
    inference = inference_config(f"{models['a']},{lacking}")
    scores = tagged(music, inference)["a.wav"]["scores"]
    alone = tagged(music, inference_config(models["a"]))["a.wav"]["scores"]
    assert scores["voi"] == alone["voi"] and scores["cel"] != alone["cel"]
    assert card.untrained_classes == [] and inference.card.untrained_classes == []


def test_classes_in_another_order_are_the_same_classes(tmp_path, models, music):
    there = tmp_path / "turned"
    turned = write(there, "a", codes=CODES[::-1])
    both = tagged(music, inference_config(f"{turned},{models['b']}"))["a.wav"]["scores"]
    a, b = (
        tagged(music, inference_config(name))["a.wav"]["scores"] for name in (turned, models["b"])
    )
    assert set(both) == set(CODES)
    for code in CODES:
        assert both[code] == pytest.approx((a[code] + b[code]) / 2, abs=1e-6)


@pytest.mark.parametrize("kind", ["fewer", "meaning"])
def test_other_classes_are_one_line_that_names_them(kind, tmp_path, models):
    if kind == "fewer":
        other, said = write(tmp_path / "other", "b", codes=CODES[:-1]), f"no class {CODES[-1]}"
    else:
        changed = replace(default_vocabulary().instruments[0], any_of=("/m/xyz",))
        vocabulary = Vocabulary((changed, *default_vocabulary().instruments[1:]))
        other = write(tmp_path / "other", "b", vocabulary=vocabulary)
        said = f"class {CODES[0]} is /m/01xqw in .* and /m/xyz in "
    with pytest.raises(SpecMismatch, match=said) as caught:
        inference_config(f"{models['a']},{other}")
    assert "\n" not in str(caught.value) and other in str(caught.value)


def test_a_folder_keeps_what_was_found_for_all_together(tmp_path, models):
    card = load_any(f"{models['a']},{models['b']}")
    kept = {"s1+s2": dict.fromkeys(CODES, 0.7), "s2+s1": dict.fromkeys(CODES, 0.7)}
    save_ensemble(Folder(str(tmp_path / "e")), replace(card, thresholds=kept))
    inference = inference_config(str(tmp_path / "e"))
    assert inference.card.model_id == card.model_id == inference.identity["model_id"]
    assert card.model_id.startswith("ensemble-") and len(card.model_id) == 21
    assert inference.thresholds == (0.7,) * len(CODES)
    assert inference_config(str(tmp_path / "e"), "max").thresholds == (0.5,) * len(
        CODES
    )  # no one knows
    members = inference.identity["members"]
    assert {one["model_id"] for one in members} == {load_card(m).model_id for m in models.values()}
    assert {one["window_s"] for one in members} == {1.0, 2.0}
    assert inference_config(f"{models['a']},{models['a']}").card.model_id != card.model_id


def test_weights_are_heeded(tmp_path, models, music):
    card = load_any(f"{models['a']},{models['b']}")
    heavier = [
        replace(one, weight=3.0 if one.model == models["a"] else 1.0) for one in card.members
    ]
    save_ensemble(Folder(str(tmp_path)), averaged(heavier))
    both = values(tagged(music, inference_config(str(tmp_path)))["a.wav"])
    a, b = (values(tagged(music, inference_config(name))["a.wav"]) for name in models.values())
    np.testing.assert_allclose(both, 0.75 * a + 0.25 * b, atol=1e-6)
    assert load_any(str(tmp_path)).model_id != card.model_id


def test_a_folder_whose_member_is_another_by_now_is_refused(tmp_path, models):
    mine = write(tmp_path / "a", "a")
    save_ensemble(Folder(str(tmp_path / "e")), load_any(f"{mine},{models['b']}"))
    write(tmp_path / "a", "a", seed=5)
    with pytest.raises(SpecMismatch, match=r"ensemble.json: made with resnet10t-.* by now"):
        inference_config(str(tmp_path / "e"))
    (tmp_path / "a" / "model.json").unlink()
    with pytest.raises(UsageError, match=r"ensemble.json: .*/a: no model.json there"):
        inference_config(str(tmp_path / "e"))
    (tmp_path / "e" / "ensemble.json").write_text(json.dumps({"format": "timbre-ensemble-1"}))
    with pytest.raises(SpecMismatch, match=r"not an ensemble of this version: KeyError 'members'"):
        inference_config(str(tmp_path / "e"))
    with pytest.raises(UsageError, match=r"it is of several models; name one"):
        load_card(str(tmp_path / "e"))


def test_calibrated_scores_are_the_mean_of_the_members_probabilities(tmp_path, models, music):
    names = [write(tmp_path / name, name) for name in FRONT_ENDS]
    with pytest.raises(UsageError, match=r"--calibrated: .*model.json has no calibration of s"):
        calibrated(inference_config(",".join(names)))
    for k, name in enumerate(names):
        card = load_card(name)
        found = Calibration({code: {"slope": 2.0 + k, "offset": 0.5} for code in CODES})
        kept = {card.aggregation: found.to_dict()}
        save_card(Folder(name), replace(card, calibration=kept))
    each = [calibrated(inference_config(name)) for name in names]
    inference = calibrated(inference_config(",".join(names)))
    a, b = (values(tagged(music, one)["a.wav"]) for one in each)
    row = tagged(music, inference)["a.wav"]
    np.testing.assert_allclose(values(row), (a + b) / 2, atol=1e-6)
    limits = np.mean([one.thresholds for one in each], axis=0)
    assert inference.thresholds == pytest.approx(limits.tolist())
    assert all("calibration" in one for one in inference.identity["members"])
    assert inference.identity != inference_config(",".join(names)).identity
    asked = calibrated(inference_config(",".join(names), threshold=0.3), threshold=0.3)
    assert asked.thresholds == (0.3,) * len(CODES)


def test_an_ensemble_s_own_calibration_comes_first(tmp_path, models):
    card = load_any(f"{models['a']},{models['b']}")
    found = Calibration({code: {"slope": 2.0, "offset": 0.5} for code in CODES})
    save_ensemble(
        Folder(str(tmp_path)), replace(card, calibration={card.aggregation: found.to_dict()})
    )
    inference = calibrated(inference_config(str(tmp_path)))
    windows = [np.full((2, len(CODES)), 0.5, np.float32), np.full((2, len(CODES)), 0.3, np.float32)]
    inference = aggregated_by(inference, "s1")
    expected = found.apply(np.full((1, len(CODES)), 0.4, np.float32))[0]
    np.testing.assert_allclose(inference.track_scores(windows), expected, rtol=1e-6)
    silent = [np.zeros((0, len(CODES)), np.float32)] * 2
    assert not inference.track_scores(silent).any()


def test_what_is_of_windows_is_refused_in_one_line(models):
    inference = inference_config(f"{models['a']},{models['b']}")
    for flag in ("keep_windows", "embeddings"):
        with pytest.raises(UsageError, match=f"--{flag.replace('_', '-')} is of one model") as said:
            replace(inference, **{flag: True})
        assert "\n" not in str(said.value)
    with pytest.raises(UsageError, match="several models that are averaged; name one of them"):
        _ = inference.model_card
    assert isinstance(inference.card, EnsembleCard)
