"""An `Example` to hear and to see: a stretch of a track, and its windows' scores. PURE."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import av
import librosa
import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pipeline.arrays import Bools, Floats
from pipeline.audio.decoding.clip import to_pcm16, wav_bytes
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.evaluation.runs.example_picker import AT_THRESHOLD, UNLABELLED, Candidate
from pipeline.report.decibels import draw_decibels
from pipeline.report.page import Sound
from pipeline.report.picture import BLACK, BLUE, Picture, as_picture, drawing

CODECS = ("libopus", "libmp3lame")
"""In the order in which they are tried; wav, which every machine can write, is the last resort."""

_KINDS = {"libopus": ("ogg", "audio/ogg", 48_000), "libmp3lame": ("mp3", "audio/mpeg", 44_100)}
_BITS_PER_S = 32_000
_WAV_RATE_HZ, _WAV_S = 12_000, 4.0  # as large as 20 s of the others

_FRAME_S = 0.03  # windows begin with a frame, not to the sample
_N_CLASSES = 5
_PIXELS = (80, 200)  # mel bands and frames
_N_COLOURS = 24
_PALE = "#D5D9DE"
_LEAST_SCORE = 0.05
_TICKS_HZ = (200, 500, 1_000, 2_000, 4_000, 8_000, 16_000)
_N_NUMBERED = 20  # with more windows than this, a number does not fit its field


@dataclass(frozen=True)
class Stretch:
    """A few seconds of a track: its sound, and what the model said of it."""

    samples: Floats
    """The stretch's samples, mono, `[n_samples]`."""
    sample_rate_hz: int
    """Sample rate of `samples` in Hz."""
    start_s: float
    """Where in the track it begins."""
    logmel: Floats
    """In dB, `[n_mels, n_frames]`, of this stretch."""
    spec: LogMelSpec
    """How the picture's log-mel is made."""
    middles_s: Floats
    """The windows' middles, from the beginning of the stretch, `[n_windows]`."""
    hop_s: float
    """Seconds from a window's beginning to the next one's."""
    scores: Floats
    """The model's sigmoids, `[n_windows, n_classes]`."""
    active: Bools
    """Which windows are neither silence nor noise, `[n_windows]`: the others do not count."""
    codes: Sequence[str]
    """The classes, in the order of the scores."""

    @property
    def duration_s(self) -> float:
        """Length of the stretch in s."""
        return len(self.samples) / self.sample_rate_hz


@dataclass(frozen=True)
class Example:
    """One track to listen to, with the picture of its sound."""

    title: str
    """Why the track is shown."""
    uri: str
    """Path or URI of the track."""
    words: str
    """What the track was given, and by what scores."""
    labels: tuple[str, ...]
    """Codes that the track was given."""
    audio_uri: str
    """The sound, in a data URI."""
    picture: Picture
    """Log-mel and scores over time, as an image."""

    def as_sound(self) -> Sound:
        """Return what a page shows."""
        return Sound(self.title, self.words, self.audio_uri, self.picture, self.uri)


def title_of(candidate: Candidate, *, thresholds: Mapping[str, float], name: str) -> str:
    """Return why a track is shown; `name` is that of its class."""
    score = candidate.row["scores"][candidate.code]
    if candidate.reason == AT_THRESHOLD:
        return f"At the threshold: {name} {score:.2f}, {thresholds[candidate.code]:g} is asked for"
    if candidate.reason == UNLABELLED:
        return f"Without a label: the most evidence is for {name}"
    return f"{name[:1].upper()}{name[1:]}: the highest score, {score:.2f}"


def words_of(row: Mapping[str, Any], class_names: Mapping[str, str]) -> str:
    """Return what a track was given, and by what scores."""
    labels = ", ".join(class_names.get(code, code) for code in row["labels"]) or "none"
    best = sorted(row["scores"], key=lambda code: -row["scores"][code])[:3]
    each = ", ".join(
        f"{class_names.get(code, code)} {row['scores'][code]:.2f} "
        f"(evidence {(row['peaks'] or {}).get(code, float('nan')):.2f})"
        for code in best
    )
    return f"Labels: {labels}. Scores of the whole track: {each}."


