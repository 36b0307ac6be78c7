"""What each model learns of the demo's data, and what of it holds on recordings it never heard.

    python benchmarks/models.py --recordings /path/to/recordings [--encoders MODEL MODEL]
        [--models resnet18 crnn ...] [--seeds 3] [--soundfont FILE.sf2]

The demo's videos are rendered and built into a dataset, once; `--soundfont` adds as many by a
larger one. Then each model is trained with each seed by `fit`, and scored twice: on the rendered
clips of the test split, by `evaluate`, and on the recordings of a folder with `manifest.csv`
(columns path and label), tagged one by one. Shown are macro F1 of the classes that are there (S2,
0.5; a recording's label is one class, so F1 of its highest score stands there, too), and mAP: means
over the seeds, in brackets the lowest and the highest. `--encoders` are imported models to fit
probes on. What is done is not done again; figures are in results.json beside each model.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pretrained import Recorded, manifest, score  # the script beside this one
from sklearn.metrics import f1_score

from jobs.demo import SEED
from pipeline import BuildConfig, EvaluateConfig, FitConfig, TrainConfig, build, evaluate, fit
from pipeline.audio.spectra.activity import Activity
from pipeline.demo.corpus import plan_corpus, render_corpus, write_segments_csv
from pipeline.evaluation.statistics.metrics import multilabel_metrics
from pipeline.flows.cluster import own_cpus, ray_session
from pipeline.inference.inference_config import inference_config
from pipeline.training.presets import preset

N_LARGER = 450  # videos by the larger soundfont


def _model(name: str, epochs: int, lr: float = 1e-3, **others: Any) -> TrainConfig:
    """Return a short training of a network on 1-s windows, in batches of 32."""
    base = TrainConfig(model=name, epochs=epochs, batch_size=32, lr=lr, input_size=(128, 32))
    return replace(base, **others)


MODELS: Mapping[str, TrainConfig] = {
    **{name: preset(None, name) for name in ("svm", "random-forest", "mlp", "knn", "linear")},
    "gradient-boosting": preset(None, "gradient-boosting"),
    "resnet10t, as in the demo": _model("resnet10t", 14, 2e-3),
    "resnet18": _model("resnet18", 8),
    "resnet18, triplet": _model("resnet18", 2, loss="triplet"),
    "resnet50": _model("resnet50", 1),
    "compact": _model("compact", 8),
    "cnn1d-raw": _model("cnn1d-raw", 2, augment=("noise", "shift")),
    "cnn2d-mfcc": _model("cnn2d-mfcc", 8, augment=("shift",)),
    "cnn1d-descriptors": _model("cnn1d-descriptors", 12, augment=("shift",)),
    "crnn": _model("crnn", 2),
    "shortchunk": _model("shortchunk", 1, 5e-4),
    "shortchunk-res": _model("shortchunk-res", 1, 5e-4),
    "fcn": _model("fcn", 20, window_s=10.0),
    "fcn4": _model("fcn4", 1, window_s=10.0),
    "musicnn": _model("musicnn", 1, window_s=3.0),
    "samplecnn": _model("samplecnn", 1, window_s=59_049 / 16_000),
    "samplecnn-se": _model("samplecnn-se", 1, window_s=59_049 / 16_000),
    "harmonic-cnn": _model("harmonic-cnn", 1, window_s=5.0),
    "cnn-sa": _model("cnn-sa", 10, 5e-4, window_s=10.0),
    "cnn1d-mel": _model("cnn1d-mel", 12),
    "timbre-pitch": _model("timbre-pitch", 12, window_s=10.0),
    "ast": replace(preset("harmony-ast"), weights="none", epochs=1, augment=("masks", "shift")),
}
"""Rates of from-scratch training, and epochs that two cores finish in minutes: no network has
learned all that it could. `--loss softmax` is not here: the demo's clips have several labels."""


