"""What a build would do, in words: from its numbers (see `runs.forecast`). PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.evaluation.runs.forecast import GUEST_VIDEOS_PER_HOUR, InFolder
from pipeline.report.wording import duration_text, size_text


def forecast_text(report: Mapping[str, Any]) -> str:
    """Return the forecast for a person to read."""
    counts, codes = report["counts"], list(report["classes"])
    width = max(5, *map(len, codes))
    lines = [
        f"{counts['rows']:,d} rows read, {counts['chosen']:,d} chosen, "
        f"{report['planned']:,d} planned:",
        f"  {counts['without_class']:,d} have none of the classes",
        f"  {counts['excluded']:,d} have a class but also what excludes it",
        f"  {counts['lost_a_class']:,d} chosen rows lost one class of several that way",
        f"  {counts['repeated']:,d} stand there more than once",
        *([f"  {report['cap']}"] if report["cap"] else []),
        "",
        f"{'':>{width + 3}}{'train':>9}{'val':>9}{'test':>9}{'all':>9}{'unknown':>10}",
    ]
    lines += [
        f"{_row(code, splits, width)}{report['unknown'][code]:>10,d}"
        for code, splits in report["classes"].items()
    ]
    lines += [_row("segments", report["splits"], width), "", "both in one segment"]
    column = max(7, 1 + max(map(len, codes)))
    lines.append(" " * width + "".join(f"{code:>{column}}" for code in codes))
    for code, row in zip(codes, report["cooccurrence"], strict=True):
        lines.append(f"{code:<{width}}" + "".join(f"{n:>{column},d}" for n in row))
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
    if not report["requests"]:
        return []
    lines = ["how many of them the server has is not known before it is asked"]
    if report["guest_seconds"] > report["seconds"]:
        lines.insert(
            0,
            f"as a guest YouTube gives one address about {GUEST_VIDEOS_PER_HOUR} videos an hour: "
            f"{duration_text(report['guest_seconds'])} (docs/operations.md#youtube)",
        )
    return lines


def _row(name: str, splits: Mapping[str, int], width: int) -> str:
    numbers = [*splits.values(), sum(splits.values())]
    return f"{name:<{width + 3}}" + "".join(f"{n:>9,d}" for n in numbers)


def in_folder_lines(found: InFolder) -> list[str]:
    """Return what a folder has of a plan for a person to read."""
    lines = [
        f"in {found.folder}: {found.n_there:,d} of the planned segments have a file, "
        f"{found.n_missing:,d} have none{_first(found.missing, found.n_missing)}"
    ]
    if found.n_unasked:
        lines.append(
            f"  {found.n_unasked:,d} files are asked for by no segment"
            f"{_first(found.unasked, found.n_unasked)}"
        )
    return lines


def _first(names: Sequence[str], n_all: int) -> str:
    return f": {', '.join(names)}{', ...' if n_all > len(names) else ''}" if names else ""
