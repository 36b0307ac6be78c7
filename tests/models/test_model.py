"""A model is two files; what does not fit together is refused."""

import json

import pytest
import torch

from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import SpecMismatch, UsageError
from pipeline.inference.inference_config import inference_config
from pipeline.inference.tagger import TrackTagger
from pipeline.models.model import Architecture, ModelCard, Tagger, load_card, load_model, save_model
from pipeline.selection.vocabulary import default_vocabulary
from pipeline.store.folder import Folder


@pytest.fixture
def saved(tmp_path):
    architecture = Architecture("resnet10t", 11, (32, 32))
    tagger = Tagger(architecture).eval()
    card = ModelCard(
        architecture=architecture,
        vocabulary=default_vocabulary(),
        input_spec=LogMelInput(LogMelSpec()),
        windows=WindowSpec(),
        aggregation="s2",
        thresholds={"s2": dict.fromkeys(default_vocabulary().codes, 0.5)},
        dataset_fingerprint="sha256:x",
        training={"history": []},
        provenance={},
    )
    return tagger, save_model(Folder(str(tmp_path)), tagger.state_dict(), card), tmp_path


def test_a_network_that_is_not_here_is_said_by_the_models_folder(saved):
    _, _, path = saved
    told = json.loads((path / "model.json").read_text())
    told["architecture"]["name"] = "somebodys-own"
    (path / "model.json").write_text(json.dumps(told))
    with pytest.raises(SpecMismatch, match=f"^{path}: there is no network 'somebodys-own' here"):
        load_model(str(path))


def test_what_is_saved_is_loaded(saved):
    tagger, card, path = saved
    loaded, loaded_card = load_model(str(path))
    assert loaded_card == card
    assert card.model_id.startswith("resnet10t-")
    windows = torch.randn(2, 256, 87) * 10 - 40
    with torch.inference_mode():
        torch.testing.assert_close(loaded(windows), tagger(windows))


def test_the_id_follows_the_weights(saved):
    tagger, card, path = saved
    again = save_model(Folder(str(path)), tagger.state_dict(), card)
    assert again.model_id == card.model_id
    tagger.backbone.fc.bias.data += 1
    assert save_model(Folder(str(path)), tagger.state_dict(), card).model_id != card.model_id


def test_what_does_not_fit_is_refused(saved):
    _, _, path = saved
    values = json.loads((path / "model.json").read_text())
    values["architecture"]["n_classes"] = 12
    (path / "model.json").write_text(json.dumps(values))
    with pytest.raises(SpecMismatch, match=r"model\.safetensors does not fit"):
        load_model(str(path))
    values["format"] = "other"
    (path / "model.json").write_text(json.dumps(values))
    with pytest.raises(SpecMismatch, match="format 'other'"):
        load_card(str(path))


def test_weights_of_another_model_are_refused(saved, tmp_path):
    """As a training leaves them that is killed between its two files."""
    tagger, card, path = saved
    tagger.backbone.fc.bias.data += 1
    other = save_model(Folder(str(tmp_path / "other")), tagger.state_dict(), card)
    (path / "model.safetensors").write_bytes(
        (tmp_path / "other" / "model.safetensors").read_bytes()
    )
    expected = rf"{path}: model\.safetensors is not of {card.model_id}.*train again, or name"
    with pytest.raises(SpecMismatch, match=expected):
        load_model(str(path))
    assert load_model(str(tmp_path / "other"))[1] == other


def test_a_model_that_is_trained_anew_does_not_tag_by_the_old_id(saved):
    tagger, card, path = saved
    inference = inference_config(str(path))
    TrackTagger(inference)
    tagger.backbone.fc.bias.data += 1
    new = save_model(Folder(str(path)), tagger.state_dict(), card)
    expected = f"holds {new.model_id} by now, and held {card.model_id} when this began"
    with pytest.raises(SpecMismatch, match=expected):
        TrackTagger(inference)


def test_no_model_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"no model\.json there; train one"):
        load_card(str(tmp_path))


def test_a_pickle_in_the_weights_place_is_not_opened(saved):
    _, _, path = saved
    torch.save({"x": 1}, path / "model.safetensors")
    with pytest.raises(SpecMismatch):
        load_model(str(path))


def test_a_window_sounds_the_same_at_any_level(saved):
    tagger, _, _ = saved
    windows = torch.randn(2, 256, 87) * 10 - 40
    with torch.inference_mode():
        torch.testing.assert_close(tagger(windows - 12), tagger(windows), atol=1e-4, rtol=1e-3)
        noise_floor = windows[:, :32, :32].clone()  # as large as the input: nothing is blended
        noise_floor[:, 20:] = -130
        other_floor = noise_floor.clone()
        other_floor[:, 20:] = -110
        torch.testing.assert_close(tagger(noise_floor), tagger(other_floor))


@pytest.mark.parametrize("text", ["[]", '{"format": "timbre-model-1"}', '{"format": "timbre-0"}'])
def test_another_json_is_named(tmp_path, text):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(SpecMismatch, match=r"model\.json: "):
        load_card(str(tmp_path))


def test_a_key_of_another_version_is_named(saved):
    _, _, path = saved
    card = json.loads((path / "model.json").read_text())
    card["architecture"]["new_key"] = 1
    (path / "model.json").write_text(json.dumps(card))
    with pytest.raises(SpecMismatch, match="new_key"):
        load_card(str(path))
