"""Segments CSVs in, the plan of a build out: what it would do, before a single request. No Ray.

read → select → split → plan
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.audio.fetching.fetch import (
    IRMAS,
    FolderSource,
    IrmasSource,
    Source,
    YoutubeSource,
    open_source,
    own_labels,
    place_of,
)
from pipeline.audio.fetching.irmas_source import list_irmas
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.configs.build import BuildConfig as BuildConfig
from pipeline.errors import StoreError, UsageError
from pipeline.evaluation.runs.forecast import InFolder, forecast, look_into
from pipeline.runs.logs import progress_bar, say
from pipeline.selection.audioset import read_segments
from pipeline.selection.cap import cap_classes, cap_classes_of_splits, cap_text
from pipeline.selection.labelled import LabelledClip, labelled_rows
from pipeline.selection.plan import (
    count_to_do,
    parse_split,
    plan_segments,
    rows_to_do,
    split_as_audioset,
    split_by_hash,
)
from pipeline.selection.select import select, select_counts
from pipeline.selection.vocabulary import (
    SHIPPED,
    Vocabulary,
    audioset_mids,
    default_vocabulary,
    parse_vocabulary,
    shipped_vocabulary,
)
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder, read_input
from pipeline.store.out import DATASET, check_out
from schemas.dataset import DatasetRecord

Chooser = Callable[[BuildConfig, Vocabulary], tuple[pa.Table, dict[str, int]]]
"""From a config to the rows that are wanted, with their split, and counts."""

_ANSWER_S = 60.0
"""How long a server may say nothing."""


@dataclass(frozen=True)
class Plan:
    """What a run would do, before a single request."""

    config: BuildConfig
    vocabulary: Vocabulary
    spec: LogMelSpec
    segments: pa.Table
    """The planned rows of SEGMENTS, with their splits and shards."""
    counts: dict[str, int]
    """Rows read, and why rows were left out."""
    left_out: dict[str, int] = field(default_factory=dict)
    """By code, the segments of the class that --max-per-class left out; empty without it."""

    @property
    def cap_text(self) -> str:
        """What to say of --max-per-class; empty without it."""
        cap = self.config.max_per_class
        return "" if cap is None else cap_text(cap, self.counts["over_cap"], self.left_out)

    def identity(self) -> DatasetRecord:
        """Return what a dataset may not change between runs: its dataset.json when it begins."""
        config, text = self.config, self.config.source.partition(":")[2]
        named = place_of(config.source)[0].rstrip(":")
        named += " by file" if config.is_irmas and config.irmas_split == "file" else ""
        own = own_labels(config.source)
        has_labels = config.is_irmas or own is not None
        has_split = config.is_irmas or (own is not None and own.has_split(text))
        # Labels of its own say what is unknown: what leaves it open in AudioSet is of no account.
        classes = self.vocabulary.without_unknown() if has_labels else self.vocabulary
        return DatasetRecord(
            classes=classes.to_dict(),
            feature_spec=self.spec.to_dict(),
            split=named if has_split else config.split,
        )


def dry_run(config: BuildConfig) -> dict[str, Any]:
    """Return what `build` would do, without a request and without writing anything."""
    plan = make_plan(config)
    dataset = Dataset(Folder(config.out))
    dataset.check(plan.identity())
    finished = dataset.finished(plan.segments, config.retry)
    source = open_source(config.source, config.access)
    return forecast(
        plan.segments,
        class_names=plan.vocabulary.names,
        counts=plan.counts,
        n_to_do=count_to_do(plan.segments, finished),
        rate_per_s=config.rate,
        max_downloads=config.max_downloads,
        bytes_per_s=bytes_per_second(plan.spec),
        is_remote=source.is_remote,
        is_youtube=isinstance(source, YoutubeSource),
        cap_text=plan.cap_text,
        in_folder=_in_folder(source, plan.segments, rows_to_do(plan.segments, finished)),
    )


def _in_folder(source: Source, segments: pa.Table, to_do: pa.Table) -> InFolder | None:
    """Return what a folder has of a plan; None of a server, which is not asked.

    IRMAS's segments are its files.
    """
    if not isinstance(source, FolderSource) or isinstance(source, IrmasSource):
        return None
    return look_into(source.names(), segments["ytid"], to_do["ytid"], folder=str(source.folder))


def bytes_per_second(spec: LogMelSpec) -> int:
    """Return what a second of a clip takes in CLIPS and FEATURES: 16-bit samples, float16 bands."""
    return spec.sample_rate_hz * 2 + spec.n_mels * 2 * spec.sample_rate_hz // spec.hop


def make_plan(config: BuildConfig) -> Plan:
    """Read, select and split; everything that a user can get wrong is told here."""
    check_out(config.out, DATASET, {"--source": source_folder(config.source)})
    open_source(config.source, config.access)
    vocabulary = _as_begun(config, read_vocabulary(config))
    chosen, counts = _chooser(config)(config, vocabulary)
    left_out: dict[str, int] = {}
    if config.max_per_class is not None:
        n_before = len(chosen)
        chosen, left_out = cap_classes(chosen, vocabulary.codes, most=config.max_per_class)
        counts["over_cap"] = n_before - len(chosen)
    if (most := config.max_per_class_and_split) is not None:
        chosen = cap_classes_of_splits(chosen, vocabulary.codes, most=most)
    if config.limit is not None:
        chosen = chosen.slice(0, config.limit)
    segments = plan_segments(chosen, shard_size=config.shard_size)
    return Plan(config, vocabulary, LogMelSpec(), segments, counts, left_out)


def _chooser(config: BuildConfig) -> Chooser:
    if config.is_irmas:
        return choose_irmas
    return choose_rows if own_labels(config.source) is None else choose_labelled


def source_folder(source: str) -> str | None:
    """Return the folder of a `--source` that is one; None for YouTube and servers."""
    return place_of(source)[1]


def choose_rows(config: BuildConfig, vocabulary: Vocabulary) -> tuple[pa.Table, dict[str, int]]:
    """Return the rows of the segments CSVs that have a class, with their split, and counts."""
    if not config.segments:
        raise UsageError(f"--segments: needed with --source {config.source}")
    rows = pa.concat_tables([read_rows(uri) for uri in config.segments])
    chosen = select(rows, vocabulary)
    if not chosen.num_rows:
        raise UsageError(f"{', '.join(config.segments)}: no segment has one of the classes")
    ratio = parse_split(config.split)
    split = split_by_hash(chosen, ratio) if ratio else split_as_audioset(chosen, rows)
    return split, select_counts(rows, chosen, vocabulary)


def choose_irmas(config: BuildConfig, vocabulary: Vocabulary) -> tuple[pa.Table, dict[str, int]]:
    """Return IRMAS's own files as whole segments, in its own splits, and counts."""
    _refuse_segments(config)
    folder = Path(config.source.removeprefix(IRMAS))
    chosen = list_irmas(folder, vocabulary, by=config.irmas_split, shown=_with_a_bar)
    n_files = pc.sum(chosen["n_files"]).as_py()
    nothing_left_out = dict.fromkeys(("without_class", "excluded", "lost_a_class"), 0)
    counts = {"rows": n_files, "chosen": len(chosen), "repeated": n_files - len(chosen)}
    return chosen, counts | nothing_left_out