def main() -> None:
    """Render, build, train and score; print a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recordings", type=Path, required=True, metavar="DIR")
    parser.add_argument("--encoders", nargs="+", default=[], metavar="MODEL")
    parser.add_argument("--soundfont", type=Path, help="fluid-soundfont-gm's, say")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/models"))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3)
    flags = parser.parse_args()
    recorded = manifest(flags.recordings)
    models = {name: MODELS[name] for name in flags.models} | probes(flags.encoders)
    print(
        f"| model | epochs | seconds of the fit | rendered: F1 | mAP | "
        f"{len(recorded)} recordings: F1 | F1 of the highest | mAP |\n" + "|---" * 8 + "|"
    )
    with ray_session(min_cpus=4):
        dataset = build_dataset(flags.folder, flags.soundfont)
        for name, config in models.items():
            runs = [
                result(
                    replace(config, seed=seed), dataset, recorded, place(flags.folder, name, seed)
                )
                for seed in range(flags.seeds)
            ]
            print(line(name, config, runs), flush=True)


def probes(encoders: Sequence[str]) -> dict[str, TrainConfig]:
    """Return a probe on each encoder, and one on all of them."""
    sets = [(uri,) for uri in encoders] + ([tuple(encoders)] if len(encoders) > 1 else [])
    return {
        f"probe on {' and '.join(Path(uri).name for uri in uris)}": replace(
            preset(None, "probe"), encoder=uris
        )
        for uris in sets
    }


def build_dataset(folder: Path, soundfont: Path | None) -> Path:
    """Render the demo's videos, and others by a larger soundfont, and make the dataset of them."""
    sheets: list[Path] = []
    corpora: list[tuple[str, int, dict[str, int]]] = [("", SEED, {})]
    if soundfont is not None:
        corpora.append((str(soundfont), SEED + 1, {"n_videos": N_LARGER}))
    for font, seed, size in corpora:
        os.environ["TIMBRE_SOUNDFONT"] = font
        plan = plan_corpus(seed, faults=(), **size)
        render_corpus(plan, folder / "videos", workers=own_cpus())
        sheets += write_segments_csv(plan, folder / str(seed))
    out = folder / "dataset"
    build(BuildConfig(tuple(map(str, sheets)), str(out), source=str(folder / "videos")))
    return out


def place(folder: Path, name: str, seed: int) -> Path:
    """Return the folder of a run."""
    return folder / "runs" / f"{name.replace(',', '').replace(' ', '-')}-{seed}"


def result(
    config: TrainConfig, dataset: Path, recorded: Sequence[Recorded], here: Path
) -> dict[str, float]:
    """Train one model and score it on both; what has ended comes from its file."""
    file = here / "results.json"
    if file.is_file():
        return dict(json.loads(file.read_text()))
    began = time.monotonic()
    model = str(here / "model")
    fit(FitConfig(str(dataset), model, config))
    found = {"seconds": time.monotonic() - began}
    clips = evaluate(
        EvaluateConfig(model, str(here / "rendered"), dataset=str(dataset), validation=False)
    )
    found |= {"f1": clips.macro_f1_present or 0.0, "map": clips.mean_average_precision or 0.0}
    found |= on_recordings(model, recorded)
    file.write_text(json.dumps(found))
    return found


def on_recordings(model: str, recorded: Sequence[Recorded]) -> dict[str, float]:
    """Return a model's figures on recordings of one instrument each."""
    inference = replace(inference_config(model), activity=Activity(), engine="auto")
    scored = score(inference, recorded)
    own = multilabel_metrics(
        scored.truth, scored.scores, thresholds=inference.thresholds, class_codes=scored.codes
    )
    there = scored.truth.any(axis=1)
    highest = np.zeros_like(scored.truth)
    highest[np.arange(len(highest)), scored.scores.argmax(axis=1)] = True
    present = scored.truth.any(axis=0)
    top = f1_score(
        scored.truth[there][:, present],
        highest[there][:, present],
        average="macro",
        zero_division=0,
    )
    return {
        "real_f1": own.macro_f1_present or 0.0,
        "real_top_f1": float(top),
        "real_map": own.mean_average_precision or 0.0,
    }


def line(name: str, config: TrainConfig, runs: Sequence[Mapping[str, float]]) -> str:
    """Return a model's row: means of its seeds, and how far they lie apart."""
    figures = [
        f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
        for key in ("f1", "map", "real_f1", "real_top_f1", "real_map")
        if (values := [run[key] for run in runs])
    ]
    seconds = np.mean([run["seconds"] for run in runs])
    return f"| {name} | {config.epochs} | {seconds:.0f} | " + " | ".join(figures) + " |"


if __name__ == "__main__":
    main()
