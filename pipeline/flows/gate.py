"""The gate as an actor, and what a downloader's threads see of it."""

from __future__ import annotations

from typing import Any

import ray

from pipeline.audio.fetch import Meter, Source
from pipeline.audio.gate import Gate, Verdict, Word, is_line_fault
from pipeline.errors import ItemFault

_MAX_WAITING = 100_000  # callers at once: nearly all of them only wait


def start_gate(**options: Any) -> Any:
    """Start the one gate of a run; a gate that dies comes back without its memory."""
    actor = ray.remote(Gate).options(
        num_cpus=0, max_concurrency=_MAX_WAITING, max_restarts=-1, max_task_retries=-1
    )
    return actor.remote(**options)


class RemoteGate:
    """A `Pass` for one source, through the actor."""

    def __init__(self, actor: Any, source: Source) -> None:
        self._actor = actor
        self._source = source

    def enter(self) -> float:
        """Wait for permission; return the ticket to leave with."""
        ticket: float = ray.get(self._actor.enter.remote())
        return ticket

    def passed(self, ticket: float, ytid: str, *, got: bool) -> None:
        """Say that the source answered; nobody waits for that."""
        self._actor.passed.remote(ticket, ytid, got)

    def failed(self, ticket: float, ytid: str, fault: ItemFault) -> bool:
        """Say that the line failed, probe when asked to, and return whether the attempt counts."""
        verdict: Verdict = ray.get(self._actor.failed.remote(ticket, fault.detail))
        while verdict.word is Word.PROBE:
            why = probe(self._source, verdict.ytid or ytid)
            verdict = ray.get(self._actor.probed.remote(ticket, why is None, why or ""))
        return verdict.word is Word.COUNTS


def probe(source: Source, ytid: str) -> str | None:
    """Ask for one item's head; return what failed on the line, None when it answered."""
    try:
        with source.open(ytid, Meter()):
            return None
    except ItemFault as fault:
        return fault.detail if is_line_fault(fault) else None
