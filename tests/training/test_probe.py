"""A probe: the mean and maximum of frozen encoders' patches, and a head on them, in one folder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from pipeline.audio.spectra.filterbank import FilterBankInput, FilterBankSpec
from pipeline.audio.spectra.stacked import StackedInput
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import UsageError
from pipeline.models.engines.engines import make_engine
from pipeline.models.engines.graphs import best_precision
from pipeline.models.model import Architecture, ModelCard, Tagger, load_model, save_model
from pipeline.models.networks.probe import Head, PatchEncoder, Probe, pooled
from pipeline.selection.vocabulary import default_vocabulary
from pipeline.store.folder import Folder
from pipeline.training.config import TrainConfig, check_start
from pipeline.training.recipes import preset
from pipeline.training.transfer.probe import ProbeDesign
from pipeline.training.transfer.probe_fit import fit_probe, load_embedded
from schemas.clip_embeddings import clip_embeddings_schema
from tests.models.test_engines import spread_scores, write_model

WIDE = FilterBankInput(FilterBankSpec(16_000, 400, 1024, 160, 128, 60, 7500, offset=1e-3, mean=-4))
NARROW = FilterBankInput(
    FilterBankSpec(
        8_000, 200, 1024, 80, 127, 60, 3800, is_centred=False, offset=1e-3, mean=-5, deviation=2
    )
)
RNG = np.random.default_rng(0)


def of(numbers):
    return torch.tensor(numbers, dtype=torch.float32)


def test_the_mean_and_the_maximum_are_over_the_patches_that_count():
    vectors = of([[[1, 8], [3, 2], [99, -99]], [[1, 2], [3, 4], [5, 9]]])
    counts = torch.tensor([[True, True, False], [False, False, False]])
    # Of two patches; and of all, where none counts.
    assert pooled(vectors, counts).tolist() == [[2, 5, 3, 8], [3, 5, 5, 9]]


class Level(nn.Module):
    """An encoder whose embedding is a patch's mean and its first value, both after scaling."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Identity(), nn.Linear(2, 1))
        self.backbone.forward = self._forward

    def _forward(self, patches):
        values = torch.stack([patches.mean(dim=(1, 2)), patches[:, 0, 0]], dim=1)
        return self.backbone[1](values)

    def prepared(self, patches):
        return 10 * patches


def encoder(**changes):
    own = {
        "rows": (1, 2), "starts": (0, 2, 4), "n_frames": 2, "scaling": (5.0, 2.0),
        "silence": -1.0, "is_prepared": True,
    }  # fmt: skip
    return PatchEncoder(Level(), **own | changes)


def test_patches_beyond_the_end_of_a_clip_do_not_count():
    windows = of([[[7, 7, 7, 7, 7, 7], [1, 3, 5, -1, -1, -1]]])  # silence is -1
    # Patches of the second row: 1 3 (mean 2), 5 -1 (mean 2, begins in sound) and -1 -1.
    assert encoder()(windows).tolist() == [[2, 3, 2, 5]]
    silent = torch.full((1, 2, 6), -1.0)
    assert encoder()(silent).tolist() == [[-1, -1, -1, -1]]


def test_what_an_encoder_scales_itself_is_as_stored_again():
    windows = of([[[0, 0], [1, 3]]])
    (found,) = encoder(starts=(0,), is_prepared=False)(windows).tolist()
    assert found == [10 * (2 * 2 + 5), 10 * (1 * 2 + 5)]  # one patch: neither mean nor maximum