def windows_within(
    starts_s: npt.ArrayLike, *, at_s: float, window_s: float, length_s: float
) -> Bools:
    """Return which windows lie in a stretch as a whole; the nearest one where none does.

    >>> windows_within([0.0, 1.0, 2.0, 3.0], at_s=1.0, window_s=1, length_s=2).tolist()
    [False, True, True, False]
    """
    starts = np.asarray(starts_s, np.float64)
    inside = (starts >= at_s - _FRAME_S) & (starts + window_s <= at_s + length_s + _FRAME_S)
    return inside if inside.any() else np.arange(len(starts)) == np.abs(starts - at_s).argmin()


def best_start_s(
    scores: npt.ArrayLike, starts_s: npt.ArrayLike, *, window_s: float, length_s: float
) -> float:
    """Return where the `length_s` seconds begin whose windows have the largest mean score.

    >>> best_start_s([0, 0, 1, 1], [0.0, 1.0, 2.0, 3.0], window_s=1, length_s=2)
    2.0
    """
    values, starts = np.asarray(scores, np.float64), np.asarray(starts_s, np.float64)
    latest = max(0.0, float(starts.max()) + window_s - length_s)
    candidates = np.unique(np.minimum(starts, latest))
    means = [
        values[windows_within(starts, at_s=at, window_s=window_s, length_s=length_s)].mean()
        for at in candidates
    ]
    return float(candidates[int(np.argmax(means))])


