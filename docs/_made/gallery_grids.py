"""The gallery's pictures of arrays, cell by cell: what stands where, in which shape, and what is written where.

Each function returns a figure; its docstring says what is to be seen, for who does not see it.
"""

from typing import Any

import numpy as np
from gallery_runs import Run, backprop, cotangent, numerical
from gallery_style import BACKPROP, NUMERICAL, PLAIN, cells, grid, picture
from matplotlib.patches import Rectangle


def _largest(*arrays: np.ndarray) -> float:
    return max(float(np.abs(a).max()) for a in arrays)


def _letters(right: np.ndarray, ours: np.ndarray) -> tuple[list[list[str]], list[list[str]]]:
    """Return a letter for each number of the right array, and for each number of the other the letter of its equal."""
    flat = right.ravel()
    found = np.abs(ours.ravel()[:, None] - flat[None]).argmin(axis=1)
    first = [[chr(ord("a") + k) for k in row] for row in np.arange(flat.size).reshape(right.shape)]
    second = [[chr(ord("a") + int(k)) for k in row] for row in found.reshape(ours.shape)]
    return first, second


def _numbers(values: np.ndarray) -> list[list[str]]:
    return [[f"{value:.1f}".replace("-", "\N{MINUS SIGN}") for value in row] for row in values]


def _side_by_side(run: Run, title: str) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """Draw both gradients of a matrix, with a letter for each number."""
    figure, both = picture(title), run.compared
    axes, (right, ours) = grid(figure), (both.numerical, both.analytic)
    size, letters = _largest(right), _letters(right, ours)
    apart = right.shape[1] + 1.5
    cells(axes, right, size=size, texts=letters[0], title="numerical", colour=NUMERICAL)
    cells(axes, ours, (apart, 0), size=size, texts=letters[1], title="backprop", colour=BACKPROP)
    return figure, axes, right, ours


def transposed(run: Run) -> Any:
    """Both gradients of W as 3 by 3 cells.

    Backprop is the numerical one mirrored at its diagonal.
    """
    figure, axes, right, _ = _side_by_side(run, "The gradient of W; equal numbers have equal letters")
    for left in (0, right.shape[1] + 1.5):
        for begin, end in ((-0.4, 0.25), (0.75, 1.25), (1.75, 2.25), (2.75, 3.4)):
            axes.plot([left + begin, left + end], [begin, end], color="black", linewidth=1.2)
    axes.set_ylim(3.4, -0.6)
    return figure


def axes_permuted(run: Run) -> Any:
    """Both gradients of x as 3 by 4 cells.

    The same twelve numbers stand in them in another order.
    """
    figure, *_ = _side_by_side(run, "The gradient of x; equal numbers have equal letters")
    return figure


def columns_exchanged(run: Run) -> Any:
    """Both gradients of x, one above the other.

    Columns 0 and 1 of the one are 2 and 3 of the other.
    """
    figure, both = picture("The gradient of x; equal columns are joined"), run.compared
    axes, (right, ours) = grid(figure), (both.numerical, both.analytic)
    size, (rows, columns) = _largest(right), right.shape
    low = rows + 2.2
    cells(axes, right, size=size, colour=NUMERICAL)
    cells(axes, ours, (0, low), size=size, colour=BACKPROP)
    axes.text(-0.3, rows / 2, "numerical", ha="right", va="center", color=NUMERICAL)
    axes.text(-0.3, low + rows / 2, "backprop", ha="right", va="center", color=BACKPROP)
    for column in range(columns):
        there = int(np.abs(ours - right[:, column : column + 1]).sum(axis=0).argmin())
        axes.plot([column + 0.5, there + 0.5], [rows + 0.1, low - 0.1], color="black", linewidth=1.2)
    axes.set_xlim(-3.5, columns + 0.5)
    return figure