def choose_labelled(config: BuildConfig, vocabulary: Vocabulary) -> tuple[pa.Table, dict[str, int]]:
    """Return the clips of a data set that has labels of its own, with their split, and counts.

    Left out are clips whose labels say nothing of any class, unless the set has no labels at all.
    """
    _refuse_segments(config)
    own, text = own_labels(config.source), config.source.partition(":")[2]
    assert own is not None  # `_chooser` has asked
    ratio = parse_split(config.split)
    if ratio is None and not own.has_split(text):
        raise UsageError(
            f"--split {config.split}: --source {config.source} is no part of AudioSet; expected "
            "three percentages, such as 70/10/20"
        )
    clips, labelling = own.clips(text)
    _say_left_out(clips)
    rows = labelled_rows(clips, labelling, vocabulary, ratio or (0, 0, 0))
    chosen = rows
    if own.has_labels(text):
        n_unknown = pc.list_value_length(rows["unknown"])
        chosen = rows.filter(pc.less(n_unknown, len(vocabulary.codes)))
    if not chosen.num_rows:
        raise UsageError(f"--source {config.source}: no clip has a label of one of the classes")
    counts = dict.fromkeys(("excluded", "lost_a_class", "repeated"), 0)
    n_left_out = rows.num_rows - chosen.num_rows
    counts |= {"rows": rows.num_rows, "chosen": chosen.num_rows, "without_class": n_left_out}
    return chosen, counts


