"""The figures of the Harmony report (2023), each a function of the options. PURE.

The settings are the presets'. A claim stands here only where our notes on the report state it; they
do not say which number each figure has there, so a figure is named by what it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from pipeline.configs.reproduce import ReproduceConfig
from pipeline.models.names import PRETRAINED
from pipeline.reproduction.plan import AUDIOSET, Claim, FigurePlan, Scoring, StudyPlan, Training
from pipeline.training.config import TrainConfig
from pipeline.training.presets import PRESETS

WINDOWS_S = (1.0, 2.0, 3.0)
"""The lengths of windows that the report compares, in s."""
MOST_MIXED = (4, 5)
"""How many clips sound together at most, in the report's sampling runs."""
_OWN = (
    ("cnn1d-raw", "1-D CNN on samples", 180_000),
    ("cnn2d-mfcc", "2-D CNN on MFCC", 879_000),
    ("cnn1d-descriptors", "1-D CNN on 40 descriptors", 114_000),
)
"""The report's own networks, with the parameters that it prints."""
_NO_ORDER = "Our notes on the report state no order of these, so there is no claim to test."


def study_plan(config: ReproduceConfig) -> StudyPlan:
    """Return the experiments of the figures that a config asks for."""
    return StudyPlan(tuple(FIGURE_PLANS[name](config) for name in config.figures))


def _data(config: ReproduceConfig) -> FigurePlan:
    return FigurePlan("data", "the classes, durations and labels of the clips")


def _descriptors(config: ReproduceConfig) -> FigurePlan:
    return FigurePlan(
        "descriptors",
        "which descriptors differ between the classes (one-way ANOVA)",
        note="Of the mean of each descriptor over a training clip, and of these over a recording.",
    )


def _windows(config: ReproduceConfig) -> FigurePlan:
    trainings = tuple(_backbone(config, window_s) for window_s in WINDOWS_S)
    base, *longer = trainings
    claims = tuple(
        Claim(
            f"Windows of 1 s are better than those of {one.config.window_s:g} s.",
            base.name,
            one.name,
        )
        for one in longer
    )
    return FigurePlan(
        "windows",
        "windows of 1, 2 and 3 s",
        trainings,
        _of_each(trainings),
        claims,
        "The report: 2 and 3 s were slightly worse.",
    )


def _networks(config: ReproduceConfig) -> FigurePlan:
    trainings = (*_own_networks(config), _backbone(config))
    return FigurePlan(
        "networks",
        "the report's own networks beside an image network",
        trainings,
        _of_each(trainings),
        note=_NO_ORDER,
    )


def _sampling(config: ReproduceConfig) -> FigurePlan:
    mixed = tuple(
        _variant(config, f"{sampling}-{most}", f"{sampling} sampling, 1 to {most} clips together",
                 sampling=sampling, mix_min=1, mix_max=most)
        for sampling in ("persistent", "dynamic")
        for most in MOST_MIXED
    )  # fmt: skip
    trainings = (_backbone(config), *mixed)
    return FigurePlan(
        "sampling",
        "plain, persistent and dynamic sampling",
        trainings,
        _of_each(trainings),
        note=f"4 and 5 count all clips that sound together. {_NO_ORDER}",
    )


def _datasets(config: ReproduceConfig) -> FigurePlan:
    missing = "" if config.audioset else "give --audioset DATASET, from build_subset"
    on_irmas = _backbone(config)
    on_audioset = replace(
        _variant(config, "of-audioset", "trained on AudioSet"), dataset=AUDIOSET, skipped=missing
    )
    both = (on_irmas, on_audioset)
    crossed = tuple(
        Scoring(f"{one.name}-on-audioset", (one.name,), AUDIOSET, missing) for one in both
    )
    return FigurePlan(
        "datasets",
        "trained on one of IRMAS and AudioSet, tested on both",
        both,
        (*_of_each(both), *crossed),
        note=f"Results on different test sets are not paired. {_NO_ORDER}",
    )