def write_encoder(path, input_spec, seed, window_s=0.5, hop_s=0.25):
    """Write a model of a front end of its own, with random weights that differ on its windows."""
    torch.manual_seed(seed)
    spec = WindowSpec(window_s, hop_s)
    shape = (input_spec.n_rows, spec.n_frames(input_spec))
    tagger = Tagger(Architecture("crnn", 11, input_shape=shape, below_peak=False)).eval()
    tagger.row_mean.fill_(input_spec.scaling[0])
    tagger.row_deviation.fill_(input_spec.scaling[1])
    spread_scores(tagger, torch.from_numpy(RNG.normal(-4, 2, (8, *shape)).astype(np.float32)))
    card = ModelCard(
        tagger.architecture, default_vocabulary(), input_spec, spec, "s1", {"s1": {}}, "x", {}, {}
    )
    return str(path), save_model(Folder(str(path)), tagger.state_dict(), card)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    base = tmp_path_factory.mktemp("encoders")
    return [
        write_encoder(base / "wide", WIDE, 1),
        write_encoder(base / "narrow", NARROW, 2, hop_s=0.5),
    ]


def probe_of(*uris, window_s=2.0, hidden=8):
    """Return the design of a probe, and one with a head of random weights."""
    config = replace(preset(None, "probe"), encoder=uris, window_s=window_s, hidden=hidden)
    design = ProbeDesign.of(config)
    torch.manual_seed(0)
    model = design.new_model(design.architecture(11, hidden=hidden))
    nn.init.normal_(model.backbone.head.mean)
    nn.init.uniform_(model.backbone.head.deviation, 0.5, 2)
    return design, model


def sound(seconds):
    return (0.1 * RNG.normal(size=round(16_000 * seconds))).astype(np.float32)


def embedded_by_hand(matrix, uri, card, n_columns):
    """Return mean and maximum of an encoder's embeddings of a clip that fills `n_columns`."""
    length, hop = card.windows.n_frames(card.input_spec), round(100 * card.windows.hop_s)
    starts = range(0, n_columns - length + 1, hop)
    patches = np.stack([matrix[:, start : start + length] for start in starts])
    engine = make_engine(uri, engine="torch", precision="f32", embeddings=True)
    vectors = engine.scores(patches)[1]
    return np.concatenate([vectors.mean(axis=0), vectors.max(axis=0)])


def test_encoders_with_front_ends_of_their_own_are_joined(two):
    design, model = probe_of(*(uri for uri, _ in two))
    assert isinstance(design.input_spec, StackedInput)
    assert design.model_ids == [card.model_id for _, card in two]
    samples = sound(2.0)
    stacked = design.input_spec.matrix(samples)
    assert stacked.shape == model.architecture.input_shape == (255, 201)
    by_hand = [
        embedded_by_hand(stacked[rows], uri, card, card.input_spec.n_frames(2 * rate_hz))
        for (uri, card), rows, rate_hz in zip(
            two, design.input_spec.rows_of_parts, (16_000, 8_000), strict=True
        )
    ]
    with torch.inference_mode():
        prepared = model.prepared(torch.from_numpy(stacked[None]))
        found = model.backbone.embedded(prepared)[0].numpy()
        logits = model(torch.from_numpy(stacked[None]))
        expected = model.backbone.head(torch.from_numpy(np.concatenate(by_hand)[None]))
    np.testing.assert_allclose(found, np.concatenate(by_hand), atol=1e-4)
    np.testing.assert_allclose(logits, expected, atol=1e-3)


