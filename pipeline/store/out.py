"""One rule for every `--out`: it is new or empty, or holds what the same job makes, and no input.

What a folder holds is told by its marker files, such as dataset.json. A job into the folder of
another would mix two things under one roof: its report.html would replace the other's, and what
reads the folder later would not know what it is. Things of the same kind that were made in another
way are refused as well (`check_same`; of a model's folder, `models.card.model_there`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pipeline.errors import SpecMismatch, UsageError
from pipeline.store.catalogue import is_uri, without_scheme
from pipeline.store.folder import Folder
from pipeline.store.uris import without_options


@dataclass(frozen=True)
class Kind:
    """What a job makes of its `--out`."""

    name: str
    """With its article, as messages say it."""
    markers: str
    """A regular expression for the names of the files by which it is known."""
    folders: tuple[str, ...] = ()
    """Glob patterns of the sub-folders that belong to it, where no other job may write."""


DATASET = Kind("a dataset", r"dataset\.json", ("clips", "features", "ledger", "embeddings"))
FEATURES = Kind("features", r"features\.json")
EXPLORATION = Kind("a dataset's exploration", r"explore\.json")
MODEL = Kind("a model", r"model\.json", ("runs", "tensorboard", "embeddings"))
FOLDS = Kind("a cross-validation", r"folds\.json", ("fold-*",))
EVALUATION = Kind("an evaluation", r"(metrics|evaluation)\.json", ("tags",))
COMPARISON = Kind("a comparison of evaluations", r"comparison\.json")
DIFFERENCES = Kind("a comparison of tags", r"differences\.json")
TAGS = Kind(
    "a catalogue's tags",
    r"run\.json",
    (
        *("tags", "runs", "windows", "intervals", "embeddings", "window_embeddings", "gone"),
        *("catalogue", "corrections", "search"),
    ),
)
EXPORT = Kind(
    "exported tags",
    r"tags\.(?!parquet)\w+|.+-[0-9a-f]{16}\.(?!parquet)\w+|[a-z0-9_]+\.(m3u8|nsp)"
    r"|index-[\w-]+\.jsonl|file-tags\.journal\.jsonl"
    r"|(atlas|beets|fiftyone|label-studio|navidrome|webdataset)(-\d+)?\.\w+",
)
"""Of any format: one table, one file per track, of which there is an index, or playlists."""
REPRODUCTION = Kind(
    "a reproduction of the report",
    r"reproduction\.json",
    ("datasets", "features", "exploration", "models", "evaluations"),
)
DEMO = Kind("a demo", r"(?!)")
"""Of folders only: those of its jobs."""

_BESIDE = (EXPORT, EXPLORATION)
"""What older versions let stand beside the tags or features it is of, whose job goes on."""
KINDS = (
    *(DATASET, FEATURES, EXPLORATION, MODEL, FOLDS, EVALUATION, COMPARISON, DIFFERENCES, TAGS),
    *(EXPORT, REPRODUCTION, DEMO),
)


def check_out(
    uri: str,
    kind: Kind,
    inputs: Mapping[str, str | Sequence[str] | None] | None = None,
    *,
    catalog: str | None = None,
) -> None:
    """Raise UsageError unless a job that makes `kind` may write into the folder `uri`.

    Parameters
    ----------
    uri
        The job's `--out`.
    kind
        What the job makes: a folder that holds any other kind is refused.
    inputs
        The folders that the job reads, by their flag. `uri` must be none of them, nor lie in a
        sub-folder that belongs to what one holds, such as a dataset's `clips/`.
    catalog
        A catalogue of audio as the job was given it. Where it is a folder, `uri` must neither lie
        in it, as every later listing would meet the job's files there, nor contain it.
    """
    out = Folder(uri)
    out.refuse_file()
    if catalog is not None:
        _refuse_music(out, uri, catalog)
    for flag, given in (inputs or {}).items():
        for one in [given] if isinstance(given, str) else given or ():
            _refuse_input(out, uri, flag, one)
    there = held(out)
    is_resumed = any(other is kind for _, other in there)
    for name, other in there:
        if other is not kind and not (is_resumed and other in _BESIDE):
            raise UsageError(
                f"--out {uri}: {name} is there, so it holds {other.name}; name another folder"
            )


def check_same(
    uri: str,
    held: str,
    before: Mapping[str, Any],
    mine: Mapping[str, Any],
    *,
    cure: str = "give another --out",
) -> None:
    """Raise SpecMismatch where a folder's things were made in another way than a job makes them.

    Parameters
    ----------
    uri
        The job's `--out`.
    held
        What there is, as the message says it: "holds features".
    before, mine
        How that was made, and how the job would make it: plain values by name.
    cure
        What the user can do.
    """
    keys = dict.fromkeys([*mine, *before])
    if changed := [key for key in keys if mine.get(key) != before.get(key)]:
        raise SpecMismatch(f"{uri}: {held} with {_others(changed)}; {cure}")


def _others(keys: list[str]) -> str:
    """Return what differs, as a sentence has it.

    >>> _others(["hop_s"]), _others(["thresholds"])
    ('another hop_s', 'other thresholds')
    """
    are_many = len(keys) > 1 or keys == ["thresholds"]
    return f"{'other' if are_many else 'another'} {', '.join(keys)}"


def held(folder: Folder) -> list[tuple[str, Kind]]:
    """Return the marker files of a folder, each with what it says that the folder holds."""
    return [
        (name, kind)
        for name in folder.names("", suffix="")
        for kind in KINDS
        if re.fullmatch(kind.markers, name)
    ]


def below(one: Folder, other: Folder) -> tuple[str, ...]:
    """Return the names that lead from another folder down to one; none if it is not below.

    >>> below(Folder("/music/a/b"), Folder("/music")), below(Folder("/music"), Folder("/music/a"))
    (('a', 'b'), ())
    """
    if one.is_local != other.is_local:
        return ()
    mine, theirs = _parts(one), _parts(other)
    return mine[len(theirs) :] if mine[: len(theirs)] == theirs else ()


def _parts(folder: Folder) -> tuple[str, ...]:
    if folder.is_local:
        return folder.local_path("").resolve().parts
    return tuple(without_options(folder.uri)[0].rstrip("/").split("/"))


def _refuse_input(out: Folder, uri: str, flag: str, given: str) -> None:
    folder = Folder(given)
    if out.is_same(folder):
        there = "".join(f"{name} is there, " for name, _ in held(folder)[:1])
        raise UsageError(f"--out {uri}: {there}that is what {flag} names; name another folder")
    between = below(out, folder)
    if not between:
        return
    for _, kind in held(folder):
        if any(fnmatchcase(between[0], pattern) for pattern in kind.folders):
            raise UsageError(
                f"--out {uri}: {between[0]}/ belongs to what {flag} names, {kind.name}; name "
                "another folder"
            )


def _refuse_music(out: Folder, uri: str, catalog: str) -> None:
    catalog = without_scheme(catalog)
    given = catalogue_folder(catalog)
    if given is None:
        return
    folder, cure = Folder(given), "name a folder beside it"
    if out.is_same(folder):
        raise UsageError(f"--out {uri}: the catalogue's audio is there; {cure}")
    if _is_walked(catalog) and below(out, folder):
        raise UsageError(f"--out {uri}: that lies in the catalogue {given}; {cure}")
    if below(folder, out):
        raise UsageError(f"--out {uri}: the catalogue {given} lies in it; {cure}")


def catalogue_folder(catalog: str) -> str | None:
    """Return the folder that a catalogue is, or in which its glob looks; None for a file's.

    >>> catalogue_folder("/srv/music/*.flac"), catalogue_folder("s3://bucket/night.csv")
    ('/srv/music', None)
    """
    catalog = without_scheme(catalog)
    address, options = without_options(catalog)
    if catalog.startswith(("http://", "https://")) or _is_file(catalog, address):
        return None
    glob = re.search(r"\*" if is_uri(catalog) else r"[*?[]", address)
    if glob is None or _is_folder(catalog):
        return catalog
    return (address[: glob.start()].rpartition("/")[0] or ".") + options


def _is_folder(catalog: str) -> bool:
    return not is_uri(catalog) and Folder(catalog).local_path("").is_dir()


def _is_file(catalog: str, address: str) -> bool:
    if is_uri(catalog):
        return "*" not in address and bool(re.search(r"\.\w{1,8}$", address))
    return Folder(catalog).local_path("").is_file()


def _is_walked(catalog: str) -> bool:
    """Say whether a catalogue looks into the sub-folders of its folder: `*.wav` does not."""
    return "**" in catalog or catalogue_folder(catalog) == catalog
