"""Log-mel against its peers and its limit, side by side in one run, on one thread.

    python benchmarks/features.py

Peers: librosa and torchaudio. Limit: the bare FFTs of all frames, which nothing that uses that FFT
can beat; the fused kernel has an FFT of its own. Each is the median of runs taken in turn, so that
a drift of the machine hits all alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import librosa
import numpy as np
import scipy.fft
import torch
import torchaudio
from threadpoolctl import threadpool_limits

from pipeline.audio.logmel import LogMelSpec, log_mel, plain_log_mel

SECONDS, N_ROUNDS = 10, 15


def librosas(samples: np.ndarray, spec: LogMelSpec) -> np.ndarray:
    """Return librosa's log-mel of the same spec."""
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=spec.sample_rate_hz,
        n_fft=spec.n_fft,
        hop_length=spec.hop,
        n_mels=spec.n_mels,
    )
    return np.asarray(librosa.power_to_db(power, top_db=None))


def contenders(samples: np.ndarray, spec: LogMelSpec) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""
    mel = torchaudio.transforms.MelSpectrogram(
        spec.sample_rate_hz,
        spec.n_fft,
        hop_length=spec.hop,
        n_mels=spec.n_mels,
        pad_mode="constant",
        norm="slaney",
        mel_scale="slaney",
    )
    to_db = torchaudio.transforms.AmplitudeToDB(top_db=None)
    tensor = torch.from_numpy(samples)
    padded = np.pad(samples, spec.n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, spec.n_fft)[:: spec.hop].copy()
    return {
        "librosa": lambda: librosas(samples, spec),
        "torchaudio": lambda: to_db(mel(tensor)),
        "timbre": lambda: log_mel(samples, spec),
        "timbre, plain path": lambda: plain_log_mel(samples, spec),
        "bare FFT (scipy)": lambda: scipy.fft.rfft(frames),
    }


def main() -> None:
    """Time every contender in turn, and print milliseconds and ratios."""
    torch.set_num_threads(1)
    spec = LogMelSpec()
    rng = np.random.default_rng(0)
    samples = (rng.standard_normal(SECONDS * spec.sample_rate_hz) * 0.1).astype(np.float32)
    runs = contenders(samples, spec)
    times: dict[str, list[float]] = {name: [] for name in runs}
    with threadpool_limits(1):
        for _ in range(N_ROUNDS + 1):
            for name, run in runs.items():
                began = time.perf_counter()
                run()
                times[name].append(1000 * (time.perf_counter() - began))
    medians = {name: float(np.median(values[1:])) for name, values in times.items()}
    error_db = np.abs(log_mel(samples, spec) - librosas(samples, spec)).max()
    print(f"log-mel of {SECONDS} s at {spec.sample_rate_hz} Hz, {spec.n_mels} bands, one thread")
    print(f"largest difference from librosa: {error_db:.1e} dB\n")
    print(f"{'':<20}{'ms':>8}{'librosa = 1':>14}{'bare FFT = 1':>15}")
    for name, ms in medians.items():
        speed, share = medians["librosa"] / ms, medians["bare FFT (scipy)"] / ms
        print(f"{name:<20}{ms:>8.2f}{speed:>13.2f}x{share:>14.2f}x")


if __name__ == "__main__":
    main()
