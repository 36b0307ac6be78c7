"""Corrections of a tagging folder in; its model, with a correction that has learned them, out.

No Ray, and where windows were kept no audio.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.arrays import Float64
from pipeline.configs.learn_corrections import LearnCorrectionsConfig as LearnCorrectionsConfig
from pipeline.errors import SpecMismatch, UsageError
from pipeline.evaluation.labels.thresholds import thresholds_for
from pipeline.flows.training.corrected_windows import corrected_windows
from pipeline.models.card import model_there
from pipeline.models.model import ModelCard, Tagger, load_model, save_model
from pipeline.models.networks.parts.embedding import embedding_layer
from pipeline.models.starter import model_folders, model_uri
from pipeline.report.page import render_page
from pipeline.report.pages.corrections_page import corrections_page
from pipeline.runs.provenance import provenance
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.store.folder import Folder
from pipeline.store.out import MODEL, check_out
from pipeline.training.transfer.correction_fit import (
    CorrectedWindows,
    FittedCorrection,
    fit_correction,
)


@dataclass(frozen=True)
class Learned:
    """The new model, and how it judges what people said of tracks."""

    card: ModelCard
    by_class: list[dict[str, Any]]
    """A row a class: `code`, `n_said`, and of those how many the model agrees with `before`, with
    a correction that had not learned them (`held_out`), and `after`."""
    n_tracks: int
    """Tracks of which something was said."""


def learn_corrections(config: LearnCorrectionsConfig) -> Learned:
    """Fit a correction of the model that tagged; write the new model and a page.

    Raises
    ------
    UsageError
        There are no corrections, or too few; or the model has no embedding.
    """
    check_out(config.out, MODEL, {"--corrections": config.corrections, "--init": config.init})
    catalogue = TaggedCatalogue.open(config.corrections, config.model_id, in_memory=True)
    uri = config.init or catalogue.run.model
    if not uri:
        raise UsageError(
            f"{config.corrections}: its runs do not say where {catalogue.model_id} is; name its "
            "folder with --init"
        )
    check_out(config.out, MODEL, {"the model that tagged": model_folders(uri)})
    tagger, card = load_model(model_uri(uri))
    if card.model_id != catalogue.model_id:
        raise SpecMismatch(f"--init {uri}: {card.model_id}; the tags are by {catalogue.model_id}")
    _check_model(uri, card, tagger)
    data = corrected_windows(catalogue, uri)
    fitted = fit_correction(data)
    learned = _learned(card, data, fitted, catalogue)
    out = Folder(config.out)
    with out.claimed():
        model_there(out, lambda there: _corrects(there, card))
        new = save_model(out, corrected_weights(tagger, card, fitted), learned.card)
        learned = replace(learned, card=new)
        page = corrections_page(new.model_id, card.model_id, learned.by_class)
        out.write_bytes("report.html", render_page(page).encode())
    return learned


def _corrects(there: ModelCard, card: ModelCard) -> bool:
    """Say whether a model is another one's, corrected before: with more said it is made anew."""
    return bool(there.training.get("corrected", {}).get("of") == card.model_id)


def _check_model(uri: str, card: ModelCard, tagger: Tagger) -> None:
    """Raise UsageError where a model's logits cannot be corrected by its embedding."""
    what = "an int8 model" if card.quantized else card.architecture.name
    if card.architecture.exclusive or card.regression is not None:
        raise UsageError(f"--init {uri}: {what} gives no scores of classes apart from each other")
    if card.quantized or embedding_layer(tagger.backbone) is None:
        raise UsageError(f"--init {uri}: {what} has no embedding to learn from; tag with another")


def corrected_weights(
    tagger: Tagger, card: ModelCard, fitted: FittedCorrection
) -> dict[str, Tensor]:
    """Return the weights of a model with a correction; one that it has is added to."""
    weights = dict(tagger.state_dict())
    place, of_layer = "backbone.correction", {"weight": fitted.weight, "bias": fitted.bias}
    if card.architecture.corrected is None:
        weights = {re.sub(r"^backbone\.", "backbone.network.", k): v for k, v in weights.items()}
    for name, values in of_layer.items():
        before = weights.get(f"{place}.{name}", torch.zeros_like(values))
        weights[f"{place}.{name}"] = before + values
    return weights


def _learned(
    card: ModelCard, data: CorrectedWindows, fitted: FittedCorrection, catalogue: TaggedCatalogue
) -> Learned:
    rows = _by_class(data, fitted, _thresholds(card, catalogue), catalogue.codes)
    n_tracks = len(np.unique(data.track_of[data.is_said.any(axis=1)]))
    corrected = {
        "of": card.model_id,
        "tags": catalogue.store.folder.uri,
        "n_tracks": n_tracks,
        "strength": fitted.strength,
        "classes": rows,
    }
    width = data.vectors.shape[1]
    new = replace(
        card,
        architecture=replace(card.architecture, corrected=width),
        training=card.training | {"corrected": corrected},
        provenance=provenance(),
        calibration=None,
    )
    return Learned(new, rows, n_tracks)


def _thresholds(card: ModelCard, catalogue: TaggedCatalogue) -> Float64:
    """Return thresholds of means over windows (S1), which is what a fit compares.

    Those of the run where it tagged by such means; others are of another scale.
    """
    codes, identity = catalogue.codes, catalogue.run.identity
    own = thresholds_for(card.thresholds, "s1", codes)
    if identity.get("aggregation") != "s1" or identity.get("calibration"):
        return own
    given = catalogue.thresholds
    return np.array([given.get(code, one) for code, one in zip(codes, own, strict=True)])


def _by_class(
    data: CorrectedWindows, fitted: FittedCorrection, thresholds: Float64, codes: Sequence[str]
) -> list[dict[str, Any]]:
    """Return by class how much of what was said the model agrees with."""
    said, before, rows = data.said, fitted.before, []
    for k, code in enumerate(codes):
        is_said = np.isfinite(said[:, k])
        truth = said[is_said, k] == 1
        agreed = {
            key: int(((scores[is_said, k] >= thresholds[k]) == truth).sum())
            for key, scores in (
                ("before", before),
                ("held_out", fitted.held_out),
                ("after", fitted.after),
            )
        }
        rows.append({"code": code, "n_said": int(is_said.sum()), **agreed})
    return rows