def swapped_primals(run: Run) -> Any:
    """Numerical and backprop gradients of a and b as rows.

    Backprop's of a is the numerical one of b.
    """
    figure = picture("The gradients of a and b; equal rows are joined")
    axes, both = grid(figure), [run.compared_of(name) for name in ("a", "b")]
    size, length = _largest(*(each.numerical for each in both)), both[0].numerical.size
    apart = length + 3.0
    for row, each in enumerate(both):
        top = 2.2 * row
        cells(axes, each.numerical[None], (0, top), size=size, colour=NUMERICAL)
        cells(axes, each.analytic[None], (apart, top), size=size, colour=BACKPROP)
        axes.text(-0.3, top + 0.5, f"of {each.primal}", ha="right", va="center")
        axes.text(apart + length + 0.3, top + 0.5, f"of {each.primal}", ha="left", va="center")
        there = next(k for k, other in enumerate(both) if np.allclose(other.analytic, each.numerical))
        axes.plot([length + 0.2, apart - 0.2], [top + 0.5, 2.2 * there + 0.5], color="black", linewidth=1.4)
    axes.text(length / 2, -0.4, "numerical", ha="center", va="bottom", color=NUMERICAL)
    axes.text(apart + length / 2, -0.4, "backprop", ha="center", va="bottom", color=BACKPROP)
    axes.set(xlim=(-1.8, apart + length + 1.8), ylim=(4, -1.6))
    return figure


def border(run: Run) -> Any:
    """Differences in the shape of x: nothing but zeros, save in its first and last column."""
    figure, both = picture("Backprop less numerical, in the shape of x"), run.compared
    axes, difference = grid(figure), both.analytic - both.numerical
    cells(axes, difference, size=_largest(difference), texts=_numbers(np.round(difference, 1) + 0.0))
    rows, columns = difference.shape
    axes.text(columns / 2, rows + 0.3, "columns of x", ha="center", va="top", color=PLAIN)
    axes.text(-0.3, rows / 2, "rows", ha="right", va="center", color=PLAIN)
    axes.set_xlim(-1.8, columns + 1)
    return figure


def missing_broadcast_sum(run: Run) -> Any:
    """Numerical, the gradient of b is a row of 5; backprop gives 3 rows of 5, which added up are the same row."""
    figure, example = picture("The gradient of b, in the shapes in which it comes"), run.example
    g = cotangent(example)
    right, ours = numerical(example, "b", g), backprop(example.make(), example, g)[1]
    axes, size, (rows, columns) = grid(figure), _largest(right), ours.shape
    apart, low = columns + 2.5, rows + 1.2
    cells(
        axes,
        right[None],
        (0, low),
        size=size,
        colour=NUMERICAL,
        title=f"numerical, {right.shape}",
        below=True,
    )
    cells(axes, ours, (apart, 0), size=size, colour=BACKPROP, title=f"backprop, {ours.shape}")
    for column in range(columns):
        x = apart + column + 0.5
        axes.annotate(
            "", (x, low), (x, rows), arrowprops={"arrowstyle": "->", "color": PLAIN, "linewidth": 1.2}
        )
    total = ours.sum(axis=0)[None]
    cells(axes, total, (apart, low), size=size, title="its rows added up", below=True)
    axes.set(xlim=(-0.5, apart + columns + 0.5), ylim=(low + 2.2, -1.0))
    return figure


def wrong_sum_axis(run: Run) -> Any:
    """For a square dout the numerical gradient is the sums of its columns, and backprop those of its rows."""
    figure, example = picture("dout, and what becomes of it in the gradient of b"), run.example
    g = cotangent(example).round(1)
    right, ours = numerical(example, "b", g), backprop(example.make(), example, g)[1]
    axes, (rows, columns), size = grid(figure), g.shape, _largest(g, ours, right)
    cells(axes, g, size=size, texts=_numbers(g), title="dout")
    cells(axes, right[None], (0, rows + 0.9), size=size, texts=_numbers(right[None]), colour=NUMERICAL)
    cells(axes, ours[:, None], (columns + 0.9, 0), size=size, texts=_numbers(ours[:, None]), colour=BACKPROP)
    axes.text(columns + 0.6, rows + 1.4, "numerical adds up the columns", va="center", color=NUMERICAL)
    axes.text(columns + 2.2, rows / 2, "backprop adds up\nthe rows", va="center", color=BACKPROP)
    arrow = {"arrowstyle": "->", "linewidth": 1.4}
    axes.annotate(
        "", (columns / 2, rows + 0.9), (columns / 2, rows), arrowprops={**arrow, "color": NUMERICAL}
    )
    axes.annotate("", (columns + 0.9, rows / 2), (columns, rows / 2), arrowprops={**arrow, "color": BACKPROP})
    axes.set(xlim=(-3, columns + 8), ylim=(rows + 2.2, -1))
    return figure


