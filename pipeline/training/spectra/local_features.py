"""Batches of samples in, MFCC or descriptors out: those of the CPU, so that samples can be changed.

The same numbers as `FeatureInput.matrix` has of the whole clip, to the bit: each frame is described
by itself. A window takes 9 (MFCC) or 20 ms (descriptors) of a core, so a batch's go to threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from pipeline.arrays import Float32
from pipeline.audio.spectra.input_kinds import FeatureInput


class LocalFeatures(torch.nn.Module):
    """A feature of a batch: `[n, n_samples]` with margins to `[n, n_rows, n_frames]`.

    The margins are those of `FeatureInput.margins`: what the frames see beyond their window.
    """

    def __init__(self, input_spec: FeatureInput) -> None:
        super().__init__()
        self.input_spec = input_spec

    def forward(self, samples: Tensor) -> Tensor:
        """Return the feature of mono float32 samples, on their device."""
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            matrices = list(pool.map(self._matrix, samples.cpu().numpy()))
        return torch.from_numpy(np.stack(matrices)).to(samples.device)

    def _matrix(self, samples: Float32) -> Float32:
        reach, hop = self.input_spec.reach_columns, self.input_spec.hop
        n_frames = 1 + (len(samples) - 2 * reach * hop) // hop
        return self.input_spec.matrix(samples)[:, reach : reach + n_frames]
