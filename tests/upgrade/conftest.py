"""What the old version left on disk, made once; tests that write take copies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.upgrade.old_version import Old, make_old, old_tree


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the old version's source."""
    return old_tree(tmp_path_factory.mktemp("old-version") / "tree")


@pytest.fixture(scope="session")
def old(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Old:
    """Give what the old version's jobs have written: minutes of builds, trainings and nights."""
    if "TIMBRE_UPGRADE" not in os.environ:
        pytest.skip("takes minutes; TIMBRE_UPGRADE=1 runs it")
    return make_old(tree, tmp_path_factory.mktemp("old"))
