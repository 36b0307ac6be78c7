"""A folder of kits becomes a dataset, a regressor and its errors, by the jobs."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from jobs import build_subset, evaluate, harness, tag_catalog, train
from tests.training.test_regression import RATE_HZ, drum

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kits(tmp_path_factory):
    """Give eight kits of three sounds, and in one of them a silent one."""
    folder = tmp_path_factory.mktemp("kits")
    for k in range(8):
        (folder / f"kit{k}").mkdir()
        for n in range(3):
            sound = drum(80 * 1.3 ** (k + 3 * n), 0.03 + 0.01 * k)
            soundfile.write(folder / f"kit{k}" / f"{n}.wav", sound, RATE_HZ)
    soundfile.write(folder / "kit0" / "silent.wav", np.zeros(RATE_HZ // 2), RATE_HZ)
    return folder


def test_from_kits_to_errors(kits, ray_local, tmp_path, capsys):
    dataset, model, out = (str(tmp_path / name) for name in ("dataset", "model", "out"))
    flags = ["--source", f"one-shots:{kits}", "--out", dataset]
    assert build_subset.main(flags) == harness.OK
    flags = ["--dataset", dataset, "--out", model, "--preset", "timbral-small", "--epochs", "3"]
    assert train.main(flags) == harness.OK
    said = capsys.readouterr().out
    assert re.search(r"best epoch \d of 3: val mean absolute error \d\.\d{4} of targets", said)
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    assert card["regression"]["targets"][0]["name"] == "depth"
    assert card["classes"] == [] and card["architecture"]["output"] == "linear"
    assert train.main(flags) == harness.OK and "nothing to do" in capsys.readouterr().out

    flags = ["--model", model, "--dataset", dataset, "--out", out]
    for name in ("metrics.json", "scores.parquet"):  # as a tagger's evaluation leaves them
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / name).write_text("{}")
    assert evaluate.main([*flags, "--threshold", "0.5"]) == harness.USAGE
    assert "--threshold: of taggers; timbral-small-" in capsys.readouterr().err
    assert evaluate.main(flags) == harness.OK
    assert "mean absolute error" in capsys.readouterr().out
    assert not {"metrics.json", "scores.parquet"} & {one.name for one in Path(out).iterdir()}
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    table = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    rows = [row for row in table if row["truth"]["depth"] is not None]
    assert len(rows) == record["n_clips"]
    errors = [abs(row["truth"]["depth"] - row["predicted"]["depth"]) for row in rows]
    assert record["targets"][0]["mae_unit"] == pytest.approx(np.mean(errors), rel=1e-4)
    assert "Measured and given by the model" in (tmp_path / "out" / "report.html").read_text()

    flags = ["--catalog", str(kits), "--model", model, "--out", str(tmp_path / "tags")]
    assert tag_catalog.main(flags) == harness.USAGE
    assert "is a regressor of depth" in capsys.readouterr().err
