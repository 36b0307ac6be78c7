"""Networks have the shapes and sizes of their papers, take weights, and divide into two groups."""

import sys

import huggingface_hub.constants
import pytest
import safetensors.torch
import timm
import torch
from torch import nn

from pipeline.errors import UsageError
from pipeline.models.model import Architecture, Tagger, check_logits
from pipeline.models.networks.ast import build_ast, fitted_positions, grid_of
from pipeline.models.networks.classical import CLASSICAL
from pipeline.models.networks.entry import Entry
from pipeline.models.networks.harmony_cnns import RawCnn
from pipeline.models.networks.music import ShortChunk
from pipeline.models.networks.parts.weights import parameter_groups
from pipeline.models.networks.registry import (
    build_network,
    is_known,
    known_names,
    networks,
    timm_backbone,
)
from pipeline.models.pretrained.family import variants

SMALL = [
    "cnn1d-raw",
    "cnn2d-mfcc",
    "cnn1d-descriptors",
    "crnn",
    "shortchunk",
    "shortchunk-res",
    "compact",
    "fcn",
    "musicnn",
    "samplecnn",
    "samplecnn-se",
    "harmonic-cnn",
    "cnn-sa",
    "cnn1d-mel",
    "timbre-pitch",
    "test_resnet.r160_in1k",  # timm's
]
OF_SAMPLES_HZ = {
    "cnn1d-raw": 44_100,
    "samplecnn": 16_000,
    "samplecnn-se": 16_000,
    "harmonic-cnn": 16_000,
    "timbre-pitch": 16_000,
}
TIMM = SMALL[-1]
HUB_REPOSITORY = "models--timm--test_resnet.r160_in1k"


@pytest.fixture(autouse=True)
def two_threads():
    """Shared machines have more threads than cores to spare."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def shape_of(name, window_s=1):
    n_frames = {1: 87, 2: 173, 3: 259}[window_s]
    if name in OF_SAMPLES_HZ:
        return 1, OF_SAMPLES_HZ[name] * window_s
    return (40 if name in ("cnn2d-mfcc", "cnn1d-descriptors") else 128), n_frames


def little_shape_of(name):
    """A window that is quick, for what does not depend on its length."""
    if name in OF_SAMPLES_HZ:
        return 1, 16_000
    return {"musicnn": (96, 32), "cnn1d-mel": (40, 64)}.get(name, (40, 32))


def build(name, shape=None, **options):
    options = {"n_classes": 11, "dropout": 0.2, **options}
    return build_network(name, input_shape=shape or shape_of(name), **options)


def as_taken(name, windows):
    """Windows as the network takes them: timm's are images of one channel."""
    return windows.unsqueeze(1) if name == TIMM else windows


def n_parameters(network):
    return sum(p.numel() for p in network.parameters())


# The report's and the papers' figures.


def test_raw_layers_have_the_reports_shapes():
    network = RawCnn(n_classes=11, dropout=0.2).eval()
    seen = []
    counted = nn.Conv1d, nn.MaxPool1d, nn.AdaptiveAvgPool1d, nn.Linear
    for module in network.modules():
        if isinstance(module, counted):
            module.register_forward_hook(lambda _, __, out: seen.append(tuple(out.shape)))
    network(torch.randn(3, 1, 44_100))
    assert seen == [
        (3, 32, 21831),
        (3, 32, 5457),
        (3, 32, 5452),
        (3, 32, 1363),
        (3, 64, 1361),
        (3, 64, 340),
        (3, 64, 338),
        (3, 64, 84),
        (3, 128, 82),
        (3, 128, 20),
        (3, 256, 18),
        (3, 256, 4),
        (3, 256, 1),
        (3, 64),
        (3, 11),
    ]


