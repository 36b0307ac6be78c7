"""What the page of a catalogue of a million tracks costs: its start, its questions, its memory.

    python benchmarks/browse.py --tags REAL --tracks 1000000

REAL is a tagging folder: the made-up tracks lie around the embeddings of its own, as in search.py,
whose folder this takes and makes. Each question is asked for the first time, and again for a page
from the middle of what it found, as somebody does who scrolls. Figures go to docs/results.md.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from search import MILLION, write_folder  # the script beside this one

from pipeline.browsing.browser import Browser
from pipeline.searching.catalogue import TaggedCatalogue

_QUESTIONS = (
    "",
    "cel",
    "cel and not voi, duration > 60",
    "cel > 0.8",
    'uri ~ "live"',
    "vio or pia",
)
_ORDERS = ("", "cel desc", "duration desc")


def main() -> None:
    """Write the folder where it is missing, and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tags", required=True)
    parser.add_argument("--tracks", type=int, default=MILLION)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/search-bench"))
    flags = parser.parse_args()
    if not flags.folder.exists():
        write_folder(str(flags.folder), TaggedCatalogue.open(flags.tags), flags.tracks)
    browser = _timed("start", lambda: _opened(str(flags.folder)))
    print(f"{_peak_mib():,d} MiB at most so far")
    slowest = 0.0
    for question in _QUESTIONS:
        for order in _ORDERS:
            ask = partial(browser.find, question, order=order)
            first, found = _took(ask)
            middle = found["total"] // 2
            later, _ = _took(partial(ask, offset=middle))
            slowest = max(slowest, first, later)
            what = f"{question or 'all'!r} by {order or 'name'}: {found['total']:,d} tracks"
            print(f"{first * 1e3:8.0f} ms, then {later * 1e3:.0f} ms  {what}", flush=True)
    print(f"{slowest * 1e3:8.0f} ms  the slowest of these")
    for kind in ("unsure", "random", "few"):
        _timed(f"queue: {kind}", partial(browser.queue, kind, ""))
    _timed("a track", lambda: browser.track(500_000 % browser.n_tracks))
    _timed("a correction", lambda: browser.correct(7, browser.catalogue.codes[0], "present", None))
    _timed("undo", browser.undo)
    _timed(
        "more like this, the first time, which reads all embeddings",
        lambda: browser.find("", like=7),
    )
    _timed("more like this, another", lambda: browser.find("", like=11))
    _timed("more like this, of a filter", lambda: browser.find("cel and not voi", like=11))
    _timed("map", browser.map)
    print(f"{_peak_mib():,d} MiB at most")


def _opened(uri: str) -> Browser:
    return Browser(TaggedCatalogue.open(uri, in_memory=True), "benchmark")


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _took(function: Callable[[], Any]) -> tuple[float, Any]:
    began = monotonic()
    found = function()
    return monotonic() - began, found


def _timed(what: str, function: Callable[[], Any]) -> Any:
    seconds, found = _took(function)
    print(f"{seconds * 1e3:8.0f} ms  {what}", flush=True)
    return found


if __name__ == "__main__":
    main()