def _say_left_out(clips: Sequence[LabelledClip]) -> None:
    """Say how many clips the source leaves out, and why."""
    for why, n in Counter(clip.left_out for clip in clips if clip.left_out).items():
        say("left_out", text=f"left out: {n:,d} sounds that {why}", n=n, why=why)


def _refuse_segments(config: BuildConfig) -> None:
    if config.segments:
        raise UsageError(f"--segments: of no use with --source {config.source}: it has its own")


def _with_a_bar(names: Collection[str], what: str) -> Iterator[str]:
    """Go through names, and show how far it is."""
    with progress_bar(total=len(names), unit=" files", desc=what) as bar:
        for name in names:
            yield name
            bar.update()


def read_rows(uri: str) -> pa.Table:
    """Read a segments CSV; its rows also have the `file` that they are from."""
    rows = read_segments(pa.BufferReader(read_source(uri)), name=uri, known_mids=audioset_mids())
    return rows.append_column("file", pa.repeat(pa.scalar(uri), len(rows)))


def read_vocabulary(config: BuildConfig) -> Vocabulary:
    """Return the classes of the run: what it is told, what the source has, the eleven."""
    if config.classes is None:
        own = own_labels(config.source)
        return default_vocabulary() if own is None else own.vocabulary()
    if config.classes in SHIPPED:
        return shipped_vocabulary(config.classes)
    ontology = read_text(config.ontology) if config.ontology else None
    return parse_vocabulary(read_text(config.classes), name=config.classes, ontology=ontology)


def _as_begun(config: BuildConfig, vocabulary: Vocabulary) -> Vocabulary:
    """Return the classes as the dataset in --out has them, where only `unknown_if` differs.

    That is so where an older version began it, whose default classes left other labels open, or
    none. Classes that the user has named are not replaced: `Dataset.check` refuses them.
    """
    has_labels = config.is_irmas or own_labels(config.source) is not None
    dataset = Dataset(Folder(config.out))
    if has_labels or config.classes is not None or not dataset.folder.exists("dataset.json"):
        return vocabulary
    begun = Vocabulary.from_dict(dataset.record().classes)
    if begun == vocabulary or begun.without_unknown() != vocabulary.without_unknown():
        return vocabulary
    say(
        "other_unknown",
        text=f"{config.out}: begun by another version, whose classes have another unknown_if; it "
        "goes on with that one (build into another --out for the one of now)",
    )
    return begun


def read_text(uri: str) -> str:
    """Read an input file of text."""
    try:
        return read_source(uri).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{uri}: not text in UTF-8: {error}") from error


def read_source(uri: str) -> bytes:
    """Read an input file: a path, an http(s) URL or anything that pyarrow.fs opens."""
    if uri.startswith(("http://", "https://")):
        return _downloaded(uri)
    return read_input(uri)


def _downloaded(url: str) -> bytes:
    try:
        with urlopen(url, timeout=_ANSWER_S) as response:
            data: bytes = response.read()
    except (OSError, HTTPException, ValueError) as error:
        raise StoreError(
            f"cannot read {url}: {error}; check it and the network, then run the same command again"
        ) from error
    return data
