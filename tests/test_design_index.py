"""The index of questions in docs/design.md: each answer names a file and what is in it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
INDEX = (ROOT / "docs" / "design.md").read_text().split("## Where is it?")[1].split("\n## ")[0]
ROWS = [line for line in INDEX.splitlines() if line.startswith("| ") and "`" in line]
A_PATH = re.compile(r"`((?:pipeline|jobs|schemas)/[\w/]*(?:\.py)?)`")
A_NAME_BESIDE = re.compile(r"`(\w+)` in `([\w/]+\.py)`|`([\w/]+\.py)`, `(\w+)`")


def test_there_are_ten_questions():
    assert len(ROWS) >= 10


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip() for row in ROWS])
def test_an_answer_leads_to_its_file(row):
    paths = A_PATH.findall(row)
    assert paths
    for path in paths:
        assert (ROOT / path).exists(), path
    for name, after, before, beside in A_NAME_BESIDE.findall(row):
        source = (ROOT / (after or before)).read_text()
        assert re.search(rf"^\s*(?:def |class )?{name or beside}\b", source, re.M), row
