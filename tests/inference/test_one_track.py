"""`TrackTagger.tag`: a path, a file's bytes or samples in, the same row of TAGS out."""

import numpy as np
import pytest

from pipeline.audio.decoding.decode import decode
from pipeline.audio.description.timbral.descriptors import timbral_descriptors
from pipeline.errors import UsageError
from pipeline.inference.inference_config import inference_config
from pipeline.inference.tagger import TrackTagger
from schemas.tags import tags_schema
from tests.conftest import tones
from tests.models.test_engines import write_model

RATE_HZ = 44_100


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    return TrackTagger(inference_config(write_model(tmp_path_factory.mktemp("model"))[0]))


def test_a_path_bytes_and_samples_are_one_track(tagger, make_wav):
    path = make_wav("a.wav", 3, 440, 660)
    rows = [tagger.tag(source) for source in (path, str(path), path.read_bytes())]
    assert [row["uri"] for row in rows] == [str(path), str(path), ""]
    assert rows[0].keys() == set(tags_schema(tagger._inference.codes).names)
    assert {row["status"] for row in rows} == {"ok"}
    assert rows[0]["scores"] == rows[1]["scores"] == rows[2]["scores"]
    samples = decode(path, sample_rate_hz=RATE_HZ)
    row = tagger.tag(samples, sample_rate_hz=RATE_HZ)
    assert (row["status"], row["duration_s"]) == ("ok", rows[0]["duration_s"])
    assert row["scores"] == pytest.approx(rows[0]["scores"], abs=1e-5)
    stereo = tagger.tag(np.stack([samples, samples], axis=1), sample_rate_hz=RATE_HZ)
    assert stereo["scores"] == pytest.approx(row["scores"], abs=1e-5)


def test_how_a_track_sounds_is_in_its_row_where_it_is_asked_for(tmp_path):
    """Of a track that is silent but for 5 s, whose windows of silence count: what sounds."""
    config = inference_config(write_model(tmp_path)[0], attributes=["timbral"])
    assert config.activity is None
    sound, silence = tones(5, 440, 660), np.zeros(25 * RATE_HZ, np.float32)
    samples = np.concatenate([silence, sound, silence])
    row = TrackTagger(config).tag(samples, sample_rate_hz=RATE_HZ)
    expected = timbral_descriptors(sound, RATE_HZ)
    found = {name: row[f"timbral_{name}"] for name in expected}
    assert found == pytest.approx(expected, rel=1e-4)
    assert row["attributes"] == ["timbral"] and row["status"] == "ok"
    with pytest.raises(UsageError, match="--attributes tone: expected some of timbral"):
        inference_config(attributes=["tone"])


def test_a_relative_path_is_that_of_the_caller_now(tagger, make_wav, monkeypatch):
    path = make_wav("a.wav", 3, 440, 660)
    absolute = tagger.tag(path)  # the decoder's process runs from here on
    monkeypatch.chdir(path.parent)
    row = tagger.tag(path.name)
    assert (row["status"], row["uri"]) == ("ok", path.name)
    assert row["scores"] == absolute["scores"]


def test_what_cannot_be_read_is_a_row(tagger, tmp_path):
    assert tagger.tag(b"no music")["reason"] == "not_audio"
    assert tagger.tag(tmp_path / "nowhere.mp3")["reason"] == "connection"  # a disk not mounted?
    (tmp_path / "other.mp3").touch()
    assert tagger.tag(tmp_path / "nowhere.mp3")["reason"] == "unreadable"
    assert tagger.tag(np.zeros(0, np.float32), sample_rate_hz=RATE_HZ)["status"] == "failed"


def test_samples_have_a_rate_and_a_shape(tagger):
    with pytest.raises(UsageError, match="give its sample_rate_hz"):
        tagger.tag(np.zeros(10, np.float32))
    with pytest.raises(UsageError, match="expected \\[n_samples\\]"):
        tagger.tag(np.zeros((1, 1, 1), np.float32), sample_rate_hz=RATE_HZ)
