"""What of a catalogue is left: new, changed, to be tried again; each once, whatever the order."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.store.catalogue import TRACKS
from pipeline.store.tags.known import KNOWN, Fingerprints, Known, content_hashes
from pipeline.store.tags.work.worklist import Sizes, plan_work


def print_of(text: str) -> str:
    return f"blake2b:{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


def tracks(*rows: tuple[str, int | None]) -> pa.Table:
    return pa.Table.from_pylist(
        [{"uri": u, "size_bytes": n, "modified_ns": n} for u, n in rows], TRACKS
    )


def known(*rows: tuple[str, int | None, str, int], attributes: tuple[str, ...] = ()) -> Known:
    rows_ = [
        {"uri": u, "size_bytes": n, "modified_ns": n, "fingerprint": print_of(u), "reason": s,
         "status": s if s == "ok" else "failed", "attempts": a,
         "duration_s": 2.0 if s == "ok" else None,
         "attributes": ["timbral"] if u in attributes else None}
        for u, n, s, a in rows
    ]  # fmt: skip
    return Known.of([pa.Table.from_pylist(rows_, KNOWN)])


def test_new_changed_and_failed():
    there = known(("a", 1, "ok", 1), ("b", 1, "ok", 2), ("c", 1, "failed", 3), ("gone", 1, "ok", 1))
    catalogue = [tracks(("new", 1), ("b", 2)), tracks(("c", 1), ("a", 1))]
    work = plan_work(catalogue, there, retry_failed=False)
    assert work.left.to_pylist() == [
        {"uri": "new", "size_bytes": 1, "modified_ns": 1, "attempts": 0},
        {"uri": "b", "size_bytes": 2, "modified_ns": 2, "attempts": 0},
    ]
    assert (work.n_tracks, work.n_unchanged) == (4, 2)
    assert (work.n_changed, work.n_retried, work.n_removed) == (1, 0, 1)
    again = plan_work(catalogue, there, retry_failed=True)
    assert again.left["uri"].to_pylist() == ["new", "b", "c"]
    assert again.left["attempts"].to_pylist() == [0, 0, 3]
    assert (again.n_changed, again.n_retried) == (1, 1)


def test_tracks_without_the_attributes_that_are_asked_for():
    rows = [("a", 1, "ok", 1), ("b", 1, "ok", 2), ("c", 1, "failed", 3), ("d", 1, "ok", 1)]
    there = known(*rows, attributes=("a", "d"))
    catalogue = [tracks(("a", 1), ("b", 1), ("c", 1), ("d", 2), ("new", 1))]
    work = plan_work(catalogue, there, retry_failed=False, attributes=["timbral"])
    assert work.left["uri"].to_pylist() == ["b", "d", "new"]
    assert work.left["attempts"].to_pylist() == [2, 0, 0]
    assert (work.n_changed, work.n_retried, work.n_undescribed) == (1, 0, 1)
    plain = plan_work(catalogue, there, retry_failed=False)
    assert plain.left["uri"].to_pylist() == ["d", "new"]
    assert plain.n_undescribed == 0
    assert print_of("b") in there.rows.known_contents()
    assert print_of("b") not in there.rows.known_contents(["timbral"])
    assert print_of("a") in there.rows.known_contents(["timbral"])


def test_faults_of_the_line_are_tried_again_by_themselves():
    reasons = ["ok", "connection", "timeout", "server_error", "not_found", "unreadable"]
    there = known(*((reason, 1, reason, 2) for reason in reasons))
    work = plan_work([tracks(*((reason, 1) for reason in reasons))], there, retry_failed=False)
    assert work.left["uri"].to_pylist() == ["connection", "timeout", "server_error"]
    assert work.left["attempts"].to_pylist() == [2, 2, 2]
    assert (work.n_changed, work.n_retried) == (0, 3)


def test_a_track_named_twice_is_done_once():
    catalogue = [tracks(("a", 1), ("b", 1), ("a", 1)), tracks(("b", 1), ("c", 1))]
    work = plan_work(catalogue, known(("c", 1, "ok", 1)), retry_failed=False)
    assert work.left["uri"].to_pylist() == ["a", "b"]
    assert (work.n_tracks, work.n_unchanged) == (3, 1)


def test_unknown_size_and_time_are_a_state_of_their_own():
    there = known(("s3://b/x", None, "ok", 1))
    assert plan_work([tracks(("s3://b/x", None))], there, retry_failed=False).left.num_rows == 0
    assert plan_work([tracks(("s3://b/x", 1))], there, retry_failed=False).left.num_rows == 1


def test_nothing_known_and_nothing_there():
    work = plan_work([tracks(("a", 1))], Known.of([]), retry_failed=True)
    assert (work.left.num_rows, work.n_removed) == (1, 0)
    assert plan_work([], Known.of([]), retry_failed=True).n_tracks == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.text(max_size=3), st.integers(0, 2)), max_size=12),
    st.dictionaries(st.text(max_size=3), st.tuples(st.integers(0, 2), st.booleans()), max_size=12),
    st.booleans(),
)
def test_as_plain_python_would_say(catalogue, before, retry):
    there = known(*((u, n, "ok" if ok else "failed", 1) for u, (n, ok) in before.items()))
    first = {}
    for uri, n in catalogue:
        first.setdefault(uri, n)
    catalogue = [(uri, first[uri]) for uri, _ in catalogue]
    left = [
        uri for uri, n in first.items()
        if uri not in before or before[uri][0] != n or (retry and not before[uri][1])
    ]  # fmt: skip
    work = plan_work([tracks(row) for row in catalogue], there, retry_failed=retry)
    assert work.left["uri"].to_pylist() == left
    assert work.n_tracks == len(first)
    assert work.n_removed == len(before.keys() - first.keys())


def test_fingerprints_are_compared_to_the_last_bit():
    table = content_hashes(pa.array([print_of("a"), print_of("b"), "blake2b:" + "0" * 32]))
    prints = Fingerprints(table)
    assert print_of("a") in prints
    assert print_of("c") not in prints
    assert "blake2b:" + "0" * 32 in prints
    assert "blake2b:" + "0" * 31 + "1" not in prints
    assert print_of("a") not in Fingerprints(np.zeros((0, 2), np.uint64))


def test_only_what_is_ok_is_known_content():
    there = known(("a", 1, "ok", 1), ("b", 1, "failed", 1))
    assert print_of("a") in there.rows.known_contents()
    assert print_of("b") not in there.rows.known_contents()


def test_hours_are_guessed_from_what_is_known_or_from_the_format():
    there = known(("a.mp3", 1000, "ok", 1), ("b.mp3", 9, "failed", 1))
    assert Sizes.of(tracks(("x.wav", 500))).audio_s(there.totals) == pytest.approx(1.0)
    nothing = Known.of([]).totals
    assert Sizes.of(tracks(("x.WAV", 1_300_000), ("y", None))).audio_s(nothing) == pytest.approx(10)
    assert Sizes.of(tracks(("x.mp3", 240_000))).audio_s(nothing) == pytest.approx(10)
