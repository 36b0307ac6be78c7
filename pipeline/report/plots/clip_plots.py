"""Clips in, `Picture`s out: how long they are, and what one of each class looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import librosa
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from pipeline.arrays import Floats
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.evaluation.runs.exploration import ClipExample
from pipeline.report.decibels import draw_decibels
from pipeline.report.panels import grid_of
from pipeline.report.picture import BLUE, Picture, as_picture, class_labels, drawing, say_empty

_N_BINS = 41
_N_PANELS = 24
_N_COLUMNS = 3
_SHOWN_S = 10.0
_PIXELS = (96, 240)  # of one panel, mel bands and frames: more is only a larger file
_N_COLOURS = 48  # fewer colours make a PNG of a third of the size, and look the same
_TICKS_HZ = (16_000, 8_000, 4_000, 2_000, 1_000, 500, 200, 100)
_MIN_TICK_SPACE = 0.08  # of the axis


def durations(durations_s: npt.ArrayLike) -> Picture:
    """Draw how many clips are how long: `durations_s` [n_clips]."""
    seconds = np.asarray(durations_s, np.float64)
    with drawing(height_in=2.8) as figure:
        axes = figure.subplots()
        if len(seconds):
            low, high = np.floor(seconds.min()), np.ceil(seconds.max())
            middle, span = (low + high) / 2, max(2.0, high - low)
            half = span / 2 * _N_BINS / (_N_BINS - 1)  # the bins at the ends are whole
            edges = np.linspace(middle - half, middle + half, _N_BINS + 1)
            axes.hist(seconds, bins=list(edges), color=BLUE)
            axes.set_xlim(edges[0], edges[-1])
            axes.set_yscale("symlog", linthresh=1)  # a few odd clips among thousands are seen
            axes.yaxis.set_major_formatter(ScalarFormatter())
            axes.set_ylim(bottom=0)
            axes.grid(axis="y")
        else:
            axes.set_axis_off()
            say_empty(axes, "no clips")
        axes.set_xlabel("duration (s)")
        axes.set_ylabel("clips")
        return as_picture(
            figure,
            title="Durations",
            caption="How long the clips are. Each line of the count is ten times the one below.",
        )


def example_spectrograms(
    examples: Sequence[ClipExample], *, spec: LogMelSpec, class_names: Mapping[str, str]
) -> Picture:
    """Draw the log-mel of one clip per class, over time in s and mel frequency in kHz.

    Parameters
    ----------
    examples
        One clip per class, in the classes' order; the first 24 are drawn.
    spec
        What the log-mels were made with: it gives the axes their numbers.
    class_names
        Name by code.
    """
    shown = examples[:_N_PANELS]
    labels = dict(zip(class_names, class_labels(class_names), strict=True))
    n_lines = max(1, -(-len(shown) // _N_COLUMNS))
    with drawing(height_in=0.6 + 1.75 * n_lines) as figure:
        grid = grid_of(figure, len(shown), _N_COLUMNS)
        for i, (axes, example) in enumerate(zip(grid, shown, strict=False)):
            image = draw_logmel(axes, example.logmel, spec)
            axes.set_title(labels[example.code], fontsize=9)
            axes.tick_params(labelleft=i % _N_COLUMNS == 0)
        if shown:
            figure.supxlabel("time (s)", fontsize=9.5)
            figure.supylabel("mel frequency (kHz)", fontsize=9.5)
            bar = figure.colorbar(image, ax=list(grid), aspect=40, fraction=0.03, pad=0.01)
            bar.set_label("dB below the clip's loudest")
            bar.outline.set_visible(False)
        else:
            say_empty(grid[1], "no clips with features")
        return as_picture(figure, title="One clip of each class", caption=_caption(examples))


def draw_logmel(
    axes: Axes,
    logmel: Floats,
    spec: LogMelSpec,
    *,
    pixels: tuple[int, int] = _PIXELS,
    n_colours: int = _N_COLOURS,
) -> AxesImage:
    """Draw a log-mel in dB, `[n_mels, n_frames]`, over s and mel frequency in kHz; 10 s at most."""
    frame_s = spec.hop / spec.sample_rate_hz
    seen = np.asarray(logmel, np.float32)[:, : max(1, round(_SHOWN_S / frame_s))]
    bottom, top = _mel_edges(spec)
    image = draw_decibels(
        axes,
        seen,
        extent=(0, seen.shape[1] * frame_s, bottom, top),
        pixels=pixels,
        n_colours=n_colours,
    )
    ticks = _ticks(bottom, top, spec)
    axes.set_yticks(list(ticks), [f"{hz / 1000:g}" for hz in ticks.values()])
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter("{x:g}")  # 0.5 and not 0.50: neighbours' labels stay apart
    axes.tick_params(labelsize=7.5)
    return image


def _mel(hz: float, spec: LogMelSpec) -> float:
    return float(librosa.hz_to_mel(hz, htk=spec.htk))


def _mel_edges(spec: LogMelSpec) -> tuple[float, float]:
    """Return where the lowest and highest band begin and end on the mel axis.

    The centres of the bands divide the axis from `f_min_hz` to `f_max_hz` into n_mels + 1 steps.
    """
    low = _mel(spec.f_min_hz, spec)
    high = _mel(spec.f_max_hz or spec.sample_rate_hz / 2, spec)
    half = (high - low) / (spec.n_mels + 1) / 2
    return low + half, high - half


def _ticks(bottom: float, top: float, spec: LogMelSpec) -> dict[float, int]:
    """Return round frequencies in Hz by their place on the mel axis, as far as they have room."""
    ticks: dict[float, int] = {}
    for hz in _TICKS_HZ:
        place = _mel(hz, spec)
        last = min(ticks, default=top + (top - bottom))
        if bottom <= place <= top and last - place >= _MIN_TICK_SPACE * (top - bottom):
            ticks[place] = hz
    return ticks


def _caption(examples: Sequence[ClipExample]) -> str:
    n_left_out = max(0, len(examples) - _N_PANELS)
    more = f" {n_left_out:,d} more classes are left out." if n_left_out else ""
    ids = ", ".join(f"{example.code} {example.segment_id}" for example in examples[:_N_PANELS])
    return (
        "Log-mel spectrograms of the first clip that has only this class, or else of the first "
        f"that has it, {_SHOWN_S:g} s at most.{more}" + (f" Clips: {ids}." if ids else "")
    )
