"""Two tagging runs of one catalogue in; where their labels differ, as files and a page, out.

No Ray is needed. Files of TAGS are read a few at a time, and only as columns are they all kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Hashes
from pipeline.configs.compare import CompareTagsConfig as CompareTagsConfig
from pipeline.errors import SpecMismatch, UsageError
from pipeline.evaluation.runs.tag_differences import Tagged, differences_table, findings, pair
from pipeline.report.page import render_page
from pipeline.report.pages.tag_differences_page import tag_differences_page
from pipeline.runs.provenance import provenance
from pipeline.store.folder import Folder
from pipeline.store.matrices import codes_of, label_matrix, score_matrix
from pipeline.store.out import DIFFERENCES, check_out
from pipeline.store.tags.known import no_hashes, text_hashes
from pipeline.store.tags.tagrows import last_of_each, times
from pipeline.store.tags.tagstore import TagStore
from pipeline.store.tags.track_facts.gone import are_present, gone_tracks
from schemas.comparison import DifferencesRecord
from schemas.tagging_run import TaggingRun

_COLUMNS = ["uri", "fingerprint", "duration_s", "status", "labels", "scores", "tagged_at"]
_N_LISTED = 100
_N_READERS = 8
_N_FILES = 16  # that are in memory as they were read


@dataclass(frozen=True)
class _Side:
    store: TagStore
    model_id: str
    files: list[str]
    codes: list[str]
    """The classes that the model knows."""
    run: TaggingRun
    """Its last run that has ended, or else the last one; an empty one where none is known."""
    is_complete: bool | None
    """Whether its last run has ended; None where none is known."""
    gone: Hashes
    """Of the uris whose rows do not count: their catalogue has them no more."""


def compare_tags(config: CompareTagsConfig) -> DifferencesRecord:
    """Compare two models' tags; write the files of `out`, and return differences.json."""
    check_out(config.out, DIFFERENCES, {"--a": config.a, "--b": config.b})
    sides = [
        _side(TagStore.open(uri), model_id, include_gone=config.include_gone)
        for uri, model_id in zip((config.a, config.b), models(config), strict=True)
    ]
    codes = _common_codes(*sides)
    a, b = (tagged(_rows_of(side), codes) for side in sides)
    said = [_said(side, rows) for side, rows in zip(sides, (a, b), strict=True)]
    pairs, unmatched = pair(a, b)
    if not len(pairs.uris):
        raise UsageError(_no_overlap(config, a, b, unmatched))
    del a, b  # `pairs` has copies of what counts
    table = differences_table(pairs, codes)
    found = findings(pairs, codes)
    share = found["labels"]["changed_share"]
    report = DifferencesRecord(
        a=said[0],
        b=said[1],
        **_classes(*sides, codes=codes),
        **found,
        **_unmatched(unmatched),
        n_compared=len(pairs.uris),
        n_unverified=pairs.n_unverified,
        largest=table.slice(0, _N_LISTED).drop_columns(["scores_a", "scores_b"]).to_pylist(),
        max_changed=config.max_changed,
        past_limit=share > config.max_changed,
        provenance=provenance(),
    )
    out = Folder(config.out)
    with out.claimed():
        out.write_table("differences.parquet", table)
        out.write_table("apart.parquet", unmatched)
        out.write_json("differences.json", report.to_dict())
        page = tag_differences_page(report, pairs)
        out.write_bytes("report.html", render_page(page).encode())
    return report


def models(config: CompareTagsConfig) -> tuple[str, str]:
    """Return A's and B's model: as named, or of the folder's last run.

    Where A and B are one folder, B is the latest model there, and A the latest but that.
    """
    a, b = TagStore.open(config.a), TagStore.open(config.b)
    if not a.folder.is_same(b.folder):
        return (
            a.choose(config.a_model_id, flag="--a-model-id"),
            b.choose(config.b_model_id, flag="--b-model-id"),
        )
    there = [] if config.a_model_id and config.b_model_id else _latest_models(a)
    b_model_id = config.b_model_id or next((m for m in there if m != config.a_model_id), None)
    a_model_id = config.a_model_id or next((m for m in there if m != b_model_id), None)
    if a_model_id is None or b_model_id is None or a_model_id == b_model_id:
        raise UsageError(
            f"{config.a}: two models are needed, there is {a_model_id or b_model_id or 'none'}; "
            "give --b another folder, or --a-model-id and --b-model-id two models of this one"
        )
    return a.choose(a_model_id, flag="--a-model-id"), b.choose(b_model_id, flag="--b-model-id")


