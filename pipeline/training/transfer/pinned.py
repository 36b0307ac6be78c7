"""Models that a training begins or learns from: seen by the driver, the same in every worker.

Workers read the weights by the absolute path or URI that the driver has read the card by, and
compare: a model_id has a hash of the weights.
"""

from __future__ import annotations

from pipeline.errors import SpecMismatch, StoreError, UsageError
from pipeline.models.card import check_tags
from pipeline.models.model import ModelCard, Tagger, load_card, load_model


def card_of(flag: str, uri: str) -> ModelCard:
    """Read the card of a model that a flag names; UsageError names both where that fails."""
    try:
        card = load_card(uri)
        check_tags(uri, card)
    except (UsageError, StoreError) as error:
        raise UsageError(f"{flag} {error}") from error
    return card


def pinned_model(uri: str, card: ModelCard) -> Tagger:
    """Read the model that a run's driver has seen; SpecMismatch where another is there by now."""
    tagger, found = load_model(uri)
    if found.model_id != card.model_id:
        raise SpecMismatch(f"{uri}: {found.model_id} is there, and this run is of {card.model_id}")
    return tagger
