"""From windows to a long track: which aggregation finds a solo, and how often it names too much.

    python benchmarks/aggregation.py [--model demo/model] [--tracks 96] [--folder /tmp/aggregation]

Tracks of four minutes are rendered of known parts: one instrument throughout, and none to three
others that have a solo of 10, 30 or 60 s, over it or in its place. A model (that of `make demo`)
hears them as in tagging: windows of silence do not count, and the gate is the job's own. Half of
the tracks give the thresholds of the largest F1, the other half is measured. Precision, recall and
F1 are the mean of the classes, at 0.5 and at those thresholds; then comes the share of the parts
that are named at 0.5, by their length. What was rendered is not rendered again.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from pipeline.arrays import Bools, Floats
from pipeline.audio.spectra.activity import Activity
from pipeline.demo.compose import Section
from pipeline.demo.idioms import CLASSES
from pipeline.demo.recording import Recording, record_all
from pipeline.evaluation.labels.aggregate import aggregate, confidence
from pipeline.evaluation.labels.thresholds import tuned
from pipeline.evaluation.statistics.metrics import multilabel_metrics
from pipeline.flows.cluster import own_cpus
from pipeline.inference.described import describe
from pipeline.inference.inference_config import InferenceConfig, inference_config
from pipeline.inference.tagger import TrackTagger
from pipeline.models.model import DEFAULT_MIN_CONFIDENCE
from pipeline.store.catalogue import list_tracks

TRACK_S = 240
SOLOS_S = (10, 30, 60)
METHODS = (
    *("s1", "s2", "max", "top3", "top10", "top30"),
    *(f"s2-{s}s-{outer}" for s in (5, 10, 20) for outer in ("max", "top2", "top3", "top5")),
    *(f"s1-10s-{outer}" for outer in ("max", "top3")),
)


@dataclass(frozen=True)
class Part:
    """A class, and for how long it sounds in a track."""

    code: str
    seconds: int


@dataclass(frozen=True)
class Heard:
    """A track's parts, and what the model says of its active windows."""

    parts: tuple[Part, ...]
    scores: Floats
    """Shape [n_windows, n_classes]."""


def main() -> None:
    """Render, listen, print one line per aggregation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="demo/model", help="a model's folder")
    parser.add_argument("--tracks", type=int, default=96, metavar="N")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/aggregation"))
    flags = parser.parse_args()
    planned = [plan_track(Random(f"aggregation/{k}"), k) for k in range(flags.tracks)]
    recordings = [recording(flags.folder, k, *track) for k, track in enumerate(planned)]
    record_all(recordings, workers=own_cpus(), title="tracks")
    inference = replace(inference_config(flags.model), activity=Activity(), keep_windows=True)
    scores = dict(listened(flags.folder, inference))
    tracks = [
        Heard(parts, scores[str(each.path.resolve())])
        for each, (parts, _) in zip(recordings, planned, strict=True)
    ]
    print_table(tracks, inference.codes, hop_s=inference.windows.hop_s)


def plan_track(rng: Random, k: int) -> tuple[tuple[Part, ...], tuple[Section, ...]]:
    """Return a track of 1 to 4 classes: one throughout, the others in solos apart."""
    lead, *others = rng.sample(list(CLASSES), 1 + k % 4)
    solos = [Part(code, rng.choice(SOLOS_S)) for code in others]
    gap_s = (TRACK_S - sum(solo.seconds for solo in solos)) // (len(solos) + 1)
    sections, at_s = [], 0
    for solo in solos:
        beside = rng.choice(((lead,), ()))
        sections += [
            Section(at_s, at_s + gap_s, (lead,)),
            Section(at_s + gap_s, at_s + gap_s + solo.seconds, (*beside, solo.code)),
        ]
        at_s += gap_s + solo.seconds
    return (Part(lead, TRACK_S), *solos), (*sections, Section(at_s, TRACK_S, (lead,)))


def recording(
    folder: Path, k: int, parts: Sequence[Part], sections: tuple[Section, ...]
) -> Recording:
    """Return what is to be rendered of a track."""
    name = f"{k:03d} {'+'.join(part.code for part in parts)}.flac"
    return Recording(
        folder / name, f"aggregation/{k}", sections, (0.0, float(TRACK_S)), n_channels=1
    )


def listened(folder: Path, inference: InferenceConfig) -> Iterator[tuple[str, Floats]]:
    """Yield each file of a folder, and the scores of its active windows."""
    tagger = TrackTagger(inference)
    for described in describe(list_tracks(str(folder)), inference):
        (row,) = tagger(described).to_pylist()
        scores = np.frombuffer(row["window_scores"], "<f4").reshape(-1, len(inference.codes))
        yield row["uri"], scores[np.array(row["active"], bool)]


def print_table(tracks: Sequence[Heard], codes: Sequence[str], *, hop_s: float) -> None:
    """Print precision, recall and F1 of every aggregation, and what becomes of each length."""
    lengths = (*SOLOS_S, TRACK_S)
    shares = "".join(f"{f'{s} s':>7}" for s in lengths)
    print(f"{'':<14}{'at 0.5':>18}{'tuned':>21}   recall of parts at 0.5, by length")
    print(f"{'':<14}{'P':>6}{'R':>6}{'F1':>6}   {'P':>6}{'R':>6}{'F1':>6}   {shares}")
    for method in METHODS:
        row = figures(tracks, codes, method, hop_s=hop_s)
        at = ["".join(f"{value:>6.2f}" for value in row[name]) for name in ("fixed", "tuned")]
        parts = "".join(f"{row['recall'].get(s, np.nan):>7.2f}" for s in lengths)
        print(f"{method:<14}{at[0]}   {at[1]}   {parts}", flush=True)


def figures(
    tracks: Sequence[Heard], codes: Sequence[str], method: str, *, hop_s: float
) -> dict[str, Any]:
    """Return what an aggregation comes to: of the odd tracks, by what the even ones say."""
    truth = np.array([[c in {p.code for p in t.parts} for c in codes] for t in tracks])
    scores = np.stack([aggregate(t.scores, method, hop_s=hop_s) for t in tracks])
    scores = np.where(
        np.stack([confidence(t.scores) for t in tracks]) >= DEFAULT_MIN_CONFIDENCE, scores, 0.0
    )
    limits = tuned(truth[::2], scores[::2], class_codes=codes).array()
    found = {}
    for name, thresholds in (("fixed", np.full(len(codes), 0.5)), ("tuned", limits)):
        at = multilabel_metrics(truth[1::2], scores[1::2], thresholds=thresholds, class_codes=codes)
        found[name] = (at.macro_precision, at.macro_recall, at.macro_f1)
    return {**found, "recall": by_length(tracks[1::2], scores[1::2] >= 0.5, codes)}


def by_length(tracks: Sequence[Heard], named: Bools, codes: Sequence[str]) -> Mapping[int, float]:
    """Return the share of parts that are named, by their seconds."""
    hits = defaultdict(list)
    for track, row in zip(tracks, named, strict=True):
        for part in track.parts:
            hits[part.seconds].append(row[codes.index(part.code)])
    return {seconds: float(np.mean(each)) for seconds, each in hits.items()}


if __name__ == "__main__":
    main()
