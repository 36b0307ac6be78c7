"""Tracks in, scores out: as many at a time as memory takes, and the same whoever stands beside."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit, logit

from pipeline.audio.spectra.windows import JoinedWindows, WindowSpec
from pipeline.binaries import buffers_of
from pipeline.errors import UsageError
from pipeline.evaluation.labels.aggregate import TRACKS, aggregate
from pipeline.evaluation.labels.calibration import calibration_errors, fit
from pipeline.evaluation.labels.labelling import labels_of_tags
from pipeline.inference import tagger as stages
from pipeline.inference.inference_config import calibrated, inference_config
from pipeline.inference.tagger import TrackTagger, scored_row
from pipeline.inference.tracks import DESCRIBED
from pipeline.models.engines.engines import BATCH
from pipeline.models.model import load_card, save_card
from pipeline.selection.vocabulary import default_vocabulary
from pipeline.store.folder import Folder
from schemas.tags import tags_schema
from tests.models.test_engines import _threads as _threads  # a fixture
from tests.models.test_engines import windows_for, write_model

CODES = default_vocabulary().codes


@pytest.fixture
def inference(tmp_path):
    """A model whose windows' scores and embeddings are kept."""
    return replace(inference_config(write_model(tmp_path)[0]), keep_windows=True, embeddings=True)


def described(inference, n_windows):
    """Return rows of DESCRIBED with so many windows each; with none a track has failed."""
    rows = []
    for k, n in enumerate(n_windows):
        said = {"status": "ok" if n else "failed", "reason": "ok" if n else "undecodable"}
        starts = {"n_windows": n, "starts_s": [0.5 * i for i in range(n)], "active": [True] * n}
        windows = windows_for(inference.card, n=sum(n_windows))[k : k + n]
        side_by_side = np.moveaxis(windows, 0, 1).tobytes()
        columns = [i * windows.shape[-1] for i in range(n)]
        matrix = {"matrix": side_by_side, "columns": columns}
        rows.append({"uri": f"{k}.mp3", **said, **starts, **matrix})
    return pa.Table.from_pylist(rows, DESCRIBED)


def numbers(tagged):
    """Return all scores and embeddings of rows of TAGS, one after the other."""
    parts = [np.zeros(0)]
    for row in tagged.select(["scores", "peaks", "window_scores", "embedding"]).to_pylist():
        parts += [list(row[key].values()) for key in ("scores", "peaks") if row[key]]
        parts += [np.frombuffer(row["window_scores"] or b"", np.float32), row["embedding"] or []]
    return np.concatenate(parts)


@pytest.mark.parametrize("n_windows", [[3, 0, 21, 9, 7], [0, 0]])
def test_windows_of_all_tracks_are_cut_a_batch_at_a_time(inference, n_windows, monkeypatch):
    class Counted(JoinedWindows):
        def __getitem__(self, wanted):
            sizes.append(len(found := super().__getitem__(wanted)))
            return found

    sizes = []
    inference = replace(inference, aggregation="s2-10s-top3")
    tracks, tagger = described(inference, n_windows), TrackTagger(inference)
    alone = pa.concat_tables([tagger(tracks.slice(k, 1)) for k in range(len(n_windows))])
    monkeypatch.setattr(stages, "JoinedWindows", Counted)
    together, words = tagger(tracks), ["uri", "status", "labels"]
    assert together.select(words).to_pylist() == alone.select(words).to_pylist()
    np.testing.assert_allclose(numbers(together), numbers(alone), rtol=0, atol=1e-5)
    assert (sum(sizes), max(sizes, default=0)) == (sum(n_windows), min(BATCH, sum(n_windows)))


def test_windows_are_read_where_they_lie(inference):
    tracks = described(inference, [2, 0, 3, 1])
    tracks = pa.concat_tables([tracks.slice(3), tracks.slice(1, 2), tracks.slice(0, 0)])
    values = list(buffers_of(tracks["matrix"]))
    assert [value.to_pybytes() for value in values] == tracks["matrix"].to_pylist()
    data = tracks["matrix"].chunk(1).buffers()[2]
    assert data.address <= values[2].address < data.address + data.size
    assert list(buffers_of(described(inference, [0, 0])["matrix"])) == [b"", b""]


