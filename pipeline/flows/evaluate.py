"""A model, and a dataset split or TAGS with their truth, in; metrics.json and a page out.

One inference path: a split's clips are tagged as a catalogue is, from their wavs, and their TAGS
are scored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray.data

from pipeline.catalog.plan import SPLITS
from pipeline.catalog.vocabulary import Vocabulary
from pipeline.errors import SpecMismatch, TableError, UsageError
from pipeline.flows.cluster import ray_session
from pipeline.flows.provenance import provenance
from pipeline.flows.tag import run_stages
from pipeline.learn.tagging import Tagging, tagging
from pipeline.score.metrics import Metrics, multilabel_metrics
from pipeline.score.page import render_page
from pipeline.score.reports import evaluation_report
from pipeline.store.catalogue import TRACKS, read_csv, resolve
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.store.tagstore import TagStore


@dataclass(frozen=True)
class EvaluateConfig:
    """What to score, against what, to where."""

    model: str
    """A model's folder."""
    out: str
    """The folder for metrics.json and report.html."""
    dataset: str | None = None
    """A dataset's folder: score one split of it."""
    split: str = "test"
    tags: str | None = None
    """A tagging run's folder: score it against `truth`."""
    truth: str | None = None
    """A CSV with columns uri and labels (codes joined by +)."""
    aggregate: str | None = None
    """s1 or s2; the model's own when None."""
    threshold: float | None = None
    """For every class; the model's own when None."""
    gpu: bool = False

    def __post_init__(self) -> None:
        if (self.dataset is None) == (self.tags is None):
            raise UsageError("expected either --dataset or --tags")
        if (self.tags is None) != (self.truth is None):
            raise UsageError("--tags and --truth go together")
        if self.split not in SPLITS:
            raise UsageError(f"--split {self.split!r}: expected one of {', '.join(SPLITS)}")


def evaluate(config: EvaluateConfig) -> Metrics:
    """Score a model and write metrics.json and report.html; return the metrics."""
    how = tagging(config.model, config.aggregate, config.threshold, gpu=config.gpu)
    out = Folder(config.out)
    if config.dataset is not None:
        dataset = Dataset.open(config.dataset)
        tags = tag_split(dataset, config.split, how, out)
        truth, build = split_truth(dataset, config.split), dataset.folder.read_json("report.json")
    else:
        tags, build = read_tags(str(config.tags), how), None
        truth = read_truth(Path(str(config.truth)), how.codes)
    names, scores = aligned(tags, truth, how)
    targets = np.array([[code in truth[name] for code in how.codes] for name in names], bool)
    metrics = multilabel_metrics(targets, scores, thresholds=how.thresholds, class_codes=how.codes)
    report, page = evaluation_report(
        metrics,
        truth=targets,
        scores=scores,
        class_codes=how.codes,
        class_names=how.card.vocabulary.names,
        history=how.card.training["history"],
        build=build,
        provenance=provenance() | _origin(config, how),
    )
    out.write_json("metrics.json", report)
    out.write_bytes("report.html", render_page(page).encode())
    return metrics


def tag_split(dataset: Dataset, split: str, how: Tagging, out: Folder) -> pa.Table:
    """Tag the clips of one split, and return their TAGS; a clip's uri is its segment_id."""
    if Vocabulary.from_dict(dataset.meta()["classes"]) != how.card.vocabulary:
        raise SpecMismatch(f"{dataset.folder.uri} and {how.model} have different classes")
    shards = [n for n in dataset.folder.names("clips") if n.startswith(f"clips/{split}-")]
    if not shards:
        raise UsageError(f"{dataset.folder.uri}: the dataset has no clips in its {split} split")
    store = TagStore(out)
    store.clear()
    n_clips = sum(dataset.folder.read_table(name, ["segment_id"]).num_rows for name in shards)
    with ray_session(min_cpus=4):
        clips = ray.data.from_arrow([pa.table({"shard": [name]}) for name in shards]).map_batches(
            partial(read_clips, dataset=dataset), batch_size=1, batch_format="pyarrow"
        )
        run_stages(clips, how, store, n_tracks=n_clips, n_blocks=len(shards))
    tags = store.read()
    if tags is None or tags.num_rows != n_clips:
        raise RuntimeError(f"{n_clips} clips, but {tags.num_rows if tags else 0} rows of TAGS")
    return tags


def read_clips(shards: pa.Table, *, dataset: Dataset) -> Iterator[pa.Table]:
    """Yield the clips of shards as tracks that bring their bytes along."""
    schema = TRACKS.append(pa.field("bytes", pa.binary()))
    for name in shards["shard"].to_pylist():
        for clip in dataset.folder.read_table(name, ["segment_id", "audio"]).to_pylist():
            wav = clip["audio"]["bytes"]
            track = {"uri": clip["segment_id"], "size_bytes": len(wav), "bytes": wav}
            yield pa.Table.from_pylist([track], schema)


def split_truth(dataset: Dataset, split: str) -> dict[str, list[str]]:
    """Return the classes of every clip of a split, by segment_id."""
    return {
        row["segment_id"]: row["classes"]
        for table in dataset.features(split, ["segment_id", "classes"])
        for row in table.to_pylist()
    }


def read_tags(uri: str, how: Tagging) -> pa.Table:
    """Return the TAGS that this model gave in a tagging run's folder."""
    tags = TagStore(Folder(uri)).read()
    if tags is None:
        raise UsageError(f"{uri}: no tags there; make some with python -m jobs.tag_catalog")
    mine = tags.filter(pc.equal(tags["model_id"], how.card.model_id))
    if not mine.num_rows:
        raise SpecMismatch(f"{uri}: no tags there by this model, {how.card.model_id}")
    return mine


def read_truth(path: Path, codes: list[str]) -> dict[str, list[str]]:
    """Return the labels of a truth CSV, by uri; relative uris count from the CSV's folder."""
    truth = {}
    for line, row in enumerate(read_csv(path, ["uri", "labels"]), 2):
        labels = [label for label in (row["labels"] or "").split("+") if label]
        for label in labels:
            if label not in codes:
                raise TableError(str(path), line, f"label {label!r}", f"one of {'+'.join(codes)}")
        truth[resolve(row["uri"], path.parent)] = labels
    return truth


def aligned(
    tags: pa.Table, truth: dict[str, list[str]], how: Tagging
) -> tuple[list[str], np.ndarray[Any, np.dtype[np.float64]]]:
    """Return the truth's tracks and their scores, `[n, n_classes]`; zeros for a failed one."""
    rows = {row["uri"]: row["scores"] for row in tags.select(["uri", "scores"]).to_pylist()}
    if missing := [name for name in truth if name not in rows]:
        raise UsageError(
            f"{len(missing)} tracks of the truth have no row in TAGS, the first is {missing[0]}"
        )
    zeros = dict.fromkeys(how.codes, 0.0)
    scores = [[(rows[name] or zeros)[code] for code in how.codes] for name in truth]
    return list(truth), np.array(scores, float).reshape(len(truth), len(how.codes))


def _origin(config: EvaluateConfig, how: Tagging) -> dict[str, str]:
    what = (
        f"{config.dataset}, split {config.split}"
        if config.dataset
        else f"{config.tags} against {config.truth}"
    )
    return {"model_id": how.card.model_id, "aggregation": how.aggregation, "scored": what}
