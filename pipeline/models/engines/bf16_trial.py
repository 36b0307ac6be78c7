"""Whether a network's fast arithmetic is right on this machine, tried with one batch.

Bfloat16 has 8 bits of precision, so its results differ from float32's; and on some processors it is
simply wrong (oneDNN's bf16 convolution on CPUs with AMX returns NaN for narrow inputs). The two are
told apart by a third run: float32 in which inputs, weights, outputs and gradients are rounded to
bfloat16. That is all that bfloat16 explains. What is much further away is an error, and the network
then runs in float32. Each layer is compared by itself, on what float32 brings to it: in a deep
network with batch norm, rounding alone may move the logits by half, and hides a wrong layer.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.models.engines.bf16_rounding import (
    round_both_ways,
    rounded_to_bf16,
    with_rounded_weights,
)
from pipeline.models.engines.precision import autocast

_DIRT_BYTES = [1 << power for power in range(12, 29)]  # 4 KiB to 256 MiB

_MOST_WINDOWS = 32
_MOST_VALUES = 1 << 19  # in them; activations of three steps take up to a thousand times that

_TIMES_EXPLAINED = 4.0  # bf16's error against that of rounding alone; seen: 0.9 to 1.4
_FLOOR = 0.1  # of a tensor's own size, or of what its size would be if all were alike; seen: 0.05


@dataclass(frozen=True)
class Trial:
    """One batch through a network, forward and backward, in float32 and in bfloat16."""

    fault: str
    """Where bfloat16 differs by more than its rounding explains; empty where it does not."""
    f32_s: float
    """Seconds of a step in float32, the faster of two."""
    bf16_s: float
    """Seconds of a step in bfloat16."""

    @property
    def is_right(self) -> bool:
        """Whether bfloat16 computes what it should."""
        return not self.fault


def n_to_try(batch_size: int, input_shape: Sequence[int]) -> int:
    """Return how many windows of a shape a trial takes: a batch, bounded for its memory's sake."""
    return max(2, min(batch_size, _MOST_WINDOWS, _MOST_VALUES // math.prod(input_shape)))


def forward_fault(network: nn.Module, inputs: Tensor) -> str:
    """Return what is wrong with a network's bfloat16 where it only serves; empty if nothing is."""
    device = inputs.device
    _make_memory_dirty(device)
    with torch.inference_mode():
        exact = network(inputs)
        with autocast(device, "bf16"):
            low = network(inputs)
        rounded = rounded_to_bf16(network)(inputs)
    return output_fault(exact, low, rounded) or layer_fault(network, inputs, training=False)


def output_fault(exact: Any, low: Any, rounded: Any) -> str:
    """Compare a network's outputs: a tensor each, or tuples of logits and embeddings."""
    names = ("the logits", "the embeddings")
    parts = [
        dict(zip(names, out if isinstance(out, tuple | list) else [out], strict=False))
        for out in (exact, low, rounded)
    ]
    return disagreement(*parts)


def step_trial(model: nn.Module, windows: Tensor, targets: Tensor) -> Trial:
    """Compare a training step in both arithmetics (see `step_fault`), and time it in each."""
    fault = step_fault(model, windows, targets)
    with _random_state_kept(windows.device), torch.enable_grad():
        # The comparison has prepared the kernels of both, which the first step of a kind pays for.
        _, f32_s = _gradients(copy.deepcopy(model), windows, targets, "f32")
        _, bf16_s = _gradients(copy.deepcopy(model), windows, targets, "bf16")
    return Trial(fault, f32_s, bf16_s)


def step_fault(model: nn.Module, windows: Tensor, targets: Tensor) -> str:
    """Return where a training step is wrong in bfloat16, forward or backward; empty if nowhere.

    The model, its running statistics and torch's random state stay as they are. Dropout is off, as
    it would draw other numbers in another type.
    """
    _make_memory_dirty(windows.device)
    with _random_state_kept(windows.device), torch.enable_grad():
        exact, _ = _gradients(copy.deepcopy(model), windows, targets, "f32")
        low, _ = _gradients(copy.deepcopy(model), windows, targets, "bf16")
        rounded, _ = _gradients(rounded_to_bf16(model), windows, targets, "f32")
        return disagreement(exact, low, rounded) or layer_fault(model, windows)


def _random_state_kept(device: torch.device) -> AbstractContextManager[None]:
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def _make_memory_dirty(device: torch.device) -> None:
    """Fill free memory with NaN, and free it again.

    A kernel that reads what it has not written is right as long as this is zero, which fresh memory
    is: oneDNN's wrong convolution was right for the first steps of a training.
    """
    blocks = [torch.full((n // 4,), float("nan"), device=device) for n in _DIRT_BYTES]
    del blocks


def layer_fault(model: nn.Module, windows: Tensor, *, training: bool = True) -> str:
    """Compare every layer that has weights by itself; return the first fault, empty if none.

    A layer's input is what float32 brings to it, in the type that bfloat16 would give it; the
    gradient that comes back to it is noise of its output's shape. Of layers that are alike and get
    alike inputs, as the blocks of a transformer, one is compared: the same kernel computes them.
    """
    copied = _without_dropout(copy.deepcopy(model).train(training))
    windows = windows.clone()  # one of inference mode takes no gradient
    layers = {
        name: module
        for name, module in copied.named_modules()
        if not any(module.children()) and any(True for _ in module.parameters())
    }
    types: dict[str, torch.dtype] = {}
    compared: set[Hashable] = set()
    faults: list[str] = []

    def note_type(name: str, _module: nn.Module, inputs: Any) -> None:
        types[name] = inputs[0].dtype

    def compare(name: str, layer: nn.Module, inputs: Any, _output: Any) -> None:
        low_type = types.pop(name, None)  # a layer's first call counts
        kind = _kind_of(layer, inputs[0], low_type)
        if low_type is None or kind in compared or faults:
            return
        compared.add(kind)
        with torch.enable_grad():
            found = _fault_of_layer(layer, inputs[0], low_type)
        faults.extend([f"{name}: {found}"] if found else [])

    with torch.no_grad():
        handles = [m.register_forward_pre_hook(partial(note_type, n)) for n, m in layers.items()]
        with autocast(windows.device, "bf16"):
            copied(windows)
        for handle in handles:
            handle.remove()
        for name, layer in layers.items():
            layer.register_forward_hook(partial(compare, name))
        copied(windows)
    return faults[0] if faults else ""


def _kind_of(layer: nn.Module, inputs: Tensor, low_type: torch.dtype | None) -> Hashable:
    """Return what decides which kernel computes a layer: its settings, its sizes, its input."""
    sizes = tuple((tuple(one.shape), one.requires_grad) for one in layer.parameters())
    return type(layer), str(layer), sizes, tuple(inputs.shape), inputs.stride(), low_type


def _fault_of_layer(layer: nn.Module, inputs: Tensor, low_type: torch.dtype) -> str:
    """Compare one layer's output and gradients; its hooks are not called."""
    if not inputs.is_floating_point():
        return ""
    noise = torch.Generator(inputs.device).manual_seed(0)
    exact = _passes(layer, inputs, "f32", noise.clone_state())
    low = _passes(layer, inputs.to(low_type), "bf16", noise.clone_state())
    by_rounding, low_inputs = with_rounded_weights(layer), inputs.bfloat16().float()
    rounded = _passes(by_rounding, low_inputs, "f32", noise.clone_state(), rounds=True)
    return disagreement(exact, low, rounded)


def _passes(
    layer: nn.Module,
    inputs: Tensor,
    precision: str,
    noise: torch.Generator,
    *,
    rounds: bool = False,
) -> dict[str, Tensor]:
    """Return a layer's output, and the gradients that noise at its output gives."""
    inputs = inputs.detach().requires_grad_()
    with autocast(inputs.device, precision):
        output = layer.forward(inputs)
    output = _first(output)
    with torch.no_grad(), autocast(inputs.device, precision):
        served = _first(layer.forward(inputs)).float()  # libraries have other kernels without grad
    if rounds:
        output = round_both_ways(output)
    coming = torch.randn(output.shape, generator=noise, device=noise.device).to(output.dtype)
    weights = {name: one for name, one in layer.named_parameters() if one.requires_grad}
    gradients = torch.autograd.grad(output, [inputs, *weights.values()], coming, allow_unused=True)
    found = zip(("its input", *weights), gradients, strict=True)
    return {"its output": output.detach().float(), "its output without gradients": served} | {
        f"the gradient of {name}": value.float() for name, value in found if value is not None
    }


def disagreement(
    exact: Mapping[str, Tensor],
    low: Mapping[str, Tensor],
    rounded: Mapping[str, Tensor],
) -> str:
    """Return the first tensor whose error rounding does not explain, in words; empty if none.

    Parameters
    ----------
    exact
        Tensors by name, computed in float32.
    low
        The same, computed in the arithmetic that is to be proved.
    rounded
        The same, computed in float32 with every intermediate rounded.

    Notes
    -----
    A tensor's error is the norm of its difference from `exact`. Allowed is four times the error of
    rounding, and a tenth of the tensor: for gradients that are zero but for rounding (a bias before
    a batch norm), of what a tensor of its size has on the average.
    """
    sizes = sum(values.numel() for values in exact.values())
    typical = sum(float(values.square().sum()) for values in exact.values()) / max(1, sizes)
    for name, values in exact.items():
        size = max(float(values.norm()), (typical * values.numel()) ** 0.5)
        error = float((low[name].float() - values).norm())
        explained = float((rounded[name].float() - values).norm())
        if not error <= _TIMES_EXPLAINED * explained + _FLOOR * size:  # NaN is no agreement either
            return f"{name} {_off_by(error, size)} (rounding explains {explained / size:.0%})"
    return ""


def _first(output: Any) -> Tensor:
    """Return what a layer passes on: of recurrent ones the sequence, not the state."""
    first: Tensor = output[0] if isinstance(output, tuple) else output
    return first


def _off_by(error: float, size: float) -> str:
    ratio = error / size if size else float("inf")
    return f"{ratio:.0%} off" if ratio < 100 else "far off or no number"


def _gradients(
    model: nn.Module, windows: Tensor, targets: Tensor, precision: str
) -> tuple[dict[str, Tensor], float]:
    """Return logits and the gradients of all weights by name, and the seconds that they took."""
    _without_dropout(model.train())
    began = perf_counter()
    with autocast(windows.device, precision):
        logits = model(windows).float()
    known = targets.nan_to_num()  # a label that is not known plays no part here
    nn.functional.binary_cross_entropy_with_logits(logits, known).backward()  # type: ignore[no-untyped-call]
    if windows.device.type == "cuda":
        torch.cuda.synchronize()
    seconds = perf_counter() - began
    found = {"the logits": logits.detach()}
    for name, weight in model.named_parameters():
        if weight.grad is not None:
            found[f"the gradient of {name}"] = weight.grad
    return found, seconds


def _without_dropout(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if "drop" in type(module).__name__.lower():
            module.eval()
        if isinstance(module, nn.RNNBase):
            module.dropout = 0.0
    return model
