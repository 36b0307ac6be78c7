"""A log-mel in dB in, its image on axes out: loud is bright, and silence dark."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from pipeline.arrays import Float32, Floats

_DEPTH_DB = 80.0
_QUIETEST_PEAK_DB = -30.0  # silence is dark, not as bright as its own loudest point


def draw_decibels(
    axes: Axes,
    logmel: Floats,
    *,
    extent: tuple[float, float, float, float],
    pixels: tuple[int, int],
    n_colours: int,
) -> AxesImage:
    """Draw `logmel`, `[n_mels, n_frames]`, below its peak, in at most so many pixels and colours.

    Fewer make a smaller file.
    """
    return axes.imshow(
        _pooled(_below_peak(logmel), pixels),
        extent=extent,
        cmap=matplotlib.colormaps["magma"].resampled(n_colours),
        vmin=-_DEPTH_DB,
        vmax=0,
        origin="lower",
        aspect="auto",
        interpolation="none",  # the page's file holds these pixels and no more
    )


def _below_peak(logmel: Floats) -> Float32:
    """Return a log-mel in dB below its loudest point."""
    level = np.asarray(logmel, np.float32)
    return level - max(float(level.max(initial=-np.inf)), _QUIETEST_PEAK_DB)


def _pooled(matrix: Floats, shape: tuple[int, int]) -> Floats:
    """Return the means over blocks, so that the matrix has at most `shape`."""
    for axis, wanted in enumerate(shape):
        size = matrix.shape[axis]
        starts = np.unique(np.arange(min(wanted, size)) * size // max(1, min(wanted, size)))
        widths = np.diff(np.append(starts, size)).reshape((-1, 1) if axis == 0 else (1, -1))
        matrix = np.add.reduceat(matrix, starts, axis=axis) / widths
    return matrix
