"""What a search is to be like in, its embedding out: a track's own, or made of audio by its model.

Audio goes the way of a tagging (`pipeline.inference`): the windows and the activity of the
folder's own tagging, so a track of the catalogue gets the vector that it has there.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.arrays import Float32
from pipeline.audio.spectra.activity import Activity
from pipeline.errors import ItemFault, SpecMismatch, UsageError
from pipeline.models.names import STARTER
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.store.catalogue import is_uri

Row = dict[str, Any]

if TYPE_CHECKING:
    from pipeline.inference.inference_config import InferenceConfig


def query_vector(
    catalogue: TaggedCatalogue,
    like: str,
    *,
    from_s: float | None = None,
    to_s: float | None = None,
    model: str | None = None,
) -> Float32:
    """Return the embedding of a track of the catalogue or of a file, or of a span of it.

    Parameters
    ----------
    catalogue
        Whose model makes the embedding, and whose own ones are taken where they are there.
    like
        A uri of the catalogue, or a path or uri of any audio.
    from_s, to_s
        The span, in s; from the start, or to the end, where None.
    model
        The model's folder; where None, the one that tagged.

    Raises
    ------
    UsageError
        Where the audio cannot be read, or the model is not known.
    SpecMismatch
        Where the model is another than the one that tagged.
    """
    known = known_uri(catalogue, like)
    if known and from_s is None and to_s is None:
        own = catalogue.vector_of(known)
        assert own is not None
        return own
    inference = tagging_inference(catalogue, model)
    try:
        row = _scored(_samples(like, inference, from_s, to_s), inference)
    except ItemFault as fault:
        raise UsageError(f"--like {like}: {fault.detail} ({fault.reason})") from fault
    if row["status"] != "ok":
        raise UsageError(f"--like {like}: {row['detail']} ({row['reason']})")
    return np.array(row["embedding"], np.float32)


def known_uri(catalogue: TaggedCatalogue, like: str) -> str:
    """Return the uri by which the catalogue knows a track; '' where it has no embedding of it.

    A relative path is that of the caller.
    """
    places = [like] if is_uri(like) else [like, str(Path(like).absolute())]
    vectors = catalogue.embeddings.of()
    return next((place for place in places if len(vectors.rows_of(place))), "")


def tagging_inference(catalogue: TaggedCatalogue, model: str | None) -> InferenceConfig:
    """Return how the folder's tags were made, with embeddings."""
    from pipeline.evaluation.labels.calibration import Calibration
    from pipeline.inference.inference_config import inference_config, other_windows

    named = model or catalogue.run.model or STARTER
    inference, identity = inference_config(named, whole_tracks=True), catalogue.run.identity
    found = inference.card.model_id
    if found != catalogue.model_id:
        raise SpecMismatch(
            f"--like: the tags are by {catalogue.model_id}, and {named} is {found}; name the model "
            "that tagged with --model"
        )
    activity, calibration = identity.get("activity"), identity.get("calibration")
    limits, codes = identity.get("thresholds") or {}, inference.codes
    own = zip(codes, inference.thresholds, strict=True)
    return replace(
        inference,
        aggregation=identity.get("aggregation", inference.aggregation),
        thresholds=tuple(limits.get(code, limit) for code, limit in own),
        min_confidence=identity.get("gate", inference.min_confidence),
        calibration=Calibration.from_dict(calibration, codes) if calibration else None,
        embeddings=True,
        engine="auto",
        activity=Activity(**activity) if activity else None,
        windows=other_windows(
            inference.model_card, identity.get("window_s"), identity.get("hop_s")
        ),
    )


def _samples(
    like: str, inference: InferenceConfig, from_s: float | None, to_s: float | None
) -> str | Float32:
    """Return the span's samples at the model's rate; the uri itself where all of it is meant."""
    if from_s is None and to_s is None:
        return like
    from pipeline.audio.decoding.decode import decode
    from pipeline.store.track import open_track

    start_s = from_s or 0.0
    return decode(
        open_track(like),
        sample_rate_hz=inference.model_card.input_spec.sample_rate_hz,
        start_s=start_s,
        duration_s=None if to_s is None else to_s - start_s,
    )


def _scored(source: str | Float32, inference: InferenceConfig) -> Row:
    """Return audio as a row of SCORED: its `embedding` is the mean over its active windows."""
    from pipeline.inference.described import describe
    from pipeline.inference.tagger import TrackTagger
    from pipeline.inference.tracks import track_of

    rate_hz = inference.model_card.input_spec.sample_rate_hz
    track = pa.Table.from_pylist([track_of(source, rate_hz)])
    (described,) = describe(track, inference)
    (row,) = TrackTagger(inference)(described).to_pylist()
    return dict(row)