def test_the_reports_blocks_are_in_order():
    one = [nn.Conv1d, nn.ReLU, nn.BatchNorm1d, nn.MaxPool1d]
    assert [type(m) for m in build("cnn1d-raw").features] == one * 6
    for block in build("cnn1d-descriptors").features:
        assert [type(m) for m in block] == one
    two = [nn.Conv2d, nn.ReLU, nn.BatchNorm2d, nn.MaxPool2d]
    blocks = [[type(m) for m in block] for block in build("cnn2d-mfcc").features]
    assert blocks == [two] * 4
    for name in ("cnn1d-raw", "cnn2d-mfcc", "cnn1d-descriptors"):
        head = build(name, dropout=0.3).head
        assert [type(m) for m in head] == [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
        assert head[2].p == 0.3


@pytest.mark.parametrize(
    ("name", "expected"),
    [("cnn1d-raw", 180e3), ("cnn2d-mfcc", 879e3), ("cnn1d-descriptors", 114e3)],
)
def test_the_report_counted_as_many_parameters(name, expected):
    assert n_parameters(build(name)) == pytest.approx(expected, rel=0.03)


def test_mfccs_are_resized_to_40_by_256():
    network, seen = build("cnn2d-mfcc").eval(), []
    network.features[0][0].register_forward_hook(lambda _, args, __: seen.append(args[0].shape))
    for window_s in (1, 3):
        network(torch.randn(2, *shape_of("cnn2d-mfcc", window_s)))
    network(torch.randn(2, 40, 256))
    assert [tuple(s) for s in seen] == [(2, 1, 40, 256)] * 3


def test_short_chunk_has_seven_blocks_and_two_dense_layers():
    for name, n_convolutions in (("shortchunk", 7), ("shortchunk-res", 21)):
        modules = list(build(name).modules())
        convolutions = [m for m in modules if isinstance(m, nn.Conv2d)]
        assert len(convolutions) == n_convolutions
        assert {m.kernel_size for m in convolutions} == {(3, 3)}
        assert sum(isinstance(m, nn.Linear) for m in modules) == 2
        assert len(next(m for m in modules if isinstance(m, ShortChunk)).features) == 7


def test_crnn_reads_eleven_steps_a_second():
    network, seen = build("crnn").eval(), []
    network.recurrent.register_forward_hook(lambda _, args, __: seen.append(args[0].shape))
    with torch.inference_mode():
        network(torch.randn(2, 128, 87))
        network(torch.randn(2, 256, 87))
    assert [tuple(s) for s in seen] == [(2, 11, 128)] * 2


# What holds for all of them.


@pytest.mark.parametrize("window_s", [1, 2, 3])
@pytest.mark.parametrize("name", SMALL)
def test_one_or_more_windows_become_logits(name, window_s):
    shape = shape_of(name, window_s)
    network = build(name, shape, n_classes=5).eval()
    windows = as_taken(name, torch.randn(2, *shape))
    with torch.inference_mode():
        logits = network(windows if window_s == 1 else windows[:1])
        assert logits.shape == (2 if window_s == 1 else 1, 5)
        assert logits.isfinite().all()
        if window_s == 1:
            torch.testing.assert_close(network(windows[:1]), logits[:1], atol=1e-4, rtol=1e-4)
            assert not torch.allclose(logits[0], logits[1])


@pytest.mark.parametrize(
    "name", ["crnn", "shortchunk", "shortchunk-res", "compact", "fcn", "fcn4", "cnn-sa"]
)
@pytest.mark.parametrize("shape", [(256, 87), (40, 30), (1, 1)])
def test_no_axis_is_pooled_to_nothing(name, shape):
    with torch.inference_mode():
        logits = build(name, shape).eval()(torch.randn(2, *shape))
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", [n for n in networks() if n != "ast" and n not in CLASSICAL])
def test_the_smallest_window_is_the_smallest(name):
    entry = networks()[name]
    network = build(name, entry.smallest).eval()
    with torch.inference_mode():
        assert network(torch.randn(2, *entry.smallest)).isfinite().all()
    for rows, columns in ((-1, 0), (0, -1)):
        shape = entry.smallest[0] + rows, entry.smallest[1] + columns
        with pytest.raises(UsageError, match=rf"{shape[0]} x {shape[1]}; expected"):
            build(name, shape)
        if min(shape) > 0:
            with pytest.raises(RuntimeError):
                network(torch.randn(2, *shape))


def test_raw_samples_are_one_row():
    with pytest.raises(UsageError, match="samples is 2 x 44100; expected 1 x at least 14110"):
        build("cnn1d-raw", (2, 44_100))


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("name", SMALL)
def test_training_reaches_every_parameter(name, n):
    """A batch of one included: the last batch of an epoch can be."""
    shape = little_shape_of(name) if n == 3 else shape_of(name)
    network = build(name, shape).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)  # timm sets the last of a block to 0
    logits = network(as_taken(name, torch.randn(n, *shape)))
    nn.functional.binary_cross_entropy_with_logits(logits, torch.ones(n, 11)).backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        if n > 1 and parameter.ndim > 1:  # a bias before a batch norm has none by right
            assert parameter.grad.any(), parameter_name


