"""A dataset and its pooled features in; ANOVA, explore.json and a page out.

No Ray: a feature is one number per row and clip here, and one feature at a time is in memory. Audio
is read of one clip of each class, at most twelve, which the page has in parts (`separate`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.audio.decoding.clip import from_wav, loudest_start_s
from pipeline.audio.description.separation import separate
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.configs.explore import ExploreConfig as ExploreConfig
from pipeline.datasets.pooled import Pooled, check_features, read_pooled, shards_of
from pipeline.evaluation.runs.exploration import (
    ClipExample,
    FeatureTests,
    SeparatedClip,
    durations_s,
    explore_report,
)
from pipeline.evaluation.statistics.anova import anova, anova_table, best_of_each, by_recording
from pipeline.evaluation.statistics.clusters import clusters
from pipeline.report.page import render_page
from pipeline.report.pages.explore_page import explore_page
from pipeline.runs.provenance import provenance
from pipeline.selection.vocabulary import Vocabulary
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.store.out import EXPLORATION, check_out
from schemas.clips import clips_schema
from schemas.dataset import DatasetRecord
from schemas.exploration import ExplorationRecord
from schemas.features import read_logmels

_CLIP_COLUMNS = ("classes", "split", "sample_rate_hz", "n_samples")
_N_DRAWN = 12
_N_SEPARATED, _N_PARTS, _SEPARATED_S = 12, 3, 3.0  # of each class, so the page stays small


def explore(config: ExploreConfig) -> ExplorationRecord:
    """Test and draw what a dataset holds; return what explore.json holds."""
    inputs = {"--dataset": config.dataset, "--features": config.features}
    check_out(config.out, EXPLORATION, inputs)
    dataset, out = Dataset.open(config.dataset), Folder(config.out)
    about = dataset.record()
    names = Vocabulary.from_dict(about.classes).names
    tested = None
    if config.features is not None:
        tested = compare(Folder(config.features), dataset, config.split, list(names))
    clips, examples = read_clips(dataset), find_examples(dataset, config.split, list(names))
    report = explore_report(
        clips,
        class_names=names,
        n_segments=count_segments(dataset),
        split=config.split,
        examples=examples,
        tested=tested,
        provenance=provenance() | _origin(config, about),
    )
    page = explore_page(
        report,
        durations_s=durations_s(clips),
        examples=examples,
        spec=LogMelSpec.from_dict(about.feature_spec),
        tested=tested,
        separated=separate_examples(dataset, examples),
    )
    with out.claimed():
        out.delete("anova.parquet")  # of an earlier run, which may have had features
        if tested:
            out.write_table("anova.parquet", tested.table)
        out.write_json("explore.json", report.to_dict())
        out.write_bytes("report.html", render_page(page).encode())
    return report


def read_clips(dataset: Dataset) -> pa.Table:
    """Return every clip's classes, split and length."""
    whole = clips_schema(1)
    schema = pa.schema([whole.field(name) for name in _CLIP_COLUMNS])
    return dataset.folder.read_tables(dataset.folder.names("clips"), schema)


def count_segments(dataset: Dataset) -> dict[str, int]:
    """Return how many segments are planned, by split."""
    if not dataset.folder.exists("segments.parquet"):
        return {}
    splits = dataset.folder.read_table("segments.parquet", ["split"])["split"]
    return {n["values"]: n["counts"] for n in pc.value_counts(splits).to_pylist()}


def find_examples(dataset: Dataset, split: str, codes: list[str]) -> list[ClipExample]:
    """Return a clip for every class that has one: the first with only it, or the first with it."""
    alone: dict[str, tuple[str, int]] = {}
    among: dict[str, tuple[str, int]] = {}
    for name in shards_of(dataset.folder, "features", split):
        for row, classes in enumerate(
            dataset.folder.read_table(name, ["classes"])["classes"].to_pylist()
        ):
            for code in classes:
                (alone if len(classes) == 1 else among).setdefault(code, (name, row))
        if len(alone) == len(codes):
            break
    places = among | alone
    return [_read_example(dataset.folder, code, *places[code]) for code in codes if code in places]


