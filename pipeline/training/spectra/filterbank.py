"""Batches of samples in, a log mel filter bank out, in torch: for a GPU, where the model is too.

The same spec and the same numbers as `pipeline.audio.spectra.filterbank.filter_bank`. Nothing is
computed in less than float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.audio.spectra.filterbank import FilterBankSpec, mel_filters_of, window_of


class FilterBank(torch.nn.Module):
    """Log mel filter bank of a batch: `[..., n_samples]` to `[..., n_mels, n_frames]`.

    Unless `is_centred`, the samples have what frames see of them beyond both ends
    (`FilterBankSpec.margins`), and nothing is mirrored there. Frames that are not centred by their
    spec see nothing beyond.
    """

    def __init__(self, spec: FilterBankSpec, *, is_centred: bool = True) -> None:
        super().__init__()
        self.spec = spec
        self.is_centred = is_centred
        self.register_buffer("window", torch.from_numpy(window_of(spec)), persistent=False)
        self.register_buffer("filters", torch.from_numpy(mel_filters_of(spec)), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the values, not scaled yet, for mono float32 samples at the spec's rate."""
        spec = self.spec
        with torch.no_grad(), torch.autocast(samples.device.type, enabled=False):
            padded = self._padded(_emphasised(samples, spec.pre_emphasis))
            if padded.shape[-1] < spec.n_fft:
                return samples.new_zeros(*samples.shape[:-1], spec.n_mels, 0)
            frames = padded.unfold(-1, spec.n_fft, spec.hop)
            spectrum = torch.fft.rfft(frames * self.get_buffer("window"))
            is_power = spec.power == 2
            bins = spectrum.real.square() + spectrum.imag.square() if is_power else spectrum.abs()
            mel: Tensor = bins @ self.get_buffer("filters").T + spec.offset
            return mel.clamp(min=spec.floor).log().transpose(-1, -2) * spec.per_neper

    def _padded(self, samples: Tensor) -> Tensor:
        """Return samples with what the first and the last frame see beyond them."""
        if not self.spec.is_centred:
            behind = self.spec.n_fft - self.spec.frame_length
            return torch.nn.functional.pad(samples, (0, behind))
        return mirrored(samples, self.spec.lead) if self.is_centred else samples


def _emphasised(samples: Tensor, share: float) -> Tensor:
    """Return each sample less a share of the one before; one sample less."""
    return samples[..., 1:] - share * samples[..., :-1] if share else samples


def mirrored(samples: Tensor, n: int) -> Tensor:
    """Return samples with `n` more at both ends: themselves mirrored, as often as it takes.

    `torch.nn.functional.pad` refuses what is shorter than its mirror image; numpy does not.
    """
    last = samples.shape[-1] - 1
    if last < 0:
        return samples
    index = torch.arange(-n, last + 1 + n, device=samples.device) % max(1, 2 * last)
    return samples[..., torch.minimum(index, (2 * last - index).abs())]
