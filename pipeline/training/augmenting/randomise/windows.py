"""Windows of samples in, randomised ones out, as the network's input: the work of a loader process.

The windows are cut longer than they are used (`margins`): a change of speed takes up to an eighth
more, and the front end's first and last frames reach beyond the window, as they do in a whole clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.arrays import Float32
from pipeline.audio.decoding.clip import FULL_SCALE
from pipeline.audio.spectra.input_kinds import MelInput
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.training.augmenting.randomise.chain import Randomisation, randomised

Windows = npt.NDArray[Any]


@dataclass(frozen=True)
class RandomisedWindows:
    """What makes the network's input of windows of samples; it can be sent to other processes."""

    sample_rate_hz: int
    """Sample rate of the windows, in hertz."""
    n_samples: int
    """Samples of a window, without margins."""
    front: InputSpec | None = None
    """The front end that follows; None where samples are given on."""
    reach: tuple[int, int] = (0, 0)
    """Samples before and behind the window that are given on or used by the front end, too."""
    config: Randomisation = Randomisation()  # noqa: RUF009 (frozen, so it may be shared)
    """The transforms and their ranges."""

    @classmethod
    def input_spec_of(
        cls,
        input_spec: InputSpec,
        n_samples: int,
        *,
        on_device: bool = False,
        config: Randomisation = Randomisation(),  # noqa: B008 (frozen, so it may be shared)
    ) -> RandomisedWindows:
        """Return what makes a model's input of windows of `n_samples` samples at its rate.

        With `on_device` the front end follows later (`SamplesToLogMel`), on the model's device.
        """
        rate_hz = input_spec.sample_rate_hz
        if not isinstance(input_spec, MelInput):  # the model takes the samples themselves
            return cls(rate_hz, n_samples, config=config)
        margins = before, behind = input_spec.spec.margins(n_samples)
        if on_device:
            return cls(rate_hz, n_samples, None, margins, config)
        before = (
            -(-before // input_spec.hop) * input_spec.hop
        )  # whole columns, which are then left out
        return cls(rate_hz, n_samples, input_spec, (before, behind), config)

    @property
    def margins(self) -> tuple[int, int]:
        """Samples that windows must have before and behind them (`WindowSet.margins`)."""
        extra = self.config.n_asked(self._n_given) - self._n_given
        return self.reach[0] + extra // 2, self.reach[1] + extra - extra // 2

    @property
    def _n_given(self) -> int:
        return self.reach[0] + self.n_samples + self.reach[1]

    def __call__(self, windows: Windows, seed: Sequence[int]) -> Windows:
        """Return the input of windows with margins, `[n, 1, n_samples]`, each one randomised.

        Samples count 32,768 for full scale, in and out; so they come back where there is no front
        end, as float32. All that is drawn depends on the seed and the row only.
        """
        rng = np.random.default_rng(list(seed))
        rate_hz, n = self.sample_rate_hz, self._n_given
        found = [
            randomised(window, rng, rate_hz, self.config, n_samples=n)
            for window in _at_full_scale(windows)
        ]
        return self._input_of(found)

    def plain(self, windows: Windows) -> Windows:
        """Return the input of windows with margins as they are, without anything random."""
        before = self.margins[0] - self.reach[0]
        cut = windows[:, :, before : before + self._n_given]
        return self._input_of(list(_at_full_scale(cut)))

    def _input_of(self, samples: Sequence[Float32]) -> Windows:
        """Return the matrices of samples that reach over the window's ends by `reach`."""
        if self.front is None:
            return np.stack(samples)[:, None] * np.float32(FULL_SCALE)
        first, n_frames = self.reach[0] // self.front.hop, self.front.n_frames(self.n_samples)
        matrices = [self.front.matrix(one)[:, first : first + n_frames] for one in samples]
        return np.stack(matrices)


def _at_full_scale(windows: Windows) -> Float32:
    return windows[:, 0].astype(np.float32) / np.float32(FULL_SCALE)
