"""A spectrum in, the frequencies and heights of its peaks out: the peak picking of MIRtoolbox."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Bools, Float64, Int64

_BELOW_ALL = -2.0


@dataclass(frozen=True)
class Peaks:
    """The peaks of a spectrum, the highest first."""

    bins: Int64
    """The bins of the spectrum in which they lie, `[n_peaks]`."""
    heights: Float64
    """Interpolated by a parabola, in the unit of the spectrum, `[n_peaks]`."""
    frequencies_hz: Float64
    """Their frequencies, interpolated between bins, `[n_peaks]`."""


def find_peaks(
    scaled: Float64, frequencies_hz: Float64, contrast: float, *, spectrum: Float64 | None = None
) -> Peaks:
    """Return the peaks that stand out from the valleys on both sides by the contrast.

    Parameters
    ----------
    scaled
        Spectrum with a maximum of 1, in which peaks are found, `[n_bins]`.
    frequencies_hz
        Frequencies of the bins, `[n_bins]`.
    contrast
        Least height of a peak, and least depth of a valley.
    spectrum
        Spectrum whose heights are returned, `[n_bins]`; the scaled one by default.

    References
    ----------
    Lartillot and Toiviainen, "A Matlab toolbox for musical feature extraction from audio", DAFx
    2007, `mirpeaks`; timbral_models 0.4.0.
    """
    found = np.flatnonzero(local_maxima(scaled, contrast))
    bins = np.array(_contrasting(scaled, found, contrast), np.int64)
    bins = bins[np.argsort(scaled[bins])[::-1]]
    return _interpolated(scaled if spectrum is None else spectrum, frequencies_hz, bins)


def local_maxima(scaled: Float64, contrast: float) -> Bools:
    """Return which bins are at least the contrast and higher than their neighbours, `[n_bins]`.

    The last bin of a plateau does not count, but the first does; so do both ends of the spectrum.
    """
    steps = np.diff(scaled, prepend=_BELOW_ALL, append=_BELOW_ALL)
    return np.asarray((scaled >= contrast) & (steps[:-1] > 0) & (steps[1:] <= 0))


def _contrasting(scaled: Float64, maxima: Int64, contrast: float) -> list[int]:
    """Return the maxima with a valley of at least the contrast on either side."""
    if not len(maxima):
        return []
    heights = scaled[maxima].tolist()
    peaks: list[int] = []
    best, best_height, valley, valley_before = int(maxima[0]), heights[0], np.inf, -np.inf
    for one, height, low in zip(
        maxima[1:].tolist(), heights[1:], _valleys(scaled, maxima), strict=True
    ):
        valley = min(valley, low)
        if best_height - valley >= contrast:
            if best_height - valley_before >= contrast:
                peaks.append(best)
                valley_before = valley
            else:
                valley_before = min(valley_before, valley)
            best, best_height, valley = one, height, np.inf
        else:
            valley_before = min(valley_before, valley)
            if height > best_height:
                best, best_height, valley = one, height, np.inf
    return [*peaks, best] if best_height - valley_before >= contrast else peaks


def _valleys(scaled: Float64, maxima: Int64) -> list[float]:
    """Return the least value between neighbouring maxima, but for the bin before the second."""
    if len(maxima) < 2:
        return []
    edges = np.stack([maxima[:-1], maxima[1:] - 1], axis=1).ravel()
    least: list[float] = np.minimum.reduceat(scaled, edges)[::2].tolist()
    return least


def _interpolated(spectrum: Float64, frequencies_hz: Float64, bins: Int64) -> Peaks:
    inner = (bins > 0) & (bins < len(spectrum) - 1)
    at = bins[inner]
    below, middle, above = spectrum[at - 1], spectrum[at], spectrum[at + 1]
    offset = (above - below) / (2 * (2 * middle - above - below))  # in bins
    heights, frequencies = spectrum[bins], frequencies_hz[bins]
    heights[inner] += 0.25 * (above - below) * offset
    frequencies[inner] += offset * (frequencies_hz[1] - frequencies_hz[0])
    return Peaks(bins, heights, frequencies)