@pytest.mark.parametrize("name", SMALL)
def test_weights_survive_safetensors(name, tmp_path):
    shape = little_shape_of(name)
    network = build(name, shape).eval()
    path = str(tmp_path / "model.safetensors")
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    safetensors.torch.save_file(tensors, path)
    windows = as_taken(name, torch.randn(2, *shape))
    with torch.inference_mode():
        expected = network(windows)
        assert not torch.allclose(build(name, shape).eval()(windows), expected)
        read = build(name, shape, weights=path).eval()
        torch.testing.assert_close(read(windows), expected)
        network.load_state_dict(safetensors.torch.load_file(path), strict=True)


@pytest.mark.parametrize("name", SMALL)
def test_groups_are_disjoint_and_complete(name):
    network = build(name, n_classes=7)
    base, head = parameter_groups(network)
    assert {id(p) for p in base}.isdisjoint(id(p) for p in head)
    assert {id(p) for p in [*base, *head]} == {id(p) for p in network.parameters()}
    assert len(base) + len(head) == len(list(network.parameters()))
    assert head[-1].shape == (7,)
    assert 0 < sum(p.numel() for p in head) < sum(p.numel() for p in base)


def test_groups_are_found_through_what_wraps_a_network():
    network = build("shortchunk")
    base, head = parameter_groups(nn.Sequential(nn.Linear(3, 3), network))
    assert [id(p) for p in head] == [id(p) for p in network.head.parameters()]
    assert base[0].shape == (3, 3)
    with pytest.raises(UsageError, match="Linear does not say what its head is"):
        parameter_groups(nn.Linear(3, 3))


def test_names():
    assert known_names() == [
        "cnn1d-raw",
        "cnn2d-mfcc",
        "cnn1d-descriptors",
        "crnn",
        "shortchunk",
        "shortchunk-res",
        "compact",
        "ast",
        *CLASSICAL,
        "fcn",
        "fcn4",
        "musicnn",
        "samplecnn",
        "samplecnn-se",
        "harmonic-cnn",
        "cnn-sa",
        "cnn1d-mel",
        "timbre-pitch",
        "timbral-small",
        "timbral-mid",
        "timbral-7-filters",
        "timbral-big",
        "probe",
        *variants(),
    ]
    assert is_known("crnn") and is_known("mn04")
    assert not is_known("resnet50")
    with pytest.raises(UsageError, match=r"'resnet5': neither of ours nor timm's.*resnet50"):
        build("resnet5", (128, 87))


# Weights from files and from the hub.


@pytest.fixture
def published(tmp_path):
    """An ImageNet model as timm publishes it: three channels, 1000 classes."""
    network = timm.create_model(TIMM)
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(network.state_dict(), str(path))
    return network.eval(), path


