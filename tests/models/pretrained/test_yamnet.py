"""YAMNet with Google's weights computes what its graph does; its two files are read alike."""

import csv

import numpy as np
import pytest
import torch
from scipy.special import expit

from pipeline.errors import UsageError
from pipeline.models.engines.graphs import Outputs, openvino
from pipeline.models.pretrained.yamnet import FAMILY
from pipeline.selection.vocabulary import audioset_names
from tests.shared_files import shared

TFLITE, KERAS = FAMILY.variants


@pytest.fixture(scope="module")
def reference():
    """What LiteRT and OpenVINO made of three signals: they differ by up to 0.086 in a score."""
    return np.load(shared("weights/parity_yamnet.npz"))


@pytest.fixture(scope="module")
def network():
    made = FAMILY.build(TFLITE, len(FAMILY.mids), 0.0)
    made.load_state_dict(FAMILY.read(shared("weights/yamnet.tflite"), TFLITE))
    return made.eval()


def run(network, samples):
    matrices = np.stack([FAMILY.input_spec.matrix(one) for one in samples])
    with torch.inference_mode():
        logits, features = Outputs(network)(torch.from_numpy(matrices))
    return expit(logits.numpy()), features.numpy()


def without_rounding(model):
    """Return Google's graph without what rounds its activations to 8 bits."""
    for op in model.get_ordered_ops():
        if op.get_type_name() == "FakeQuantize":
            op.output(0).replace(op.input_value(0))
    return model


def test_it_is_googles_graph_but_for_the_rounding(reference, network):
    ov = openvino()
    model = without_rounding(ov.Core().read_model(shared("weights/yamnet.tflite")))
    log_mel = next(op for op in model.get_ordered_ops() if op.get_type_name() == "Log")
    model.add_outputs(log_mel.output(0))
    exact = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    graph = ov.Core().compile_model(model, "CPU", exact)
    for samples in reference["samples_16k"]:
        scores, log_mel = (torch.from_numpy(np.array(value)) for value in graph(samples).values())
        # Where a band is silent, float32 decides: both are 1e-3 off of float64.
        found = FAMILY.input_spec.matrix(samples)
        np.testing.assert_allclose(found, log_mel.T, rtol=0, atol=3e-3)
        with torch.inference_mode():
            logits = network(log_mel.T[None])
        torch.testing.assert_close(logits.sigmoid(), scores, rtol=0, atol=1e-5)


def test_scores_and_embeddings_are_within_the_spread_of_the_references(reference, network):
    scores, features = run(network, reference["samples_16k"])
    for name in ("litert", "openvino_f32"):
        assert np.abs(scores - reference[f"scores_{name}"]).max() < 0.086  # 0.036, 0.060 seen
        for mine, theirs in zip(features, reference[f"embedding_{name}"], strict=True):
            assert np.corrcoef(mine, theirs)[0, 1] > 0.999


def test_its_classes_are_those_of_its_map():
    with shared("weights/yamnet_class_map.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["mid"] for row in rows] == list(FAMILY.mids)
    assert [row["display_name"] for row in rows] == [audioset_names()[mid] for mid in FAMILY.mids]


def write_h5(path, rng):
    """Write weights as Keras does; return what each layer does to its input, batch norm apart."""
    h5py = pytest.importorskip("h5py")
    layers = {}
    with h5py.File(path, "w") as file:

        def put(layer, kind, values):
            values = values.astype(np.float32)
            file[f"{layer}/{layer}/{kind}:0"] = values
            return values

        def convolution(layer, kind, *shape):
            n = shape[2] if kind == "depthwise_kernel" else shape[3]
            layers[layer] = (
                put(layer, kind, rng.normal(0, 0.1, shape)),
                *(
                    put(f"{layer}/bn", name, rng.uniform(0.5, 1.5, n))
                    for name in ("beta", "moving_mean", "moving_variance")
                ),
            )

        n_in = 32
        convolution("layer1/conv", "kernel", 3, 3, 1, n_in)
        for k, n_out in enumerate((64, 128, 128, 256, 256, *[512] * 6, 1024, 1024), 2):
            convolution(f"layer{k}/depthwise_conv", "depthwise_kernel", 3, 3, n_in, 1)
            convolution(f"layer{k}/pointwise_conv", "kernel", 1, 1, n_in, n_out)
            n_in = n_out
        layers["dense"] = (
            put("dense", "kernel", rng.normal(0, 0.1, (1024, 521))),
            put("dense", "bias", rng.normal(0, 0.1, 521)),
        )
    return layers


def test_keras_file_is_read_with_its_batch_norms(tmp_path, rng):
    layers = write_h5(tmp_path / "yamnet.h5", rng)
    network = FAMILY.build(KERAS, len(FAMILY.mids), 0.0)
    network.load_state_dict(FAMILY.read(tmp_path / "yamnet.h5", KERAS))
    maps = torch.from_numpy(rng.normal(0, 1, (1, 512, 4, 6)).astype(np.float32))
    depthwise, _, pointwise, _ = network.features[12 + 1]  # layer 13, the last one of stride 2
    for layer, name, order in (
        (depthwise, "layer13/depthwise_conv", (2, 3, 0, 1)),
        (pointwise, "layer13/pointwise_conv", (3, 2, 0, 1)),
    ):
        kernel, beta, mean, variance = (torch.from_numpy(one) for one in layers[name])
        plain = type(layer)(
            layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride,
            groups=layer.groups, bias=False,
        )  # fmt: skip
        plain.weight.data = kernel.permute(*order)
        normed = torch.nn.functional.batch_norm(plain(maps), mean, variance, None, beta, eps=1e-4)
        torch.testing.assert_close(layer(maps), normed, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(network.classifier.weight.T, torch.from_numpy(layers["dense"][0]))


def test_stride_two_pads_behind_as_tensorflow_does():
    network = FAMILY.build(TFLITE, 2, 0.0)
    stem = network.features[0]
    stem.weight.data.zero_()
    stem.weight.data[:, :, 0, 0] = 1  # what stands at the upper left of each patch
    stem.bias.data.zero_()
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert stem(image)[0, 0].tolist() == [[0, 2], [8, 10]]  # none of it is padding


@pytest.mark.parametrize("variant", FAMILY.variants, ids=lambda one: one.name)
def test_sizes_are_as_stated(variant):
    with torch.device("meta"):
        network = FAMILY.build(variant, len(FAMILY.mids), 0.0)
    assert sum(p.numel() for p in network.parameters()) == variant.n_parameters


@pytest.mark.parametrize("variant", FAMILY.variants, ids=lambda one: one.name)
def test_a_wrong_file_says_what_was_expected(variant, tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"<html>no such file</html>")
    with pytest.raises(UsageError, match=f"expected {variant.name} of yamnet"):
        FAMILY.read(path, variant)


def test_a_damaged_file_is_told_from_another_kind_of_file(tmp_path):
    path = tmp_path / "yamnet.tflite"
    path.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(200))
    with pytest.raises(UsageError, match="cut off or damaged; expected yamnet of yamnet"):
        FAMILY.read(path, FAMILY.variant("yamnet"))
