"""A published tagger's file in, a model's folder out, as a training writes one.

After that every job takes it: its windows, classes, thresholds and scaling are in model.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import UsageError
from pipeline.models.card import Architecture, ModelCard, model_there
from pipeline.models.engines.graphs import example_of
from pipeline.models.model import Tagger, named, save_model
from pipeline.models.networks.parts.embedding import Outputs
from pipeline.models.pretrained.download import cache_folder, download, file_name, file_sha256
from pipeline.models.pretrained.family import Family, Variant, WeightsSource, families
from pipeline.models.pretrained.import_config import ALL
from pipeline.models.pretrained.import_config import ImportConfig as ImportConfig
from pipeline.models.pretrained.outputs import MappedNetwork, output_map
from pipeline.selection.vocabulary import (
    SHIPPED,
    Vocabulary,
    audioset_vocabulary,
    default_vocabulary,
    parse_vocabulary,
    shipped_vocabulary,
)
from pipeline.store.folder import Folder
from pipeline.store.out import MODEL, check_out

AGGREGATION = "s1"
"""Their authors score a clip as a whole; the mean over windows is next to it."""
UNTUNED = 0.1
"""Threshold where nobody has found one: scores of taggers of hundreds of classes are low."""
MIN_CONFIDENCE = 0.0
"""Least mean score of a class's three highest windows: thresholds say enough, and lie below 0.2."""


@dataclass(frozen=True)
class Imported:
    """What an import came to."""

    card: ModelCard
    was_done: bool
    """Whether the folder held it already."""


def import_model(config: ImportConfig, provenance: Mapping[str, str]) -> Imported:
    """Write the model's folder; done immediately where it holds the same model already.

    Raises
    ------
    UsageError
        For what the config names: it says what was expected. Another model is not overwritten.
    SourceUnreachable
        Where the weights can't be fetched.
    """
    check_out(config.out, MODEL)
    family = _family(config.family)
    variant = family.variant(config.variant)
    windows = _windows(family, config.window_s, config.hop_s)
    vocabulary = _vocabulary(config.classes or family.classes, family)
    outputs = output_map(vocabulary, family.mids, model=variant.name)
    path, source = _file(config.weights, family, variant)
    architecture = Architecture(
        name=variant.name,
        n_classes=len(vocabulary.codes),
        dropout=0.0,
        input_shape=(family.input_spec.n_rows, windows.n_frames(family.input_spec)),
        below_peak=False,
        n_outputs=len(family.mids),
        outputs=outputs,
    )
    tagger = _tagger(architecture, family, variant, path)
    thresholds, notes = thresholds_of(variant, vocabulary, family)
    card = ModelCard(
        architecture=architecture,
        vocabulary=vocabulary,
        input_spec=family.input_spec,
        windows=windows,
        aggregation=AGGREGATION,
        thresholds={AGGREGATION: thresholds},
        dataset_fingerprint="",
        training={"run": f"import-{variant.name}", "config": {"activity": True}, "history": []},
        provenance=dict(provenance),
        threshold_notes=notes,
        min_confidence=MIN_CONFIDENCE,
        source=source | {"embedding_width": _embedding_width(tagger)},
    )
    return _saved(Folder(config.out), tagger, card)


def _saved(out: Folder, tagger: Tagger, card: ModelCard) -> Imported:
    weights = tagger.state_dict()
    with out.claimed():
        if there := model_there(out, lambda one: _alike(one, named(card, weights)[0])):
            return Imported(there, was_done=True)
        return Imported(save_model(out, weights, card), was_done=False)


def _alike(one: ModelCard, other: ModelCard) -> bool:
    """Say whether two cards are of the same weights, cut into the same windows."""
    return (one.model_id, one.windows) == (other.model_id, other.windows)


def _family(name: str) -> Family:
    if name not in families():
        raise UsageError(f"--family {name!r}: expected one of {', '.join(sorted(families()))}")
    return families()[name]