def separate_examples(dataset: Dataset, examples: Sequence[ClipExample]) -> list[SeparatedClip]:
    """Return the loudest seconds of the first examples in parts, of those whose audio is there."""
    wanted = {one.segment_id: one.code for one in examples[:_N_SEPARATED]}
    found: dict[str, SeparatedClip] = {}
    for name in dataset.folder.names("clips"):
        if len(found) == len(wanted):
            break
        ids = dataset.folder.read_table(name, ["segment_id"])["segment_id"].to_pylist()
        if not (rows := [k for k, one in enumerate(ids) if one in wanted]):
            continue
        audio = dataset.folder.read_table(name, ["audio"])["audio"]
        for k in rows:
            found[ids[k]] = _separated(wanted[ids[k]], ids[k], audio[k].as_py()["bytes"])
    return [found[one] for one in wanted if one in found]


def _separated(code: str, segment_id: str, wav: bytes) -> SeparatedClip:
    samples, rate_hz = from_wav(wav)
    first = round(loudest_start_s(samples, rate_hz, _SEPARATED_S) * rate_hz)
    loudest = samples[first : first + round(_SEPARATED_S * rate_hz)]
    return SeparatedClip(code, segment_id, rate_hz, separate(loudest, n_parts=_N_PARTS))


def _read_example(folder: Folder, code: str, name: str, row: int) -> ClipExample:
    clip = folder.read_table(name, ["segment_id", "logmel"]).slice(row, 1)
    return ClipExample(code, clip["segment_id"][0].as_py(), read_logmels(clip)[0])


def compare(folder: Folder, dataset: Dataset, split: str, codes: list[str]) -> FeatureTests:
    """Return the ANOVA of every pooled feature over the clips of a split."""
    tables, candidates, found = [], {}, []
    group_of = dataset.group_of()
    for name in check_features(folder, dataset):
        pooled = read_pooled(folder, name, split, codes)
        recordings = [group_of[one] for one in pooled.segment_ids]
        tables.append(_tests(pooled, recordings))
        values = np.concatenate(list(pooled.values.values()), axis=1)
        found.append(clusters(name, values, pooled.groups, len(codes)))
        # Only what may be drawn is kept: one feature at a time is in memory.
        for row in best_of_each(tables[-1], n_rows=_N_DRAWN):
            drawn = pooled.row_values(row["row"], row["statistic"])
            candidates[drawn.key] = drawn
    table = pa.concat_tables(tables)
    best = best_of_each(table, n_rows=_N_DRAWN)
    return FeatureTests(
        table,
        n_clips=pooled.n_clips,
        n_single=len(pooled.groups),
        n_recordings=len(set(recordings)),
        n_classes=sum(n > 1 for n in Counter(pooled.groups.tolist()).values()),
        rows=[candidates[row["feature"], row["row"], row["statistic"]] for row in best],
        clusters=sorted(
            (one for one in found if one), key=lambda one: one.mutual_information, reverse=True
        ),
    )


def _tests(pooled: Pooled, recordings: list[str]) -> pa.Table:
    """Return the ANOVA of every statistic of a feature."""
    return pa.concat_tables(
        anova_table(
            anova(*by_recording(values, groups=pooled.groups, recordings=recordings)),
            feature=pooled.feature,
            rows=pooled.rows[statistic],
            statistic=statistic,
        )
        for statistic, values in pooled.values.items()
    )


def _origin(config: ExploreConfig, dataset: DatasetRecord) -> dict[str, str]:
    return {
        "dataset": config.dataset,
        "dataset_fingerprint": dataset.fingerprint or "not complete",
        "features": config.features or "none",
    }
