"""One writer a folder in a bucket: a lease by conditional writes, over HTTP."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import StoreError, UsageError
from pipeline.store.claims import keeper, lease
from pipeline.store.claims.holder import is_dead, new_claim
from pipeline.store.claims.keeper import kept
from pipeline.store.claims.lease import Lease, LeaseTimes
from pipeline.store.claims.objects import ConditionalObject
from pipeline.store.folder import Folder
from schemas.claim import ClaimRecord
from tests.s3 import BUCKET, S3Server
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
OFTEN = LeaseTimes(renew_s=0.02)
NEVER = LeaseTimes(renew_s=1e6)
LOST = (
    "test_who_lost_it_is_stopped_in_the_middle_of_a_wait",
    "test_the_outer_of_two_claims_stops_the_job_too",
    "test_a_store_that_does_not_answer_for_long_stops_the_job",
)
ELSEWHERE = replace(new_claim(expires_after_s=120.0), host="elsewhere", process_space="", job="tag")


@pytest.fixture(scope="module")
def server():
    with S3Server() as server:
        yield server


@pytest.fixture
def s3(server, monkeypatch):
    """A server that `s3://` means."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.requests.clear()
    yield server
    server.fails = server.loses_answer = lambda method, path, query: False
    server.conditions = "heeded"


@pytest.fixture(params=["environment", "options"])
def folder(request, s3):
    """A new folder, by both ways of saying where S3 is."""
    prefix = f"{request.node.name}/d"
    return Folder(f"s3://{BUCKET}/{prefix}" if request.param == "environment" else s3.uri(prefix))


@pytest.fixture
def key(request):
    """The key of a lease that is not there yet."""
    return f"{request.node.name}/.lease"


def lease_of(s3, key, times=NEVER):
    filesystem, path = Folder(s3.uri(key)).location("")
    options = s3.uri("").partition("?")[2]
    return Lease(ConditionalObject(filesystem, path, f"?{options}"), "s3://there", times)


def claim_in(s3, key):
    return ClaimRecord.from_dict(json.loads(s3.read(key)))


def put(s3, key, claim):
    s3.fill([key], json.dumps(claim.to_dict()).encode())


def is_free(one):
    try:
        return one.take()
    except UsageError:
        return False


def test_one_of_many_that_begin_at_once_gets_it(s3, key):
    leases = [lease_of(s3, key) for _ in range(8)]
    for one in leases:
        one._place._client  # noqa: B018  # made before the start
    start = threading.Barrier(len(leases))

    def take(one):
        start.wait()
        return one.take()

    with ThreadPoolExecutor(len(leases)) as pool:
        tries = [pool.submit(take, one) for one in leases]
    refused = [one.exception() for one in tries if one.exception()]
    assert [one.result() for one in tries if not one.exception()] == [True]
    assert all(isinstance(one, UsageError) for one in refused)
    assert all("another job is writing there: " in str(one) for one in refused)


def test_one_of_many_that_take_over_at_once_gets_it(s3, key):
    put(s3, key, ELSEWHERE)
    s3.age(key, 121)
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(is_free, [lease_of(s3, key) for _ in range(8)])) == 1


def test_a_second_writer_is_told_who_the_first_is(folder):
    with folder.claimed():
        folder.write_bytes("x", b"1")
        assert folder.names("", suffix="") == ["x"]
        assert [name for name, _, _ in folder.walk()] == ["x"]
        told = rf"another job is writing there: .+ \(process {os.getpid()}\), since 20.*free in 1"
        with pytest.raises(UsageError, match=told):
            with Folder(folder.uri).claimed():
                pass
    with Folder(folder.uri).claimed():
        assert folder.names("", suffix="") == ["x"]
    assert not folder.names("nowhere")


def test_it_is_renewed_while_the_job_runs_and_free_at_its_end(s3, key):
    one = lease_of(s3, key, OFTEN)
    assert one.take()
    with kept(one):
        wait_for(lambda: claim_in(s3, key).n_renewals > 2)
        assert not is_free(lease_of(s3, key))
    assert claim_in(s3, key).is_ended
    assert not [one for one in threading.enumerate() if one.name == "lease"]
    assert lease_of(s3, key).take()


def test_it_expires_by_what_its_holder_said(s3, key):
    put(s3, key, ELSEWHERE)
    s3.age(key, 110)
    with pytest.raises(UsageError, match=r"tag on elsewhere .*free in \d+ s\)"):
        lease_of(s3, key).take()
    put(s3, key, replace(ELSEWHERE, expires_after_s=100.0))
    s3.age(key, 110)
    assert lease_of(s3, key).take()


