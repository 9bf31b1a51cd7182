"""Pictures: that what is wrong is seen in them, and where."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from gradlab import check_layer, check_vjp, verify
from gradlab.report.comparison import Comparison
from gradlab.report.pages import write_pictures
from gradlab.running.pictured import wanting_pictures

pytest.importorskip("matplotlib", reason="the extra plot is not installed")

from gradlab.report import pictures  # what it draws with may be missing
from gradlab.report.pictures import figure_of, pictures_of

RNG = np.random.default_rng(0)


def comparison(shape, places=(), off=0.5):
    numerical = np.asarray(np.random.default_rng(1).standard_normal(shape))
    analytic, wrong = numerical.copy(), np.zeros(shape, dtype=bool)
    for place in places:
        analytic[place] += off
        wrong[place] = True
    return Comparison("f", "given", "x", analytic, numerical, np.zeros(shape), wrong)


def axes_of(found, kind):
    """Return the axes of one picture, drawn once more."""
    (draw,) = (draw for name, _, _, draw in pictures._drawings(found) if name == kind)
    figure = pictures.new_figure(5, 5)
    draw(figure)
    return figure.axes


def test_every_wrong_element_is_marked_as_such():
    found = comparison((4, 6), [(0, 1), (2, 3), (2, 4)])
    right, wrong = axes_of(found, "both")[0].collections
    assert (len(right.get_offsets()), len(wrong.get_offsets())) == (21, 3)
    assert axes_of(found, "error")[0].collections[0].get_offsets().tolist() == [[1, 0], [3, 2], [4, 2]]


def test_the_error_has_the_arrays_own_shape():
    assert axes_of(comparison((4, 6), [(0, 1)]), "error")[0].images[0].get_array().shape == (4, 6)
    assert axes_of(comparison(7, [3]), "error")[0].images[0].get_array().shape == (1, 7)
    four = axes_of(comparison((2, 3, 4, 5), [(1, 2, 3, 4)]), "error")
    assert [ax.get_title() for ax in four if ax.get_title()][-1] == "[1, 2, :, :]"
    assert sum(bool(ax.images) for ax in four) == 6


def test_one_wrong_element_of_a_million_is_seen():
    found = comparison((1000, 1000), [(700, 33)])
    image = axes_of(found, "error")[0].images[0].get_array()
    assert max(image.shape) <= pictures.CELLS
    row, column = np.unravel_index(np.argmax(image), image.shape)
    assert image[row, column] == pytest.approx(0.5)
    assert abs(row * 1000 / pictures.CELLS - 700) < 10
    assert abs(column * 1000 / pictures.CELLS - 33) < 10


def test_panels_with_the_largest_errors_are_those_that_are_shown():
    found = comparison((40, 2, 2), [(37, 0, 1)])
    titles = [ax.get_title() for ax in axes_of(found, "error")]
    assert "[37, :, :]" in titles
    assert len([title for title in titles if title]) == pictures.PANELS


@pytest.mark.parametrize("shape", [(), (1,), (3, 0), (1, 1), (2, 1, 1, 3, 1)])
def test_every_shape_is_drawn(shape):
    found = comparison(shape, [()] if shape == () else [])
    for picture in pictures_of(found):
        ET.fromstring(picture.svg)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_not_finite_is_drawn(value):
    found = comparison((3, 4))
    found.analytic[1, 2], found.wrong[1, 2] = value, True
    for picture in pictures_of(found):
        ET.fromstring(picture.svg)
        assert "[1, 2]" in picture.alt


def test_zeros_alone_are_drawn():
    zeros = np.zeros((3, 4))
    found = Comparison("f", "given", "x", zeros, zeros, zeros, zeros.astype(bool))
    assert [picture.alt.rpartition(": ")[2] for picture in pictures_of(found)] == ["no element is wrong."] * 2


def test_the_sentence_tells_region_and_worst_element():
    alt = pictures_of(comparison((4, 6), [(2, j) for j in range(6)]))[1].alt
    assert "wrong in row 2, most at x[2, " in alt


def test_the_same_data_give_the_same_bytes():
    first, second = (pictures_of(comparison((4, 6), [(0, 1)])) for _ in range(2))
    assert first == second


def test_a_wrong_layer_has_all_four(tmp_path):
    report = check_vjp(
        lambda x: (np.sin(x), x), lambda x, g: (g * np.sin(x),), (RNG.standard_normal((3, 4)),)
    )
    (both,) = report.comparisons
    found = pictures_of(both)
    assert [picture.name.rpartition("-")[2] for picture in found] == ["both", "error", "slopes", "taylor"]
    assert "backprop is wrong along this direction" in found[-1].alt
    assert all(re.fullmatch(r"[\w.-]+", picture.name) for picture in found)
    paths = write_pictures(report, tmp_path / "out")
    assert [path.name for path in paths] == [f"{picture.name}.svg" for picture in found]


def test_a_right_one_has_them_where_they_are_wanted():
    class Square:
        def forward(self, x):
            self.x = x
            return x**2

        def backward(self, dout):
            return 2 * self.x * dout

    x = RNG.standard_normal((3, 4))
    (plain,) = check_layer(Square(), x).comparisons
    assert (plain.jacobians, plain.steps) == (None, None)
    assert plain.directions > 0
    with wanting_pictures():
        (asked,) = check_layer(Square(), x).comparisons
    assert asked.jacobians[0] == pytest.approx(asked.jacobians[1], abs=1e-6)
    assert asked.steps.order == pytest.approx(2, abs=0.1) or asked.steps.order is None


def test_plot_draws_what_fails_first():
    def backward(r, g):
        return g @ r[1].T, -r[0].T @ g

    report = check_vjp(
        lambda x, w: (x @ w, (x, w)), backward, (RNG.standard_normal((3, 4)), RNG.standard_normal((4, 2)))
    )
    assert any("w: numerical gradient and backprop" in ax.get_title() for ax in report.plot().get_axes())
    assert any("x: numerical gradient and backprop" in ax.get_title() for ax in report.plot("x").get_axes())
    with pytest.raises(ValueError, match="of 'q': give one of x, w"):
        report.plot("q")


def test_plot_without_anything_to_draw_says_so():
    report = verify("add", checks=["repeatable"], explore=False)
    with pytest.raises(ValueError, match="run the check matches_numerical"):
        report.plot()


def test_plot_without_matplotlib_ends_with_the_cure(monkeypatch):
    from gradlab.report import figures

    monkeypatch.setattr(figures, "can_plot", lambda: False)
    with pytest.raises(ImportError, match=r"pip install 'gradlab\[plot\]'"):
        verify("add", explore=False).plot()


def test_a_figure_leaves_the_global_state(monkeypatch):
    import sys

    before = "matplotlib.pyplot" in sys.modules
    figure_of(comparison((3, 4), [(0, 0)]))
    assert ("matplotlib.pyplot" in sys.modules) is before
