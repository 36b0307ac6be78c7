"""What scikit-learn's classifiers have in common here: pooled windows, scaling, tensors.

A window becomes the means and variances of its rows over its columns, each scaled by the training
set's mean and deviation of it, and a classifier says one probability per class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pipeline.arrays import Floats, Int64

UNKNOWN = -1
"""The target of a class of which a window does not tell whether it is there."""
NEVER = -20.0
"""The margin of a class that nothing was taught about: it is never named."""
_SURE = 1e-6  # a probability of 0 or 1 has no logit


def pooled(windows: Tensor) -> Tensor:
    """Return means and variances over the columns, `[n, 2 * n_rows]`, in float64.

    Columns that are all zero are what fills up a clip that is shorter than a window, and count for
    nothing: a frame of digital silence has an MFCC that is not zero.
    """
    windows = windows.double()
    there = windows.ne(0).any(dim=1, keepdim=True)
    n = there.sum(dim=2).clamp(min=1)
    mean = windows.sum(dim=2) / n
    spread = torch.where(there, windows - mean.unsqueeze(2), 0.0)
    return torch.cat([mean, spread.square().sum(dim=2) / n], dim=1)


class Classical(nn.Module):
    """A classifier on pooled windows; `fit` fills its tensors, or a state dict does."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, n_rows: int, n_classes: int) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.keep(mean=np.zeros(2 * n_rows), deviation=np.ones(2 * n_rows))

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for windows, `[n, n_rows, n_columns]`."""
        with torch.autocast(windows.device.type, enabled=False):
            points = (pooled(windows) - self.mean) / self.deviation
            return torch.logit(self.probabilities(points), eps=_SURE).float()

    def fit(self, points: Floats, targets: Floats, seed: int) -> None:
        """Fit to pooled windows, `[n, 2 * n_rows]`, and their targets: 0, 1, or NaN (unknown).

        A window whose class is unknown is left out of what is learned of that class.
        """
        deviation = points.std(axis=0)
        self.keep(mean=points.mean(axis=0), deviation=np.where(deviation > 0, deviation, 1.0))
        scaled = (points - self.mean.numpy()) / self.deviation.numpy()
        known = np.where(np.isnan(targets), UNKNOWN, targets > 0.5)
        self.fit_scaled(scaled, known.astype(np.int64), seed)

    def probabilities(self, points: Tensor) -> Tensor:
        """Return one probability per class, `[n, n_classes]`, for scaled points."""
        raise NotImplementedError

    def fit_scaled(self, points: Floats, targets: Int64, seed: int) -> None:
        """Fit to scaled points, `[n, 2 * n_rows]`, and targets of 0, 1 and `UNKNOWN`."""
        raise NotImplementedError

    def keep(self, **arrays: npt.ArrayLike) -> None:
        """Take arrays as the classifier's tensors, by name."""
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array)))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take the tensors' sizes from what is loaded: they are what the fit made them."""
        for name in self._buffers:
            if (given := state_dict.get(prefix + name)) is not None:
                self._buffers[name] = torch.empty_like(given)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def fitted_together(
    targets: Int64,
) -> list[tuple[list[int], npt.NDArray[np.intp]]]:
    """Return which classes are fitted as one, by number, and the windows that they are fitted to.

    What scikit-learn fits to several classes takes no unknown ones: so the classes that are known
    of all windows are fitted as one, and each of the others to the windows that it is known of. A
    class of which nothing is known is not fitted.
    """
    is_known = targets != UNKNOWN
    whole, any_of = is_known.all(axis=0), is_known.any(axis=0)
    groups = [np.flatnonzero(whole).tolist(), *([int(c)] for c in np.flatnonzero(~whole & any_of))]
    return [(group, np.flatnonzero(is_known[:, group].all(axis=1))) for group in groups if group]
