"""A model's folder in, an engine out: stored windows to scores, the fastest way of this machine.

On a CPU that is OpenVINO, and torch for what OpenVINO cannot take; on a GPU it is torch. Windows
are prepared by torch everywhere, with the same numbers: 1 % of a resnet50's time.
"""

from __future__ import annotations

import gc
import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit
from torch import Tensor, nn

from pipeline.arrays import Float32
from pipeline.audio.spectra.windows import JoinedWindows
from pipeline.errors import SpecMismatch, UsageError
from pipeline.models.engines.bf16_trial import forward_fault
from pipeline.models.engines.compiler import NOT_COMPILED, compiler_fault
from pipeline.models.engines.engine_choice import check_names, wants_int8
from pipeline.models.engines.graphs import (
    BATCH,
    Graph,
    NotConvertible,
    converted,
    example_of,
    first_line,
    int8_is_right,
    proved_graph,
    read_graph,
)
from pipeline.models.engines.precision import autocast, joined_notes, resolved
from pipeline.models.model import (
    ModelCard,
    Preparation,
    Tagger,
    load_card,
    load_model,
    load_preparation,
)
from pipeline.models.networks.parts.embedding import Outputs

_GPU_BATCH = 256
_AHEAD = 2  # batches that wait for a GPU
_log = logging.getLogger(__name__)

Windows = npt.NDArray[Any] | JoinedWindows


class Engine(Protocol):
    """A model, loaded once, for one thread at a time."""

    about: dict[str, str]
    """name (torch or openvino), precision (f32, bf16 or int8) and note, as in run.json."""

    def scores(self, windows: Windows) -> tuple[Float32, Float32 | None]:
        """Return scores and embeddings of windows as they are stored, `[n, n_rows, n_frames]`.

        Scores are the sigmoids, `[n, n_classes]`; embeddings what the last linear layer sees,
        `[n, n_features]`, and None where they were not asked for. A batch is asked of `windows` at
        a time; `JoinedWindows` are cut then, while a GPU still computes on those before.
        """


def make_engine(
    model_uri: str,
    *,
    engine: str = "auto",
    precision: str = "auto",
    gpu: bool = False,
    embeddings: bool = False,
) -> Engine:
    """Load a model.

    Parameters
    ----------
    model_uri
        Its folder.
    engine
        One of `engine_choice.ENGINES`. auto: openvino on a CPU, where it is installed and takes the
        network.
    precision
        One of `engine_choice.PRECISIONS`. auto: int8 in a folder from jobs.quantize, whose model_id
        says so; else bf16 where the hardware is fast at it; else f32.
    gpu
        Whether to run on the GPU.
    embeddings
        Whether to return these as well.

    Raises
    ------
    UsageError
        Where these do not go together, or the model has no embeddings.
    SpecMismatch
        Where the files in the folder do not.
    """
    card = load_card(model_uri)
    check_names(engine, precision, gpu=gpu)
    if gpu and not torch.cuda.is_available():
        raise UsageError("--gpu: torch finds no GPU here")
    note = ""
    if wants_int8(card, engine, precision, gpu=gpu):
        try:
            made = _int8_engine(model_uri, card, embeddings=embeddings)
        except NotConvertible as why:
            raise UsageError(f"{card.model_id}: not by openvino: {why}") from why
        if made is not None:
            return made
        note, precision = "the floats that int8 was made of, as int8 is wrong here", "auto"
    return engine_of(
        load_model(model_uri)[0],
        card.model_id,
        engine=engine,
        precision=precision,
        gpu=gpu,
        embeddings=embeddings,
        note=note,
    )


