"""A published file in, an ordinary model folder out; a wrong one says what was expected."""

import importlib
import re
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from jobs import harness
from pipeline.errors import UsageError
from pipeline.models.engines.bf16_rounding import rounded_to_bf16
from pipeline.models.engines.engines import make_engine
from pipeline.models.model import load_card, load_model
from pipeline.models.networks.parts.embedding import Outputs
from pipeline.models.pretrained import efficientat, yamnet
from pipeline.models.pretrained.download import file_sha256
from pipeline.models.pretrained.importing import ImportConfig, import_model, thresholds_of
from pipeline.selection.vocabulary import (
    audioset_vocabulary,
    default_vocabulary,
    parse_vocabulary,
    shipped_vocabulary,
)
from tests.marks import slow
from tests.models.pretrained.published import write_published

MN04 = efficientat.FAMILY.variant("mn04")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return write_published(tmp_path_factory.mktemp("published") / "mn04_as_mAP_432.pt")


def imported(published, out, **options):
    config = ImportConfig("efficientat", str(out), str(published), **options)
    return import_model(config, {"timbre": "test"})


def windows_for(card, n):
    shape = (n, *card.architecture.input_shape)
    return np.random.default_rng(0).normal(-6, 3, shape).astype(np.float32)


def test_a_class_has_the_score_of_its_largest_output(published, tmp_path):
    card = imported(published, tmp_path / "eleven").card
    every = imported(published, tmp_path / "all", classes="all").card
    windows = windows_for(card, 3)
    eleven, all_of_them = (
        make_engine(str(tmp_path / name), engine="torch", precision="f32").scores(windows)[0]
        for name in ("eleven", "all")
    )
    assert all_of_them.shape == (3, 527)
    column = {one.any_of[0]: k for k, one in enumerate(every.vocabulary.instruments)}
    for k, one in enumerate(card.vocabulary.instruments):
        largest = all_of_them[:, [column[mid] for mid in one.any_of]].max(axis=1)
        np.testing.assert_allclose(eleven[:, k], largest, rtol=1e-6)
    assert card.model_id != every.model_id  # the same weights, but other classes


def test_model_json_says_what_it_is_of(published, tmp_path):
    imported(published, tmp_path / "m")
    card = load_card(str(tmp_path / "m"))
    assert card.source["sha256"] == {published.name: file_sha256(published)}
    assert (card.source["licence"], card.source["embedding_width"]) == ("MIT", 384)
    assert card.thresholds == {"s1": dict(MN04.thresholds)}
    assert (card.aggregation, card.min_confidence) == ("s1", 0.0)
    assert card.architecture.input_shape == (128, 1000)
    tagger, _ = load_model(str(tmp_path / "m"))
    assert set(tagger.row_mean.flatten().tolist()) == {-4.5}
    assert set(tagger.row_deviation.flatten().tolist()) == {5.0}


@pytest.mark.parametrize("precision", [slow("f32"), "auto"])
def test_openvino_gives_the_scores_and_embeddings_of_torch(published, tmp_path, precision):
    card = imported(published, tmp_path / "m", window_s=2.0).card
    windows = windows_for(card, 3)
    limits = [1e-4, 1e-4] if precision == "f32" else of_rounding(tmp_path / "m", windows)
    found = [
        make_engine(str(tmp_path / "m"), engine=engine, precision=wanted, embeddings=True).scores(
            windows
        )
        for engine, wanted in (("torch", "f32"), ("openvino", precision))
    ]
    for one, other, limit in zip(*found, limits, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=limit * max(1, np.abs(one).max()))
    assert found[0][1].shape == (3, 384)


def of_rounding(model, windows):
    """Return how far bfloat16 may be off: thrice what rounding alone does, in torch."""
    tagger, _ = load_model(str(model))
    with torch.inference_mode():
        prepared = tagger.prepared(torch.from_numpy(windows))
        exact, rounded = (
            Outputs(network)(prepared)
            for network in (tagger.backbone, rounded_to_bf16(tagger.backbone))
        )
    scores, embeddings = (
        (one - other).abs().max() / one.abs().max().clamp(min=1)
        for one, other in ((exact[0].sigmoid(), rounded[0].sigmoid()), (exact[1], rounded[1]))
    )
    return [3 * float(scores) + 0.005, 3 * float(embeddings) + 0.005]


def test_windows_of_another_length_where_the_network_takes_them(published, tmp_path):
    card = imported(published, tmp_path / "m", window_s=2.0).card
    assert (card.windows.window_s, card.windows.hop_s) == (2.0, 2.0)
    assert card.architecture.input_shape == (128, 200)
    with pytest.raises(UsageError, match=r"yamnet takes 0\.975 s alone"):
        import_model(ImportConfig("yamnet", str(tmp_path / "y"), "f", window_s=2.0), {})


