"""Who may ask the source, and when: one rate limit and one circuit breaker for all workers.

A fault of the network may be one item's or everybody's, and only the next answers tell which. So a
fault waits for its decision: it counts against its item once the source is proven good by a later
success or a probe, and it costs nothing where the probe fails. While the source is down, one probe
goes out at growing intervals, and everybody else waits.

                 a fault that no later success explains, or five in a row
          ┌────┐ ──────────────────────────────────────────────────────→ ┌───────┐
    ────→ │ up │                                                         │ probe │ ⟲ fails: down,
          └────┘ ←────────────────────────────────────────────────────── └───────┘   wait longer
                 it comes through: the waiting faults count if it is the first
                 probe (a false alarm), and are free after an outage

Whoever waits, to enter or for a decision, may be told to send the probe, so there is a prober for
as long as anybody waits. Every second probe asks for the prober's own item, as the item that was
got before may have disappeared since.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from pipeline.errors import ItemFault, Outcome, SourceUnreachable

FAULTS_IN_A_ROW = 5
"""So many, from whomever, pause everybody at once."""
SUSPICION_S = 1.0
"""A fault that nothing later explains for so long is worth a probe."""
PROBE_GROWTH = 1.5
PROBE_LONGEST_S = 300.0
_LONGEST_WAIT_S = 3600.0
PROBE_LOST_S = 120.0
"""A prober that has not answered for so long is dead; another is chosen."""
NEVER_UP_S = 120.0
"""A source that has never given anything, and is down for so long, is not going to."""


class RequestGate(Protocol):
    """What an attempt sees of the circuit breaker: ask before it, tell how it went after it."""

    def enter(self, ytid: str) -> float:
        """Wait for permission to ask for an item; return the ticket to leave with."""

    def passed(self, ticket: float, ytid: str, *, got: bool) -> None:
        """Say that the source answered: with the item, or with a fault of the item."""

    def failed(self, ticket: float, ytid: str, fault: ItemFault) -> bool:
        """Say that the line failed; return whether the attempt counts against the item.

        May wait for as long as the line is down; raises SourceUnreachable when that is too long.
        """


class OpenGate:
    """The request gate of a source that needs no limit: a folder."""

    def enter(self, ytid: str) -> float:
        """Let every attempt in at once; return ticket 0."""
        return 0.0

    def passed(self, ticket: float, ytid: str, *, got: bool) -> None:
        """Ignore the answer: there is no state to keep."""

    def failed(self, ticket: float, ytid: str, fault: ItemFault) -> bool:
        """Count every failed attempt against its item."""
        return True


def is_line_fault(fault: ItemFault) -> bool:
    """Whether a fault may be the line's and not the item's."""
    return fault.outcome in (Outcome.NETWORK, Outcome.BLOCKED)


class Action(StrEnum):
    """What the circuit breaker answers to a fault."""

    COUNTS = "counts"
    FREE = "free"
    PROBE = "probe"


@dataclass(frozen=True)
class Decision:
    """The answer, and what it needs."""

    action: Action
    ytid: str | None = None
    """What to probe; None: the item that failed, or is to be asked for."""


@dataclass(frozen=True)
class Report:
    """What an attempt or a segment came to, where nobody waits for an answer."""

    ticket: float | None = None
    """Of an attempt that the source answered."""
    ytid: str = ""
    got: bool = False
    """Whether it answered with the item, or with a fault of the item."""
    outcome: str | None = None
    """Of a segment that is done with."""


class CircuitBreaker:
    """The one circuit breaker of a run, on one event loop; times are its own clock's, in s."""

    def __init__(
        self,
        *,
        rate_per_s: float | None = None,
        known_good: str | None = None,
        max_outage_s: float = 6 * 3600.0,
        first_probe_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate_per_s = rate_per_s
        self._known_good = known_good
        self._max_outage_s = max_outage_s
        self._first_probe_s = first_probe_s
        self._clock = clock
        self._changed = asyncio.Condition()
        self._next_token_s = clock()
        self._in_a_row = 0
        self._proven_s = float("-inf")  # the line was good for what began then
        self._down_s: float | None = None  # since when the line is down, or taken for it
        self._n_probes_failed = 0  # since then
        self._up_again_s = float("-inf")
        self._why = ""
        self._interval_s = first_probe_s
        self._next_probe_s = float("-inf")
        self._probing_since_s: float | None = None
        self._outcomes: Counter[str] = Counter()
        self._n_outages = 0
        self._paused_s = 0.0
        self._n_judged = 0  # faults that wait for their decision

    async def enter(self, reports: Sequence[Report] = ()) -> float | Decision:
        """Wait until the line is up and the rate allows one more; return the ticket.

        Or a decision, when it is time to probe: the caller says what came of it, and enters again.
        Raises SourceUnreachable when the line is down for too long.
        """
        await self.note(reports)
        while True:
            while self._down_s is not None:
                patience_s = self._patience_s()
                if (left_s := self._probe_s() - self._clock()) <= 0:
                    return self._probe()
                await self._wait(min(left_s, patience_s))
            await asyncio.sleep(self._token_s())
            if self._down_s is None:
                return self._clock()

    async def note(self, reports: Sequence[Report]) -> None:
        """Take note of what was answered, and of segments that are done with."""
        self._outcomes.update(item.outcome for item in reports if item.outcome is not None)
        passed = [item for item in reports if item.ticket is not None]
        for item in passed:
            if item.got:
                self._known_good = item.ytid
        if passed and self._down_s is None:
            self._in_a_row = 0
            newest = max(item.ticket for item in passed if item.ticket is not None)
            if newest > self._proven_s:
                self._proven_s = newest
                if self._n_judged:
                    await self._tell()

    async def failed(self, ticket: float, why: str, reports: Sequence[Report] = ()) -> Decision:
        """Wait until it is known whose fault a fault of the line is."""
        await self.note(reports)
        if ticket < self._up_again_s:
            return Decision(Action.FREE)  # the line was down meanwhile, and is not for that now
        self._in_a_row += 1
        if self._in_a_row >= FAULTS_IN_A_ROW:
            await self._go_down(why)
        return await self._judged(ticket, failed_s=self._clock())

    async def probed(self, ticket: float | None, came_through: bool, why: str) -> Decision:
        """Take a prober's answer, and go on judging the fault that made it one.

        Without a ticket, of one that was to enter, there is none to judge.
        """
        self._probing_since_s = None
        now_s = self._clock()
        if came_through:
            self._proven_s = now_s
            await self._come_up()
        else:
            await self._go_down(why)
            self._n_outages += self._n_probes_failed == 0
            self._n_probes_failed += 1
            self._next_probe_s = now_s + self._interval_s
            self._interval_s = min(self._interval_s * PROBE_GROWTH, PROBE_LONGEST_S)
            await self._tell()  # that it is later now
        return (
            Decision(Action.FREE) if ticket is None else await self._judged(ticket, failed_s=now_s)
        )

    async def status(self) -> dict[str, Any]:
        """Return outcomes so far, and whether and why everybody waits."""
        down_s = 0.0 if self._down_s is None else self._clock() - self._down_s
        return {
            "outcomes": dict(self._outcomes),
            "is_down": self._down_s is not None,
            "why": self._why if self._down_s is not None else "",
            "next_probe_s": max(0.0, self._next_probe_s - self._clock()),
            "n_outages": self._n_outages,
            "paused_s": self._paused_s + down_s,
        }

    def _token_s(self) -> float:
        """Take the next place in the queue of the rate; return how long to wait for it."""
        if self._rate_per_s is None:
            return 0.0
        now_s = self._clock()
        mine_s = max(now_s, self._next_token_s)
        self._next_token_s = mine_s + 1 / self._rate_per_s
        return mine_s - now_s

    async def _judged(self, ticket: float, *, failed_s: float) -> Decision:
        """Wait until it is known whose the fault of an attempt is, or until a probe is due."""
        self._n_judged += 1
        try:
            while True:
                now_s = self._clock()
                if ticket < self._up_again_s:
                    return Decision(Action.FREE)  # the line was down meanwhile
                if self._down_s is None and self._proven_s >= failed_s:
                    return Decision(Action.COUNTS)
                patience_s = self._patience_s()
                probe_s = self._probe_s(failed_s)
                if now_s >= probe_s:
                    if self._down_s is None and self._known_good is None:
                        return Decision(Action.COUNTS)  # nothing else to go by yet
                    return self._probe()
                await self._wait(min(probe_s - now_s, patience_s))
        finally:
            self._n_judged -= 1

    def _probe_s(self, failed_s: float = 0.0) -> float:
        """Return when the next probe is due; while the line is up, because of that fault."""
        if self._probing_since_s is not None:
            return self._probing_since_s + PROBE_LOST_S
        return failed_s + SUSPICION_S if self._down_s is None else self._next_probe_s

    def _probe(self) -> Decision:
        """Make whoever is told so the prober."""
        self._probing_since_s = self._clock()
        is_own = self._down_s is not None and self._n_probes_failed % 2 == 1
        return Decision(Action.PROBE, None if is_own else self._known_good)

    def _patience_s(self) -> float:
        """Return for how long the line may still be down; SourceUnreachable when no longer."""
        if self._down_s is None:
            return float("inf")
        limit_s = self._max_outage_s
        if self._known_good is None:
            limit_s = min(limit_s, NEVER_UP_S)
        left_s = self._down_s + limit_s - self._clock()
        if left_s <= 0:
            raise SourceUnreachable(
                f"the source has been down for too long, last: {self._why}; what was got is kept, "
                "and the same command goes on"
            )
        return left_s

    async def _go_down(self, why: str) -> None:
        self._why = why
        if self._down_s is None:
            self._down_s = self._clock()
            self._n_probes_failed = 0
            self._next_probe_s = self._down_s
            self._interval_s = self._first_probe_s
            await self._tell()

    async def _come_up(self) -> None:
        self._in_a_row = 0
        if self._down_s is not None:
            now_s = self._clock()
            self._paused_s += now_s - self._down_s
            self._down_s = None
            if self._n_probes_failed:
                self._up_again_s = now_s
        await self._tell()

    async def _wait(self, seconds: float) -> None:
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait(), min(seconds, _LONGEST_WAIT_S))
            except TimeoutError:
                return

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
