"""The commands in README and docs, as they stand: each one's program is there, its flags are known.

A fresh shell after the set-up has no environment of ours on its PATH, so commands say `.venv/bin/`.
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.store.folder import Folder
from schemas.ledger import LEDGER
from schemas.tags import tags_schema
from tests.pages import PAGES, ROOT, inline, parser_of, shell_lines

BIN = Path(sys.executable).parent
SHELL = {"export", "cd", "test", "./alert"}  # of the shell; and what the page says is the user's
ELSEWHERE = {"kubectl", "docker"}  # who has a Kubernetes or builds images has it
NO_COMMANDS = ("FROM ", "COPY ", "RUN ", "ARG ", "ENV ", "[", "CRON_TZ=", "#")
UNIT = re.compile(r"[A-Z][A-Za-z]+=")  # systemd's
OURS = ("python", "pip", "duckdb", "ray")


STARTS = re.compile(r"([A-Z_]+=\S+ )?(\.venv/bin/\S+|python|pip|duckdb|make) \S|ray .*[./=-]")
"""What begins a command within the text: a program, and then arguments."""


def commands(line: str) -> list[str]:
    """Return what a line of a block starts."""
    if line.startswith("ExecStart="):
        line = line.removeprefix("ExecStart=")
    elif line.startswith(NO_COMMANDS) or UNIT.match(line):
        return []
    line = re.sub(r"^\d+ \d+ \* \* \* ", "", line)  # cron's
    line = re.sub(r"\s+#.*$|\s*&$", "", line)
    return [part.strip() for part in re.split(r"&&|\|\|", line)]


def all_commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        text = page.read_text()
        of_page = [one for line in shell_lines(text) for one in commands(line)]
        of_page += [code for code in inline(text) if STARTS.match(code)]
        found += [(page.name, command) for command in of_page]
    return found


COMMANDS = all_commands()


def program_of(words: list[str]) -> str:
    """Return a command's program, without what stands before it."""
    words = [word for word in words if not re.fullmatch(r"[A-Z_a-z]+=.*", word)] or ["export"]
    return words[0]


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_the_program_is_there(page, command):
    program = program_of(shlex.split(re.sub(r"\$\([^)]*\)|<name>", "x", command)))
    name = program.rpartition(".venv/bin/")[2]
    if name != program:
        assert (BIN / name).exists(), "the set-up does not bring it along"
    elif program in OURS:
        pytest.fail("a fresh shell does not know it; say .venv/bin/")
    else:
        assert program in SHELL | ELSEWHERE or shutil.which(program), program


JOBS = [(page, one) for page, one in COMMANDS if re.search(r"-m jobs\.[a-z]", one)]


@pytest.mark.parametrize(("page", "command"), JOBS)
def test_the_job_knows_the_flags(page, command):
    name, rest = re.search(r"-m jobs\.([a-z_]+)(.*)", command).groups()
    rest = re.sub(r" >>.*", "", rest)
    other = ["--corrections", "URI"] if name == "train" and "--corrections" in rest else []
    parser = parser_of(name, *other)  # which learns from these has flags of its own
    known = {option for action in parser._actions for option in action.option_strings}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest)) <= known
    is_whole = not re.search(r"[\[(|]|\.\.\.|\b(NAME|X)\b", rest) and page != "models.md"
    if is_whole and "--explain" not in rest:
        parser.parse_args(shlex.split(rest))


def test_all_jobs_are_on_their_page_and_the_makefile_has_the_targets():
    text = (ROOT / "docs" / "jobs.md").read_text()
    jobs = {path.stem for path in (ROOT / "jobs").glob("[a-z]*.py")} - {"harness", "demo"}
    assert jobs <= set(re.findall(r"\.venv/bin/python -m jobs\.([a-z_]+)", text))
    makefile = (ROOT / "Makefile").read_text()
    words = {word for _, one in COMMANDS if one.startswith("make ") for word in one.split()[1:]}
    targets = {word for word in words if "=" not in word}  # LOCKED=1 is a variable
    assert {"demo", "test", "setup"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_a_benchmark_that_is_named_is_there_and_knows_its_flags():
    for page in PAGES:
        for name, rest in re.findall(r"`benchmarks/([a-z_]+\.py)([^`]*)`", page.read_text()):
            text = (ROOT / "benchmarks" / name).read_text()
            for flag in re.findall(r"--[a-z-]+", rest):
                assert f'"{flag}"' in text, (page.name, name, flag)


def test_each_benchmark_of_make_bench_needs_no_flag():
    said = subprocess.run(
        ["make", "--dry-run", "bench"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    files = re.findall(r"benchmarks/[a-z_]+\.py", said)
    assert "benchmarks/tag.py" in files
    for file in files:
        text = (ROOT / file).read_text()
        assert "required=True" not in text and '"__main__"' in text, file


QUERIES = [(page, one) for page, one in COMMANDS if "duckdb" in one]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Make a folder with the tables of the demo that the pages ask."""
    root = tmp_path_factory.mktemp("here")
    folder = Folder(str(root / "demo"))
    tags = {"uri": "a", "model_id": "m", "status": "ok", "labels": ["cel"], "scores": {"cel": 0.9}}
    folder.write_table(
        "tagging/tags/model=m/date=2026-11-28/0.parquet",
        pa.Table.from_pylist([tags], tags_schema(["cel"])),
    )
    row = {"segment_id": "a_0", "run": 0, "outcome": "ok", "reason": "ok"}
    folder.write_table("dataset/ledger/train-0.parquet", pa.Table.from_pylist([row], LEDGER))
    return root


@pytest.mark.parametrize(("page", "command"), QUERIES)
def test_a_query_answers(page, command, demo):
    done = subprocess.run(
        ["bash", "-c", command.replace(".venv/bin/", f"{BIN}/")],
        cwd=demo, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "count_star()" in done.stdout and "│ ok" in done.stdout + "│ ok" * ("labels" in command)


def test_there_are_commands():
    assert len(COMMANDS) > 40 and len(JOBS) > 20 and len(QUERIES) == 3
    assert {"README.md", "cluster.md", "formats.md", "operations.md"} <= {p for p, _ in COMMANDS}
