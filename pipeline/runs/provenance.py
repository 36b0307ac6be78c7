"""Where a result comes from: versions and revision, as plain text for json files and pages."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pipeline import __version__

REVISION = "TIMBRE_GIT_REVISION"
"""Variable of the environment that names the revision where the code has no checkout."""
_PACKAGES = ("ray", "torch", "timm", "pyarrow", "numpy", "librosa", "av", "yt-dlp")


def provenance() -> dict[str, str]:
    """Return date, git revision and the versions that decide a result."""
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_revision": git_revision(),
        "python": platform.python_version(),
        "timbre": __version__,
        **{package: version(package) for package in _PACKAGES},
    }


def git_revision() -> str:
    """Return the revision of the code, '+' when it has changes; 'unknown' outside a checkout.

    TIMBRE_GIT_REVISION says it where the code travels without its checkout: in an image, or in what
    `ray job submit` uploads.
    """
    if said := os.environ.get(REVISION):
        return said
    if not _git("ls-files", Path(__file__).name):  # an installation, below another's checkout
        return "unknown"
    return _git("describe", "--always", "--abbrev=12", "--dirty=+") or "unknown"


def _git(*command: str) -> str:
    """Return what git says beside this file; nothing where it fails or is not there."""
    folder = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", *command], cwd=folder, capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
