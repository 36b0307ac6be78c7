"""What a regressor trains with: the windows of a dataset with measured targets in place of classes.

The targets are timbral descriptors of the clips (`training.regression.targets`), scaled to 0..1 by
what the training clips have. Clips without any target are left out, and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.datasets.training_data import TrainingData
from pipeline.errors import UsageError
from pipeline.models.model import Architecture, Tagger
from pipeline.models.regression import Regression
from pipeline.selection.vocabulary import Vocabulary
from pipeline.store.dataset import Dataset
from pipeline.training.config import TrainConfig
from pipeline.training.data.window_set import WindowSet
from pipeline.training.regression.checks import REGRESSION
from pipeline.training.regression.descriptors import TARGETS, undefined
from pipeline.training.regression.targets import ClipTargets, mapped_targets
from schemas.dataset import DatasetRecord


@dataclass(frozen=True)
class RegressionData(TrainingData):
    """What a regressor learns from: a dataset without its classes, and its clips' targets."""

    @property
    def vocabulary(self) -> Vocabulary:
        """No classes: whatever the clips are labelled with plays no part."""
        return Vocabulary(())

    @property
    def architecture(self) -> Architecture:
        """What it takes to build the network: an output a target."""
        output = self.config.output_activation
        return replace(super().architecture, n_classes=len(TARGETS), output=output)

    @property
    def about(self) -> dict[str, Any]:
        """The ranges of the targets, and how many clips of each split have none, by why."""
        left_out = {split: self._targets(split).left_out for split in ("train", "val")}
        return {"regression": self.regression.to_dict(), "without_targets": left_out}

    @cached_property
    def regression(self) -> Regression:
        """The targets, with the ranges of the training clips."""
        values = self._targets("train").values
        if nowhere := undefined(values):
            raise UsageError(
                f"{self.dataset.folder.uri}: no clip to learn from has a value of "
                f"{', '.join(nowhere)}: silence, sounds below 20 ms and some constant sounds "
                "have none; listen to them with jobs.explore"
            )
        return Regression.of(TARGETS, values)

    def new_model(self, train_set: WindowSet) -> Tagger:
        """Return the network before it has learned: it says each target's median, or near it.

        That is the best constant. A network whose hidden units die, as those of few units may, is
        left with the biases of its last layer, and these are slow to get there by themselves.
        """
        model = super().new_model(train_set)
        head: Any = model.backbone.get_classifier()  # type: ignore[operator]
        if isinstance(head, nn.Linear) and head.bias is not None:
            medians = self.regression.scaled(
                np.array([[t.median for t in self.regression.targets]])
            )
            begin = torch.from_numpy(medians[0]).float()
            is_linear = self.config.output_activation == "linear"
            with torch.no_grad():
                head.bias.copy_(begin if is_linear else torch.logit(begin, eps=0.01))
        return model

    def part(self, part: str, windows_of: Callable[[list[str]], WindowSet]) -> WindowSet:
        """Return train or val, with targets of 0..1 and without the clips that have none."""
        windows = windows_of([part])
        found = self._targets(part).of(windows.segment_ids)
        targets = self.regression.scaled(found.values).astype(np.float32)
        there = np.flatnonzero(~np.isnan(targets).all(axis=1))
        if not len(there):
            raise UsageError(f"{self.dataset.folder.uri}: no clip in {part} has a descriptor")
        return replace(windows, targets=targets).subset(there)

    def _targets(self, split: str) -> ClipTargets:
        return mapped_targets(self.dataset, split, self.cache)


def training_data_of(dataset: Dataset, meta: DatasetRecord, config: TrainConfig) -> TrainingData:
    """Return what a config's task learns from a dataset."""
    kind = RegressionData if config.task == REGRESSION else TrainingData
    return kind(dataset, meta, config)
