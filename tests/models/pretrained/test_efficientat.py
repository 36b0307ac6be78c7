"""EfficientAT's mn04 with its authors' weights computes what their code does."""

import numpy as np
import pytest
import torch

from pipeline.models.engines.graphs import Outputs
from pipeline.models.pretrained.efficientat import FAMILY
from tests.shared_files import shared


@pytest.fixture(scope="module")
def reference():
    """What the authors' own code made of three signals, in float32."""
    return np.load(shared("weights/parity_mn04.npz"))


def scaled(samples):
    mean, deviation = FAMILY.input_spec.scaling
    return (np.stack([FAMILY.input_spec.matrix(one) for one in samples]) - mean) / deviation


def test_the_front_end_is_the_authors(reference):
    found = scaled(reference["samples_32k"])
    assert np.abs(found - reference["mel"]).max() < 1e-3  # 8e-5 seen


def test_logits_and_embeddings_are_the_authors(reference):
    variant = FAMILY.variant(None)
    network = FAMILY.build(variant, len(FAMILY.mids), 0.0)
    network.load_state_dict(FAMILY.read(shared("weights/mn04_as_mAP_432.pt"), variant))
    prepared = torch.from_numpy(scaled(reference["samples_32k"]).astype(np.float32))
    with torch.inference_mode():
        logits, features = Outputs(network.eval())(prepared)
    assert np.abs(logits.numpy() - reference["logits"]).max() < 1e-3  # 4e-5 seen
    assert np.abs(features.numpy() - reference["features"]).max() < 1e-4  # 5e-6 seen


@pytest.mark.parametrize("variant", FAMILY.variants, ids=lambda one: one.name)
def test_sizes_are_as_stated(variant):
    with torch.device("meta"):
        network = FAMILY.build(variant, len(FAMILY.mids), 0.0)
    assert sum(p.numel() for p in network.parameters()) == variant.n_parameters