def test_the_same_again_is_done_and_another_is_not_overwritten(published, tmp_path):
    out = tmp_path / "m"
    first = imported(published, out)
    (out / "model.json").write_text((out / "model.json").read_text().replace("0.46", "0.4601"))
    again = imported(published, out)
    assert (first.was_done, again.was_done) == (False, True)
    assert again.card.thresholds["s1"]["flu"] == 0.4601  # tuned since: they stay
    other = write_published(tmp_path / "other.pt", seed=1)
    for weights, options in ((other, {}), (published, {"window_s": 2.0})):
        with pytest.raises(UsageError, match=f"{first.card.model_id} is there, of another run"):
            imported(weights, out, **options)


def test_classes_of_a_toml(published, tmp_path):
    text = '[[instrument]]\ncode = "{}"\nany_of = ["{}"]\n'
    (tmp_path / "own.toml").write_text(text.format("dog", "/m/0bt9lr"))
    card = imported(published, tmp_path / "m", classes=str(tmp_path / "own.toml")).card
    assert card.vocabulary.codes == ["dog"]
    assert card.threshold_notes == ("1 classes have 0.051, which was not found for them",)
    (tmp_path / "sung.toml").write_text(text.format("sung", "/t/dd00004"))
    config = ImportConfig("yamnet", str(tmp_path / "y"), "f", classes=str(tmp_path / "sung.toml"))
    with pytest.raises(UsageError, match="yamnet has no output for sung; leave"):
        import_model(config, {})


def test_classes_of_another_data_set(published, tmp_path):
    card = imported(published, tmp_path / "m", classes="openmic").card
    assert card.vocabulary == shipped_vocabulary("openmic")
    expected = "expected instruments, openmic, nsynth, jamendo, all or a TOML"
    with pytest.raises(UsageError, match=expected):
        imported(published, tmp_path / "n", classes="nowhere.toml")


def test_thresholds_go_with_what_a_class_means():
    one = default_vocabulary().instruments[0]
    other = replace(one, code="cla", any_of=("/m/0bt9lr",))
    vocabulary = replace(default_vocabulary(), instruments=(one, other))
    found, notes = thresholds_of(MN04, vocabulary, efficientat.FAMILY)
    assert found == {"cel": MN04.thresholds["cel"], "cla": 0.051}
    assert notes[0] == MN04.threshold_source
    untuned = replace(MN04, thresholds={}, threshold_source="")
    assert thresholds_of(untuned, vocabulary, efficientat.FAMILY)[0] == {"cel": 0.1, "cla": 0.1}


@pytest.mark.parametrize("family", [efficientat.FAMILY, yamnet.FAMILY], ids=lambda one: one.name)
def test_codes_of_all_classes_are_valid(family):
    vocabulary = audioset_vocabulary(family.mids)
    tables = "\n".join(
        f'[[instrument]]\ncode = "{one.code}"\nany_of = ["{one.any_of[0]}"]'
        for one in vocabulary.instruments
    )
    assert parse_vocabulary(tables, name="all").codes == vocabulary.codes  # valid, none twice


def a_zip(folder):
    with zipfile.ZipFile(folder / "w.pt", "w") as file:
        file.writestr("readme.txt", "nothing")


def a_page(folder):
    (folder / "w.pt").write_text("<!doctype html><title>Not found</title>")


def another_network(folder):
    torch.save(torch.nn.Linear(3, 2).state_dict(), folder / "w.pt")


def another_variant(folder):
    write_published(folder / "w.pt", "mn10")


def a_pickle_with_code(folder):
    torch.save({"weights": re.compile("x")}, folder / "w.pt")


def nothing(folder): ...


@pytest.mark.parametrize(
    "make", [a_zip, a_page, another_network, another_variant, a_pickle_with_code, nothing]
)
@pytest.mark.parametrize("family", ["efficientat", "yamnet"])
def test_a_wrong_file_gets_one_line(make, family, tmp_path, capsys):
    make(tmp_path)
    line = ["--family", family, "--weights", str(tmp_path / "w.pt"), "--out", str(tmp_path / "m")]
    assert importlib.import_module("jobs.import_model").main(line) == harness.USAGE
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    first = {"efficientat": "mn04", "yamnet": "yamnet"}[family]
    assert f"expected {first} of {family}" in error
    assert not (tmp_path / "m").exists()


def test_a_wrong_variant_names_those_there_are(tmp_path, capsys):
    line = ["--family", "efficientat", "--variant", "mn05", "--out", str(tmp_path / "m")]
    assert importlib.import_module("jobs.import_model").main(line) == harness.USAGE
    assert "efficientat has mn04, mn10, mn40" in capsys.readouterr().err
