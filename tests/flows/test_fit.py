"""Training on Ray Train: N workers, nothing done twice; it is killed in test_s3 and test_nodes."""

from dataclasses import replace

import pytest
import torch

from pipeline.errors import UsageError
from pipeline.flows.fit import FitConfig, fit
from pipeline.learn.config import TrainConfig
from pipeline.learn.model import load_card, load_model
from pipeline.store.dataset import Dataset
from tests.flows.conftest import TINY


def test_the_model_carries_all_that_tagging_needs(model, dataset):
    tagger, card = load_model(str(model))
    meta = Dataset.open(str(dataset)).meta()
    assert card.dataset_fingerprint == meta["fingerprint"]
    assert card.heard.spec.to_dict() == meta["feature_spec"]
    assert [c["code"] for c in meta["classes"]] == card.vocabulary.codes
    assert [row["epoch"] for row in card.training["history"]] == [1, 2]
    assert set(card.thresholds) == {"s1", "s2", "max"}
    assert {"torch", "ray", "timm"} <= card.provenance.keys()
    assert tagger(torch.zeros(1, 256, 87)).shape == (1, 11)


def test_the_same_run_is_not_done_again(model, dataset):
    before = (model / "model.json").read_bytes()
    result = fit(FitConfig(str(dataset), str(model), TINY))
    assert result.was_done
    assert (model / "model.json").read_bytes() == before


def test_two_workers_see_what_one_sees(dataset, model, tmp_path):
    """Gradients are the same sums, so the losses are near, but for each worker's own batch norm."""
    config = replace(TINY, batch_size=TINY.batch_size // 2)
    two = fit(FitConfig(str(dataset), str(tmp_path), config, workers=2)).card
    losses = [card.training["history"][0]["train_loss"] for card in (load_card(str(model)), two)]
    assert losses[0] == pytest.approx(losses[1], rel=0.15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(dataset="/nowhere"), r"no dataset\.json"),
        (dict(train=TrainConfig(model="resnet51")), "no such model"),
    ],
)
def test_what_a_user_gets_wrong(dataset, tmp_path, change, message):
    settings = {"dataset": str(dataset), "out": str(tmp_path), "train": TINY} | change
    with pytest.raises(UsageError, match=message):
        fit(FitConfig(**settings))
    with pytest.raises(UsageError, match="--workers"):
        FitConfig(str(dataset), "o", TINY, workers=0)
