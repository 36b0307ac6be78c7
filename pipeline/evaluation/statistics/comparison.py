"""How several models' scores of the same items differ, and whether by chance. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from pipeline.arrays import Bools
from pipeline.errors import SpecMismatch, UsageError
from pipeline.evaluation.labels.targets import Targets, is_known, is_there
from pipeline.evaluation.runs.scored import Scored
from pipeline.evaluation.statistics.bootstrap import (
    LEVEL,
    N_RESAMPLES,
    PairedTest,
    Resampled,
    paired_test,
    percentiles,
    resample,
)
from pipeline.evaluation.statistics.metrics import Metrics, multilabel_metrics
from pipeline.evaluation.statistics.significance import holm
from schemas.comparison import ComparisonRecord

THE_REPORTS = ("hamming_score", "macro_precision_present", "macro_recall_present")
"""What the report of 2023 compares its models by, beside macro F1 and exact match."""
TESTED = ("macro_f1_present", "macro_f1", "mean_average_precision", *THE_REPORTS)
_OF_ALL = ("macro_precision", "macro_recall")
_SHOWN = (*TESTED, *_OF_ALL, "micro_f1", "macro_roc_auc", "exact_match")
_CURE = "compare evaluations of the same --dataset and --split, or of the same --truth"


@dataclass(frozen=True)
class EvaluationRun:
    """One evaluation: a model, how its scores become labels, and the items."""

    name: str
    origin: Mapping[str, str]
    """What is said of it beside its figures: its folder, model, aggregation, thresholds."""
    thresholds: Mapping[str, float]
    """The threshold of each class, by code."""
    scored: Scored
    training: Mapping[str, float | None] = field(default_factory=dict)
    """What the model's training took: `seconds`, `peak_memory_mib`; None where it was not kept."""


@dataclass(frozen=True)
class ResampledRun:
    """An evaluation with its figures, and those of resamples of its items."""

    evaluation: EvaluationRun
    metrics: Metrics
    """The figures of the items themselves."""
    drawn: Resampled
    """Those of each resample: of the same items in all runs that are compared."""


def check_same(first: EvaluationRun, other: EvaluationRun) -> None:
    """Raise UsageError where two evaluations are not of the same items, classes and truth."""
    one, two = first.scored, other.scored
    if strange := set(one.codes) ^ set(two.codes):
        raise SpecMismatch(
            f"{other.name} and {first.name} have different classes: only one of them has "
            f"{', '.join(sorted(strange))}; compare models of the same classes"
        )
    if strange := set(one.uris) ^ set(two.uris):
        raise UsageError(
            f"{other.name} and {first.name} scored different items: {len(strange)} are in only "
            f"one of them, the first is {min(strange)}; {_CURE}"
        )
    ordered = two.ordered(one.uris, one.codes)
    if len(differing := np.flatnonzero(_differ(ordered.truth, one.truth).any(axis=1))):
        raise UsageError(
            f"{other.name} and {first.name} have another truth for {len(differing)} items, the "
            f"first is {one.uris[differing[0]]}; {_CURE}"
        )


def _differ(one: Targets, other: Targets) -> Bools:
    """Return where two truths differ; unknown and unknown are the same."""
    there, known = (is_there(one) != is_there(other)), (is_known(one) != is_known(other))
    return np.asarray(there | known, np.bool_)


