"""A CNN on timbre and pitch: a constant-Q spectrum beside what it says of the notes that sound.

Hung and Yang, "Frame-level instrument recognition by timbre and pitch", ISMIR 2018, section 3: two
inputs of 88 semitones, one network of residual 1-D convolutions over time. There the pitches come
from another network, trained on scores of MusicNet. Here they are a salience that is computed from
the spectrum, as in Salamon and Gomez, "Melody extraction from polyphonic music signals using pitch
contour characteristics", IEEE TASLP 20, 2012, section II-B: the sum over a note's harmonics.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.networks.entry import Entry, benchmark_samples
from pipeline.models.networks.parts.layers import BatchNorm1d, MaxPool1d, WithHead

SAMPLE_RATE_HZ = 16_000
HOP = 256
LONGEST = 4096
"""Samples of the longest filter: below 66 Hz (C2) the Q is less than that of a semitone."""
LOWEST_MIDI, N_PITCHES = 21, 88
"""The keys of a piano: A0 (27.5 Hz) to C8 (4,186 Hz)."""
N_HARMONICS, HARMONIC_DECAY = 8, 0.8
"""Of the salience: harmonics that are summed, and the weight of each next one."""
_LEAST = 1e-3  # magnitude; a sine with the window's RMS has 1, so it is 60 dB below


class TimbreAndPitch(nn.Module):
    """From samples to two spectra of 88 semitones, in dB: constant-Q, and the pitches' salience.

    It has no parameters, and computes in float32 always.
    """

    kernels: Tensor
    harmonic_sum: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernels", _constant_q_kernels(), persistent=False)
        self.register_buffer("harmonic_sum", _harmonic_sum(), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return `[n, 2 * n_pitches, n_frames]` in dB for samples, `[n, 1, n_samples]`."""
        with torch.autocast(samples.device.type, enabled=False):
            padded = functional.pad(samples.float(), (LONGEST // 2, LONGEST // 2))
            real, imaginary = functional.conv1d(padded, self.kernels.float(), stride=HOP).chunk(
                2, 1
            )
            magnitude = (real.square() + imaginary.square()).clamp(min=_LEAST**2).sqrt()
            salience = torch.matmul(self.harmonic_sum.float(), magnitude)
            return 20 * torch.cat([magnitude, salience], dim=1).log10()


class TimbrePitchCnn(WithHead):
    """Residual 1-D convolutions over time whose channels are semitones of timbre and of pitch.

    The first convolution adds up what it makes of either input. The authors' network gives scores
    of frames; of a window this one gives the mean of the frames' logits.

    Parameters
    ----------
    n_classes
        Channels of the last convolution.
    dropout
        After the first two blocks; the authors' is 0.2.
    """

    def __init__(self, *, n_classes: int, dropout: float) -> None:
        super().__init__()
        n = N_PITCHES
        self.inputs = TimbreAndPitch()
        self.input_norm = BatchNorm1d(2 * n)
        self.stem = nn.Conv1d(2 * n, n, kernel_size=3, padding=1)
        self.features = nn.Sequential(
            nn.Sequential(_Block(n, 2 * n), nn.Dropout(dropout), MaxPool1d(3)),
            nn.Sequential(_Block(2 * n, 3 * n), nn.Dropout(dropout), MaxPool1d(3)),
            nn.Sequential(_Block(3 * n, 3 * n), BatchNorm1d(3 * n), nn.ReLU()),
        )
        self.embedding = nn.Identity()
        self.head = nn.Conv1d(3 * n, n_classes, kernel_size=3, padding=1)

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for samples at 16 kHz, `[n, 1, n_samples]`."""
        steps = self.features(self.stem(self.input_norm(self.inputs(windows))))
        self.embedding(steps.mean(dim=2))
        logits: Tensor = self.head(steps).mean(dim=2)
        return logits

    def embedding_layer(self) -> nn.Module:
        """Return the layer whose input is the embedding: the mean of the steps' features."""
        return self.embedding


class _Block(nn.Module):
    """Two convolutions over three steps, with batch norm around them, beside a 1x1 convolution."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            BatchNorm1d(n_in),
            nn.Conv1d(n_in, n_out, kernel_size=3, padding=1),
            BatchNorm1d(n_out),
            nn.ReLU(),
            nn.Conv1d(n_out, n_out, kernel_size=3, padding=1),
            BatchNorm1d(n_out),
        )
        self.short_cut = nn.Conv1d(n_in, n_out, kernel_size=1)

    def forward(self, steps: Tensor) -> Tensor:
        added: Tensor = self.main(steps) + self.short_cut(steps)
        return added


def _constant_q_kernels() -> Tensor:
    """Return one filter a semitone, `[2 * n_pitches, 1, LONGEST]`: real parts, imaginary parts.

    A filter is a Hann window with a wave inside, as long as it must be to tell semitones apart
    (Brown, "Calculation of a constant Q spectral transform", JASA 89, 1991). A sine with an RMS of
    1 has a magnitude of 1.
    """
    kernels = torch.zeros(2, N_PITCHES, LONGEST, dtype=torch.float64)
    for k in range(N_PITCHES):
        frequency_hz = 440 * 2 ** ((LOWEST_MIDI + k - 69) / 12)
        n = min(LONGEST, round(SAMPLE_RATE_HZ / (frequency_hz * (2 ** (1 / 12) - 1))))
        window = torch.hann_window(n, dtype=torch.float64)
        window *= math.sqrt(2) / window.sum()
        first = (LONGEST - n) // 2
        times = torch.arange(first, first + n, dtype=torch.float64) - LONGEST / 2
        phases = 2 * math.pi * frequency_hz / SAMPLE_RATE_HZ * times
        kernels[0, k, first : first + n] = window * torch.cos(phases)
        kernels[1, k, first : first + n] = -window * torch.sin(phases)
    return kernels.flatten(0, 1).float().unsqueeze(1)


def _harmonic_sum() -> Tensor:
    """Return the weight of each semitone's magnitude in each pitch's salience, `[88, 88]`."""
    weights = torch.zeros(N_PITCHES, N_PITCHES)
    for harmonic in range(1, N_HARMONICS + 1):
        above = round(12 * math.log2(harmonic))
        ones = torch.ones(N_PITCHES - above)
        weights += HARMONIC_DECAY ** (harmonic - 1) * torch.diag(ones, above)
    return weights


NETWORKS = (
    Entry(
        "timbre-pitch",
        lambda n_classes, shape, dropout: TimbrePitchCnn(n_classes=n_classes, dropout=dropout),
        takes="samples",
        n_rows=1,
        front_end=benchmark_samples,
        takes_any_length=True,
    ),
)
