"""The page in a real browser: it loads, sorts and filters, escapes, and fits a phone."""

import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from gradlab import Verdict, check_vjp
from gradlab.report.web import Page, Table, report_page, write_page
from gradlab.report.web import page as page_module

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")

NAME = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return a page of a wrong layer with a name that is one more script."""

    def backward(r, g):
        x, w, _ = r
        return -(g @ w.T), x.T @ g, g.sum(axis=0)

    rng = np.random.default_rng(0)
    primals = rng.standard_normal((5, 3)), rng.standard_normal((3, 4)), np.zeros(4)
    report = check_vjp(lambda x, w, b: (x @ w + b, (x, w, b)), backward, primals, name=NAME, explore=False)
    path = tmp_path_factory.mktemp("page") / "page.html"
    return write_page(report_page(report, "a run", "gradlab check"), path)


@pytest.fixture(scope="module")
def bare_page(tmp_path_factory):
    """Return a page without matplotlib, of a gradient that is wrong in some of many elements; with a long line."""

    def backward(x, g):
        d = 2 * x * g
        d[3, 20:30] *= 1.5
        return (d,)

    X = np.random.default_rng(0).standard_normal((30, 40))
    report = check_vjp(
        lambda x: (x**2, x), backward, (X,), name="folder/" * 30 + "layers.py:L", explore=False
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_module, "can_plot", lambda: False)
        made = report_page(report, "a run", "gradlab check", ["a long line " * 40])
    assert made.problems[0]["heat"]
    return write_page(made, tmp_path_factory.mktemp("bare") / "page.html")


@pytest.fixture
def browser(tmp_path):
    def run(path, *flags):
        command = [
            CHROMIUM, "--headless=new", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr", "--v=0", "--virtual-time-budget=5000", *flags, "--dump-dom", path.as_uri(),
        ]  # fmt: skip
        if hasattr(os, "getuid") and os.getuid() == 0:
            command.insert(1, "--no-sandbox")  # it refuses to run as root with one
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return run


def with_test(page, tmp_path, script):
    """Return a copy of a page with one more script, which puts what it sees into the page's title."""
    more = f"<script>document.title = JSON.stringify((() => {{ {script} }})());</script></body>"
    copy = tmp_path / "copy.html"
    copy.write_text(page.read_text("utf-8").replace("</body>", more), "utf-8")
    return copy


def seen(browser, page, tmp_path, script, *flags):
    dom, console = browser(with_test(page, tmp_path, script), *flags)
    assert console == []
    return re.search(r"<title>(.*?)</title>", dom, re.DOTALL)[1].replace("&quot;", '"')


def test_it_loads_without_an_error_and_runs_no_name(browser, page):
    dom, console = browser(page)
    assert console == []
    assert "</html>" in dom
    assert NAME not in dom
    assert '<button type="button">error</button>' in dom, "its own script ran"


