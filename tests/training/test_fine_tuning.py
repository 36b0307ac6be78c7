"""A training that begins from a model: its front end, its tensors, its classes, frozen blocks."""

from dataclasses import replace

import pytest
import torch

from jobs import train as job
from pipeline.datasets.training_data import TrainingData
from pipeline.errors import SpecMismatch, UsageError
from pipeline.flows.training.fit import FitConfig
from pipeline.models.model import Architecture, Tagger, load_card, load_model, save_card
from pipeline.models.networks.parts.blocks import blocks_of, core_of
from pipeline.models.pretrained.efficientat import INPUT
from pipeline.selection.vocabulary import default_vocabulary
from pipeline.store.folder import Folder
from pipeline.training.config import TrainConfig
from pipeline.training.loop import Hooks, train
from pipeline.training.transfer.fine_tuning import (
    Init,
    check_windows,
    fine_tuning_config,
    take_over,
)
from tests.training.transfer import CODES, META, dataset_of, noise, pretrained, small, some_classes

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    """Datasets of these tests have one fingerprint: each test has a cache of its own."""
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "cache"))


@pytest.fixture
def mn04(tmp_path):
    return pretrained(tmp_path / "mn04")


def begun(config, vocabulary):
    init = Init.of(config)
    n_classes = len(vocabulary.codes)
    architecture = init.architecture(config, n_classes=n_classes, untrained=())
    return init.new_model(config, architecture, vocabulary)


def test_classes_that_the_model_knows_begin_where_it_is(mn04):
    """At step 0 the logits are its own, in whatever order; a class of several has their mean."""
    old, card = load_model(mn04)
    vocabulary = some_classes("vio", "cel", "pia", "voi")
    new = begun(fine_tuning_config(mn04), vocabulary).eval()
    windows = noise(3, *card.architecture.input_shape)
    own, theirs = new(windows), old(windows)
    columns = [CODES.index(code) for code in ("vio", "cel", "pia")]
    torch.testing.assert_close(own[:, :3], theirs[:, columns], rtol=1e-5, atol=1e-5)
    outputs = card.architecture.outputs[CODES.index("voi")]
    assert len(outputs) == 8
    mean = old.backbone.network(old.prepared(windows))[:, list(outputs)].mean(dim=1)
    torch.testing.assert_close(own[:, 3], mean, rtol=1e-5, atol=1e-5)


def test_classes_of_other_codes_are_found_by_their_ids_and_others_begin_anew(mn04):
    base = some_classes("vio", "cel")
    named = replace(base.instruments[0], code="fiddle")
    new = replace(base.instruments[1], code="xyz", any_of=("/m/nothing",))
    vocabulary = replace(base, instruments=(named, new))
    init = Init.of(fine_tuning_config(mn04))
    assert init.rows(vocabulary)[0] == init.card.architecture.outputs[CODES.index("vio")]
    assert init.rows(vocabulary)[1] == ()
    assert init.to_dict(vocabulary)["head_from"] == ["fiddle"]


def test_a_model_of_ours_gives_its_rows_by_code(tmp_path):
    uri = small(tmp_path / "m", some_classes("gel", "vio", "pia"))
    old, _ = load_model(uri)
    new = begun(fine_tuning_config(uri), some_classes("pia", "tru", "gel")).eval()
    windows = 20 * noise(2, 256, 87)
    torch.testing.assert_close(new(windows)[:, [0, 2]], old(windows)[:, [2, 0]])
    assert not torch.allclose(new(windows)[:, 1], old(windows)[:, 1])


def test_a_softmax_goes_on_as_one_and_attention_is_taken_over(mn04):
    config = replace(fine_tuning_config(mn04), loss="softmax", pool="attention")
    new = begun(config, some_classes("vio", "cel"))
    assert new.architecture.exclusive
    windows = noise(2, *new.architecture.input_shape)
    scores = torch.sigmoid(new.eval()(windows))
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(2))
    again = begun(config, some_classes("vio", "cel"))
    attention = again.backbone.network.get_submodule("attention")
    torch.nn.init.constant_(attention.bias, 3.0)
    take_over(new.backbone, again.backbone, [(0,), (1,)], source="x")
    assert (new.backbone.network.get_submodule("attention").bias == 3).all()


def test_defaults_are_the_models_own(mn04, tmp_path):
    config = fine_tuning_config(mn04)
    assert (config.model, config.window_s, config.aggregation) == ("mn04", 2.0, "s1")
    assert config.lr < config.head_lr
    training_data = TrainingData(dataset_of(tmp_path / "ds", labelled=True), META, config)
    assert training_data.input_spec == INPUT
    model = training_data.new_model(training_data.train_set())
    assert model.architecture.input_shape == (128, 200)
    assert (model.row_mean == -4.5).all()
    assert (model.row_deviation == 5).all()
    assert "outputs" not in model.architecture.to_dict()
    assert training_data.named_by == {"init": load_card(mn04).model_id}


