"""The diffs of CONTRIBUTING.md apply to a copy of the tree, and their tests pass there.

So each extension is one new file and its test: a diff that needed another edit would not pass.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DIFFS = re.findall(r"```diff\n(.+?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
NOT_NEEDED = ("docs/", "benchmarks/", "deploy/", "examples/", "pipeline/starter/")


def new_files(diff: str) -> list[str]:
    return re.findall(r"^\+\+\+ b/(\S+)$", diff, re.M)


def run(command: list[str], folder: Path, **options: object) -> str:
    """Run a command in the copy; nothing of this checkout is on its path."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Copy what git knows of the tree, and apply all diffs."""
    folder = tmp_path_factory.mktemp("copy")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a checkout of git")
    for name in filter(None, done.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(NOT_NEEDED):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    run(["git", "init", "--quiet"], folder)  # it may lie in another repository
    run(["git", "apply", "-"], folder, input="".join(DIFFS))
    return folder


def test_there_is_a_diff_for_every_seam_and_each_makes_a_module_and_its_test():
    assert len(DIFFS) == 13  # two of a network and of an export
    for diff in DIFFS:
        assert diff.count("\nnew file mode ") == diff.count("diff --git ") == 2
        module, test = new_files(diff)
        assert module.startswith("pipeline/") and test.startswith("tests/")


@pytest.mark.slow
def test_the_new_tests_pass(copy):
    tests = [name for diff in DIFFS for name in new_files(diff)[1:]]
    tests += ["tests/models/test_names.py"]  # what lists names takes new ones
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    said = run([*command, *tests], copy)
    assert re.search(r"^\d+ passed", said, re.M), said


@pytest.mark.slow
def test_the_new_files_keep_the_rules(copy):
    files = [name for diff in DIFFS for name in new_files(diff)]
    run([sys.executable, "-m", "ruff", "check", "--no-cache", *files], copy)
    run([sys.executable, "-m", "ruff", "format", "--no-cache", "--check", *files], copy)
    run([str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"], copy)
