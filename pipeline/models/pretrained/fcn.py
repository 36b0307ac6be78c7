"""The FCN of the music tagging benchmark, trained on MTG-Jamendo's fifty tags.

The network is `networks.fcn`; what it hears and says is in `jamendo`.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from pipeline.audio.spectra.windows import WindowSpec
from pipeline.models.networks.fcn import FCN5_POOLS, FCN5_WIDTHS, N_MELS, Fcn
from pipeline.models.pretrained import jamendo
from pipeline.models.pretrained.family import Family, Variant

_OWN_NAMES = (
    (r"^spec_bn\.", "input_norm."),
    *((rf"^layer{k + 1}\.", f"features.{k}.") for k in range(len(FCN5_WIDTHS))),
    (r"^dense\.", "head."),
    (r"\.conv\.", ".0."),
    (r"\.bn\.", ".1."),
)


def _build(variant: Variant, n_outputs: int, dropout: float) -> Fcn:
    return Fcn(widths=FCN5_WIDTHS, pools=FCN5_POOLS, n_classes=n_outputs, dropout=dropout)


def _read(path: Path, variant: Variant) -> dict[str, Tensor]:
    return jamendo.read(FAMILY, path, variant, own_names=_OWN_NAMES)


FAMILY = Family(
    name="fcn",
    variants=(jamendo.variant("fcn", 447_732),),
    input_spec=jamendo.INPUT,
    windows=WindowSpec(29.0, 29.0),
    mids=jamendo.IDS,
    build=_build,
    read=_read,
    licence=jamendo.LICENCE,
    home=jamendo.HOME,
    smallest=(N_MELS, 1),
    classes=jamendo.CLASSES,
)