def last_write_wins(run: Run) -> Any:
    """Both gradients of W, row by row.

    They differ in the rows that forward reads two or three times, and are the same in those that it reads
    once or never.
    """
    figure, both = picture("The gradient of W, and how often forward reads each row"), run.compared
    axes, (right, ours) = grid(figure), (both.numerical, both.analytic)
    (rows, columns), size = right.shape, _largest(right, ours)
    apart = columns + 1.5
    cells(axes, right, size=size, title="numerical", colour=NUMERICAL)
    cells(axes, ours, (apart, 0), size=size, title="backprop", colour=BACKPROP)
    for row, times in enumerate(np.bincount(run.example.settings["ids"], minlength=rows)):
        many = times > 1
        style = {"color": "black" if many else PLAIN, "weight": "bold" if many else "normal"}
        axes.text(-0.3, row + 0.5, f"read {times}\N{MULTIPLICATION SIGN}", ha="right", va="center", **style)
        if both.wrong[row].any():
            frame = {"fill": False, "edgecolor": BACKPROP, "linewidth": 2.4}
            axes.add_patch(Rectangle((apart, row), columns, 1, **frame))
            axes.text(apart + columns + 0.3, row + 0.5, "other numbers", va="center", color=BACKPROP)
        else:
            axes.text(apart + columns + 0.3, row + 0.5, "the same", va="center", color=PLAIN)
    axes.set_xlim(-2.2, apart + columns + 4)
    return figure


def missing_term(run: Run) -> Any:
    """Both matrices of slopes.

    The numerical one is full; of backprop's only the diagonal is there.
    """
    figure = picture("The slope of every output of a row by every input")
    ours, right = (each[:5, :5] for each in run.compared.jacobians)
    axes, size = grid(figure), _largest(right)
    for left, values, name, colour in ((0, right, "numerical", NUMERICAL), (6.5, ours, "backprop", BACKPROP)):
        cells(axes, values, (left, 0), size=size, title=name, colour=colour)
        axes.text(left + 2.5, 5.2, "input", ha="center", va="top", color=PLAIN)
    axes.text(-0.2, 2.5, "output", ha="right", va="center", rotation=90, color=PLAIN)
    return figure


def wrong_order(run: Run) -> Any:
    """Backprop's slope over the numerical one, in cells: the gain of the input over that of the output."""
    figure, gain = picture("How many times too large each slope is"), run.example.settings["gain"]
    ours, right = (each[:4, :4] for each in run.compared.jacobians)
    axes, times = grid(figure), ours / right
    names = {
        1 / 8: "\N{VULGAR FRACTION ONE EIGHTH}",
        1 / 4: "\N{VULGAR FRACTION ONE QUARTER}",
        1 / 2: "\N{VULGAR FRACTION ONE HALF}",
    }
    texts = [[names.get(round(float(v), 6), f"{v:.0f}") for v in row] for row in times]
    cells(axes, np.log2(times), size=3.2, texts=texts)
    for k, factor in enumerate(gain):
        axes.text(k + 0.5, -0.15, f"{factor:g}", ha="center", va="bottom", color=PLAIN)
        axes.text(-0.2, k + 0.5, f"{factor:g}", ha="right", va="center", color=PLAIN)
    axes.text(2, -0.85, "gain of the input", ha="center", va="bottom", color=PLAIN)
    axes.text(-1.2, 2, "gain of\nthe output", ha="right", va="center", color=PLAIN)
    said = "backprop's slope =\nnumerical\n\N{MULTIPLICATION SIGN} gain of the input\n/ gain of the output"
    axes.text(4.5, 2, said, va="center", color=BACKPROP)
    axes.set(xlim=(-5, 10), ylim=(4.2, -1.7))
    return figure


def mutates_argument(run: Run) -> Any:
    """Numbers of dout before and after backward: some have become 0."""
    figure, (forward, backward) = picture("dout, before and after the call of backward"), run.example.make()
    g = cotangent(run.example)
    before, (_, residuals) = g.copy(), forward(*run.example.primals.values())
    backward(residuals, g)
    axes, size = grid(figure), _largest(before)
    changed = g != before
    for row, (values, name) in enumerate(((before, "before"), (g, "after"))):
        marked = changed[None] if row else None
        cells(
            axes, values[None], (0, 2 * row), size=size, texts=_numbers(values[None] + 0.0), outlined=marked
        )
        axes.text(-0.3, 2 * row + 0.5, name, ha="right", va="center")
    axes.set(xlim=(-1.8, len(g) + 0.5), ylim=(3.4, -0.4))
    return figure


