"""Everything that decides a training run but the data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, get_args

from pipeline.errors import UsageError
from pipeline.flags import HIDDEN, Count, Flag, Number, Seconds, Uri, described, size, words
from pipeline.models.names import (
    AUGMENTATIONS,
    CLASSICAL,
    DEFAULT_SELECTION,
    INPUTS,
    POOLS,
    PRETRAINED,
    PROBE,
    Balance,
    Loss,
    Output,
    Pool,
    Sampling,
    Selection,
    Task,
    TrainPrecision,
    known_names,
)
from pipeline.training.regression.checks import check_task

NO_WEIGHTS = "none"
"""The value of `weights` that says: begin from nothing."""
HARD_SHARE = 0.1
_LEAST_LR_FROM_NOTHING = 1e-4  # below are the rates of fine-tuning

_LATER = (
    *("precision", "select", "deterministic", "balance", "activity"),
    *("encoder", "hidden", "init", "freeze", "pool", "teacher", "hard_share", "loss"),
    *("input", "prepare"),
    *("task", "output_activation"),
)
"""Fields that runs of older versions do not have."""
_NOT_NAMED = ("loader_processes", "cache_dir", "compile")
"""Fields that decide how fast a run is, and not what comes out."""

_NETWORK, _WINDOWS, _STEPS = "the network", "windows", "steps of the training"
_TRANSFER = "other models and weights that it begins or learns from"
WHERE = "where and how it runs"
"""Title of the flags of the machine, for --help."""

_INPUT = Flag("NAME", choices=INPUTS, known=", ".join(INPUTS))
Augmentations = Annotated[tuple[str, ...], words("NAMES", ",".join(AUGMENTATIONS))]


@described
@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run but the data; defaults are the report's ResNet-50."""

    model: Annotated[str, Flag("NAME", known=", ".join(known_names())), _NETWORK] = "resnet50"
    """Any timm backbone, or {known}."""
    input: Annotated[str | None, _INPUT, _NETWORK] = None
    """What a network of log-mels sees instead of them: {known}."""
    prepare: Annotated[str, Flag("STEPS"), _NETWORK] = ""
    """Steps before the front end, in tagging too, with commas between: lowpass:HZ, denoise:FILE
    (a clip of noise, of which the model keeps the profile)."""
    input_size: Annotated[tuple[int, int], Flag("HxW", size, "{0[0]}x{0[1]}".format), _NETWORK] = (
        256,
        256,
    )
    """Of a timm backbone: the input becomes HxW (rows x time)."""
    epochs: Annotated[Count, _STEPS] = 35
    """Passes over the training windows, at most."""
    batch_size: Annotated[Count, _STEPS] = 16
    """Windows a step and worker."""
    window_s: Annotated[Seconds, _WINDOWS] = 1.0
    """Length of a window in seconds."""
    lr: Annotated[Number, _STEPS] = 2e-4
    """Learning rate after the warm-up."""
    lr_end: Annotated[float, HIDDEN] = 1e-6
    """Learning rate that the decay ends at."""
    warmup: Annotated[float, HIDDEN] = 0.05
    """Share of the steps with a linear rise."""
    power: Annotated[float, HIDDEN] = 0.7
    """Power of the polynomial decay."""
    weight_decay: Annotated[Number, _STEPS] = 1e-5
    """L2 penalty on the weights, 0 or more."""
    dropout: Annotated[float, HIDDEN] = 0.2
    """Share of values dropped before the head in training."""
    ema: Annotated[float, HIDDEN] = 0.99
    """Decay a step of the running mean of the weights, which is what is validated and kept."""
    augment: Annotated[Augmentations, _WINDOWS] = ("masks", "tilt", "mix", "shift")
    """Some of {known}, or ''; those that do not fit the front end do nothing."""
    weights: Annotated[str | None, Flag("imagenet|URI|none"), _TRANSFER] = None
    """Weights to begin with; none says that there shall be none."""
    accumulate: Annotated[Count, _STEPS] = 1
    """Batches whose gradients make a step."""
    patience: Annotated[Count | None, _STEPS] = None
    """Epochs without a better one, by what --select names, then stop."""
    loss: Annotated[Loss, _STEPS] = "sigmoid"
    """Binary cross-entropy of each class (sigmoid); cross-entropy over classes of which each clip
    has one (softmax); the first, and embeddings of a class brought together (triplet)."""
    select: Annotated[Selection, _STEPS] = DEFAULT_SELECTION
    """What chooses the epoch that is kept."""
    deterministic: Annotated[bool, WHERE] = False
    """The same bytes again, on GPUs too; slower."""
    head_lr: Annotated[Number | None, _STEPS] = None
    """Learning rate of the last layers, where it is another."""
    head_lr_end: Annotated[float | None, HIDDEN] = None
    """What that learning rate decays to."""
    head_weight_decay: Annotated[float | None, HIDDEN] = None
    """L2 penalty of the last layers, where it is another."""
    sampling: Annotated[Sampling, _WINDOWS] = "plain"
    """Every window once (plain), or clips mixed: dynamic or persistent."""
    mix_min: Annotated[Count, _WINDOWS] = 1
    """Clips that are mixed at least."""
    mix_max: Annotated[Count, _WINDOWS] = 3
    """Clips that are mixed at most."""
    balance: Annotated[Balance, _WINDOWS] = "none"
    """Windows by the rarest class of their clip."""
    activity: Annotated[bool, _WINDOWS] = True
    """Leave out windows of silence and noise, as tagging does."""
    folds: Annotated[int | None, HIDDEN] = None
    """Divide train and val anew, by video, into so many parts,"""
    fold: Annotated[int, HIDDEN] = 0
    """of which this one is held out."""
    seed: Annotated[Count, _STEPS] = 0
    """Seed of all that is drawn."""
    precision: Annotated[TrainPrecision, WHERE] = "auto"
    """Arithmetic of the network; bf16 is compared with f32 before it is used."""
    compile: Annotated[bool, WHERE] = False
    """Compile the network: its first step takes a minute or more, the others less."""
    loader_processes: Annotated[Count | None, WHERE] = None
    """Processes that randomise a worker's windows; 0: a thread; a core less than it has if not
    given."""
    cache_dir: Annotated[str | None, Flag("DIR"), WHERE] = None
    """Folder on each node's own fast disk, where what the training reads is kept meanwhile; its
    temporary folder if not given."""
    encoder: Annotated[tuple[str, ...], words("URI|URI,URI"), _TRANSFER] = ()
    """Of a probe: folders of the models, frozen, on whose embeddings it is fitted."""
    hidden: Annotated[Count, _TRANSFER] = 256
    """Of a probe: width of its MLP; 0: a linear layer."""
    init: Annotated[Uri | None, _TRANSFER] = None
    """Fine-tune this model: its folder."""
    freeze: Annotated[Count, _TRANSFER] = 0
    """Of --init: blocks at its beginning that stay as they are."""
    pool: Annotated[Pool | None, _NETWORK] = None
    """How frames become one over time; as the network does itself if not given."""
    teacher: Annotated[tuple[str, ...], words("URI"), _TRANSFER] = ()
    """Folders of models, with commas between, to learn from: their scores are soft targets."""
    hard_share: Annotated[Number, _TRANSFER] = HARD_SHARE
    """Share of the labels in the loss, beside teachers (lambda; Schmid et al. 2023: 0.1)."""
    task: Annotated[Task, _NETWORK] = "tags"
    """Scores of classes (tags), or values of the timbral descriptors (regression)."""
    output_activation: Annotated[Output, _NETWORK] = "linear"
    """Of a regression: values of the last layer as they are, or their sigmoids, which stay within
    what the training clips have."""
    aggregation: Annotated[str, HIDDEN] = "s2"
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
        choices = {
            "select": Selection,
            "sampling": Sampling,
            "precision": TrainPrecision,
            "loss": Loss,
        }
        for name, named in choices.items():
            if (value := getattr(self, name)) not in (allowed := get_args(named)):
                raise UsageError(f"--{name} {value}: expected {', '.join(allowed)}")
        self._check_balance()
        self._check_input()
        self._check_loss()
        self._check_transfer()
        check_task(self)

    def _check_input(self) -> None:
        if self.input not in (None, *INPUTS):
            raise UsageError(f"--input {self.input}: expected {', '.join(INPUTS)}")
        given = {"--input": self.input, "--prepare": self.prepare}
        whose = "--encoder" if self.model == PROBE else "--init" if self.init is not None else None
        for flag, value in given.items():
            if value and whose is not None:
                raise UsageError(f"{flag} {value}: {whose} says it already; leave it out")

    def _check_loss(self) -> None:
        if self.compile and self.model in (*CLASSICAL, PROBE):
            raise UsageError(f"--compile: {self.model} is not trained step by step; leave it out")
        if self.loss == "sigmoid":
            return
        if self.model in (*CLASSICAL, PROBE):
            raise UsageError(f"--loss {self.loss}: {self.model} is fitted class by class")
        if self.teacher:
            raise UsageError(
                f"--loss {self.loss}: teachers score each class by itself; give --loss sigmoid"
            )
        if self.loss == "triplet" and self.compile:
            raise UsageError("--loss triplet: a compiled network keeps its embeddings to itself")

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
        if self.balance not in (allowed := get_args(Balance)):
            raise UsageError(f"--balance {self.balance}: expected {', '.join(allowed)}")
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
