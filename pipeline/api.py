"""A function for every job: it takes a config, and returns what the job prints or writes.

The configs are light to import, the flows are not: torch and Ray take seconds. So each function
imports its flow when it is called, and whoever only reads `--help` or makes a config waits for
neither. `help()` of a config explains every field of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.browsing.taken_in import TakenIn
    from pipeline.configs.browse import BrowseConfig
    from pipeline.configs.build import BuildConfig
    from pipeline.configs.compare import CompareConfig, CompareTagsConfig
    from pipeline.configs.correct import CorrectConfig
    from pipeline.configs.doctor import DoctorConfig
    from pipeline.configs.evaluate import EvaluateConfig
    from pipeline.configs.explore import ExploreConfig
    from pipeline.configs.export import ExportConfig
    from pipeline.configs.extract import ExtractConfig
    from pipeline.configs.learn_corrections import LearnCorrectionsConfig
    from pipeline.configs.quantize import QuantizeConfig
    from pipeline.configs.reproduce import ReproduceConfig
    from pipeline.configs.retag import RetagConfig
    from pipeline.configs.search import SearchConfig
    from pipeline.configs.submit import SubmitConfig
    from pipeline.configs.tag import TagConfig
    from pipeline.configs.train import FitConfig
    from pipeline.evaluation.statistics.metrics import Metrics
    from pipeline.exports.metadata.journal import Undone
    from pipeline.flows.doctor_checks import Finding
    from pipeline.flows.extract import Extracted
    from pipeline.flows.training.fit import FitResult
    from pipeline.flows.training.folds import FoldsResult
    from pipeline.flows.training.learn_corrections import Learned
    from pipeline.models.pretrained.import_config import ImportConfig
    from pipeline.models.pretrained.importing import Imported
    from pipeline.searching.search import Found
    from pipeline.tagging.export import Exported
    from pipeline.tagging.tag_plan import TaggingPlan
    from schemas.build_report import BuildReport
    from schemas.comparison import ComparisonRecord, DifferencesRecord
    from schemas.evaluation import QuantizationRecord
    from schemas.exploration import ExplorationRecord
    from schemas.regression import RegressionEvaluation
    from schemas.reproduction import ReproductionRecord
    from schemas.tagging_run import TaggingRun


def dry_run(config: BuildConfig) -> dict[str, Any]:
    """Say what `build` would do; no request is made, and nothing is written."""
    from pipeline.datasets.build_plan import dry_run

    return dry_run(config)


def build(config: BuildConfig) -> BuildReport:
    """Fetch what a dataset is still without; return what its report.json holds."""
    from pipeline.flows.building.build import build

    return build(config)


def extract_features(config: ExtractConfig) -> Extracted:
    """Extract features of a dataset's clips; return features.json and what was done now."""
    from pipeline.flows.extract import extract_features

    return extract_features(config)


def explore(config: ExploreConfig) -> ExplorationRecord:
    """Count and test what a dataset holds, and write a page; return what explore.json holds."""
    from pipeline.datasets.explore import explore

    return explore(config)


def fit(config: FitConfig) -> FitResult:
    """Train a model; return its card, and whether the same run had ended before."""
    from pipeline.flows.training.fit import fit

    return fit(config)


def learn_corrections(config: LearnCorrectionsConfig) -> Learned:
    """Correct the model that tagged by what people said of its tags; return the new card."""
    from pipeline.flows.training.learn_corrections import learn_corrections

    return learn_corrections(config)


def cross_validate(config: FitConfig, n_folds: int) -> FoldsResult:
    """Train one model per fold, of parts by video; return their cards and folds.json."""
    from pipeline.flows.training.folds import cross_validate

    return cross_validate(config, n_folds)


def import_model(config: ImportConfig) -> Imported:
    """Make a model's folder of a published tagger; return its card, and whether it was there."""
    from pipeline.models.pretrained.importing import import_model
    from pipeline.runs.provenance import provenance

    return import_model(config, provenance())


def quantize(config: QuantizeConfig) -> QuantizationRecord:
    """Make a model int8, and measure what that costs; return what quantize.json holds."""
    from pipeline.flows.evaluation.quantize import quantize

    return quantize(config)


def evaluate(config: EvaluateConfig) -> Metrics:
    """Score a model on a dataset's split, or a tagging run against its truth."""
    from pipeline.flows.evaluation.evaluate import evaluate

    return evaluate(config)


def evaluate_regression(config: EvaluateConfig) -> RegressionEvaluation:
    """Measure a regressor (`jobs.train --task regression`) on a dataset's split."""
    from pipeline.flows.evaluation.regression import evaluate_regression

    return evaluate_regression(config)


def compare_evaluations(config: CompareConfig) -> ComparisonRecord:
    """Compare evaluations of the same items; return what comparison.json holds."""
    from pipeline.runs.compare import compare_evaluations

    return compare_evaluations(config)


def compare_tags(config: CompareTagsConfig) -> DifferencesRecord:
    """Compare the labels of two tagging runs; return what differences.json holds."""
    from pipeline.tagging.compare_tags import compare_tags

    return compare_tags(config)


def reproduce(config: ReproduceConfig) -> ReproductionRecord:
    """Do the report's experiments again, and write a page; return what reproduction.json holds."""
    from pipeline.flows.reproduction.reproduce import reproduce

    return reproduce(config)


def plan_tagging(config: TagConfig) -> TaggingPlan:
    """Say what `tag_catalog` would do: counts of tracks, bytes, and seconds where a run tells."""
    from pipeline.flows.tagging.tag import plan_tagging

    return plan_tagging(config)


def tag_catalog(config: TagConfig) -> TaggingRun:
    """Tag what is new in a catalogue of audio; return what run.json holds."""
    from pipeline.flows.tagging.tag import tag_catalog

    return tag_catalog(config)


def retag(config: RetagConfig) -> TaggingRun:
    """Make the labels of a tagging run anew, without audio; return the new folder's run.json."""
    from pipeline.tagging.retag import retag

    return retag(config)


def export_tags(config: ExportConfig) -> Exported:
    """Write the tags of a tagging run as other programs read them; return counts and notes."""
    from pipeline.tagging.export import export_tags

    return export_tags(config)


def search(config: SearchConfig) -> Found:
    """Find tracks, windows or duplicates of a tagging run; return a table and counts."""
    from pipeline.searching.search import search

    return search(config)


def browse(config: BrowseConfig, ready: Callable[[str], object] = print) -> None:
    """Serve the page of a tagging folder until Ctrl-C; `ready` is given its address."""
    from pipeline.browsing.serve import browse

    browse(config, ready)


def take_in(config: CorrectConfig) -> TakenIn:
    """Add what people said elsewhere to the corrections of a tagging folder; return counts."""
    from pipeline.browsing.taken_in import take_in

    return take_in(config)


def undo_file_tags(journal: str) -> Undone:
    """Give audio files the tags back that an export with --in-place has changed; return counts."""
    from pipeline.exports.metadata.journal import undo

    return undo(journal)


def checkup(config: DoctorConfig) -> Iterator[Finding]:
    """Yield what a job would stumble over on this machine, one finding per check, as they come."""
    from pipeline.flows.doctor import checkup

    return checkup(config)


def submit(config: SubmitConfig, command: Sequence[str]) -> int:
    """Run a command of `timbre` on a Ray cluster; return 0, or its exit code where it waits."""
    from pipeline.flows.submit import submit

    return submit(config, command)
