"""Examples of a page in, examples.json out, so that the next run need not make them again.

A run with nothing new shows the tracks of the run before. To decode, tag and draw them again
took most of its time, as that imports torch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipeline.errors import StoreError
from pipeline.evaluation.runs.example_picker import Candidate
from pipeline.models.card import fingerprint_of
from pipeline.report.listening import Example
from pipeline.report.picture import Picture
from pipeline.store.folder import Folder
from schemas.tagging_run import TaggingRun

_log = logging.getLogger(__name__)

Examples = dict[str, Example]
"""By `key_of`, in the order of the page."""

FILE = "examples.json"
_OF_ROW = ("uri", "fingerprint", "duration_s", "labels", "scores", "peaks")
_N_NOTES = 5


def key_of(candidate: Candidate, run: TaggingRun) -> str:
    """Return a hash of all that decides a candidate's example: track, model, settings, names."""
    row = [candidate.row[name] for name in _OF_ROW]
    shown_for = [candidate.code, candidate.reason]
    version = run.provenance.get("timbre")
    return fingerprint_of(row, shown_for, run.identity, run.class_names, version)


def read_examples(folder: Folder) -> Examples:
    """Return the examples of the newest page; none where the file is not there or not ours."""
    try:
        values = folder.read_json(FILE) if folder.exists(FILE) else {}
        return {key: _example(value) for key, value in values.items()}
    except (StoreError, TypeError, KeyError, AttributeError, ValueError) as error:
        _log.warning("%s: %s; the examples are made anew", folder.uri_of(FILE), error)
        return {}


def write_examples(folder: Folder, examples: Examples) -> None:
    """Write the examples of a page."""
    folder.write_json(FILE, {key: asdict(one) for key, one in examples.items()})


def _example(values: Mapping[str, Any]) -> Example:
    picture, labels = Picture(**values["picture"]), tuple(values["labels"])
    return Example(**{**values, "picture": picture, "labels": labels})


def choose(
    slots: Sequence[Sequence[Candidate]],
    run: TaggingRun,
    make: Callable[[Candidate], Example | str],
) -> tuple[Examples, list[str]]:
    """Return an example a slot, no track twice, and what must be said of those left out.

    `make` gives a candidate's example, or why there is none: then the slot's next one is tried.
    """
    examples: Examples = {}
    notes: list[str] = []
    shown: set[str] = set()
    for slot in slots:
        for candidate in slot:
            if candidate.row["fingerprint"] in shown:
                continue
            shown.add(candidate.row["fingerprint"])
            found = make(candidate)
            if isinstance(found, Example):
                examples[key_of(candidate, run)] = found
                break
            notes.append(f"{candidate.row['uri']} is left out: {found}.")
    more = len(notes) - _N_NOTES
    return examples, notes[:_N_NOTES] + ([f"{more} more are left out."] if more > 0 else [])
