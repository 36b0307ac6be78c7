"""A folder's modules are found by their constant, in a known order; what exists keeps its order."""

import sys

import pytest

from pipeline.audio.fetching import fetch
from pipeline.audio.fetching.sources.base import NamedSource
from pipeline.audio.spectra.input_kinds import front_ends
from pipeline.configs.export import ExportConfig
from pipeline.errors import UsageError
from pipeline.evaluation.labels.aggregate import METHODS, TRACKS
from pipeline.flags import field_docs
from pipeline.models.networks.registry import networks
from pipeline.runs.joined import relative_on_cluster
from pipeline.seams import declared, declaring, summaries
from pipeline.tagging.export import FORMATS
from pipeline.training.augmenting.augment import AUGMENTATIONS
from pipeline.training.augmenting.randomise.chain import AFTER_SPEED


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Give the name of a package of modules, of which three have the constant."""
    folder = tmp_path / "kinds_of_the_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for name in ("b", "a", "c"):
        (folder / f"{name}.py").write_text(f"'''About {name}.\n\nMore.'''\n\nKIND = '{name}'\n")
    (folder / "shared.py").write_text(
        "raise RuntimeError('it is none of the kind: not imported')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    for name in [name for name in sys.modules if name.startswith(folder.name)]:
        del sys.modules[name]


def test_modules_with_the_constant_are_found_by_name(package):
    assert declared(package, "KIND") == ["a", "b", "c"]


def test_some_stand_first_and_a_name_without_a_module_is_no_fault(package):
    assert declared(package, "KIND", first=("c", "gone")) == ["c", "a", "b"]


def test_names_and_what_modules_say_of_themselves_are_read_without_an_import(package):
    assert declaring(package, "KIND") == ["a", "b", "c"]
    assert summaries(package, "KIND") == {"a": "About a", "b": "About b", "c": "About c"}
    assert f"{package}.a" not in sys.modules


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def (:", "SyntaxError: invalid syntax"),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line_that_names_it(package, tmp_path, line, why):
    file = tmp_path / package / "own.py"
    file.write_text(f'"""A new one."""\n{line}\nKIND = 1\n')
    with pytest.raises(UsageError) as raised:
        declared(package, "KIND")
    assert str(raised.value) == (
        f"{file}, line 2: {why}; {package}.own cannot be imported: mend it, "
        "install what it needs, or take the file away"
    )
    summaries(package, "KIND")  # --help goes on


USUAL = {
    "exports": ["csv", "jsonl", "jams", "audacity", "m3u"],
    "aggregations": ["s1", "s2", "max", TRACKS],
    "networks": [
        *("cnn1d-raw", "cnn2d-mfcc", "cnn1d-descriptors", "crnn", "shortchunk", "shortchunk-res"),
        *("compact", "ast", "svm", "random-forest", "mlp", "knn"),
    ],
    "augmentations": ["masks", "tilt", "mix", "shift", "noise", "pitch", "randomise"],
    "transforms": [
        *("Room", "Equaliser", "LowPass", "HighPass", "Compressor", "Clipping", "Noise", "Codec"),
        "Gain",
    ],
    "front ends": ["logmel", "local feature", "samples", "kaldi", "filter bank", "stacked"],
}
FOUND = {
    "exports": FORMATS,
    "aggregations": METHODS,
    "networks": networks(),
    "augmentations": AUGMENTATIONS,
    "transforms": [type(one).__name__ for one in AFTER_SPEED],
    "front ends": front_ends(),
}


@pytest.mark.parametrize("seam", USUAL)
def test_what_exists_keeps_its_order_whatever_is_added(seam):
    assert [name for name in FOUND[seam] if name in USUAL[seam]] == USUAL[seam]


def test_the_help_explains_every_export_on_a_line_of_its_own():
    first, *lines = field_docs(ExportConfig)["format"].split("\n")
    assert first == "What to write "
    assert [line.partition(": ")[0] for line in lines] == list(FORMATS)
    assert lines[0] == "csv: TAGS as a csv: one row per track, failed ones too"


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("youtube", ("", None)),
        ("http://x/{ytid}", ("", None)),
        ("irmas:data", ("irmas:", "data")),
        ("boxed:a/b.box", ("boxed:", "a/b.box")),
        ("service:me", ("service:", None)),
    ],
)
def test_a_source_is_known_by_its_prefix(source, place, monkeypatch):
    opened = []
    kinds = [
        NamedSource("boxed:", "boxed:FILE", True, lambda text, access: opened.append(text)),
        NamedSource("service:", "service:NAME", False, lambda text, access: opened.append(text)),
    ]
    monkeypatch.setattr(fetch, "NAMED", kinds)
    assert fetch.place_of(source) == place
    if source.startswith(("boxed", "service")):
        fetch.open_source(source)
        assert opened == [source.partition(":")[2]]
    with pytest.raises(UsageError, match="or irmas:FOLDER, boxed:FILE, service:NAME"):
        fetch.open_source("/nowhere")


@pytest.mark.parametrize(
    ("source", "is_refused"),
    [("boxed:/a/b.box", False), ("service:me", False), ("boxed:b.box", True), ("irmas:a", True)],
)
def test_on_a_cluster_the_path_of_a_source_is_absolute(source, is_refused, monkeypatch):
    kinds = [
        NamedSource("boxed:", "boxed:FILE", True, lambda text, access: None),
        NamedSource("service:", "service:NAME", False, lambda text, access: None),
    ]
    monkeypatch.setattr(fetch, "NAMED", kinds)
    said = relative_on_cluster(source, {"RAY_ADDRESS": "10.0.0.1:1"})
    assert (said is not None) == is_refused
