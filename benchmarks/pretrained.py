"""How right models are on recordings of one instrument each, and how fast on one core.

    python benchmarks/pretrained.py --models MODEL ... --recordings FOLDER ... [--render 20]
        [--mixtures 60]

A folder has `manifest.csv` with columns path and label: a class's code, or another word where none
of them is heard. `--render N` adds N clips of 10 s for each class that no recording has, played by
the demo's soundfont; `--mixtures N` adds N tracks of one or two classes, most of them over drums,
bass and other instruments. Scores are those of `jobs.tag_catalog`: silence is left out.

Shown for each model: macro F1 at its own thresholds; macro F1 at thresholds of the largest F1 a
class, found on four fifths of the recordings and counted on the last fifth, each in turn; mAP;
seconds of audio that one core's second takes from samples to scores (decoding is not in it).
`--by-class` adds each class, with the threshold that all of the recordings give.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from pipeline.arrays import Bools, Float64
from pipeline.audio.spectra.activity import Activity
from pipeline.audio.spectra.windows import cut_windows, window_starts
from pipeline.demo.catalogue import plan_catalogue
from pipeline.demo.compose import Section
from pipeline.demo.recording import Recording, record_all
from pipeline.evaluation.labels.thresholds import tuned
from pipeline.evaluation.statistics.metrics import Metrics, multilabel_metrics
from pipeline.inference.described import describe
from pipeline.inference.inference_config import InferenceConfig, inference_config
from pipeline.inference.tagger import TrackTagger
from pipeline.models.engines.engines import make_engine
from pipeline.selection.vocabulary import default_vocabulary
from pipeline.store.catalogue import list_tracks

N_FOLDS = 5
RENDERED_S = 10.0
TIMED_S = 60.0


@dataclass(frozen=True)
class Recorded:
    """A recording, and what it is of."""

    path: Path
    label: str
    """A class's code, or several with + between them."""


@dataclass(frozen=True)
class Scored:
    """A model's scores of recordings, `[n_recordings, n_classes]`, and their labels."""

    codes: list[str]
    labels: list[str]
    scores: Float64

    @property
    def truth(self) -> Bools:
        """Whether a recording is of a class, `[n_recordings, n_classes]`."""
        named = [label.split("+") for label in self.labels]
        return np.array([[code in there for code in self.codes] for there in named])


def main() -> None:
    """Score each model; print a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", required=True, metavar="URI")
    parser.add_argument("--recordings", nargs="+", type=Path, required=True, metavar="DIR")
    parser.add_argument("--render", type=int, default=0, metavar="N")
    parser.add_argument("--mixtures", type=int, default=0, metavar="N")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/pretrained"))
    parser.add_argument("--by-class", action="store_true")
    flags = parser.parse_args()
    recorded = [one for folder in flags.recordings for one in manifest(folder)]
    recorded += rendered(flags.folder, recorded, flags.render)
    recorded += mixtures(flags.folder / "mixtures", flags.mixtures)
    print(f"{len(recorded)} recordings\n{'':<28}{'own F1':>8}{'tuned':>8}{'mAP':>8}{'x':>8}")
    for model in flags.models:
        inference = replace(inference_config(model), activity=Activity(), engine="auto")
        scored = score(inference, recorded)
        own = multilabel_metrics(
            scored.truth, scored.scores, thresholds=inference.thresholds, class_codes=scored.codes
        )
        found = f"{own.macro_f1_present or 0:8.3f}{held_out_f1(scored):8.3f}"
        found += f"{own.mean_average_precision or 0:8.3f}{speed(inference):8.0f}"
        print(f"{Path(model).name:<28}{found}", flush=True)
        if flags.by_class:
            print(by_class(scored, own))


def manifest(folder: Path) -> list[Recorded]:
    """Return the recordings of a folder."""
    with (folder / "manifest.csv").open(newline="") as file:
        return [Recorded(folder / row["path"], row["label"]) for row in csv.DictReader(file)]


def rendered(folder: Path, recorded: Sequence[Recorded], n_each: int) -> list[Recorded]:
    """Return clips of the classes that no recording has, made where they are not there yet."""
    lacking = sorted(set(default_vocabulary().codes) - {one.label for one in recorded})
    planned = [
        (code, Recording(
            path=folder / code / f"{k}.flac",
            seed=f"pretrained/{code}/{k}",
            sections=(Section(0.0, RENDERED_S, (code,)),),
            loud_s=(0.0, RENDERED_S),
        ))
        for code in lacking
        for k in range(n_each)
    ]  # fmt: skip
    record_all([one for _, one in planned], workers=1, title="clips")
    return [Recorded(one.path, code) for code, one in planned]


def mixtures(folder: Path, n_tracks: int) -> list[Recorded]:
    """Return tracks as the demo's catalogue has them, made where they are not there yet."""
    tracks = plan_catalogue(folder, 7, n_tracks=n_tracks)
    as_flac = [
        replace(one.recording, path=one.recording.path.with_suffix(".flac"), rate_hz=44_100)
        for one in tracks
    ]
    record_all(as_flac, workers=1, title="mixtures")
    labels = ["+".join(one.codes) for one in tracks]
    return [Recorded(one.path, label) for one, label in zip(as_flac, labels, strict=True)]


