"""Where a result comes from: versions and revision, as plain text for json files and pages."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("timbre", "ray", "torch", "timm", "pyarrow", "numpy", "librosa", "av", "yt-dlp")


def provenance() -> dict[str, str]:
    """Return date, git revision and the versions that decide a result."""
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_revision": git_revision(),
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
    }


def git_revision() -> str:
    """Return the revision of the code, '+' when it has changes; 'unknown' outside a checkout."""
    try:
        text = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        ).stdout
    except OSError:
        return "unknown"
    return text.strip() or "unknown"
