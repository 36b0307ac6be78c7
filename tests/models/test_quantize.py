"""A model in int8 is the same model, nearly; a graph that is not its own is refused."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.errors import SpecMismatch, UsageError
from pipeline.inference.inference_config import inference_config
from pipeline.models.engines.engines import make_engine
from pipeline.models.engines.quantize import quantized_graph, save_quantized
from pipeline.models.model import load_card, load_model
from pipeline.store.folder import Folder
from tests.models.test_engines import _threads as _threads  # a fixture
from tests.models.test_engines import by_model, windows_for, write_model


def int8_of(folder, name):
    """Write a model, and another of it in int8."""
    uri, card = write_model(folder / "float", name)
    tagger, _ = load_model(uri)
    out = str(folder / "int8")
    files = quantized_graph(tagger, windows_for(card, n=40))
    new = save_quantized(Folder(uri), card, files, Folder(out), {"n_windows": 40})
    return SimpleNamespace(uri=uri, card=card, out=out, new=new)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A timm backbone on log-mels."""
    return int8_of(tmp_path_factory.mktemp("resnet"), "resnet10t")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn1d-descriptors", "crnn"])
def test_networks_of_ours_in_int8(name, tmp_path):
    """Those that scale rows need the rows' moments, which stay among the weights.

    A CPU without VNNI adds products in 16 bits, where an untrained GRU's overflow.
    """
    made = int8_of(tmp_path, name)
    windows = windows_for(made.card, n=40)
    scores, embeddings = make_engine(made.out, embeddings=True).scores(windows)
    expected = by_model(made.uri, windows)
    overflows = name == "crnn" and "vnni" not in Path("/proc/cpuinfo").read_text()
    assert 0 < np.abs(scores - expected).mean() < (0.15 if overflows else 0.05)
    assert embeddings.shape == (40, 128 if name == "cnn1d-descriptors" else 32)


def test_int8_is_close_and_its_id_says_so(made):
    windows = windows_for(made.card, n=40)
    engine = make_engine(made.out, embeddings=True)
    assert engine.about == {"name": "openvino", "precision": "int8", "note": ""}
    assert load_card(made.out).model_id == f"{made.card.model_id}-int8"
    scores, embeddings = engine.scores(windows)
    exact, seen = make_engine(made.uri, precision="f32", embeddings=True).scores(windows)
    assert 1e-4 < np.abs(scores - exact).mean() < 0.06
    assert np.corrcoef(scores.ravel(), exact.ravel())[0, 1] > 0.97
    assert np.corrcoef(embeddings.ravel(), seen.ravel())[0, 1] > 0.97
    alone = make_engine(made.out).scores(windows[39:])
    np.testing.assert_allclose(alone[0], scores[39:], atol=1e-5)


def test_its_card_is_the_models_but_for_what_it_is(made):
    card, was = load_card(made.out).to_dict(), made.card.to_dict()
    quantized = card.pop("quantized")
    assert card == {**was, "model_id": made.new.model_id}
    assert quantized["model_id"] == made.card.model_id
    assert quantized["calibration"] == {"n_windows": 40}
    for name, digest in quantized["sha256"].items():
        data = Folder(made.out).read_bytes(name)
        assert hashlib.sha256(data).hexdigest() == digest
    assert set(quantized["sha256"]) == {"model.int8.xml", "model.int8.bin"}
    assert len(Folder(made.out).read_bytes("model.int8.bin")) < 0.3 * len(
        Folder(made.out).read_bytes("model.safetensors")
    )


def test_the_weights_in_its_folder_still_run(made):
    windows = windows_for(made.card)
    for engine in ("torch", "openvino"):
        scores, _ = make_engine(made.out, engine=engine, precision="f32").scores(windows)
        np.testing.assert_allclose(scores, by_model(made.uri, windows), atol=1e-4)


def test_weights_of_another_model_beside_a_graph_are_refused(made, tmp_path):
    other, _ = write_model(tmp_path / "other", seed=5)
    Folder(other).write_json("model.json", load_card(made.out).to_dict())
    with pytest.raises(SpecMismatch, match=rf"not of {made.card.model_id}, which"):
        make_engine(other, precision="f32")
    with pytest.raises(SpecMismatch, match=rf"not of {made.card.model_id}, which"):
        save_quantized(Folder(other), made.card, {}, Folder(str(tmp_path / "out")), {})


def test_int8_is_not_passed_off_as_anything_else(made, monkeypatch):
    with pytest.raises(UsageError, match=r"runs by openvino, on CPUs: .* or take resnet10t-"):
        make_engine(made.out, engine="torch")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UsageError, match="not by openvino: it is not installed"):
        make_engine(made.out)


def test_rows_that_say_int8_are_of_int8(made):
    with pytest.raises(UsageError, match=f"--precision f32: .*; take {made.card.model_id}, which"):
        replace(inference_config(made.out), precision="f32")


@pytest.mark.parametrize("name", ["model.int8.xml", "model.int8.bin"])
def test_a_graph_that_is_not_the_models_is_refused(name, made, tmp_path):
    for file in ("model.json", "model.int8.xml", "model.int8.bin"):
        (tmp_path / file).write_bytes(Folder(made.out).read_bytes(file))
    assert make_engine(str(tmp_path)).about["precision"] == "int8"
    data = bytearray((tmp_path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SpecMismatch, match=rf"{name}: not the graph that model\.json names"):
        make_engine(str(tmp_path))


def test_a_graph_of_other_classes_is_refused(made, tmp_path):
    for file in ("model.json", "model.int8.xml", "model.int8.bin"):
        (tmp_path / file).write_bytes(Folder(made.out).read_bytes(file))
    values = json.loads((tmp_path / "model.json").read_text())
    values["architecture"]["n_classes"] = 12
    (tmp_path / "model.json").write_text(json.dumps(values))
    with pytest.raises(SpecMismatch, match=r"a graph of 11 classes; model\.json has 12"):
        make_engine(str(tmp_path))


def test_what_cannot_be_made_int8_says_why(tmp_path, made, monkeypatch):
    uri, card = write_model(tmp_path, "mlp")
    with pytest.raises(UsageError, match="mlp has no int8 graph: mlp is computed in float64"):
        quantized_graph(load_model(uri)[0], windows_for(card, n=40))
    tagger, card = load_model(made.uri)
    with pytest.raises(UsageError, match="3 windows to calibrate with: expected at least 8"):
        quantized_graph(tagger, windows_for(card, n=3))
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(UsageError, match=r"needs nncf.*pip install '.\[int8\]'"):
        quantized_graph(tagger, windows_for(card, n=40))


@pytest.mark.slow
def test_calibration_leaves_nothing_at_home_and_says_nothing(tmp_path):
    """In a process of its own, as nncf switches its telemetry off by itself under pytest."""
    uri, _ = write_model(tmp_path / "model", "cnn1d-descriptors")
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import sys, numpy as np\n"
        "from pipeline.models.model import load_model\n"
        "from pipeline.models.engines.quantize import quantized_graph\n"
        "windows = np.random.default_rng(0).normal(size=(8, 40, 87)).astype('<f4')\n"
        f"print(len(quantized_graph(load_model({uri!r})[0], windows)))\n"
        "print([m for m, x in sys.modules.items() if 'openvino_telemetry' in m and x])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["2", "[]"], done.stderr
    assert done.stderr == ""
    assert not list(home.iterdir())
