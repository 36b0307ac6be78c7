"""musicnn of the music tagging benchmark, trained on MTG-Jamendo's fifty tags.

The network is `networks.musicnn`; what it hears and says is in `jamendo`.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from pipeline.audio.spectra.windows import WindowSpec
from pipeline.models.networks.musicnn import TIMBRE_BANDS, Musicnn
from pipeline.models.pretrained import jamendo
from pipeline.models.pretrained.family import Family, Variant

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


def _read(path: Path, variant: Variant) -> dict[str, Tensor]:
    return jamendo.read(FAMILY, path, variant, own_names=_OWN_NAMES)


FAMILY = Family(
    name="musicnn",
    variants=(jamendo.variant("musicnn", 784_300),),
    input_spec=jamendo.INPUT,
    windows=WindowSpec(3.0, 3.0),
    mids=jamendo.IDS,
    build=_build,
    read=_read,
    licence=jamendo.LICENCE,
    home=jamendo.HOME,
    smallest=(max(TIMBRE_BANDS), 1),
    classes=jamendo.CLASSES,
)
