"""The gate: who waits, whose fault it was, and that nobody pays for an outage."""

import asyncio
import selectors

import pytest

from pipeline.audio.fetching import circuit_breaker as module
from pipeline.audio.fetching.circuit_breaker import (
    FAULTS_IN_A_ROW,
    Action,
    CircuitBreaker,
    Decision,
    Report,
)
from pipeline.errors import SourceUnreachable


class _Jump(selectors.DefaultSelector):
    """A clock that goes on to the next thing to do at once, when everybody waits."""

    now_s = 0.0

    def select(self, timeout=None):
        assert timeout is not None, "everybody waits, and nothing is going to happen"
        self.now_s += timeout
        return super().select(0)


def _new_loop() -> asyncio.AbstractEventLoop:
    jump = _Jump()
    loop = asyncio.SelectorEventLoop(jump)
    loop.time = lambda: jump.now_s
    return loop


def gate(**options) -> CircuitBreaker:
    clock = asyncio.get_running_loop().time
    return CircuitBreaker(**{"first_probe_s": 0.02, "clock": clock} | options)


def run(coroutine):
    """Run a story in no time: its clock jumps, so a loaded machine changes nothing."""
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        return runner.run(coroutine)


class Line:
    """A line that is down until the n-th probe, and what its users do at a gate."""

    def __init__(self, gate: CircuitBreaker, n_probes_until_up: float) -> None:
        self.gate, self._n_until_up = gate, n_probes_until_up
        self.n_probes = 0
        self._is_probed = False

    async def probe(self, ticket: float | None) -> Decision:
        assert not self._is_probed  # by one at a time
        self._is_probed = True
        await asyncio.sleep(0.001)
        self._is_probed = False
        self.n_probes += 1
        return await self.gate.probed(ticket, self.n_probes >= self._n_until_up, "still down")

    async def enter(self) -> float:
        while isinstance(answer := await self.gate.enter(), Decision):
            assert (await self.probe(None)).action is Action.FREE
        return answer

    async def fail(self, ticket: float, why: str = "reset") -> Action:
        decision = await self.gate.failed(ticket, why)
        while decision.action is Action.PROBE:
            decision = await self.probe(ticket)
        return decision.action


def test_a_fault_between_successes_is_the_items():
    async def story():
        g = gate(known_good="good")
        ticket = await g.enter()
        decision = asyncio.create_task(g.failed(ticket, "503"))
        await asyncio.sleep(0.01)
        assert not decision.done()  # it may be everybody's
        await g.note([Report(ticket=await g.enter(), ytid="other", got=True)])
        assert (await decision).action is Action.COUNTS

    run(story())


def test_a_success_that_began_before_the_fault_proves_nothing():
    async def story():
        g = gate(known_good="good")
        early = await g.enter()
        await asyncio.sleep(0.01)
        decision = asyncio.create_task(g.failed(await g.enter(), "reset"))
        await asyncio.sleep(0.01)
        await g.note([Report(ticket=early, ytid="early", got=True)])
        answer = await decision
        assert (answer.action, answer.ytid) == (Action.PROBE, "early")

    run(story())


def test_a_probe_that_comes_through_makes_it_the_items_fault():
    async def story():
        g = gate(known_good="good")
        ticket = await g.enter()
        assert (await g.failed(ticket, "503")).ytid == "good"
        assert (await g.probed(ticket, True, "")).action is Action.COUNTS
        assert not (await g.status())["is_down"]

    run(story())


def test_a_probe_that_fails_pauses_everybody_and_nobody_pays():
    async def story():
        g = gate(known_good="good")
        line = Line(g, 4)
        words = [asyncio.create_task(line.fail(await g.enter())) for _ in range(3)]
        while not (await g.status())["is_down"]:
            await asyncio.sleep(0.001)
        at_the_gate = asyncio.create_task(line.enter())
        assert set(await asyncio.gather(*words)) == {Action.FREE}
        await at_the_gate
        assert line.n_probes == 4
        status = await g.status()
        assert (status["is_down"], status["n_outages"]) == (False, 1)
        assert status["paused_s"] > 0.02 * (1 + 1.5 + 2.25)

    run(story())


def test_faults_in_a_row_pause_at_once_without_a_known_good_item():
    async def story():
        g = gate()
        tickets = [await g.enter() for _ in range(FAULTS_IN_A_ROW)]
        tasks = [asyncio.create_task(g.failed(t, "429")) for t in tickets]
        await asyncio.sleep(0.005)
        assert (await g.status())["why"] == "429"
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        answer = done.pop().result()
        assert (answer.action, answer.ytid) == (Action.PROBE, None)
        again = asyncio.create_task(g.probed(tickets[0], False, "429"))
        probes = {again, *[task for task in tasks if not task.done()]}
        done, others = await asyncio.wait(probes, return_when=asyncio.FIRST_COMPLETED)
        assert done.pop().result().action is Action.PROBE
        assert (await g.probed(tickets[0], True, "")).action is Action.FREE
        assert {(await task).action for task in others} == {Action.FREE}

    run(story())


