"""What people said elsewhere in, corrections of a tagging folder out: all of a file, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.browsing.author import author_of
from pipeline.configs.correct import CorrectConfig as CorrectConfig
from pipeline.errors import TableError, UsageError
from pipeline.exports.annotations import read_label_studio
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.store.catalogue import resolve
from pipeline.store.manifests.lines import read_csv
from pipeline.store.tags.track_facts.corrections import add_corrections
from pipeline.store.uris import split_uri
from schemas.corrections import ABSENT, PRESENT, VERDICTS, WITHDRAWN

Row = dict[str, Any]

_NEEDED = ["uri", "code", "verdict"]


@dataclass(frozen=True)
class TakenIn:
    """What became of a file."""

    n_added: int
    """How many corrections were added."""
    n_known: int
    """Said before, by the same person: they are not added again."""
    unknown_uris: tuple[str, ...]
    """Tracks that the model has not tagged in the folder, each once; what is said of them is left
    out."""


def take_in(config: CorrectConfig) -> TakenIn:
    """Add what people said in a file to the corrections of a tagging folder.

    Raises
    ------
    UsageError
        The file, or a class or verdict in it, cannot be read; nothing is added then.
    """
    catalogue = TaggedCatalogue.open(config.tags, config.model_id)
    author = author_of(config.author)
    read = _of_csv if config.said.lower().endswith(".csv") else _of_label_studio
    rows = [row | {"author": row["author"] or author} for row in read(config.said, catalogue)]
    there = _tracks(catalogue, [row["uri"] for row in rows])
    found = [row | what_was_there(catalogue, there[row["uri"]], row["code"])
             for row in rows if row["uri"] in there]  # fmt: skip
    new = [row for row in found if not _is_known(catalogue, row)]
    add_corrections(catalogue.store.folder, new)
    unknown = dict.fromkeys(row["uri"] for row in rows if row["uri"] not in there)
    return TakenIn(len(new), len(found) - len(new), tuple(unknown))


def what_was_there(catalogue: TaggedCatalogue, track: Mapping[str, Any], code: str) -> Row:
    """Return what a correction says of the tags that it corrects: whose, and what they were."""
    return {
        "uri": track["uri"],
        "fingerprint": track["fingerprint"],
        "model_id": catalogue.model_id,
        "was_labelled": code in (track["of_model"] or ()),
        "score": (track["scores"] or {}).get(code),
    }


def _tracks(catalogue: TaggedCatalogue, uris: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    rows = catalogue.query(
        "select uri, fingerprint, of_model, scores from tracks where uri in (select unnest($uris))",
        {"uris": list(dict.fromkeys(uris))},
    )
    return {row["uri"]: row for row in rows}


def _is_known(catalogue: TaggedCatalogue, row: Row) -> bool:
    """Say whether the same was said of the same before, and is in force."""
    keys = ("code", "verdict", "start_s", "end_s", "author")
    is_withdrawn = row["verdict"] == WITHDRAWN  # such a row is in force nowhere
    said = (
        [one for one in catalogue.corrections.last.to_pylist() if one["uri"] == row["uri"]]
        if is_withdrawn
        else catalogue.corrections.of_track(row["uri"], row["fingerprint"])
    )
    return any(all(one[key] == row.get(key) for key in keys) for one in said)


def _of_label_studio(path: str, catalogue: TaggedCatalogue) -> Iterator[Row]:
    by_name = {name: code for code, name in catalogue.run.class_names.items()}
    for one in read_label_studio(path, by_name):
        if one.code not in catalogue.codes:
            raise UsageError(
                f"{path}: {one.uri}: class {one.code!r}; the tags have {', '.join(catalogue.codes)}"
            )
        yield {
            "uri": one.uri,
            "code": one.code,
            "verdict": PRESENT if one.present else ABSENT,
            "start_s": one.start_s,
            "end_s": one.end_s,
            "author": one.annotator,
            "said_at": one.updated_at,
        }


def _of_csv(path: str, catalogue: TaggedCatalogue) -> Iterator[Row]:
    for line, row in read_csv(path, _NEEDED):
        if row["code"] not in catalogue.codes:
            raise TableError(
                path, line, f"code {row['code']!r}", f"one of {', '.join(catalogue.codes)}"
            )
        if row["verdict"] not in VERDICTS:
            raise TableError(
                path, line, f"verdict {row['verdict']!r}", f"one of {', '.join(VERDICTS)}"
            )
        try:
            span = {key: float(row[key]) if row.get(key) else None for key in ("start_s", "end_s")}
        except ValueError as error:
            raise TableError(path, line, f"a span: {error}", "two times in s") from error
        yield {
            "uri": resolve(row["uri"], split_uri(path)[0]),
            "code": row["code"],
            "verdict": row["verdict"],
            "author": row.get("author"),
            **span,
        }
