"""A report in a notebook, and in a prompt: a line, a table, a frame, and never a page of dataclasses."""

import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from gradlab import Report, Row, check_vjp

NAME = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def wrong():
    x = np.random.default_rng(0).standard_normal((4, 6))
    return check_vjp(lambda x: (x**2, x), lambda x, g: (-2 * x * g,), (x,), name=NAME)


def test_a_prompt_shows_one_line(wrong):
    assert repr(wrong).startswith(f"<gradlab.Report: WRONG: {NAME}, the gradient of x. ")
    assert len(repr(wrong)) < 200
    assert "\n" not in repr(wrong)


def test_a_cell_tells_all_and_runs_nothing(wrong):
    html = wrong._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;, the gradient of x." in html
    assert "the sign is turned round (sign-flipped)" in html
    assert ">wrong</td>" in html
    tags = set(re.findall(r"<(\w+)", html))
    assert all(len(re.findall(rf"<{tag}\b", html)) == html.count(f"</{tag}>") for tag in tags)


def test_a_long_table_is_folded(wrong):
    assert "<details open>" in wrong._repr_html_()
    rows = [replace(wrong.rows[0], primal=f"x{i}") for i in range(31)]
    assert "<details>" in Report(rows)._repr_html_()


def test_markdown_is_the_reports(wrong):
    assert wrong._repr_markdown_() == wrong.to_markdown()


def test_a_frame_has_the_rows_fields(wrong):
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = wrong.to_dataframe()
    assert list(frame.columns) == list(Row.__dataclass_fields__)
    assert len(frame) == len(wrong.rows)
    assert frame.verdict[0] == "wrong"


def test_without_pandas_the_cure_is_told(wrong, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install pandas, or read Report.rows"):
        wrong.to_dataframe()