def test_frozen_blocks_do_not_move_and_others_do(mn04, tmp_path):
    """Neither their weights nor what their batch norms have seen."""
    config = replace(
        fine_tuning_config(mn04), freeze=15, epochs=1, batch_size=4, augment=(), window_s=1.0
    )
    training_data = TrainingData(dataset_of(tmp_path / "ds", labelled=True), META, config)
    data = training_data.train_set()
    model = training_data.new_model(data)
    core = core_of(model.backbone)
    before = {name: tensor.clone() for name, tensor in core.state_dict().items()}
    train(config, model, data, training_data.val_set(), device=CPU, checkpoint=None,
          hooks=Hooks(lambda step: None, lambda metrics, state: None))  # fmt: skip
    moved = {n for n, tensor in core.state_dict().items() if not torch.equal(tensor, before[n])}
    frozen = tuple(f"features.{k}." for k in range(15))
    assert not [name for name in moved if name.startswith(frozen)]
    assert {"features.16.0.weight", "features.16.1.running_mean", "classifier.3.weight"} <= moved


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(freeze=18), "--freeze 18: mn04-.* has 17 blocks before its head"),
        (dict(model="resnet10t"), "--model resnet10t: --init .* is mn04"),
        (dict(weights="imagenet"), "--weights imagenet: --init names"),
        (dict(pool="median"), "--pool median: expected mean, max, attention"),
    ],
)
def test_what_cannot_be_is_one_line(mn04, change, message):
    with pytest.raises(UsageError, match=message):
        begun(replace(fine_tuning_config(mn04), **change), default_vocabulary())


def test_flags_that_need_a_model_say_so():
    with pytest.raises(UsageError, match="--freeze 2: expected 0 or more, and a model as --init"):
        TrainConfig(freeze=2)


def test_a_command_without_a_models_folder_ends_in_one_line(tmp_path, capsys):
    flags = ["--dataset", str(tmp_path), "--out", str(tmp_path / "o")]
    with pytest.raises(SystemExit) as ended:
        job.main([*flags, "--init", str(tmp_path / "nothing")])
    assert ended.value.code == 2
    assert "no model.json there" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        job.main([*flags, "--init", str(tmp_path), "--preset", "harmony-ast"])
    assert "--init has its own" in capsys.readouterr().err


def test_another_model_in_its_place_is_refused(mn04, tmp_path):
    init = Init.of(fine_tuning_config(mn04))
    pinned = replace(init, card=replace(init.card, model_id="mn04-000000000000"))
    config = fine_tuning_config(mn04)
    with pytest.raises(SpecMismatch, match="this run is of mn04-000000000000"):
        pinned.new_model(
            config, init.architecture(config, n_classes=11, untrained=()), default_vocabulary()
        )


def test_windows_that_a_network_does_not_take_are_one_line(mn04, tmp_path, monkeypatch):
    """By what its family says of it, and by what the network itself says."""
    card = load_card(mn04)
    save_card(Folder(mn04), replace(card, architecture=replace(card.architecture, name="yamnet")))
    config = replace(fine_tuning_config(mn04), window_s=5.0)
    with pytest.raises(UsageError, match="--window-s 5: yamnet takes windows of its own 2 s only"):
        Init.of(config)
    model = Tagger(Architecture("resnet10t", 2, input_size=(32, 32)))
    monkeypatch.setattr(model.backbone, "forward", refusing)
    with pytest.raises(UsageError, match=r"--window-s 5: resnet10t .* windows \(224 rows only\)"):
        check_windows(model, config)


def refusing(image):
    raise AssertionError("224 rows only")


def test_old_configs_keep_their_identity_and_their_models_folders_are_absolute(tmp_path):
    later = {"init", "freeze", "pool", "teacher", "hard_share"}
    assert not later & TrainConfig().identity().keys()
    given = TrainConfig(init="a", teacher=("b",))
    made = FitConfig("d", "o", given).train
    assert made.init.startswith("/") and made.teacher[0].startswith("/")


@pytest.mark.parametrize(("name", "n"), [("resnet10t", 5), ("shortchunk", 10), ("mn04", 17)])
def test_a_networks_blocks_hold_all_but_its_head(tmp_path, name, n):
    network = Tagger(Architecture(name, 3, input_shape=(128, 87), below_peak=False)).backbone
    blocks = blocks_of(network)
    assert len(blocks) == n
    in_blocks = [name for block in blocks for name in block]
    assert len(in_blocks) == len(set(in_blocks))
    others = {name for name, _ in core_of(network).named_parameters()} - set(in_blocks)
    assert {name.split(".")[0] for name in others} <= {"fc", "head", "classifier"}
