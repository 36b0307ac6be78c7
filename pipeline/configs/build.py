"""What a build is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pipeline.audio.fetching.access import IRMAS, SOURCE, Access
from pipeline.configs.cluster import ClusterConfig
from pipeline.errors import UsageError
from pipeline.flags import HIDDEN, Count, Flag, Number, Seconds, Uri, described
from pipeline.seams import summaries
from pipeline.selection.retry import Retry
from pipeline.selection.splits import SplitBy, parse_split

_SEGMENTS, _WRITTEN, _DOWNLOADS = "which segments", "what is written", "downloads"
_SOURCES = (
    *("youtube: YouTube", "TEMPLATE: a URL with {ytid} in it", "DIR: a folder of {ytid}.* files"),
    "irmas:DIR: IRMAS's own folder",
    *summaries("pipeline.audio.fetching.sources", "SOURCE").values(),
)
_SOURCE = Flag("youtube|TEMPLATE|DIR|KIND:DIR", known=_SOURCES)


@described
@dataclass(frozen=True)
class BuildConfig(ClusterConfig):
    """What to build, from where, to where."""

    segments: Annotated[tuple[str, ...], Flag("CSV"), _SEGMENTS]
    """Segments CSVs in AudioSet's form: paths or URIs; none where the source has its own."""
    out: Annotated[Uri, _WRITTEN]
    """The dataset's folder: a path, s3://, gs://."""
    source: Annotated[str, _SOURCE, SOURCE] = "youtube"
    """Where the audio comes from {known}"""
    classes: Annotated[str | None, Flag("instruments|openmic|nsynth|TOML"), _SEGMENTS] = None
    """Class vocabulary: the eleven instruments if not given, or what the source has of its own."""
    ontology: Annotated[str | None, Flag("JSON"), _SEGMENTS] = None
    """AudioSet's ontology.json, for classes that expand an id to its descendants."""
    max_per_class: Annotated[Count | None, _SEGMENTS] = None
    """Take at most N segments of a class, all splits together, rare classes first."""
    limit: Annotated[Count | None, _SEGMENTS] = None
    """Take the first N selected segments only."""
    shard_size: Annotated[Count, _WRITTEN] = 64
    """Segments in one shard, which is committed whole."""
    max_downloads: Annotated[Count, _DOWNLOADS] = 8
    """Downloads at once, in the whole cluster."""
    rate: Annotated[Number | None, _DOWNLOADS] = None
    """Attempts started a second, in the whole cluster, at most."""
    attempts: Annotated[Count, _DOWNLOADS] = 3
    """Attempts of one run at a segment whose faults are transient."""
    retry: Annotated[Retry, _DOWNLOADS] = Retry.NONE
    """What earlier runs did not get and this one tries again."""
    max_outage_s: Annotated[Seconds, "limits"] = 6 * 3600.0
    """Give the source up when it is down for longer."""
    split: Annotated[str, Flag("T/V/T"), _SEGMENTS] = "70/10/20"
    """Percent of videos in train, val and test, or 'audioset'; of no account where the source has
    its own."""
    irmas_split: Annotated[SplitBy, _SEGMENTS] = "song"
    """Of irmas:DIR: its testing clips are in val (30 %) and test (70 %) by song, or by file, as in
    the Harmony report."""
    max_per_class_and_split: Annotated[Count | None, HIDDEN] = None
    """Take at most N segments of a class in each split, rare classes first."""
    wav_dir: Annotated[Uri | None, _WRITTEN] = None
    """A folder where every clip is also written as {segment_id}.wav."""
    access: Access = field(default_factory=Access)
    """Cookies, proxy and source address."""

    @property
    def is_irmas(self) -> bool:
        """Whether the source brings its own segments, labels and splits."""
        return self.source.startswith(IRMAS)

    def __post_init__(self) -> None:
        at_least_one = {
            "--shard-size": self.shard_size,
            "--max-downloads": self.max_downloads,
            "--attempts": self.attempts,
            "--limit": 1 if self.limit is None else self.limit,
            "max_per_class_and_split": 1
            if self.max_per_class_and_split is None
            else self.max_per_class_and_split,
            "--max-per-class": 1 if self.max_per_class is None else self.max_per_class,
        }
        for name, value in at_least_one.items():
            if value < 1:
                raise UsageError(f"{name} {value}: expected a whole number from 1 up")
        if self.rate is not None and not self.rate > 0:
            raise UsageError(f"--rate {self.rate}: expected more than 0 segments a second")
        parse_split(self.split)
