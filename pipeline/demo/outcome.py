"""The demo's folder in, one screen of text out: what was made, how good it is, what is next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.store.folder import Folder
from schemas.build_report import BuildReport
from schemas.evaluation import EvaluationRecord
from schemas.tagging_run import TaggingRun

NEXT = """\
Next, real AudioSet (segments CSVs: https://research.google.com/audioset/download.html):
  .venv/bin/python -m jobs.build_subset --segments balanced_train_segments.csv eval_segments.csv \\
      --source youtube --out data/audioset --max-downloads 4
  .venv/bin/python -m jobs.train --dataset data/audioset --out models/resnet50 --gpu
  .venv/bin/python -m jobs.tag_catalog --catalog /path/to/music \\
      --model models/resnet50 --out tags/music"""

EXPECTED = """\
The demo's model has learned from this very synthesizer, the starter from many sources: it is the
one to take for recordings of yours."""
_TAGGINGS = {"tagging": "demo's model", "tagging-starter": "starter"}
_FIGURES = {
    "macro F1": "macro_f1_present",
    "micro F1": "micro_f1",
    "mAP": "mean_average_precision",
}


def summary(root: Path, *, seconds: float) -> str:
    """Return the demo's summary, from the json files that its jobs left."""
    return "\n".join(_lines(root, seconds))


def _lines(root: Path, seconds: float) -> Iterator[str]:
    folder = Folder(str(root))
    build = folder.read_record("dataset/report.json", BuildReport)
    scores = folder.read_record("evaluation/metrics.json", EvaluationRecord)
    run = folder.read_record("tagging/run.json", TaggingRun)
    metrics = scores.metrics
    yield f"\n{'':-<78}\nThe demo, on rendered music (not on real recordings), in {seconds:.0f} s\n"
    for row in build.outcomes:
        yield f"  segments  {row['n']:>5}  {row['outcome']} / {row['reason']}"
    done = {"tagged": run.tagged, "failed": run.failed, "skipped": run.skipped}
    yield f"  tracks    {run.tracks:>5}  " + ", ".join(f"{n} {name}" for name, n in done.items())
    yield f"\n  unseen test clips: {metrics['n_items']}\n"
    yield f"  {'class':<18}{'clips':>6}{'precision':>11}{'recall':>8}{'F1':>7}{'AP':>7}"
    for row in metrics["per_class"]:
        yield _row(scores.class_names[row["code"]], row["n_positive"], row)
    n_present = sum(row["n_positive"] > 0 for row in metrics["per_class"])
    is_whole = n_present == len(metrics["per_class"])
    for name, end in {"macro": "_present", **({} if is_whole else {"macro of all": ""})}.items():
        macro = {key: metrics[f"macro_{key}{end}"] or 0.0 for key in ("precision", "recall", "f1")}
        macro |= {"average_precision": metrics["mean_average_precision"]}
        yield _row(name, metrics["n_items"], macro)
    yield from _side_by_side(folder)
    yield "\nLook at"
    for name in (
        "dataset/report.html",
        "evaluation/report.html",
        "tagging/report.html",
        "tagging-starter/report.html",
        "tagging/tags/",
        "model/model.json",
    ):
        if (root / name).exists():
            yield f"  {root / name}"
    yield f"\n{NEXT}"


def _side_by_side(folder: Folder) -> Iterator[str]:
    """Yield how the demo's model and the starter did on the library; nothing without a starter."""
    names = [f"evaluation-{name}/metrics.json" for name in _TAGGINGS]
    if not all(map(folder.exists, names)):
        return
    found = [folder.read_record(name, EvaluationRecord).metrics for name in names]
    yield f"\n  the library's tracks that play: {found[0]['n_items']}\n"
    yield f"  {'':<18}" + "".join(f"{name:>16}" for name in _TAGGINGS.values())
    for name, key in _FIGURES.items():
        yield f"  {name:<18}" + "".join(f"{metrics[key] or 0.0:>16.3f}" for metrics in found)
    yield f"\n{EXPECTED}"


def _row(name: str, n: int, row: dict[str, Any]) -> str:
    return (
        f"  {name:<18}{n:>6}{row['precision']:>11.3f}{row['recall']:>8.3f}{row['f1']:>7.3f}"
        f"{row['average_precision'] or 0:>7.3f}"
    )