def _ast(config: ReproduceConfig) -> FigurePlan:
    whole = _ast_training(config, "ast", "AST as the preset has it")
    no_decay = {"weight_decay": 0.0, "head_weight_decay": 0.0}
    trainings = (
        whole,
        _ast_training(config, "ast-no-augmentation", "AST without augmentation", augment=()),
        _ast_training(config, "ast-no-decay", "AST without weight decay", **no_decay),
        _ast_training(
            config,
            "ast-unregularised",
            "AST without augmentation, weight decay and dropout",
            augment=(),
            dropout=0.0,
            **no_decay,
        ),
    )
    return FigurePlan(
        "ast",
        "AST with and without its regularisation",
        trainings,
        _of_each(trainings),
        note=_NO_ORDER,
    )


def _cost(config: ReproduceConfig) -> FigurePlan:
    ast = _ast_training(config, "ast", "AST as the preset has it")
    trainings = (*_own_networks(config), _backbone(config), ast)
    return FigurePlan(
        "cost",
        "parameters, time and memory of each network",
        trainings,
        note="Of one worker's whole training; times of different machines do not compare.",
    )


def _ensemble(config: ReproduceConfig) -> FigurePlan:
    trainings = (*_own_networks(config), _backbone(config))
    members = tuple(one.name for one in trainings)
    return FigurePlan(
        "ensemble",
        "the mean of the networks' scores beside each of them",
        trainings,
        (*_of_each(trainings), Scoring("ensemble", members)),
        note="The mean of the clip's scores of all networks here, each with the same weight. "
        + _NO_ORDER,
    )


FIGURE_PLANS: Mapping[str, Callable[[ReproduceConfig], FigurePlan]] = MappingProxyType(
    {
        "data": _data,
        "descriptors": _descriptors,
        "windows": _windows,
        "networks": _networks,
        "sampling": _sampling,
        "datasets": _datasets,
        "ast": _ast,
        "cost": _cost,
        "ensemble": _ensemble,
    }
)
"""By name, what each figure needs."""


def _of_each(trainings: tuple[Training, ...]) -> tuple[Scoring, ...]:
    return tuple(Scoring(one.name, (one.name,)) for one in trainings)


def _settled(config: ReproduceConfig, train: TrainConfig) -> TrainConfig:
    """Return a preset with the seed and the epochs that were asked for."""
    return replace(train, seed=config.seed, epochs=config.epochs or train.epochs)


def _backbone(config: ReproduceConfig, window_s: float = 1.0) -> Training:
    """Return the image network, with plain sampling; the one of 1 s is what others vary."""
    if window_s == 1.0:
        parameters = 23_500_000 if config.backbone == "resnet50" else None
        return replace(_variant(config, "", "windows of 1 s"), report_parameters=parameters)
    about = f"windows of {window_s:g} s"
    return _variant(config, f"{window_s:g}s", about, window_s=window_s)


def _variant(config: ReproduceConfig, suffix: str, about: str, **changes: object) -> Training:
    train = replace(
        PRESETS["harmony-resnet50"],
        model=config.backbone,
        input_size=config.input_size,
        weights=config.weights,
        **changes,  # type: ignore[arg-type]
    )
    name = "-".join(filter(None, (config.backbone.replace("/", "-"), suffix)))
    return Training(name, f"{config.backbone}, {about}", _settled(config, train))


def _own_networks(config: ReproduceConfig) -> tuple[Training, ...]:
    return tuple(
        Training(
            model,
            about,
            _settled(config, PRESETS[f"harmony-{model}"]),
            report_parameters=parameters,
        )
        for model, about, parameters in _OWN
    )


def _ast_training(config: ReproduceConfig, name: str, about: str, **changes: object) -> Training:
    train = replace(PRESETS["harmony-ast"], weights=config.ast_weights, **changes)  # type: ignore[arg-type]
    why = f"give --ast-weights FOLDER (hf download {PRETRAINED} --local-dir FOLDER), or none"
    skipped = "" if config.ast_weights else why
    parameters = 86_200_000 if name == "ast" else None
    return Training(
        name, about, _settled(config, train), skipped=skipped, report_parameters=parameters
    )
