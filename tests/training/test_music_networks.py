"""The music tagging networks train, are saved, and tag a track in both engines."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.audio.spectra.input_kinds import LogMelInput, level_rows
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.inference.inference_config import inference_config
from pipeline.inference.tagger import TrackTagger
from pipeline.models.model import Architecture, ModelCard, Tagger, save_model
from pipeline.selection.vocabulary import parse_vocabulary
from pipeline.store.folder import Folder
from pipeline.training.config import TrainConfig
from pipeline.training.data.windows import row_moments
from pipeline.training.loop import Hooks, train
from pipeline.training.recipes import input_spec_of
from tests.conftest import tones
from tests.models.test_engines import _threads as _threads  # a fixture
from tests.training.test_recipes import set_of

NAMES = (
    *("fcn", "fcn4", "musicnn", "samplecnn", "samplecnn-se", "harmonic-cnn", "cnn-sa"),
    *("cnn1d-mel", "timbre-pitch"),
)
VOCABULARY = """
[[instrument]]
code = "a"
name = "high"
any_of = ["/m/01xqw"]

[[instrument]]
code = "b"
name = "low"
any_of = ["/m/01wy6"]
"""


def trained(name, folder):
    """Train an epoch on four clips of two tones, and write the model's folder."""
    input_spec, windows = input_spec_of(name, LogMelSpec()), WindowSpec()
    data = set_of(input_spec)
    is_db = isinstance(input_spec, LogMelInput)
    db_rows, linear_rows = level_rows(input_spec)
    torch.manual_seed(0)
    architecture = Architecture(
        name, 2, dropout=0.0, input_shape=(input_spec.n_rows, windows.n_frames(input_spec)),
        below_peak=is_db, db_rows=db_rows, linear_rows=linear_rows,
    )  # fmt: skip
    tagger = Tagger(architecture)
    if not is_db:
        mean, deviation = row_moments(data)
        tagger.row_mean.copy_(torch.from_numpy(mean))
        tagger.row_deviation.copy_(torch.from_numpy(deviation))
    config = TrainConfig(name, epochs=1, batch_size=4, lr=1e-3, augment=("shift",), ema=0.0)
    progress = train(
        config, tagger, data, data, device=torch.device("cpu"), checkpoint=None,
        hooks=Hooks(lambda step: None, lambda metrics, state: None),
    )  # fmt: skip
    card = ModelCard(
        architecture=architecture,
        vocabulary=parse_vocabulary(VOCABULARY, name="two tones"),
        input_spec=input_spec,
        windows=windows,
        aggregation="s1",
        thresholds={"s1": {"a": 0.5, "b": 0.5}},
        dataset_fingerprint="sha256:x",
        training={"history": []},
        provenance={},
    )
    save_model(Folder(str(folder)), progress.best_weights, card)
    return progress


@pytest.mark.parametrize("name", NAMES)
def test_an_epoch_and_a_track_in_both_engines(name, tmp_path):
    progress = trained(name, tmp_path)
    assert np.isfinite(progress.history[0]["train_loss"])
    samples = tones(4.0, 300, 2500)
    scores = {}
    for engine in ("torch", "openvino"):
        config = replace(inference_config(str(tmp_path)), engine=engine, precision="f32")
        row = TrackTagger(config).tag(samples, sample_rate_hz=44_100)
        assert (row["status"], row["n_windows"]) == ("ok", 4)
        scores[engine] = [row["scores"][code] for code in "ab"]
    np.testing.assert_allclose(scores["openvino"], scores["torch"], atol=1e-3)
    assert np.isfinite(scores["torch"]).all()