def assert_is_grey_version(backbone, published):
    """The same features of a grey image as the published model's of its three channels."""
    grey = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(
            backbone.eval().forward_features(grey),
            published.forward_features(grey.repeat(1, 3, 1, 1)),
            atol=1e-4,
            rtol=1e-4,
        )
        assert backbone(grey).shape == (2, 11)


@pytest.mark.parametrize("kind", [".safetensors", ".pth", "wrapped.pth"])
def test_a_file_of_imagenet_weights(kind, published, tmp_path):
    network, path = published
    if kind == ".pth":
        torch.save(network.state_dict(), path := tmp_path / "model.pth")
    if kind == "wrapped.pth":
        named = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
        torch.save({"state_dict": named, "epoch": 3}, path := tmp_path / "wrapped.pth")
    assert_is_grey_version(
        timm_backbone(TIMM, n_classes=11, dropout=0.2, weights=str(path)), network
    )


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The hub's cache on this machine, with no line to the hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_imagenet_is_what_the_hub_holds(hub, published):
    network, path = published
    commit = "0" * 40
    snapshot = hub / HUB_REPOSITORY / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (hub / HUB_REPOSITORY / "refs").mkdir()
    (hub / HUB_REPOSITORY / "refs" / "main").write_text(commit)
    path.rename(snapshot / "model.safetensors")
    assert_is_grey_version(build(TIMM, (64, 64), weights="imagenet"), network)


def test_no_hub_is_a_usage_error_with_the_cure(hub):
    with pytest.raises(UsageError, match=r"hf download timm/test_resnet\.r160_in1k --local-dir"):
        build("test_resnet", (64, 64), weights="imagenet")


def test_networks_of_our_own_have_no_imagenet_weights():
    with pytest.raises(UsageError, match="'crnn': no ImageNet weights"):
        build("crnn", weights="imagenet")


def test_a_head_of_other_classes_stays_new(tmp_path):
    network = build("crnn", n_classes=50)
    path = str(tmp_path / "crnn.safetensors")
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    safetensors.torch.save_file(weights, path)
    other = build("crnn", n_classes=11, weights=path)
    assert other.head.weight.shape == (11, 32)
    torch.testing.assert_close(
        other.recurrent.weight_hh_l1, network.recurrent.weight_hh_l1, rtol=0, atol=0
    )


@pytest.mark.parametrize("name", ["cnn1d-descriptors", "crnn", "resnet10t"])
def test_weights_of_a_model_of_ours(name, tmp_path):
    """A model's own file begins another training, whatever stands in it beside the network."""
    shape = (40, 40) if name == "resnet10t" else shape_of(name)
    architecture = Architecture(
        name, 3, (40, 40), dropout=0.0, input_shape=shape, below_peak=name != "cnn1d-descriptors"
    )
    first, path = Tagger(architecture), str(tmp_path / "model.safetensors")
    safetensors.torch.save_file(
        {name: tensor.contiguous() for name, tensor in first.state_dict().items()}, path
    )
    again = Tagger(architecture, weights=path)
    for key, tensor in first.backbone.state_dict().items():
        torch.testing.assert_close(again.backbone.state_dict()[key], tensor, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("dense.bias"), r"dense\.bias is not there"),
        (lambda t: t.update({"dense.bias": torch.zeros(3)}), r"dense\.bias is of another shape"),
        (lambda t: t.update({"stem.bias": torch.zeros(3)}), r"stem\.bias is not of this network"),
    ],
)
def test_weights_of_another_network_are_refused(change, message, tmp_path):
    tensors = build("shortchunk").state_dict()
    change(tensors)
    torch.save(tensors, tmp_path / "x.pth")
    with pytest.raises(UsageError, match=f"for another network: {message}"):
        build("shortchunk", weights=str(tmp_path / "x.pth"))


