"""From tracks to rows of TAGS by a model: what the tagging flow runs, one function per stage.

TRACKS → `describe` → DESCRIBED → `TrackTagger` → SCORED → `tables_of` → TAGS and what is beside
"""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

import numpy as np
import pyarrow as pa

from pipeline.arrays import Float32, Floats
from pipeline.audio.spectra.windows import JoinedWindows
from pipeline.inference.described import describe, windows_of
from pipeline.inference.inference_config import InferenceConfig, check_model, inference_config
from pipeline.inference.scored_rows import scored_row as scored_row
from pipeline.inference.scored_rows import scored_schema as scored_schema
from pipeline.inference.scored_rows import tables_of as tables_of
from pipeline.inference.track_description import Row, column
from pipeline.inference.tracks import track_of
from pipeline.models.engines.engines import Engine, make_engine


class TrackTagger:
    """Models, loaded once: described tracks in, scores and labels out; the starter if not given.

    `load` gives the engine of a model, as `make_engine` does: whoever makes several taggers of one
    model may keep it.
    """

    def __init__(
        self,
        inference: InferenceConfig | None = None,
        *,
        load: Callable[..., Engine] = make_engine,
    ) -> None:
        self._inference = inference = inference_config() if inference is None else inference
        self.engines: list[Engine] = [
            load(
                part.model,
                engine=part.engine,
                precision=part.precision,
                gpu=part.gpu,
                embeddings=part.embeddings,
            )
            for part in inference.parts
        ]
        check_model(inference)  # after the weights are read: a training may write others meanwhile

    def tag(
        self,
        source: str | os.PathLike[str] | bytes | Floats,
        *,
        sample_rate_hz: int | None = None,
    ) -> Row:
        """Return one track's row of TAGS: labels, scores, or why it could not be read.

        >>> TrackTagger().tag("song.mp3")["labels"]  # doctest: +SKIP
        ['aco', 'voi']

        Parameters
        ----------
        source
            A path or URI, the bytes of a file, or samples: `[n_samples]` or `[n_samples,
            n_channels]`, full scale 1.
        sample_rate_hz
            Rate of samples; files say theirs.
        """
        inference = self._inference
        track = pa.Table.from_pylist([track_of(source, sample_rate_hz)])
        (described,) = describe(track, inference)
        (tagged,) = tables_of(self(described), inference)[0].to_pylist()
        return dict(tagged)

    def __call__(self, tracks: pa.Table) -> pa.Table:
        """Return the tracks as rows of SCORED; batches of a model are filled across tracks."""
        inference, began = self._inference, monotonic()
        named = [column("matrix", k) for k in range(len(inference.front_ends))]
        rows = tracks.drop_columns(named).to_pylist()
        of_parts = [self._scores_of(tracks, k) for k in range(len(inference.parts))]
        n_windows = sum(len(scores) for scores, _ in of_parts[0])
        each_s = (monotonic() - began) / max(1, n_windows)
        here = {
            "engine": json.dumps(about([engine.about for engine in self.engines])),
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        }
        scored = []
        for row, *parts in zip(rows, *of_parts, strict=True):
            scores, vectors = [one for one, _ in parts], parts[0][1]
            spent = {"model_s": len(scores[0]) * each_s}
            scored.append(scored_row(row | here | spent, scores, vectors, inference))
        return pa.Table.from_pylist(scored, scored_schema(inference))

    def _scores_of(self, tracks: pa.Table, k: int) -> list[tuple[Float32, Float32 | None]]:
        """Return each track's window scores and embeddings by one of the models."""
        part = self._inference.parts[k]
        windows = windows_of(tracks, part, self._inference.front_ends.index(part.front_end))
        scores, vectors = self.engines[k].scores(JoinedWindows(windows))
        bounds = np.cumsum([len(each) for each in windows])[:-1]
        vectors_of = np.split(vectors, bounds) if vectors is not None else [None] * len(windows)
        return list(zip(np.split(scores, bounds), vectors_of, strict=True))


def about(engines: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return what runs the models, as run.json has it: what differs with a + between.

    >>> about([{"name": "torch", "precision": "f32"}, {"name": "torch", "precision": "bf16"}])
    {'name': 'torch', 'precision': 'f32+bf16'}
    """
    keys = dict.fromkeys(key for engine in engines for key in engine)
    said = {key: dict.fromkeys(engine.get(key, "") for engine in engines) for key in keys}
    return {key: "+".join(filter(None, values)) for key, values in said.items()}
