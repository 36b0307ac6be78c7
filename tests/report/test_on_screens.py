"""The page of a tagging run in a real headless Chromium: on a telephone, and printed."""

from __future__ import annotations

import shutil

import pytest

from pipeline.report.page import render_page
from tests.report.test_tagging_page import (  # noqa: F401
    EVIL,
    before,
    example,
    failure,
    figures,
    run,
    tagging_page,
)

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH (apt install chromium)"),
]
WIDEST = """() => Math.max(...[...document.querySelectorAll('main *')].map(
    one => one.closest('.scroll') && !one.matches('.scroll') ? 0
        : one.getBoundingClientRect().right))"""
WIDEST_TABLE = """() => Math.max(...[...document.querySelectorAll('table, img')].map(
    one => one.getBoundingClientRect().right))"""


@pytest.fixture
def screen(run, before, tmp_path):  # noqa: F811
    """Open the page of a night with everything in it, in windows of a given width."""
    run |= {"catalog": f"/music/{'x' * 200}", "marked_gone": 30, "failed": 8}
    html = render_page(
        tagging_page(
            run,
            before,
            failures=[failure(EVIL + "y" * 200)],
            examples=[example(title="z" * 200)],
            attributes=[figures(), figures("timbral_reverb")],
            tags_uri=f"/tags/{'t' * 200}",
        )
    )
    (tmp_path / "report.html").write_text(html)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def open_page(width: int):
            page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
            page.goto((tmp_path / "report.html").as_uri())
            return page

        yield open_page
        browser.close()


def test_a_telephone_scrolls_sideways_only_within_tables_and_pictures(screen):
    page = screen(390)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate(WIDEST) <= 390
    assert page.evaluate(WIDEST_TABLE) > 390  # a table is wider, in a box of its own


def test_print_cuts_no_table_and_hides_what_only_sounds(screen):
    page = screen(700)  # A4 without Chromium's margins has 718 pixels
    assert page.locator("audio").first.is_visible()
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(WIDEST_TABLE) <= 700
    assert page.locator("audio").first.is_hidden()
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(255, 255, 255)"
