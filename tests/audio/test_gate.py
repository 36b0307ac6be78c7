"""The gate: who waits, whose fault it was, and that nobody pays for an outage."""

import asyncio

import pytest

from pipeline.audio import gate as module
from pipeline.audio.gate import FAULTS_IN_A_ROW, Gate, News, Word
from pipeline.errors import SourceUnreachable


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(module, "SUSPICION_S", 0.05)


def gate(**options) -> Gate:
    return Gate(first_probe_s=0.02, **options)


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 10))


def test_a_fault_between_successes_is_the_items():
    async def story():
        g = gate(known_good="good")
        ticket = await g.enter()
        verdict = asyncio.create_task(g.failed(ticket, "503"))
        await asyncio.sleep(0.01)
        assert not verdict.done()  # it may be everybody's
        await g.hear([News(ticket=await g.enter(), ytid="other", got=True)])
        assert (await verdict).word is Word.COUNTS

    run(story())


def test_a_success_that_began_before_the_fault_proves_nothing():
    async def story():
        g = gate(known_good="good")
        early = await g.enter()
        verdict = asyncio.create_task(g.failed(await g.enter(), "reset"))
        await asyncio.sleep(0.01)
        await g.hear([News(ticket=early, ytid="early", got=True)])
        answer = await verdict
        assert (answer.word, answer.ytid) == (Word.PROBE, "early")

    run(story())


def test_a_probe_that_comes_through_makes_it_the_items_fault():
    async def story():
        g = gate(known_good="good")
        ticket = await g.enter()
        assert (await g.failed(ticket, "503")).ytid == "good"
        assert (await g.probed(ticket, True, "")).word is Word.COUNTS
        assert not (await g.status())["is_down"]

    run(story())


def test_a_probe_that_fails_pauses_everybody_and_nobody_pays():
    async def story():
        g = gate(known_good="good")
        tickets = [await g.enter() for _ in range(3)]
        waiting = [asyncio.create_task(g.failed(t, "reset")) for t in tickets]
        done, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        (prober,) = done
        assert prober.result().word is Word.PROBE
        ticket = tickets[waiting.index(prober)]
        at_the_gate = asyncio.create_task(g.enter())
        n_probes, verdict = 0, prober.result()
        probe = asyncio.create_task(g.probed(ticket, False, "still down"))
        while n_probes < 4:
            tasks = {probe, *others} if probe else set(others)
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            (task,) = done  # one probe at a time
            verdict = task.result()
            assert verdict.word is Word.PROBE
            others = [t for t in tasks if t is not task]
            n_probes += 1
            assert not at_the_gate.done()
            assert (await g.status())["is_down"]
            probe = asyncio.create_task(g.probed(ticket, n_probes == 4, "still down"))
        assert (await probe).word is Word.FREE
        assert {(await t).word for t in others} == {Word.FREE}
        await at_the_gate
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
        assert (answer.word, answer.ytid) == (Word.PROBE, None)
        assert (await g.probed(tickets[0], True, "")).word is Word.FREE
        for task in tasks:
            if not task.done():
                assert (await task).word is Word.FREE

    run(story())


def test_a_few_faults_before_anything_was_got_count():
    async def story():
        g = gate()
        assert (await g.failed(await g.enter(), "503")).word is Word.COUNTS

    run(story())


def test_a_request_from_before_an_outage_that_fails_after_it_is_free():
    async def story():
        g = gate(known_good="good")
        slow = await g.enter()
        ticket = await g.enter()
        await g.failed(ticket, "reset")
        again = await g.probed(ticket, False, "reset")
        assert again.word is Word.PROBE
        assert (await g.probed(ticket, True, "")).word is Word.FREE
        assert (await g.failed(slow, "timed out")).word is Word.FREE

    run(story())


@pytest.mark.parametrize("known_good", ["good", None])
def test_an_outage_without_end_is_given_up(known_good, monkeypatch):
    monkeypatch.setattr(module, "NEVER_UP_S", 0.1)

    async def story():
        g = gate(known_good=known_good, max_outage_s=0.1)
        for _ in range(FAULTS_IN_A_ROW - 1):
            g._in_a_row += 1
        ticket = await g.enter()
        verdict = await g.failed(ticket, "refused")
        at_the_gate = asyncio.create_task(g.enter())
        with pytest.raises(SourceUnreachable, match="refused"):
            while verdict.word is Word.PROBE:
                verdict = await g.probed(ticket, False, "refused")
        with pytest.raises(SourceUnreachable, match="refused"):
            await at_the_gate

    run(story())


def test_a_prober_that_dies_is_replaced(monkeypatch):
    monkeypatch.setattr(module, "PROBE_LOST_S", 0.05)

    async def story():
        g = gate(known_good="good")
        first, second = await g.enter(), await g.enter()
        assert (await g.failed(first, "reset")).word is Word.PROBE  # and is never heard of again
        assert (await g.failed(second, "reset")).word is Word.PROBE

    run(story())


def test_the_rate_is_for_all():
    async def story():
        g = gate(rate_per_s=100.0)
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*[g.enter() for _ in range(21)])
        assert asyncio.get_running_loop().time() - began >= 0.2

    run(story())
