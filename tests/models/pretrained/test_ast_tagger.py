"""The published AST as a tagger, against transformers' `ASTForAudioClassification`."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from pipeline.errors import UsageError
from pipeline.models.networks.ast import fitted_positions
from pipeline.models.pretrained.ast import FAMILY
from tests.models.pretrained.drawn import drawn, sounds
from tests.models.pretrained.networks import check_engines

SIZES = dict(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
)  # fmt: skip
SMALL = replace(FAMILY.variant(None), sizes=SIZES)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A small AST as the hub lays it out, and its folder."""
    config = transformers.ASTConfig(**SIZES, num_labels=527)
    theirs = transformers.ASTForAudioClassification(config).eval()
    theirs.load_state_dict(drawn({n: t.shape for n, t in theirs.state_dict().items()}))
    folder = tmp_path_factory.mktemp("ast")
    theirs.save_pretrained(folder)
    return theirs, folder


def read(folder) -> torch.nn.Module:
    network = FAMILY.build(SMALL, 527, 0.2)
    network.load_state_dict(FAMILY.read(folder, SMALL))
    return network.eval()


def windows(n_samples: int) -> np.ndarray:
    """What the network hears of two sounds, scaled."""
    mean, deviation = FAMILY.input_spec.scaling
    input_spec = [FAMILY.input_spec.matrix(one[:n_samples]) for one in sounds(16_000, 10.255)]
    return ((np.stack(input_spec) - mean) / deviation).astype(np.float32)


def test_features_and_logits_are_the_published_network_s(published):
    theirs, folder = published
    extractor = transformers.ASTFeatureExtractor()
    features = extractor(list(sounds(16_000, 10.255)), sampling_rate=16_000, return_tensors="pt")
    assert FAMILY.windows.n_frames(FAMILY.input_spec) == 1024
    ours = windows(164_080)
    np.testing.assert_allclose(ours.transpose(0, 2, 1), features["input_values"], rtol=0, atol=1e-3)
    with torch.inference_mode():
        expected = theirs(**features).logits.numpy()
        logits = read(folder)(torch.from_numpy(ours))
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-3)
    assert (expected[0] - expected[1]).std() > 0.1


def test_a_shorter_window_has_the_middle_of_the_positions(published):
    """As a published network of that window would have them; so in both engines."""
    theirs, folder = published
    config = transformers.ASTConfig(**SIZES, num_labels=527, max_length=98)
    shorter = transformers.ASTForAudioClassification(config).eval()
    state = theirs.state_dict()
    name = "audio_spectrogram_transformer.embeddings.position_embeddings"
    state[name] = fitted_positions(state[name], grid=(12, 101), new_grid=(12, 9))
    shorter.load_state_dict(state)
    ours = windows(16_000)
    network = read(folder)
    with torch.inference_mode():
        expected = shorter(torch.from_numpy(ours.transpose(0, 2, 1).copy())).logits
        torch.testing.assert_close(network(torch.from_numpy(ours)), expected, rtol=0, atol=1e-4)
    check_engines(network, ours, width=32)


def test_positions_learn_at_a_shorter_window(published):
    network = read(published[1]).train()
    network(torch.from_numpy(windows(16_000))).square().mean().backward()
    positions = network.encoder.embeddings.position_embeddings.grad[0, 2:].reshape(12, 101, -1)
    touched = positions.abs().sum(dim=(0, 2)).nonzero().flatten().tolist()
    assert touched == list(range(46, 55))


def test_the_published_size_is_transformers_own():
    with torch.device("meta"):
        theirs = transformers.ASTForAudioClassification(transformers.ASTConfig(num_labels=527))
    n = sum(one.numel() for one in theirs.parameters())
    assert n == FAMILY.variant(None).n_parameters


def test_another_ast_is_refused_by_name(published, tmp_path):
    theirs, folder = published
    with pytest.raises(UsageError, match=r"expected ast-0\.4593, but it has hidden_size 32, "):
        FAMILY.read(folder, FAMILY.variant(None))
    theirs.audio_spectrogram_transformer.save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="an AST without its classifier; get one with: hf "):
        FAMILY.read(tmp_path, SMALL)
