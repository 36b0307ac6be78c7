"""Writes timbral_reference.json: what timbral_models 0.4.0 says of the 200 sounds.

    python3.10 -m venv ref
    ref/bin/pip install numpy==1.23.5 numba==0.56.4 librosa==0.9.2 scipy==1.10.1 \
        scikit-learn==1.2.2 pyloudnorm==0.1.1 six soundfile
    ref/bin/pip install --no-deps timbral_models==0.4.0
    ref/bin/python -m tests.audio.make_timbral_reference

The newest librosa that its calls are valid for; nothing of it is changed. Its models are asked one
by one, so that one that raises leaves the others; null is for such a one. Rounded to 6 digits.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import timbral_models as reference

from tests.audio.timbral_sounds import N_SOUNDS, RATE_HZ, sound

MODELS = {
    "depth": reference.timbral_depth,
    "brightness": reference.timbral_brightness,
    "roughness": reference.timbral_roughness,
    "warmth": reference.timbral_warmth,
    "sharpness": reference.timbral_sharpness,
    "boominess": reference.timbral_booming,
    "hardness": reference.timbral_hardness,
    "reverb": reference.timbral_reverb,
    "reverberation_time_s": lambda y, fs: reference.timbral_reverb(y, fs=fs, dev_output=True)[0],
}


def asked(name: str, samples: np.ndarray) -> float | None:
    """Return what one model says; None where it raises or gives no finite number."""
    try:
        value = float(MODELS[name](samples.astype(np.float64), fs=RATE_HZ))
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        return None
    return float(f"{value:.6g}") if np.isfinite(value) else None


def main() -> None:
    """Ask for all sounds, and write the numbers: a list per descriptor, by number of the sound."""
    warnings.simplefilter("ignore")
    rows = []
    for number in range(N_SOUNDS):
        samples = sound(number)
        rows.append({name: asked(name, samples) for name in MODELS})
        print(number, rows[-1], flush=True)
    columns = {name: [row[name] for row in rows] for name in MODELS}
    lines = [f"{json.dumps(name)}: {json.dumps(values)}" for name, values in columns.items()]
    path = Path(__file__).parent / "timbral_reference.json"
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
