"""The FCN of the music tagging benchmark, trained on MTG-Jamendo's fifty tags.

The network is `networks.fcn`; what it hears and says is in `jamendo`.
"""

from __future__ import annotations

from pipeline.models.networks.fcn import FCN5_POOLS, FCN5_WIDTHS, N_MELS, Fcn
from pipeline.models.pretrained import jamendo
from pipeline.models.pretrained.family import Variant

_OWN_NAMES = (
    (r"^spec_bn\.", "input_norm."),
    *((rf"^layer{k + 1}\.", f"features.{k}.") for k in range(len(FCN5_WIDTHS))),
    (r"^dense\.", "head."),
    (r"\.conv\.", ".0."),
    (r"\.bn\.", ".1."),
)


def _build(variant: Variant, n_outputs: int, dropout: float) -> Fcn:
    return Fcn(widths=FCN5_WIDTHS, pools=FCN5_POOLS, n_classes=n_outputs, dropout=dropout)


FAMILY = jamendo.family(
    "fcn",
    n_parameters=447_732,
    window_s=29.0,
    build=_build,
    own_names=_OWN_NAMES,
    smallest=(N_MELS, 1),
)
