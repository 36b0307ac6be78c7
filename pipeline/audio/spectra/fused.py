"""The log-mel in one pass, compiled by numba: one frame per lane, from the samples to the decibels.

As many frames as a vector has lanes go side by side through window, FFT, power, mel and logarithm,
so that not one instruction mixes lanes after the first load, and nothing leaves the second-level
cache. The FFT is Stockham's of radix 4 on n_fft / 2 complex numbers (even samples real, odd ones
imaginary), which sorts itself; its two halves are then told apart. All its passes but the last are
in float64: in float32 all through, bands 80 dB below the peak were up to 2e-3 dB off on real
recordings, as a loud partial's rounding gathers in a few bins.

    samples   frame 0 ├──── n_fft ────┤          lane 0 ┐
              frame 1     ├──── n_fft ────┤      lane 1 │ one vector: the same sample of each frame
              frame 2         ├──── n_fft ────┤  lane 2 ┘
                      hop →

    window → pack even and odd samples as n_fft / 2 complex numbers → FFT, radix 4, a pass each
           → split into n_fft / 2 + 1 bins → power → weighted sums by band → 10 log10

One pass reads four numbers that lie a quarter of the array apart, turns three of them by their
twiddle factors, adds and subtracts, and writes the four results side by side. After the last pass
the numbers stand in order, without a bit reversal.

References
----------
Van Loan, Computational Frameworks for the Fast Fourier Transform, 1992, sections 1.7 and 4.3.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline.arrays import Float32, Float64, Int64
from pipeline.audio.spectra.lanes import (
    N_LANES,
    copy_frames,
    load,
    log2_above,
    splat,
    square_root,
    store,
    width,
)

_L = N_LANES
_Z = 2 * N_LANES  # floats of a complex number: the real parts of all lanes, the imaginary ones
DB_PER_OCTAVE = 10 * math.log10(2)
"""Decibels that twice the power is."""
_ZERO, _HALF = np.float32(0), np.float32(0.5)


class Tables(NamedTuple):
    """What does not depend on the samples."""

    window: Float32
    """What each sample of a frame is multiplied by, `[n_fft]`."""
    twiddles: Float64
    """[n, 6]: w, w^2, w^3 of every butterfly of every pass, real and imaginary parts"""
    short_twiddles: Float32
    """The same as `twiddles`, in float32."""
    halves: Float32
    """[n_fft / 4 + 1, 2]: exp(-2 pi i k / n_fft)"""
    first_bin: Int64
    """[n_mels]: where a band begins"""
    n_bins: Int64
    """[n_mels]: how many bins it sees"""
    weights: Float32
    """The weights of all bands, one after the other."""


def can_fuse(n_fft: int) -> bool:
    """Whether the kernel takes frames of this length: powers of two."""
    return n_fft >= 64 and n_fft & (n_fft - 1) == 0


def fused_log_mel(
    samples: Float32,
    tables: Tables,
    *,
    hop: int,
    n_frames: int,
    amin: float,
    mirrored: bool,
    lead: int | None = None,
    per_octave: float = DB_PER_OCTAVE,
    offsets: Float64 | None = None,
    added: float = 0.0,
    of_magnitude: bool = False,
) -> Float32:
    """Return the log-mel, `[n_mels, n_frames]`, of contiguous float32, `[n_samples]`.

    Frame t begins at sample `t * hop - lead`, which centres it without a `lead`; beyond the ends
    are zeros, or the samples mirrored. Twice the power is `per_octave` more: values are dB without
    it. `offsets`, `[n_frames]`, are taken off the samples of each frame before they are windowed.
    `added` is added to each band before its logarithm. `of_magnitude` says that bands are sums of
    the bins' magnitudes; else of their powers.
    """
    out = np.empty((len(tables.first_bin), n_frames), np.float32)
    before = len(tables.window) // 2 if lead is None else lead
    own = np.zeros(0 if offsets is None else n_frames + _L, np.float32)  # loaded _L at a time
    if offsets is not None:
        own[:n_frames] = offsets
    least, scale, plus = np.float32(amin), np.float32(per_octave), np.float32(added)
    _log_mel(samples, hop, before, mirrored, out, least, scale, own, plus, of_magnitude, *tables)
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _log_mel(
    samples, hop, before, mirrored, out, amin, per_octave, offsets, added, of_magnitude,
    window, twiddles, short_twiddles, halves, first_bin, n_bins, weights,
):  # fmt: skip
    n_fft, (n_mels, n_frames) = len(window), out.shape
    n = n_fft // 2
    edge = np.empty((_L - 1) * hop + n_fft, np.float32)
    spectrum, power = _aligned(n * _Z, np.float32), _aligned((n + 1) * _L, np.float32)
    wide, spare = _aligned(n * _Z, np.float64), _aligned(n * _Z, np.float64)
    band = np.empty(_L, np.float32)
    floor, scale, flat = splat(amin), splat(per_octave), out.reshape(-1)
    plus = splat(added)
    for t in range(0, n_frames, _L):
        n_here = min(_L, n_frames - t)
        at, source = t * hop - before, samples
        if at < 0 or at + (n_here - 1) * hop + n_fft > len(samples):
            _copy_padded(samples, at, edge, mirrored)
            at, source = 0, edge
        for k in range(0, n_fft, _L):
            copy_frames(source, at, hop, n_here, window, k, spectrum)
        if len(offsets):
            _take_off(spectrum, window, load(offsets, t, floor))
        _fft(spectrum, wide, spare, n, twiddles, short_twiddles)
        _power(spectrum, power, n, halves)
        if of_magnitude:
            _take_roots(power, floor)
        w = 0
        for m in range(n_mels):
            band_power = _band(power, first_bin[m], n_bins[m], weights, w) + plus
            db = log2_above(band_power, floor) * scale
            w += n_bins[m]
            if n_here == _L:
                store(flat, m * n_frames + t, db)
            else:
                store(band, 0, db)
                out[m, t:] = band[:n_here]


@njit
def _take_off(windowed, window, offsets):
    """Take each lane's own constant off its samples, which are multiplied by the window already."""
    for k in range(len(window)):
        weighted = splat(window[k]) * offsets
        store(windowed, k * _L, load(windowed, k * _L, offsets) - weighted)


