"""The class vocabulary: which AudioSet ids make an instrument. TOML in, `Vocabulary` out.

A user may pass a file of their own; `instruments.toml` beside this module is the default and shows
the form. Those of OpenMIC-2018, NSynth and MTG-Jamendo lie beside it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from pipeline.errors import TableError, UsageError

SHIPPED = ("instruments", "openmic", "nsynth", "jamendo")
"""Vocabularies beside this module, as --classes names them."""
_CODE = re.compile(r"[a-z][a-z0-9_]*")
_LISTS = ("any_of", "none_of", "unknown_if")
_KEYS = {"code", "name", *_LISTS}


@dataclass(frozen=True)
class Instrument:
    """One class: a segment has it when it has any of `any_of` and none of `none_of`."""

    code: str
    name: str
    any_of: tuple[str, ...]
    none_of: tuple[str, ...] = ()
    unknown_if: tuple[str, ...] = ()
    """Ids that leave open whether the class is there, where it is not labelled: its family, say."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and strings; without `unknown_if` where there is none, as before."""
        values = asdict(self)
        return values if self.unknown_if else {k: v for k, v in values.items() if k != "unknown_if"}


@dataclass(frozen=True)
class Vocabulary:
    """The classes, in the order that every table, model and report keeps."""

    instruments: tuple[Instrument, ...]

    @property
    def codes(self) -> list[str]:
        """The class codes, in order."""
        return [instrument.code for instrument in self.instruments]

    @property
    def names(self) -> dict[str, str]:
        """Name by code, in order."""
        return {instrument.code: instrument.name for instrument in self.instruments}

    def to_dict(self) -> list[dict[str, Any]]:
        """Return plain lists and strings, for dataset.json and model.json."""
        return [instrument.to_dict() for instrument in self.instruments]

    def without_unknown(self) -> Vocabulary:
        """Return the same classes without `unknown_if`: what they mean, not what leaves them open.

        Models and datasets whose vocabularies are equal so have the same classes.
        """
        return Vocabulary(tuple(replace(one, unknown_if=()) for one in self.instruments))

    @classmethod
    def from_dict(cls, rows: Iterable[Mapping[str, Any]]) -> Vocabulary:
        """Return the vocabulary that `to_dict` gave."""
        return cls(
            tuple(
                Instrument(
                    row["code"],
                    row["name"],
                    tuple(row["any_of"]),
                    tuple(row["none_of"]),
                    tuple(row.get("unknown_if", ())),
                )
                for row in rows
            )
        )


@cache
def audioset_order() -> tuple[str, ...]:
    """Return AudioSet's 527 label ids, in the order of its class_labels_indices.csv."""
    return _lines_of("audioset_mids.txt")


@cache
def audioset_mids() -> frozenset[str]:
    """Return AudioSet's 527 label ids."""
    return frozenset(audioset_order())


@cache
def audioset_names() -> dict[str, str]:
    """Return the names of AudioSet's 527 labels by id."""
    return dict(zip(audioset_order(), _lines_of("audioset_names.txt"), strict=True))


def _lines_of(name: str) -> tuple[str, ...]:
    """Return the lines of a file beside this module, without its remarks."""
    text = (resources.files("pipeline.selection") / name).read_text()
    return tuple(line for line in text.splitlines() if not line.startswith("#"))


def audioset_vocabulary(mids: Iterable[str]) -> Vocabulary:
    """Return one class per label, by AudioSet's ids; its code is made of its name.

    What is no id of AudioSet's is a name itself.

    >>> audioset_vocabulary(["/m/01glhc"]).instruments[0].code
    'tapping_guitar_technique'
    """
    names = {mid: audioset_names().get(mid, mid) for mid in mids}
    codes = {mid: re.sub(r"[^a-z0-9]+", "_", names[mid].lower()).strip("_") for mid in names}
    return Vocabulary(tuple(Instrument(codes[mid], names[mid], (mid,)) for mid in names))


def default_vocabulary() -> Vocabulary:
    """Return the vocabulary of the eleven instruments."""
    return shipped_vocabulary("instruments")