def test_what_is_no_file_of_tensors_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no such file; expected 'imagenet'"):
        build("crnn", weights=str(tmp_path / "none.pth"))
    for name, content in (("x.pth", b"words"), ("x.safetensors", b"words"), ("y.pth", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match="not a file of tensors"):
            build("crnn", weights=str(tmp_path / name))
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UsageError, match="no tensors in it"):
        build("crnn", weights=str(tmp_path / "list.pth"))


class _Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('ran')",)


def test_code_in_a_pickle_does_not_run(tmp_path):
    torch.save({"x": _Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UsageError, match="not a file of tensors"):
        build("crnn", weights=str(tmp_path / "evil.pth"))


# AST.


@pytest.mark.parametrize(("n_frames", "n_positions"), [(100, 110), (1024, 1214)])
def test_ast_is_of_the_reports_size(n_frames, n_positions):
    with torch.device("meta"):
        network = build("ast", (128, n_frames))
    positions = network.encoder.embeddings.position_embeddings
    assert positions.shape == (1, n_positions, 768)
    assert n_parameters(network) == pytest.approx(86.2e6, rel=0.011)
    if n_frames == 1024:
        assert n_parameters(network) == pytest.approx(86.2e6, rel=0.001)
    base, head = parameter_groups(network)
    assert {id(p) for p in [*base, *head]} == {id(p) for p in network.parameters()}
    assert sum(p.numel() for p in head) == 2 * 768 + 768 * 11 + 11


@pytest.fixture
def ast_folder(tmp_path):
    """A small AST for 2 s, as Hugging Face publishes them: with AudioSet's 527 classes."""
    import transformers

    config = transformers.ASTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_length=200,
        num_labels=527,
    )
    network = transformers.ASTForAudioClassification(config)
    embeddings = network.audio_spectrogram_transformer.embeddings
    nn.init.normal_(embeddings.position_embeddings)  # transformers leaves them 0
    nn.init.normal_(embeddings.cls_token)
    network.save_pretrained(tmp_path / "ast")
    return network, tmp_path / "ast"


