"""The page itself, in a real headless Chromium: search, play, correct, hostile names, a phone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline import TagConfig, tag_catalog
from pipeline.store.folder import Folder
from pipeline.store.tags.track_facts.corrections import read_corrections
from tests.browsing.catalogues import TOKEN, make_catalogue, served

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH (apt install chromium)"),
]
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 780}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as started:
        flags = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = started.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_catalogue(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def address(folder):
    with served(folder) as found:
        yield f"{found}/?token={TOKEN}"


@pytest.fixture
def page(chromium, address, request):
    context = chromium.new_context(**getattr(request, "param", DESKTOP))
    page = context.new_page()
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(f"dialog {dialog.message}"))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    yield page
    context.close()
    assert not [one for one in wrong if "status of 40" not in one]


def titles(page) -> list[str]:
    return [text.split("\n")[0].split(" ")[0] for text in page.locator(".row").all_inner_texts()]


def search(page, text: str, n: int) -> None:
    page.fill("#query", text)
    page.wait_for_function(f"() => document.getElementById('said').value.startsWith('{n} tracks')")


def test_it_finds_as_one_types_and_says_what_is_wrong(page):
    search(page, "cel and not flu", 2)
    assert titles(page) == ["a.wav", "c.aiff"]
    page.fill("#query", "celo")
    page.wait_for_selector("#said.wrong")
    assert "did you mean cel" in page.locator("#said").inner_text()


def test_a_filter_is_in_the_address_so_a_link_leads_to_it(page, address):
    search(page, "flu > 0.65", 2)
    assert page.evaluate("location.hash") == "#q=flu%20%3E%200.65"
    page.goto(address.replace("?token", "?other=1&token") + "#q=voi")
    page.wait_for_selector("body[data-ready]")
    assert page.input_value("#query") == "voi"


def test_it_plays_where_an_instrument_is_heard(page):
    search(page, "cel", 3)
    page.locator(".row").first.click()
    page.wait_for_selector(".lane button")
    page.locator(".lane button", has_text="cello").click()
    page.wait_for_function("() => document.getElementById('audio').currentTime > 2")
    assert page.evaluate("document.getElementById('audio').duration") == pytest.approx(6, abs=0.1)
    assert page.get_attribute("#lane-cel", "aria-label") == "cello is heard 0:02 to 0:04"


def test_all_of_it_goes_by_keys(page, folder):
    page.keyboard.press("/")
    page.keyboard.type("cel")
    page.wait_for_function("() => document.getElementById('said').value.startsWith('3 tracks')")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector(".lane button")
    assert page.locator("#title").inner_text() == "b.flac"
    page.keyboard.press("2")
    page.keyboard.press("n")
    page.wait_for_selector(".tag.denied")
    said = read_corrections(Folder(str(folder))).rows.to_pylist()
    assert [(row["code"], row["verdict"]) for row in said] == [("flu", "absent")]
    page.keyboard.press("u")
    page.wait_for_function("() => !document.querySelector('#labels .tag.denied')")
    assert not read_corrections(Folder(str(folder)))
    page.keyboard.press("Escape")
    assert page.locator("#track").is_hidden()


def test_a_span_is_dragged_and_labelled(page, folder):
    search(page, "cel", 3)
    page.locator(".row").first.click()
    page.wait_for_selector(".lane button")
    box = page.locator("#logmel").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20, steps=4)
    page.mouse.up()
    page.select_option("#add-code", "voi")
    page.locator("#add button[type=submit]").click()
    page.wait_for_selector("#history li")
    (said,) = read_corrections(Folder(str(folder))).rows.to_pylist()
    assert (said["start_s"], said["end_s"]) == (
        pytest.approx(2, abs=0.1),
        pytest.approx(3, abs=0.1),
    )
    page.locator("#undo").click()
    page.wait_for_function("() => !document.querySelector('#history li')")


def test_names_from_outside_are_text_and_nothing_else(page):
    search(page, 'uri ~ "onerror"', 1)
    row = page.locator(".row").first
    assert row.inner_text().startswith("<img src=x onerror=alert(1)>□□evil'\".wav")
    row.click()
    page.wait_for_selector(".lane button")
    assert page.locator("#title img, #uri img, .row img").count() == 0


def test_a_track_that_failed_says_why(page):
    search(page, "status = failed", 1)
    page.locator(".row").first.click()
    page.wait_for_function(
        "() => document.getElementById('status').textContent.includes('not_audio')"
    )


def test_a_file_that_is_gone_is_said_to_be(page):
    search(page, 'uri ~ "gone"', 1)
    page.locator(".row").first.click()
    page.wait_for_function("() => document.getElementById('status').textContent !== ''")


def test_the_queue_goes_on_to_the_next_one(page, folder):
    page.click("[data-view=queue]")
    page.wait_for_selector("#queue-list button")
    first = page.locator("#queue-list button").first.inner_text()
    page.locator("#queue-list button").first.click()
    page.wait_for_selector(".lane button")
    page.locator("body").press("y")
    page.wait_for_function(
        "text => document.querySelector('#queue-list button').innerText !== text", arg=first
    )
    page.locator("#undo").click()
    page.wait_for_function(
        "text => document.querySelector('#queue-list button').innerText === text", arg=first
    )
    assert not read_corrections(Folder(str(folder)))


def test_the_map_opens_the_track_of_a_point(page):
    page.click("[data-view=map]")
    page.wait_for_selector("#map-legend button")
    assert "5 tracks as points" in page.get_attribute("#map-canvas", "aria-label")


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_a_phone_needs_no_sideways_scrolling(page):
    for view in ("tracks", "queue", "map", "precision"):
        page.click(f"[data-view={view}]")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.click("[data-view=tracks]")
    page.locator(".row").first.tap()
    page.wait_for_selector(".lane button")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_windows_that_were_not_kept_are_there_after_a_correction_too(chromium, tmp_path):
    music = tmp_path / "music"
    music.mkdir()
    times = np.arange(5 * 32_000) / 32_000
    wave = sum(np.sin(2 * np.pi * 220 * n * times) / n for n in range(1, 6))
    soundfile.write(music / "a.wav", 0.2 * wave, 32_000)
    tags = str(tmp_path / "tags")
    tag_catalog(TagConfig(str(music), "starter", tags, threshold=0.0, min_confidence=0.0))
    is_drawn = """() => { const lanes = [...document.querySelectorAll("canvas[id^='lane-']")];
        return lanes.length && lanes.every((one) => one.getContext("2d")
            .getImageData(0, 0, one.width, one.height).data.some((value) => value)); }"""
    with served(Path(tags), None) as address:
        page = chromium.new_page()
        page.goto(f"{address}/?token={TOKEN}")
        page.locator(".row").first.click()
        page.wait_for_function(is_drawn)
        for key in ("y", "u"):  # it is there; undo
            with page.expect_response(lambda one: "/api/windows" in one.url):
                page.keyboard.press(key)
            page.wait_for_function(is_drawn)
        page.close()
