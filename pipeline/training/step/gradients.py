"""A batch in, the gradients of its losses added to the network: augmented, by the task's loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.models.engines.precision import autocast
from pipeline.models.model import Tagger
from pipeline.training.augmenting.augment import augment, augment_samples, masks
from pipeline.training.config import TrainConfig
from pipeline.training.data.window_set import Batch
from pipeline.training.regression.checks import REGRESSION
from pipeline.training.regression.figures import absolute_errors
from pipeline.training.spectra.logmel import SamplesToLogMel
from pipeline.training.step.losses import one_label_losses, window_losses
from pipeline.training.step.ranks import rank_and_count
from pipeline.training.step.triplets import triplet_losses, with_embeddings
from pipeline.training.transfer.distillation import Distiller, joint_losses, students_own

SamplesToInput = SamplesToLogMel | Distiller
"""What makes the model's input of windows of samples; of a distiller also soft targets."""


@dataclass(frozen=True)
class Gradients:
    """How a batch becomes gradients of the mean loss over all ranks."""

    config: TrainConfig
    model: Tagger
    network: nn.Module
    """The model, or what shares its gradients with the other ranks."""
    samples: SamplesToInput | None
    """What makes the model's input, where a batch's windows are samples."""
    precision: str

    def add(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Add a batch's gradients; return this rank's share of the mean loss over all ranks."""
        device, config, soft = rng.device, self.config, None
        windows = torch.from_numpy(batch.windows).to(device, non_blocking=True)
        targets = torch.from_numpy(batch.targets).to(device, non_blocking=True)
        if isinstance(self.samples, Distiller):
            windows, targets, soft = self.samples.taught(windows, targets, rng, config.augment)
            config = students_own(config)
        elif self.samples is not None:
            windows = self.samples(windows, rng, config.augment)
        windows = self.model.resized(windows)
        weights = torch.from_numpy(batch.weights).to(device, non_blocking=True)
        windows, targets = augmented(self.model, windows, targets, config, rng)
        losses, logits = self._losses(windows, targets)
        if soft is not None:
            losses = joint_losses(logits, targets, soft, config.hard_share)
        total = (losses * weights).sum() / batch.n_global
        n_ranks = rank_and_count()[1]  # DDP takes the mean over ranks, we want the sum
        (total * n_ranks / config.accumulate).backward()  # type: ignore[no-untyped-call]
        return total.detach()

    def _losses(self, windows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses of windows, `[n]`, by the task and its loss, and their logits."""
        config = self.config
        if config.loss == "triplet":
            with autocast(windows.device, self.precision):
                logits, embeddings = with_embeddings(self.network, self.model, windows)
            logits = logits.float()
            return window_losses(logits, targets) + triplet_losses(embeddings, targets), logits
        with autocast(windows.device, self.precision):
            logits = self.network(windows).float()
        if config.task == REGRESSION:
            is_linear = config.output_activation == "linear"
            return absolute_errors(logits if is_linear else logits.sigmoid(), targets), logits
        of_windows = one_label_losses if config.loss == "softmax" else window_losses
        return of_windows(logits, targets), logits


def augmented(
    model: Tagger, windows: Tensor, targets: Tensor, config: TrainConfig, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Disturb windows as fits what they are: dB, samples, or rows of a feature."""
    if (unit := model.db_per_unit) is not None:
        windows, targets = augment(windows * unit, targets, rng, config.augment)
        return windows / unit, targets
    if model.architecture.input_shape[0] == 1:
        samples, targets = augment_samples(
            model.levelled(windows)[:, 0],
            targets,
            rng,
            config.augment,
            mean=model.row_mean,
            deviation=model.row_deviation,
        )
        return samples[:, None], targets
    if "masks" in config.augment:  # by rows of like scale: a window's mean means nothing in hertz
        scaled = masks(model.scaled(windows), rng)
        windows = scaled * model.row_deviation + model.row_mean
    return windows, targets