def tagged(pieces: Iterable[pa.Table], codes: Sequence[str]) -> Tagged:
    """Return one model's TAGS, a piece at a time, as columns; `codes` are the classes to keep.

    Of several rows of a track, which a run that was killed may leave behind, the newest counts.
    """
    parts = [_columns(piece, codes) for piece in pieces]
    uris, fingerprints = (pa.concat_arrays([part[k] for part in parts]) for k in (0, 1))
    keys, when, *arrays = (np.concatenate([part[k] for part in parts]) for k in range(2, 8))
    parts.clear()
    rows = np.flatnonzero(last_of_each(keys, when))
    if len(rows) == len(uris):
        return Tagged(uris, fingerprints, *arrays)
    return Tagged(uris.take(rows), fingerprints.take(rows), *(array[rows] for array in arrays))


def _columns(piece: pa.Table, codes: Sequence[str]) -> list[Any]:
    """Return uri, content, hash of the uri, time, duration, whether it is ok, labels and scores."""
    texts = [piece[name].cast(pa.large_string()).combine_chunks() for name in _COLUMNS[:2]]
    return [
        *texts,
        text_hashes(piece["uri"]),
        times(piece),
        piece["duration_s"].to_numpy(),
        pc.equal(piece["status"], "ok").to_numpy(),
        label_matrix(piece["labels"], codes, ignore_others=True),
        score_matrix(piece["scores"], codes),
    ]


def _side(store: TagStore, model_id: str, *, include_gone: bool) -> _Side:
    gone = no_hashes() if include_gone else gone_tracks(store.folder, model_id)
    names = store.files(model_id)
    codes = codes_of(store.folder.read_schema(names[0]))
    runs = store.runs(model_id)
    if (last := next(runs, None)) is None:
        return _Side(store, model_id, names, codes, TaggingRun(), None, gone)
    ended = (run for run in chain([last], runs) if run.complete)
    return _Side(store, model_id, names, codes, next(ended, last), last.complete, gone)


def _rows_of(side: _Side) -> Iterator[pa.Table]:
    """Yield files in their order, some read ahead: a bucket takes its time for each."""
    with ThreadPoolExecutor(_N_READERS) as pool:
        for start in range(0, len(side.files), _N_FILES):
            block = side.files[start : start + _N_FILES]
            for rows in pool.map(partial(side.store.folder.read_table, columns=_COLUMNS), block):
                yield rows.filter(pa.array(are_present(rows["uri"], side.gone)))


def _latest_models(store: TagStore) -> list[str]:
    """Return a folder's models, the latest first: as its runs say, or else its files."""
    found = list(dict.fromkeys(run.model_id for run in store.runs()))
    return found if len(found) > 1 else store.models()


def _common_codes(a: _Side, b: _Side) -> list[str]:
    if codes := [code for code in a.codes if code in b.codes]:
        return codes
    raise SpecMismatch(
        f"{b.model_id} knows {', '.join(b.codes)}, none of which {a.model_id} knows; compare "
        "models that share classes"
    )


def _said(side: _Side, rows: Tagged) -> dict[str, Any]:
    """Return what is said of a model and its run; None for what older runs do not say."""
    keys = ("run_id", "started_at", "catalog", "identity")
    return {
        "folder": side.store.folder.uri,
        "model_id": side.model_id,
        "complete": side.is_complete,
        "n_tracks": len(rows.uris),
        "n_failed": int((~rows.is_ok).sum()),
        "n_gone": len(side.gone),
        **{key: getattr(side.run, key) or None for key in keys},
        "engine": _engine(side),
    }


def _engine(side: _Side) -> dict[str, Any] | None:
    """Return what the model last ran by: a run that had nothing new to decode names no engine."""
    runs = chain([side.run], side.store.runs(side.model_id))
    return next((run.engine for run in runs if run.engine), None)


def _classes(a: _Side, b: _Side, *, codes: Sequence[str]) -> dict[str, Any]:
    names = a.run.class_names | b.run.class_names
    return {
        "class_names": {code: names.get(code, code) for code in codes},
        "classes_only_a": [code for code in a.codes if code not in codes],
        "classes_only_b": [code for code in b.codes if code not in codes],
    }


def _unmatched(unmatched: pa.Table) -> dict[str, Any]:
    counts, first = {}, {}
    for why in ("only_a", "only_b", "other_bytes", "failed_a", "failed_b", "failed_both"):
        uris = unmatched["uri"].filter(pc.equal(unmatched["why"], why))
        counts[why], first[why] = len(uris), uris[:_N_LISTED].to_pylist()
    return {"apart": counts, "apart_first": first}


def _no_overlap(config: CompareTagsConfig, a: Tagged, b: Tagged, unmatched: pa.Table) -> str:
    counts = ", ".join(f"{why} {n}" for why, n in _unmatched(unmatched)["apart"].items() if n)
    return (
        f"--a {config.a} and --b {config.b}: no track with the same bytes is tagged in both "
        f"({counts}); A's first is {a.uris[0].as_py()!r}, B's {b.uris[0].as_py()!r}; tag the same "
        "catalogue with both models"
    )
