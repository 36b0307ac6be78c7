"""The names that a user may give: of models, of ways to train, of what runs them.

Nothing heavy is imported, as `--help` and the configs need the names alone. What each stands for is
in the module that does it, and tests hold the two together (`tests/models/test_names.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

from pipeline.seams import declaring

STARTER = "starter"
"""The model that ships in the package (`starter`)."""

Engine = Literal["auto", "torch", "openvino"]
"""What runs a model (`engines`)."""
Precision = Literal["auto", "f32", "bf16", "int8"]
"""Arithmetic of a model that tags (`engines`)."""

TrainPrecision = Literal["auto", "f32", "bf16"]
"""Of a training. auto: bf16 where this machine is fast at it and it is right for this network."""
Selection = Literal["s2-loss", "s1-loss", "map", "f1", "top1", "mae"]
"""Figures that may choose the epoch that is kept (`selection`); of a regression `mae` alone."""
Task = Literal["tags", "regression"]
"""What a network is trained for: scores of classes, or values of the timbral descriptors."""
Output = Literal["linear", "sigmoid"]
"""Of a regression: the last layer's values as they are, or their sigmoids."""
Loss = Literal["sigmoid", "softmax", "triplet"]
"""Of a training: classes each by itself, or that exclude each other (`losses`), or each by itself
and embeddings of a class close together (`triplets`)."""
Sampling = Literal["plain", "dynamic", "persistent"]
"""How an epoch draws its windows (`sampling`)."""
Balance = Literal["none", "sqrt", "full"]
"""How much of a class's rarity is made up for (`sampling`)."""
Pool = Literal["mean", "max", "attention"]
"""How frames become a window's logits (`networks.parts.pooling`)."""
AUGMENTATIONS = (
    *("masks", "tilt", "mix", "shift", "noise", "pitch", "randomise"),
    *declaring("pipeline.training.augmenting.augmentations", "AUGMENTATION"),
)
"""On what is not samples, `shift` is a window that begins elsewhere in its clip, or is rotated
where it fills its clip (`windows`). `randomise` is the chain of `augmenting.randomise`, in the
loader's processes."""

INPUTS = tuple(
    name.replace("_", "-")
    for name in declaring("pipeline.audio.spectra.front_ends", "NETWORK_INPUT")
)
"""Front ends that a network of log-mels may have instead (`input_kinds.network_inputs`)."""

PRETRAINED = "MIT/ast-finetuned-audioset-10-10-0.4593"
"""The published AST, trained on AudioSet; named in messages, never downloaded here."""
PROBE = "probe"
"""The network of frozen encoders (`networks.probe`)."""
CLASSICAL = ("svm", "random-forest", "mlp", "knn", "linear", "gradient-boosting")
"""Models that scikit-learn fits (`networks.classical`)."""
NETWORKS = (
    *("cnn1d-raw", "cnn2d-mfcc", "cnn1d-descriptors", "crnn", "shortchunk", "shortchunk-res"),
    *("compact", "ast", *CLASSICAL),
    *("fcn", "fcn4", "musicnn", "samplecnn", "samplecnn-se", "harmonic-cnn", "cnn-sa"),
    *("cnn1d-mel", "timbre-pitch"),
    *("timbral-small", "timbral-mid", "timbral-7-filters", "timbral-big"),
)
"""Our own networks, for --help; `networks.registry` knows those of new files as well."""
FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {one: () for one in declaring("pipeline.models.pretrained", "FAMILY")}
    | {
        "ast": ("ast-0.4593",),
        "ced": ("ced-mini", "ced-tiny", "ced-small", "ced-base"),
        "efficientat": ("mn04", "mn10", "mn40"),
        "fcn": ("fcn-jamendo",),
        "musicnn": ("musicnn-jamendo",),
        "panns": ("cnn14", "mobilenetv1"),
        "yamnet": ("yamnet", "yamnet-float"),
    }
)
"""Families of pretrained taggers and their variants, the default one first (`pretrained`); the
variants of a family that is not listed here are known when it is imported."""
IMAGENET = "imagenet"
"""The value of `weights` that asks timm for the weights it publishes."""


def known_names() -> list[str]:
    """Return the names of our own networks, in their order; timm's are not among them."""
    return [*NETWORKS, PROBE, *(name for names in FAMILIES.values() for name in names)]


DEFAULT_SELECTION: Selection = "s2-loss"
"""How the report's models chose their epoch."""
ENGINES, PRECISIONS = get_args(Engine), get_args(Precision)
POOLS, SELECTIONS = get_args(Pool), get_args(Selection)
