"""Tracks in, their windows out: what lies in memory on the way."""

import pyarrow as pa
import pytest

from pipeline.audio.decoding.fingerprint import byte_fingerprint, packet_fingerprint
from pipeline.audio.decoding.guard import Guard
from pipeline.audio.spectra.logmel import compile_kernel
from pipeline.inference.track_description import Description, computed
from pipeline.inference.tracks import _fingerprints, described_rows, track_of
from pipeline.store.tags.known import NO_CONTENTS, Fingerprints, KnownContents, content_hashes
from tests.s3 import ENVIRONMENT, S3Server


@pytest.mark.parametrize(("size_bytes", "most"), [(1, 5), (100 << 20, 2), (1 << 30, 1), (None, 5)])
def test_few_remote_tracks_lie_in_memory_at_once(monkeypatch, size_bytes, most):
    """Five small ones, two of 100 MiB, or one that is larger than all that may be ahead."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    known = KnownContents([Fingerprints(content_hashes(pa.array([byte_fingerprint(b"x")])))])
    with S3Server() as server:
        server.fill([f"m/{k:02d}.mp3" for k in range(40)], b"x")
        rows = [
            {"uri": server.uri(f"m/{k:02d}.mp3"), "size_bytes": size_bytes, "modified_ns": 1}
            for k in range(40)
        ]
        n_ahead, uris = [], []
        for row in described_rows(rows, Description([]), known):
            uris.append(row["uri"])
            n_ahead.append(len({path for _, path, _ in server.requests}) - len(uris))
            assert row["status"] == "same"
    assert uris == [row["uri"] for row in rows]
    assert max(n_ahead) <= most


def test_a_file_that_cannot_be_taken_apart_in_time_is_known_by_its_bytes(make_wav):
    """The same as where it kills the process that takes it apart."""
    path = make_wav("a.wav", 1, 440)
    with Guard(timeout_s=0) as guard:
        row = _fingerprints(path, guard, NO_CONTENTS)
    assert (row["fingerprint"], row["known_as"]) == (byte_fingerprint(path), None)


def test_a_file_is_hashed_by_its_bytes_only_where_rows_are_known_by_theirs(make_wav):
    path = make_wav("a.wav", 1, 440)
    content = content_hashes(pa.array([byte_fingerprint(path)]))
    with Guard() as guard:
        found = [
            _fingerprints(path, guard, KnownContents([Fingerprints(content, has_byte_hashes=has)]))
            for has in (True, False)
        ]
    assert [row["known_as"] for row in found] == [byte_fingerprint(path), None]
    assert {row["fingerprint"] for row in found} == {packet_fingerprint(path)}


class KilledAtFirst(Guard):
    """A guard whose process somebody kills at its first calls."""

    n_kills = 1

    def _ready(self):
        line = super()._ready()
        if self._n_calls <= self.n_kills:
            self._child.kill()
        return line


@pytest.mark.parametrize(("n_kills", "of"), [(2, packet_fingerprint), (3, byte_fingerprint)])
def test_a_file_is_known_by_its_packets_though_a_process_was_killed(make_wav, n_kills, of):
    """Not by whoever kills two: only a file at which three die is to blame, and decoded so."""
    path = make_wav("a.wav", 1, 440)
    with KilledAtFirst() as guard:
        guard.n_kills = n_kills
        assert _fingerprints(path, guard, NO_CONTENTS)["fingerprint"] == of(path)


def test_what_is_compiled_takes_no_track_s_time(make_wav, monkeypatch):
    """A busy machine compiles for minutes: its first tracks were failed as too slow."""
    called = []

    class Watched(Guard):
        def prepare(self, function):
            called.append(function)

        def retried(self, function, *args):
            called.append(function)
            return super().retried(function, *args)

    with Watched() as guard:
        monkeypatch.setattr("pipeline.inference.tracks._guard", lambda _: guard)
        rows = [track_of(make_wav("a.wav", 1, 440), None)]
        list(described_rows(rows, Description([]), NO_CONTENTS))
    assert called[-2:] == [compile_kernel, computed]
