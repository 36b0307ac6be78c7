"""A pretrained tagger through the whole job: engines agree, and its own limits make the labels."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from pipeline.flows.tagging.tag import TagConfig, tag_catalog
from pipeline.models.model import DEFAULT_MIN_CONFIDENCE, load_card, save_card
from pipeline.models.pretrained.importing import ImportConfig, import_model
from pipeline.store.folder import Folder
from pipeline.tagging.tag_inference import inference_of
from tests.conftest import tones
from tests.models.pretrained.published import write_published

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_process")]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    weights = str(write_published(folder / "mn04.pt"))
    import_model(ImportConfig("efficientat", str(folder / "m"), weights, window_s=1.0), {})
    return folder / "m"


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    folder = tmp_path_factory.mktemp("music")
    for k, (seconds, rate_hz) in enumerate([(2.5, 44_100), (0.4, 32_000), (4.0, 16_000)]):
        samples = tones(seconds, 220 * (k + 1), 331, sample_rate_hz=rate_hz)
        soundfile.write(folder / f"{k}.wav", samples, rate_hz)
    return folder


def rows(out, table="tags"):
    found = sorted((out / table).rglob("*.parquet"))
    return sorted((row for one in found for row in pq.read_table(one).to_pylist()), key=str)


def test_engines_agree_through_the_whole_job(model, music, tmp_path, ray_local):
    found = {}
    for engine, precision in (("torch", "f32"), ("openvino", "f32"), ("openvino", "auto")):
        out = tmp_path / f"{engine}-{precision}"
        config = TagConfig(str(music), str(model), str(out), engine=engine, precision=precision)
        workers = 1 if engine == "torch" else None  # on Ray, and in this process
        run = tag_catalog(replace(config, workers=workers, n_examples=0, keep_windows=True))
        assert (run.tagged, run.failed, run.identity["gate"]) == (3, 0, 0)
        assert run.model_source["licence"] == "MIT"
        assert "EfficientAT, MIT" in (out / "report.html").read_text()
        found[out.name] = rows(out)
    card = load_card(str(model))
    scores = {name: scores_of(table, card) for name, table in found.items()}
    assert scores["torch-f32"].std() > 0.1  # a class in another's place would show
    np.testing.assert_allclose(scores["openvino-f32"], scores["torch-f32"], rtol=0, atol=1e-3)
    np.testing.assert_allclose(scores["openvino-auto"], scores["torch-f32"], rtol=0, atol=0.1)
    limits = card.thresholds["s1"]
    for row in found["torch-f32"]:
        assert row["labels"] == [c for c, score in row["scores"].items() if score >= limits[c]]
    assert any(row["labels"] for row in found["torch-f32"])
    windows = rows(tmp_path / "torch-f32", "windows")
    for interval in rows(tmp_path / "torch-f32", "intervals"):
        code = interval["code"]
        own = [row["scores"][code] for row in windows if row["uri"] == interval["uri"]]
        assert max(own) >= limits[code]  # not a half


def scores_of(table, card):
    return np.array([[row["scores"][code] for code in card.vocabulary.codes] for row in table])


@pytest.mark.parametrize(
    ("own", "asked", "min_confidence"),
    [(0.0, None, 0.0), (0.3, None, 0.3), (0.3, 0.1, 0.1), (None, None, DEFAULT_MIN_CONFIDENCE)],
)
def test_a_model_may_bring_its_own_gate(own, asked, min_confidence, model, tmp_path):
    card = load_card(str(model))
    folder = Folder(str(tmp_path))
    for name in ("model.safetensors", "model.json"):
        folder.write_bytes(name, (model / name).read_bytes())
    save_card(folder, replace(card, min_confidence=own))
    config = TagConfig("music", str(tmp_path), "out", min_confidence=asked)
    assert inference_of(config).min_confidence == min_confidence
