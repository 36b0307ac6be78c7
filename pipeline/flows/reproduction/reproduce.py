"""IRMAS in; the report's experiments, its figures with claims, one page out.

    datasets/irmas/  features/  exploration/  models/NAME/  evaluations/NAME/
    reproduction.json  results.csv  report.html

Everything is done by the jobs' own functions, each of which goes on where it was killed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.audio.fetching.access import IRMAS as SOURCE
from pipeline.audio.fetching.irmas_source import irmas_paths
from pipeline.configs.build import BuildConfig
from pipeline.configs.explore import ExploreConfig
from pipeline.configs.extract import ExtractConfig
from pipeline.configs.reproduce import ReproduceConfig as ReproduceConfig
from pipeline.datasets.explore import explore, read_clips
from pipeline.errors import UsageError
from pipeline.evaluation.statistics.comparison import ResampledRun, resampled_runs
from pipeline.flows.building.build import build
from pipeline.flows.cluster import ray_session
from pipeline.flows.extract import extract_features
from pipeline.flows.reproduction.experiments import Experiments
from pipeline.models.model import check_name
from pipeline.report.page import render_page
from pipeline.report.pages.reproduction_page import ClipsShown, reproduction_page
from pipeline.reproduction.claims import (
    DESCRIPTORS,
    TONNETZ,
    anova_claims,
    differences,
    order_claims,
)
from pipeline.reproduction.figures import study_plan
from pipeline.reproduction.plan import AUDIOSET, IRMAS, StudyPlan
from pipeline.reproduction.results import result_row, results_csv
from pipeline.runs.compare import read_evaluation
from pipeline.runs.logs import say
from pipeline.runs.provenance import provenance
from pipeline.selection.irmas import EXPECTED
from pipeline.selection.splits import SPLITS
from pipeline.selection.vocabulary import Vocabulary, default_vocabulary
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.store.out import REPRODUCTION, check_out, check_same
from pipeline.store.uris import uri_in
from schemas.exploration import ExplorationRecord
from schemas.reproduction import FigureRow, ReproductionRecord, ResultRow

STUDY = "harmony"


def reproduce(config: ReproduceConfig) -> ReproductionRecord:
    """Do what is missing of the report's experiments; write and return reproduction.json."""
    plan, out = study_plan(config), Folder(config.out)
    check_out(config.out, REPRODUCTION, {"--irmas": config.irmas, "--audioset": config.audioset})
    check_inputs(config)
    with out.claimed():
        record = _begin(config, plan, out)
        with ray_session(min_cpus=4, gpu=config.gpu, max_wait_s=config.max_wait_s):
            datasets = build_datasets(config, out)
            explored = explore_irmas(config, plan, out, datasets[IRMAS])
            record = run_experiments(Experiments(config, out, datasets), plan, record)
        say("finishing", text="measuring, with resamples for the intervals, and writing the page")
        record = judged(plan, record, explored, out, seed=config.seed)
        clips = [shown_clips(name, uri) for name, uri in datasets.items()]
        page = reproduction_page(record, explored, clips if "data" in plan.names else [])
        out.write_bytes("results.csv", results_csv(record).encode())
        out.write_bytes("report.html", render_page(page).encode())
        out.write_json("reproduction.json", record.to_dict())
    return record


def _begin(config: ReproduceConfig, plan: StudyPlan, out: Folder) -> ReproductionRecord:
    """Claim the folder for these options; return the record as it is before any experiment."""
    identity = config.identity()
    if out.exists("reproduction.json"):
        before = out.read_record("reproduction.json", ReproductionRecord)
        check_same(out.uri, "holds a reproduction", before.identity, identity)
    figures = [
        FigureRow(
            figure.name,
            figure.title,
            [one.name for one in figure.scorings],
            [one.name for one in figure.trainings],
            figure.note,
        )
        for figure in plan.figures
    ]
    origin = provenance() | {"irmas": config.irmas, "audioset": config.audioset or "none"}
    record = ReproductionRecord(STUDY, identity, figures=figures, provenance=origin)
    out.write_json("reproduction.json", record.to_dict())
    return record


def build_datasets(config: ReproduceConfig, out: Folder) -> dict[str, str]:
    """Build IRMAS's dataset; return the datasets' folders by name."""
    irmas = uri_in(out.uri, "datasets/irmas")
    building = BuildConfig(
        (),
        irmas,
        f"{SOURCE}{config.irmas}",
        irmas_split=config.irmas_split,
        max_per_class_and_split=config.limit,
        max_wait_s=config.max_wait_s,
    )
    try:
        build(building)
    except UsageError as error:  # by the flag that the user has typed
        raise UsageError(str(error).replace(f"--source {SOURCE}", "--irmas ")) from error
    dataset = Dataset.open(irmas)
    for split in SPLITS:
        if not dataset.names("clips", split):
            raise UsageError(
                f"--irmas {config.irmas}: no clips for the {split} split; expected IRMAS's "
                "training and testing parts below it, unpacked"
            )
    return {IRMAS: irmas} | ({} if config.audioset is None else {AUDIOSET: config.audioset})


