"""A trained network in, the folder that ships out: a model like any that a training writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.models.model import ModelCard, save_model
from pipeline.runs.provenance import provenance
from pipeline.selection.vocabulary import default_vocabulary
from pipeline.store.folder import Folder
from starter_steps.pool import INPUT_SPEC, WINDOWS
from starter_steps.sources import RECORDINGS, SALAMANDER, SONIC_PI, SOUNDFONTS
from starter_steps.student import ARCHITECTURE

AGGREGATION = "s1"
"""The mean over windows: the thresholds were found on it."""
THRESHOLDS_FROM = (
    "found on sources that the model has not learned from: 1,040 clips rendered by TimGM6mb and "
    "GeneralUser GS, and 45 real clips of GCompris and LMMS; half-way between 0.5 and the best F1"
)
MOST_BYTES = 8 << 20
TEACHERS = (
    {"name": "EfficientAT mn04", "licence": "MIT", "by": "Schmid, Koutini, Widmer 2023"},
    {"name": "YAMNet", "licence": "Apache-2.0", "by": "Plakal and Ellis, Google"},
)


def source() -> dict[str, Any]:
    """Return what model.json says of whose the starter is and what it has learned from."""
    learned = (*SOUNDFONTS, SALAMANDER, SONIC_PI, *RECORDINGS)
    return {
        "licence": "Apache-2.0",
        "home": "docs/starter.md",
        "sounds": [one.about() for one in learned],
        "teachers": list(TEACHERS),
    }


def write(
    out: Path,
    weights: Mapping[str, Tensor],
    thresholds: Mapping[str, float],
    training: Mapping[str, Any],
) -> ModelCard:
    """Write model.safetensors and model.json; the weights are a `Tagger`'s."""
    card = ModelCard(
        architecture=replace(ARCHITECTURE, dropout=0.0),
        vocabulary=default_vocabulary(),
        input_spec=INPUT_SPEC,
        windows=WINDOWS,
        aggregation=AGGREGATION,
        thresholds={AGGREGATION: dict(thresholds)},
        dataset_fingerprint="",
        training={"run": "starter", "config": {"activity": True}, "history": [], **training},
        provenance=provenance(),
        threshold_notes=(THRESHOLDS_FROM,),
        min_confidence=0.0,
        source=source(),
    )
    out.mkdir(parents=True, exist_ok=True)
    card = save_model(Folder(str(out)), weights, card)
    n_bytes = (out / "model.safetensors").stat().st_size
    if n_bytes > MOST_BYTES:
        raise SystemExit(f"{out}: {n_bytes} bytes; expected at most {MOST_BYTES}")
    return card