@pytest.mark.parametrize("data", [b"", b"[]", b'{"version": 9}'])
def test_one_that_cannot_be_read_expires_too(s3, key, data):
    s3.fill([key], data)
    with pytest.raises(UsageError, match="a job whose lease this program cannot read"):
        lease_of(s3, key).take()
    s3.age(key, 121)
    assert lease_of(s3, key).take()


def _hold(uri, ready):
    with Folder(uri).claimed():
        ready.set()
        multiprocessing.parent_process().join()  # until it is killed


def test_a_job_that_is_killed_on_this_machine_frees_it_at_once(s3):
    context = multiprocessing.get_context("spawn")
    ready, folder = context.Event(), Folder(s3.uri("killed"))
    holder = context.Process(target=_hold, args=(folder.uri, ready))
    holder.start()
    wait_for(ready.is_set, holder)
    with pytest.raises(UsageError, match=rf"\(process {holder.pid}\)"):
        with folder.claimed():
            pass
    holder.kill()
    holder.join()
    with folder.claimed():
        pass


def test_of_another_machine_s_process_nothing_is_known():
    gone = replace(new_claim(), pid=2**22 + 1)  # more than a kernel has
    assert is_dead(gone)
    assert not is_dead(new_claim())
    assert not is_dead(replace(gone, process_space="another"))
    assert not is_dead(replace(gone, process_space=""))


@pytest.mark.parametrize("name", LOST)
def test_who_lost_it_is_stopped(name):
    """A signal to the main thread ends its wait; tests/store/lost_lease.py has what happens then.

    That is in a process of its own: where Ray, torch and others have been before, one in some
    twenty ended by SIGSEGV, of which nothing else was found.
    """
    place = Path(__file__).with_name("lost_lease.py")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", f"{place}::{name}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_after_a_long_pause_nothing_is_written_where_another_took_over(folder, s3, monkeypatch):
    now_s, key = lease._now_s, folder.location(lease.FILE)[1].removeprefix(f"{BUCKET}/")
    with pytest.raises(StoreError, match="lost its lease"):
        with folder.claimed():
            folder.write_bytes("before", b"1")
            put(s3, key, ELSEWHERE)
            monkeypatch.setattr(lease, "_now_s", lambda: now_s() + 91)
            for action in (lambda: folder.write_bytes("x", b"1"), lambda: folder.delete("before")):
                with pytest.raises(StoreError, match="taken over: tag on elsewhere"):
                    action()
    assert folder.names("", suffix="") == ["before"]
    assert claim_in(s3, key) == ELSEWHERE


def test_after_a_long_pause_it_goes_on_where_nobody_took_over(folder, monkeypatch):
    now_s = lease._now_s
    with folder.claimed():
        monkeypatch.setattr(lease, "_now_s", lambda: now_s() + 1000)
        folder.write_bytes("x", b"1")
    assert folder.exists("x")


def test_an_answer_that_is_lost_on_the_way_is_no_loss(s3, key):
    one, once = lease_of(s3, key), iter([True])
    s3.loses_answer = lambda method, path, query: method == "PUT" and next(once, False)
    assert one.take()
    assert next(once, None) is None
    s3.loses_answer = lambda method, path, query: method == "PUT"
    with pytest.raises(OSError, match="500"):
        one.renew()
    assert claim_in(s3, key).n_renewals == 1
    s3.loses_answer = lambda method, path, query: False
    one.renew()
    assert one.lost is None
    assert claim_in(s3, key).n_renewals == 2


@pytest.mark.parametrize("conditions", ["ignored", "unknown"])
def test_a_store_without_conditional_writes_gets_one_warning(s3, conditions, caplog):
    keeper.warn_once.cache_clear()
    s3.conditions, folder = conditions, Folder(s3.uri(conditions))
    with folder.claimed(), Folder(folder.uri).claimed():
        folder.write_bytes("x", b"1")
    assert [one.message.startswith("warning: bucket: ") for one in caplog.records] == [True]
    assert s3.keys(conditions) == [f"{conditions}/x"]


def test_other_stores_than_s3_get_one_warning(tmp_path, caplog):
    keeper.warn_once.cache_clear()
    with keeper.leased(None, "b/x", "", "gs://b/x") as check:
        check()
    (line,) = caplog.messages
    assert line.startswith("warning: gs://: only S3")


def test_a_bucket_that_is_missing_or_forbidden_is_told(s3):
    with pytest.raises(StoreError, match=r"s3://no-such-bucket/d: .*create the bucket first"):
        with Folder("s3://no-such-bucket/d").claimed():
            pass
    s3.fails = lambda method, path, query: True
    with pytest.raises(StoreError, match="check AWS_ACCESS_KEY_ID"):
        with Folder(s3.uri("forbidden")).claimed():
            pass
