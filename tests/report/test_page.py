"""The page: words are escaped, nothing is asked of the outside, numbers stand as they should."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from pipeline.report.page import Page, Table, Tile, cell_text, render_page
from pipeline.report.picture import Picture

EVIL = "<script>alert('x')</script>\"&"
PIXEL = "data:image/svg+xml;base64,PHN2Zy8+"


class Reader(HTMLParser):
    """Gathers tags, what they refer to, and the text."""

    def __init__(self):
        super().__init__()
        self.tags, self.references, self.texts, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.references += [v for k, v in attrs if k in {"src", "href", "action", "srcset"}]
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def full_page(words):
    return Page(
        title=words,
        lead=words,
        tiles=[Tile(words, words, words), Tile("clips", 1011)],
        blocks=[
            Table(words, [words, "n", "F1"], [[words, 1011, 0.87349], ["b", None, 1.0]], words),
            Picture(words, words, PIXEL),
        ],
        notes=[words],
        provenance={words: words},
    )


def test_words_are_escaped():
    html = render_page(full_page(EVIL))
    reader = read(html)
    assert "<script" not in html
    assert {tag for tag, _ in reader.tags}.isdisjoint({"script", "link", "iframe", "object"})
    assert sum(EVIL in text for text in reader.texts) == 15
    assert [a["alt"] for tag, a in reader.tags if tag == "img"] == [EVIL]


def test_page_asks_nothing_of_the_outside():
    html = render_page(full_page("words"))
    reader = read(html)
    assert reader.references == [PIXEL]
    assert "url(" not in html
    assert "@import" not in html
    (policy,) = [
        a["content"] for t, a in reader.tags if t == "meta" and a.get("http-equiv") is not None
    ]
    assert policy.startswith("default-src 'none'")


def test_pictures_and_tables_keep_a_readable_width_and_scroll_by_themselves():
    """A drawing of 9 inches on a telephone's 420 pixels has letters of 4."""
    html = render_page(full_page("words"))
    assert html.count("<img") == html.count('<div class="scroll"><img')
    assert html.count("<table>") == html.count('<div class="scroll">\n<table>')
    (rule,) = re.findall(r"^figure img \{(.*)\}$", html, re.M)
    assert "min-width: 36rem" in rule
    assert re.search(r"^\.scroll \{ overflow-x: auto; \}$", html, re.M)


def test_numbers_stand_on_the_right():
    reader = read(render_page(full_page("words")))
    cells = [attrs.get("class") for tag, attrs in reader.tags if tag == "td"]
    assert cells[:6] == [None, "number", "number"] * 2
    assert {"1,011", "0.873", "1.000", "\u2013"} <= set(reader.texts)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "\u2013"),
        ("", "\u2013"),
        (float("nan"), "\u2013"),
        (0.5, "0.500"),
        (-1234.5678, "-1,234.568"),
        (2084431, "2,084,431"),
        ("007", "007"),
    ],
)
def test_cells(cell, text):
    assert cell_text(cell) == text


def test_numeric_columns():
    table = Table("t", ["a", "b", "c"], [["x", 1, None], ["y", None, None]])
    assert table.is_numeric == [False, True, True]
    assert Table("t", ["a", "b"], []).is_numeric == [False, False]


def test_an_almost_empty_page_is_whole():
    reader = read(render_page(Page("Title", "Lead.")))
    assert {"title", "h1"} <= {tag for tag, _ in reader.tags}
    assert "table" not in {tag for tag, _ in reader.tags}


def test_an_empty_table_says_so():
    page = Page("Title", "Lead.", blocks=[Table("Failed", ["segment", "n"], [])])
    assert "None." in read(render_page(page)).texts


def test_half_a_character_does_not_break_the_file():
    html = render_page(Page("Title", "Lead.", provenance={"file": "caf\udce9.wav"}))
    assert "caf?.wav" in html
    html.encode("utf-8")
