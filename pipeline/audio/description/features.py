"""The feature catalogue: a name and samples in, a float32 matrix and its description out.

    extract("mfcc", samples, FrameSpec())            [40, n_frames]
    extract_all(["mfcc", "flux"], samples, spec)     {name: matrix}, the STFT computed once
    describe("mfcc", spec)                           rows, unit, source, settings: json
    pool(matrix, ("mean", "var"))                    {"mean": [n_rows], "var": [n_rows]}

Samples are mono float32 at the spec's rate. Every feature has `1 + n_samples // hop` columns, one a
frame, except where `Feature.columns` says otherwise. PURE.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import librosa
import numpy as np

from pipeline.audio.description.analysis import Analysis, FrameSpec, Matrix
from pipeline.audio.description.feature import Feature
from pipeline.audio.description.feature_table import FEATURES
from pipeline.audio.spectra.compiled import import_alone
from pipeline.errors import UsageError

__all__ = [
    "FEATURES",
    "LOCAL",
    "Analysis",
    "Feature",
    "FrameSpec",
    "Matrix",
    "describe",
    "extract",
    "extract_all",
    "extract_locally",
    "pool",
]

LOCAL = ("mfcc", "descriptors", "chroma_stft", "mel_chroma_mfcc")
"""Features that need nothing of a recording beyond the frame itself."""
_BLOCK_FRAMES = 4096  # 48 s at 44.1 kHz: descriptors take some 3 MiB a second of audio


def extract(name: str, samples: Matrix, spec: FrameSpec) -> Matrix:
    """Return one feature, float32 `[n_rows, n_columns]`.

    Parameters
    ----------
    name
        A name in `FEATURES`; UsageError otherwise.
    samples
        Mono audio at `spec.sample_rate_hz`, `[n_samples]`, at least one sample.
    spec
        The frames.

    Examples
    --------
    >>> extract("mfcc", np.zeros(44_100, np.float32), FrameSpec()).shape
    (40, 87)
    """
    return extract_all([name], samples, spec)[name]


def extract_all(names: Iterable[str], samples: Matrix, spec: FrameSpec) -> dict[str, Matrix]:
    """Return several features by name, as `extract` does; what they share is computed once."""
    wanted = [_known(name) for name in names]
    import_alone()
    analysis = Analysis(samples, spec)
    return {feature.name: _computed(feature, analysis) for feature in wanted}


def extract_locally(
    name: str, samples: Matrix, spec: FrameSpec, *, is_levelled: bool = False
) -> Matrix:
    """Return one feature, each frame described by itself: float32 `[n_rows, n_frames]`.

    What a frame gives depends on its own samples only, whatever recording it stands in, so a model
    gets in a track what it learned from in a clip; and long recordings are described in blocks.
    Only features in `LOCAL`; samples as for `extract`. Where `is_levelled`, only the
    first MFCC (in dB, times the root of the mel bands) and RMS say how loud a frame is, and mel
    bands are in dB of the frame's own level.
    """
    if name not in LOCAL:
        raise UsageError(f"found feature {name!r}; expected one of {', '.join(LOCAL)}")
    import_alone()
    n_frames, reach = spec.n_frames(len(samples)), -(-spec.n_fft // (2 * spec.hop))
    parts = []
    for first in range(0, n_frames, _BLOCK_FRAMES):
        end, begin = min(first + _BLOCK_FRAMES, n_frames), max(0, first - reach)
        piece = samples[begin * spec.hop : (end - 1 + reach) * spec.hop]
        matrix = _computed(
            FEATURES[name], Analysis(piece, spec, is_local=True, is_levelled=is_levelled)
        )
        parts.append(matrix[:, first - begin : end - begin])
    return np.concatenate(parts, axis=1)


def describe(name: str, spec: FrameSpec) -> dict[str, Any]:
    """Return everything that decides a feature, as plain json for the metadata of a table."""
    feature = _known(name)
    return {
        "name": name,
        "rows": list(feature.rows(spec)),
        "columns": feature.columns,
        "unit": feature.unit,
        "source": feature.source,
        "settings": dict(feature.settings),
        "frames": spec.to_dict(),
    }


def pool(matrix: Matrix, how: Collection[str]) -> dict[str, Matrix]:
    """Return each row's mean, variance or both over the columns, `[n_rows]` by name.

    Parameters
    ----------
    matrix
        A feature, `[n_rows, n_columns]`. NaN (an unvoiced pitch) does not count; a row of nothing
        else gives NaN.
    how
        Some of "mean", "var" (divided by the count, not the count less one).
    """
    unknown = sorted(set(how) - {"mean", "var"})
    if unknown:
        raise UsageError(f"found pooling {', '.join(unknown)}; expected mean, var")
    is_known = ~np.isnan(matrix)
    n_known = np.where(is_known.any(axis=1), is_known.sum(axis=1), np.nan)
    mean = np.where(is_known, matrix, 0).sum(axis=1, dtype=float) / n_known
    off = np.where(is_known, matrix - mean[:, np.newaxis], 0)
    pooled = {"mean": mean, "var": np.square(off).sum(axis=1) / n_known}
    return {name: pooled[name].astype(np.float32) for name in how}


def _known(name: str) -> Feature:
    if name not in FEATURES:
        raise UsageError(f"found feature {name!r}; expected one of {', '.join(FEATURES)}")
    return FEATURES[name]


def _computed(feature: Feature, analysis: Analysis) -> Matrix:
    try:
        matrix = feature.compute(analysis)
    except librosa.ParameterError as error:  # such as a CQT beyond half the sample rate
        raise UsageError(f"{feature.name}: {error}") from error
    return np.ascontiguousarray(matrix, np.float32)
