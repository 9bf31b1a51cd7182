"""Pictures: that what is wrong is seen in them, and where."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from gradlab import check_layer, check_vjp, cli, verify
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
    right, wrong, _ = axes_of(found, "both")[0].collections
    assert (len(right.get_offsets()), len(wrong.get_offsets())) == (21, 3)
    assert axes_of(found, "error")[0].collections[0].get_offsets().tolist() == [[1, 0], [3, 2], [4, 2]]


def test_the_error_has_the_arrays_own_shape():
    assert axes_of(comparison((4, 6), [(0, 1)]), "error")[0].images[0].get_array().shape == (4, 6)
    assert axes_of(comparison(7, [3]), "error")[0].images[0].get_array().shape == (1, 7)
    four = axes_of(comparison((2, 3, 4, 5), [(1, 2, 3, 4)]), "error")
    assert [ax.get_title() for ax in four if ax.get_title()][-1] == "[1, 2, :, :]"
    assert sum(bool(ax.images) for ax in four) == 6


def darkness(found):
    """Return how dark each element of an error's picture is, from 0, white, to 1, black."""
    image = axes_of(found, "error")[0].images[0]
    return np.clip(np.ma.filled(image.norm(image.get_array()), np.nan), 0, 1)


def test_a_wrong_element_is_black_and_rounding_is_pale():
    assert darkness(comparison((4, 6), [(2, 3)]))[2, 3] == 1
    assert darkness(comparison((4, 6), [(2, 3)], np.inf))[2, 3] == 1
    right = comparison((4, 6))
    right.analytic[1, 1] += 1e-15
    assert darkness(right).max() < 0.1


def test_rounding_stays_pale_beside_what_is_no_number():
    found = comparison((4, 6), [(2, 3)], np.nan)
    found.analytic[1, 1] += 1e-15
    assert darkness(found)[2, 3] == 1
    assert darkness(found)[1, 1] < 0.1


def outline_of(found):
    (edges,) = [c for c in axes_of(found, "error")[0].collections if hasattr(c, "get_segments")]
    return {tuple(map(tuple, np.round(edge, 6).tolist())) for edge in edges.get_segments()}


def test_what_is_wrong_has_an_outline():
    box = {
        ((2.5, 1.5), (3.5, 1.5)),
        ((2.5, 2.5), (3.5, 2.5)),
        ((2.5, 1.5), (2.5, 2.5)),
        ((3.5, 1.5), (3.5, 2.5)),
    }
    assert outline_of(comparison((4, 6), [(2, 3)])) == box
    assert outline_of(comparison((4, 6))) == set()
    assert len(outline_of(comparison((4, 6), [(2,)]))) == 14, (
        "round the row, and not round each of its elements"
    )


def test_a_large_wrong_part_is_not_hidden_by_its_marks():
    (edges,) = axes_of(comparison((200, 150), [(slice(20, 60), slice(None))]), "error")[0].collections
    assert hasattr(edges, "get_segments")


def test_the_worst_element_is_labelled_with_its_index():
    found = comparison((4, 6), [(0, 1), (2, 3)])
    found.analytic[2, 3] += 1
    (label,) = axes_of(found, "both")[0].texts
    assert (label.get_text(), label.xy) == ("x[2, 3]", (found.numerical[2, 3], found.analytic[2, 3]))


def test_elements_without_a_number_are_counted():
    found = comparison((4, 6), [(0, 1)], np.nan)
    found.numerical[2] = np.nan
    ax = axes_of(found, "both")[0]
    assert ax.get_title().endswith("7 elements without a number left out, 1 of them wrong")
    assert sum(len(c.get_offsets()) for c in ax.collections) == 17


def test_of_directions_no_element_is_claimed_to_be_known():
    found = replace(comparison((4, 6)), directions=3)
    assert "confirmed along 3 random directions" in axes_of(found, "both")[0].get_title()
    assert [picture.name.rpartition("-")[2] for picture in pictures_of(found)] == ["both"]


