"""The page in a real browser: it loads, sorts and filters, escapes, and fits a phone."""

import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from gradlab import check_vjp
from gradlab.report.web import report_page, write_page

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


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_it_is_no_wider_than_the_screen(browser, page, tmp_path, width):
    # a window has a least width, and a frame has not
    frame = tmp_path / "frame.html"
    copy = with_test(
        page, tmp_path, "parent.postMessage([document.documentElement.scrollWidth, innerWidth], '*')"
    )
    frame.write_text(
        f'<title>none</title><iframe src="{copy.name}" style="width:{width}px;height:800px;border:0"></iframe>'
        "<script>addEventListener('message', e => document.title = JSON.stringify(e.data))</script>",
        "utf-8",
    )
    dom, _ = browser(frame)
    found = re.search(r"<title>\[(\d+),(\d+)\]</title>", dom)
    assert found, dom[:200]
    assert int(found[2]) == width
    assert int(found[1]) <= width


# The contrast of every text with what it stands on, as WCAG 2 has it; 4.5 is its AA.
CONTRAST = """
const channel = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const luminance = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).map((v) => channel(v / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (; element; element = element.parentElement) {
    const colour = getComputedStyle(element).backgroundColor;
    if (!colour.startsWith("rgba")) return colour;
  }
  return "rgb(255, 255, 255)";
};
const texts = "h1, h2, dt, dd, p, td, th button, summary, .chip, pre, .diff span, figcaption";
let least = 99;
for (const element of document.querySelectorAll(texts)) {
  const both = [luminance(getComputedStyle(element).color), luminance(ground(element))];
  least = Math.min(least, (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05));
}
return [least >= 4.5, getComputedStyle(document.body).backgroundColor];"""


def test_light_and_dark_have_enough_contrast(browser, page, tmp_path):
    modes = {
        mode: seen(browser, page, tmp_path, CONTRAST, f"--blink-settings=preferredColorScheme={mode}")
        for mode in (0, 1)
    }
    assert modes == {0: '[true,"rgb(20, 24, 31)"]', 1: '[true,"rgb(255, 255, 255)"]'}
