"""A model's network in, OpenVINO's graph of it out, and what runs it: prepared windows to logits.

OpenVINO runs a network on a CPU two to four times as fast as torch does. Its graph is made of the
same weights when a model is loaded, or read, in int8, as jobs.quantize has left it.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.arrays import Float32
from pipeline.errors import SpecMismatch, UsageError
from pipeline.models.engines.bf16_rounding import rounded_to_bf16
from pipeline.models.engines.bf16_trial import disagreement, output_fault
from pipeline.models.model import ModelCard, Preparation, Tagger
from pipeline.models.networks.parts.embedding import Outputs
from pipeline.models.starter import model_uri
from pipeline.store.folder import Folder

INT8_FILES = ("model.int8.xml", "model.int8.bin")
BATCH = 8
"""Windows that a graph takes at once: more are no faster on a core."""


class NotConvertible(Exception):
    """Why a network does not run in OpenVINO."""


class Graph:
    """A graph that is ready to run: one thread, one size of batch."""

    def __init__(self, model: Any, *, precision: str) -> None:
        """Compile it; int8 is in the graph already, and what is not int8 then is as for auto."""
        ov = openvino()
        best = check_precision(precision)
        self.precision = best if precision == "auto" else precision
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": 1,  # two processes of one thread beat one of two
            "ENABLE_CPU_PINNING": False,  # the scheduler knows of the other processes
            "INFERENCE_PRECISION_HINT": "f32" if precision == "f32" else best,
        }
        self._request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()
        shape = tuple(self._request.input_tensors[0].get_shape())
        self._input = np.zeros(shape, np.float32)
        self._request.set_input_tensor(ov.Tensor(self._input, shared_memory=True))
        self.sizes = [int(output.get_shape()[1]) for output in self._request.output_tensors]

    def outputs(self, prepared: Tensor) -> list[Float32]:
        """Return logits, and embeddings where it has some, of at most `BATCH` prepared windows."""
        n = len(prepared)
        self._input[:n] = prepared.numpy()
        self._input[n:] = 0
        self._request.infer()
        return [np.array(output.data[:n]) for output in self._request.output_tensors]


def openvino() -> Any:
    """Return OpenVINO, without the part of it that reports to its makers.

    That part sends, unasked, from `import openvino` on. It is a package of its own, without which
    openvino and nncf do, so it is made to look as if it were not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise NotConvertible(f"it is not installed ({error})") from error


def check_precision(precision: str) -> str:
    """Return what this CPU is best at; UsageError where it lacks what is asked for."""
    best = best_precision()
    if precision == "bf16" and best != "bf16":
        raise UsageError("--precision bf16: this CPU does not have it; take f32")
    return best


def best_precision() -> str:
    """Return bf16 where this CPU computes in it, else f32."""
    capabilities = openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in capabilities else "f32"


def converted(tagger: Tagger) -> Any:
    """Return a model's network as OpenVINO's model, with weights of its own.

    NotConvertible says why there is none.
    """
    if tagger.is_classical:
        raise NotConvertible(f"{tagger.architecture.name} is computed in float64")
    ov, example = openvino(), example_of(tagger, n=BATCH)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # torch.export is to replace tracing, but OpenVINO knows no antialiased resizing there.
            warnings.simplefilter("ignore")
            outputs = Outputs(tagger.backbone)
            traced: Any = torch.jit.trace(outputs, example, check_trace=False, strict=False)  # type: ignore[no-untyped-call]
            return ov.convert_model(traced, example_input=example, input=[list(example.shape)])
    except Exception as error:  # a converter has many ways to say that it cannot
        raise NotConvertible(first_line(error)) from error


def proved_graph(model: Any, tagger: Tagger, *, precision: str) -> tuple[Graph, str]:
    """Return a graph that computes what its network does, and why its precision is another.

    NotConvertible where it does not even in float32.
    """
    prepared = example_of(tagger, n=BATCH)
    with torch.inference_mode():
        expected = tagger.backbone(prepared)
    exact = Graph(model, precision="f32")
    off = np.abs(exact.outputs(prepared)[0] - expected.numpy()).max()
    if not off <= 0.01 * max(1.0, float(expected.abs().max())):
        raise NotConvertible(f"its logits are {off:.2g} off")
    if check_precision(precision) == "f32" or precision == "f32":
        return exact, ""
    graph = Graph(model, precision=precision)
    with torch.inference_mode():
        rounded = rounded_to_bf16(tagger.backbone)(prepared)
    low = torch.from_numpy(graph.outputs(prepared)[0])
    fault = output_fault(expected, low, rounded)
    return (exact, f"float32, as bfloat16 is wrong here: {fault}") if fault else (graph, "")


def int8_logits(model: Any, preparation: Preparation) -> Float32:
    """Return what an int8 graph makes of the example: kept when it is made, to compare with."""
    return Graph(model, precision="int8").outputs(example_of(preparation, n=BATCH))[0]


def int8_is_right(graph: Graph, preparation: Preparation, card: ModelCard) -> bool:
    """Whether an int8 graph computes here what it did where it was made.

    Of folders that do not say what that was, this cannot be told: they are taken as they are.
    """
    kept = (card.quantized or {}).get("example_logits")
    if kept is None:
        return True
    expected = torch.tensor(kept)
    found = torch.from_numpy(graph.outputs(example_of(preparation, n=BATCH))[0])
    logits = [{"the logits": values} for values in (expected, found, expected)]
    return not disagreement(*logits)


def read_graph(uri: str, card: ModelCard) -> Any:
    """Read the int8 graph of a model's folder; SpecMismatch where it is not model.json's."""
    parts = []
    for name in INT8_FILES:
        data = Folder(model_uri(uri)).read_bytes(name)
        if hashlib.sha256(data).hexdigest() != (card.quantized or {})["sha256"].get(name):
            raise SpecMismatch(
                f"{uri}/{name}: not the graph that model.json names; run jobs.quantize again"
            )
        parts.append(data)
    return openvino().Core().read_model(*parts)


def example_of(tagger: Preparation, *, n: int) -> Tensor:
    """Return what a network may see, `[n, ...]`: noise in the range that windows are scaled to."""
    architecture = tagger.architecture
    shape = (1, *architecture.input_size) if tagger.is_image else architecture.input_shape
    noise = torch.randn((n, *shape), generator=torch.Generator().manual_seed(0)) / 2
    return noise.contiguous(memory_format=torch.channels_last) if tagger.is_image else noise


def first_line(error: Exception) -> str:
    """Return an error's type and the first line of what it says."""
    said = str(error).strip().partition("\n")[0][:200]
    return f"{type(error).__name__}: {said}"
