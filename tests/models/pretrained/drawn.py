"""Weights that are drawn by the names of tensors, and sounds: the same here and beside the authors'
code, so that only a few figures of it have to be kept (`*.npz` in this folder).

How those were made is said at the top of each test. The authors' networks got `drawn` of their own
state dict, and heard `sounds`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

FIRST_NORMS = ("bn0.", "init_bn.")  # of networks that hear dB
POSITIONS = ("pos_embed", "position_embeddings", "_token")


def drawn(shapes: Mapping[str, Iterable[int]]) -> dict[str, Tensor]:
    """Return tensors by name, of sizes with which activations and logits stay near 1."""
    return {name: torch.from_numpy(_draw(name, tuple(shape))) for name, shape in shapes.items()}


def _draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name.endswith("num_batches_tracked"):
        return np.array(0)
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, np.float32)
    hears_db = any(norm in name for norm in FIRST_NORMS)
    if name.endswith("running_mean"):
        return 5 * noise - 30 if hears_db else noise / 10
    if name.endswith("running_var"):
        return np.float32(200 if hears_db else 1) * (np.abs(noise) + np.float32(0.3))
    if name.endswith(POSITIONS):
        return noise / 2
    if len(shape) >= 2:
        gain = 2 if len(shape) > 2 else 1
        return noise * np.float32(math.sqrt(gain / math.prod(shape[1:])))
    return noise / 10 + (0 if name.endswith("bias") else 1)


def sounds(sample_rate_hz: int, seconds: float = 2.0) -> np.ndarray:
    """Return two sounds, `[2, n_samples]`: a dying tone above soft noise, and loud noise that ends
    in digital silence."""
    n = round(sample_rate_hz * seconds)
    time = np.arange(n) / sample_rate_hz
    noise = np.random.default_rng(0).standard_normal((2, n))
    tone = sum(np.sin(2 * np.pi * 220 * k * time) / k for k in range(1, 12)) * np.exp(-2 * time)
    burst = np.where(time < 0.6 * seconds, noise[1], 0)
    return np.stack([0.3 * tone + 0.003 * noise[0], 0.2 * burst]).astype(np.float32)


def shapes_of(lines: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return shapes by name from lines like "conv.weight 64 1 3 3"."""
    parts = (str(line).split(" ") for line in lines)
    return {name: tuple(map(int, sizes)) for name, *sizes in parts}


def lines_of(state: Mapping[str, Tensor]) -> list[str]:
    """Return what `shapes_of` reads."""
    return [" ".join([name, *map(str, tensor.shape)]) for name, tensor in state.items()]
