"""The word `starter`: the model in the package of whichever process asks, wherever that lies."""

import os
import pickle
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from jobs import tag_catalog as job
from pipeline.errors import UsageError
from pipeline.flows.evaluation.evaluate import EvaluateConfig
from pipeline.flows.tagging.tag import TagConfig
from pipeline.inference.inference_config import inference_config
from pipeline.inference.tagger import TrackTagger
from pipeline.models import starter
from pipeline.models.model import load_card, load_model
from pipeline.tagging.retag import RetagConfig
from tests.models.test_engines import _threads as _threads  # a fixture
from tests.models.test_engines import write_model

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Let the package's starter be a small model of random weights."""
    folder = tmp_path / "package" / "starter"
    card = write_model(folder)[1]
    monkeypatch.setattr(starter, "_FOLDER", folder)
    return card


def test_without_a_model_the_starter_tags(stand_in, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inference = inference_config()
    assert inference.card == stand_in == load_model("starter")[1]
    assert (inference.model, pickle.loads(pickle.dumps(inference)).model) == ("starter", "starter")
    assert TrackTagger()._inference == TrackTagger(inference)._inference == inference
    assert TagConfig("music", out="tags").model == "starter"
    flags = job._parser().parse_args(["--catalog", "music", "--out", "tags"])
    assert flags.model == "starter"
    with pytest.raises(UsageError, match="--out: expected a folder"):
        TagConfig("music")


def test_it_can_be_one_of_several(stand_in, tmp_path):
    other = write_model(tmp_path / "other", seed=1)[0]
    inference = inference_config(f"starter,{other}")
    assert inference.model == f"starter,{other}"
    assert {one["model"] for one in inference.card.to_dict()["members"]} == {"starter", other}


def test_a_folder_of_that_name_is_named_by_its_path(stand_in, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = write_model(tmp_path / "starter", seed=1)[1]
    assert load_card("./starter") == mine != load_card("starter")


def test_a_comma_in_a_folder_s_own_name(tmp_path):
    folder, card = write_model(tmp_path / "a,b")
    assert inference_config(folder).card == card
    with pytest.raises(UsageError, match="expected folders with a comma between them"):
        inference_config("a,,b")


def test_a_package_without_it_says_so_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(starter, "_FOLDER", tmp_path)
    for ask in (load_card, inference_config, starter.model_folders):
        with pytest.raises(UsageError, match=f"the package has none in {tmp_path}") as said:
            ask("starter")
        assert "\n" not in str(said.value)
    assert not starter.has_starter()


def test_what_is_found_for_it_is_not_written_into_the_package(stand_in):
    with pytest.raises(UsageError, match=r"--keep-thresholds: the starter is part of the package"):
        EvaluateConfig("starter", "o", "d", thresholds="tuned", keep_thresholds=True)
    EvaluateConfig("starter,b", "o", "d", thresholds="tuned", keep_thresholds=True)
    RetagConfig("t", "o", model="starter")


def test_each_process_takes_that_of_its_own_package(tmp_path):
    """As on a cluster, where the package lies elsewhere than where the job was started."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=ignored)
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas", ignore=ignored)
    shutil.rmtree(tmp_path / "pipeline" / "starter", ignore_errors=True)
    card = write_model(tmp_path / "pipeline" / "starter", seed=3)[1]
    code = "from pipeline import inference_config; print(inference_config().card.model_id)"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == card.model_id


def test_the_wheel_carries_it():
    package_data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "starter/*" in package_data["package-data"]["pipeline"]


@pytest.mark.skipif(not starter.has_starter(), reason="the package has no starter yet")
def test_the_package_s_own_is_small_and_of_the_default_classes():
    sizes = [path.stat().st_size for path in Path(starter.model_uri("starter")).iterdir()]
    assert sum(sizes) <= 8 << 20
    assert len(load_card("starter").vocabulary.codes) == 11
