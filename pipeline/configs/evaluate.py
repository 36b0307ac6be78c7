"""What an evaluation is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.configs.cluster import ClusterConfig
from pipeline.errors import UsageError
from pipeline.evaluation.labels.aggregate import CHOICES, method_named
from pipeline.evaluation.labels.thresholds import (
    FROM_VALIDATION,
    RULES,
    TARGET_PRECISION,
    Rule,
    check_share,
)
from pipeline.flags import Flag, Number, Uri, described
from pipeline.models.names import STARTER
from pipeline.models.starter import model_uri
from pipeline.selection.splits import SPLITS, Split

_SCORED, _LABELS, _WRITTEN = "what is scored", "windows and labels", "what is written"


@described
@dataclass(frozen=True)
class EvaluateConfig(ClusterConfig):
    """What to score, against what, to where."""

    model: Annotated[str, Flag("starter|URI|URI,URI", aliases=("--ensemble",)), _SCORED]
    """A model's folder, or an ensemble's; several with commas between: the mean of their scores,
    and with --keep-thresholds --out is an ensemble's folder, for tag_catalog."""
    out: Annotated[Uri, _WRITTEN]
    """The folder for its files: metrics.json, scores.parquet, report.html."""
    dataset: Annotated[Uri | None, _SCORED] = None
    """A dataset's folder: score one split of it."""
    split: Annotated[Split, _SCORED] = "test"
    """Which split of the dataset."""
    tags: Annotated[Uri | None, _SCORED] = None
    """A tagging run's folder: score it against --truth."""
    truth: Annotated[str | None, Flag("CSV"), _SCORED] = None
    """A CSV with columns uri and labels (codes joined by +)."""
    include_gone: Annotated[bool, _SCORED] = False
    """With --tags: also tracks of the truth that are gone from their catalogue; else they are left
    out, and counted."""
    corrections: Annotated[Uri | None, _SCORED] = None
    """In place of --truth: a tagging folder whose corrections (jobs.browse) --tags is scored
    against; of what nobody said anything counts as unknown."""
    aggregate: Annotated[str | None, Flag("NAME", method_named, known=CHOICES), _LABELS] = None
    """From windows to a clip; the model's own if not given {known}"""
    threshold: Annotated[Number | None, _LABELS] = None
    """One for every class, in place of what --thresholds says."""
    gpu: Annotated[bool, "where it runs"] = False
    """A GPU for every actor of the model."""
    thresholds: Annotated[Rule, _LABELS] = "own"
    """The model's, or with --tags those of its run (own); 0.5 (fixed); of the largest F1 on
    validation, by class (tuned); the lowest of --target-precision on validation, by class
    (precision)."""
    target_precision: Annotated[Number, _LABELS] = TARGET_PRECISION
    """What --thresholds precision aims at, more than 0, at most 1."""
    validation: Annotated[bool, _LABELS] = True
    """Score the dataset's validation split too: for tuned thresholds, the calibration and the best
    aggregation."""
    keep_thresholds: Annotated[bool, _WRITTEN] = False
    """Write what --thresholds finds into model.json (ensemble.json), for later tagging."""
    keep_calibration: Annotated[bool, _WRITTEN] = False
    """Write the map from scores to probabilities, fitted on validation, into model.json, for
    tag_catalog --calibrated."""

    def __post_init__(self) -> None:
        if (self.dataset is None) == (self.tags is None):
            raise UsageError("expected either --dataset or --tags")
        if (self.tags is None) != (self.truth is None and self.corrections is None):
            raise UsageError("--tags and --truth go together, or --tags and --corrections")
        if self.truth is not None and self.corrections is not None:
            raise UsageError("--truth and --corrections do not go together: give one")
        if self.split not in SPLITS:
            raise UsageError(f"--split {self.split!r}: expected one of {', '.join(SPLITS)}")
        self._check_thresholds()
        for flag in ("keep_thresholds", "keep_calibration"):
            if getattr(self, flag):
                self._check_keeping("--" + flag.replace("_", "-"))

    def _check_keeping(self, flag: str) -> None:
        if not self.looks_at_validation:
            raise UsageError(f"{flag} needs a dataset's validation split")
        if self.model == STARTER:
            folder = model_uri(STARTER)
            raise UsageError(f"{flag}: the starter is part of the package; copy {folder} first")

    def _check_thresholds(self) -> None:
        if self.thresholds not in RULES:
            raise UsageError(
                f"--thresholds {self.thresholds!r}: expected one of {', '.join(RULES)}"
            )
        if not 0 < self.target_precision <= 1:
            raise UsageError(
                f"--target-precision {self.target_precision:g}: expected more than 0, at most 1"
            )
        if self.threshold is not None:
            check_share("--threshold", self.threshold)
        if self.threshold is not None and self.thresholds != "own":
            raise UsageError("--threshold and --thresholds do not go together")
        if self.threshold is not None and self.keep_thresholds:
            raise UsageError("--threshold and --keep-thresholds do not go together: it keeps rules")
        if self.thresholds in FROM_VALIDATION and not self.looks_at_validation:
            raise UsageError(
                f"--thresholds {self.thresholds} needs a dataset's validation split: give "
                "--dataset, another --split than val, and no --no-validation"
            )

    @property
    def needs_validation(self) -> bool:
        """Whether it cannot do without a validation split."""
        keeps = self.keep_thresholds or self.keep_calibration
        return keeps or self.thresholds in FROM_VALIDATION

    @property
    def looks_at_validation(self) -> bool:
        """Whether a validation split is scored: not where it is the one that is measured."""
        return self.validation and self.dataset is not None and self.split != "val"
