"""Clips as parts that add up to them in; what there is to hear and to see of them out. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.arrays import Floats
from pipeline.audio.spectra.logmel import LogMelSpec, log_mel
from pipeline.evaluation.runs.exploration import SeparatedClip
from pipeline.report.listening import data_uri, draw_log_mel, encoded
from pipeline.report.page import Sound, Sounds
from pipeline.report.picture import Picture, as_picture, drawing

_NOTE = (
    "Of one clip of a class, the loudest seconds as parts that add up to them. Each part is what "
    "has one spectrum, found by non-negative matrix factorisation: a note or a drum, often, and "
    "not an instrument."
)
_N_MELS = 96


def separated_sounds(
    clips: Sequence[SeparatedClip], *, class_names: Mapping[str, str]
) -> Sounds | None:
    """Return a player and a spectrogram for each part of each clip; None without clips."""
    sounds = [
        _sound(clip, k, class_names.get(clip.code, clip.code))
        for clip in clips
        for k in range(len(clip.parts))
    ]
    return Sounds("Clips in parts", sounds, _NOTE) if sounds else None


def _sound(clip: SeparatedClip, k: int, name: str) -> Sound:
    part, rate_hz = clip.parts[k], clip.sample_rate_hz
    data, media_type = encoded(part, sample_rate_hz=rate_hz)
    energies = np.square(clip.parts).sum(axis=1)
    share = energies[k] / max(energies.sum(), np.finfo(np.float32).tiny)
    return Sound(
        title=f"{name[:1].upper()}{name[1:]}, part {k + 1} of {len(clip.parts)}",
        words=f"{share:.0%} of the parts' energy.",
        audio_uri=data_uri(data, media_type),
        picture=_picture(part, rate_hz),
        origin=clip.segment_id,
    )


def _picture(part: Floats, rate_hz: int) -> Picture:
    spec, duration_s = LogMelSpec(rate_hz, n_mels=_N_MELS), len(part) / rate_hz
    with drawing(height_in=1.7) as figure:
        axes = figure.subplots()
        draw_log_mel(axes, log_mel(np.asarray(part, np.float32), spec), spec, duration_s)
        axes.set_xlabel("time (s)")
        return as_picture(figure, title="Log-mel", caption="In dB below the part's own peak.")
