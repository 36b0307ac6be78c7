"""What a tagging is told in, how its model's scores become rows of TAGS out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import partial

from pipeline.audio.spectra.activity import Activity
from pipeline.configs.tag import TagConfig
from pipeline.inference.inference_config import (
    InferenceConfig,
    calibrated,
    for_parts,
    inference_config,
    other_windows,
)
from pipeline.models.card import DEFAULT_MIN_CONFIDENCE, read_weights
from pipeline.models.engines.engine_choice import check_engine
from pipeline.models.ensemble import Card, EnsembleCard
from pipeline.models.names import CLASSICAL
from pipeline.runs.logs import say
from pipeline.runs.provenance import provenance
from pipeline.store.tags.tagstore import TagStore
from pipeline.tagging.tag_claim import aggregation_there


def inference_of(config: TagConfig) -> InferenceConfig:
    """Return how a tagging's models are run, and how their scores become labels."""
    inference = _with_labelling(config)
    embeddings = _has_embeddings(config, inference.card)
    if config.calibrated:
        inference = calibrated(inference, threshold=config.threshold)
    activity = Activity() if config.activity else None
    return replace(
        for_parts(
            inference,
            partial(_run_by, config=config, activity=activity, embeddings=embeddings),
        ),
        min_confidence=_min_confidence(config, inference.card),
        activity=activity,
        keep_windows=config.keep_windows,
        embeddings=embeddings,
        attributes=config.attributes,
    )


def _has_embeddings(config: TagConfig, card: Card) -> bool:
    """Return whether embeddings are written: as asked, or where the model has them."""
    if config.embeddings is not None:
        return config.embeddings
    if isinstance(card, EnsembleCard):
        why = "several models are averaged, each with embeddings of its own"
    elif card.architecture.name in CLASSICAL:
        why = f"{card.architecture.name} has none"
    else:
        return True
    say("embeddings", text=f"no embeddings/ is written, so no search by likeness: {why}")
    return False


def _min_confidence(config: TagConfig, card: Card) -> float:
    """Return how sure the model must be of a class: as asked, as it says, or the default."""
    if config.min_confidence is not None:
        return config.min_confidence
    return DEFAULT_MIN_CONFIDENCE if card.min_confidence is None else card.min_confidence


def _run_by(
    part: InferenceConfig, *, config: TagConfig, activity: Activity | None, embeddings: bool
) -> InferenceConfig:
    """Return how one model tags: its windows, and what runs it."""
    check_engine(
        part.model_card,
        engine=config.engine,
        precision=config.precision,
        gpu=config.gpu,
        embeddings=embeddings,
        model_uri=part.model,
    )
    return replace(
        part,
        windows=other_windows(part.model_card, config.window_s, config.hop_s),
        max_track_s=config.max_track_s,
        activity=activity,
        engine=config.engine,
        precision=config.precision,
    )


def _with_labelling(config: TagConfig) -> InferenceConfig:
    """Return aggregation and thresholds: the default is newer than the tags of some folders."""
    inference = inference_config(
        config.model, config.aggregate, config.threshold, gpu=config.gpu, whole_tracks=True
    )
    own = inference.card.aggregation
    if inference.members:
        return inference
    if config.aggregate is not None or own == inference.aggregation:
        return inference
    if aggregation_there(TagStore.open(config.out), inference.card.model_id) != own:
        return inference
    say(
        "aggregation",
        text=f"{config.out}: its tags are by {own}, and so it goes on; {inference.aggregation} "
        "finds solos in long tracks: for that give another --out",
    )
    return inference_config(config.model, own, config.threshold, gpu=config.gpu)


def tables_beside(inference: InferenceConfig) -> list[str]:
    """Return the tables that are written beside TAGS."""
    tables = ["windows", "intervals"] * inference.keep_windows
    tables += ["embeddings"] * inference.embeddings
    return tables + ["window_embeddings"] * (inference.keep_windows and inference.embeddings)


def lineage_of(inference: InferenceConfig) -> dict[str, str]:
    """Return what the files of TAGS say of where they are from."""
    weights = [read_weights(part.model, part.model_card) for part in inference.parts]
    return {
        "timbre.model_id": inference.card.model_id,
        "timbre.model_sha256": "+".join(hashlib.sha256(one).hexdigest() for one in weights),
        "timbre.tagging": json.dumps(inference.identity),
        "timbre.classes": json.dumps(inference.card.vocabulary.to_dict()),
        "timbre.provenance": json.dumps(provenance()),
    }
