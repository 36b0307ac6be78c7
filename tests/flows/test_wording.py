"""What users are told where an input is of another kind than a job takes: the file, the cure."""

import io
from pathlib import Path

import pytest
from PIL import Image

from jobs import compare, export, harness
from pipeline.audio.decoding.decode import decode
from pipeline.errors import DecodeError, Reason, UsageError
from pipeline.flows.evaluation.quantize import QuantizeConfig, quantize
from pipeline.report.tagging.failures import REASONS
from pipeline.store.out import _others
from tests.models.test_engines import write_model


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (["hop_s"], "another hop_s"),
        (["thresholds"], "other thresholds"),
        (["aggregation", "gate"], "other aggregation, gate"),
    ],
)
def test_what_is_other(keys, says):
    assert _others(keys) == says


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_is_told_as_one(kind):
    image = io.BytesIO()
    Image.effect_noise((300, 200), 50).save(image, kind)
    with pytest.raises(DecodeError) as caught:
        decode(io.BytesIO(image.getvalue()), sample_rate_hz=16_000)
    assert caught.value.detail == "a picture, or no form of audio"


def test_a_track_of_which_nothing_decodes_is_not_said_to_decode_in_part():
    assert REASONS[Reason.UNDECODABLE].startswith("FFmpeg does not decode it")


@pytest.mark.parametrize("below", ["", "/below"])
def test_a_file_in_the_place_of_a_folder(tmp_path, capsys, below):
    (tmp_path / "file").write_text("x")
    tags, out = f"{tmp_path}/file{below}", str(tmp_path / "out")
    assert export.main(["--tags", tags, "--format", "csv", "--out", out]) == harness.USAGE
    assert compare.main(["--a", tags, "--b", tags, "--out", out]) == harness.USAGE
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert "that is a file, or lies below one; name a folder" in line and "Errno" not in line
    assert not Path(out).exists()


def test_a_forest_is_refused_before_anything_is_read(tmp_path):
    uri, card = write_model(tmp_path / "m", "mlp")
    with pytest.raises(UsageError, match=f"{card.model_id} is computed in float64.*int8 is for"):
        quantize(QuantizeConfig(uri, str(tmp_path / "nowhere"), str(tmp_path / "out")))
