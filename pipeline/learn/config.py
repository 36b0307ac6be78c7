"""Everything that decides a training run but the data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from pipeline.errors import UsageError
from pipeline.learn.augment import AUGMENTATIONS
from pipeline.learn.networks.ast_weights import PRETRAINED
from pipeline.learn.networks.pooling import POOLS
from pipeline.learn.networks.probe import PROBE
from pipeline.learn.precision import PRECISIONS
from pipeline.learn.sampling import BALANCES, SAMPLINGS
from pipeline.learn.selection import DEFAULT, SELECTIONS

NO_WEIGHTS = "none"
"""The value of `weights` that says: begin from nothing."""
HARD_SHARE = 0.1
_LEAST_LR_FROM_NOTHING = 1e-4  # below are the rates of fine-tuning

_LATER = (
    *("precision", "select", "deterministic", "balance", "activity"),
    *("encoder", "hidden", "init", "freeze", "pool", "teacher", "hard_share"),
)
"""Fields that runs of older versions do not have."""
_NOT_NAMED = ("loader_processes",)
"""Fields that decide how fast a run is, and not what comes out."""


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
    """Names in `augment.AUGMENTATIONS`; those that do not fit the front end do nothing."""
    weights: str | None = None
    """Weights to begin with: 'imagenet', or a path; 'none' says that there shall be none."""
    accumulate: int = 1
    """Batches a step."""
    patience: int | None = None
    """Stop after so many epochs without a better one, by `select`."""
    select: str = DEFAULT
    """What chooses the epoch that is kept: one of `selection.SELECTIONS`."""
    deterministic: bool = False
    """Whether only deterministic operations may be used: the same bytes again, on a GPU too."""
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
    precision: str = "auto"
    """auto, f32 or bf16: the arithmetic of the network (`learn.precision`)."""
    loader_processes: int | None = None
    """Processes that randomise windows, a worker; 0: a thread. None: a core less than it has."""
    encoder: tuple[str, ...] = ()
    """Of a probe: folders of the models whose embeddings it is fitted on."""
    hidden: int = 256
    """Of a probe: width of the hidden layer; 0: none, a linear layer."""
    init: str | None = None
    """Folder of the model that is fine-tuned (`learn.fine_tuning`); None: `weights` says."""
    freeze: int = 0
    """Of that model, so many blocks at its beginning stay as they are (`networks.blocks`)."""
    pool: str | None = None
    """One of `networks.pooling.POOLS`: of frames over time; None: as the network does itself."""
    teacher: tuple[str, ...] = ()
    """Folders of the models whose scores are soft targets (`learn.distillation`)."""
    hard_share: float = HARD_SHARE
    """With teachers, the share of the loss that labels have (lambda); Schmid et al. 2023: 0.1."""
    aggregation: str = "s2"
    """How windows become a clip, in validation and by default in tagging."""

    def identity(self) -> dict[str, Any]:
        """Return what a run is named by: fields that came later only where they say something.

        So a run that an older version has begun or ended keeps its name.
        """
        defaults = {field.name: field.default for field in fields(self)}
        values = asdict(self)
        named = {k: v for k, v in values.items() if k not in _NOT_NAMED}
        return {k: v for k, v in named.items() if k not in _LATER or v != defaults[k]}

    def __post_init__(self) -> None:
        self._check_numbers()
        if unknown := sorted(set(self.augment) - set(AUGMENTATIONS)):
            raise UsageError(
                f"--augment {','.join(unknown)}: expected some of {','.join(AUGMENTATIONS)}"
            )
        if self.folds is not None and not (self.folds >= 3 and 0 <= self.fold < self.folds):
            raise UsageError(f"--folds {self.folds}: expected 3 or more")
        choices = {"select": SELECTIONS, "sampling": SAMPLINGS, "precision": PRECISIONS}
        for name, allowed in choices.items():
            if (value := getattr(self, name)) not in allowed:
                raise UsageError(f"--{name} {value}: expected {', '.join(allowed)}")
        self._check_balance()
        self._check_transfer()

    def _check_transfer(self) -> None:
        if self.init is not None and self.begins_from is not None:
            raise UsageError(f"--weights {self.weights}: --init names what it begins from already")
        if self.freeze < 0 or (self.freeze and self.init is None):
            raise UsageError(f"--freeze {self.freeze}: expected 0 or more, and a model as --init")
        if self.pool not in (None, *POOLS):
            raise UsageError(f"--pool {self.pool}: expected {', '.join(POOLS)}")
        if not 0 <= self.hard_share <= 1:
            raise UsageError(f"--hard-share {self.hard_share}: expected 0 to 1")
        if self.hard_share != HARD_SHARE and not self.teacher:
            raise UsageError(f"--hard-share {self.hard_share}: give a teacher, --teacher MODEL")
        if len(set(self.teacher)) < len(self.teacher):
            raise UsageError(f"--teacher {','.join(self.teacher)}: name each model once")

    def _check_numbers(self) -> None:
        for name in ("epochs", "batch_size", "window_s", "lr", "accumulate", "patience", "head_lr"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"--{name.replace('_', '-')} {value}: expected more than 0")
        for name in ("weight_decay", "loader_processes"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise UsageError(f"--{name.replace('_', '-')} {value}: expected 0 or more")

    def _check_balance(self) -> None:
        if self.balance not in BALANCES:
            raise UsageError(f"--balance {self.balance}: expected {', '.join(BALANCES)}")
        if self.balance != "none" and self.sampling == "dynamic":
            raise UsageError(
                f"--balance {self.balance}: --sampling dynamic draws classes evenly already; leave "
                "it out"
            )

    @property
    def begins_from(self) -> str | None:
        """The weights to begin with, None where there are none."""
        return None if self.weights == NO_WEIGHTS else self.weights


def check_start(config: TrainConfig) -> None:
    """Raise UsageError for a probe without encoders, and what else cannot be meant.

    So an AST that would be fine-tuned from nothing, unless that is said.
    """
    _check_probe(config)
    begins_anew = config.weights is None and config.init is None
    if config.model == "ast" and begins_anew and config.lr < _LEAST_LR_FROM_NOTHING:
        raise UsageError(
            f"model 'ast': its 86 million parameters learn next to nothing from nothing at --lr "
            f"{config.lr:g}; give --weights FOLDER (hf download {PRETRAINED} --local-dir FOLDER), "
            "or --weights none to begin from nothing all the same"
        )


def _check_probe(config: TrainConfig) -> None:
    if (config.model == PROBE) != bool(config.encoder):
        raise UsageError(
            "--model probe: name the models that it listens through, --encoder MODEL[,MODEL...]"
            if config.model == PROBE
            else f"--encoder: {config.model} is trained whole; --model probe is fitted on encoders"
        )
    if config.model != PROBE:
        return
    if len(set(config.encoder)) < len(config.encoder):
        raise UsageError(f"--encoder {','.join(config.encoder)}: name each model once")
    if config.hidden < 0:
        raise UsageError(f"--hidden {config.hidden}: expected 0 or more")
    whole = {"augment": (), "sampling": "plain", "weights": None}
    for name, value in whole.items():
        if getattr(config, name) != value:
            raise UsageError(
                f"--{name}: a probe's embeddings are made once, of the clips as they are; leave "
                "it out"
            )
