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
        if tag not in ("meta", "link", "img", "input", "br", "wbr"):
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


def test_a_short_name_is_escaped_as_well(page_of):
    row = {"sample": "s", "check": "matches_numerical", "dtype": "float64", "relative_error": 0.5}
    numbers = {"worst_index": (0,), "analytic": 1.0, "numerical": 2.0}
    text = page_of(Report([Row(node="<b>", primal="<i>", verdict=Verdict.WRONG, **row, **numbers)], {}))
    assert "<b>" not in text
    assert "<i>" not in text


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
    [
        ("layers.py:BatchNorm", "what gradlab&#39;s own batch_norm computes"),
        ("layers.py:BatchNorm2d", "what gradlab&#39;s own batch_norm computes"),
        ("layers.py:Conv1d", "what gradlab&#39;s own conv1d computes"),
        ("layers.py:Conv", None),
        ("relu", "relu"),
        ("layers.py:Mine", None),
    ],
)
def test_the_formulas_of_what_is_called_alike(page_of, name, node):
    report = check_vjp(
        lambda x: (x**2, x), lambda x, g: (-2 * x * g,), (X,), name=name, explore=False, repair=False
    )
    text = page_of(report)
    assert (f"The formulas: {node}</summary>" in text) is (node is not None)
    assert ("The formulas" in text) is (node is not None)


def test_a_heat_map_lies_round_the_element_that_the_report_names():
    wrong = np.zeros((50, 4), dtype=bool)
    wrong[[3, 40], 1] = True
    right = np.zeros(wrong.shape)
    off = np.where(wrong, np.arange(50.0)[:, None], 0.0)
    found = heat_map(Comparison("f", "given", "x", off, right, right, wrong, worst=(3, 1)))
    assert "the part round [3, 1]" in found.caption
    assert found.rows[0][1][0].text == "\N{MIDDLE DOT}", "what is right is no news"


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
        ("93.1%", 93.1),
        ("inf", float("inf")),
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


def test_a_name_that_is_nearly_a_number_is_sorted_as_text():
    assert [_sorted_by(text) for text in ("1.2.3", "-", "e", "1 of 2")] == ["1.2.3", "-", "e", "1 of 2"]


@pytest.mark.parametrize("place", ["folder", "file/page.html"])
def test_a_place_that_cannot_be_written_is_one_line_before_the_run(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gradlab.commands.verify.verify", lambda *_, **__: pytest.fail("its report is lost"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="2"):
        cli.main(["verify", "add", "--html", str(tmp_path / place)])
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "cannot be written (it is" in err
    assert re.search(r": name (a file in it|another place): see gradlab verify --help$", err)


def test_a_folder_that_turns_out_not_to_be_writeable_is_one_line(tmp_path, capsys, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "a passing name")

    monkeypatch.setattr("gradlab.report.files.os.open", refuse)
    path = tmp_path / "page.html"
    assert cli.main(["verify", "add", "--html", str(path)]) == 2
    said = f"gradlab: {path} cannot be written (Permission denied): name a place that can be\n"
    assert capsys.readouterr().err.endswith(said)


def test_a_name_that_is_no_unicode_is_written(wrong, tmp_path):
    page = report_page(wrong, "caf\udce9", "gradlab check caf\udce9.py")
    assert "gradlab check caf?.py" in write_page(page, tmp_path / "page.html").read_text("utf-8")


def test_a_repair_stands_with_the_layer_that_it_is_of(page_of):
    layer = "class {}:\n    def backward(self, d):\n        return d\n"
    text = f"{layer.format('First')}\n\n{layer.format('Second')}"
    diff = "--- f.py\n+++ f.py\n@@ -8 +8 @@\n-        return d\n+        return 2 * d"
    repair = Repair("f.py", 8, "return d", "return 2 * d", diff, "all checks", text=text)
    row = {"sample": "given", "check": "matches_numerical", "primal": "x", "dtype": "float64"}
    numbers = {"relative_error": 0.5, "worst_index": (0,), "analytic": 1.0, "numerical": 2.0}
    rows = [Row(node=f"f.py:{name}", verdict=Verdict.WRONG, **row, **numbers) for name in ("First", "Second")]
    first, second = page_of(Report(rows, {}, repairs=[repair])).split("<article")[1:]
    assert "Change this" not in first
    assert "Change this" in second


def test_gradlab_check_writes_a_page_with_pictures_of_what_is_right(tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    (tmp_path / "mine.py").write_text(
        "class Square:\n"
        "    def forward(self, x):\n        self.x = x\n        return x**2\n"
        "    def backward(self, dout):\n        return 2 * self.x * dout\n"
    )
    path = tmp_path / "page.html"
    assert cli.main(["check", f"{tmp_path / 'mine.py'}:Square", "--input", "3x4", "--html", str(path)]) == 0
    assert f"wrote {path}" in capsys.readouterr().err
    images = Outline(path.read_text("utf-8")).images
    assert any("numerical gradient and backprop" in image["alt"] for image in images)


def test_many_right_nodes_have_no_pictures(page_of):
    report = verify(family="activation", checks=["matches_numerical"], explore=False)
    assert Outline(page_of(report)).images == []
