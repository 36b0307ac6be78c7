"""The same sound some semitones higher or lower, as long as before. Torch.

A phase vocoder stretches the sound, resampling brings it back to its length. The bins around a
partial keep the phases that they have to its peak in the recording (identity phase locking):
without that they drift apart at each attack and cancel one another, by up to 15 dB.

References
----------
Laroche and Dolson, "Improved phase vocoder time-scale modification of audio", IEEE Transactions on
Speech and Audio Processing 7(3), 1999.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor

SEMITONES = 6.0
"""The furthest that `pitch` moves a sound, up or down: the report's."""
_N_FFT, _HOP = 2048, 512  # at 44.1 kHz the partials of a G2 (98 Hz) are still apart
_MOST_DENOMINATOR = 200  # resampling by p / q costs q filters; the pitch is within 5 cents
_MOST_BINS = 64  # between a bin and its peak; also in noise there is one far nearer
_AT_ONCE = 4  # rows: more of them leave the second-level cache


def pitch(samples: Tensor, rng: torch.Generator) -> Tensor:
    """Return each row of `[n, n_samples]` moved by -6 to 6 semitones, drawn uniformly."""
    drawn = torch.rand(len(samples), generator=rng, device=rng.device)
    semitones = (SEMITONES * (2 * drawn - 1)).tolist()
    at_once = len(samples) if samples.is_cuda else _AT_ONCE
    parts = [
        shifted(samples[first : first + at_once], semitones[first : first + at_once])
        for first in range(0, len(samples), at_once)
    ]
    return torch.cat(parts)


def shifted(samples: Tensor, semitones: list[float]) -> Tensor:
    """Return samples, `[n, n_samples]`, each row so many semitones higher."""
    import torchaudio  # here, as what only serves imports this module, too

    ratios = [Fraction(2 ** (by / 12)).limit_denominator(_MOST_DENOMINATOR) for by in semitones]
    window = torch.hann_window(_N_FFT, device=samples.device)
    spectrum = torch.stft(
        samples, _N_FFT, _HOP, window=window, pad_mode="constant", return_complex=True
    )
    longer = torch.istft(stretched(spectrum, list(map(float, ratios))), _N_FFT, _HOP, window=window)
    n_samples = samples.shape[1]
    rows = [
        torchaudio.functional.resample(row, ratio.numerator, ratio.denominator)[:n_samples]
        for row, ratio in zip(longer, ratios, strict=True)
    ]
    pad = torch.nn.functional.pad
    return torch.stack([pad(row, (0, n_samples - len(row))) for row in rows])


def stretched(spectrum: Tensor, ratios: list[float]) -> Tensor:
    """Return spectra, `[n, n_bins, n_frames]`, of sounds that last `ratios` times as long.

    All rows have as many frames as the longest; behind its end a shorter one holds its last frame.
    """
    frames = spectrum.permute(2, 0, 1).contiguous()
    row = torch.arange(len(ratios), device=spectrum.device)
    n_steps = math.ceil(len(frames) * max(ratios)) + _N_FFT // (2 * _HOP)
    place = torch.arange(n_steps, device=row.device)[:, None] / torch.tensor(ratios).to(row.device)
    before = place.long().clamp(max=len(frames) - 2)  # [n_steps, n]
    magnitudes, phases = frames.abs(), frames.angle()
    magnitude = torch.lerp(
        magnitudes[before, row],
        magnitudes[before + 1, row],
        (place - before).clamp(max=1)[..., None],
    )
    phase = phases[before, row]  # [n_steps, n, n_bins]
    advance = phases[before + 1, row] - phase
    peak = nearest_peaks(magnitudes)[before, row].long()
    turn = advance[:-1] - phase[1:]  # of a bin, from its phase in the recording to the one it gets
    for step in range(1, n_steps):
        phase[step] += (phase[step - 1] + turn[step - 1]).gather(1, peak[step])
    return torch.polar(magnitude, phase).permute(1, 2, 0)


def nearest_peaks(magnitudes: Tensor) -> Tensor:
    """Return for each bin of `[..., n_bins]` the nearest bin that is a local maximum, int16."""
    n_bins, pad = magnitudes.shape[-1], torch.nn.functional.pad
    rises = magnitudes[..., 1:] >= magnitudes[..., :-1]
    falls = magnitudes[..., :-1] >= magnitudes[..., 1:]
    is_peak = pad(rises, (1, 0), value=True) & pad(falls, (0, 1), value=True)
    bins = torch.arange(n_bins, dtype=torch.int16, device=magnitudes.device)
    below = torch.where(is_peak, bins, torch.full_like(bins, -n_bins))
    above = torch.where(is_peak, bins, torch.full_like(bins, 2 * n_bins))
    reach = 1
    while reach < min(_MOST_BINS, n_bins):
        below[..., reach:] = torch.maximum(below[..., reach:], below[..., :-reach])
        above[..., :-reach] = torch.minimum(above[..., :-reach], above[..., reach:])
        reach *= 2
    nearest = torch.where(bins - below <= above - bins, below, above)
    return torch.where((nearest >= 0) & (nearest < n_bins), nearest, bins)
