"""musicnn of the music tagging benchmark, trained on MTG-Jamendo's fifty tags.

The network is `networks.musicnn`; what it hears and says is in `jamendo`.
"""

from __future__ import annotations

from pipeline.models.networks.musicnn import TIMBRE_BANDS, Musicnn
from pipeline.models.pretrained import jamendo
from pipeline.models.pretrained.family import Variant

_OWN_NAMES = (
    (r"^spec_bn\.", "input_norm."),
    (r"^layers\.([01])\.", r"timbre.\1."),
    (r"^layers\.2\.", "rhythm.0."),
    (r"^layers\.3\.", "rhythm.1."),
    (r"^layers\.4\.", "rhythm.2."),
    (r"^layer1\.", "middle.0."),
    (r"^layer2\.", "middle.1."),
    (r"^layer3\.", "middle.2."),
    (r"^dense1\.", "dense."),
    (r"^bn\.", "dense_norm."),
    (r"^dense2\.", "head."),
    (r"\.conv\.", ".0."),
    (r"\.bn\.", ".1."),
)


def _build(variant: Variant, n_outputs: int, dropout: float) -> Musicnn:
    return Musicnn(n_classes=n_outputs, dropout=dropout)


FAMILY = jamendo.family(
    "musicnn",
    n_parameters=784_300,
    window_s=3.0,
    build=_build,
    own_names=_OWN_NAMES,
    smallest=(max(TIMBRE_BANDS), 1),
)