def test_parts_that_are_left_out_are_told():
    title = pictures.new_figure(5, 5)
    pictures._error(title, comparison((40, 2, 2), [(37, 0, 1)]), "x")
    assert "the 12 of 40 parts that are furthest off" in title.get_suptitle()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_slopes_that_are_no_numbers_are_drawn(bad):
    ours, theirs = np.ones((3, 4)), np.ones((3, 4))
    ours[1], theirs[2] = bad, bad
    found = replace(comparison((2, 2)), jacobians=(ours, theirs))
    first, _, last = (ax.images[0] for ax in axes_of(found, "slopes")[:3])
    assert first.get_clim() == (-1, 1)
    assert np.ma.getmaskarray(last.get_array())[1:].all()
    ET.fromstring(pictures_of(found)[-1].svg)


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


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, 1e-310])
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
    figure = pictures.new_figure(5, 5)
    pictures._error(figure, found, "x")
    assert figure.get_suptitle().endswith("the difference is 0 everywhere")
    assert len(figure.axes) == 1, "a scale of nothing means nothing"


def test_the_sentence_tells_region_and_worst_element():
    alt = pictures_of(comparison((4, 6), [(2, j) for j in range(6)]))[1].alt
    assert "wrong in row 2, worst at x[2, " in alt


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


def test_a_large_right_gradient_fills_no_memory_for_pictures():
    x = np.linspace(0.1, 1, 20_000)
    forward = lambda x: (x**2, x)
    right = check_vjp(forward, lambda x, g: (2 * x * g,), (x,), explore=False)
    assert right.ok
    assert right.comparisons == []
    wrong = check_vjp(forward, lambda x, g: (3 * x * g,), (x,), explore=False, repair=False)
    assert [both.primal for both in wrong.comparisons] == ["x"]


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
    with pytest.raises(ValueError, match="run matches_numerical, on no more than full_below="):
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


WRONG_LAYER = """
class Double:
    def forward(self, x):
        return 2 * x
    def backward(self, dout):
        return 3 * dout

class Triple(Double):
    def forward(self, x):
        return 3 * x
"""


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    (tmp_path / "layers.py").write_text(WRONG_LAYER)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        status = cli.main(["check", *arguments])
        return status, *capsys.readouterr()

    return run


def test_gradlab_check_writes_what_fails_first(check, tmp_path):
    status, _, err = check("layers.py:Triple", "layers.py:Double", "--input", "3x4", "--plot", "out")
    told = [line.removeprefix("wrote out/") for line in err.splitlines() if line.startswith("wrote ")]
    assert status == 1
    assert told == [
        "layers.py_Double-given-x-both.svg",
        "layers.py_Double-given-x-error.svg",
        "layers.py_Double-given-x-slopes.svg",
        "layers.py_Double-given-x-taylor.svg",
        "layers.py_Triple-given-x-both.svg",
        "layers.py_Triple-given-x-slopes.svg",
        "layers.py_Triple-given-x-taylor.svg",
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(told)


def test_gradlab_check_without_matplotlib_ends_before_anything_runs(check, monkeypatch):
    monkeypatch.setattr("gradlab.commands.check.can_plot", lambda: False)
    monkeypatch.setattr("gradlab.commands.check.check", lambda *_, **__: pytest.fail("it ran"))
    status, out, err = check("layers.py:Double", "--input", "3x4", "--plot", "out")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert err.endswith("pip install 'gradlab[plot]'\n")


def test_trainings_that_coincide_are_told_apart():
    from gradlab.report.figures import AccuracyCurve, accuracy_figure

    curve = AccuracyCurve([0, 1, 2], [0.1, 0.8, 0.9], [0.1, 0.7, 0.8])
    both = {"numerical gradients": curve, "backprop": curve}
    errors, apart = accuracy_figure("errors", both, ([1, 2], [1e-9, 3e-9])).axes
    under, over = ([line for line in errors.lines if line.get_label().startswith(name)] for name in both)
    assert len({line.get_color() for line in errors.lines}) == 4
    assert min(line.get_linewidth() for line in under) > max(line.get_linewidth() for line in over)
    assert [line.get_marker() for line in over] == ["o", "s"]
    assert apart.get_yscale() == "log"
    assert apart.lines[0].get_ydata().tolist() == [1e-9, 3e-9]
    assert len(accuracy_figure("errors", {"backprop": curve}, None).axes) == 1
