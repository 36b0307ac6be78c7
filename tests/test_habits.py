"""What a contributor relies on agrees with itself: hooks, lock file, version, index of pages."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import pipeline

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def recipe(target: str) -> list[str]:
    """Return what a target of the Makefile runs."""
    found = re.search(rf"^{target}:.*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(), re.M)
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in found[1].splitlines()]


def locked() -> dict[str, list[Requirement]]:
    """Return the lines of the lock file by the name of their package."""
    lines = (ROOT / "requirements-dev.lock").read_text().splitlines()
    pins = [Requirement(line) for line in lines if re.match(r"\w", line)]
    return {pin.name: [one for one in pins if one.name == pin.name] for pin in pins}


def test_the_hooks_are_the_checks_of_make_lint_and_types():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]]
    assert hooks == recipe("lint") + recipe("types")


EXTRAS = [text for extra in PROJECT["optional-dependencies"].values() for text in extra]


@pytest.mark.parametrize("text", PROJECT["dependencies"] + EXTRAS)
def test_the_lock_file_has_a_version_that_pyproject_takes(text):
    wanted = Requirement(text)
    if wanted.name == PROJECT["name"]:  # dev takes the other extras
        return
    for pin in locked()[canonicalize_name(wanted.name)]:
        (version,) = [one.version for one in pin.specifier]
        assert wanted.specifier.contains(version, prereleases=True), "run make lock"


def test_one_version_everywhere():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    releases = re.findall(
        r"^## \[([\d.]+)\](?: - (\S+))?", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    assert (cited["version"], str(cited["date-released"])) == releases[0]
    assert cited["version"] == pipeline.__version__


@pytest.mark.parametrize("package", ["pipeline", "jobs", "schemas"])
def test_a_package_says_that_it_is_typed(package):
    assert (ROOT / package / "py.typed").exists()
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "py.typed" in data["package-data"][package]


def test_every_page_is_in_the_index_and_every_link_leads_somewhere():
    index = (ROOT / "docs" / "README.md").read_text()
    links = re.findall(r"\]\(([^)#]+)", index)
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"} <= set(links)
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), (page.name, link)