@pytest.mark.slow
def test_a_probe_is_one_folder_and_every_engine_runs_it(two, tmp_path):
    design, model = probe_of(*(uri for uri, _ in two))
    head = model.backbone.head
    gains = np.geomspace(0.03, 3, 9).astype(np.float32)
    windows = np.stack([design.input_spec.matrix(gain * sound(2.0)) for gain in gains])
    windows[0, :, 60:] = design.input_spec.silence  # shorter than the window
    with torch.inference_mode():
        vectors = model.backbone.embedded(model.prepared(torch.from_numpy(windows)))
        head.mean.copy_(vectors.mean(dim=0))
        head.deviation.copy_(vectors.std(dim=0))
        expected = torch.sigmoid(model(torch.from_numpy(windows))).numpy()
    card = replace(
        two[0][1],
        architecture=model.architecture,
        input_spec=design.input_spec,
        windows=design.windows,
    )
    card = save_model(Folder(str(tmp_path)), model.state_dict(), card)
    again = load_model(str(tmp_path))[1]
    assert (again.architecture, again.input_spec) == (card.architecture, design.input_spec)
    for engine in ("torch", "openvino"):
        exact = make_engine(str(tmp_path), engine=engine, precision="f32", embeddings=True)
        assert exact.about == {"name": engine, "precision": "f32", "note": ""}
        scores, embeddings = exact.scores(windows)
        np.testing.assert_allclose(scores, expected, atol=1e-3)
        assert embeddings.shape == (9, 8)
    auto = make_engine(str(tmp_path))
    assert auto.about == {"name": "openvino", "precision": best_precision(), "note": ""}
    np.testing.assert_allclose(auto.scores(windows)[0], expected, atol=0.05)
    assert expected.std(axis=0).max() > 0.05  # they are told apart at all


def test_a_log_mel_model_is_heard_below_each_patch_s_own_peak(tmp_path):
    uri, _ = write_model(tmp_path, "crnn")
    _, model = probe_of(uri, window_s=3.0)
    loud = RNG.normal(-50, 12, (1, *model.architecture.input_shape)).astype(np.float16)
    louder = loud.copy()
    louder[:, :, 87:] += 20  # a later patch is louder: nothing to a model that hears below peaks
    with torch.inference_mode():
        one, other = (
            model.backbone.embedded(model.prepared(torch.from_numpy(w))) for w in (loud, louder)
        )
    assert model.architecture.sizes["encoders"][0]["starts"] == [0, 86, 172]
    np.testing.assert_allclose(one[:, :256], other[:, :256], atol=0.05)


def test_encoders_of_one_front_end_are_given_it_once(two, tmp_path):
    other = write_encoder(tmp_path, WIDE, 3)
    design, model = probe_of(two[0][0], other[0])
    assert design.input_spec == WIDE
    assert [one["rows"] for one in model.architecture.sizes["encoders"]] == [[0, 128], [0, 128]]


def test_a_window_that_is_shorter_than_the_encoder_s_is_its_window(two):
    _, model = probe_of(two[0][0], window_s=0.3)
    (own,) = model.architecture.sizes["encoders"]
    assert (own["starts"], own["n_frames"]) == ([0], 31)
    assert model(torch.zeros(1, 128, 31)).shape == (1, 11)


def test_training_moves_the_head_alone(two):
    _, model = probe_of(two[0][0])
    model.train()
    assert {name.split(".")[1] for name, w in model.named_parameters() if w.requires_grad} == {
        "head"
    }
    assert not any(module.training for module in model.backbone.encoders.modules())
    assert model.backbone.head.training


def test_what_cannot_be_an_encoder_is_one_line(two, tmp_path):
    mel, _ = write_model(tmp_path / "mel", "crnn")
    raw, _ = write_model(tmp_path / "raw", "cnn1d-raw")
    nearest, _ = write_model(tmp_path / "knn", "knn")
    design, model = probe_of(two[0][0])
    itself = str(tmp_path / "probe")
    card = replace(two[0][1], architecture=model.architecture, windows=design.windows)
    save_model(Folder(itself), model.state_dict(), card)
    for uris, window_s, said in (
        ((two[0][0], mel), 2.0, "front ends have columns of 10 and 11.6 ms"),
        ((itself,), 2.0, "it is a probe itself; name the encoders that it is of"),
        ((nearest,), 2.0, "knn is no network"),
        ((raw,), 0.5, "takes windows of 1 s; give at least that"),
        ((str(tmp_path / "none"),), 2.0, "no model.json there"),
    ):
        with pytest.raises(UsageError, match=said) as caught:
            probe_of(*uris, window_s=window_s)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoder": ()}, "name the models that it listens through, --encoder MODEL"),
        ({"model": "crnn"}, "--encoder: crnn is trained whole"),
        ({"encoder": ("a", "a")}, "name each model once"),
        ({"hidden": -1}, "--hidden -1: expected 0 or more"),
        ({"augment": ("masks",)}, "--augment: a probe's embeddings are made once"),
        ({"sampling": "dynamic"}, "--sampling: a probe's embeddings are made once"),
        ({"weights": "imagenet"}, "--weights: a probe's embeddings are made once"),
    ],
)
def test_flags_that_do_not_go_together_are_one_line(changes, said):
    with pytest.raises(UsageError, match=said):
        check_start(replace(preset(None, "probe"), **{"encoder": ("a", "b")} | changes))