def test_a_few_faults_before_anything_was_got_count():
    async def story():
        g = gate()
        assert (await g.failed(await g.enter(), "503")).action is Action.COUNTS

    run(story())


def test_a_request_from_before_an_outage_that_fails_after_it_is_free():
    async def story():
        g = gate(known_good="good")
        slow = await g.enter()
        ticket = await g.enter()
        await g.failed(ticket, "reset")
        again = await g.probed(ticket, False, "reset")
        assert again.action is Action.PROBE
        assert (await g.probed(ticket, True, "")).action is Action.FREE
        assert (await g.failed(slow, "timed out")).action is Action.FREE

    run(story())


@pytest.mark.parametrize("known_good", ["good", None])
def test_an_outage_without_end_is_given_up(known_good, monkeypatch):
    monkeypatch.setattr(module, "NEVER_UP_S", 0.1)

    async def story():
        g = gate(known_good=known_good, max_outage_s=0.1)
        for _ in range(FAULTS_IN_A_ROW - 1):
            g._in_a_row += 1
        ticket = await g.enter()
        line = Line(g, float("inf"))
        failed = asyncio.create_task(line.fail(ticket))
        await asyncio.sleep(0.01)
        for waiting in (failed, asyncio.create_task(line.enter())):
            with pytest.raises(SourceUnreachable, match="still down"):
                await waiting

    run(story())


def test_a_prober_that_dies_is_replaced(monkeypatch):
    monkeypatch.setattr(module, "PROBE_LOST_S", 0.05)

    async def story():
        g = gate(known_good="good")
        first, second = await g.enter(), await g.enter()
        assert (
            await g.failed(first, "reset")
        ).action is Action.PROBE  # and is never heard of again
        assert (await g.failed(second, "reset")).action is Action.PROBE

    run(story())


def test_a_prober_that_dies_is_replaced_by_one_at_the_gate(monkeypatch):
    """Nobody else has failed: all others wait to enter, and would for ever."""
    monkeypatch.setattr(module, "PROBE_LOST_S", 0.05)

    async def story():
        g = gate(known_good="good")
        ticket = await g.enter()
        await g.failed(ticket, "reset")
        assert (await g.probed(ticket, False, "reset")).action is Action.PROBE  # it dies here
        line = Line(g, 2)
        await asyncio.gather(*[line.enter() for _ in range(20)])
        assert line.n_probes == 2

    run(story())


def test_faults_from_before_an_outage_do_not_begin_another():
    """They would all be free, and nobody would be left to probe."""

    async def story():
        g = gate(known_good="good")
        tickets = [await g.enter() for _ in range(2 * FAULTS_IN_A_ROW)]
        line = Line(g, 2)
        early = [line.fail(ticket) for ticket in tickets[:FAULTS_IN_A_ROW]]
        assert set(await asyncio.gather(*early)) == {Action.FREE}
        for ticket in tickets[FAULTS_IN_A_ROW:]:
            assert (await g.failed(ticket, "timed out")).action is Action.FREE
        status = await g.status()
        assert (status["is_down"], status["n_outages"]) == (False, 1)

    run(story())


@pytest.mark.parametrize("known_good", ["good", None])
def test_items_that_all_fail_are_not_free_for_ever(known_good):
    """The line is up all the time: each of them pays, and it is no outage."""

    async def item(g: CircuitBreaker, line: Line) -> int:
        n_counted = n_tries = 0
        while n_counted < 3:
            n_counted += await line.fail(await line.enter()) is Action.COUNTS
            n_tries += 1
        return n_tries

    async def story():
        g = gate(known_good=known_good)
        line = Line(g, 0)
        tries = await asyncio.gather(*[item(g, line) for _ in range(3 * FAULTS_IN_A_ROW)])
        assert set(tries) == {3}
        assert (await g.status())["n_outages"] == 0

    run(story())


def test_what_was_good_before_may_be_bad_now():
    async def story():
        g = gate(known_good="gone bad")
        ticket = await g.enter()
        first = await g.failed(ticket, "503")
        second = await g.probed(ticket, False, "503")
        third = await g.probed(ticket, False, "503")
        assert [one.ytid for one in (first, second, third)] == ["gone bad", None, "gone bad"]

    run(story())


def test_the_rate_is_for_all():
    async def story():
        g = gate(rate_per_s=100.0)
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*[g.enter() for _ in range(21)])
        assert asyncio.get_running_loop().time() - began >= 0.2

    run(story())
