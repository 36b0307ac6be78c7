"""What the submission of a job to a Ray cluster is told."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pipeline.flags import Flag, described


def metadata(text: str) -> dict[str, str]:
    """Parse a JSON object whose values are texts.

    >>> metadata('{"ticket": "MIR-12"}')
    {'ticket': 'MIR-12'}
    """
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, dict) or not all(isinstance(one, str) for one in values.values()):
        raise ArgumentTypeError(f"{text!r}: expected a JSON object of texts, such as {{'a': 'b'}}")
    return values


@described
@dataclass(frozen=True)
class SubmitConfig:
    """Which cluster runs a command, and what is told of it."""

    address: Annotated[str | None, Flag("URL")] = None
    """Address of the cluster's dashboard, such as http://127.0.0.1:8265; what the environment's
    RAY_API_SERVER_ADDRESS says if not given."""
    submission_id: Annotated[str | None, Flag("ID")] = None
    """Name of the job in the cluster; command, time and a random part if not given."""
    working_dir: Annotated[str | None, Flag("DIR")] = None
    """Folder with the code to upload, less what its .rayignore names; if not given, the current
    folder where it holds this project, else nothing: the code in the nodes' image runs."""
    metadata_json: Annotated[Mapping[str, str] | None, Flag("OBJECT", metadata)] = None
    """What `ray job list` shows of the job, as a JSON object of texts; goes over `command`,
    `revision` (of this code) and `catalogue` (of the command's --catalog), which are always
    there."""
    wait: bool = False
    """Print the job's log until it ends, and end with its exit code (0, 1, 2 or 3; 1 also where it
    was stopped or lost). Without it the command returns as soon as the job is accepted."""