def score(inference: InferenceConfig, recorded: Sequence[Recorded]) -> Scored:
    """Tag recordings, one after the other."""
    tagger = TrackTagger(inference)
    rows = []
    for one in recorded:
        (described,) = describe(list_tracks(str(one.path)), inference)
        (row,) = tagger(described).to_pylist()
        if row["status"] != "ok":
            raise SystemExit(f"{one.path}: {row['reason']}: {row['detail']}")
        rows.append([row["scores"][code] for code in inference.codes])
    return Scored(inference.codes, [one.label for one in recorded], np.array(rows))


def held_out_f1(scored: Scored) -> float:
    """Return macro F1 of the classes that are there, at thresholds of other recordings."""
    truth, named = scored.truth, np.zeros(scored.scores.shape, bool)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
    for learned, held in folds.split(scored.scores, [one.split("+")[0] for one in scored.labels]):
        found = tuned(truth[learned], scored.scores[learned], class_codes=scored.codes)
        named[held] = scored.scores[held] >= found.array()
    there = truth.any(axis=0)
    return float(f1_score(truth[:, there], named[:, there], average="macro", zero_division=0))


def by_class(scored: Scored, own: Metrics) -> str:
    """Return one line per class: how many, F1 and AP, and the threshold of the largest F1."""
    found = tuned(scored.truth, scored.scores, class_codes=scored.codes).values
    return "\n".join(
        f"    {row.code:<8}{row.n_positive:>5}  F1 {row.f1:.3f}  "
        f"AP {row.average_precision or 0:.3f}  {found[row.code]:.4f}"
        for row in own.per_class
    )


def speed(inference: InferenceConfig) -> float:
    """Return seconds of audio a second of one core: front end, windows and network."""
    input_spec, windows = inference.model_card.input_spec, inference.windows
    noise = (
        np.random.default_rng(0).standard_normal(round(TIMED_S * input_spec.sample_rate_hz)) / 10
    )
    samples = noise.astype(np.float32)
    engine = make_engine(inference.model)
    seconds = []
    for _ in range(4):  # the first one is slower
        began = time.process_time()
        matrix = input_spec.matrix(samples)
        starts = window_starts(matrix.shape[1], windows, input_spec)
        engine.scores(
            cut_windows(matrix, starts, windows.n_frames(input_spec), silence=input_spec.silence)
        )
        seconds.append(time.process_time() - began)
    return TIMED_S / float(np.median(seconds[1:]))


if __name__ == "__main__":
    main()
