"""`--help` says all there is at once: by light modules alone, from `timbre` as from the module."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import jobs.__main__ as timbre
from jobs import harness
from pipeline import __version__

ROOT = Path(__file__).parents[2]
JOBS = sorted(path.stem for path in (ROOT / "jobs").glob("[a-z]*.py") if path.stem != "harness")
HEAVY = {
    "torch",
    "ray",
    "pyarrow",
    "librosa",
    "matplotlib",
    "scipy",
    "sklearn",
    "timm",
    "numba",
    "yt_dlp",
}
REPORT = """
import runpy, sys
sys.argv = ["jobs.{job}", *{words}]
try:
    runpy.run_module("jobs.{job}", run_name="__main__", alter_sys=True)
except SystemExit as ended:
    print(ended.code, *sorted({{name.partition(".")[0] for name in sys.modules}}), file=sys.stderr)
"""


def imported(job: str, *words: str) -> tuple[str, set[str]]:
    """Run a job in a process of its own; return its exit code and the packages it has imported."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT.format(job=job, words=list(words))],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    code, *names = done.stderr.splitlines()[-1].split()
    return code, set(names)


@pytest.mark.parametrize("job", JOBS)
def test_help_imports_nothing_heavy(job):
    code, names = imported(job, "--help")
    assert code == "0"
    assert "pipeline" in names and not names & HEAVY


def test_nor_does_a_wrong_flag():
    code, names = imported("tag_catalog", "--catalog", "x", "--out", "y", "--workers", "many")
    assert code == "2"
    assert not names & HEAVY


def test_every_job_is_a_command():
    assert sorted(timbre.COMMANDS.values()) == JOBS
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["timbre"].partition(":")
    assert callable(getattr(import_module(module), name))


def test_the_command_lists_the_jobs(capsys):
    assert timbre.main(["--help"]) == harness.OK
    lines = capsys.readouterr().out.splitlines()[2:]
    for line, (name, job) in zip(lines, timbre.COMMANDS.items(), strict=True):
        assert line.split() == [name, *import_module(f"jobs.{job}").__doc__.split()]
    assert timbre.main([]) == harness.USAGE


def test_an_unknown_command_is_one_line(capsys):
    assert timbre.main(["tga"]) == harness.USAGE
    error = capsys.readouterr().err
    assert error.startswith(
        "error: 'tga': no such command (did you mean tag?); expected one of tag, "
    )
    assert error.count("\n") == 1


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_the_version(word, capsys):
    assert timbre.main([word]) == harness.OK
    assert capsys.readouterr().out == f"timbre {__version__}\n"


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        ("--ctalog x", "--ctalog: no such flag (did you mean --catalog?)"),
        ("-catalog x", "-catalog: no such flag (did you mean --catalog?)"),
        ("--catalog x --out y --modle=z", "--modle: no such flag (did you mean --model?)"),
        ("--catalog x --out y --threshold -1 --workrs 2", "--workrs: no such flag (did you mean"),
        ("--workers many --xyzzy", "--xyzzy: no such flag; "),
        ("--cat x", "the following arguments are required: --out; "),
        ("--catalog x --out y -- --modle", "unrecognized arguments: "),
        ("--out y --threshold -1", "the following arguments are required: --catalog; "),
    ],
)
def test_an_unknown_flag_is_named_before_all_else(flags, error, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    with pytest.raises(SystemExit) as ended:
        timbre.main(["tag", *flags.split()])
    told = capsys.readouterr().err
    assert ended.value.code == harness.USAGE
    assert told.startswith(f"error: {error}") and told.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "titles"),
    [
        ("tag", ["what is tagged", "the model", "what is written", "windows and labels"]),
        ("train", ["what is read and written", "the network", "steps of the training", "windows"]),
        ("build", ["which segments", "what is written", "where the audio comes from", "downloads"]),
        ("evaluate", ["what is scored", "what is written", "windows and labels", "where it runs"]),
    ],
)
def test_a_long_help_has_titles_and_readable_choices(command, titles, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        timbre.main([command, "--help"])
    lines = capsys.readouterr().out.splitlines()
    headings = [line[:-1] for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings[: 1 + len(titles)] == ["options", *titles]
    assert max(map(len, lines)) <= 110
    listed = [line.strip() for line in lines if line.startswith(" " * 26)]
    if command in ("tag", "evaluate"):
        assert "s1: the mean of the windows" in listed
    if command == "build":
        assert "DIR: a folder of {ytid}.* files" in listed


def said(main, words, capsys):
    """Return the exit code, summary and messages of a job, without the name of the program."""
    try:
        code = main(words)
    except SystemExit as ended:
        code = ended.code
    texts = capsys.readouterr()
    usage = re.compile(r"usage: .*?\n\n", re.DOTALL)
    program = re.compile(r"(timbre \w+|python -m [\w.]+)(?= --help)")
    return code, usage.sub("", texts.out), program.sub("", texts.err)


@pytest.mark.parametrize("command", timbre.COMMANDS)
@pytest.mark.parametrize("flags", ["--help", "--no-such-flag", "--out"])
def test_a_command_says_what_its_job_says(command, flags, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    job = import_module(f"jobs.{timbre.COMMANDS[command]}")
    assert said(timbre.main, [command, flags], capsys) == said(job.main, [flags], capsys)


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("tag", "--catalog nowhere --model nowhere --out OUT"),
        ("retag", "--tags nowhere --threshold 0.5 --out OUT"),
        ("compare", "--evaluations nowhere --out OUT"),
    ],
)
def test_a_command_does_what_its_job_does(command, flags, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    words = flags.replace("OUT", str(tmp_path / "out")).split()
    job = import_module(f"jobs.{timbre.COMMANDS[command]}")
    by_command = said(timbre.main, [command, *words], capsys)
    assert by_command == said(job.main, words, capsys)
    assert by_command[0] == harness.USAGE and by_command[2].startswith("error: ")


def test_the_command_is_a_process_with_the_jobs_exit_code():
    done = subprocess.run(
        [sys.executable, "-m", "jobs", "tag", "--catalog", "x", "--out", "y", "--workers", "many"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == harness.USAGE
    assert done.stderr == (
        "error: argument --workers: invalid int value: 'many'; timbre tag --help says what there "
        "is\n"
    )


@pytest.fixture(scope="module")
def own_checkout(tmp_path_factory):
    """Return a copy of the code with a file at a seam that cannot be imported."""
    root = tmp_path_factory.mktemp("checkout")
    for room in ("pipeline", "jobs", "schemas"):
        leave = shutil.ignore_patterns("__pycache__", "*.safetensors")
        shutil.copytree(ROOT / room, root / room, ignore=leave)
    aggregations = root / "pipeline/evaluation/labels/aggregations"
    (aggregations / "own.py").write_text('"""Own."""\nimport no_such_package\nAGGREGATION = 1\n')
    return root


@pytest.mark.parametrize(
    "words", ["-m jobs.evaluate --help", "-m jobs.tag_catalog", "-m jobs evaluate"]
)
def test_a_file_at_a_seam_that_fails_while_jobs_import_is_one_line(own_checkout, words):
    done = subprocess.run(
        [sys.executable, *words.split()], cwd=own_checkout, capture_output=True, text=True
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {own_checkout}/pipeline/evaluation/labels/aggregations/own.py")
    assert "No module named 'no_such_package'" in line
