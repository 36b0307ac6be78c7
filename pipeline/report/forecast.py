"""SEGMENTS and what is done of them in; what a build would do, in numbers and words, out. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.report.in_folder import InFolder, in_folder_lines
from pipeline.score.summary import cooccurrence_counts, label_matrix, labels_per_clip
from pipeline.score.wording import duration_text, size_text

REQUESTS_PER_SEGMENT = 4
"""Of a source over HTTP: the head, the index and the segment's bytes; a page where it has one."""
SECONDS_PER_SEGMENT = 1.5
"""What one takes without a --rate, waiting for the network: an estimate."""


def forecast(
    segments: pa.Table,
    *,
    class_names: Mapping[str, str],
    counts: Mapping[str, int],
    n_to_do: int,
    rate_per_s: float | None,
    max_downloads: int,
    bytes_per_s: int,
    is_remote: bool = True,
    cap_text: str = "",
    in_folder: InFolder | None = None,
) -> dict[str, Any]:
    """Return what is planned, what is there already, and what it will take.

    `bytes_per_s` is what a second of audio takes in the tables; `counts` says why rows were left
    out (see `catalog.select.select_counts`), and `cap_text` what --max-per-class did. Of a folder
    only what is in it takes time and disk.
    """
    n_to_get = n_to_do if in_folder is None else in_folder.n_to_get
    codes = list(class_names)
    labels = label_matrix(segments["classes"], codes)
    unknown = label_matrix(segments["unknown"], codes)
    durations_s = pc.subtract(segments["end_s"], segments["start_s"])
    mean_s = float(pc.mean(durations_s).as_py() or 0.0)
    each_s = 1 / rate_per_s if rate_per_s else SECONDS_PER_SEGMENT / max_downloads
    splits = segments["split"].to_numpy()
    return {
        "counts": dict(counts),
        "planned": segments.num_rows,
        "there": segments.num_rows - n_to_do,
        "to_do": n_to_do,
        "classes": {
            code: {
                split: int(labels[splits == split, k].sum()) for split in ("train", "val", "test")
            }
            for k, code in enumerate(codes)
        },
        "unknown": {code: int(unknown[:, k].sum()) for k, code in enumerate(codes)},
        "cap": cap_text,
        "splits": {split: int((splits == split).sum()) for split in ("train", "val", "test")},
        "labels_per_clip": labels_per_clip(labels),
        "cooccurrence": cooccurrence_counts(labels).tolist(),
        "requests": n_to_do * REQUESTS_PER_SEGMENT if is_remote else 0,
        "bytes": int(n_to_get * mean_s * bytes_per_s),
        "seconds": n_to_get * each_s,
        "in_folder": in_folder and asdict(in_folder),
    }


def forecast_text(report: Mapping[str, Any]) -> str:
    """Return the forecast for a person to read."""
    counts, codes = report["counts"], list(report["classes"])
    lines = [
        f"{counts['rows']:,d} rows read, {counts['chosen']:,d} chosen, "
        f"{report['planned']:,d} planned:",
        f"  {counts['without_class']:,d} have none of the classes",
        f"  {counts['excluded']:,d} have a class but also what excludes it",
        f"  {counts['lost_a_class']:,d} chosen rows lost one class of several that way",
        f"  {counts['repeated']:,d} stand there more than once",
        *([f"  {report['cap']}"] if report["cap"] else []),
        "",
        f"{'':>8}{'train':>9}{'val':>9}{'test':>9}{'all':>9}{'unknown':>10}",
    ]
    lines += [
        f"{_row(code, splits)}{report['unknown'][code]:>10,d}"
        for code, splits in report["classes"].items()
    ]
    lines += [_row("segments", report["splits"]), "", "both in one segment"]
    lines.append(" " * 5 + "".join(f"{code:>7}" for code in codes))
    for code, row in zip(codes, report["cooccurrence"], strict=True):
        lines.append(f"{code:<5}" + "".join(f"{n:>7,d}" for n in row))
    n_by_labels = ", ".join(
        f"{n:,d} with {k}" for k, n in enumerate(report["labels_per_clip"]) if n
    )
    lines += [
        "",
        f"classes per segment: {n_by_labels}",
        f"to do {report['to_do']:,d}; finished already, got or failed for good: "
        f"{report['there']:,d}",
        f"to expect: about {report['requests']:,d} requests, {size_text(report['bytes'])} on disk, "
        f"{duration_text(report['seconds'])}",
        *_source_lines(report),
        "nothing was asked for and nothing was written",
    ]
    return "\n".join(lines)


def _source_lines(report: Mapping[str, Any]) -> list[str]:
    if report.get("in_folder"):
        return in_folder_lines(InFolder(**report["in_folder"]))
    if report["requests"]:
        return ["how many of them the server has is not known before it is asked"]
    return []


def _row(name: str, splits: Mapping[str, int]) -> str:
    return f"{name:<8}" + "".join(f"{n:>9,d}" for n in [*splits.values(), sum(splits.values())])
