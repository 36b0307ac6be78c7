"""The command `timbre`: every job as a subcommand, so that `timbre tag` is `jobs.tag_catalog`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from jobs import harness, prepare_process
from pipeline import __version__
from pipeline.errors import did_you_mean
from pipeline.seams import summary

COMMANDS = {
    "tag": "tag_catalog",
    "retag": "retag",
    "search": "search",
    "browse": "browse",
    "correct": "correct",
    "export": "export",
    "import": "import_model",
    "build": "build_subset",
    "extract": "extract_features",
    "explore": "explore",
    "train": "train",
    "evaluate": "evaluate",
    "compare": "compare",
    "quantize": "quantize",
    "reproduce": "reproduce",
    "submit": "submit",
    "doctor": "doctor",
    "demo": "demo",
}
"""The jobs by their commands, in the order in which --help lists them."""
_VERSION = ("--version", "-V")


def main(argv: list[str] | None = None) -> int:
    """Run the job that the first word names with the words after it; return its exit code."""
    name, *words = (sys.argv[1:] if argv is None else argv) or [""]
    if name in ("", "-h", "--help"):
        print(help_text())
        return harness.OK if name else harness.USAGE
    if name in _VERSION:
        print(f"timbre {__version__}")
        return harness.OK
    if name not in COMMANDS:
        known, near = ", ".join(COMMANDS), did_you_mean(name, [*COMMANDS, "--help", *_VERSION])
        print(f"error: {name!r}: no such command{near}; expected one of {known}", file=sys.stderr)
        return harness.USAGE
    sys.argv[:] = [f"timbre {name}", *words]  # argparse names the program by the first
    code: int = import_module(f"jobs.{COMMANDS[name]}").main(words)
    return code


def help_text() -> str:
    """Return what there is: each command with the first line of its job's docstring."""
    here = Path(__file__).parent
    told = [f"  {name:<10}{summary(here / f'{job}.py')}" for name, job in COMMANDS.items()]
    usage = "usage: timbre COMMAND [FLAGS]; timbre COMMAND --help explains the flags"
    return "\n".join([f"{usage}; timbre --version", "", *told])


def console() -> None:
    """Run as the process itself, as the installed command does."""
    prepare_process()
    harness.exit_process(main())


if __name__ == "__main__":
    console()
