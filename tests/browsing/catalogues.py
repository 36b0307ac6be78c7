"""A small catalogue of tones with its tags, and a server of its page, for tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile
from aiohttp import web

from pipeline.browsing.app import App
from pipeline.browsing.browser import Browser
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.store.folder import Folder
from pipeline.store.tags.tagstore import TagStore
from schemas.tagging_run import TaggingRun
from schemas.tags import tags_schema
from schemas.timeline import EMBEDDINGS, INTERVALS, windows_schema
from tests.tag_rows import MODEL, Row, failed, interval, tagged

CODES = ["cel", "flu", "voi"]
OTHER = "cnn-ba9876543210"
TOKEN = "a-token-of-tests"
HOSTILE = "<img src=x onerror=alert(1)>\n\u202eevil'\".wav"
RATE_HZ, LENGTH_S = 16_000, 6.0


def make_catalogue(root: Path) -> Path:
    """Write tones, and their tags in `root/tags`; return that folder."""
    names = ["a.wav", "album one/b.flac", "album one/c.aiff", HOSTILE, "gone.wav"]
    paths = [root / "music" / name for name in names]
    for k, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        times = np.arange(round(LENGTH_S * RATE_HZ)) / RATE_HZ
        soundfile.write(path, 0.5 * np.sin(2 * np.pi * 220 * (k + 1) * times), RATE_HZ)
    paths[-1].unlink()
    scores = [(0.9, 0.1, 0.2), (0.8, 0.7, 0.3), (0.52, 0.1, 0.48), (0.1, 0.6, 0.1), (0.2, 0.9, 0.1)]
    rows = [row_of(str(path), one) for path, one in zip(paths, scores, strict=True)]
    rows.append(failed(str(root / "music" / "z.mp3"), "not_audio", "no audio"))
    write(root / "tags", rows, catalogue=str(root / "music"))
    return root / "tags"


def row_of(uri: str, scores: tuple[float, ...], model_id: str = MODEL) -> Row:
    """Return a row of TAGS of a track of one length."""
    by_code = dict(zip(CODES, scores, strict=True))
    return tagged(uri, by_code, duration_s=LENGTH_S, model_id=model_id)


def write(folder: Path, rows: list[Row], *, catalogue: str, model_id: str = MODEL) -> None:
    """Write rows as a night leaves them, with windows, intervals and embeddings."""
    store = TagStore(Folder(str(folder)))
    ok = [row for row in rows if row["status"] == "ok"]
    windows = [
        row | {"window": k, "start_s": 2.0 * k, "end_s": 2.0 * k + 2, "is_active": True}
        for row in ok
        for k in range(3)
    ]
    intervals = [interval(row, code, 2.0, 4.0, 0.75) for row in ok for code in row["labels"]]
    vectors = [row | {"embedding": [*row["scores"].values(), 1.0]} for row in ok]
    beside = {
        "windows": pa.Table.from_pylist(windows, windows_schema(CODES)),
        "intervals": pa.Table.from_pylist(intervals, INTERVALS),
        "embeddings": pa.Table.from_pylist(vectors, EMBEDDINGS),
    }
    tags = pa.Table.from_pylist(rows, tags_schema(CODES))
    store.commit(tags, date="2026-11-21", beside=beside)
    identity = {"model_id": model_id, "thresholds": dict.fromkeys(CODES, 0.5)}
    names = {"cel": "cello", "flu": "flute", "voi": "human voice"}
    store.write_run(
        TaggingRun(
            identity=identity,
            complete=True,
            run_id="20261121T021500Z",
            catalog=catalogue,
            tracks=len(rows),
            class_names=names,
        )
    )


@contextmanager
def served(tags: Path, model_id: str | None = MODEL) -> Iterator[str]:
    """Serve a folder's page from a thread; give its address, without the token."""
    browser = Browser(TaggedCatalogue.open(str(tags), model_id, in_memory=True), "ann")
    loop, ports = asyncio.new_event_loop(), []
    started = threading.Event()

    async def start() -> web.AppRunner:
        runner = web.AppRunner(App(browser, TOKEN).made())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.append(runner.addresses[0][1])
        started.set()
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    try:
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        browser.close()
