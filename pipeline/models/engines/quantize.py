"""A network and windows of its front end in, its graph in int8 out: weights and activations.

Static post-training quantisation by nncf: it runs the windows through the network, takes the range
of every activation from that, and corrects the biases for what rounding does to the means.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import logging
import tempfile
import warnings
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipeline.arrays import Float32
from pipeline.errors import UsageError
from pipeline.models.engines.graphs import (
    BATCH,
    INT8_FILES,
    NotConvertible,
    converted,
    int8_logits,
    openvino,
)
from pipeline.models.model import ModelCard, Tagger, load_preparation, read_weights, save_card
from pipeline.store.folder import Folder

PRESET = "mixed"
"""Activations that are never negative take all 256 steps above zero, others both sides of it."""
_ATTENTION = {"Softmax", "ScaledDotProductAttention"}


def quantized_graph(tagger: Tagger, windows: npt.NDArray[Any]) -> dict[str, bytes]:
    """Return the files of a model's network in int8, by name.

    Parameters
    ----------
    tagger
        The model.
    windows
        What its front end gives, as stored, `[n, n_rows, n_frames]`: some hundred, of many clips.
        What does not fill a batch is left out.

    Raises
    ------
    UsageError
        Where nncf or OpenVINO is missing, the network does not convert, or there are fewer windows
        than fill a batch.
    """
    if len(windows) < BATCH:
        raise UsageError(f"{len(windows)} windows to calibrate with: expected at least {BATCH}")
    try:
        model = converted(tagger)
    except NotConvertible as why:
        raise UsageError(f"{tagger.architecture.name} has no int8 graph: {why}") from why
    nncf = _nncf()
    batches = [
        _prepared(tagger, windows[start : start + BATCH])
        for start in range(0, len(windows) - BATCH + 1, BATCH)
    ]
    kinds = {op.get_type_name() for op in model.get_ops()}
    with _quietly():
        model = nncf.quantize(
            model,
            nncf.Dataset(batches),
            subset_size=len(batches),
            preset=nncf.QuantizationPreset(PRESET),
            fast_bias_correction=False,  # layer by layer: a tenth of the error, twice the time
            target_device=nncf.TargetDevice.CPU,
            model_type=nncf.ModelType.TRANSFORMER if kinds & _ATTENTION else None,
        )
    return _files(model)


def save_quantized(
    source: Folder, card: ModelCard, files: dict[str, bytes], out: Folder, calibration: Any
) -> ModelCard:
    """Write a model's folder with an int8 graph beside the weights; return its card.

    Parameters
    ----------
    source
        The model's folder.
    card
        The model's.
    files
        The graph's.
    out
        The new folder.
    calibration
        What `files` was calibrated with, in plain values.
    """
    quantized = {
        "model_id": card.model_id,
        "calibration": calibration,
        "preset": PRESET,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        **{package: version(package) for package in ("openvino", "nncf")},
    }
    weights = read_weights(source.uri, card)
    graph = openvino().Core().read_model(*(files[name] for name in INT8_FILES))
    logits = int8_logits(graph, load_preparation(source.uri, card))
    quantized["example_logits"] = logits.round(4).tolist()
    new = replace(card, model_id=f"{card.model_id}-int8", quantized=quantized)
    out.delete("model.json")  # what it names is about to change
    out.write_bytes("model.safetensors", weights)
    for name, data in files.items():
        out.write_bytes(name, data)
    save_card(out, new)
    return new


@torch.inference_mode()
def _prepared(tagger: Tagger, windows: npt.NDArray[Any]) -> Float32:
    return np.ascontiguousarray(tagger.prepared(torch.from_numpy(windows.copy())).numpy())


def _nncf() -> Any:
    openvino()  # first: it keeps nncf's telemetry out too
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # "no CUDA": not needed
    try:
        with _quietly():
            nncf = importlib.import_module("nncf")
    except ImportError as error:
        raise UsageError(
            f"jobs.quantize needs nncf, which is not here; pip install '.[int8]' ({error})"
        ) from error
    logging.getLogger("nncf").setLevel(logging.ERROR)  # its own function sets others' handlers, too
    return nncf


@contextlib.contextmanager
def _quietly() -> Any:
    """Keep nncf's bars off the terminal, and its warnings of what other libraries deprecate."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def _files(model: Any) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in INT8_FILES]
        openvino().save_model(model, paths[0], compress_to_fp16=False)
        return {path.name: path.read_bytes() for path in paths}
