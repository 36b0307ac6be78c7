"""The trainings that names stand for: the report's runs, and what kinds of models ask for.

Light to import, as the defaults of `jobs.train` come from here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from pipeline.errors import UsageError
from pipeline.models.names import CLASSICAL, NETWORKS, PROBE
from pipeline.training.config import TrainConfig
from pipeline.training.regression.checks import REGRESSION

_ALL = ("noise", "pitch", "shift", "masks")

_CNN = TrainConfig(
    model="cnn1d-raw",
    lr=1e-3,
    lr_end=1e-5,
    weight_decay=5e-4,
    augment=("noise", "shift", "pitch"),
    ema=0.0,
)

_BENCHMARK = TrainConfig(
    lr=1e-4,
    weight_decay=1e-4,
    dropout=0.5,
    augment=("shift",),
    ema=0.0,
    select="map",
    aggregation="s1",
)

_BENCHMARK_WINDOWS_S = {
    "fcn": 10.0,
    "musicnn": 3.0,
    "samplecnn": 59_049 / 16_000,
    "samplecnn-se": 59_049 / 16_000,
    "harmonic-cnn": 5.0,
    "cnn-sa": 10.0,
}
"""Windows of Won et al. 2020. Theirs of fcn and cnn-sa are 29 and 15 s; AudioSet's clips 10."""

_REGRESSION = TrainConfig(
    task=REGRESSION, epochs=20, augment=(), activity=False, select="mae", aggregation="s1"
)
"""The notes' epochs, the sound as it is, quiet windows too, the mean over a clip's windows."""

_TIMBRAL = replace(_REGRESSION, lr=3e-4, lr_end=1e-5, weight_decay=0.0, dropout=0.0, ema=0.0)

PRESETS: Mapping[str, TrainConfig] = MappingProxyType(
    {
        "harmony-resnet50": TrainConfig(weights="imagenet", augment=_ALL, ema=0.0),
        "harmony-ast": TrainConfig(
            model="ast",
            lr=2e-5,
            lr_end=2e-6,
            weight_decay=1e-4,
            head_lr=1e-3,
            head_lr_end=1e-4,
            head_weight_decay=1e-3,
            augment=_ALL,
            ema=0.0,
        ),
        "harmony-cnn1d-raw": _CNN,
        "harmony-cnn2d-mfcc": replace(_CNN, model="cnn2d-mfcc"),
        "harmony-cnn1d-descriptors": replace(_CNN, model="cnn1d-descriptors"),
    }
    | {
        f"benchmark-{model}": replace(_BENCHMARK, model=model, window_s=window_s)
        for model, window_s in _BENCHMARK_WINDOWS_S.items()
    }
    | {model: replace(_TIMBRAL, model=model) for model in NETWORKS if model.startswith("timbral-")}
)
"""harmony-NAME: the report's runs, with batch 16, 35 epochs, 5 % warm-up, decay of power 0.7, the
best by S2. benchmark-NAME: networks of Won et al. 2020, "Evaluation of CNN-based automatic music
tagging models", with the same schedule and their settings: Adam at 1e-4, batch 16, windows drawn
anywhere in a clip, means over windows, the best by average precision. timbral-NAME: the four
regressors of timbral descriptors, 20 epochs with Adam; the notes do not say its rate or batch."""


CLASSICAL_WINDOW_S = 10.0
"""The notes' classifiers hear a clip's means and variances: windows as long as AudioSet's clips."""


PROBE_CONFIG = TrainConfig(
    model=PROBE,
    window_s=10.0,
    epochs=100,
    batch_size=32,
    lr=1e-3,
    weight_decay=1e-2,
    dropout=0.5,
    ema=0.0,
    augment=(),
    patience=25,
    select="s1-loss",
    aggregation="s1",
)
"""A probe's window is a clip, and S2 of one window would only say which class is its loudest."""


GPU_BATCH = 64
"""Windows a step and worker on a GPU by default, four times those of a CPU."""


def for_gpu(config: TrainConfig) -> TrainConfig:
    """Return the defaults of a network on a GPU: a batch of `GPU_BATCH`, and the rates that fit.

    For Adam the learning rate grows with the square root of the batch (Malladi et al., "On the SDEs
    and scaling rules for adaptive gradient algorithms", NeurIPS 2022): here twice the rate.
    """
    if config.model in (*CLASSICAL, PROBE):
        return config
    factor = math.sqrt(GPU_BATCH / config.batch_size)
    return replace(
        config, batch_size=GPU_BATCH, lr=config.lr * factor, lr_end=config.lr_end * factor
    )


def preset(name: str | None, model: str | None = None, task: str | None = None) -> TrainConfig:
    """Return a preset; without a name, the defaults of a model for a task."""
    if name is None and task == REGRESSION:
        of_kind = _TIMBRAL if model in PRESETS else _REGRESSION
        return replace(of_kind, model=model or TrainConfig.model)
    if name is None and model in CLASSICAL:
        return TrainConfig(model=str(model), window_s=CLASSICAL_WINDOW_S)
    if name is None and model == PROBE:
        return PROBE_CONFIG
    if name is None:
        return TrainConfig(model=model or TrainConfig.model)
    if name not in PRESETS:
        raise UsageError(f"--preset {name!r}: expected one of {', '.join(PRESETS)}")
    return PRESETS[name]
