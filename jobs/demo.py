"""The whole pipeline on rendered music: select, build, train, evaluate, tag. Offline, in minutes."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from jobs import build_subset, evaluate, harness, tag_catalog, train
from pipeline.demo.catalogue import render_catalogue
from pipeline.demo.corpus import faults_of, plan_corpus, render_corpus, write_segments_csv
from pipeline.demo.origin import Origin
from pipeline.demo.outcome import summary
from pipeline.errors import TimbreError
from pipeline.flows.cluster import ray_session

SEED = 0
TRAINING = "--model resnet18 --input-size 128x64 --batch-size 16 --epochs 12 --lr 1e-3 --workers 2"


def main(argv: list[str] | None = None) -> int:
    """Parse, make the music, run the jobs as a user would, print what came out."""
    parser = harness.parser(__doc__)
    parser.add_argument("--out", default="demo", metavar="DIR", help="where everything goes")
    root = Path(parser.parse_args(argv).out).absolute()

    def job() -> int:
        began = monotonic()
        print(
            "The demo renders its own music (a General MIDI soundfont): this is no real AudioSet."
        )
        plan = plan_corpus(SEED)
        render_corpus(plan, root / "videos", workers=os.cpu_count() or 1)
        render_catalogue(root / "catalogue", SEED)
        sheets = write_segments_csv(plan, root / "segments")
        with Origin(root / "videos", faults_of(plan)) as origin, ray_session(min_cpus=4):
            dataset, model = root / "dataset", root / "model"
            step(
                build_subset.main,
                f"--segments {sheets[0]} {sheets[1]} --source {origin.url_template} --out {dataset} --shard-size 16",
            )
            step(train.main, f"--dataset {dataset} --out {model} {TRAINING}")
            step(
                evaluate.main,
                f"--model {model} --dataset {dataset} --split test --out {root / 'evaluation'}",
            )
            step(
                tag_catalog.main,
                f"--catalog {root / 'catalogue'} --model {model} --out {root / 'tagging'}",
            )
        print(summary(root, seconds=monotonic() - began))
        return harness.OK

    return harness.run(job)


def step(job: Callable[[list[str]], int], flags: str) -> None:
    """Print a job's command line and run it."""
    print(f"\n$ python -m {job.__module__} {flags}", flush=True)
    if code := job(shlex.split(flags)):
        raise TimbreError(f"{job.__module__} ended with exit code {code}")


if __name__ == "__main__":
    sys.exit(main())
