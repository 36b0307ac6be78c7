"""From rendered to real: what each model keeps of what it learnt, on recordings it never heard.

    python benchmarks/transfer.py --soundfont FILE.sf2 --truth CSV [--runs resnet18 crnn ...]

Music is rendered by two soundfonts, the wheel's and a larger one, and built into one dataset, once.
Then each run trains a model on it, by the jobs that everybody uses, and is scored twice: on the
rendered clips of the test split, and on the real recordings of the truth (a CSV with columns uri
and labels, as jobs.evaluate takes it). Shown are macro F1 at S2 and 0.5 and mAP; macro counts the
classes that are there. The number of items stands beside them, as truths differ. What is done is
not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pipeline.demo.corpus import plan_corpus, render_corpus, write_segments_csv
from pipeline.flows.cluster import own_cpus
from pipeline.models.names import AUGMENTATIONS

N_VIDEOS = {"wheel": 250, "larger": 450}  # by soundfont, of all kinds; some have no class
SHORT = "--input-size 128x64 --lr 1e-3"
ALL = ",".join(AUGMENTATIONS)
RUNS = {
    "svm": "--model svm",
    "random-forest": "--model random-forest",
    "mlp": "--model mlp",
    "knn": "--model knn",
    "cnn1d-raw": "--preset harmony-cnn1d-raw --augment noise,shift --epochs 4",
    "cnn2d-mfcc": "--preset harmony-cnn2d-mfcc --augment shift --epochs 3",
    "cnn1d-descriptors": "--preset harmony-cnn1d-descriptors --augment shift --epochs 5",
    "crnn": "--model crnn --lr 1e-3 --epochs 2",
    "shortchunk": "--model shortchunk --lr 5e-4 --epochs 1",
    "resnet18": f"--model resnet18 --epochs 6 {SHORT}",
    "resnet18, no augmentation": f"--model resnet18 --epochs 6 {SHORT} --augment ''",
    "resnet18, noise": f"--model resnet18 --epochs 6 {SHORT} --augment noise",
    "resnet18, noise and pitch": f"--model resnet18 --epochs 6 {SHORT} --augment noise,pitch",
    "resnet18, all augmentations": f"--model resnet18 --epochs 6 {SHORT} --augment {ALL}",
    "resnet18, persistent": f"--model resnet18 --epochs 6 {SHORT} --sampling persistent",
    "resnet18, dynamic": f"--model resnet18 --epochs 6 {SHORT} --sampling dynamic",
    "resnet50": f"--model resnet50 --epochs 3 {SHORT}",
    "ast": "--preset harmony-ast --weights none --augment masks,tilt,mix,shift --epochs 2",
}


def main() -> None:
    """Render, build, train and score; print a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--soundfont", type=Path, required=True, help="fluid-soundfont-gm's, say")
    parser.add_argument("--truth", type=Path, required=True, help="of the real recordings")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/transfer"))
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS), metavar="NAME")
    flags = parser.parse_args()
    build(flags.folder, flags.soundfont)
    print(
        f"{'':<28}{'fit s':>7}{'clips':>7}{'F1':>7}{'mAP':>7}{'recordings':>12}{'F1':>7}{'mAP':>7}"
    )
    for name in flags.runs:
        seconds, text = run(name, flags.folder, flags.truth.absolute())
        print(f"{name:<28}{seconds:>7.0f}{text}", flush=True)


def build(folder: Path, soundfont: Path) -> None:
    """Render both corpora and make the dataset."""
    sheets: list[Path] = []
    fonts = {"wheel": "", "larger": str(soundfont)}
    for seed, (name, n_videos) in enumerate(N_VIDEOS.items(), 1):
        os.environ["TIMBRE_SOUNDFONT"] = fonts[name]
        plan = plan_corpus(seed, n_videos=n_videos, faults=())
        render_corpus(plan, folder / "videos", workers=own_cpus())
        sheets += write_segments_csv(plan, folder / name)
    job("build_subset", "--segments", *sheets, "--source", folder / "videos",
        "--out", folder / "dataset")  # fmt: skip


def run(name: str, folder: Path, truth: Path) -> tuple[float, str]:
    """Train one model and score it on both; return the seconds of its training and its figures."""
    here = folder / "runs" / name.replace(",", "").replace(" ", "-")
    dataset, model, tags = folder / "dataset", here / "model", here / "tagging"
    began = time.monotonic()
    job("train", "--dataset", dataset, "--out", model, *shlex.split(RUNS[name]))
    seconds = time.monotonic() - began
    job("evaluate", "--model", model, "--dataset", dataset, "--out", here / "rendered")
    job("tag_catalog", "--catalog", truth, "--model", model, "--out", tags, "--examples", "0")
    job("evaluate", "--model", model, "--tags", tags, "--truth", truth, "--out", here / "real")
    return seconds, f"{figures(here / 'rendered', 7)}{figures(here / 'real', 12)}"


def job(name: str, *flags: Any) -> None:
    """Run a job, as a user does; its output is shown when it fails."""
    command = [sys.executable, "-m", f"jobs.{name}", *map(str, flags)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def figures(folder: Path, width: int) -> str:
    """Return the number of items, macro F1 of the classes that are there, and mAP."""
    found = json.loads((folder / "metrics.json").read_text())["metrics"]
    f1, precision = found["macro_f1_present"], found["mean_average_precision"]
    return f"{found['n_items']:>{width}d}{f1:>7.3f}{precision:>7.3f}"


if __name__ == "__main__":
    main()