def test_runs_of_before_keep_their_names():
    assert not {"encoder", "hidden"} & TrainConfig().identity().keys()


def embedded(n_clips, seed, silent=()):
    """Return the windows of clips of two classes, whose embeddings tell them apart, and labels."""
    rng = np.random.default_rng(seed)
    ids = [f"{seed}-{k}" for k in range(n_clips)]
    vectors = rng.normal(size=(n_clips, 4)).astype(np.float32)
    classes = [["cel"] if vector[0] > 0 else ["vio"] for vector in vectors]
    rows = [
        {"segment_id": i, "window": 0, "start_s": 0.0, "is_active": i not in silent, "embedding": v}
        for i, v in zip(ids, 100 + 3 * vectors, strict=True)
    ]
    table = pa.Table.from_pylist(rows, clip_embeddings_schema(["x"], b""))
    labels = {i: (one, None) for i, one in zip(ids, classes, strict=True)}
    return load_embedded([table], labels, codes=["cel", "vio"], activity=True)


def probe_of_vectors(hidden):
    torch.manual_seed(0)
    model = Tagger(Architecture("crnn", 2, below_peak=False, input_shape=(4, 1)))
    model.backbone = Probe([], Head(4, 2, hidden=hidden, dropout=0.1))
    return model


@pytest.mark.parametrize("hidden", [0, 16])
def test_a_head_learns_what_embeddings_say(hidden):
    config = replace(preset(None, "probe"), encoder=("x",), lr=0.02, epochs=30)
    progress = fit_probe(config, probe_of_vectors(hidden), embedded(96, 0), embedded(48, 1))
    best = max(row["val_map"] for row in progress.history)
    assert best > 0.95
    assert progress.best_val_loss < 0.7 * progress.history[0]["val_loss"]
    assert progress.best_weights["backbone.head.mean"].numpy() == pytest.approx(100, abs=1)
    assert set(progress.history[0]) >= {"train_loss", "val_s2_loss", "val_macro_f1", "seconds"}
    again = fit_probe(config, probe_of_vectors(hidden), embedded(96, 0), embedded(48, 1))
    for name, weight in again.best_weights.items():
        assert torch.equal(weight, progress.best_weights[name])


def test_windows_of_silence_are_left_out_and_such_clips_score_nothing():
    train, val = embedded(32, 0, silent=("0-3",)), embedded(8, 1, silent=("1-0", "1-7"))
    config = replace(preset(None, "probe"), encoder=("x",), epochs=2)
    progress = fit_probe(config, probe_of_vectors(0), train, val)
    assert progress.windows == {"learned": 31, "left_out": 1}
    assert len(val.segment_ids) == 8


def test_unknown_classes_are_not_taught():
    train = embedded(64, 0)
    train.targets[:, 1] = np.nan
    config = replace(preset(None, "probe"), encoder=("x",), epochs=3, lr=0.02, weight_decay=1e-12)
    model = probe_of_vectors(0)
    before = model.backbone.head.classifier.weight.detach().clone()
    fit_probe(config, model, train, embedded(16, 1))
    moved = (model.backbone.head.classifier.weight.detach() - before).abs().amax(dim=1)
    assert moved[0] > 1e-2
    assert moved[1] < 1e-6
