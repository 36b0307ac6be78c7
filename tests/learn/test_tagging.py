"""Tracks in, scores out: as many at a time as memory takes, and the same whoever stands beside."""

from dataclasses import replace

import pyarrow as pa
import pytest

from pipeline.learn import tagger as stages
from pipeline.learn.tagger import TrackTagger, buffers_of
from pipeline.learn.tagging import tagging
from pipeline.learn.tracks import DESCRIBED
from tests.learn.test_engines import _threads as _threads  # a fixture
from tests.learn.test_engines import windows_for, write_model


@pytest.fixture
def how(tmp_path):
    """A model whose windows' scores and embeddings are kept."""
    return replace(tagging(write_model(tmp_path)[0]), keep_windows=True, embeddings=True)


def described(how, n_windows):
    """Return rows of DESCRIBED with so many windows each; with none a track has failed."""
    rows = []
    for k, n in enumerate(n_windows):
        said = {"status": "ok" if n else "failed", "reason": "ok" if n else "undecodable"}
        starts = {"n_windows": n, "starts_s": [0.5 * i for i in range(n)], "active": [True] * n}
        windows = windows_for(how.card, n=sum(n_windows))[k : k + n].tobytes()
        rows.append({"uri": f"{k}.mp3", **said, **starts, "windows": windows})
    return pa.Table.from_pylist(rows, DESCRIBED)


@pytest.mark.parametrize("n_windows", [[3, 0, 21, 9, 7], [0, 0]])
def test_long_tracks_come_to_the_model_in_groups(how, n_windows, monkeypatch):
    tracks, tagger, sizes = described(how, n_windows), TrackTagger(how), []
    keys = ["uri", "status", "labels", "scores", "peaks", "window_scores", "embedding"]
    at_once = tagger(tracks).select(keys)
    scores = tagger._engine.scores
    monkeypatch.setattr(stages, "_GROUP_WINDOWS", 16)
    monkeypatch.setattr(
        tagger._engine, "scores", lambda part: sizes.append(len(part)) or scores(part)
    )
    assert tagger(tracks).select(keys).equals(at_once)
    assert (sum(sizes), max(sizes)) == (sum(n_windows), min(16, sum(n_windows)))


def test_windows_are_read_where_they_lie(how):
    tracks = described(how, [2, 0, 3, 1])
    tracks = pa.concat_tables([tracks.slice(3), tracks.slice(1, 2), tracks.slice(0, 0)])
    values = list(buffers_of(tracks["windows"]))
    assert [value.to_pybytes() for value in values] == tracks["windows"].to_pylist()
    data = tracks["windows"].chunk(1).buffers()[2]
    assert data.address <= values[2].address < data.address + data.size
    assert list(buffers_of(described(how, [0, 0])["windows"])) == [b"", b""]
