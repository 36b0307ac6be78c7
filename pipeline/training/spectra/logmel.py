"""Batches of samples in, log-mels out, in torch: for a GPU, where the model is too.

The same spec and the same numbers as `pipeline.audio.spectra.logmel.log_mel`, to 2e-3 dB within
80 dB of the peak on the CPU. Nothing is computed in less than float32: TF32 would cost 0.1 dB.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from pipeline.audio.decoding.clip import FULL_SCALE
from pipeline.audio.spectra.filterbank import FilterBankSpec
from pipeline.audio.spectra.input_kinds import FeatureInput
from pipeline.audio.spectra.kaldi import KaldiSpec
from pipeline.audio.spectra.logmel import LogMelSpec, mel_filters
from pipeline.training.augmenting.augment import noise
from pipeline.training.augmenting.pitch import pitch
from pipeline.training.data.window_set import WindowSet
from pipeline.training.spectra.filterbank import FilterBank
from pipeline.training.spectra.kaldi import KaldiFbank
from pipeline.training.spectra.local_features import LocalFeatures

BandSpec = LogMelSpec | KaldiSpec | FilterBankSpec | FeatureInput
"""Of the front ends that a training on samples can make: those of mel bands, MFCC, descriptors."""


class LogMel(torch.nn.Module):
    """log-mel of a batch: `[..., n_samples]` to `[..., n_mels, n_frames]` in dB.

    Unless `is_centred`, the samples have half a frame more at both ends, and nothing is padded.
    """

    def __init__(self, spec: LogMelSpec, *, is_centred: bool = True) -> None:
        super().__init__()
        self.spec = spec
        self.is_centred = is_centred
        self.register_buffer("window", torch.hann_window(spec.n_fft), persistent=False)
        self.register_buffer("filters", torch.from_numpy(mel_filters(spec)), persistent=False)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Return the log-mel of mono float32 samples at `spec.sample_rate_hz`."""
        spec, rows = self.spec, samples.reshape(-1, samples.shape[-1])
        with torch.no_grad(), torch.autocast(samples.device.type, enabled=False):
            spectrum = torch.stft(
                rows,
                spec.n_fft,
                spec.hop,
                window=self.get_buffer("window"),
                center=self.is_centred,
                pad_mode=spec.padding,
                return_complex=True,
            )
            power = spectrum.real.square() + spectrum.imag.square()
            mel = torch.clamp(self.get_buffer("filters") @ power, min=spec.amin)
            return (10 * torch.log10(mel)).reshape(*samples.shape[:-1], *mel.shape[1:])


def with_margins(data: WindowSet, spec: BandSpec) -> WindowSet:
    """Return windows of samples with as much before and behind them as their frames reach."""
    return replace(data, margins=spec.margins(data.n_frames), mirrors=spec.mirrors)


def bands_of(spec: BandSpec, *, has_margins: bool) -> torch.nn.Module:
    """Return what makes mel bands of samples, `[..., n_samples]`, in torch.

    With `has_margins` the samples come with what frames see beyond their ends (`with_margins`).
    """
    if isinstance(spec, FeatureInput):
        return LocalFeatures(spec)
    if isinstance(spec, KaldiSpec):
        return KaldiFbank(spec)
    if isinstance(spec, FilterBankSpec):
        return FilterBank(spec, is_centred=not has_margins)
    return LogMel(spec, is_centred=not has_margins)


class SamplesToLogMel(torch.nn.Module):
    """Windows of samples in, disturbed, and their mel bands out: on the device of the model.

    Or their MFCC or descriptors, which the CPU makes.

    The windows come with what stands before and behind them in the clip (`with_margins`), so that a
    window's first and last frames are those that the clip's own log-mel has there.

    Parameters
    ----------
    spec
        Of the log-mel, of Kaldi's filter bank, or of another's; the front end of a feature.
    mean, deviation
        Of the training set's samples, 32,768 for full scale: noise is drawn from them.
    """

    def __init__(self, spec: BandSpec, *, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        super().__init__()
        self.log_mel = bands_of(spec, has_margins=True)
        self.register_buffer("mean", mean / FULL_SCALE)
        self.register_buffer("deviation", deviation / FULL_SCALE)

    def forward(
        self, windows: torch.Tensor, rng: torch.Generator, names: tuple[str, ...]
    ) -> torch.Tensor:
        """Return `[n, n_mels, n_frames]` for 16-bit windows, `[n, 1, n_samples]`."""
        samples = windows[:, 0].float() / FULL_SCALE
        if "pitch" in names:
            samples = pitch(samples, rng)
        if "noise" in names:
            mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
            samples = noise(samples, rng, mean=mean, deviation=deviation)
        log_mels: torch.Tensor = self.log_mel(samples)
        return log_mels
