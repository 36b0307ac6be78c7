"""Windows of 2 s in, what the two teachers make of them out: embeddings and logits, side by side.

mn04 (Schmid et al. 2023, MIT) and YAMNet (Plakal and Ellis, Apache-2.0), imported as anybody would.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soxr
from scipy.special import logit

from pipeline.arrays import Float32
from pipeline.audio.spectra.windows import cut_windows, window_starts
from pipeline.models.engines.engines import make_engine
from pipeline.models.model import load_card
from pipeline.models.pretrained.importing import ImportConfig, import_model
from starter_steps.render import SAMPLE_RATE_HZ

_LEAST = 1e-6  # a score of 0 or 1 has no logit
_HOPS_S = {"efficientat": None, "yamnet": 0.48}


class Teacher:
    """An imported tagger as an encoder."""

    def __init__(self, family: str, weights: Path | None, folder: Path) -> None:
        out, path = str(folder / family), None if weights is None else str(weights)
        import_model(ImportConfig(family, out, weights=path, hop_s=_HOPS_S[family]), {})
        self._card = load_card(out)
        self._engine = make_engine(out, precision="f32", embeddings=True)

    def features(self, samples: Float32) -> Float32:
        """Return the mean and the maximum over a clip of embedding and logits, `[n_features]`."""
        input_spec, windows = self._card.input_spec, self._card.windows
        samples = soxr.resample(samples, SAMPLE_RATE_HZ, input_spec.sample_rate_hz)
        matrix = input_spec.matrix(samples)
        starts = window_starts(matrix.shape[1], windows, input_spec)
        cut = cut_windows(matrix, starts, windows.n_frames(input_spec), silence=input_spec.silence)
        scores, embedding = self._engine.scores(cut)
        assert embedding is not None
        both = np.concatenate([embedding, logit(np.clip(scores, _LEAST, 1 - _LEAST))], axis=1)
        return np.concatenate([both.mean(axis=0), both.max(axis=0)]).astype(np.float32)

    @property
    def n_features(self) -> int:
        """Width of `features`."""
        return len(self.features(np.zeros(2 * SAMPLE_RATE_HZ, np.float32)))


def teachers(folder: Path, mn04: Path | None, yamnet: Path | None) -> list[Teacher]:
    """Return both; files that are not given are fetched from where their authors put them."""
    return [Teacher("efficientat", mn04, folder), Teacher("yamnet", yamnet, folder)]


def encoded(samples: Float32, encoders: list[Teacher]) -> Float32:
    """Return the features of all teachers, joined."""
    return np.concatenate([one.features(samples) for one in encoders])
