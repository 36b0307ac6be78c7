"""Timbral descriptors, and their authors' package beside them: milliseconds per second of sound.

    python benchmarks/timbral.py
    python benchmarks/timbral.py --reference-python ref/bin/python

The reference is timbral_models 0.4.0 in an environment of its own, which
tests/audio/make_timbral_reference.py says how to make. Both get the same sounds: drums, tones,
chords, noise and a melody, by formulas, and one of 20 s. Time is CPU time of the thread, on one
thread, the median over rounds; the first round, which loads and compiles, is left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.arrays import Float32
from pipeline.audio.description.timbral.descriptors import timbral_descriptors

RATE_HZ, N_ROUNDS = 44_100, 3
_REFERENCE = """
import json, sys, time, warnings
import numpy as np, timbral_models
warnings.simplefilter("ignore")
sounds = dict(np.load(sys.argv[1]))
times = {name: [] for name in sounds}
for _ in range(int(sys.argv[2]) + 1):
    for name, samples in sounds.items():
        began = time.thread_time()
        timbral_models.timbral_extractor(samples.astype(float), fs=44100, verbose=False)
        times[name].append(time.thread_time() - began)
print(json.dumps({name: float(np.median(values[1:])) for name, values in times.items()}))
"""


def sounds() -> dict[str, Float32]:
    """Return the sounds that are timed, by name."""
    rng = np.random.default_rng(0)

    def notes(seconds: float, *pitches_hz: float) -> np.ndarray:
        """Return notes of eight partials, struck every 0.5 s, in noise 60 dB below them."""
        time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
        partials = [
            np.sin(2 * np.pi * k * hz * time_s) / k for hz in pitches_hz for k in range(1, 9)
        ]
        struck = np.sum(partials, axis=0) * np.exp(-4 * (time_s % 0.5))
        return np.asarray(struck + 1e-3 * rng.standard_normal(len(time_s)))

    drum = rng.standard_normal(RATE_HZ) * np.exp(-np.arange(RATE_HZ) / 4000)
    made = {
        "drum, 1 s": drum,
        "noise, 2 s": rng.standard_normal(2 * RATE_HZ),
        "notes, 2 s": notes(2, 220.0),
        "chords, 3 s": notes(3, 220.0, 277.2, 329.6),
        "chords, 20 s": notes(20, 220.0, 277.2, 329.6),
    }
    return {name: (0.3 * one / np.abs(one).max()).astype(np.float32) for name, one in made.items()}


def own_s(made: dict[str, Float32]) -> dict[str, float]:
    """Return the CPU seconds that each sound takes here."""
    times: dict[str, list[float]] = {name: [] for name in made}
    with threadpool_limits(1):
        for _ in range(N_ROUNDS + 1):
            for name, samples in made.items():
                began = time.thread_time()
                timbral_descriptors(samples, RATE_HZ)
                times[name].append(time.thread_time() - began)
    return {name: float(np.median(values[1:])) for name, values in times.items()}


def reference_s(made: dict[str, Float32], python: str) -> dict[str, float]:
    """Return the CPU seconds that each sound takes timbral_models, under another interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sounds.npz"
        np.savez(path, **made)  # type: ignore[arg-type]
        done = subprocess.run(
            [python, "-c", _REFERENCE, str(path), str(N_ROUNDS)],
            check=True,
            capture_output=True,
            text=True,
            env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HOME": folder},
        )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Time both, and print milliseconds per second of sound."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--reference-python", help="interpreter that can import timbral_models")
    python = parser.parse_args().reference_python
    made = sounds()
    own, theirs = own_s(made), reference_s(made, python) if python else {}
    print("CPU milliseconds per second of sound, eight descriptors, one thread")
    print(f"{'':<16}{'timbre':>10}{'timbral_models':>16}{'ratio':>8}")
    for name, samples in made.items():
        ms = 1000 * RATE_HZ / len(samples)
        line = f"{name:<16}{own[name] * ms:>10.0f}"
        if theirs:
            line += f"{theirs[name] * ms:>16.0f}{theirs[name] / own[name]:>8.1f}"
        print(line)


if __name__ == "__main__":
    main()
