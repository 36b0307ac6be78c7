"""Batches of samples in, Kaldi's filter bank out, in torch: for a GPU, where the model is too.

The same spec and the same numbers as `pipeline.audio.spectra.kaldi.kaldi_fbank`. Nothing is
computed in less than float32.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.audio.spectra.kaldi import KaldiSpec, kaldi_mel_filters


class KaldiFbank(torch.nn.Module):
    """Log mel filter bank of a batch: `[..., n_samples]` to `[..., n_mels, n_frames]`."""

    def __init__(self, spec: KaldiSpec) -> None:
        super().__init__()
        self.spec = spec
        window = torch.from_numpy(np.hanning(spec.frame_length)).float()
        self.register_buffer("window", window, persistent=False)
        filters = torch.from_numpy(kaldi_mel_filters(spec))
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return natural logarithms of power, for mono float32 samples at the spec's rate."""
        spec = self.spec
        with torch.no_grad(), torch.autocast(samples.device.type, enabled=False):
            frames = samples.unfold(-1, spec.frame_length, spec.hop)
            frames = frames - frames.mean(dim=-1, keepdim=True)
            before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
            frames = (frames - spec.pre_emphasis * before) * self.get_buffer("window")
            spectrum = torch.fft.rfft(frames, spec.n_fft)
            power = spectrum.real.square() + spectrum.imag.square()
            mel: Tensor = power @ self.get_buffer("filters").T
            return mel.clamp(min=spec.floor).log().transpose(-1, -2)
