"""What holds of every pretrained family, whoever adds it."""

import subprocess
import sys

import pytest
import torch

from pipeline.audio.spectra.input_kinds import input_from_dict
from pipeline.models.pretrained.family import families, variants
from pipeline.models.pretrained.outputs import output_map
from pipeline.selection.vocabulary import shipped_vocabulary

FAMILIES = pytest.mark.parametrize("family", families().values(), ids=families())
VARIANTS = pytest.mark.parametrize("name", variants())


@FAMILIES
def test_a_window_fits_its_network(family):
    n_frames = family.windows.n_frames(family.input_spec)
    assert family.input_spec.n_rows >= family.smallest[0]
    assert n_frames >= family.smallest[1]
    assert input_from_dict(family.input_spec.to_dict()) == family.input_spec
    assert family.licence
    assert family.home.startswith("https://")


@FAMILIES
def test_outputs_have_names(family):
    assert len(set(family.mids)) == len(family.mids)
    vocabulary = shipped_vocabulary(family.classes)
    assert len(output_map(vocabulary, family.mids, model=family.name)) == len(vocabulary.codes)


def test_names_are_unique():
    assert len(variants()) == sum(len(family.variants) for family in families().values())


@VARIANTS
def test_a_network_is_as_large_as_it_says(name):
    family, variant = variants()[name]
    with torch.device("meta"):
        network = family.build(variant, len(family.mids), 0.0)
    assert sum(one.numel() for one in network.parameters()) == variant.n_parameters
    assert variant.published_map == 0 or 0.3 < variant.published_map < 0.51
    assert variant.source is None or variant.source.url.startswith("https://")


def test_families_are_found_without_what_only_some_networks_need():
    code = "import sys; from pipeline.models.pretrained.family import families; families(); "
    code += "print([n for n in ('transformers', 'timm', 'openvino') if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