def engine_of(
    tagger: Tagger,
    name: str,
    *,
    engine: str = "auto",
    precision: str = "auto",
    gpu: bool = False,
    embeddings: bool = False,
    note: str = "",
) -> Engine:
    """Return an engine of a network in memory, which it takes over; see `make_engine`.

    `name` is what errors call it.
    """
    if engine != "torch" and not gpu:
        try:
            return _converted_engine(tagger, precision, embeddings=embeddings, note=note)
        except NotConvertible as why:
            note = f"not by openvino: {why}"
            if engine == "openvino":
                raise UsageError(f"{name}: {note}") from why
    device = torch.device("cuda" if gpu else "cpu")
    return _torch_engine(tagger, device, precision, embeddings=embeddings, note=note)


@contextmanager
def kept_threads() -> Iterator[None]:
    """Give torch back its number of threads: a model on the CPU takes one, in the whole process."""
    n_threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


class TorchEngine:
    """A network in torch, as it is; validation makes one of the model in training.

    On a GPU batches are copied from pinned memory while it works on those before.

    Parameters
    ----------
    tagger
        The model, in evaluation mode and on the device.
    device
        Where it runs.
    precision
        f32, or bf16 where that was compared with float32 on this device before.
    embeddings
        Whether `scores` returns these as well.
    note
        What `about` is to say of the choice.
    """

    def __init__(
        self,
        tagger: Tagger,
        device: torch.device,
        *,
        precision: str,
        embeddings: bool = False,
        note: str = "",
    ) -> None:
        self._is_gpu = device.type == "cuda"
        self._preparation, self._device, self._precision = tagger, device, precision
        # no hook for embeddings where none are wanted: it would stay in a model that trains on
        self._network: Any = Outputs(tagger.backbone) if embeddings else tagger.backbone
        self._batch = _GPU_BATCH if self._is_gpu else BATCH
        self._is_compiled = False
        self.about = {"name": "torch", "precision": precision, "note": note}
        found = self._outputs(example_of(tagger, n=1).to(device))
        self._sizes = _sizes(tagger, [len(part[0]) for part in found], embeddings=embeddings)

    def scores(self, windows: Windows) -> tuple[Float32, Float32 | None]:
        """Return scores (of a regressor its targets), and embeddings where they were asked for."""
        found: list[list[Tensor]] = []
        done: deque[Any] = deque()
        for start in range(0, len(windows), self._batch):
            part = windows[start : start + self._batch]
            if len(done) == _AHEAD:
                done.popleft().synchronize()
            outputs = self._outputs(self._prepared(part))
            found.append([output[: len(part)] for output in outputs[: len(self._sizes)]])
            if self._is_gpu:
                done.append(torch.cuda.Event())  # type: ignore[no-untyped-call]
                done[-1].record()
        if not found:
            none = [np.zeros((0, size), np.float32) for size in self._sizes]
            return _scores(none, self._preparation)
        values = [torch.cat(parts).cpu().numpy() for parts in zip(*found, strict=True)]
        return _scores(values, self._preparation)

    def _prepared(self, windows: npt.NDArray[Any]) -> Tensor:
        n = self._batch if self._is_compiled else len(windows)
        dtype = torch.from_numpy(np.zeros(0, windows.dtype)).dtype
        batch = torch.zeros((n, *windows.shape[1:]), dtype=dtype, pin_memory=self._is_gpu)
        batch.numpy()[: len(windows)] = windows
        with torch.inference_mode():
            return self._preparation.prepared(batch.to(self._device, non_blocking=True))

    def _outputs(self, prepared: Tensor) -> list[Tensor]:
        with torch.inference_mode(), autocast(self._device, self._precision):
            outputs = self._network(prepared)
            return [one.float() for one in (outputs if isinstance(outputs, tuple) else (outputs,))]

    def compile(self) -> None:
        """Compile the network for batches of one size; where that fails `about` says it."""
        eager = self._network
        self._network, self._is_compiled = torch.compile(eager, dynamic=False), True
        silence = np.zeros((1, *self._preparation.architecture.input_shape), np.float32)
        try:
            self._outputs(self._prepared(silence))
        except Exception as error:  # no compiler, no Triton, a network it cannot: all differ
            self._network, self._is_compiled = eager, False
            why = f"{NOT_COMPILED}{compiler_fault() or first_line(error)}"
            self.about["note"] = joined_notes(self.about["note"], why)
            _log.warning("%s", why)


