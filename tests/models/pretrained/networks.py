"""A network of a pretrained family, as the engines take it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.models.engines.graphs import Graph, Outputs, converted, proved_graph
from pipeline.models.model import Architecture


def check_engines(network: nn.Module, windows: np.ndarray, *, width: int) -> None:
    """Hold OpenVINO's logits and embeddings, `[n, width]`, against torch's, n at most 8.

    In float32, and that bfloat16 is taken where this machine has it.
    """
    shape = (windows.shape[1], windows.shape[2])
    tagger: Any = SimpleNamespace(
        backbone=network.eval(),
        is_classical=False,
        is_image=False,
        architecture=Architecture("-", n_classes=1, input_shape=shape, below_peak=False),
    )
    prepared = torch.from_numpy(windows)
    with torch.inference_mode():
        expected = [output.numpy() for output in Outputs(network)(prepared)]
    assert [output.shape[1] for output in expected[1:]] == [width]
    model = converted(tagger)
    found = Graph(model, precision="f32").outputs(prepared)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3)
    _, why = proved_graph(model, tagger, precision="auto")
    assert not why
