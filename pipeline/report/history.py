"""A segment's row of SEGMENTS and its rows of LEDGER in, its whole history as text out. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import UsageError
from pipeline.evaluation.runs.summary import BUILD_STAGES


def history_text(
    segment_id: str, planned: Mapping[str, Any] | None, runs: Sequence[Mapping[str, Any]]
) -> str:
    """Return what was planned for a segment and what every run made of it, oldest first."""
    if planned is None and not runs:
        raise UsageError(f"--explain {segment_id}: the dataset knows no such segment")
    lines = [segment_id]
    if planned:
        lines += [
            f"  from {planned['start_s']:.3f} s to {planned['end_s']:.3f} s of {planned['ytid']}",
            f"  classes {', '.join(planned['classes'])}{_unknown_text(planned)}; labels "
            f"{', '.join(planned['mids'])}",
            f"  split {planned['split']}, planned in shard {planned['shard']}",
        ]
    else:
        lines.append("  not in the plan of the last run")
    for row in runs:
        lines += _run_lines(row)
    if not runs:
        lines.append("  not tried yet")
    return "\n".join(lines)


def _unknown_text(planned: Mapping[str, Any]) -> str:
    """Return which classes the labels leave open; plans of older versions do not say."""
    unknown = planned.get("unknown")
    return f"; unknown {', '.join(unknown)}" if unknown else ""


def _run_lines(row: Mapping[str, Any]) -> list[str]:
    ended_at = row["ended_at"].isoformat(timespec="seconds") if row["ended_at"] else "?"
    status = f", HTTP {row['http_status']}" if row["http_status"] else ""
    stages = ", ".join(
        f"{key[:-2]} {row[key]:.2f} s" for key in BUILD_STAGES if row[key] is not None
    )
    lines = [
        f"  run {row['run']}, {ended_at}: {row['outcome']} / {row['reason']}{status}, "
        f"attempts {row['attempts']}"
    ]
    if row["detail"]:
        lines.append(f"    {row['detail']}")
    if row["seconds"] is not None:
        whole = f" of {row['bytes_whole']:,d}" if row["bytes_whole"] else ""
        lines.append(f"    {row['bytes_fetched'] or 0:,d}{whole} bytes, {row['seconds']:.2f} s")
        lines.append(f"    {stages}")
    return lines