def encoded(
    samples: Floats, *, sample_rate_hz: int, codecs: Sequence[str] = CODECS
) -> tuple[bytes, str]:
    """Return mono samples as a small file that browsers play, and its media type."""
    for codec in codecs:
        try:
            return _compressed(samples, sample_rate_hz, codec), _KINDS[codec][1]
        except (av.error.FFmpegError, ValueError):  # this FFmpeg has no such encoder
            continue
    from scipy.signal import resample_poly  # here, as it takes a second and is seldom needed

    rate_hz = min(_WAV_RATE_HZ, sample_rate_hz)
    shorter = samples[: round(_WAV_S * sample_rate_hz)]
    common = math.gcd(rate_hz, sample_rate_hz)
    low = resample_poly(shorter, rate_hz // common, sample_rate_hz // common)
    return wav_bytes(to_pcm16(low.astype(np.float32)), rate_hz), "audio/wav"


def _compressed(samples: Floats, sample_rate_hz: int, codec: str) -> bytes:
    container_name, _, rate_hz = _KINDS[codec]
    file = io.BytesIO()
    with av.open(file, "w", format=container_name) as container:
        stream: Any = container.add_stream(codec, rate=rate_hz, layout="mono")
        stream.bit_rate = _BITS_PER_S
        loud = np.clip(samples, -1, 1).astype(np.float32)[np.newaxis]
        frame = av.AudioFrame.from_ndarray(loud, format="fltp", layout="mono")
        frame.sample_rate = sample_rate_hz
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return file.getvalue()


def data_uri(data: bytes, media_type: str) -> str:
    """Return bytes as a URI that needs no request.

    >>> data_uri(b"Ogg", "audio/ogg")
    'data:audio/ogg;base64,T2dn'
    """
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def time_line(
    stretch: Stretch, *, labels: Sequence[str], class_names: Mapping[str, str]
) -> Picture:
    """Draw the log-mel of a stretch, and under it the scores of its windows.

    Shown are the classes in `labels`, and of the others those of the largest scores, up to five.
    """
    shown = _shown(stretch, labels)
    with drawing(height_in=2.2 + 0.26 * len(shown)) as figure:
        logmel_axes, score_axes = figure.subplots(
            2, 1, sharex=True, height_ratios=(1.75, 0.3 + 0.26 * len(shown))
        )
        draw_log_mel(logmel_axes, stretch.logmel, stretch.spec, stretch.duration_s)
        logmel_axes.tick_params(labelbottom=False)
        _draw_scores(score_axes, stretch, shown)
        names = [class_names.get(stretch.codes[k], stretch.codes[k]) for k in shown]
        short = [name if len(name) <= 18 else name[:17] + "…" for name in names]
        score_axes.set_yticks(range(len(shown)), short)
        for text, k in zip(score_axes.get_yticklabels(), shown, strict=True):
            text.set_color(BLUE if stretch.codes[k] in labels else BLACK)
        score_axes.set_xlim(0, max(stretch.duration_s, 1e-3))
        score_axes.set_xlabel("time in the clip (s)")
        return as_picture(
            figure,
            title="Log-mel and scores",
            caption=f"From {_minutes(stretch.start_s)} of the track on.",
            numbers=_numbers(stretch, shown, names),
        )


def _numbers(stretch: Stretch, shown: Sequence[int], names: Sequence[str]) -> str:
    """Return the length of a stretch, and how high the scores of its windows are, by class."""
    counted = stretch.scores[stretch.active]
    length = f"{stretch.duration_s:.1f} s, {len(counted)} of {len(stretch.active)} windows count"
    if not len(counted):
        return length
    each = (
        f"{name} {counted[:, k].min():.2f} to {counted[:, k].max():.2f}, "
        f"mean {counted[:, k].mean():.2f}"
        for k, name in zip(shown, names, strict=True)
    )
    return "; ".join((f"{length}. Scores of the windows: {next(each)}", *each))


def _shown(stretch: Stretch, labels: Sequence[str]) -> list[int]:
    """Return which classes are drawn, by their index: the highest on top."""
    height = stretch.scores.max(axis=0, initial=0.0)
    by_height = sorted(range(len(stretch.codes)), key=lambda k: -height[k])
    labelled = [k for k in by_height if stretch.codes[k] in labels]
    sounding = [k for k in by_height if k not in labelled and height[k] >= _LEAST_SCORE]
    drawn = (labelled + sounding)[:_N_CLASSES] or by_height[:1]
    return [k for k in by_height if k in drawn]


def draw_log_mel(axes: Axes, matrix: Floats, spec: LogMelSpec, duration_s: float) -> None:
    """Draw a log-mel in dB, `[n_mels, n_frames]`, over time, with frequencies at its side."""
    matrix = np.asarray(matrix, np.float32)
    n_mels = len(matrix)
    draw_decibels(
        axes,
        matrix,
        extent=(0, duration_s, -0.5, n_mels - 0.5),
        pixels=_PIXELS,
        n_colours=_N_COLOURS,
    )
    top_hz = spec.f_max_hz or spec.sample_rate_hz / 2
    edges = librosa.mel_frequencies(n_mels + 2, fmin=spec.f_min_hz, fmax=top_hz, htk=spec.htk)
    ticks = {hz: np.interp(hz, edges[1:-1], np.arange(n_mels)) for hz in _TICKS_HZ if hz < top_hz}
    axes.set_yticks(list(ticks.values()), [f"{hz / 1000:g}" for hz in ticks])
    axes.set_ylabel("kHz (mel)")
    axes.tick_params(labelsize=7.5)


def _draw_scores(axes: Axes, stretch: Stretch, shown: Sequence[int]) -> None:
    middles, half = np.asarray(stretch.middles_s, np.float64), stretch.hop_s / 2
    between = (middles[1:] + middles[:-1]) / 2
    edges = np.concatenate([[middles[0] - half], between, [middles[-1] + half]])
    ends = np.clip(edges, 0, stretch.duration_s).tolist()
    for k, (left, right) in enumerate(pairwise(ends)):
        if stretch.active[k]:
            _draw_window(axes, left, right, stretch.scores[k, shown], len(middles))
        else:
            axes.axvspan(left, right, color=_PALE, lw=0)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(8))


def _draw_window(axes: Axes, left: float, right: float, scores: Floats, n_windows: int) -> None:
    """Draw the scores of a window below each other; what is next to nothing stays white."""
    for row, score in enumerate(scores.tolist()):
        if score < _LEAST_SCORE or right <= left:
            continue
        fill = matplotlib.colormaps["Blues"](score)
        axes.broken_barh([(left, right - left)], (row - 0.47, 0.94), facecolor=fill)
        if n_windows <= _N_NUMBERED:
            axes.annotate(
                f"{score:.2f}",
                ((left + right) / 2, row),
                color="white" if score > 0.6 else BLACK,
                fontsize=7.5,
                ha="center",
                va="center",
            )


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
