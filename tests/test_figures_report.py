"""The page: well-formed, everything escaped, nothing from elsewhere."""

import base64
import hashlib
import io
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from isthmus import figures
from isthmus.errors import DataError

pytestmark = pytest.mark.filterwarnings("error")

VOID = {"meta", "img", "br", "hr", "link", "input"}
HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)> &amp; \' " \x00\x1b \ud800'


class Page(HTMLParser):
    """Collects elements and text, and insists that what opens also closes."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.words = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append((self.open[-1] if self.open else "", data))

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    def text(self, tag):
        return [words for name, words in self.words if name == tag]


def full_report():
    picture = figures.firing_rates([0.0, 0.25, 1.0])
    table = figures.Table(
        {
            "run": ["dense", HOSTILE],
            "mse": np.array([0.012345678, math.nan]),
            "ok": np.array([True, False]),
            HOSTILE: [None, 3],
        }
    )
    return picture, figures.html_report(
        HOSTILE,
        [
            figures.Section(HOSTILE, [HOSTILE, "two"], [figures.ReportTable(table, HOSTILE)]),
            figures.Section(
                "Pictures",
                pictures=[picture, figures.ReportPicture(picture.png(), HOSTILE, HOSTILE)],
            ),
        ],
    )


def test_the_page_is_whole_and_holds_what_it_was_given():
    picture, html = full_report()
    assert html.startswith("<!DOCTYPE html>\n")
    page = Page(html)
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert len(page.all("h2")) == 2
    assert [a["href"] for a in page.all("a")] == ["#s1", "#s2"]
    assert [s["id"] for s in page.all("section")] == ["s1", "s2"]
    first = page.all("img")[0]
    png = base64.b64decode(first["src"].removeprefix("data:image/png;base64,"), validate=True)
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        assert [int(first["width"]), int(first["height"])] == [s // 2 for s in image.size]
    assert first["alt"] == picture.alt
    assert len(page.all("details")) == 1
    cells = page.text("td")
    assert cells[:3] == ["0.01235", "yes", "\N{EN DASH}"]
    assert cells[3:6] == ["\N{EN DASH}", "no", "3"]
    html.encode("utf-8")


def test_nothing_hostile_becomes_markup():
    _, html = full_report()
    page = Page(html)
    assert page.all("script") == []
    assert all(not name.startswith("on") for _, attrs in page.elements for name in attrs)
    assert any("<script>" in words for words in page.text("h1"))
    assert "\x00" not in html
    assert "\x1b" not in html


def test_the_page_loads_nothing_from_elsewhere():
    _, html = full_report()
    page = Page(html)
    bare = re.sub(r'src="data:image/png;base64,[^"]*"', "", html)
    assert not re.search(r"(?i)https?:|//|@import|url\(|javascript:", bare)
    assert all(img["src"].startswith("data:image/png;base64,") for img in page.all("img"))
    allowed = {"html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "nav", "ol",
               "li", "a", "section", "p", "div", "table", "caption", "thead", "tbody", "tr", "th",
               "td", "figure", "img", "figcaption", "details", "summary"}  # fmt: skip
    assert {tag for tag, _ in page.elements} <= allowed


def test_its_own_policy_forbids_everything_but_its_style_and_images():
    _, html = full_report()
    page = Page(html)
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    (css,) = page.text("style")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "img-src data:;" in policy
    assert "script-src" not in policy
    assert all("style" not in attrs for _, attrs in page.elements)


@settings(max_examples=40, deadline=None)
@given(st.text(), st.text())
def test_any_text_comes_back_as_text(heading, words):
    html = figures.html_report(heading, [figures.Section(heading, [words])])
    page = Page(html)
    assert {tag for tag, _ in page.elements} <= {
        "html", "head", "meta", "title", "style", "body", "main", "h1", "section", "h2", "p",
    }  # fmt: skip
    kept = "".join(c for c in words if c in "\n\t" or (c >= " " and c != "\x7f"))
    assert "".join(page.text("p")) == kept.encode("utf-8", "replace").decode()


def test_large_tables_stay_out_of_the_page():
    picture = figures.code_heatmap(np.random.default_rng(0).random((40, 40)))
    assert len(picture.table) * 3 > 2000
    html = figures.html_report("t", [figures.Section("s", pictures=[picture])])
    assert Page(html).all("details") == []


def test_an_empty_report_and_an_empty_table_are_pages():
    assert Page(figures.html_report("t", [])).all("section") == []
    empty = figures.ReportTable(figures.Table({"a": []}), "nothing")
    page = Page(figures.html_report("t", [figures.Section("s", tables=[empty])]))
    assert page.all("td") == []
    assert page.text("caption") == ["nothing"]


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + b"x" * 40]
)
def test_what_is_no_png_is_refused(data):
    with pytest.raises(DataError, match="isn't a PNG"):
        figures.html_report(
            "t", [figures.Section("s", pictures=[figures.ReportPicture(data, "alt")])]
        )
