"""Log-mel against its peers and its limit, side by side in one run, on one thread.

    python benchmarks/features.py

Peers: librosa and torchaudio. Limit: the bare FFTs of all frames, which nothing that uses that FFT
can beat; the fused kernel has an FFT of its own. Then the front ends of pretrained taggers, beside
the fused log-mel. Each is the median of runs taken in turn, so that a drift of the machine hits all
alike, and in seconds of the thread's CPU: what else the machine does is not in them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import librosa
import numpy as np
import scipy.fft
import torch
import torchaudio
from threadpoolctl import threadpool_limits

from pipeline.audio.spectra.filterbank import FilterBankInput, FilterBankSpec
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.kaldi import KaldiInput
from pipeline.audio.spectra.logmel import LogMelSpec, log_mel, plain_log_mel
from pipeline.models.pretrained.efficientat import INPUT as EFFICIENTAT

SECONDS, N_ROUNDS = 10, 15

FRONT_ENDS: dict[str, InputSpec] = {
    "S (EfficientAT)": EFFICIENTAT,
    "C (CED)": FilterBankInput(
        FilterBankSpec(16_000, 512, 512, 160, 64, 0, 8000, "htk", logarithm="db", floor=1e-10)
    ),
    "P (PANNs)": FilterBankInput(
        FilterBankSpec(
            32_000, 1024, 1024, 320, 64, 50, 14_000, equal_area=True, logarithm="db", floor=1e-10
        )
    ),
    "Y (YAMNet)": FilterBankInput(
        FilterBankSpec(
            16_000, 400, 512, 160, 64, 125, 7500, "kaldi", is_centred=False, power=1, offset=1e-3
        )
    ),
    "K (AST)": KaldiInput(),
}


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


def medians_ms(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median time of each, of runs taken in turn; the first round is left out."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    with threadpool_limits(1):
        for _ in range(N_ROUNDS + 1):
            for name, run in runs.items():
                began = time.thread_time()
                run()
                times[name].append(1000 * (time.thread_time() - began))
    return {name: float(np.median(values[1:])) for name, values in times.items()}


def noise(sample_rate_hz: int) -> np.ndarray:
    """Return the samples that are timed: white noise."""
    rng = np.random.default_rng(0)
    return (rng.standard_normal(SECONDS * sample_rate_hz) * 0.1).astype(np.float32)


def time_log_mel(spec: LogMelSpec) -> None:
    """Time the log-mel against its peers, and print milliseconds and ratios."""
    samples = noise(spec.sample_rate_hz)
    medians = medians_ms(contenders(samples, spec))
    error_db = np.abs(log_mel(samples, spec) - librosas(samples, spec)).max()
    print(f"log-mel of {SECONDS} s at {spec.sample_rate_hz} Hz, {spec.n_mels} bands, one thread")
    print(f"largest difference from librosa: {error_db:.1e} dB\n")
    print(f"{'':<20}{'ms':>8}{'librosa = 1':>14}{'bare FFT = 1':>15}")
    for name, ms in medians.items():
        speed, share = medians["librosa"] / ms, medians["bare FFT (scipy)"] / ms
        print(f"{name:<20}{ms:>8.2f}{speed:>13.2f}x{share:>14.2f}x")


def time_front_ends(spec: LogMelSpec) -> None:
    """Time the front ends of pretrained taggers against the log-mel, for as many seconds."""
    inputs = {name: (one, noise(one.sample_rate_hz)) for name, one in FRONT_ENDS.items()}
    samples = noise(spec.sample_rate_hz)
    runs: dict[str, Callable[[], object]] = {"log-mel": lambda: log_mel(samples, spec)}
    for name, (one, own) in inputs.items():
        runs[name] = partial(one.matrix, own)
    print(f"\n{'front end':<20}{'ms':>8}{'s of audio a s':>16}{'log-mel = 1':>14}")
    medians = medians_ms(runs)
    for name, ms in medians.items():
        speed = medians["log-mel"] / ms
        print(f"{name:<20}{ms:>8.2f}{1000 * SECONDS / ms:>16.0f}{speed:>13.2f}x")


def main() -> None:
    """Time every contender in turn, and print milliseconds and ratios."""
    torch.set_num_threads(1)
    time_log_mel(LogMelSpec())
    time_front_ends(LogMelSpec())


if __name__ == "__main__":
    main()
