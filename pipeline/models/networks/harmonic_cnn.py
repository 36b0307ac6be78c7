"""Harmonic CNN: learnable band-pass filters at the harmonics of each pitch, then a 2-D CNN.

Won, Chun, Nieto and Serra, "Data-driven harmonic filters for audio representation learning", ICASSP
2020, section 2, in the sizes of Won et al. 2020, "Evaluation of CNN-based automatic music tagging
models". The network takes samples, as its filters stand on the spectrum.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.networks.entry import Entry, benchmark_samples
from pipeline.models.networks.parts.layers import (
    BatchNorm1d,
    BatchNorm2d,
    MaxPool2d,
    Sizes,
    WithHead,
    convolved_2d,
)

SAMPLE_RATE_HZ = 16_000
N_FFT, HOP = 512, 256
N_HARMONICS = 6
LOWEST_MIDI, N_PITCHES = 24, 128
"""Pitches are half a semitone apart, from C1 (32.7 Hz): the sixth harmonic of the highest, D#6,
is below half the sample rate."""
BANDWIDTH_SLOPE, BANDWIDTH_HZ = 0.1079, 24.7
"""Bandwidth of a filter in Hz, by its frequency f: `(0.1079 f + 24.7) / Q` (section 2.2; the
equivalent rectangular bandwidth of Glasberg and Moore 1990)."""
_LEAST_POWER = 1e-10
_WIDTH = 128


class HarmonicFilters(nn.Module):
    """From samples to six channels of pitch by time: the level at each harmonic of each pitch, dB.

    Filters are triangles in frequency. Their Q is the one parameter; at 1 they are as wide as the
    ear's. Everything is in float32, as powers span more than bfloat16 can tell apart.
    """

    dft: Tensor
    centres_hz: Tensor
    bins_hz: Tensor

    def __init__(self) -> None:
        super().__init__()
        midi = LOWEST_MIDI + torch.arange(N_PITCHES, dtype=torch.float64) / 2
        pitches_hz = 440 * 2 ** ((midi - 69) / 12)
        harmonics = torch.arange(1, N_HARMONICS + 1, dtype=torch.float64)
        centres_hz = (harmonics[:, None] * pitches_hz).flatten()  # [n_harmonics * n_pitches]
        bins_hz = torch.linspace(0, SAMPLE_RATE_HZ / 2, N_FFT // 2 + 1)
        self.register_buffer("dft", _dft(), persistent=False)
        self.register_buffer("centres_hz", centres_hz.float(), persistent=False)
        self.register_buffer("bins_hz", bins_hz, persistent=False)
        self.q = nn.Parameter(torch.ones(1))

    def forward(self, samples: Tensor) -> Tensor:
        """Return levels in dB, `[n, n_harmonics, n_pitches, n_frames]`, for `[n, 1, n_samples]`."""
        with torch.autocast(samples.device.type, enabled=False):
            padded = functional.pad(samples.float(), (N_FFT // 2, N_FFT // 2), mode="reflect")
            real, imaginary = functional.conv1d(padded, self.dft.float(), stride=HOP).chunk(2, 1)
            power = real.square() + imaginary.square()  # [n, n_bins, n_frames]
            bands = torch.matmul(self.filters(), power)
            levels_db = 10 * bands.clamp(min=_LEAST_POWER).log10()
        return levels_db.reshape(-1, N_HARMONICS, N_PITCHES, levels_db.shape[2])

    def filters(self) -> Tensor:
        """Return the weight of each bin of the spectrum, `[n_harmonics * n_pitches, n_bins]`."""
        widths_hz = (BANDWIDTH_SLOPE * self.centres_hz + BANDWIDTH_HZ) / self.q.float()
        off_hz = (self.bins_hz - self.centres_hz[:, None]).abs()
        return (1 - 2 * off_hz / widths_hz[:, None]).clamp(min=0)


class HarmonicCnn(WithHead):
    """Harmonic filters, seven blocks of 3x3 convolutions, then two dense layers.

    At the paper's 5 s (80,000 samples) the blocks leave one value a channel; of longer windows the
    largest of what is left goes on.

    Parameters
    ----------
    n_classes
        Width of the last layer.
    dropout
        Between the dense layers; the paper's is 0.5.
    """

    def __init__(self, *, n_classes: int, dropout: float) -> None:
        super().__init__()
        wide = 2 * _WIDTH
        self.filters = HarmonicFilters()
        self.input_norm = BatchNorm2d(N_HARMONICS)
        self.features = nn.Sequential(
            convolved_2d(N_HARMONICS, _WIDTH, (2, 2)),
            *(_ResidualBlock(_WIDTH, (2, 2)) for _ in range(3)),
            convolved_2d(_WIDTH, wide, (2, 2)),
            *(_ResidualBlock(wide, (2, 3)) for _ in range(2)),
        )
        self.dense = nn.Linear(wide, wide)
        self.dense_norm = BatchNorm1d(wide)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(wide, n_classes)

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for samples at 16 kHz, `[n, 1, n_samples]`."""
        maps = self.features(self.input_norm(self.filters(windows)))
        hidden = torch.relu(self.dense_norm(self.dense(maps.amax(dim=(2, 3)))))
        logits: Tensor = self.head(self.dropout(hidden))
        return logits


class _ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside their input, then max-pooling."""

    def __init__(self, width: int, pool: Sizes) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(width, width, kernel_size=3, padding=1),
            BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel_size=3, padding=1),
            BatchNorm2d(width),
        )
        self.pool = MaxPool2d(pool)

    def forward(self, maps: Tensor) -> Tensor:
        pooled: Tensor = self.pool(torch.relu(self.main(maps) + maps))
        return pooled


def _dft() -> Tensor:
    """Return the windowed Fourier transform as filters, `[2 * n_bins, 1, n_fft]`.

    First the real part of each bin, then the imaginary one. As a convolution it runs in every
    engine, and the same in all of them.
    """
    times = torch.arange(N_FFT, dtype=torch.float64)
    turns = torch.arange(N_FFT // 2 + 1, dtype=torch.float64)[:, None] * times / N_FFT
    waves = torch.cat([torch.cos(2 * math.pi * turns), -torch.sin(2 * math.pi * turns)])
    window = torch.hann_window(N_FFT, dtype=torch.float64)
    return (waves * window).float().unsqueeze(1)


NETWORKS = (
    Entry(
        "harmonic-cnn",
        lambda n_classes, shape, dropout: HarmonicCnn(n_classes=n_classes, dropout=dropout),
        takes="samples",
        smallest=(1, N_FFT // 2 + 1),
        n_rows=1,
        front_end=benchmark_samples,
        takes_any_length=True,
    ),
)
