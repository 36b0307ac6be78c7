"""Files as EfficientAT's authors publish them, with weights drawn by a seed."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from pipeline.models.pretrained.efficientat import FAMILY


def write_published(path: Path, variant: str = "mn04", *, seed: int = 0) -> Path:
    """Write a state dict by the authors' names: squeeze-excitation as linear layers."""
    torch.manual_seed(seed)
    network = FAMILY.build(FAMILY.variant(variant), len(FAMILY.mids), 0.0)
    with torch.no_grad():  # batch norms that fit the weights, and scores that are not all a half
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = None
        network(torch.randn(4, 128, 100))
        network.classifier[3].weight *= 150
    tensors = {}
    for name, tensor in network.state_dict().items():
        if found := re.search(r"(block\.\d)\.(fc\d\.(weight|bias))$", name):
            name = name.replace(found[0], f"{found[1]}.conc_se_layers.0.{found[2]}")
            tensor = tensor.flatten(1) if tensor.ndim == 4 else tensor
        name = name.replace("classifier.3.", "classifier.5.").replace(
            "classifier.0.", "classifier.2."
        )
        tensors[name] = tensor
    torch.save(tensors, path)
    return path
