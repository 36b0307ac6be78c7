"""Window sets in, a fitted classifier of scikit-learn's and its one epoch of history out."""

from __future__ import annotations

import numpy as np
import torch

from pipeline.models.model import Tagger
from pipeline.models.networks.classical import Classical, pooled
from pipeline.training.config import TrainConfig
from pipeline.training.cost import CostMeter
from pipeline.training.data.window_set import WindowSet
from pipeline.training.loop import Progress, weights_of
from pipeline.training.validation import validation_figures


def fit_classical(
    config: TrainConfig, model: Tagger, train_set: WindowSet, val_set: WindowSet
) -> Progress:
    """Fit the model's classifier to every window of the training set; return it as a run's end."""
    classifier = model.backbone
    if not isinstance(classifier, Classical):
        raise TypeError(f"model {config.model!r} is not a classical one")
    device = torch.device("cpu")
    meter = CostMeter(device)
    points = [
        pooled(model.prepared(torch.from_numpy(train_set.clip_windows(clip)))).numpy()
        for clip in range(len(train_set.matrices))
    ]
    classifier.fit(np.concatenate(points), train_set.targets[train_set.clip_of], config.seed)
    judged = [
        validation_figures(model, data, config, device, precision="f32")
        for data in (train_set, val_set)
    ]
    row = {"epoch": 1.0, "train_loss": judged[0]["val_loss"], **judged[1], **meter()}
    windows = {"learned": len(train_set), "left_out": train_set.n_left_out}
    return Progress(1, row["val_loss"], weights_of(model), [row], windows=windows)
