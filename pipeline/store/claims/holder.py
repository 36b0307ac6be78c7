"""Who this process is, as its claims to folders say it; whether the process of a claim is dead."""

from __future__ import annotations

import os
import socket
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

from schemas.claim import ClaimRecord


def new_claim(*, expires_after_s: float | None = None) -> ClaimRecord:
    """Return a claim of this process, from now on."""
    return ClaimRecord(
        host=socket.gethostname(),
        pid=os.getpid(),
        process_space=_process_space(),
        job=Path(sys.argv[0]).stem or "python",
        run_id=uuid.uuid4().hex,
        started_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        expires_after_s=expires_after_s,
    )


def is_dead(claim: ClaimRecord) -> bool:
    """Say whether the process of a claim is known to have ended: only this machine's are."""
    if not claim.process_space or claim.process_space != _process_space():
        return False
    try:
        os.kill(claim.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # another user's
        return False
    return False


def _process_space() -> str:
    """Return what two processes have in common if a pid means the same process to both.

    A host's name is not enough: two containers may share it and count their processes apart.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
