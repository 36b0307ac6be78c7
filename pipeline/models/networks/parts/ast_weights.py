"""The encoder and the classifier of a published AST, for windows and classes of ours.

Published are a folder (config.json and model.safetensors, as Hugging Face lays them out), or the
one file model.safetensors. `transformers` is imported only when one is read.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from pipeline.errors import UsageError
from pipeline.models.names import PRETRAINED as PRETRAINED
from pipeline.selection.vocabulary import audioset_order

CURE = f"get one with: hf download {PRETRAINED} --local-dir FOLDER"
"""What to do where no weights are at hand."""

LANDMARKS = {0: "Speech", 137: "Music", 526: "Field recording"}
"""Names of some rows of AudioSet's classifier: a file that has them elsewhere has its own order."""

_SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "patch_size",
    "frequency_stride",
    "time_stride",
    "qkv_bias",
    "hidden_act",
    "layer_norm_eps",
)
_PUBLISHED = ("audio_spectrogram_transformer.", "embeddings.")  # of the classifier, of the encoder


def is_published(weights: str | None) -> bool:
    """Say whether a path is of a published AST, and not a file of tensors named as ours are.

    What is no file at all counts as published: reading it says what is missing.
    """
    if weights is None or not Path(weights).is_file():
        return weights is not None
    if not weights.endswith(".safetensors"):
        return False
    try:
        with safe_open(weights, "pt") as file:
            return any(name.startswith(_PUBLISHED) for name in file.keys())  # noqa: SIM118
    except SafetensorError:
        return False  # whoever reads it says so


def encoder_sizes(weights: str | None) -> dict[str, Any] | None:
    """Return the settings of a published AST's encoder that are not AST's defaults.

    None where all are, and where the path is not of a published AST. They are needed to build the
    network again without the weights.
    """
    if weights is None or not is_published(weights):
        return None
    transformers = transformers_here()
    with _as_folder(weights) as folder:
        config = transformers.ASTConfig.from_pretrained(folder, local_files_only=True)
    usual = transformers.ASTConfig()
    found = {name: getattr(config, name) for name in _SIZES}
    return {n: value for n, value in found.items() if value != getattr(usual, n)} or None


def read_published(weights: str) -> tuple[Any, Any | None]:
    """Return the encoder, an `ASTModel`, and the classifier, an `ASTMLPHead`, of a published AST.

    The classifier is None where the files hold none.

    Raises
    ------
    UsageError
        Where there is no AST, or tensors of its encoder are missing.
    """
    transformers = transformers_here()
    transformers.utils.logging.disable_progress_bar()  # it would write over the job's own
    try:
        with _as_folder(weights) as folder:
            network, info = transformers.ASTForAudioClassification.from_pretrained(
                folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"weights {weights!r}: not a readable AST ({reason}); {CURE}") from error
    # transformers would leave what is missing random, and only log it
    missing = sorted(n for n in info["missing_keys"] if not n.startswith("classifier."))
    if missing:
        raise UsageError(
            f"weights {weights!r}: {len(missing)} tensors of an AST are not there,"
            f" {missing[0]} for one; {CURE}"
        )
    has_head = not any(name.startswith("classifier.") for name in info["missing_keys"])
    return network.audio_spectrogram_transformer, network.classifier if has_head else None


def rows_of(label_ids: Sequence[Sequence[str]]) -> list[list[int]]:
    """Return, for each class, the rows of AudioSet's classifier that its ids have.

    An id that is no label of AudioSet has none.

    >>> rows_of([["/m/09x0r"], ["/m/02zsn", "/m/05zppz"], ["/m/nothing"]])
    [[0], [2, 1], []]
    """
    row_of = {mid: row for row, mid in enumerate(audioset_order())}
    return [[row_of[mid] for mid in ids if mid in row_of] for ids in label_ids]


@torch.no_grad()
def take_over_head(
    head: nn.Sequential, classifier: Any, label_ids: Sequence[Sequence[str]], *, labels: Any
) -> int:
    """Let a new head begin from a published classifier; return how many classes do.

    Its layer norm is taken as it is: the encoder was trained with it. A class of one id begins from
    that id's row. A class of several begins from the mean of their rows: one linear row cannot be
    "any of them"; the mean keeps what the ids have in common, and drops what tells them apart. The
    row of the largest norm would make "human voice" one of its eight ids. Ids of `none_of` are not
    heeded: training teaches them.

    Parameters
    ----------
    head
        Layer norm, dropout, linear layer; changed in place.
    classifier
        An `ASTMLPHead`. One that has not AudioSet's 527 rows leaves the linear layer new.
    label_ids
        AudioSet's ids of every class.
    labels
        The classifier's own names by row (`id2label`).

    Raises
    ------
    UsageError
        Where the names say that the rows are in another order than AudioSet's.
    """
    head[0].load_state_dict(classifier.layernorm.state_dict())
    if classifier.dense.out_features != len(audioset_order()):
        return 0
    check_order(labels)
    weight, bias = (head[-1].get_parameter(name) for name in ("weight", "bias"))
    rows = rows_of(label_ids)
    for number, own in enumerate(rows):
        if own:
            weight[number] = classifier.dense.weight[own].mean(dim=0)
            bias[number] = classifier.dense.bias[own].mean()
    return sum(map(bool, rows))


def transformers_here() -> Any:
    """Return the library; UsageError where it is not installed."""
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise UsageError(
            "model 'ast' needs transformers, which is not here; pip install '.[ast]'"
        ) from error


def check_order(labels: Any) -> None:
    """Raise UsageError where a classifier's names by row say that its order isn't AudioSet's."""
    for row, name in LANDMARKS.items():
        found = labels[row]
        if found != f"LABEL_{row}" and found != name:  # LABEL_n: it has no names
            raise UsageError(
                f"weights of an AST: row {row} of its classifier is {found!r}, and {name!r} in "
                "AudioSet's order; take weights in that order"
            )


@contextmanager
def _as_folder(weights: str) -> Iterator[str]:
    """Give a folder as `transformers` wants it; for a file, with the configuration beside it."""
    path = Path(weights)
    if path.is_file():
        with TemporaryDirectory() as made:
            (Path(made) / "model.safetensors").symlink_to(path.resolve())
            config = path.with_name("config.json")
            if config.is_file():
                (Path(made) / config.name).symlink_to(config.resolve())
            else:
                n_labels = len(audioset_order())
                transformers_here().ASTConfig(num_labels=n_labels).save_pretrained(made)
            yield made
        return
    if not (path / "config.json").is_file():
        raise UsageError(f"weights {weights!r}: no folder of an AST (no config.json); {CURE}")
    yield weights
