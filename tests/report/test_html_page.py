"""The page for a browser, as text: self-contained, escaped, readable without a script."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from gradlab import Report, Row, Verdict, check_vjp, cli, verify
from gradlab.repair import Repair
from gradlab.report.comparison import Comparison
from gradlab.report.web import page as page_module
from gradlab.report.web import report_page, write_page
from gradlab.report.web.heat_map import heat_map
from gradlab.report.web.page import _sorted_by

EVIL = "<script>alert(1)</script>"
X = np.random.default_rng(0).standard_normal((4, 6))


class Outline(HTMLParser):
    """What a page is made of, and whether every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.images = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.tags.append(tag)
        self.links += [known[name] for name in ("src", "href") if name in known]
        if tag == "img":
            self.images.append(known)
        if tag not in ("meta", "link", "img", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def wrong():
    def backward(x, g):
        d = 2 * x * g
        d[1] *= 2
        return (d,)

    return check_vjp(lambda x: (x**2, x), backward, (X,), name=EVIL, explore=False)


@pytest.fixture
def page_of(tmp_path):
    def made(report, **more):
        return write_page(
            report_page(report, "a run", "gradlab check", **more), tmp_path / "page.html"
        ).read_text("utf-8")

    return made


def test_a_page_is_whole_and_asks_nobody(wrong, page_of):
    text = page_of(wrong)
    outline = Outline(text)
    assert outline.open == []
    assert outline.tags.count("script") == 1, "its own"
    assert all(link.startswith(("#", "data:")) for link in outline.links)
    assert "default-src 'none'" in text
    assert not re.search(r"https?://", text.replace("http://www.w3.org", ""))


def test_everything_is_escaped(wrong, page_of):
    rows = [
        Row(
            EVIL,
            EVIL,
            EVIL,
            EVIL,
            EVIL,
            verdict,
            1.0,
            worst_index=(0,),
            analytic=1.0,
            numerical=2.0,
            note=EVIL,
        )
        for verdict in Verdict
    ]
    text = page_of(Report([*wrong.rows, *rows], {EVIL: EVIL}, findings=wrong.findings), remarks=[EVIL])
    assert EVIL not in text
    assert text.count("&lt;script&gt;") > 10


def test_the_verdict_the_mistake_and_the_cure_come_first(wrong, page_of):
    text = re.sub(r"<style>.*?</style>", "", page_of(wrong), flags=re.DOTALL)
    above = text[: text.index("<details")]
    parts = ["the gradient of x.</h1>", "<dt>mistake</dt>", "<dt>where</dt>", "row 1"]
    found = [above.index(part) for part in parts]
    assert found == sorted(found)
    for word in ("primal", "cotangent", "matches_numerical", "analytic", "residuals"):
        assert word not in above


def test_a_picture_has_words_for_who_does_not_see_it(wrong, page_of):
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    images = Outline(page_of(wrong)).images
    assert len(images) == 4
    assert all(image["alt"] and image["src"].startswith("data:image/svg+xml;base64,") for image in images)
    assert any("row 1" in image["alt"] for image in images)


def test_without_matplotlib_the_error_is_a_table(wrong, page_of, monkeypatch):
    monkeypatch.setattr(page_module, "can_plot", lambda: False)
    text = page_of(wrong)
    assert Outline(text).images == []
    assert len(re.findall(r'<td class="off"', text)) == 6
    assert "pip install &#39;gradlab[plot]&#39;" in text


def test_a_heat_map_is_cut_round_the_worst():
    wrong = np.zeros((3, 100, 100), dtype=bool)
    wrong[2, 77, 12] = True
    right = np.zeros(wrong.shape)
    found = heat_map(Comparison("f", "given", "x", np.where(wrong, 2.0, 0.0), right, right, wrong))
    assert (len(found.rows), len(found.columns)) == (20, 16)
    assert "x[2, :, :], the part round [2, 77, 12]" in found.caption
    (cell,) = (c for name, row in found.rows for k, c in zip(found.columns, row, strict=True) if c.kind)
    assert (cell.text, cell.heat) == ("2 x", 100)
    assert any(name == 77 for name, _ in found.rows)
    assert 12 in found.columns


@pytest.mark.parametrize(
    ("name", "node"),
    [("layers.py:BatchNorm", "gradlab&#39;s own batch_norm"), ("relu", "relu"), ("layers.py:Mine", None)],
)
def test_the_formulas_of_what_is_called_alike(page_of, name, node):
    report = check_vjp(
        lambda x: (x**2, x), lambda x, g: (-2 * x * g,), (X,), name=name, explore=False, repair=False
    )
    text = page_of(report)
    assert (f"The formulas: {node}</summary>" in text) is (node is not None)
    assert ("The formulas" in text) is (node is not None)


def test_a_repair_is_shown_with_its_signs(wrong, page_of):
    diff = "--- f.py\n+++ f.py\n@@ -1 +1 @@\n-    return 3 * x\n+    return 2 * x"
    repair = Repair(
        "f.py", 1, "    return 3 * x", "    return 2 * x", diff, "all checks, at the given primals"
    )
    text = page_of(replace(wrong, repairs=[repair]))
    assert (
        '<span class="removed">-    return 3 * x\n</span><span class="added">+    return 2 * x\n</span>'
        in text
    )
    assert "Proven with all checks, at your input." in text


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("< 1e-12", 1e-12),
        ("1.3", 1.3),
        ("39,200", 39200.0),
        ("2.5 ms", 0.0025),
        ("22,208x", 22208.0),
        ("7 ns", 7e-9),
    ],
)
def test_numbers_are_sorted_as_numbers(cell, value):
    assert float(_sorted_by(cell)) == pytest.approx(value)


def test_verdicts_are_sorted_by_how_bad_they_are():
    assert [_sorted_by(str(v)) for v in (Verdict.PASS, Verdict.WARNING, Verdict.WRONG)] == ["0", "2", "4"]


@pytest.mark.parametrize(
    "command",
    [
        ["verify", "relu", "affine"],
        ["mutate", "relu"],
        ["mnist", "--data", "digits", "--gradient", "backprop", "--steps", "20"],
    ],
)
def test_every_command_writes_its_page(command, tmp_path, capsys):
    path = tmp_path / "deep" / "page.html"
    assert cli.main([*command, "--html", str(path)]) == 0
    assert f"wrote {path}" in capsys.readouterr().err
    text = path.read_text("utf-8")
    outline = Outline(text)
    assert outline.open == []
    assert outline.tags.index("h1") < outline.tags.index("table")
    assert f"gradlab {command[0]}" in text


def test_a_place_that_is_a_folder_is_one_line(tmp_path, capsys):
    assert cli.main(["verify", "add", "--html", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert f"{tmp_path} cannot be written (it is a folder): name a place that can be" in err


def test_many_right_nodes_have_no_pictures(page_of):
    report = verify(family="activation", checks=["matches_numerical"], explore=False)
    assert Outline(page_of(report)).images == []
