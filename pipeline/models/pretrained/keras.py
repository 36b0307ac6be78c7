"""The weight and bias of each layer of a plain network, from its Keras file (HDF5)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.arrays import Float32
from pipeline.errors import UsageError

Layer = tuple[Tensor, Tensor]
"""Weight and bias, as torch has them."""
Arrays = dict[str, Float32]

_EPSILON = 1e-4
"""Epsilon of YAMNet's batch norms; they have a shift (beta), but no scale (gamma)."""


def read_keras(path: Path, *, expected: str) -> list[Layer]:
    """Return the layers of weights that Keras has saved as HDF5, in the order of the network.

    Layers are named `layer1/conv`, `layer2/depthwise_conv`, `layer2/pointwise_conv`, ... Each has a
    batch norm, which is folded into the weights of its convolution. A layer with another name is
    the head.

    UsageError, with what was `expected`, where the file is another.
    """
    arrays = _arrays(path, expected)
    kernels = [name for name in arrays if name.endswith("kernel")]
    heads = [name for name in kernels if not name.startswith("layer")]
    try:
        return [
            *(_convolution(name, arrays) for name in sorted(set(kernels) - set(heads), key=_place)),
            *(_head(name, arrays) for name in heads),
        ]
    except KeyError as error:
        raise UsageError(f"weights {str(path)!r}: has no {error}; expected {expected}") from error


def _place(name: str) -> tuple[int, str]:
    """Return where a layer stands: by number, a depthwise convolution before the pointwise one."""
    number = re.match(r"layer(\d+)/", name)
    return int(number[1]) if number else 0, name


def _convolution(kernel: str, arrays: Arrays) -> Layer:
    norm = kernel.rpartition("/")[0] + "/bn"
    mean, variance, shift = (
        arrays[f"{norm}/{kind}"] for kind in ("moving_mean", "moving_variance", "beta")
    )
    gain = 1 / np.sqrt(variance + _EPSILON)
    # Keras has height, width, in, out; of a depthwise convolution height, width, channels, 1.
    order = (2, 3, 0, 1) if kernel.endswith("depthwise_kernel") else (3, 2, 0, 1)
    weight = arrays[kernel].transpose(order) * gain[:, None, None, None]
    return _tensor(weight), _tensor(shift - mean * gain)


def _head(kernel: str, arrays: Arrays) -> Layer:
    return _tensor(arrays[kernel].T), _tensor(arrays[kernel.rpartition("/")[0] + "/bias"])


def _tensor(values: Float32) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _arrays(path: Path, expected: str) -> Arrays:
    """Return all arrays of a file, by `_named`."""
    try:
        import h5py
    except ImportError as error:
        raise UsageError(
            f"weights {str(path)!r}: HDF5 is read by h5py, which is not installed: pip install h5py"
        ) from error
    found: Arrays = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[_named(name)] = item[()].astype(np.float32)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except OSError as error:
        raise UsageError(f"weights {str(path)!r}: not an HDF5 file; expected {expected}") from error
    return found


def _named(path: str) -> str:
    """Return a layer's name and its array's, from a path in which Keras repeats the layer's name.

    >>> _named("layer1/conv/layer1/conv/kernel:0"), _named("dense/dense/bias:0")
    ('layer1/conv/kernel', 'dense/bias')
    """
    *layer, kind = path.split("/")
    half = layer[len(layer) // 2 :]
    is_twice = len(layer) % 2 == 0 and layer[: len(layer) // 2] == half
    return "/".join([*(half if is_twice else layer), kind.partition(":")[0]])
