"""Whatever runs a network, its scores are the same; what it cannot run, it says."""

import os
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounter

from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import UsageError
from pipeline.models.engines import engines, graphs
from pipeline.models.engines.engines import TorchEngine, make_engine
from pipeline.models.engines.graphs import best_precision
from pipeline.models.model import Architecture, ModelCard, Tagger, load_model, save_model
from pipeline.selection.vocabulary import default_vocabulary
from pipeline.store.folder import Folder
from pipeline.training.recipes import input_spec_of
from tests.marks import slow

CPU = torch.device("cpu")
N = 11
"""Windows: a batch, and a part of one."""


@pytest.fixture(autouse=True)
def _threads():
    """Engines on a CPU leave torch with one thread."""
    n = torch.get_num_threads()
    yield
    torch.set_num_threads(n)


def write_model(path, name="resnet10t", *, seed=0):
    """Write a model of random weights whose scores differ from window to window."""
    torch.manual_seed(seed)
    input_spec, spec = input_spec_of(name, LogMelSpec()), WindowSpec()
    shape = (input_spec.n_rows, spec.n_frames(input_spec))
    is_db = isinstance(input_spec, LogMelInput)
    tagger = Tagger(Architecture(name, 11, (32, 32), input_shape=shape, below_peak=is_db)).eval()
    if not is_db:
        tagger.row_deviation.fill_(3000 if name == "cnn1d-raw" else 3)
        tagger.row_mean.fill_(0.5)
    if not tagger.is_classical:
        spread_scores(tagger, torch.from_numpy(some_windows(input_spec, shape).copy()))
    codes = default_vocabulary().codes
    card = ModelCard(
        architecture=tagger.architecture,
        vocabulary=default_vocabulary(),
        input_spec=input_spec,
        windows=spec,
        aggregation="s2",
        thresholds={"s2": dict.fromkeys(codes, 0.5)},
        dataset_fingerprint="sha256:x",
        training={"history": []},
        provenance={},
    )
    return str(path), save_model(Folder(str(path)), tagger.state_dict(), card)


