"""A file of nothing but noise in, the profile by which it is taken away out."""

from __future__ import annotations

from pipeline.audio.decoding.decode import decode
from pipeline.audio.description.noise_gate import NoiseProfile
from pipeline.errors import ItemFault, UsageError
from pipeline.store.track import open_track

_MAX_S = 600.0


def read_noise(sample_rate_hz: int, uri: str) -> NoiseProfile:
    """Return the profile of a clip of noise, at a sample rate; UsageError where it is none."""
    try:
        source = open_track(uri)
        samples = decode(source, sample_rate_hz=sample_rate_hz, max_duration_s=_MAX_S)
        return NoiseProfile.of(samples, sample_rate_hz)
    except ItemFault as fault:
        raise UsageError(f"--prepare denoise:{uri}: {fault.detail}; name an audio file") from fault
    except UsageError as error:
        raise UsageError(f"--prepare denoise:{uri}: {error}") from error
