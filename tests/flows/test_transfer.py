"""A model that begins from one and is taught by one, through the whole job, on Ray Train."""

import pytest
import torch

from jobs import train
from pipeline.models.model import load_card, load_model
from pipeline.models.networks.parts.blocks import core_of

pytestmark = pytest.mark.slow


def test_a_model_is_fine_tuned_beside_a_teacher(dataset, model, tmp_path, capsys):
    flags = ["--dataset", str(dataset), "--out", str(tmp_path), "--init", str(model)]
    flags += ["--teacher", str(model), "--freeze", "2", "--pool", "attention", "--epochs", "1"]
    assert train.main([*flags, "--augment", "mix,masks"]) == 0
    began = load_card(str(model))
    said = capsys.readouterr().out
    assert f"trained from {began.model_id}, taught by {began.model_id}" in said
    tagger, card = load_model(str(tmp_path))
    assert card.training["init"]["model_id"] == began.model_id
    known = [code for code in began.vocabulary.codes if code not in began.untrained_classes]
    assert card.training["init"]["head_from"] == known
    assert card.training["teachers"] == [began.model_id]
    assert card.architecture.pool == "attention"
    assert card.architecture.input_size == began.architecture.input_size
    old = core_of(load_model(str(model))[0].backbone).state_dict()
    new = core_of(tagger.backbone).state_dict()
    moved = {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}
    assert moved == {"layer2", "layer3", "layer4", "fc"}
    assert train.main([*flags, "--augment", "mix,masks"]) == 0
    assert "the same run has ended before" in capsys.readouterr().out
