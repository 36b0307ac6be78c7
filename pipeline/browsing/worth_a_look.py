"""A catalogue in memory in; what a person would best look at next out: a class of a track each.

What was judged is offered no more: `confirmed` and `rejected` of the whole track.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.evaluation.labels.thresholds import DEFAULT
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.searching.conditions import identifier

N_OFFERED = 60
_N_OF_CLASS = 12
_OPEN = (
    "status = 'ok' and not coalesce(list_contains(confirmed, $code), false) "
    "and not coalesce(list_contains(rejected, $code), false)"
)

Row = dict[str, Any]


def _unsure(catalogue: TaggedCatalogue, codes: Sequence[str]) -> list[Row]:
    """Return the classes of tracks whose scores lie next to the threshold."""
    found = []
    for code in codes:
        limit = catalogue.thresholds.get(code, DEFAULT)
        for row in _rows(catalogue, code, f"order by abs(score - {float(limit)})"):
            why = f"score {row['score']:.2f}, threshold {limit:.2f}"
            found.append(
                {"n": row["n"], "code": code, "why": why, "rank": abs(row["score"] - limit)}
            )
    return sorted(found, key=lambda row: row["rank"])


def _random(catalogue: TaggedCatalogue, codes: Sequence[str]) -> list[Row]:
    """Return labels of the model, in an order that has nothing to do with them.

    The order is that of a hash, so it stays while one judges: whoever stops anywhere has judged a
    sample drawn at random.
    """
    found = []
    for code in codes:
        rows = _rows(
            catalogue,
            code,
            "and list_contains(of_model, $code) order by place",
            more=", hash(uri || $code) as place",
        )
        for row in rows:
            why = f"labelled, score {row['score']:.2f}"
            found.append({"n": row["n"], "code": code, "why": why, "rank": row["place"]})
    return sorted(found, key=lambda row: row["rank"])


def _few(catalogue: TaggedCatalogue, codes: Sequence[str]) -> list[Row]:
    """Return the highest scores of each class, the class with the fewest confirmed first."""
    counts = catalogue.query(
        "select code, count(*) as n from (select unnest(confirmed) as code from tracks) "
        "group by all",
        {},
    )
    confirmed = {row["code"]: row["n"] for row in counts}
    found = []
    for code in sorted(codes, key=lambda one: confirmed.get(one, 0)):
        for row in _rows(catalogue, code, "order by score desc, n")[:_N_OF_CLASS]:
            why = f"{confirmed.get(code, 0)} confirmed; score {row['score']:.2f}"
            found.append({"n": row["n"], "code": code, "why": why})
    return found


def _disagree(catalogue: TaggedCatalogue, codes: Sequence[str]) -> list[Row]:
    """Return labels that only one of two models gave, the surest first."""
    found: list[Row] = []
    if (other := other_labels(catalogue)) is None:
        return found
    others, of_both = other
    for code in filter(of_both.__contains__, codes):
        score = f"scores.{identifier(code)}"
        rows = catalogue.query(
            f"select n, {score} as score, list_contains(of_model, $code) as is_here from tracks "
            f"join others using (uri) where {_OPEN} and {score} is not null and "
            "list_contains(of_model, $code) != list_contains(of_other, $code) "
            f"order by abs(score - 0.5) desc, n limit {N_OFFERED}",
            {"code": code},
            {"others": others},
        )
        for row in rows:
            who = "this model" if row["is_here"] else "the other model"
            why = f"only {who} says so; the score here is {row['score']:.2f}"
            found.append(
                {"n": row["n"], "code": code, "why": why, "rank": -abs(row["score"] - 0.5)}
            )
    return sorted(found, key=lambda row: row["rank"])


@lru_cache(maxsize=1)
def other_labels(catalogue: TaggedCatalogue) -> tuple[pa.Table, list[str]] | None:
    """Return `uri` and `of_other`, the labels by the folder's other model, and its classes.

    It is the one that tagged last; None where there is no other.
    """
    others = [one for one in catalogue.store.models() if one != catalogue.model_id]
    if not others:
        return None
    other = TaggedCatalogue(catalogue.store, others[0])
    table = other.find(columns=["uri", "of_model"]).rename_columns(["uri", "of_other"])
    return table, other.codes


def _rows(catalogue: TaggedCatalogue, code: str, rest: str, *, more: str = "") -> list[Row]:
    """Return tracks that have a score of a class that nobody has judged yet."""
    score = f"scores.{identifier(code)}"
    sql = (
        f"select n, {score} as score{more} from tracks where {_OPEN} and {score} is not null "
        f"{rest} limit {N_OFFERED}"
    )
    return catalogue.query(sql, {"code": code})


KINDS: Mapping[str, Callable[[TaggedCatalogue, Sequence[str]], list[Row]]] = {
    "unsure": _unsure,
    "random": _random,
    "few": _few,
    "disagree": _disagree,
}


def worth_a_look(catalogue: TaggedCatalogue, kind: str, codes: Sequence[str]) -> list[Row]:
    """Return rows of `n`, `code` and `why`; UsageError where there is no such kind."""
    if kind not in KINDS:
        raise UsageError(f"kind {kind!r}: expected one of {', '.join(KINDS)}")
    return KINDS[kind](catalogue, codes)[:N_OFFERED]
