"""What every job that runs on Ray is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.flags import Seconds

MAX_WAIT_S = 900.0
"""A node of a cloud takes minutes to start."""


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """How a job meets its cluster: base of the configs of all that do."""

    max_wait_s: Annotated[Seconds, "limits"] = MAX_WAIT_S
    """How long to wait for a CPU or GPU that the cluster does not have yet, in s; then exit with
    1."""