def check_inputs(config: ReproduceConfig) -> None:
    """Raise UsageError unless the data are there: a folder, and a dataset of the same classes."""
    if not Path(config.irmas).is_dir():
        raise UsageError(f"--irmas {config.irmas}: no such folder; expected IRMAS's own, unpacked")
    if not irmas_paths(Path(config.irmas)):  # now, as Ray takes a while to start
        raise UsageError(f"--irmas {config.irmas}: found no wav file; expected {EXPECTED}")
    check_name(config.backbone)
    if config.audioset is not None:
        check_audioset(config.audioset)


def check_audioset(uri: str) -> None:
    """Raise UsageError unless a folder holds a finished dataset of the eleven instruments."""
    found = Vocabulary.from_dict(Dataset.open(uri).built().classes)
    if found.without_unknown() != default_vocabulary().without_unknown():
        raise UsageError(
            f"--audioset {uri}: its classes are {', '.join(found.codes)}; expected the eleven "
            "instruments, which python -m jobs.build_subset takes without --classes"
        )


def explore_irmas(
    config: ReproduceConfig, plan: StudyPlan, out: Folder, dataset: str
) -> ExplorationRecord | None:
    """Count the clips, and test the descriptors where that is asked for; None where neither is."""
    if not {"data", "descriptors"} & set(plan.names):
        return None
    features = uri_in(out.uri, "features") if "descriptors" in plan.names else None
    if features is not None:
        names = (DESCRIPTORS, TONNETZ)
        extract_features(
            ExtractConfig(dataset, names, features, ("mean",), max_wait_s=config.max_wait_s)
        )
    return explore(ExploreConfig(dataset, uri_in(out.uri, "exploration"), features))


def run_experiments(
    experiments: Experiments, plan: StudyPlan, record: ReproductionRecord
) -> ReproductionRecord:
    """Train all models, then score them; the record is written after each."""
    out = experiments.out
    for k, training in enumerate(plan.trainings, 1):
        say("training", text=f"model {k} of {len(plan.trainings)}: {training.about}")
        record = replace(record, trainings=[*record.trainings, experiments.train(training)])
        out.write_json("reproduction.json", record.to_dict())
    trained = {row.name: row for row in record.trainings}
    for k, scoring in enumerate(plan.scorings, 1):
        say("scoring", text=f"result {k} of {len(plan.scorings)}: {scoring.name}")
        record = replace(record, results=[*record.results, experiments.score(scoring, trained)])
        out.write_json("reproduction.json", record.to_dict())
    return record


def judged(
    plan: StudyPlan,
    record: ReproductionRecord,
    explored: ExplorationRecord | None,
    out: Folder,
    *,
    seed: int,
) -> ReproductionRecord:
    """Return the record with figures, intervals, claims and differences."""
    runs = resampled(out, record.results, seed=seed)
    scorings = {one.name: one for one in plan.scorings}
    claims = [claim for figure in plan.figures for claim in order_claims(figure, runs)]
    if "descriptors" in plan.names:
        anova = None if explored is None else explored.anova
        claims = [*anova_claims("descriptors", anova), *claims]
    return replace(
        record,
        complete=True,
        results=[
            result_row(scorings[row.name], runs[row.name]) if row.name in runs else row
            for row in record.results
        ],
        claims=claims,
        differences=[row for figure in plan.figures for row in differences(figure, runs)],
    )


def resampled(out: Folder, rows: Sequence[ResultRow], *, seed: int) -> Mapping[str, ResampledRun]:
    """Return the evaluations that are done, by name; those of one dataset share their resamples."""
    by_dataset: dict[str, list[str]] = {}
    for row in rows:
        if row.state == "done":
            by_dataset.setdefault(row.dataset, []).append(row.name)
    runs: dict[str, ResampledRun] = {}
    for names in by_dataset.values():
        read = [read_evaluation(uri_in(out.uri, f"evaluations/{name}")) for name in names]
        codes = list(read[0][1])
        found = resampled_runs([evaluation for evaluation, _ in read], codes, seed=seed)
        runs |= dict(zip(names, found, strict=True))
    return runs


def shown_clips(name: str, uri: str) -> ClipsShown:
    """Return what the page shows of a dataset's clips."""
    dataset = Dataset.open(uri)
    names = Vocabulary.from_dict(dataset.record().classes).names
    return ClipsShown(name, names, read_clips(dataset))
