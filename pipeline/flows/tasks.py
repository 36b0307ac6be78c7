"""Tasks in, their results out as they end: a bounded number at once, with a bar that shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import ray

from pipeline.runs.logs import progress_bar

_SHOW_EVERY_S = 10.0


def wait_for_one(running: Sequence[ray.ObjectRef[Any]], bar: Any) -> ray.ObjectRef[Any]:
    """Return one of the results that is there; its bar says every ten seconds that it waits."""
    while True:
        ready, _ = ray.wait(list(running), num_returns=1, timeout=_SHOW_EVERY_S, fetch_local=False)
        if ready:
            return ready[0]
        bar.refresh()


def run_tasks(
    submit: Callable[[Any], ray.ObjectRef[Any]],
    shards: Sequence[Any],
    *,
    n_at_once: int,
    title: str,
    waits: str,
) -> list[Any]:
    """Return the results of `submit(shard)`, a task each, as they end; show them on a bar.

    At most `n_at_once` tasks are under way; where one fails, the others are cancelled.
    """
    results: list[Any] = []
    running: list[ray.ObjectRef[Any]] = []
    left = iter(shards)
    with progress_bar(total=len(shards), unit=" shards", desc=title, postfix=waits) as bar:
        try:
            while len(results) < len(shards):
                running += map(submit, islice(left, n_at_once - len(running)))
                ready = wait_for_one(running, bar)
                running.remove(ready)
                results.append(ray.get(ready))
                bar.set_postfix_str("", refresh=False)
                bar.update()
        finally:
            for reference in running:
                ray.cancel(reference, force=True)
    return results
