"""The circuit breaker as an actor, and the gate through which a downloader's threads reach it."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from typing import Any

import ray

from pipeline.audio.fetching.circuit_breaker import (
    Action,
    CircuitBreaker,
    Decision,
    Report,
    is_line_fault,
)
from pipeline.audio.fetching.fetch import Source
from pipeline.audio.fetching.remote_file import Meter
from pipeline.errors import ItemFault

LEASE_S = 0.5
_MAX_WAITING = 100_000  # callers at once: nearly all of them only wait


def start_gate(**options: Any) -> Any:
    """Start the one circuit breaker of a run; one that dies comes back without its memory."""
    actor = ray.remote(CircuitBreaker).options(
        num_cpus=0, max_concurrency=_MAX_WAITING, max_restarts=-1, max_task_retries=-1
    )
    return actor.remote(**options)


class RemoteGate:
    """The `RequestGate` of one source, which asks the circuit breaker's actor."""

    def __init__(self, actor: Any, source: Source, *, is_rated: bool) -> None:
        self._actor = actor
        self._source = source
        self._lease_s = 0.0 if is_rated else LEASE_S
        self._ticket, self._leased_s = 0.0, float("-inf")
        self._reports: deque[Report] = deque()  # goes along with the next call: a call costs 1 ms

    def enter(self, ytid: str) -> float:
        """Wait for permission, and probe when asked to; return the ticket to leave with.

        Without a rate limit a ticket serves all threads for a moment: in an outage a few more
        attempts then fail, and cost nobody anything.
        """
        if time.monotonic() - self._leased_s > self._lease_s:
            while isinstance(
                answer := ray.get(self._actor.enter.remote(self._take_reports())), Decision
            ):
                self._probed(answer.ytid or ytid, None)
            self._ticket, self._leased_s = answer, time.monotonic()
        return self._ticket

    def passed(self, ticket: float, ytid: str, *, got: bool) -> None:
        """Say that the source answered; nobody waits for that."""
        self._reports.append(Report(ticket=ticket, ytid=ytid, got=got))

    def finish(self, outcome: str) -> None:
        """Say what became of a segment; nobody waits for that."""
        self._reports.append(Report(outcome=outcome))

    def tell(self) -> None:
        """Pass on what has not gone along with another call."""
        if self._reports:
            self._actor.note.remote(self._take_reports())

    def failed(self, ticket: float, ytid: str, fault: ItemFault) -> bool:
        """Say that the line failed, probe when asked to, and return whether the attempt counts."""
        reports = self._take_reports()
        decision: Decision = ray.get(self._actor.failed.remote(ticket, fault.detail, reports))
        while decision.action is Action.PROBE:
            decision = self._probed(decision.ytid or ytid, ticket)
        return decision.action is Action.COUNTS

    def _probed(self, ytid: str, ticket: float | None) -> Decision:
        """Probe; return what the circuit breaker decides."""
        why = probe(self._source, ytid)
        decision: Decision = ray.get(self._actor.probed.remote(ticket, why is None, why or ""))
        return decision

    def _take_reports(self) -> list[Report]:
        reports = []
        with suppress(IndexError):  # there are no more: other threads take some, too
            while True:
                reports.append(self._reports.popleft())
        return reports


def probe(source: Source, ytid: str) -> str | None:
    """Ask for one item's head; return what failed on the line, None when it answered."""
    try:
        with source.open(ytid, Meter()):
            return None
    except ItemFault as fault:
        return fault.detail if is_line_fault(fault) else None
