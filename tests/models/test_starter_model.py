"""The model that ships: its folder, whose sounds it has learned from, and what it hears."""

import csv
from pathlib import Path

import numpy as np
import pytest

import pipeline
from pipeline.demo.compose import Section
from pipeline.demo.recording import Recording, record_all
from pipeline.evaluation.statistics.metrics import multilabel_metrics
from pipeline.inference.described import describe, windows_of
from pipeline.inference.inference_config import inference_config
from pipeline.inference.tagger import TrackTagger
from pipeline.models.engines.engines import make_engine
from pipeline.models.model import load_card
from pipeline.store.catalogue import list_tracks
from tests.models.test_engines import _threads as _threads  # a fixture
from tests.shared_files import shared

FOLDER = Path(pipeline.__file__).parent / "starter"
GIVEN_AWAY = {
    "public domain",
    "CC0",
    "MIT",
    "Apache-2.0",
    "CC-BY-3.0",
    "CC0 and CC-BY-3.0",
    "MIT; parts CC0 and public domain",
}
RENDERED = ("cel", "flu", "gac", "org", "vio")  # by a soundfont that it has not learned from


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered")
    recordings = [
        Recording(
            path=folder / f"{code}.flac",
            seed=f"starter/{code}",
            sections=(Section(0.0, 6.0, (code,)),),
            loud_s=(0.0, 6.0),
        )
        for code in RENDERED
    ]
    record_all(recordings, workers=1, title="clips")
    return {code: one.path for code, one in zip(RENDERED, recordings, strict=True)}


def tagged(tagger, inference, path):
    (described,) = describe(list_tracks(str(path)), inference)
    (row,) = tagger(described).to_pylist()
    assert row["status"] == "ok", row["detail"]
    return row


def test_it_is_small_and_says_what_it_is_made_of():
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir() if path.is_file()}
    assert set(files) == {"model.safetensors", "model.json"}
    assert sum(files.values()) <= 8 << 20
    card = load_card(str(FOLDER))
    assert card.source["licence"] == "Apache-2.0"
    assert {one["licence"] for one in card.source["sounds"]} <= GIVEN_AWAY
    assert {one["name"] for one in card.source["teachers"]} == {"EfficientAT mn04", "YAMNet"}
    thresholds = card.thresholds[card.aggregation]
    assert set(thresholds) == set(card.vocabulary.codes)
    assert all(0.1 <= one <= 0.9 for one in thresholds.values())


def test_it_hears_what_a_soundfont_plays(rendered, _threads):
    inference = inference_config(str(FOLDER))
    tagger = TrackTagger(inference)
    scores = {code: tagged(tagger, inference, path)["scores"] for code, path in rendered.items()}
    input_spec = {code: max(found, key=found.get) for code, found in scores.items()}
    assert input_spec == {code: code for code in RENDERED}


def test_both_engines_hear_the_same(rendered, _threads):
    inference = inference_config(str(FOLDER))
    (described,) = describe(list_tracks(str(rendered["cel"])), inference)
    windows = windows_of(described, inference)[0][:]
    exact, embeddings = make_engine(
        str(FOLDER), engine="torch", precision="f32", embeddings=True
    ).scores(windows)
    served, beside = make_engine(str(FOLDER), engine="openvino", embeddings=True).scores(windows)
    np.testing.assert_allclose(served, exact, atol=0.05)
    assert embeddings.shape == beside.shape == (len(windows), 512)


def test_a_tenth_of_the_level_is_the_same_music(rendered, tmp_path, _threads):
    import soundfile

    samples, rate_hz = soundfile.read(rendered["flu"])
    soundfile.write(tmp_path / "soft.wav", samples / 10, rate_hz, subtype="FLOAT")
    inference = inference_config(str(FOLDER))
    tagger = TrackTagger(inference)
    loud = tagged(tagger, inference, rendered["flu"])["scores"]
    soft = tagged(tagger, inference, tmp_path / "soft.wav")["scores"]
    np.testing.assert_allclose(list(soft.values()), list(loud.values()), atol=0.02)


def test_it_knows_the_recordings_that_it_has_learned_from(_threads):
    """A floor and no figure of merit: these recordings were in its training."""
    folder = shared("audio")
    with (folder / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[::5]
    inference = inference_config(str(FOLDER))
    tagger = TrackTagger(inference)
    found = [tagged(tagger, inference, folder / row["path"])["scores"] for row in rows]
    scores = np.array([[one[code] for code in inference.codes] for one in found])
    truth = np.array(
        [[code in row["label"].split("+") for code in inference.codes] for row in rows]
    )
    metrics = multilabel_metrics(
        truth, scores, thresholds=inference.thresholds, class_codes=inference.codes
    )
    assert metrics.macro_f1_present > 0.85
