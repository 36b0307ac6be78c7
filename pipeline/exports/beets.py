"""A plugin for beets and a file for it: instruments as flexible attributes of a library."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pipeline.exports.programs import source_of
from pipeline.exports.task import Export, Task
from pipeline.exports.texts import Row, TagSource, number
from pipeline.store.catalogue import is_uri

PLUGIN = "timbre_beets.py"


def fields_of(row: Row, codes: Sequence[str], origin: TagSource) -> dict[str, str | float | None]:
    """Return a track's flexible attributes: names, a score for each class, and how it sounds."""
    scores = row["scores"] or {}
    return {
        "instruments": "; ".join(origin.name(code) for code in row["labels"] or ()) or None,
        **{f"instrument_{code}": number(scores.get(code)) for code in codes},
        **{name: number(row.get(name)) for name in origin.attributes},
        "instruments_model": origin.model_id,
    }


def settings(folder: str, codes: Sequence[str], origin: TagSource) -> str:
    """Return what beets' config.yaml needs: where the plugin is, and which attributes are numbers.

    Only numbers can be asked for by range, as in `instrument_cel:0.8..`.
    """
    numbers = [*(f"instrument_{code}" for code in codes), *origin.attributes]
    types = "".join(f"  {name}: float\n" for name in numbers)
    return (
        "# For beets' config.yaml: add these to the lists that are there.\n"
        f"pluginpath: [{json.dumps(folder)}]\nplugins: [types, timbre]\ntypes:\n{types}"
    )


def _write(task: Task) -> str:
    codes, origin, n_tracks = task.source.codes, task.source.origin, 0
    with task.writing("beets.jsonl") as write:
        for _, _, ok in task.batches():
            local = [row for row in ok if not is_uri(row["uri"])]
            task.counts["tracks are not on a local disk: beets has no library of them"] += len(
                ok
            ) - len(local)
            for row in local:
                line = {"path": row["uri"], "fields": fields_of(row, codes, origin)}
                write(json.dumps(line) + "\n")
            n_tracks += len(local)
    task.out.write_bytes("beetsplug/timbre.py", source_of(PLUGIN))
    folder = task.out.uri_of("beetsplug")
    with task.writing("beets.yaml") as write:
        write(settings(folder, codes, origin))
    return (
        f"beets.jsonl: {n_tracks:,d} tracks; beets.yaml is for beets' config.yaml, then: "
        f"beet timbre {task.out.uri_of('beets.jsonl')}"
    )


EXPORT = Export("beets", _write)
