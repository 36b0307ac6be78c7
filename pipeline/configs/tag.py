"""What a tagging is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pipeline.configs.cluster import ClusterConfig
from pipeline.errors import UsageError
from pipeline.evaluation.labels.aggregate import CHOICES, method_named
from pipeline.evaluation.labels.thresholds import check_share
from pipeline.flags import Count, Flag, Number, Seconds, Share, described, words
from pipeline.models.names import STARTER, Engine, Precision
from pipeline.seams import declaring
from pipeline.store.manifests.playlist import FORMS

Retry = Literal["none", "failed"]
"""Which failed tracks are taken again, beside those that the line failed."""
Prune = Literal["none", "gone", "unlisted"]
"""Which rows are deleted when all is tagged."""

ATTRIBUTES = tuple(declaring("pipeline.audio.description.attributes", "ATTRIBUTES"))
"""Names of the attribute sets: the modules of `pipeline.audio.description.attributes`."""

_TRACKS, _MODEL, _LABELS = "what is tagged", "the model", "windows and labels"
_WRITTEN, _WHERE, _LIMITS = "what is written", "where it runs", "limits"


@described
@dataclass(frozen=True)
class TagConfig(ClusterConfig):
    """What to tag, with what, to where."""

    catalog: Annotated[str, Flag("URI|GLOB|MANIFEST", known=FORMS), _TRACKS]
    """The tracks to tag: {known}."""
    model: Annotated[str, Flag("starter|URI|URI,URI"), _MODEL] = STARTER
    """A model's folder, from train or quantize; an ensemble's, from evaluate --ensemble; several
    with commas between, of which the scores are averaged; or the starter."""
    out: Annotated[str, Flag("URI", is_required=True), _WRITTEN] = ""
    """The folder for tags/, run.json, report.html; it must be named."""
    aggregate: Annotated[str | None, Flag("NAME", method_named, known=CHOICES), _LABELS] = None
    """From windows to a track; the model's own if not given, but s2-10s-top3 where that is s2 and
    the folder has no rows by s2 {known}"""
    threshold: Annotated[Number | None, _LABELS] = None
    """Score from which a label is given, 0 to 1, for every class; the model's own if not given."""
    gpu: Annotated[bool, _WHERE] = False
    """A GPU for every process of the model."""
    window_s: Annotated[Seconds | None, _LABELS] = None
    """Length of a window in s; the model's own if not given."""
    hop_s: Annotated[Seconds | None, _LABELS] = None
    """From one window to the next in s; the model's own if not given."""
    # --gate was its name in version 0.1.
    min_confidence: Annotated[float | None, Flag("X", aliases=("--gate",)), _LABELS] = None
    """Lowest mean score of a class's three highest windows for a label, 0 to 1; the model's own, or
    0.2 where it has none, if not given."""
    activity: Annotated[bool, _LABELS] = True
    """Leave out windows of silence and noise."""
    calibrated: Annotated[bool, _LABELS] = False
    """Scores are probabilities, by what evaluate --keep-calibration wrote into model.json; the
    thresholds go with them."""
    retry: Annotated[Retry, _TRACKS] = "none"
    """Take all failed tracks again; those that the line failed are taken anyway."""
    prune: Annotated[Prune, _WRITTEN] = "none"
    """When all is tagged, delete the rows of tracks that are gone, and what stands beside them:
    those that an earlier run of this catalogue had and this one has not (gone), or all that this
    catalogue has not, whatever catalogue they are of (unlisted)."""
    keep_windows: Annotated[bool, _WRITTEN] = False
    """Also write windows/ and intervals/ and, with embeddings, window_embeddings/."""
    embeddings: Annotated[bool | None, _WRITTEN] = None
    """Write embeddings/, one vector per track, by which jobs.search finds what sounds alike; done
    where the model has them if neither flag is given."""
    attributes: Annotated[tuple[str, ...], words("NAMES", ", ".join(ATTRIBUTES)), _WRITTEN] = ()
    """Also describe how each track sounds, in columns of tags/ by which one can sort and filter:
    names of attribute sets with commas between. Tracks that were tagged without are tagged again.
    There are: {known}."""
    engine: Annotated[Engine, _MODEL] = "auto"
    """What runs the model: torch, OpenVINO, or the faster of both here."""
    precision: Annotated[Precision, _MODEL] = "auto"
    """Precision of the model's arithmetic; int8 wants a model from quantize."""
    workers: Annotated[Count | None, _WHERE] = None
    """Processes of the model; as many as there is room for if not given."""
    n_examples: Annotated[int, Flag("N", name="--examples"), _WRITTEN] = 6
    """Tracks to listen to on the page."""
    max_track_s: Annotated[Seconds, _LIMITS] = 21600.0
    """A longer track is not tagged but gets a row of reason too_long. A process holds a track's
    log-mel, with the starter 35 MB an hour, three times."""
    max_failed: Annotated[Share, _LIMITS] = 1.0
    """Exit with 3 when more than this share of the catalogue failed (5% or 0.05); run.json and the
    page say so, too."""

    def __post_init__(self) -> None:
        if not self.out:
            raise UsageError("--out: expected a folder")
        for name in ("threshold", "min_confidence"):
            value = getattr(self, name)
            if value is not None:
                check_share(f"--{name.replace('_', '-')}", value)
        check_share("--max-failed", self.max_failed)
        if not self.max_track_s > 0:
            raise UsageError(f"--max-track-s {self.max_track_s:g}: expected more than 0")
        if self.retry not in (known := get_args(Retry)):
            raise UsageError(f"--retry {self.retry!r}: expected one of {', '.join(known)}")
        if self.prune not in (known := get_args(Prune)):
            raise UsageError(f"--prune {self.prune!r}: expected one of {', '.join(known)}")
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers {self.workers}: expected 1 or more")
