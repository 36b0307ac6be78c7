"""The wavelet scattering transform: how the energy of each band is modulated over time.

It needs `pip install '.[scattering]'`, which brings kymatio.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from pipeline.audio.description.analysis import Analysis, Matrix
from pipeline.audio.description.feature import Feature, numbered
from pipeline.errors import UsageError

_J, _Q = 12, 8
_STEP = 1 << _J
_N_PATHS = 546
_LEAST = 1e-6  # -120 dB
_PIECE = 48 * _STEP  # with what kymatio pads, a power of 2
_MARGIN = 4 * _STEP  # of a piece, in which the average reaches beyond its ends


def scattering(analysis: Analysis) -> Matrix:
    """Return the scattering coefficients in dB, `[546, n_steps]`, a column every 4,096 samples.

    One column has the mean over about 4,096 samples of the samples (row 0), of the envelopes of 86
    bands (eight to an octave), and of 459 bands of those envelopes (one to an octave). Row 0 is
    that of the magnitude, as a mean may be negative. -120 dB is the least value. Where a recording
    ends, silence follows.

    References
    ----------
    Andén and Mallat, "Deep scattering spectrum", IEEE TSP 62(16), 2014, sections III and IV (the
    logarithm: section VI); kymatio 0.3, `Scattering1D` with J = 12 and Q = 8.
    """
    samples = analysis.samples
    n_steps = 1 + (len(samples) - 1) // _STEP
    inner = (_PIECE - 2 * _MARGIN) // _STEP
    parts = []
    for first in range(0, n_steps, inner):
        before = min(first, _MARGIN // _STEP)
        start = (first - before) * _STEP
        piece = samples[start : start + _PIECE]
        found = _transform()(np.pad(piece, (0, _PIECE - len(piece))))
        parts.append(found[:, before : before + min(inner, n_steps - first)])
    coefficients = np.abs(np.concatenate(parts, axis=1))
    return np.asarray(20 * np.log10(np.maximum(coefficients, _LEAST)), np.float32)


@cache
def _transform() -> Any:
    """Return kymatio's transform of one piece; its filters are made once a process."""
    try:
        # Not from kymatio.numpy: that brings the 3-D transform, and with it scipy's sph_harm, which
        # scipy 1.17 has no more.
        module = import_module("kymatio.scattering1d.frontend.numpy_frontend")
    except ImportError as error:
        raise UsageError("scattering needs kymatio: pip install '.[scattering]'") from error
    return module.ScatteringNumPy1D(J=_J, shape=_PIECE, Q=_Q)


FEATURE = Feature(
    "scattering",
    numbered("scattering", _N_PATHS),
    "dB",
    "kymatio 0.3; Andén and Mallat 2014",
    scattering,
    columns="steps of 4,096 samples",
    settings={"J": _J, "Q": _Q, "step": _STEP, "max_order": 2, "n_first_order": 86},
)
