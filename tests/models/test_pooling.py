"""Frames become a window's logits: by hand numbers, in all networks that have them, in OpenVINO."""

import math

import numpy as np
import pytest
import torch

from pipeline.errors import UsageError
from pipeline.models.engines.graphs import BATCH, converted, example_of, proved_graph
from pipeline.models.model import Architecture, Tagger
from pipeline.models.networks.parts.pooling import attended
from pipeline.models.networks.registry import is_known
from tests.marks import slow
from tests.training.transfer import noise


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def architecture(name: str, pool: str | None, n_columns: int = 320) -> Architecture:
    rows = 64 if name in ("cnn14", "mobilenetv1") else 128
    is_image = not is_known(name)
    return Architecture(
        name, 3, input_size=(64, 160), input_shape=(rows, n_columns), below_peak=is_image, pool=pool
    )


def test_attention_is_the_weighted_mean_of_the_frames_scores():
    """Two frames of 0.9 and 0.2, weights 3/4 and 1/4: 0.725; then one that has all the weight."""
    logits = torch.tensor([[[logit(0.9)], [logit(0.2)]]])
    attention = torch.tensor([[[math.log(3.0)], [0.0]]])
    score = torch.sigmoid(attended(logits, attention))
    assert float(score) == pytest.approx(0.75 * 0.9 + 0.25 * 0.2, abs=1e-6)
    alone = torch.tensor([[[0.0], [200.0]]])
    assert float(torch.sigmoid(attended(logits, alone))) == pytest.approx(0.2, abs=1e-6)


def test_attention_is_exact_where_a_score_is_nearly_1():
    """A clipped logarithm of 1 - p would end at 16."""
    logits = torch.full((1, 3, 1), 40.0)
    assert float(attended(logits, torch.zeros(1, 3, 1))) == pytest.approx(40.0)


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050", "shortchunk", "mn04"])
@pytest.mark.parametrize("pool", ["mean", "max", "attention"])
def test_networks_with_frames_are_pooled_and_learn(name, pool):
    torch.manual_seed(0)
    tagger = Tagger(architecture(name, pool))
    windows = noise(4, 128, 320)
    logits = tagger(windows)
    assert logits.shape == (4, 3)
    logits.square().sum().backward()
    idle = [n for n, p in tagger.named_parameters() if p.grad is None]
    assert idle == []


def test_the_mean_of_frames_is_what_a_network_of_means_does_itself():
    torch.manual_seed(0)
    own = Tagger(architecture("mn04", None)).eval()
    pooled = Tagger(architecture("mn04", "mean")).eval()
    tensors = own.state_dict().items()
    pooled.load_state_dict({n.replace("backbone.", "backbone.network."): t for n, t in tensors})
    windows = noise(2, 128, 320)
    torch.testing.assert_close(pooled(windows), own(windows), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet10t", slow("mn04"), slow("mobilenetv1")])
def test_attention_runs_in_openvino_and_has_an_embedding(name):
    torch.manual_seed(0)
    tagger = Tagger(architecture(name, "attention")).eval()
    torch.nn.init.normal_(tagger.backbone.attention.weight)
    graph, _ = proved_graph(converted(tagger), tagger, precision="f32")
    prepared = example_of(tagger, n=BATCH)
    logits, embeddings = graph.outputs(prepared)
    with torch.inference_mode():
        expected = tagger.backbone(prepared)
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-3, rtol=1e-3)
    assert embeddings.ndim == 2


@pytest.mark.parametrize("name", ["crnn", "vit_tiny_patch16_224"])
def test_a_network_without_frames_is_one_line(name):
    with pytest.raises(UsageError, match=f"--pool max: {name} gives no sequence over time"):
        Tagger(architecture(name, "max"))


def test_pooling_is_kept_in_model_json_and_older_ones_have_none():
    made = architecture("mn04", "attention")
    assert Architecture.from_dict(made.to_dict()) == made
    assert "pool" not in architecture("mn04", None).to_dict()
