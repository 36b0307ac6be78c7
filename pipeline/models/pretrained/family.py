"""The extension point of pretrained taggers: what a family's module says of itself.

A module of this folder that has a `FAMILY` is a family; nothing else names it. It says how its
networks hear (front end, windows), how they are built, how a file of its authors becomes their
tensors, what their outputs mean (AudioSet ids), and where the files are and under which licence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from torch import Tensor, nn

from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import UsageError
from pipeline.seams import declared


@dataclass(frozen=True)
class WeightsSource:
    """Where a file of weights is, and what it must be."""

    url: str
    """Address of the file itself, http or https."""
    sha256: str | None
    """Of its bytes; None where nobody here has seen the file."""
    size_bytes: int | None = None


@dataclass(frozen=True)
class Variant:
    """One network of a family, by what its authors published of it."""

    name: str
    """Unique over all families: it is the architecture's name, and begins the model_id."""
    sizes: Mapping[str, Any] = field(default_factory=dict)
    """What tells it from the family's other networks; `Family.build` knows the keys."""
    source: WeightsSource | None = None
    """None where it cannot be fetched by an address."""
    n_parameters: int = 0
    published_map: float = 0.0
    """Mean average precision on AudioSet's eval set, as its authors give it; 0 of other data."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Scores from which a class of the default vocabulary is named, by code."""
    threshold_source: str = ""
    """On what those were found; empty where there are none."""


TUNED_THRESHOLDS = (
    "thresholds: the largest F1 of each class on 270 recordings of single instruments and 120 "
    "rendered clips (electric guitar, organ and piano on rendered ones alone); tune them on clips "
    "of your own"
)
"""Where the thresholds of a variant are from that somebody has tuned."""


@dataclass(frozen=True)
class Family:
    """Pretrained taggers of one kind."""

    name: str
    """Name of the family, as `jobs.import_model --family` takes it."""
    variants: tuple[Variant, ...]
    """The first one is the default."""
    input_spec: InputSpec
    """The front end of all its networks."""
    windows: WindowSpec
    """The network's own length and hop."""
    mids: tuple[str, ...]
    """The AudioSet id of each output, in order; a name of its own where AudioSet has no label."""
    build: Callable[[Variant, int, float], nn.Module]
    """From variant, number of outputs and dropout: a network with random weights.

    It takes scaled windows, `[n, n_rows, n_frames]`, and returns logits, `[n, n_outputs]`. Its
    `get_classifier` is the head; what its `embedding_layer` (or else the head's last linear layer)
    sees is the embedding.
    """
    read: Callable[[Path, Variant], dict[str, Tensor]]
    """From a file or folder of the authors: the network's tensors, by its own names.

    UsageError says in one line what was expected where it is another's.
    """
    licence: str
    """Of the weights, as their authors give it."""
    home: str
    """Where they are published: a page for a person."""
    smallest: tuple[int, int] = (1, 1)
    """Rows and frames below which pooling would leave nothing."""
    classes: str = "instruments"
    """The class list that is imported where none is named: one of `vocabulary.SHIPPED`."""
    takes_any_window: bool = True
    """Whether windows of another length than its own can be given to a network."""

    def variant(self, name: str | None) -> Variant:
        """Return the variant of a name, the first one without; UsageError where there is none."""
        for one in self.variants:
            if name in (None, one.name):
                return one
        known = ", ".join(one.name for one in self.variants)
        raise UsageError(f"--variant {name}: {self.name} has {known}")

    def expected(self, variant: Variant) -> str:
        """Return what a file of a variant is, for messages: `mn04 of efficientat (FILE of ...)`."""
        name = variant.source.url.rpartition("/")[2] if variant.source else "its authors' file"
        return f"{variant.name} of {self.name} ({unquote(name)} of {self.home})"


@cache
def families() -> dict[str, Family]:
    """Return the families by name: every module of this folder that has a `FAMILY`."""
    return {family.name: family for family in declared(__name__.rpartition(".")[0], "FAMILY")}


@cache
def variants() -> dict[str, tuple[Family, Variant]]:
    """Return all variants by name, with their families."""
    return {
        variant.name: (family, variant)
        for family in families().values()
        for variant in family.variants
    }
