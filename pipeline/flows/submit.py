"""A command in, a job of a standing Ray cluster out; its log and its exit code, where they wait.

`ray job submit` ends with 1 for every failure. A scheduler needs the job's own code: 3 asks for a
look at the report, 1 for another run.
"""

from __future__ import annotations

import asyncio
import secrets
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import sleep
from typing import Any

from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from pipeline.configs.submit import SubmitConfig
from pipeline.errors import TimbreError, UsageError
from pipeline.flows.metrics import JOB
from pipeline.runs.logs import say
from pipeline.runs.provenance import REVISION, git_revision

_FAILED = 1
_KNOWN_CODES = (0, 1, 2, 3)
_ASK_AGAIN_S = 5.0
_MAX_SILENCE_S = 300.0
"""So long the cluster may be out of reach; then the job counts as lost."""


def submit(config: SubmitConfig, command: Sequence[str]) -> int:
    """Submit a command of `timbre`; return 0, or with `wait` the job's own exit code."""
    job_id = config.submission_id or _new_id(command[0])
    client = _client(config.address)
    revision = git_revision()
    try:
        client.submit_job(
            entrypoint=shlex.join(["python", "-m", "jobs", *command]),
            submission_id=job_id,
            metadata={**_about(command, revision), **(config.metadata_json or {})},
            runtime_env=_runtime_env(config.working_dir, job_id, revision),
        )
    except (RuntimeError, ValueError) as error:  # what the cluster says of it
        raise UsageError(f"{job_id}: the cluster refuses the job: {error}") from error
    print(job_id, flush=True)
    return wait_for(client, job_id) if config.wait else 0


def _new_id(name: str) -> str:
    """Return a name that no other job has, such as tag-20261129T021500-3f2a."""
    return f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"


def _client(address: str | None) -> JobSubmissionClient:
    try:
        return JobSubmissionClient(address)
    except (ConnectionError, RuntimeError) as error:
        why = str(error).strip().splitlines()[0].rstrip(".")
        raise TimbreError(
            f"no answer from the cluster's dashboard: {why}; give "
            "--address, and RAY_AUTH_MODE=token where the cluster asks for its token"
        ) from error


def _about(command: Sequence[str], revision: str) -> dict[str, str]:
    """Return what is always told of a job."""
    about = {"command": command[0], "revision": revision}
    for word, after in zip(command, [*command[1:], ""], strict=True):
        if word == "--catalog" or word.startswith("--catalog="):
            about["catalogue"] = word.partition("=")[2] or after
    return about


def _runtime_env(working_dir: str | None, job_id: str, revision: str) -> dict[str, Any]:
    """Return what a job's processes get: the code, its revision, and the name in its metrics."""
    here = "." if Path("jobs", "__main__.py").exists() else None
    folder = working_dir or here
    if folder and not Path(folder, "jobs", "__main__.py").exists():
        raise UsageError(f"--working-dir {folder}: not this project: jobs/__main__.py is missing")
    names = {REVISION: revision, JOB: job_id}
    return {"env_vars": names, **({"working_dir": folder} if folder else {})}


def wait_for(client: JobSubmissionClient, job_id: str) -> int:
    """Print a job's log until it ends; return its exit code, 1 where it has none."""
    silent_s = 0.0
    tail = _Tail(client, job_id)
    while True:
        try:
            asyncio.run(tail.print_more())
            details = client.get_job_info(job_id)
        except (OSError, RuntimeError) as error:  # aiohttp's and requests' are OSErrors
            if silent_s >= _MAX_SILENCE_S or _is_unknown(error):
                raise TimbreError(f"{job_id} is lost: {error}") from error
            if not silent_s:
                text = f"{job_id}: no answer from the cluster, asking again"
                say("no_answer", text=f"{text} for {_MAX_SILENCE_S:.0f} s at most")
            silent_s += _ASK_AGAIN_S
        else:
            silent_s = 0.0
            if details.status.is_terminal():
                return _code(job_id, details)
        sleep(_ASK_AGAIN_S)


class _Tail:
    """Prints a job's log; goes on where it broke off, as Ray begins anew each time."""

    def __init__(self, client: JobSubmissionClient, job_id: str) -> None:
        self._client, self._job_id, self._n_printed = client, job_id, 0

    async def print_more(self) -> None:
        """Print what is new until the log ends or the line breaks."""
        n_seen = 0
        async for text in self._client.tail_job_logs(self._job_id):
            new = text[max(0, self._n_printed - n_seen) :]
            n_seen += len(text)
            self._n_printed = max(self._n_printed, n_seen)
            print(new, end="", flush=True)


def _is_unknown(error: Exception) -> bool:
    """Say whether the cluster answered, and knows no such job: its head has been replaced."""
    return "status code 404" in str(error)


def _code(job_id: str, details: JobDetails) -> int:
    """Return a job's own exit code; 1 where it was stopped, or ended with one that is not ours."""
    code = details.driver_exit_code
    if details.status == JobStatus.SUCCEEDED:
        return 0
    if details.status == JobStatus.STOPPED or code not in _KNOWN_CODES:
        # Ray's message has the end of the log after its first line, which is printed already.
        why = (details.message or "no word").partition(", last available logs")[0]
        say("submitted_failed", text=f"{job_id}: {details.status}: {why}")
        return _FAILED
    return int(code)