def shipped_vocabulary(name: str) -> Vocabulary:
    """Return the vocabulary of one of `SHIPPED`."""
    path = resources.files("pipeline.selection") / f"{name}.toml"
    return parse_vocabulary(path.read_text(), name=path.name)


def parse_vocabulary(text: str, *, name: str, ontology: str | None = None) -> Vocabulary:
    """Return the vocabulary that a TOML text describes.

    `name` is the file's name in error messages; `ontology` is the text of AudioSet's ontology.json,
    needed only where an id says `expand = true`.
    """
    try:
        rows = tomllib.loads(text).get("instrument", [])
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name}: not TOML: {error}") from error
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{name}: found no [[instrument]]; expected one per class")
    children = _children(ontology) if ontology is not None else {}
    known = audioset_mids() | children.keys()
    vocabulary = Vocabulary(tuple(_instrument(row, text, name, known, children) for row in rows))
    _check_unique(vocabulary, text, name)
    return vocabulary


def _instrument(
    row: Mapping[str, Any],
    text: str,
    name: str,
    known: Collection[str],
    children: Mapping[str, list[str]],
) -> Instrument:
    code = row.get("code")
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise TableError(
            name, _line_of(text, repr(code)[1:-1]), f"code {code!r}", "a code of a-z, 0-9 and _"
        )
    if unknown := row.keys() - _KEYS:
        key = sorted(unknown)[0]
        raise TableError(name, _line_of(text, key), f"key {key!r}", f"one of {sorted(_KEYS)}")
    for key in _LISTS:
        if not isinstance(row.get(key, []), list):
            raise TableError(name, _line_of(text, code), f"{key} {row[key]!r}", "a list of ids")
    lists = {key: _mids(row.get(key, []), text, name, known, children) for key in _LISTS}
    if not lists["any_of"]:
        raise TableError(name, _line_of(text, code), f"no any_of for {code!r}", "at least one id")
    return Instrument(code, str(row.get("name", code)), **lists)


def _mids(
    entries: Iterable[Any],
    text: str,
    name: str,
    known: Collection[str],
    children: Mapping[str, list[str]],
) -> tuple[str, ...]:
    mids: list[str] = []
    for entry in entries:
        form = entry if isinstance(entry, dict) else {"mid": entry}
        mid, expand = str(form.get("mid")), form.get("expand", False)
        if strange := form.keys() - {"mid", "expand"}:
            found = f"key {min(strange)!r} of {mid}"
            raise TableError(name, _line_of(text, mid), found, "mid and expand")
        if not isinstance(expand, bool):
            raise TableError(name, _line_of(text, mid), f"expand {expand!r}", "true or false")
        if mid not in known:
            raise TableError(
                name, _line_of(text, mid), f"unknown id {mid!r}", "an id of AudioSet's classes"
            )
        if expand and not children:
            raise UsageError(f"{name}: {mid} says expand = true: pass --ontology ontology.json")
        mids += _descendants(mid, children) if expand else [mid]
    return tuple(dict.fromkeys(mids))


def _children(ontology: str) -> dict[str, list[str]]:
    try:
        children = {node["id"]: node["child_ids"] for node in json.loads(ontology)}
        if missing := {mid for below in children.values() for mid in below} - children.keys():
            raise ValueError(f"no node {min(missing)}")
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(
            "--ontology: expected AudioSet's ontology.json, a list of nodes with id and child_ids: "
            f"{type(error).__name__} {error}"
        ) from error
    return children


def _descendants(mid: str, children: Mapping[str, list[str]]) -> list[str]:
    return [mid] + [below for child in children[mid] for below in _descendants(child, children)]


def _check_unique(vocabulary: Vocabulary, text: str, name: str) -> None:
    seen: set[str] = set()
    for code in vocabulary.codes:
        if code in seen:
            raise TableError(name, _line_of(text, f'"{code}"'), f"code {code!r} twice", "it once")
        seen.add(code)


def _line_of(text: str, token: str) -> int:
    """Return the last line that holds `token`; 1 where none does (TOML keeps no line numbers)."""
    lines = [number for number, line in enumerate(text.splitlines(), 1) if token in line]
    return lines[-1] if lines else 1
