"""A log-mel in dB in, its image on axes out: loud is bright, and silence dark."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

_DEPTH_DB = 80.0
_QUIETEST_PEAK_DB = -30.0  # silence is dark, not as bright as its own loudest point


def below_peak(logmel: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """Return a log-mel in dB below its loudest point."""
    level = np.asarray(logmel, np.float32)
    return level - max(float(level.max(initial=-np.inf)), _QUIETEST_PEAK_DB)


def draw_decibels(
    axes: Axes,
    level: npt.NDArray[np.floating[Any]],
    *,
    extent: tuple[float, float, float, float],
    n_colours: int,
) -> AxesImage:
    """Draw `level` in dB below its peak, `[n_mels, n_columns]`; fewer colours, smaller files."""
    return axes.imshow(
        level,
        extent=extent,
        cmap=matplotlib.colormaps["magma"].resampled(n_colours),
        vmin=-_DEPTH_DB,
        vmax=0,
        origin="lower",
        aspect="auto",
        interpolation="none",  # the page's file holds these pixels and no more
    )
