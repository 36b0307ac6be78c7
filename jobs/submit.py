"""Run a command on a Ray cluster: timbre submit --wait -- tag --catalog s3://BUCKET/music ..."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs import harness
from jobs.__main__ import COMMANDS
from pipeline.api import submit
from pipeline.configs.submit import SubmitConfig
from pipeline.errors import UsageError, did_you_mean
from pipeline.flags import from_flags


def main(argv: list[str] | None = None) -> int:
    """Parse, submit; with --wait return the job's own exit code."""
    own, command = apart(sys.argv[1:] if argv is None else argv)
    parser = harness.parser(__doc__, SubmitConfig, takes_relative=True)  # it runs on this machine
    flags = vars(parser.parse_args(own))

    def job() -> int:
        _check(command)
        return submit(from_flags(SubmitConfig, flags), command)

    return harness.run(job)


def apart(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the flags of the submission, and the command that is submitted.

    The command begins after `--`, or where there is none with the first name of a command.

    >>> apart(["--wait", "--", "tag", "--out", "s3://b/tags"])
    (['--wait'], ['tag', '--out', 's3://b/tags'])
    """
    if "--" in words:
        at = words.index("--")
        return [*words[:at]], [*words[at + 1 :]]
    at = next((k for k, word in enumerate(words) if word in COMMANDS), len(words))
    return [*words[:at]], [*words[at:]]


def _check(command: list[str]) -> None:
    known = [name for name in COMMANDS if name != "submit"]
    if not command:
        raise UsageError("expected a command after --, such as -- tag --catalog s3://BUCKET/music")
    if command[0] not in known:
        near = did_you_mean(command[0], known)
        raise UsageError(f"{command[0]!r}: no command for a cluster{near}; {', '.join(known)} are")


if __name__ == "__main__":
    harness.exit_process(main())
