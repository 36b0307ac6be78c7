"""What becomes of a job that loses its lease: test_lease runs this in a process of its own."""

import pytest

from pipeline.errors import StoreError
from pipeline.store.claims.keeper import kept
from pipeline.store.claims.lease import LeaseTimes
from tests.store.test_lease import ELSEWHERE, OFTEN, claim_in, key, lease_of, put, s3, server
from tests.waiting import wait_for

__all__ = ["key", "s3", "server"]  # fixtures


def test_who_lost_it_is_stopped_in_the_middle_of_a_wait(s3, key):
    one = lease_of(s3, key, OFTEN)
    assert one.take()
    told = r"cannot write s3://there: this job lost its lease.*taken over: tag on elsewhere"
    with pytest.raises(StoreError, match=told):
        with kept(one):
            put(s3, key, ELSEWHERE)
            wait_for(lambda: False)
    assert claim_in(s3, key) == ELSEWHERE  # it is not ended


def test_the_outer_of_two_claims_stops_the_job_too(s3, key):
    outer, inner = lease_of(s3, key, OFTEN), lease_of(s3, f"{key}/inner")
    assert outer.take() and inner.take()
    with pytest.raises(StoreError, match="taken over"):
        with kept(outer), kept(inner):
            put(s3, key, ELSEWHERE)
            wait_for(lambda: False)
    assert claim_in(s3, f"{key}/inner").is_ended


def test_a_store_that_does_not_answer_for_long_stops_the_job(s3, key):
    one = lease_of(s3, key, LeaseTimes(renew_s=0.02, stop_s=0.5))
    assert one.take()
    s3.fails = lambda method, path, query: method == "PUT"
    with pytest.raises(StoreError, match=r"could not be asked for \d+ s: HTTP status 403"):
        with kept(one):
            wait_for(lambda: False)