def aliases_memory(run: Run) -> Any:
    """Gradients of a and b, and dout, before and after 9 is written into one: it stands in all three."""
    figure, (_, backward) = (
        picture("Write 9 into the gradient of a, and look at all three"),
        run.example.make(),
    )
    g = cotangent(run.example)
    da, db = backward(None, g)
    axes, size, length = grid(figure), _largest(g), g.size
    for column, title in enumerate(("as returned", "after da[0] = 9")):
        if column:
            da[0] = 9
        left = column * (length + 1.2)
        for row, (values, name) in enumerate(((g, "dout"), (da, "da"), (db, "db"))):
            hit = (values == 9)[None]
            texts = _numbers(values[None])
            texts[0][0] = "9" if column else texts[0][0]
            shown = np.clip(values[None], -size, size)
            cells(
                axes,
                shown,
                (left, 1.5 * row),
                size=size,
                texts=texts,
                outlined=hit,
                title="" if row else title,
            )
            if not column:
                axes.text(-0.3, 1.5 * row + 0.5, name, ha="right", va="center")
    axes.set(xlim=(-1.6, 2 * length + 1.6), ylim=(4.4, -1))
    return figure


def assumes_contiguous(run: Run) -> Any:
    """Three gradients of x, numerical and twice backprop.

    For a dout that lies in memory row by row backprop is the same; for one that lies column by column it is not.
    """
    figure, example = picture("The gradient for one dout, kept in memory in two orders"), run.example
    g, axes = cotangent(example), grid(figure)
    right, (rows, columns) = numerical(example, "x", g), g.shape
    size = _largest(right)
    cells(axes, right, size=size, title="numerical", colour=NUMERICAL)
    for k, (order, name) in enumerate(
        (("C", "backprop,\nrow by row"), ("F", "backprop,\ncolumn by column")), 1
    ):
        ours = backprop(example.make(), example, np.array(g, order=order))[0]
        left = k * (columns + 1.2)
        cells(axes, ours, (left, 0), size=size, title=name, colour=BACKPROP)
        said = "the same" if np.allclose(ours, right) else "other numbers"
        axes.text(left + columns / 2, rows + 0.2, said, ha="center", va="top", color=PLAIN)
        places = [(r, c) for r in range(rows) for c in range(columns)]
        if order == "F":
            places.sort(key=lambda place: place[::-1])
        path = np.array(places) + 0.5
        axes.plot(left + path[:, 1], path[:, 0], color="black", linewidth=1, marker=".", markersize=3)
    return figure


def wrong_dtype(run: Run) -> Any:
    """One number of W and of its numerical gradient has eight bytes, one of backprop's gradient four."""
    figure, example = picture("One number of each array, byte by byte"), run.example
    g = cotangent(example)
    arrays = {
        "W": (example.primals["W"], PLAIN),
        "numerical": (numerical(example, "W", g), NUMERICAL),
        "backprop": (backprop(example.make(), example, g)[0], BACKPROP),
    }
    axes = grid(figure)
    for row, (name, (values, colour)) in enumerate(arrays.items()):
        number = values[0, 0]
        for byte, code in enumerate(number.tobytes()[::-1]):
            axes.add_patch(Rectangle((byte, 1.5 * row), 1, 1, facecolor=colour, alpha=0.2, edgecolor=colour))
            axes.text(
                byte + 0.5, 1.5 * row + 0.5, f"{code:02x}", ha="center", va="center", family="monospace"
            )
        axes.text(-0.3, 1.5 * row + 0.5, name, ha="right", va="center", color=colour)
        axes.text(number.nbytes + 0.3, 1.5 * row + 0.5, str(number.dtype), va="center", color=colour)
    axes.set(xlim=(-3, 11), ylim=(4.3, -0.3))
    return figure


def wrong_shape(run: Run) -> Any:
    """Both c and its numerical gradient are columns of four; backprop's has the same numbers, as a row."""
    figure, example = picture("c and its gradients, in their shapes"), run.example
    g, c = cotangent(example), example.primals["c"]
    right, ours = numerical(example, "c", g), backprop(example.make(), example, g)[1]
    axes, size = grid(figure), _largest(right, c)
    shown = ((c, "c", PLAIN), (right, "numerical", NUMERICAL), (np.atleast_2d(ours), "backprop", BACKPROP))
    for k, (values, name, colour) in enumerate(shown):
        shape = ours.shape if name == "backprop" else values.shape
        left = 4.5 * k
        cells(
            axes,
            values,
            (left, 0),
            size=size,
            texts=_numbers(values),
            colour=colour,
            title=f"{name}\n{shape}",
        )
    axes.set(xlim=(-1.5, 14.5), ylim=(4.2, -1.6))
    return figure
