"""Folders of evaluations of the same items in, comparison.json and a page out. No Ray is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from pipeline.configs.compare import CompareConfig as CompareConfig
from pipeline.errors import UsageError
from pipeline.evaluation.runs.scored import from_table
from pipeline.evaluation.statistics.comparison import EvaluationRun, check_same, compare
from pipeline.report.page import render_page
from pipeline.report.pages.comparison_page import comparison_page
from pipeline.runs.provenance import provenance
from pipeline.store.folder import Folder
from pipeline.store.out import COMPARISON, check_out
from pipeline.store.uris import split_uri
from schemas.comparison import ComparisonRecord
from schemas.evaluation import EvaluationRecord

_CURE = "make it with python -m jobs.evaluate"


def compare_evaluations(config: CompareConfig) -> ComparisonRecord:
    """Compare evaluations; write comparison.json and report.html, and return the former."""
    inputs = {f"--evaluations {uri}": uri for uri in config.evaluations}
    check_out(config.out, COMPARISON, inputs)
    read = [read_evaluation(uri) for uri in config.evaluations]
    evaluations = _named([evaluation for evaluation, _ in read])
    for other in evaluations[1:]:
        check_same(evaluations[0], other)
    report = compare(evaluations, class_names=read[0][1], provenance=provenance(), seed=config.seed)
    out = Folder(config.out)
    with out.claimed():
        out.write_json("comparison.json", report.to_dict())
        out.write_bytes("report.html", render_page(comparison_page(report)).encode())
    return report


def read_evaluation(uri: str) -> tuple[EvaluationRun, dict[str, str]]:
    """Return an evaluation from its folder, and its classes' names by code."""
    folder = Folder(uri)
    for name in ("metrics.json", "scores.parquet"):
        if not folder.exists(name):
            raise UsageError(f"{uri}: no {name} there; {_CURE}")
    try:
        record = EvaluationRecord.from_dict(folder.read_json("metrics.json"))
        scored = from_table(folder.read_table("scores.parquet"))
        thresholds = {row["code"]: row["threshold"] for row in record.metrics["per_class"]}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{uri}: not an evaluation of this version ({error}); {_CURE}") from error
    if set(thresholds) != set(scored.codes) or record.metrics["n_items"] != len(scored.uris):
        raise UsageError(f"{uri}: metrics.json and scores.parquet are not of one run; {_CURE}")
    keys = ("model_id", "aggregation", "thresholds", "scored")
    origin = {"folder": uri} | {key: str(record.provenance.get(key, "unknown")) for key in keys}
    name = split_uri(uri.rstrip("/"))[1] or uri
    return EvaluationRun(name, origin, thresholds, scored, record.training), record.class_names


def _named(evaluations: Sequence[EvaluationRun]) -> list[EvaluationRun]:
    """Name those whose folders are called the same by where their addresses differ."""
    n_called = Counter(one.name for one in evaluations)
    alike = [one for one in evaluations if n_called[one.name] > 1]
    names = iter(shortest_unique_names([one.origin["folder"] for one in alike]))
    named = [
        one if n_called[one.name] == 1 else replace(one, name=next(names)) for one in evaluations
    ]
    if len({one.name for one in named}) < len(named):
        return [replace(one, name=one.origin["folder"]) for one in evaluations]
    return named


def shortest_unique_names(addresses: Sequence[str]) -> list[str]:
    """Return addresses without the folders that all of them begin or end with.

    >>> shortest_unique_names(["runs/svm/real", "runs/knn/real"])
    ['svm', 'knn']
    >>> shortest_unique_names(["a/real", "a/b/real"])
    ['a/real', 'a/b/real']
    """
    parts = [address.rstrip("/").split("/") for address in addresses]
    n_head, n_tail = _n_alike(parts), _n_alike([part[::-1] for part in parts])
    names = ["/".join(part[n_head : len(part) - n_tail]) for part in parts]
    return names if all(names) else list(addresses)


def _n_alike(parts: Sequence[Sequence[str]]) -> int:
    """Return with how many of the same words all begin."""
    return sum(1 for _ in takewhile(lambda words: len(set(words)) == 1, zip(*parts, strict=False)))
