"""What every feature is: its rows, unit, source and settings, by name, in a fixed order.

Nothing is computed here; the functions are in `spectral` and `pitch`. Settings that are librosa's
defaults are written down, so that a table tells what it was made with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from pipeline.audio.description import crepe, pitch, spectral
from pipeline.audio.description.analysis import (
    F_MIN_HZ,
    N_COMPONENTS,
    N_MELS,
    N_OCTAVES,
    NMF_ITERATIONS,
    PITCH_CLASSES,
    PITCH_MAX_HZ,
    PITCH_MIN_HZ,
    Analysis,
    FrameSpec,
    Matrix,
)
from pipeline.audio.description.feature import Feature, Rows, named, numbered
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.errors import UsageError
from pipeline.seams import declared, declaring


def _notes(first_midi: int, n_notes: int) -> Rows:
    midis = range(first_midi, first_midi + n_notes)
    return named(*(f"{PITCH_CLASSES[midi % 12]}{midi // 12 - 1}" for midi in midis))


def _bins(spec: FrameSpec) -> tuple[str, ...]:
    return tuple(f"bin_{i}" for i in range(spec.n_bins))


def _feature(
    name: str,
    rows: Rows,
    unit: str,
    source: str,
    compute: Callable[[Analysis], Matrix],
    *,
    parts: tuple[Feature, ...] = (),
    **more: Any,
) -> Feature:
    settings = MappingProxyType(more)
    return Feature(name, rows, unit, source, compute, settings=settings, parts=parts)


_CHROMA = named(*(f"chroma_{name}" for name in PITCH_CLASSES))
_CONTRAST = numbered("contrast", 7)
_POLY = named("poly_slope", "poly_offset")
_TONNETZ = named("fifth_x", "fifth_y", "minor_x", "minor_y", "major_x", "major_y")
_MEL = {k: v for k, v in LogMelSpec().to_dict().items() if k not in FrameSpec().to_dict()}
_MFCC: dict[str, Any] = {"n_mels": N_MELS, "top_db": 80.0, "dct": "II, ortho", "mel": "slaney"}
_CHROMA_STFT: dict[str, Any] = {"tuning": "estimated", "norm": "max"}
_CONTRASTS: dict[str, Any] = {"f_min_hz": 200.0, "n_bands": 6, "quantile": 0.02}
_CQT: dict[str, Any] = {"f_min_hz": F_MIN_HZ, "n_octaves": N_OCTAVES, "window": "hann"}
_CQT_CHROMA: dict[str, Any] = {**_CQT, "bins_per_octave": 36, "tuning": "estimated"}
_PITCH: dict[str, Any] = {"f_min_hz": PITCH_MIN_HZ, "f_max_hz": PITCH_MAX_HZ}
_NMF: dict[str, Any] = {"init": "nndsvd", "n_iterations": NMF_ITERATIONS, "seed": 0}

_ALONE = (
    _feature("zcr", named("zcr"), "crossings a sample", "librosa 0.11", spectral.zcr),
    _feature("rms", named("rms"), "full scale", "librosa 0.11", spectral.rms),
    _feature("centroid", named("centroid_hz"), "Hz", "librosa 0.11", spectral.centroid),
    _feature("bandwidth", named("bandwidth_hz"), "Hz", "librosa 0.11", spectral.bandwidth, p=2),
    _feature("contrast", _CONTRAST, "dB", "Jiang et al. 2002", spectral.contrast, **_CONTRASTS),
    _feature("rolloff", named("rolloff_hz"), "Hz", "librosa 0.11", spectral.rolloff, share=0.85),
    _feature("flatness", named("flatness"), "ratio", "librosa 0.11", spectral.flatness, power=2.0),
    _feature("flux", named("flux"), "full scale", "Dixon 2006", spectral.flux, rectified=True),
    _feature("poly", _POLY, "full scale / Hz, full scale", "librosa 0.11", spectral.poly, order=1),
    _feature("chroma_stft", _CHROMA, "ratio", "librosa 0.11", spectral.chroma_stft, **_CHROMA_STFT),
)
_MFCC_13 = _feature(
    "mfcc_13", numbered("mfcc", 13), "dB", "librosa 0.11", partial(spectral.mfcc, n_mfcc=13)
)
_BY_NAME = {feature.name: feature for feature in (_MFCC_13, *_ALONE)}
_ORDER = "mfcc_13 chroma_stft contrast poly zcr rms centroid bandwidth rolloff flatness"
_PARTS = tuple(_BY_NAME[name] for name in _ORDER.split())


def _descriptor_rows(spec: FrameSpec) -> tuple[str, ...]:
    return tuple(row for part in _PARTS for row in part.rows(spec))


def _descriptors(analysis: Analysis) -> Matrix:
    return np.vstack([part.compute(analysis) for part in _PARTS])


_WHOLE = (
    _feature(
        "logmel", numbered("mel", spectral.N_LOGMEL), "dB", "librosa 0.11", spectral.logmel, **_MEL
    ),
    _feature(
        "mfcc",
        numbered("mfcc", 40),
        "dB",
        "librosa 0.11; Davis and Mermelstein 1980",
        partial(spectral.mfcc, n_mfcc=40),
        **_MFCC,
    ),
    _feature(
        "descriptors",
        _descriptor_rows,
        "; ".join(f"{part.name} {part.unit}" for part in _PARTS),
        "librosa 0.11; the 40 rows of the report of 2023",
        _descriptors,
        parts=_PARTS,
        mfcc=_MFCC,
        **{part.name: dict(part.settings) for part in _PARTS if part.settings},
    ),
)
_HARMONY = (
    _feature("chroma_cqt", _CHROMA, "ratio", "librosa 0.11", spectral.chroma_cqt, **_CQT_CHROMA),
    _feature(
        "chroma_cens",
        _CHROMA,
        "ratio",
        "librosa 0.11; Müller and Ewert 2011",
        spectral.chroma_cens,
        **_CQT_CHROMA,
        smoothing_frames=41,
    ),
    _feature(
        "tonnetz",
        _TONNETZ,
        "ratio",
        "librosa 0.11; Harte, Sandler and Gasser 2006",
        spectral.tonnetz,
        **_CQT_CHROMA,
    ),
    _feature(
        "cqt",
        _notes(24, 84),
        "full scale",
        "librosa 0.11; Schörkhuber and Klapuri 2010",
        spectral.cqt,
        **_CQT,
        bins_per_octave=12,
    ),
    _feature(
        "tempogram",
        numbered("lag", spectral.TEMPO_FRAMES),
        "ratio",
        "librosa 0.11; Grosche, Müller and Kurth 2010",
        spectral.tempogram,
        win_length=spectral.TEMPO_FRAMES,
        n_mels=N_MELS,
    ),
)


def _crepe(size: str) -> Feature:
    name = "crepe" if size == "tiny" else f"crepe_{size}"
    return _feature(
        name,
        named(f"{name}_f0_hz", f"{name}_periodicity"),
        "Hz, ratio",
        "torchcrepe 0.0.24; Kim, Salamon, Li and Bello 2018",
        partial(crepe.crepe, size=size),
        model=size,
        rate_hz=crepe.RATE_HZ,
    )


_PITCHES = (
    _feature(
        "yin",
        named("yin_f0_hz"),
        "Hz",
        "librosa 0.11; de Cheveigné and Kawahara 2002",
        pitch.yin,
        **_PITCH,
        trough_threshold=0.1,
    ),
    _feature(
        "pyin",
        named("pyin_f0_hz", "pyin_voiced_probability"),
        "Hz, probability",
        "librosa 0.11; Mauch and Dixon 2014",
        pitch.pyin,
        **_PITCH,
    ),
    _crepe("tiny"),
    _feature(
        "pitch_roll",
        _notes(pitch.FIRST_MIDI, pitch.N_NOTES),
        "probability",
        "librosa 0.11; Mauch and Dixon 2014",
        pitch.pitch_roll,
        **_PITCH,
    ),
)
_NMFS = (
    Feature(
        "nmf_components",
        _bins,
        "full scale",
        "scikit-learn; Smaragdis and Brown 2003",
        spectral.nmf_components,
        columns="components",
        settings=MappingProxyType(_NMF),
    ),
    _feature(
        "nmf_activations",
        numbered("component", N_COMPONENTS),
        "ratio",
        "scikit-learn; Smaragdis and Brown 2003",
        spectral.nmf_activations,
        **_NMF,
    ),
)

_MORE = "pipeline.audio.description.more_features"


def _named_as_files(files: Sequence[str], features: Sequence[Feature]) -> Sequence[Feature]:
    """Return the features, whose names are those of their files: --help lists the files."""
    for file, feature in zip(files, features, strict=True):
        if feature.name != file:
            raise UsageError(
                f"{_MORE}.{file}: its FEATURE is called {feature.name!r}; expected {file!r}, as "
                "the file is"
            )
    return features


FEATURES: Mapping[str, Feature] = MappingProxyType(
    {
        f.name: f
        for f in (
            *(*_WHOLE, *_ALONE, *_HARMONY, *_PITCHES, *_NMFS),
            *(_crepe(size) for size in crepe.SIZES if size != "tiny"),
            *_named_as_files(declaring(_MORE, "FEATURE"), declared(_MORE, "FEATURE")),
        )
    }
)
"""The catalogue, by name, in a fixed order; those of `more_features` stand last."""