def test_an_error_in_its_script_would_be_seen(browser, page, tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text(
        page.read_text("utf-8").replace("section.table", "section.[", 1).replace('"section.table"', '"["'),
        "utf-8",
    )
    _, console = browser(broken)
    assert console != []


ROWS = "const rows = [...document.querySelectorAll('section.table tbody tr')];"
ORDER = f"{ROWS} return rows.map((row) => row.cells[1].textContent);"
LEFT = f"""{ROWS}
return [rows.filter((row) => !row.hidden).length, document.querySelector('[role=status]').textContent];"""


def press(column):
    return f"[...document.querySelectorAll('th button')].find((b) => b.textContent === '{column}').click();"


def test_it_sorts_both_ways(browser, page, tmp_path):
    for script, order in (
        ("", '["x","w","b"]'),
        (press("input"), '["b","w","x"]'),
        (press("input") * 2, '["x","w","b"]'),
    ):
        assert seen(browser, page, tmp_path, script + ORDER) == order
    assert seen(browser, page, tmp_path, press("error") + ORDER).endswith('"x"]'), "the largest error last"
    sorted_by = "return document.querySelector('th[aria-sort]').getAttribute('aria-sort');"
    assert seen(browser, page, tmp_path, press("input") + sorted_by) == '"ascending"'


def test_it_filters_and_says_how_many_are_left(browser, page, tmp_path):
    choose = (
        "const s = document.querySelector('select'); s.value = '{}'; s.dispatchEvent(new Event('change'));"
    )
    find = (
        "const f = document.querySelector('input'); f.value = 'TURNED'; f.dispatchEvent(new Event('input'));"
    )
    for script, left in (
        ("", '[3,"3 of 3 shown"]'),
        (choose.format("wrong"), '[1,"1 of 3 shown"]'),
        (choose.format("pass"), '[2,"2 of 3 shown"]'),
        (find, '[1,"1 of 3 shown"]'),
    ):
        assert seen(browser, page, tmp_path, script + LEFT) == left


def test_words_and_empty_cells_come_after_numbers_either_way(browser, page, tmp_path):
    copy = tmp_path / "mixed.html"
    table = Table("t", ("error",), [("10",), ("",), ("9",), ("inf",), ("word",), ("< 1e-12",)])
    copy.write_text(
        write_page(Page("a", Verdict.PASS, "h", "", "c", {}, tables=[table]), tmp_path / "t.html").read_text(
            "utf-8"
        )
    )
    order = f"{ROWS} return rows.map((row) => row.textContent);"
    for presses, found in (
        (1, '["&lt; 1e-12","9","10","inf","word",""]'),
        (2, '["inf","10","9","&lt; 1e-12","word",""]'),
    ):
        assert seen(browser, copy, tmp_path, press("error") * presses + order) == found


def test_the_page_of_faults_is_searched_and_chosen_from(browser, tmp_path):
    rows = [("relu", outcome) for outcome in ("killed",) * 3 + ("surviving",)]
    table = Table("Every fault", ("node", "outcome"), rows)
    page = write_page(Page("a", Verdict.WRONG, "h", "", "c", {}, tables=[table]), tmp_path / "faults.html")
    choose = "const s = document.querySelector('select'); s.value = 'surviving'; s.dispatchEvent(new Event('change'));"
    assert seen(browser, page, tmp_path, choose + LEFT) == '[1,"1 of 4 shown"]'


def test_nothing_is_asked_of_a_server(browser, page, tmp_path):
    asks = "const image = new Image(); image.src = 'http://127.0.0.1:9/x.png'; document.body.append(image);"
    dom, console = browser(with_test(page, tmp_path, asks))
    assert any("Content Security Policy" in line for line in console), "what asks is refused"
    assert "</html>" in dom


def test_it_is_read_without_a_script(browser, page, tmp_path):
    bare = tmp_path / "bare.html"
    bare.write_text(re.sub(r"<script>.*?</script>", "", page.read_text("utf-8"), flags=re.DOTALL), "utf-8")
    script = """<script>document.title = JSON.stringify(
        [document.body.innerText.includes('the sign is turned round'),
         getComputedStyle(document.querySelector('.controls')).display]);</script></body>"""
    bare.write_text(bare.read_text("utf-8").replace("</body>", script), "utf-8")
    dom, console = browser(bare)
    assert console == []
    assert '<title>[true,"none"]</title>' in dom, "what would do nothing is not shown"


def seen_at(width, browser, page, tmp_path, expression):
    """Return the numbers that a list in JavaScript has on a screen of a width."""
    # a window has a least width, and a frame has not
    frame = tmp_path / "frame.html"
    copy = with_test(page, tmp_path, f"parent.postMessage({expression}, '*')")
    frame.write_text(
        f'<title>none</title><iframe src="{copy.name}" style="width:{width}px;height:800px;border:0"></iframe>'
        "<script>addEventListener('message', e => document.title = JSON.stringify(e.data))</script>",
        "utf-8",
    )
    dom, _ = browser(frame)
    found = re.search(r"<title>\[([\d.,-]+)\]</title>", dom)
    assert found, dom[:200]
    return [float(number) for number in found[1].split(",")]


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_it_is_no_wider_than_the_screen(browser, page, bare_page, tmp_path, width):
    for each in (page, bare_page):
        widths = seen_at(width, browser, each, tmp_path, "[document.documentElement.scrollWidth, innerWidth]")
        assert widths[1] == width
        assert widths[0] <= width


def test_what_can_be_pressed_is_on_a_phones_screen(browser, page, tmp_path):
    buttons = "[...document.querySelectorAll('th button, input, select')].map(e => e.getBoundingClientRect())"
    ends = f"{buttons}.flatMap(r => [r.left, r.right, r.height])"
    found = seen_at(360, browser, page, tmp_path, ends)
    assert len(found) >= 21
    assert min(found[0::3]) >= 0
    assert max(found[1::3]) <= 360
    assert min(found[2::3]) >= 24, "a finger's least, as WCAG 2.2 has it"


def test_a_word_in_a_table_is_not_broken(browser, tmp_path):
    row = ("softmax", "a sentence of many words, " * 9, "gamma", "killed", "another sentence, " * 9)
    table = Table("t", ("node", "change", "input", "outcome", "note"), [row])
    page = write_page(Page("a", Verdict.PASS, "h", "", "c", {}, tables=[table]), tmp_path / "words.html")
    # text over two lines has two boxes
    lines = """[...document.querySelectorAll('.table th button, .table td span')]
        .filter((e) => !e.textContent.includes(' ')).map((e) => e.getClientRects().length)"""
    assert seen_at(700, browser, page, tmp_path, lines) == [1.0] * 8


def test_a_phone_tells_beside_each_value_what_it_is(browser, page, tmp_path):
    labels = """[...document.querySelectorAll('.table td')].map((e) => {
        const header = e.closest('table').querySelectorAll('th')[e.cellIndex].textContent;
        return +(getComputedStyle(e, '::before').content === `"${header}"`); })"""
    assert set(seen_at(360, browser, page, tmp_path, labels)) == {1.0}


# The contrast of every text with what it stands on, as WCAG 2 has it; 4.5 is its AA.
CONTRAST = """
const channel = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
const luminance = (colour) => {
  const [r, g, b] = colour.map((v) => channel(v / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  if (!element) return [255, 255, 255];
  const [r, g, b, a = 1] = parts(getComputedStyle(element).backgroundColor);
  if (a === 1) return [r, g, b];
  return ground(element.parentElement).map((under, k) => under * (1 - a) + [r, g, b][k] * a);
};
const texts = "h1, h2, dt, dd, p, td, th, caption, th button, summary, .chip, pre, .diff span, figcaption, label";
let least = 99;
for (const element of document.querySelectorAll(texts)) {
  const both = [luminance(parts(getComputedStyle(element).color).slice(0, 3)), luminance(ground(element))];
  least = Math.min(least, (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05));
}
return [least >= 4.5, getComputedStyle(document.body).backgroundColor];"""


@pytest.mark.parametrize("mode, ground", [(0, "rgb(20, 24, 31)"), (1, "rgb(255, 255, 255)")])
def test_light_and_dark_have_enough_contrast(browser, page, bare_page, tmp_path, mode, ground):
    for each in (page, bare_page):
        found = seen(browser, each, tmp_path, CONTRAST, f"--blink-settings=preferredColorScheme={mode}")
        assert found == f'[true,"{ground}"]'
