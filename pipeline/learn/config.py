"""Everything that decides a training run but the data."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import UsageError
from pipeline.learn.augment import AUGMENTATIONS
from pipeline.learn.sampling import BALANCES, SAMPLINGS


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run but the data; defaults are the report's ResNet-50."""

    model: str = "resnet50"
    """A timm backbone, or one of our own networks."""
    input_size: tuple[int, int] = (256, 256)
    """Log-mels are resized to this height (mel) and width (time)."""
    epochs: int = 35
    batch_size: int = 16
    """Windows a step and worker."""
    window_s: float = 1.0
    lr: float = 2e-4
    """Learning rate after the warm-up."""
    lr_end: float = 1e-6
    """Learning rate that the decay ends at."""
    warmup: float = 0.05
    """Share of the steps with a linear rise."""
    power: float = 0.7
    """Of the polynomial decay."""
    weight_decay: float = 1e-5
    dropout: float = 0.2
    """Before the head."""
    ema: float = 0.99
    """Decay a step of the running mean of the weights, which is what is validated and kept."""
    augment: tuple[str, ...] = ("masks", "tilt", "mix", "shift")
    """Names in `augment.AUGMENTATIONS`; those that do not fit what is heard do nothing."""
    weights: str | None = None
    """Weights to begin with: 'imagenet', or a path."""
    accumulate: int = 1
    """Batches a step."""
    patience: int | None = None
    """Stop after so many epochs without a better validation loss."""
    head_lr: float | None = None
    """Learning rate of the last layers, where it is another; decays to `head_lr_end`."""
    head_lr_end: float | None = None
    head_weight_decay: float | None = None
    sampling: str = "plain"
    """plain: every window once; dynamic, persistent: clips mixed (`learn.sampling`)."""
    mix_min: int = 1
    """Clips a draw of dynamic sampling has, at least,"""
    mix_max: int = 3
    """and at most."""
    balance: str = "none"
    """none, sqrt or full: windows by the rarest class of their clip (`learn.sampling`)."""
    activity: bool = True
    """Leave out windows that tagging leaves out: silence and noise (`audio.activity`)."""
    folds: int | None = None
    """Divide train and val anew, by video, into so many parts,"""
    fold: int = 0
    """of which this one is held out."""
    seed: int = 0
    aggregation: str = "s2"
    """How windows become a clip, in validation and by default in tagging."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "window_s", "lr", "accumulate", "patience", "head_lr"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"--{name.replace('_', '-')} {value}: expected more than 0")
        if not self.weight_decay >= 0:
            raise UsageError(f"--weight-decay {self.weight_decay}: expected 0 or more")
        if unknown := sorted(set(self.augment) - set(AUGMENTATIONS)):
            raise UsageError(
                f"--augment {','.join(unknown)}: expected some of {','.join(AUGMENTATIONS)}"
            )
        if self.folds is not None and not (self.folds >= 3 and 0 <= self.fold < self.folds):
            raise UsageError(f"--folds {self.folds}: expected 3 or more")
        if self.sampling not in SAMPLINGS:
            raise UsageError(f"--sampling {self.sampling}: expected {', '.join(SAMPLINGS)}")
        self._check_balance()

    def _check_balance(self) -> None:
        if self.balance not in BALANCES:
            raise UsageError(f"--balance {self.balance}: expected {', '.join(BALANCES)}")
        if self.balance != "none" and self.sampling == "dynamic":
            raise UsageError(
                f"--balance {self.balance}: --sampling dynamic draws classes evenly already; leave "
                "it out"
            )
