"""Tracks in, their windows out: what lies in memory on the way."""

from pipeline.inference.tracks import described_rows
from tests.s3 import ENVIRONMENT, S3Server


def test_few_remote_tracks_lie_in_memory_at_once(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with S3Server() as server:
        server.fill([f"m/{k:02d}.mp3" for k in range(40)], b"x")
        rows = [
            {"uri": server.uri(f"m/{k:02d}.mp3"), "size_bytes": 1, "modified_ns": 1}
            for k in range(40)
        ]
        n_ahead, uris = [], []
        for row in described_rows(rows, [], lambda fingerprint: True):
            uris.append(row["uri"])
            n_ahead.append(len({path for _, path, _ in server.requests}) - len(uris))
            assert row["status"] == "same"
    assert uris == [row["uri"] for row in rows]
    assert max(n_ahead) <= 5
