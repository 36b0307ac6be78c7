"""What people said of tracks in, a linear correction of a model's logits out: seconds, no audio.

The correction of a window's logits is linear in its embedding. What was said is learned by the
binary cross-entropy of the tracks' scores, which are means over windows; all that was not said is
held where it was, as those scores are drawn to the old ones (Li and Hoiem 2016, "Learning without
forgetting"), and the weights to nothing. How strongly, cross-validation over what was said decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import KFold
from torch import Tensor

from pipeline.arrays import Bools, Float32, Int64

STRENGTHS = (1e-3, 1e-2, 1e-1)
"""How strongly the weights are drawn to nothing, over standardised embeddings."""
HELD = 4.0
"""Weight of all that was not said, where what was said has 1. With 1 the scores of other classes
moved by 0.05, with 16 half of what was said was lost (270 recordings, docs/log.md)."""
_N_FOLDS = 5
_MOST_STEPS = 60
_LEAST_SCORE = 1e-4
_LEAST_SHARE = 0.2  # of the median feature's deviation


@dataclass(frozen=True)
class CorrectedWindows:
    """What is learned from: stretches of tracks, their windows, and what was said of them."""

    vectors: Float32
    """Embeddings of windows, `[n_windows, n_features]`."""
    scores: Float32
    """Of windows by the model, `[n_windows, n_classes]`, 0 to 1."""
    stretch_of: Int64
    """The stretch that each window is of, `[n_windows]`: a whole track, or a span."""
    said: Float32
    """Of stretches: 1 there, 0 not there, NaN nobody said anything, `[n_stretches, n_classes]`."""
    track_of: Int64
    """The track that each stretch is of, `[n_stretches]`: it is held out as a whole."""

    @property
    def is_said(self) -> Bools:
        """Where something was said, `[n_stretches, n_classes]`."""
        return np.isfinite(self.said)


@dataclass(frozen=True)
class FittedCorrection:
    """A correction of a model's logits, and how often it agrees with what people said."""

    weight: Tensor
    """`[n_classes, n_features]`: with `bias` what is added to the logits of an embedding."""
    bias: Tensor
    """Added to the logit of each class, `[n_classes]`."""
    strength: float
    """The one of `STRENGTHS` that cross-validation has chosen."""
    before: Float32
    """Scores of the stretches by the model, `[n_stretches, n_classes]`."""
    held_out: Float32
    """Scores by corrections that had not learned what was said of the track, where something was,
    `[n_stretches, n_classes]`."""
    after: Float32
    """Scores by the correction, `[n_stretches, n_classes]`."""


def fit_correction(data: CorrectedWindows, *, seed: int = 0) -> FittedCorrection:
    """Fit a correction to what was said of two tracks or more; the same seed gives the same."""
    fit = _Fit(data)
    nothing = np.zeros(len(data.said), bool)
    tracks = np.unique(data.track_of[data.is_said.any(axis=1)])
    folds = KFold(min(_N_FOLDS, len(tracks)), shuffle=True, random_state=seed)
    held = {strength: fit.before.copy() for strength in STRENGTHS}
    for _, part in folds.split(tracks):
        left_out = np.isin(data.track_of, tracks[part])
        for strength in STRENGTHS:
            scores = fit.scores(*fit.solved(strength, left_out))
            held[strength][left_out] = scores[left_out]
    best = min(STRENGTHS, key=lambda one: _cross_entropy(held[one], data))
    weight, bias = fit.solved(best, nothing)
    after = fit.scores(weight, bias)
    return FittedCorrection(*fit.unscaled(weight, bias), best, fit.before, held[best], after)


class _Fit:
    """The objective, over standardised vectors: a strength means the same for each model."""

    def __init__(self, data: CorrectedWindows) -> None:
        vectors = torch.from_numpy(data.vectors)
        self._mean = vectors.mean(dim=0)
        deviation = vectors.std(dim=0, correction=0)
        # What hardly varies gets no weight that bfloat16 would make noise of.
        self._scale = deviation.clamp(min=max(1e-6, _LEAST_SHARE * float(deviation.median())))
        self._vectors = (vectors - self._mean) / self._scale
        self._logits = _clamped(torch.from_numpy(data.scores)).logit()
        self._stretch_of = torch.from_numpy(data.stretch_of)
        self._n_windows = torch.bincount(self._stretch_of, minlength=len(data.said)).clamp(min=1)
        self._is_said, self._said = data.is_said, torch.from_numpy(np.nan_to_num(data.said))
        self._was = self._of_stretches(self._logits)
        self.before: Float32 = self._was.numpy()

    def _of_stretches(self, logits: Tensor) -> Tensor:
        """Return the mean scores of stretches, `[n_stretches, n_classes]`."""
        totals = torch.zeros(len(self._n_windows), logits.shape[1])
        totals = totals.index_add(0, self._stretch_of, torch.sigmoid(logits))
        return totals / self._n_windows[:, None]

    def _corrected(self, weight: Tensor, bias: Tensor) -> Tensor:
        return self._of_stretches(self._logits + self._vectors @ weight.T + bias)

    def scores(self, weight: Tensor, bias: Tensor) -> Float32:
        """Return the scores of stretches by a correction."""
        return np.asarray(self._corrected(weight, bias).numpy())

    def unscaled(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return a correction of embeddings as they are."""
        scaled = weight / self._scale
        return scaled, bias - scaled @ self._mean

    def solved(self, strength: float, left_out: Bools) -> tuple[Tensor, Tensor]:
        """Return weight and bias that fit what was said of all stretches but some."""
        n_classes = self._logits.shape[1]
        weight = torch.zeros(n_classes, self._vectors.shape[1], requires_grad=True)
        bias = torch.zeros(n_classes, requires_grad=True)
        kept = ~left_out[:, np.newaxis]
        said = torch.from_numpy(self._is_said & kept)
        unsaid = torch.from_numpy(~self._is_said & kept)
        solver = torch.optim.LBFGS(
            [weight, bias], max_iter=_MOST_STEPS, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            solver.zero_grad()
            scores = self._corrected(weight, bias)
            of_said = _mean(_entropy(scores, self._said), said)
            of_rest = _mean(_entropy(scores, self._was), unsaid)
            pull = weight.square().sum() + bias.square().sum()
            value: Tensor = of_said + HELD * of_rest + strength * pull
            value.backward()  # type: ignore[no-untyped-call]
            return value

        solver.step(loss)  # type: ignore[no-untyped-call]
        return weight.detach(), bias.detach()


def _clamped(scores: Tensor) -> Tensor:
    return scores.clamp(_LEAST_SCORE, 1 - _LEAST_SCORE)


def _entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy of scores, to targets of 0 to 1."""
    safe = _clamped(scores)
    return -(targets * safe.log() + (1 - targets) * (1 - safe).log())


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    return (values * counts).sum() / counts.sum().clamp(min=1)


def _cross_entropy(scores: Float32, data: CorrectedWindows) -> float:
    """Return the mean cross-entropy of what was said."""
    right = np.where(data.said == 1, scores, 1 - scores)[data.is_said]
    return float(-np.log(np.clip(right, _LEAST_SCORE, 1)).mean())
