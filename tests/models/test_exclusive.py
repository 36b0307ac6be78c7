"""A softmax as log-odds: sigmoids are its probabilities, in both engines, and nothing is lost."""

import numpy as np
import pytest
import torch

from pipeline.models.engines.graphs import converted, example_of, proved_graph
from pipeline.models.model import Architecture, Tagger
from pipeline.models.networks.parts.blocks import blocks_of
from pipeline.models.networks.parts.exclusive import log_odds
from pipeline.models.networks.parts.weights import parameter_groups

SHAPE = (96, 63)


def architecture(**options):
    return Architecture("fcn", 4, input_shape=SHAPE, dropout=0.0, exclusive=True, **options)


def test_sigmoids_are_the_softmax():
    logits = torch.randn(50, 7, dtype=torch.float64) * 5
    scores = torch.sigmoid(log_odds(logits))
    torch.testing.assert_close(scores, logits.softmax(dim=1))
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(50, dtype=torch.float64))


def test_it_is_exact_where_a_probability_is_nearly_1():
    found = log_odds(torch.tensor([[60.0, 0.0, 0.0]]))
    assert found[0, 0].item() == pytest.approx(60 - np.log(2), rel=1e-6)
    assert found.isfinite().all()


def test_model_json_says_it_and_older_ones_do_not():
    values = architecture().to_dict()
    assert values["exclusive"] is True
    assert Architecture.from_dict(values) == architecture()
    plain = Architecture("fcn", 4, input_shape=SHAPE)
    assert "exclusive" not in plain.to_dict()


def test_head_and_blocks_are_those_of_the_network():
    tagger = Tagger(architecture())
    base, head = parameter_groups(tagger)
    assert [tuple(one.shape) for one in head] == [(4, 64), (4,)]
    assert len(base) + 2 == len(list(tagger.parameters()))
    plain = Tagger(Architecture("fcn", 4, input_shape=SHAPE))
    assert len(blocks_of(tagger.backbone)) == len(blocks_of(plain.backbone))


def test_weights_of_a_plain_network_begin_it(tmp_path):
    plain = Tagger(Architecture("fcn", 4, input_shape=SHAPE, dropout=0.0)).eval()
    torch.save(plain.state_dict(), tmp_path / "plain.pth")
    softmax = Tagger(architecture(), weights=str(tmp_path / "plain.pth")).eval()
    windows = torch.randn(3, *SHAPE)
    with torch.inference_mode():
        expected = plain(windows).softmax(dim=1)
        torch.testing.assert_close(torch.sigmoid(softmax(windows)), expected)


@torch.inference_mode()
def test_openvino_computes_the_same():
    tagger = Tagger(architecture())
    for _ in range(5):  # batch norms that are used to what they see
        tagger.backbone(torch.randn(8, *SHAPE) / 2)
    tagger.eval()
    graph, note = proved_graph(converted(tagger), tagger, precision="auto")
    assert note == ""
    windows = example_of(tagger, n=8)
    logits, embeddings = graph.outputs(windows)
    np.testing.assert_allclose(logits, tagger.backbone(windows).numpy(), atol=0.05)
    assert embeddings.shape == (8, 64)
