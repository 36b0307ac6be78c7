"""Who writes to a folder: the json of `.lease` in a bucket, and of `.lock` on a disk."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.record import Record


@dataclass(frozen=True)
class ClaimRecord(Record):
    """One job's claim to be the only one that writes to a folder."""

    host: str
    """The name of the machine or container that the job runs on."""
    pid: int
    """Number of the job's process on that host."""
    process_space: str
    """Where `pid` counts: the kernel's boot id and the namespace of processes; '' if unknown."""
    job: str
    """The job's name, such as tag_catalog."""
    run_id: str
    """32 hex digits, new for every claim: tells this claim from all others."""
    started_at: str
    """When the job claimed the folder: UTC, ISO 8601."""
    expires_after_s: float | None = None
    """Of a lease: so many seconds after it was last written it is void. None of a lock, which ends
    with its process."""
    n_renewals: int = 0
    """Of a lease: how many times it was written again, so that each version has its own ETag."""
    is_ended: bool = False
    """Of a lease: the job has ended, and the folder is free."""

    def __str__(self) -> str:
        """Return what a refused job says of the one that is there."""
        return f"{self.job} on {self.host} (process {self.pid}), since {self.started_at}"
