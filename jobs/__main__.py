"""The command `timbre`: every job as a subcommand, so that `timbre tag` is `jobs.tag_catalog`."""

from __future__ import annotations

import ast
import signal
import sys
from importlib import import_module
from pathlib import Path

from jobs import harness

COMMANDS = {
    "tag": "tag_catalog",
    "retag": "retag",
    "export": "export",
    "import": "import_model",
    "build": "build_subset",
    "extract": "extract_features",
    "explore": "explore",
    "train": "train",
    "evaluate": "evaluate",
    "compare": "compare",
    "quantize": "quantize",
    "doctor": "doctor",
    "demo": "demo",
}
"""The jobs by their commands, in the order in which --help lists them."""


def main(argv: list[str] | None = None) -> int:
    """Run the job that the first word names with the words after it; return its exit code."""
    name, *words = (sys.argv[1:] if argv is None else argv) or [""]
    if name in ("", "-h", "--help"):
        print(help_text())
        return harness.OK if name else harness.USAGE
    if name not in COMMANDS:
        known = ", ".join(COMMANDS)
        print(f"error: {name!r}: no such command; expected one of {known}", file=sys.stderr)
        return harness.USAGE
    sys.argv[:] = [f"timbre {name}", *words]  # argparse names the program by the first
    code: int = import_module(f"jobs.{COMMANDS[name]}").main(words)
    return code


def help_text() -> str:
    """Return what there is: each command with the first line of its job's docstring."""
    told = [f"  {name:<10}{summary(job)}" for name, job in COMMANDS.items()]
    usage = "usage: timbre COMMAND [FLAGS]; timbre COMMAND --help explains the flags"
    return "\n".join([usage, "", *told])


def summary(job: str) -> str:
    """Return the first line of a job's docstring; its module is read, and not run."""
    text = (Path(__file__).parent / f"{job}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


def console() -> None:
    """Run as the process itself, as the installed command does."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until a job takes it: Ctrl-C just ends it
    harness.exit_process(main())


if __name__ == "__main__":
    console()
