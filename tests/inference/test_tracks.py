"""Tracks in, their windows out: what lies in memory on the way."""

import pyarrow as pa
import pytest

from pipeline.audio.decoding.fingerprint import byte_fingerprint
from pipeline.inference.track_description import Description
from pipeline.inference.tracks import described_rows
from pipeline.store.tags.known import Fingerprints, KnownContents, content_hashes
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