@torch.no_grad()
def spread_scores(tagger, windows):
    """Let a network know these windows as training would, and take their logits apart."""
    norms = [m for m in tagger.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    tagger.train()(windows)
    tagger.eval()
    head = [layer for layer in tagger.backbone.modules() if isinstance(layer, torch.nn.Linear)][-1]
    logits = tagger(windows)
    head.weight *= 2 / logits.std(dim=0).mean()
    head.bias -= tagger(windows).mean(dim=0)


def some_windows(input_spec, shape, n=N, seed=1):
    """Return windows of the stored type, no two alike, and read-only as Arrow gives them."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, *shape)) * rng.uniform(0.2, 1, size=(n, 1, 1))
    slope = rng.normal(size=(n, 1, 1)) * np.linspace(-1, 1, shape[0])[:, None]
    scale = {"<f2": 10, "<i2": 3000, "<f4": 3}[input_spec.dtype]
    windows = ((values + slope) * scale).astype(input_spec.dtype)
    windows.setflags(write=False)
    return windows


def windows_for(card, n=N):
    """Return windows that a model hears."""
    return some_windows(card.input_spec, card.architecture.input_shape, n)


def by_model(uri, windows):
    """Return the scores that training sees, in float32."""
    tagger, _ = load_model(uri)
    with torch.inference_mode():
        return torch.sigmoid(tagger(torch.from_numpy(windows.copy()))).numpy()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["resnet10t", "cnn1d-raw", "cnn2d-mfcc", "cnn1d-descriptors", "crnn", "shortchunk"],
)
def test_every_engine_says_what_the_model_says(name, tmp_path):
    uri, card = write_model(tmp_path, name)
    windows = windows_for(card)
    expected = by_model(uri, windows)
    assert expected.std(axis=0).mean() > 0.1
    for engine in ("torch", "openvino"):
        exact = make_engine(uri, engine=engine, precision="f32")
        scores, embeddings = exact.scores(windows)
        assert exact.about == {"name": engine, "precision": "f32", "note": ""}
        assert (scores.dtype, embeddings) == (np.float32, None)
        np.testing.assert_allclose(scores, expected, atol=1e-4)
    auto = make_engine(uri)
    assert auto.about == {"name": "openvino", "precision": best_precision(), "note": ""}
    np.testing.assert_allclose(auto.scores(windows)[0], expected, atol=0.1)
    assert np.abs(auto.scores(windows)[0] - expected).mean() < 0.02


def test_torch_in_bf16_is_what_validation_sees(tmp_path):
    uri, card = write_model(tmp_path)
    windows = windows_for(card)
    tagger, _ = load_model(uri)
    auto = make_engine(uri, engine="torch")
    precision = auto.about["precision"]
    expected, _ = TorchEngine(tagger, CPU, precision=precision).scores(windows)
    np.testing.assert_allclose(auto.scores(windows)[0], expected, atol=1e-6)
    forced = make_engine(uri, engine="torch", precision="bf16")
    assert forced.about["precision"] == "bf16"
    assert np.abs(forced.scores(windows)[0] - by_model(uri, windows)).max() > 1e-5


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_a_window_is_scored_alike_in_any_company(engine, tmp_path):
    uri, card = write_model(tmp_path)
    one = make_engine(uri, engine=engine, precision="f32", embeddings=True)
    windows = windows_for(card)
    scores, embeddings = one.scores(windows)
    for part in (slice(0, 1), slice(8, 11), slice(2, 10)):
        some, seen = one.scores(windows[part])
        np.testing.assert_allclose(some, scores[part], atol=1e-5)
        np.testing.assert_allclose(seen, embeddings[part], atol=1e-4)
    none, seen = one.scores(windows[:0])
    assert (none.shape, seen.shape) == ((0, 11), (0, embeddings.shape[1]))
    assert make_engine(uri, engine=engine).scores(windows[:0])[1] is None


@pytest.mark.parametrize("name", ["resnet10t", "cnn2d-mfcc", slow("crnn")])
@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_an_embedding_is_what_the_last_layer_sees(name, engine, tmp_path):
    uri, card = write_model(tmp_path, name)
    one = make_engine(uri, engine=engine, precision="f32", embeddings=True)
    scores, embeddings = one.scores(windows_for(card))
    tagger, _ = load_model(uri)
    head = [layer for layer in tagger.backbone.modules() if isinstance(layer, torch.nn.Linear)][-1]
    assert embeddings.shape == (N, head.in_features)
    with torch.inference_mode():
        expected = torch.sigmoid(head(torch.from_numpy(embeddings))).numpy()
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_what_openvino_does_not_take_runs_in_torch_and_says_why(tmp_path, monkeypatch):
    uri, card = write_model(tmp_path, "mlp")
    classical = make_engine(uri)
    assert classical.about["name"] == "torch"
    assert classical.about["precision"] == "f32"
    assert classical.about["note"] == "not by openvino: mlp is computed in float64"
    windows = windows_for(card)
    np.testing.assert_array_equal(classical.scores(windows)[0], by_model(uri, windows))
    with pytest.raises(UsageError, match="not by openvino: mlp is computed"):
        make_engine(uri, engine="openvino")
    with pytest.raises(UsageError, match="mlp has no embeddings"):
        make_engine(uri, embeddings=True)
    uri, _ = write_model(tmp_path)
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert make_engine(uri).about["note"].startswith("not by openvino: it is not installed")


def test_a_wrong_conversion_is_found_out(tmp_path, monkeypatch):
    uri, _ = write_model(tmp_path / "a")
    other, _ = load_model(write_model(tmp_path / "b", seed=5)[0])
    wrong = graphs.converted(other)
    monkeypatch.setattr(engines, "converted", lambda tagger: wrong)
    about = make_engine(uri).about
    assert about["name"] == "torch"
    assert "its logits are" in about["note"]


def test_torch_weights_are_not_held_beside_openvino(tmp_path, monkeypatch):
    uri, _ = write_model(tmp_path)
    held = []

    def load(uri):
        tagger, card = load_model(uri)
        held.extend(weakref.ref(weights) for weights in tagger.backbone.parameters())
        return tagger, card

    monkeypatch.setattr(engines, "load_model", load)
    engine = make_engine(uri, engine="openvino")
    assert held
    assert not any(weights() is not None for weights in held)
    assert engine.about["name"] == "openvino"


def test_a_compiled_network_gets_batches_of_one_size(tmp_path, monkeypatch):
    uri, card = write_model(tmp_path)
    windows, counter = windows_for(card), CompileCounter()
    real = torch.compile

    def compiled(network, **options):
        assert options == {"dynamic": False}
        return real(network, backend=counter, **options)

    monkeypatch.setattr(torch, "compile", compiled)
    monkeypatch.setattr("pipeline.models.engines.engines.compiler_fault", lambda: "")
    engine = TorchEngine(load_model(uri)[0], CPU, precision="f32", embeddings=True)
    engine.compile()
    scores, embeddings = engine.scores(windows)
    assert counter.frame_count == 1  # another size would be another
    assert engine.about["note"] == ""
    expected, seen = make_engine(uri, engine="torch", precision="f32", embeddings=True).scores(
        windows
    )
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    np.testing.assert_allclose(embeddings, seen, atol=1e-4)


def test_a_network_that_does_not_compile_runs_as_it_is(tmp_path, monkeypatch, caplog):
    uri, card = write_model(tmp_path)

    def compiled(network, **options):
        def fail(prepared):
            raise RuntimeError("no Triton\nand more")

        return fail

    monkeypatch.setattr(torch, "compile", compiled)
    monkeypatch.setattr("pipeline.models.engines.engines.compiler_fault", lambda: "")
    engine = TorchEngine(load_model(uri)[0], CPU, precision="f32")
    engine.compile()
    assert engine.about["note"] == "not compiled: RuntimeError: no Triton"
    assert "not compiled: RuntimeError: no Triton" in caplog.text
    windows = windows_for(card)
    np.testing.assert_allclose(engine.scores(windows)[0], by_model(uri, windows), atol=1e-5)


def test_what_does_not_go_together_is_refused(tmp_path, monkeypatch):
    uri, _ = write_model(tmp_path)
    for flags, message in [
        ({"engine": "onnx"}, "--engine 'onnx': expected one of auto, torch, openvino"),
        ({"precision": "f16"}, "--precision 'f16': expected one of auto, f32, bf16, int8"),
        ({"engine": "openvino", "gpu": True}, "runs on CPUs: leave out --gpu"),
        ({"precision": "int8"}, "is not; python -m jobs.quantize makes one of it"),
    ]:
        with pytest.raises(UsageError, match=message):
            make_engine(uri, **flags)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="finds no GPU here"):
        make_engine(uri, gpu=True)
    monkeypatch.setattr(graphs, "best_precision", lambda: "f32")
    with pytest.raises(UsageError, match="this CPU does not have it; take f32"):
        make_engine(uri, precision="bf16")


def test_openvino_leaves_nothing_at_home_and_reports_to_nobody(tmp_path):
    """Its telemetry would write intel/openvino_ga_cid there before it sends."""
    uri, _ = write_model(tmp_path / "model")
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import sys\n"
        "from pipeline.models.engines.engines import make_engine\n"
        f"print(make_engine({uri!r}, engine='openvino').about['name'])\n"
        "print([m for m, x in sys.modules.items() if 'openvino_telemetry' in m and x])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["openvino", "[]"], done.stderr
    assert not list(home.iterdir())
