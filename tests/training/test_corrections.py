"""Learning from what people said: what it moves, what it leaves, and the model that comes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from pipeline import LearnCorrectionsConfig, learn_corrections, tag_catalog
from pipeline.configs.tag import TagConfig
from pipeline.errors import SpecMismatch, UsageError
from pipeline.models.model import load_card, load_model
from pipeline.models.starter import model_uri
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.store.folder import Folder
from pipeline.store.tags.track_facts.corrections import add_corrections
from pipeline.training.transfer.correction_fit import CorrectedWindows, fit_correction

N_TRACKS, N_WINDOWS, N_FEATURES, N_CLASSES = 60, 4, 8, 3


def made_up(n_said: int, seed: int = 0) -> CorrectedWindows:
    """Return tracks whose first feature says whether they have class 0, which the model ignores."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(N_TRACKS * N_WINDOWS, N_FEATURES)).astype(np.float32)
    has = rng.integers(0, 2, N_TRACKS)
    vectors[:, 0] = np.repeat(has * 2 - 1, N_WINDOWS) + rng.normal(size=len(vectors)) * 0.3
    scores = np.full((len(vectors), N_CLASSES), 0.3, np.float32)
    said = np.full((N_TRACKS, N_CLASSES), np.nan, np.float32)
    said[:n_said, 0] = has[:n_said]
    stretch_of = np.repeat(np.arange(N_TRACKS), N_WINDOWS)
    return CorrectedWindows(vectors, scores, stretch_of, said, np.arange(N_TRACKS))


def test_what_was_said_of_some_tracks_is_found_in_others():
    data = made_up(20)
    truth = made_up(N_TRACKS).said[:, 0] == 1
    fitted = fit_correction(data)
    assert ((fitted.held_out[:20, 0] >= 0.5) == truth[:20]).mean() >= 0.9
    moved = fitted.after[20:, 0] - fitted.before[20:, 0]
    assert moved[truth[20:]].mean() > 0.05 > -0.01 > moved[~truth[20:]].mean()


def test_classes_of_which_nothing_was_said_stay():
    fitted = fit_correction(made_up(20))
    assert np.abs(fitted.after[:, 1:] - fitted.before[:, 1:]).max() < 0.01


def test_the_same_again_is_the_same():
    one, two = fit_correction(made_up(10)), fit_correction(made_up(10))
    assert (one.weight == two.weight).all() and one.strength == two.strength


@pytest.fixture(scope="module")
def catalogue_of_tones(tmp_path_factory):
    """Return eight tones of 5 s."""
    folder = tmp_path_factory.mktemp("tones")
    times = np.arange(5 * 32_000) / 32_000
    for k in range(8):
        wave = sum(np.sin(2 * np.pi * 110 * (k + 2) * n * times) / n for n in range(1, 6))
        soundfile.write(folder / f"{k}.wav", 0.2 * wave, 32_000)
    return folder


@pytest.fixture(scope="module")
def tagged(tmp_path_factory, catalogue_of_tones):
    """Return a folder that the starter has tagged, with windows."""
    out = tmp_path_factory.mktemp("corrections") / "tags"
    tag_catalog(TagConfig(str(catalogue_of_tones), "starter", str(out), keep_windows=True))
    return out


def correct(folder, code: str, verdict: str, n: int) -> list[str]:
    catalogue = TaggedCatalogue.open(str(folder))
    rows = catalogue.find(columns=["uri", "fingerprint"], limit=n).to_pylist()
    add_corrections(Folder(str(folder)), [row | {"code": code, "verdict": verdict} for row in rows])
    return [row["uri"] for row in rows]


def test_a_model_learns_from_a_folder_and_tags_as_it_was_told(tagged, catalogue_of_tones, tmp_path):
    uris = correct(tagged, "org", "present", 4)
    learned = learn_corrections(LearnCorrectionsConfig(str(tagged), str(tmp_path / "model")))
    assert learned.n_tracks == 4
    org = next(row for row in learned.by_class if row["code"] == "org")
    assert org["n_said"] == org["after"] == 4
    again = tmp_path / "again"
    tag_catalog(TagConfig(str(catalogue_of_tones), str(tmp_path / "model"), str(again)))
    found = TaggedCatalogue.open(str(again)).find("org", columns=["uri"])["uri"].to_pylist()
    assert set(uris) <= set(found)
    tagger, card = load_model(str(tmp_path / "model"))
    assert (
        card.training["corrected"]["of"]
        == load_card(model_uri("starter")).model_id
        != card.model_id
    )
    assert card.architecture.corrected == tagger.backbone.correction.in_features


def test_too_few_corrections_and_another_model_are_refused(catalogue_of_tones, tmp_path):
    tags = tmp_path / "tags"
    tag_catalog(TagConfig(str(catalogue_of_tones), "starter", str(tags)))
    with pytest.raises(UsageError, match="correct some with"):
        learn_corrections(LearnCorrectionsConfig(str(tags), str(tmp_path / "m")))
    correct(tags, "org", "present", 3)
    learn_corrections(LearnCorrectionsConfig(str(tags), str(tmp_path / "m")))
    with pytest.raises(SpecMismatch, match="the tags are by"):
        learn_corrections(
            LearnCorrectionsConfig(str(tags), str(tmp_path / "n"), init=str(tmp_path / "m"))
        )


def test_the_model_that_tagged_is_not_written_over(catalogue_of_tones, tmp_path):
    config = TagConfig(str(catalogue_of_tones), "starter", str(tmp_path / "tags"))
    tag_catalog(config)
    correct(tmp_path / "tags", "org", "present", 3)
    model = str(tmp_path / "model")
    learn_corrections(LearnCorrectionsConfig(config.out, model))
    correct(tmp_path / "tags", "sax", "absent", 2)
    second = learn_corrections(LearnCorrectionsConfig(config.out, model))  # with more said
    tag_catalog(replace(config, model=model, out=str(tmp_path / "again")))
    correct(tmp_path / "again", "org", "present", 3)
    with pytest.raises(UsageError, match="--out"):
        learn_corrections(LearnCorrectionsConfig(str(tmp_path / "again"), model))
    other = str(tmp_path / "other")
    learn_corrections(LearnCorrectionsConfig(str(tmp_path / "again"), other))
    with pytest.raises(UsageError, match="of another run"):
        learn_corrections(LearnCorrectionsConfig(config.out, other))
    assert load_card(model) == second.card


def test_corrections_of_classes_that_the_model_lacks_are_too_few(catalogue_of_tones, tmp_path):
    tags = tmp_path / "tags"
    tag_catalog(TagConfig(str(catalogue_of_tones), "starter", str(tags)))
    correct(tags, "org", "present", 1)
    correct(tags, "zither", "present", 3)
    with pytest.raises(UsageError, match="correct some with"):
        learn_corrections(LearnCorrectionsConfig(str(tags), str(tmp_path / "model")))