@pytest.mark.parametrize("window_s", [1, 2, 3])
def test_ast_of_a_folder_takes_other_lengths(ast_folder, window_s):
    _, folder = ast_folder
    shape = 128, 100 * window_s
    network = build("ast", shape, weights=str(folder))
    assert network.training
    n_positions = 2 + 12 * ((100 * window_s - 16) // 10 + 1)
    assert network.encoder.embeddings.position_embeddings.shape == (1, n_positions, 32)
    logits = network(torch.randn(2, *shape))
    assert logits.shape == (2, 11)
    logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.ndim == 1 or parameter.grad.any(), name
    with torch.inference_mode():
        network.eval()
        windows = torch.randn(2, *shape)
        torch.testing.assert_close(network(windows)[:1], network(windows[:1]))


def test_ast_of_a_folder_is_the_same_encoder(ast_folder):
    published, folder = ast_folder
    network = build("ast", (128, 200), weights=str(folder)).eval()
    windows = torch.randn(2, 128, 200)
    with torch.inference_mode():
        torch.testing.assert_close(
            network.encoder(windows.transpose(1, 2)).pooler_output,
            published.eval().audio_spectrogram_transformer(windows.transpose(1, 2)).pooler_output,
        )


def test_ast_survives_safetensors(ast_folder, tmp_path):
    _, folder = ast_folder
    network = build("ast", (128, 100), weights=str(folder)).eval()
    path = str(tmp_path / "model.safetensors")
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    safetensors.torch.save_file(weights, path)
    other = build("ast", (128, 100), weights=str(folder)).eval()
    other.load_state_dict(safetensors.torch.load_file(path))
    windows = torch.randn(2, 128, 100)
    with torch.inference_mode():
        torch.testing.assert_close(other(windows), network(windows))


def test_positions_are_cut_from_the_middle_or_interpolated():
    bands, times = torch.meshgrid(torch.arange(12.0), torch.arange(101.0), indexing="ij")
    grid = torch.stack([bands, times], dim=-1).reshape(1, -1, 2)
    special = torch.full((1, 2, 2), -7.0)
    positions = torch.cat([special, grid], dim=1)

    def fitted(*new_grid):
        out = fitted_positions(positions, grid=(12, 101), new_grid=new_grid)
        assert (out[:, :2] == -7).all()
        return out[0, 2:].reshape(*new_grid, 2)

    torch.testing.assert_close(fitted(12, 101).reshape(1, -1, 2), grid, rtol=0, atol=0)
    cut = fitted(12, 9)
    assert cut[5, :, 1].tolist() == list(range(46, 55))
    assert cut[:, 0, 0].tolist() == list(range(12))
    longer = fitted(10, 202)  # bands are cut, time is twice as dense
    assert longer[:, 0, 0].tolist() == list(range(1, 11))
    assert longer[3, 101, 1].item() == pytest.approx(50.25)
    assert (longer[3, 1:, 1] >= longer[3, :-1, 1]).all()


def test_the_grid_of_ten_seconds(ast_folder):
    network, _ = ast_folder
    assert grid_of(network.config, (128, 1024)) == (12, 101)
    assert grid_of(network.config, (128, 100)) == (12, 9)


def test_a_folder_without_an_ast_is_refused(ast_folder, tmp_path):
    _, folder = ast_folder
    with pytest.raises(UsageError, match=r"no config\.json.*hf download MIT/ast"):
        build("ast", (128, 100), weights=str(tmp_path / "none"))
    file = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    fewer = {name: t for name, t in tensors.items() if "layer.1." not in name}
    assert len(fewer) < len(tensors)
    safetensors.torch.save_file(fewer, file, metadata={"format": "pt"})
    with pytest.raises(UsageError, match="tensors of an AST are not there"):
        build("ast", (128, 100), weights=str(folder))
    file.unlink()
    with pytest.raises(UsageError, match="not a readable AST"):
        build("ast", (128, 100), weights=str(folder))


def test_ast_needs_transformers_and_nothing_else_does(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"pip install '.\[ast\]'"):
        build_ast(n_classes=11, input_shape=(128, 100), dropout=0.2)
    assert n_parameters(build("crnn")) > 0


def test_a_window_of_no_patch_is_refused():
    with pytest.raises(UsageError, match="is 128 x 15; expected at least 16 x at least 16"):
        build("ast", (128, 15))


class Averages(nn.Module):
    """A network that somebody has just added."""

    def __init__(self, width: int, *, over: int = 2) -> None:
        super().__init__()
        self.head, self.over = nn.Linear(8, width), over

    def forward(self, windows):
        return self.head(windows.mean(dim=self.over))


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (lambda: Averages(3), None),
        (
            lambda: Averages(4),
            "of windows [2, 8, 20] its network makes [2, 4]; expected a logit of",
        ),
        (lambda: nn.Linear(20, 3), "makes [2, 8, 3]; expected a logit of each class, [2, 3]"),
        (lambda: nn.MaxPool1d(20, return_indices=True), "makes tuple; expected"),
        (lambda: Averages(3, over=1), "it fails on windows [2, 8, 20]: "),
    ],
)
def test_what_a_new_network_makes_is_looked_at_before_it_is_trained(monkeypatch, network, says):
    monkeypatch.setitem(networks(), "own", Entry("own", lambda *_: network()))
    model = Tagger(Architecture("own", n_classes=3, input_size=(8, 20), input_shape=(8, 20)))
    if says is None:
        check_logits(model)
        return
    with pytest.raises(UsageError, match="model 'own': ") as raised:
        check_logits(model)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_two_networks_of_one_name_are_refused(monkeypatch):
    entry = Entry("own", lambda *_: Averages(3))
    monkeypatch.setattr(
        "pipeline.models.networks.registry.declared", lambda *_, **__: [(entry,)] * 2
    )
    with pytest.raises(UsageError, match="two networks are called own"):
        networks.__wrapped__()
