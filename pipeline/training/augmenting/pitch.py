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
_MOST_RATIO = 2 ** (SEMITONES / 12)
_N_ZEROS, _ROLLOFF = 6, 0.99  # of the resampling filter: torchaudio's
_NEAR = 1e-4  # samples: within it the sinc is its peak


def pitch(samples: Tensor, rng: torch.Generator) -> Tensor:
    """Return each row of `[n, n_samples]` moved by -6 to 6 semitones, drawn uniformly."""
    drawn = torch.rand(len(samples), generator=rng, device=rng.device)
    semitones = (SEMITONES * (2 * drawn - 1)).to(samples.device)
    at_once = len(samples) if samples.is_cuda else _AT_ONCE
    parts = zip(torch.split(samples, at_once), torch.split(semitones, at_once), strict=True)
    return torch.cat([shifted(*part) for part in parts])


def shifted(samples: Tensor, semitones: Tensor) -> Tensor:
    """Return samples, `[n, n_samples]`, each row so many semitones higher, `[n]`, 6 at most."""
    ratios = torch.exp2(semitones / 12)
    # What was drawn on a GPU stays there, as the host would have to wait for it.
    longest = _MOST_RATIO if samples.is_cuda else float(ratios.max())
    window = torch.hann_window(_N_FFT, device=samples.device)
    spectrum = torch.stft(
        samples, _N_FFT, _HOP, window=window, pad_mode="constant", return_complex=True
    )
    longer = torch.istft(stretched(spectrum, ratios, longest), _N_FFT, _HOP, window=window)
    resample = resampled_together if samples.is_cuda else _resampled_by_row
    return resample(longer, ratios, samples.shape[1])


def _resampled_by_row(samples: Tensor, ratios: Tensor, n_samples: int) -> Tensor:
    """Do what `resampled_together` does, thirty times as fast on a CPU."""
    import torchaudio  # here, as what only serves imports this module, too

    by = [Fraction(ratio).limit_denominator(_MOST_DENOMINATOR) for ratio in ratios.tolist()]
    rows = [
        torchaudio.functional.resample(row, ratio.numerator, ratio.denominator)[:n_samples]
        for row, ratio in zip(samples, by, strict=True)
    ]
    pad = torch.nn.functional.pad
    return torch.stack([pad(row, (0, n_samples - len(row))) for row in rows])


def resampled_together(samples: Tensor, ratios: Tensor, n_samples: int) -> Tensor:
    """Return rows read `ratios` times as fast, `[n, n_samples]`; the host waits for nothing.

    A sample is a sum of its neighbours, weighted by a sinc under a Hann window with 6 zeros on
    each side. Its sines are those of the place between two neighbours, turned on by a neighbour at
    a time, so that none is computed more than once.
    """
    reach = math.ceil(_N_ZEROS / _ROLLOFF * _MOST_RATIO)  # neighbours on each side
    padded = torch.nn.functional.pad(samples, (reach, reach + 1))
    places = torch.arange(n_samples, dtype=torch.float64, device=samples.device)
    places = places * ratios.double()[:, None]  # in float32 an hour of samples has no fractions
    behind = (places - places.floor()).float()
    first = places.long().clamp(max=samples.shape[1]) + reach
    band = _ROLLOFF * torch.clamp(1 / ratios, max=1)[:, None]  # of the lower of the two rates
    half = torch.pi * band
    sine, cosine = torch.sin(half * behind), torch.cos(half * behind)
    taper_sine = torch.sin(half / _N_ZEROS * behind)
    taper_cosine = torch.cos(half / _N_ZEROS * behind)
    out = torch.zeros_like(behind)
    for tap in range(1 - reach, reach + 1):
        turn, away = half * tap, behind - tap
        wave = sine * torch.cos(turn) - cosine * torch.sin(turn)
        wave = torch.where(away.abs() < _NEAR, band, wave / (torch.pi * away))
        turn = turn / _N_ZEROS
        taper = taper_cosine * torch.cos(turn) + taper_sine * torch.sin(turn)
        weight = torch.where(away.abs() * band < _N_ZEROS, wave * (0.5 + 0.5 * taper), 0)
        out += weight * padded.gather(1, first + tap)
    return out


def stretched(spectrum: Tensor, ratios: Tensor, longest: float) -> Tensor:
    """Return spectra, `[n, n_bins, n_frames]`, of sounds that last `ratios` times as long.

    All rows have as many frames as one that is `longest` times as long; behind its end a shorter
    one holds its last frame.
    """
    frames = spectrum.permute(2, 0, 1).contiguous()
    row = torch.arange(len(ratios), device=spectrum.device)
    n_steps = math.ceil(len(frames) * longest) + _N_FFT // (2 * _HOP)
    place = torch.arange(n_steps, device=row.device)[:, None] / ratios
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