def _windows(family: Family, window_s: float | None, hop_s: float | None) -> WindowSpec:
    own = family.windows
    if window_s not in (None, own.window_s) and not family.takes_any_window:
        raise UsageError(f"--window-s {window_s:g}: {family.name} takes {own.window_s:g} s alone")
    length_s, beside_s = (own.window_s, own.hop_s) if window_s is None else (window_s, window_s)
    return WindowSpec(length_s, beside_s if hop_s is None else hop_s)


def _vocabulary(classes: str, family: Family) -> Vocabulary:
    if classes in SHIPPED:
        return shipped_vocabulary(classes)
    if classes == ALL:
        return audioset_vocabulary(family.mids)
    path = Path(classes)
    if not path.is_file():
        names = ", ".join((*SHIPPED, ALL))
        raise UsageError(f"--classes {classes}: no such file; expected {names} or a TOML")
    return parse_vocabulary(path.read_text(), name=classes)


def _file(weights: str | None, family: Family, variant: Variant) -> tuple[Path, dict[str, Any]]:
    """Return the file or folder to read, and what model.json says of it."""
    known = variant.source or WeightsSource("", None)
    url = weights if weights is not None and _is_url(weights) else None
    if weights is None:
        url = known.url
    if url == "":
        raise UsageError(f"{variant.name}: expected --weights, {family.expected(variant)}")
    if url is not None:
        sha256 = known.sha256 if url == known.url else None
        # by variant: on a hub all files are called model.safetensors
        folder = cache_folder() / variant.name
        path = download(url, folder, sha256=sha256, instead=_instead(url, family))
    else:
        path = Path(str(weights)).expanduser()
    if not path.exists():
        raise UsageError(f"--weights {path}: not there; expected {family.expected(variant)}")
    about = {
        "family": family.name,
        "variant": variant.name,
        "licence": family.licence,
        "home": family.home,
        "read_from": url or str(path.absolute()),
        "sha256": digests(path),
        "published_map": variant.published_map,
        "n_parameters": variant.n_parameters,
    }
    return path, about


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _instead(url: str, family: Family) -> str:
    return f"bring {file_name(url)} from {family.home} and pass --weights {file_name(url)}"


def digests(path: Path) -> dict[str, str]:
    """Return the sha256 of a file, or of each file of a folder, by name."""
    files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    return {one.name: file_sha256(one) for one in files}


def _tagger(architecture: Architecture, family: Family, variant: Variant, path: Path) -> Tagger:
    """Return the network with its authors' weights, and its input's scaling."""
    try:
        tensors = family.read(path, variant)
    except UsageError as error:
        if cache_folder() in path.parents:
            path.unlink()  # not to be met again: the next run fetches it anew
        expected = family.expected(variant)
        said = str(error) if "expected" in str(error) else f"{error}; expected {expected}"
        raise UsageError(said) from error
    tagger = Tagger(architecture)
    mapped = tagger.backbone
    assert isinstance(mapped, MappedNetwork)
    mapped.network.load_state_dict(tensors)
    mean, deviation = family.input_spec.scaling or (0.0, 1.0)
    tagger.row_mean.fill_(mean)
    tagger.row_deviation.fill_(deviation)
    return tagger.eval()


def _embedding_width(tagger: Tagger) -> int | None:
    with torch.inference_mode():
        outputs = Outputs(tagger.backbone)(example_of(tagger, n=1))
    return outputs[1].shape[1] if len(outputs) > 1 else None


def thresholds_of(
    variant: Variant, vocabulary: Vocabulary, family: Family
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return one threshold per class, and what is to be known of them.

    A class that means what it does in the default vocabulary has the variant's; the others have
    the median of these.
    """
    means = {one.code: set(one.any_of) for one in default_vocabulary().instruments}
    known = {
        one.code: variant.thresholds[one.code]
        for one in vocabulary.instruments
        if means.get(one.code) == set(one.any_of) and one.code in variant.thresholds
    }
    other = round(median(variant.thresholds.values()), 3) if variant.thresholds else UNTUNED
    n_other = len(vocabulary.codes) - len(known)
    notes = (
        *((variant.threshold_source,) if known and variant.threshold_source else ()),
        *((f"{n_other} classes have {other:g}, which was not found for them",) if n_other else ()),
    )
    return {code: known.get(code, other) for code in vocabulary.codes}, notes