class OpenVinoEngine:
    """A network in OpenVINO, on one core of a CPU."""

    def __init__(
        self, preparation: Preparation, graph: Graph, *, embeddings: bool = False, note: str = ""
    ) -> None:
        torch.set_num_threads(1)
        n_classes = preparation.architecture.n_classes
        if graph.sizes[0] != n_classes:
            raise SpecMismatch(f"a graph of {graph.sizes[0]} classes; model.json has {n_classes}")
        self.about = {"name": "openvino", "precision": graph.precision, "note": note}
        self._preparation, self._graph = preparation, graph
        self._sizes = _sizes(preparation, graph.sizes, embeddings=embeddings)

    def scores(self, windows: Windows) -> tuple[Float32, Float32 | None]:
        """Return scores, and embeddings where they were asked for."""
        found = [np.zeros((len(windows), size), np.float32) for size in self._sizes]
        for start in range(0, len(windows), BATCH):
            part = torch.from_numpy(windows[start : start + BATCH].copy())  # it may be read-only
            with torch.inference_mode():
                outputs = self._graph.outputs(self._preparation.prepared(part))
            for values, output in zip(found, outputs, strict=False):
                values[start : start + BATCH] = output
        return _scores(found, self._preparation)


def _torch_engine(
    tagger: Tagger, device: torch.device, precision: str, *, embeddings: bool, note: str
) -> TorchEngine:
    """Return an engine in a precision that is proved here, compiled where it is on a GPU."""
    if device.type == "cpu":
        torch.set_num_threads(1)  # two processes of one thread beat one of two
    tagger.eval().to(device)
    proved, why = resolved(
        "f32" if tagger.is_classical else precision,
        device,
        lambda: forward_fault(tagger.backbone, example_of(tagger, n=BATCH).to(device)),
    )
    made = TorchEngine(
        tagger, device, precision=proved, embeddings=embeddings, note=joined_notes(note, why)
    )
    if device.type == "cuda" and not tagger.is_classical:
        made.compile()
    return made


def _converted_engine(
    tagger: Tagger, precision: str, *, embeddings: bool, note: str
) -> OpenVinoEngine:
    graph, why = proved_graph(converted(tagger), tagger, precision=precision)
    tagger.backbone = nn.Identity()
    gc.collect()  # the tracer leaves circles, and in them torch's weights
    note = joined_notes(note, why)
    return OpenVinoEngine(tagger, graph, embeddings=embeddings, note=note)


def _int8_engine(uri: str, card: ModelCard, *, embeddings: bool) -> OpenVinoEngine | None:
    """Return an engine of the int8 graph; None where it is not what was made of it elsewhere."""
    graph, preparation = Graph(read_graph(uri, card), precision="int8"), load_preparation(uri, card)
    if not int8_is_right(graph, preparation, card):
        return None
    return OpenVinoEngine(preparation, graph, embeddings=embeddings)


def _sizes(preparation: Preparation, sizes: list[int], *, embeddings: bool) -> list[int]:
    """Return the widths of the outputs that are asked for, of those that there are."""
    if embeddings and len(sizes) < 2:
        name = preparation.architecture.name
        raise UsageError(f"{name} has no embeddings: no linear layer at its end sees a vector")
    return sizes[: 1 + embeddings]


def _scores(outputs: list[Float32], preparation: Preparation) -> tuple[Float32, Float32 | None]:
    if preparation.architecture.output == "linear":
        return outputs[0], outputs[1] if len(outputs) > 1 else None
    # One value at a time: torch's vectors end in another last bit where an array's end is near, and
    # a track's scores must not depend on which tracks stand beside it.
    scores: Float32 = expit(outputs[0].astype(np.float64)).astype(np.float32)
    return preparation.silenced(scores), outputs[1] if len(outputs) > 1 else None
