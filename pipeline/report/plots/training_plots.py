"""`Picture`s of a training: its learning rate, and windows as it changed them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.report.panels import grid_of
from pipeline.report.picture import BLACK, GREY, SERIES, Picture, as_picture, drawing
from pipeline.report.plots.clip_plots import draw_logmel
from pipeline.training.augmenting.augment import (
    MASK_SHARE,
    N_MASKS,
    NOISE,
    TILT_DB,
)
from pipeline.training.augmenting.augment_examples import AugmentedWindow
from pipeline.training.augmenting.pitch import SEMITONES
from pipeline.training.data.window_set import SHIFT_SHARE

Numbers = npt.NDArray[Any]

_N_COLUMNS = 3
_PIXELS = (64, 87)  # of one panel: a page has some twenty of them
_N_COLOURS = 24
_WORDS = {
    "noise": f"noise: Gaussian, of {NOISE:g} of the samples' deviation",
    "pitch": f"pitch: up to {SEMITONES:g} semitones up or down",
    "shift": f"shift: up to {SHIFT_SHARE:.0%} of the window, sooner or later",
    "frequency masks": f"masks: {N_MASKS} along either axis, each up to {MASK_SHARE:.0%} of it",
    "mix": "mix: with another window",
    "tilt": f"tilt: up to {TILT_DB:g} dB over the bands",
}


def learning_rates(
    curves: Mapping[str, tuple[Numbers, Numbers]], *, steps_per_epoch: int, n_epochs: int
) -> Picture:
    """Draw learning rates over the epochs.

    Parameters
    ----------
    curves
        Steps and their learning rates, by group of layers (see `schedule.rate_curves`).
    steps_per_epoch
        Batches of one epoch.
    n_epochs
        Epochs that were trained: fewer than planned where the training ended early.
    """
    last = max((steps[-1] + 1 for steps, _ in curves.values()), default=0) / steps_per_epoch
    with drawing(height_in=0.4 + 2.4 * len(curves)) as figure:
        panels = figure.subplots(len(curves), 1, sharex=True, squeeze=False).ravel()
        for axes, (name, (steps, rates)), colour in zip(
            panels, curves.items(), SERIES, strict=False
        ):
            axes.plot(steps / steps_per_epoch, rates, color=colour)
            axes.set_title(name)
            axes.set_ylim(0, 1.05 * rates.max())
            axes.set_xlim(0, last)
            axes.yaxis.set_major_formatter(lambda rate, _: _rate_text(rate))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid()
            if n_epochs < last:
                axes.axvline(n_epochs, color=GREY, linestyle=":")
        panels[-1].set_xlabel("epochs done")
        return as_picture(
            figure,
            title="Learning rate",
            caption=f"Of every step, {steps_per_epoch:,d} an epoch: a linear rise, then a "
            "polynomial decay."
            + (" The dotted line marks where the training ended." if n_epochs < last else ""),
        )


def _rate_text(rate: float) -> str:
    """Return a learning rate as it is typed.

    >>> _rate_text(0.0), _rate_text(2e-4), _rate_text(0.00015)
    ('0', '2e-4', '1.5e-4')
    """
    if not rate:
        return "0"
    mantissa, _, exponent = f"{rate:.2e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def augmentations(example: AugmentedWindow, *, window_s: float, spec: LogMelSpec | None) -> Picture:
    """Draw a window as it is, and beside it what each augmentation makes of it.

    Parameters
    ----------
    example
        The window's images by augmentation.
    window_s
        How long it is.
    spec
        The log-mel that the images are; None where they are rows of another feature.
    """
    n_lines = -(-len(example.images) // _N_COLUMNS)
    with drawing(height_in=0.6 + 1.9 * n_lines) as figure:
        grid = grid_of(figure, len(example.images), _N_COLUMNS)
        for k, (axes, (name, image)) in enumerate(zip(grid, example.images.items(), strict=False)):
            if spec is None:
                _draw_rows(axes, image, window_s)
            else:
                draw_logmel(axes, image, spec, pixels=_PIXELS, n_colours=_N_COLOURS)
            is_unused = name in example.unused
            axes.set_title(
                f"{name} (not used here)" if is_unused else name,
                color=GREY if is_unused else BLACK,
                fontsize=9,
            )
            axes.tick_params(labelleft=k % _N_COLUMNS == 0)
        figure.supxlabel("time (s)", fontsize=9.5)
        figure.supylabel("row" if spec is None else "mel frequency (kHz)", fontsize=9.5)
        return as_picture(
            figure,
            title=f"Augmentation of a clip: {', '.join(example.classes)}",
            caption=_caption(example, window_s, is_logmel=spec is not None),
        )


def _draw_rows(axes: Axes, image: Numbers, window_s: float) -> None:
    """Draw the rows of a feature, each in deviations from its mean: blue below, red above."""
    axes.imshow(
        np.clip(image, -3, 3),
        extent=(0, window_s, -0.5, len(image) - 0.5),
        cmap="RdBu_r",
        vmin=-3,
        vmax=3,
        origin="lower",
        aspect="auto",
        interpolation="none",
    )
    axes.tick_params(labelsize=7.5)


def _caption(example: AugmentedWindow, window_s: float, *, is_logmel: bool) -> str:
    words = [_WORDS[name] for name in example.images if name in _WORDS]
    what = "log-mel" if is_logmel else "feature, each row in deviations from its mean"
    return (
        f"The {what} of the loudest {window_s:g} s of {example.segment_id}, and what each "
        "augmentation by itself makes of it, by the training's own code: of some draws the middle "
        f"one, by how much it changes. {'; '.join(words)}."
    )
