"""The names that configs offer are those that the code knows."""

from typing import get_args

from pipeline.audio.description.features import FEATURES
from pipeline.configs.explore import ALL, Shown
from pipeline.configs.export import FORMATS as FORMAT_NAMES
from pipeline.configs.extract import FEATURES as FEATURE_NAMES
from pipeline.configs.tag import TagConfig
from pipeline.evaluation.labels.aggregate import TRACKS
from pipeline.flags import field_docs
from pipeline.models import names
from pipeline.models.model import DEFAULT_MIN_CONFIDENCE
from pipeline.models.networks.classical import CLASSICAL
from pipeline.models.networks.registry import networks
from pipeline.models.pretrained.family import families
from pipeline.selection.splits import SPLITS
from pipeline.tagging.export import FORMATS
from pipeline.training.data.sampling import BALANCES
from pipeline.training.selection import _KEYS


def test_the_networks_and_families():
    assert tuple(networks())[: len(names.NETWORKS)] == names.NETWORKS  # those of new files follow
    assert tuple(CLASSICAL) == names.CLASSICAL
    found = {
        name: tuple(one.name for one in family.variants) for name, family in families().items()
    }
    assert found.keys() == names.FAMILIES.keys()
    listed = {name: variants for name, variants in names.FAMILIES.items() if variants}
    assert {name: found[name] for name in listed} == listed


def test_what_has_a_table_of_its_own():
    assert get_args(names.Balance) == tuple(BALANCES)
    assert tuple(_KEYS) == names.SELECTIONS
    assert tuple(FORMATS) == FORMAT_NAMES
    assert tuple(FEATURES) == FEATURE_NAMES
    assert get_args(Shown) == (*SPLITS, ALL)


def test_help_says_the_defaults_of_elsewhere():
    docs = field_docs(TagConfig)
    assert f"or {DEFAULT_MIN_CONFIDENCE:g} where it has none" in docs["min_confidence"]
    assert f"but {TRACKS} where that is s2" in docs["aggregate"]
    assert f"by segments, such as {TRACKS}: " in docs["aggregate"]
