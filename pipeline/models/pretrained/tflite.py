"""A TFLite file of a plain network in, the weight and bias of each of its layers out.

OpenVINO reads such files, so TensorFlow is not needed. Weights that are stored as int8 come as the
floats that they stand for. Activations are floats in the networks here, so what their rounding
does to scores is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.arrays import Float32
from pipeline.errors import UsageError
from pipeline.models.engines.graphs import openvino

Layer = tuple[Tensor, Tensor]
"""Weight and bias, as torch has them."""

_MAGIC = b"TFL3"
_LAYERS = ("Convolution", "GroupConvolution", "MatMul")


def read_tflite(path: Path, *, expected: str) -> list[Layer]:
    """Return the layers with a bias, in the order in which they run; other products are left out.

    A convolution's weight is `[n_out, n_in, height, width]`, where every channel has its own one
    `[n, 1, height, width]`, and a dense layer's `[n_out, n_in]`.

    UsageError, with what was `expected`, where the file is none of TFLite or has no such layers.
    """
    if path.read_bytes()[4:8] != _MAGIC:
        raise UsageError(f"weights {str(path)!r}: not a TFLite file; expected {expected}")
    try:
        model = openvino().Core().read_model(path)
    except RuntimeError as error:
        raise UsageError(
            f"weights {str(path)!r}: a TFLite file that is cut off or damaged; expected {expected}"
        ) from error
    found = [layer for op in model.get_ordered_ops() for layer in _layer(op)]
    if not found:
        raise UsageError(f"weights {str(path)!r}: no layers in it; expected {expected}")
    return found


def _layer(op: Any) -> Iterator[Layer]:
    if op.get_type_name() not in _LAYERS:
        return
    followers = [one.get_node() for one in op.output(0).get_target_inputs()]
    add = next((one for one in followers if one.get_type_name() == "Add"), None)
    weight = _values(op.input_value(1))
    bias = None if add is None else _constant(add.input_value(1))
    if weight is None or bias is None or bias.size != _width(op, weight):
        return
    if op.get_type_name() == "GroupConvolution":
        weight = weight[:, 0]  # a group is one channel
    elif op.get_type_name() == "MatMul" and not op.get_attributes()["transpose_b"]:
        weight = weight.T
    yield torch.from_numpy(weight.copy()), torch.from_numpy(bias.reshape(-1).copy())


def _width(op: Any, weight: npt.NDArray[Any]) -> int:
    is_plain = op.get_type_name() == "MatMul" and not op.get_attributes()["transpose_b"]
    return int(weight.shape[1 if is_plain else 0])


def _constant(output: Any) -> npt.NDArray[Any] | None:
    node = output.get_node()
    return node.get_data() if node.get_type_name() == "Constant" else None


def _values(output: Any) -> Float32 | None:
    """Return what a part of a graph without inputs comes to; None where it has one."""
    ov = openvino()
    nodes, left = [], [output.get_node()]
    while left:
        node = left.pop()
        nodes.append(node.get_type_name())
        left += [one.get_node() for one in node.input_values()]
    if "Parameter" in nodes:
        return None
    graph = ov.Model([output], [])
    # In float32 throughout: by itself, OpenVINO may compute in bfloat16.
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found: Float32 = compiled({})[0]
    return found.astype(np.float32)