def test_whole_tracks_go_by_segments(tmp_path):
    folder = write_model(tmp_path)[0]
    card = load_card(folder)
    save_card(Folder(folder), replace(card, thresholds={"s2": dict.fromkeys(CODES, 0.4)}))
    inference = inference_config(folder, whole_tracks=True)
    assert (inference_config(folder).aggregation, inference.aggregation) == ("s2", TRACKS)
    assert inference.thresholds == (0.4,) * len(
        CODES
    )  # of a model.json that is older than the name
    assert inference_config(folder, "max", whole_tracks=True).thresholds == (0.5,) * len(CODES)
    save_card(Folder(folder), replace(card, aggregation="s1"))
    assert inference_config(folder, whole_tracks=True).aggregation == "s1"


def test_a_track_s_segments_are_of_active_windows_in_time(inference):
    """A class of 30 of 120 s: no label by S2, one by segments of 10 s, which are 20 windows."""
    inference = replace(
        inference, aggregation=TRACKS, windows=WindowSpec(1.0, 0.5), min_confidence=0.2
    )
    scores = np.full((240, len(CODES)), 0.01, np.float32)
    scores[:, 0], scores[80:140, 1] = 0.9, 0.8
    active = np.arange(240) % 7 > 0
    row = {"status": "ok", "reason": "ok", "active": active.tolist()}
    found = scored_row(row, [scores], None, inference)
    assert found["labels"] == CODES[:2]
    expected = aggregate(scores[active], TRACKS, hop_s=0.5)
    assert list(found["scores"].values()) == pytest.approx(expected.tolist())
    assert (
        scored_row(row, [scores], None, replace(inference, aggregation="s2"))["labels"] == CODES[:1]
    )


def overconfident(seed, n_tracks=300):
    """Return truth drawn with known probabilities, and windows whose scores are too sure of it."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.02, 0.98, (n_tracks, len(CODES)))
    windows = expit(3 * logit(p) + 1).astype(np.float32)
    return rng.random(p.shape) < p, windows[:, None]


def test_calibrated_scores_are_probabilities_and_the_labels_stay(tmp_path):
    folder = write_model(tmp_path)[0]
    with pytest.raises(UsageError, match=r"no calibration of s1; python -m jobs.evaluate .*--keep"):
        calibrated(inference_config(folder, "s1"))
    truth, windows = overconfident(1)
    found = fit(truth, windows[:, 0], class_codes=CODES)
    limits = {"s1": dict(zip(CODES, np.linspace(0.1, 0.95, len(CODES)).tolist(), strict=True))}
    save_card(
        Folder(folder),
        replace(load_card(folder), thresholds=limits, calibration={"s1": found.to_dict()}),
    )
    plain = replace(inference_config(folder, "s1"), min_confidence=0.1)
    inference = calibrated(plain)
    truth, windows = overconfident(2)
    row = {"status": "ok", "reason": "ok", "active": [True]}
    raw, mapped = (
        [scored_row({**row, "uri": f"{k}"}, [w], None, one) for k, w in enumerate(windows)]
        for one in (plain, inference)
    )
    errors = [
        np.mean(calibration_errors(truth, np.array([list(r["scores"].values()) for r in rows])))
        for rows in (raw, mapped)
    ]
    assert errors[1] < 0.08 < errors[0] / 2
    assert [row["labels"] for row in mapped] == [row["labels"] for row in raw]
    assert [row["peaks"] for row in mapped] == [row["peaks"] for row in raw]
    tags = pa.Table.from_pylist(mapped, tags_schema(CODES))
    again = labels_of_tags(
        tags, thresholds=inference.identity["thresholds"], min_confidence=inference.min_confidence
    )
    assert again.to_pylist() == [row["labels"] for row in raw]
    assert inference.identity["calibration"] == found.to_dict()
    assert "calibration" not in plain.identity
    asked = calibrated(inference_config(folder, "s1", 0.7), threshold=0.7)
    assert asked.thresholds == (0.7,) * len(CODES)
    silent = scored_row({**row, "active": [False]}, [windows[0]], None, inference)
    assert set(silent["scores"].values()) == {0.0}
