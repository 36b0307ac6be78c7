"""A tagging folder in; its page on loopback until Ctrl-C."""

from __future__ import annotations

import asyncio
import webbrowser
from collections.abc import Callable
from urllib.parse import quote

from aiohttp import web

from pipeline.browsing.app import App, new_token
from pipeline.browsing.author import author_of
from pipeline.browsing.browser import Browser
from pipeline.configs.browse import BrowseConfig as BrowseConfig
from pipeline.errors import UsageError
from pipeline.searching.catalogue import TaggedCatalogue

_HOST = "127.0.0.1"


def browse(config: BrowseConfig, ready: Callable[[str], object] = print) -> None:
    """Serve the page of a tagging folder until the process is interrupted.

    `ready` is given the page's address once it answers, with the token that opens it and the
    filter that it is asked to begin with. UsageError where that is no expression.
    """
    catalogue = TaggedCatalogue.open(config.tags, config.model_id, in_memory=True)
    if config.where:
        catalogue.count(config.where)  # a fault of the expression is told here, not on the page
    browser = Browser(catalogue, author_of(config.author), config.model)
    try:
        asyncio.run(_serve(browser, config, ready))
    finally:
        browser.close()


def address_of(port: int, token: str, where: str = "") -> str:
    """Return the address that opens the page, with a filter where one is given.

    >>> address_of(8000, "secret", "cel > 0.8")
    'http://127.0.0.1:8000/?token=secret#q=cel%20%3E%200.8'
    """
    return f"http://{_HOST}:{port}/?token={token}" + (
        f"#q={quote(where, safe='')}" if where else ""
    )


async def _serve(browser: Browser, config: BrowseConfig, ready: Callable[[str], object]) -> None:
    token = new_token()
    runner = web.AppRunner(App(browser, token).made(), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, _HOST, config.port)
        try:
            await site.start()
        except OSError as error:
            raise UsageError(f"--port {config.port}: {error.strerror}; give another") from error
        port = runner.addresses[0][1]
        address = address_of(port, token, config.where)
        ready(address)
        if config.open:
            webbrowser.open(address)
        await asyncio.to_thread(browser.warm)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