@njit
def _copy_padded(samples, first, edge, mirrored):
    """Write `samples[first:]` to `edge`, which may begin before and end after them."""
    last = len(samples) - 1
    for k in range(len(edge)):
        i = first + k
        if mirrored and last > 0:
            i %= 2 * last  # once there and back
            i = min(i, 2 * last - i)
        edge[k] = samples[max(0, min(i, last))] if mirrored or 0 <= i <= last else _ZERO


@njit
def _aligned(n, dtype):
    """Return an empty array that begins where a line of the cache does: 10 % faster."""
    array = np.empty(n + _L, dtype)
    first = (-array.ctypes.data // array.itemsize) % _L
    return array[first : first + n]


@njit
def _fft(x, wide, spare, n, twiddles, short_twiddles):
    """Transform `x`, n complex numbers per lane, in place; the others are room to work in."""
    first, stride, left = n // 4, 4, n // 4
    _radix4(x, wide, left, 1, twiddles, 0)
    while left > 4:
        _radix4(wide, spare, left // 4, stride, twiddles, first)
        wide, spare = spare, wide
        first, stride, left = first + left // 4, stride * 4, left // 4
    if left == 4:
        _radix4(wide, x, 1, stride, short_twiddles, first)
    else:
        _radix2(wide, x, stride)


@njit
def _radix4(x, y, m, stride, twiddles, first):
    """Do one pass from `x` to `y`, in the precision of the twiddles."""
    quarter = m * stride * _Z
    for p in range(m):
        w = twiddles[first + p]
        w1r, w1i, w2r, w2i = splat(w[0]), splat(w[1]), splat(w[2]), splat(w[3])
        w3r, w3i = splat(w[4]), splat(w[5])
        for q in range(stride):
            for lane in range(0, _L, width(w1r)):
                a = (q + stride * p) * _Z + lane
                b, c, d = a + quarter, a + 2 * quarter, a + 3 * quarter
                (ar, ai), (br, bi) = _at(x, a, w1r), _at(x, b, w1r)
                (cr, ci), (dr, di) = _at(x, c, w1r), _at(x, d, w1r)
                er, ei, fr, fi = ar + cr, ai + ci, ar - cr, ai - ci
                gr, gi, hr, hi = br + dr, bi + di, di - bi, br - dr  # h = i (b - d)
                o, step = (q + stride * 4 * p) * _Z + lane, stride * _Z
                store(y, o, er + gr)
                store(y, o + _L, ei + gi)
                _store_product(y, o + step, fr - hr, fi - hi, w1r, w1i)
                _store_product(y, o + 2 * step, er - gr, ei - gi, w2r, w2i)
                _store_product(y, o + 3 * step, fr + hr, fi + hi, w3r, w3i)


@njit(inline="always")
def _at(x, at, like):
    """Load the complex number of all lanes at a place."""
    return load(x, at, like), load(x, at + _L, like)


@njit(inline="always")
def _store_product(y, at, re, im, wr, wi):
    store(y, at, re * wr - im * wi)
    store(y, at + _L, re * wi + im * wr)


@njit
def _radix2(x, y, stride):
    for i in range(0, stride * _Z, _L):
        a = load(x, i, splat(_ZERO))
        b = load(x, i + stride * _Z, a)
        store(y, i, a + b)
        store(y, i + stride * _Z, a - b)


@njit
def _power(z, power, n, halves):
    """Tell the spectra of even and odd samples apart, and write the power of all n + 1 bins."""
    half = splat(_HALF)
    re, im = _at(z, 0, half)
    store(power, 0, (re + im) * (re + im))
    store(power, n * _L, (re - im) * (re - im))
    for k in range(1, n // 2 + 1):
        a, b = k * _Z, (n - k) * _Z
        (ar, ai), (br, bi) = _at(z, a, half), _at(z, b, half)
        even_r, even_i = (ar + br) * half, (ai - bi) * half
        odd_r, odd_i = (ai + bi) * half, (br - ar) * half
        wr, wi = splat(halves[k, 0]), splat(halves[k, 1])
        turned_r, turned_i = odd_r * wr - odd_i * wi, odd_r * wi + odd_i * wr
        low_r, low_i = even_r + turned_r, even_i + turned_i
        high_r, high_i = even_r - turned_r, even_i - turned_i
        store(power, k * _L, low_r * low_r + low_i * low_i)
        store(power, (n - k) * _L, high_r * high_r + high_i * high_i)


@njit
def _take_roots(power, like):
    """Make magnitudes of powers, in place."""
    for k in range(0, len(power), _L):
        store(power, k, square_root(load(power, k, like)))


@njit
def _band(power, first, n, weights, w):
    """Return the weighted sum of a band's bins; in two sums, as one waits for itself."""
    a, b = splat(_ZERO), splat(_ZERO)
    for k in range(0, n - 1, 2):
        a = a + splat(weights[w + k]) * load(power, (first + k) * _L, a)
        b = b + splat(weights[w + k + 1]) * load(power, (first + k + 1) * _L, b)
    if n & 1:
        a = a + splat(weights[w + n - 1]) * load(power, (first + n - 1) * _L, a)
    return a + b


def make_tables(window: Float32, filters: Float32) -> Tables:
    """Return the tables of a window, `[n_fft]`, and of mel filters, `[n_mels, 1 + n_fft / 2]`."""
    bins = [np.flatnonzero(row) for row in filters]
    spans = [(int(seen[0]), int(seen[-1]) + 1) if len(seen) else (0, 0) for seen in bins]
    n_fft = len(window)
    twiddles = np.concatenate(_passes(n_fft // 2))
    halves = np.exp(-2j * np.pi * np.arange(n_fft // 4 + 1) / n_fft)[:, None]
    return Tables(
        window=window,
        twiddles=twiddles,
        short_twiddles=twiddles.astype(np.float32),
        halves=_parts(halves).astype(np.float32),
        first_bin=np.array([first for first, _ in spans], np.int64),
        n_bins=np.array([last - first for first, last in spans], np.int64),
        weights=np.concatenate(
            [row[slice(*span)] for row, span in zip(filters, spans, strict=True)]
        ).astype(np.float32),
    )


def _passes(n: int) -> list[Float64]:
    """Return w, w^2 and w^3 of the butterflies of each pass of radix 4, `[n / 4, 6]` each."""
    if n < 4:
        return []
    powers = np.exp(-2j * np.pi * np.outer(np.arange(n // 4), [1, 2, 3]) / n)
    return [_parts(powers), *_passes(n // 4)]


def _parts(values: npt.NDArray[np.complex128]) -> Float64:
    """Return real and imaginary parts side by side, `[n, 2 m]`."""
    return np.stack([values.real, values.imag], -1).reshape(len(values), -1)