def compare(
    evaluations: Sequence[EvaluationRun],
    *,
    class_names: Mapping[str, str],
    provenance: Mapping[str, str] | None = None,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> ComparisonRecord:
    """Return every model's figures with intervals, and its paired tests against the best.

    `p_value` is of one test alone, `p_holm` corrected for all of a figure.

    Parameters
    ----------
    evaluations : two or more evaluations of the same items
    class_names : name by code
        Its order is that of the classes in what is returned.
    provenance
        Versions, to be written with the rest.
    n_resamples, seed : int
        All models are resampled with the same items, so their differences are paired.

    Returns
    -------
    ComparisonRecord
        The models stand in the order of their macro F1 (of the classes
        that are there, as of all: the other classes have F1 0 with any model), best first,
        and the best has no tests.

    Raises
    ------
    UsageError
        If there are fewer than two, or if items, classes or truth differ.

    References
    ----------
    Koehn, "Statistical significance tests for machine translation evaluation", EMNLP 2004.
    """
    if len(evaluations) < 2:
        raise UsageError(f"{len(evaluations)} evaluation: expected two or more to compare")
    runs = resampled_runs(evaluations, list(class_names), n_resamples=n_resamples, seed=seed)
    runs.sort(key=lambda run: -(run.metrics.macro_f1_present or 0.0))
    models = [_model(run, runs[0]) for run in runs]
    _correct([row["against_best"] for row in models[1:]])
    return ComparisonRecord(
        n_items=len(evaluations[0].scored.uris),
        n_groups=min(_n_groups(one.scored.groups) for one in evaluations),
        n_present=runs[0].metrics.n_present,
        class_names=dict(class_names),
        best=runs[0].evaluation.name,
        level=LEVEL,
        n_resamples=n_resamples,
        seed=seed,
        models=models,
        provenance=dict(provenance or {}),
    )


def resampled_runs(
    evaluations: Sequence[EvaluationRun],
    codes: Sequence[str],
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> list[ResampledRun]:
    """Return each evaluation with its figures and those of resamples, which all have in common.

    So any two of them can be tested against each other by `paired`. `codes` gives the order of the
    classes. UsageError where items, classes or truth differ.
    """
    for other in evaluations[1:]:
        check_same(evaluations[0], other)
    ordered = [one.scored.ordered(evaluations[0].scored.uris, codes) for one in evaluations]
    groups = min((same.groups for same in ordered), key=_n_groups)  # older ones know none
    return [
        _run(one, same, groups, n_resamples, seed)
        for one, same in zip(evaluations, ordered, strict=True)
    ]


def _run(
    evaluation: EvaluationRun, same: Scored, groups: Sequence[str], n_resamples: int, seed: int
) -> ResampledRun:
    limits = [evaluation.thresholds[code] for code in same.codes]
    return ResampledRun(
        evaluation,
        multilabel_metrics(same.truth, same.scores, thresholds=limits, class_codes=same.codes),
        resample(
            same.truth,
            same.scores,
            thresholds=limits,
            groups=groups,
            n_resamples=n_resamples,
            seed=seed,
        ),
    )


def _model(run: ResampledRun, best: ResampledRun) -> dict[str, Any]:
    return {
        "name": run.evaluation.name,
        **run.evaluation.origin,
        **{name: getattr(run.metrics, name) for name in _SHOWN},
        **run.metrics.more,
        "intervals": {name: asdict(percentiles(getattr(run.drawn, name))) for name in TESTED},
        "per_class": [
            {
                "code": row.code,
                "n_positive": row.n_positive,
                "f1": row.f1,
                "interval": asdict(percentiles(run.drawn.f1[:, k])),
                "average_precision": row.average_precision,
                "threshold": row.threshold,
            }
            for k, row in enumerate(run.metrics.per_class)
        ],
        "training": dict(run.evaluation.training),
        "against_best": None
        if run is best
        else {name: asdict(paired(run, best, name)) for name in TESTED},
    }


def _n_groups(groups: Sequence[str]) -> int:
    return len(set(groups))


def _correct(tests: Sequence[Mapping[str, dict[str, float | None]]]) -> None:
    """Add `p_holm` to every test: its p, corrected for the number of models."""
    for name in TESTED:
        known = [one[name] for one in tests if one[name]["p_value"] is not None]
        corrected = holm([float(test["p_value"] or 0.0) for test in known])
        for test in (one[name] for one in tests):
            test["p_holm"] = None
        for test, p_value in zip(known, corrected, strict=True):
            test["p_holm"] = p_value


def paired(run: ResampledRun, other: ResampledRun, name: str) -> PairedTest:
    """Test whether a figure of `TESTED` differs between two runs: the first less the other."""
    mine, theirs = getattr(run.metrics, name), getattr(other.metrics, name)
    observed = None if mine is None or theirs is None else mine - theirs
    return paired_test(getattr(run.drawn, name), getattr(other.drawn, name), observed=observed)
