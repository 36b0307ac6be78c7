"""A probe's training: embeddings by Ray where they are not kept yet, then its head in one task."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

import pyarrow as pa
import ray
import torch

from pipeline.datasets.training_data import TrainingData
from pipeline.flows.tasks import wait_for_one
from pipeline.flows.training.embed import EmbedJob, embed
from pipeline.runs.logs import progress_bar
from pipeline.store.folder import Folder
from pipeline.training.data.window_set import WindowSet
from pipeline.training.loop import Progress
from pipeline.training.transfer.probe_fit import Labels, fit_probe, load_embedded

_MAX_FAILURES = 8  # of the task; it begins anew, which takes seconds


@dataclass(frozen=True)
class KeptEmbeddings:
    """What is fitted on: the files of a run's clips."""

    folder: Folder
    table: str
    """The sub-folder of the files."""

    def windows(self, training_data: TrainingData, splits: list[str]) -> WindowSet:
        """Return the windows of some splits, in the order of the shards' names."""
        starts = tuple(f"{self.table}/{split}-" for split in splits)
        names = [name for name in self.folder.names(self.table) if name.startswith(starts)]
        tables: list[pa.Table] = [self.folder.read_table(name) for name in names]
        return load_embedded(
            tables,
            _labels(training_data, splits),
            codes=training_data.vocabulary.codes,
            activity=training_data.config.activity,
        )


def train_probe(
    training_data: TrainingData, out: Folder, *, gpu: bool
) -> tuple[Progress, dict[str, Any]]:
    """Embed what is missing and fit the head; return how it went, and what model.json says of it.

    `out` is the model's folder, which takes the embeddings where the dataset's cannot.
    """
    design, config, began_s = training_data.probe, training_data.config, monotonic()
    job = EmbedJob(
        training_data.dataset.folder, training_data.dataset.folder, design, config.precision, gpu
    )
    job = embed(job, training_data.dataset, out, ["train", "val"])
    embedded_s = monotonic() - began_s
    kept = KeptEmbeddings(job.out, job.table)
    task = ray.remote(num_cpus=1, max_retries=_MAX_FAILURES)(_fit)
    with progress_bar(total=1, unit=" fits", desc="probe", postfix="fitting the head") as bar:
        progress: Progress = ray.get(wait_for_one([task.remote(training_data, kept)], bar))
        bar.update()
    return progress, {
        "encoders": design.origins,
        "embeddings": job.out.uri_of(job.table),
        "embedding_seconds": embedded_s,
    }


def _fit(training_data: TrainingData, kept: KeptEmbeddings) -> Progress:
    """Fit on one core: on vectors, threads would wait for one another."""
    torch.set_num_threads(1)
    windows_of = partial(kept.windows, training_data)
    train_set = training_data.part("train", windows_of)
    training_data.check_not_silent(train_set)
    model = training_data.new_model(train_set)
    return fit_probe(training_data.config, model, train_set, training_data.part("val", windows_of))


def _labels(training_data: TrainingData, splits: list[str]) -> Labels:
    """Return the classes of the clips of some splits, by segment_id."""
    found: dict[str, tuple[list[str], list[str] | None]] = {}
    for split in splits:
        unknown = training_data.dataset.unknown(split)
        for table in training_data.dataset.features(split, ["segment_id", "classes"]):
            for row in table.to_pylist():
                one = row["segment_id"]
                found[one] = (row["classes"], unknown.get(one))
    return found
