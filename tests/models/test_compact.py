"""The starter's network: short notes count, and both engines agree."""

import numpy as np
import pytest
import torch

from pipeline.models.engines.graphs import converted, example_of, proved_graph
from pipeline.models.model import Architecture, Tagger
from pipeline.models.networks.compact import Compact

SHAPE = 96, 101


@pytest.fixture(scope="module")
def tagger():
    torch.manual_seed(0)
    one = Tagger(Architecture("compact", 11, dropout=0.0, input_shape=SHAPE))
    with torch.no_grad():
        one.backbone.train()
        for _ in range(10):  # batch norms that are used to what they see
            one.backbone(torch.randn(8, *SHAPE) / 2)
    return one.eval()


def test_it_fits_into_the_starter(tagger):
    n_bytes = sum(4 * tensor.numel() for tensor in tagger.state_dict().values())
    assert 6_000_000 < n_bytes < 8 << 20


@torch.inference_mode()
def test_openvino_computes_the_same(tagger):
    graph, note = proved_graph(converted(tagger), tagger, precision="f32")
    assert note == ""
    windows = example_of(tagger, n=8)
    expected = tagger.backbone(windows)
    assert expected.std() > 0.01  # not only a bias
    logits, embedding = graph.outputs(windows)
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-3)
    assert embedding.shape == (8, 512)
    assert embedding.std() > 0


@torch.inference_mode()
def test_a_step_of_time_can_decide_for_a_class(tagger):
    """With all its weight on one step, a class's logit is that step's and not the mean's."""
    network = Compact(n_classes=2, dropout=0.0).eval()
    network.load_state_dict(
        {
            name: tensor[:2] if name.startswith(("attention", "head")) else tensor
            for name, tensor in tagger.backbone.state_dict().items()
        }
    )
    windows = torch.randn(1, *SHAPE)
    features = []
    network.dropout.register_forward_hook(lambda _, __, out: features.append(out[0]))
    network.attention.weight[0] = 0
    network.attention.bias[0] = 0
    evenly = network(windows)[0, 0]
    steps = network.head(features[0])[:, 0]
    assert evenly == pytest.approx(float(steps.mean()), abs=1e-4)
    away = features[0][3] - features[0].mean(dim=0)
    network.attention.weight[0] = 1e4 * away / away.square().sum()
    weight = network.attention(features[0])[:, 0].softmax(dim=0)
    expected = float((weight * steps).sum())
    assert weight.max() > 0.99
    assert float(network(windows)[0, 0]) == pytest.approx(expected, abs=1e-4)
    assert expected == pytest.approx(float(steps[weight.argmax()]), abs=0.05)
