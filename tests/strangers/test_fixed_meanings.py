"""Rows whose columns have a meaning, loops that end where they converge, and code that skips what hardly counts."""

import numpy as np
import pytest

from gradlab import Verdict, check_cached_pair, check_layer, check_vjp

RNG = np.random.default_rng(45)


def rotated_axis(q):
    """Return the first row of the rotation matrix of quaternions."""
    w, x, y, z = q.T
    row = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], 1)
    return row.astype(q.dtype), q.copy()


def d_rotated_axis(q, g, sign=1):
    (w, x, y, z), (a, b, c) = q[:, :4].T, g.T
    slopes = [
        2 * y * c - 2 * z * b,
        2 * y * b + 2 * z * c,
        2 * x * b + sign * 2 * w * c - 4 * y * a,
        2 * x * c - 2 * w * b - 4 * z * a,
    ]
    return (np.stack(slopes, 1).astype(q.dtype),)


def gray(rgb):
    return 0.3 * rgb[..., 0] + 0.59 * rgb[..., 1] + 0.11 * rgb[..., 2], rgb.dtype


def d_gray(dtype, g, blue=0.11):
    return (g[..., None] * np.array([0.3, 0.59, blue], dtype),)


def area(box):
    width, height = box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]
    return width * height, (width, height)


def d_area(residuals, g, sign=1):
    width, height = residuals
    return (np.stack([-g * height, -g * width, g * height, sign * g * width], 1),)


ROWS = {
    "a quaternion": (rotated_axis, d_rotated_axis, {"sign": -1}, RNG.standard_normal((5, 4))),
    "a colour": (gray, d_gray, {"blue": 0.12}, RNG.uniform(size=(2, 5, 3))),
    "a box": (area, d_area, {"sign": -1}, RNG.uniform(size=(3, 4)) + np.array([0, 0, 2, 2])),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("name", ROWS)
def test_a_gradient_of_the_fixed_width_is_not_accused(name, strict):
    forward, backward, mistake, x = ROWS[name]
    report = check_vjp(forward, backward, (x,), strict=strict)
    report.raise_if_failed()
    assert not [row for row in report.rows if row.verdict is Verdict.WRONG]
    # another batch is what such rows are for
    assert "batch doubled" in report.explored[0].derived
    assert not check_vjp(forward, lambda r, g: backward(r, g, **mistake), (x,), strict=strict).ok


def test_neither_is_one_with_a_cache():
    forward, backward, mistake, x = ROWS["a quaternion"]
    for more, right in (({}, True), (mistake, False)):
        found = check_cached_pair(forward, lambda dout, cache, m=more: backward(cache, dout, **m)[0], (x,))
        assert found.ok is right


class Polar:
    def forward(self, p):
        self.p = p
        return np.hypot(p[:, 0], p[:, 1])

    def backward(self, dout):
        radius = np.hypot(self.p[:, 0], self.p[:, 1])
        return np.stack([dout * self.p[:, 0] / radius, dout * self.p[:, 1] / radius], axis=1)


class Mirrored(Polar):
    def backward(self, dout):
        return super().backward(dout) * np.array([1, -1])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_neither_is_a_layer():
    p = RNG.standard_normal((5, 2))
    check_layer(Polar(), p).raise_if_failed()
    assert not check_layer(Mirrored(), p).ok


def fixed_point(a, z):
    y, old = np.tanh(z), np.zeros_like(z)
    while np.abs(y - old).max() > 1e-14:
        y, old = np.tanh(a @ y + z), y
    return y, (a, z, y)


def d_fixed_point(residuals, g, implicit=True):
    a, _, y = residuals
    slope = 1 - y * y
    inner = slope[:, None] * a if implicit else 0 * a
    w = np.linalg.solve((np.eye(len(y)) - inner).T, g) * slope
    return np.outer(w, y), w


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loop_that_ends_where_it_converges_gets_its_verdict():
    a, z = 0.2 * RNG.standard_normal((3, 3)), np.array([0.3, -0.2, 0.5])
    only = {"max_seconds": 6, "strict": False}
    check_vjp(fixed_point, d_fixed_point, (a, z), **only).raise_if_failed()
    assert not check_vjp(fixed_point, lambda r, g: d_fixed_point(r, g, implicit=False), (a, z), **only).ok


TINY = 1 / 255


def composited(alpha, color, background):
    """Lay colours over each other from the front, and skip what is all but transparent."""
    light, seen, count = 1.0, np.zeros_like(background), 0
    weight = light
    for i, share in enumerate(alpha):
        if share < TINY:
            continue
        weight = light
        seen = seen + weight * share * color[i]
        light, count = light * (1 - share), i + 1
    return seen + light * background, (alpha, color, background, light, weight, count)


def d_composited(residuals, g, counts_skipped=False):
    alpha, color, background, light, weight, count = residuals
    d_alpha, d_color, behind = np.zeros_like(alpha), np.zeros_like(color), light * background
    # the weight of the last that counted must not be divided again
    count = len(alpha) if counts_skipped else count
    for i in reversed(range(count)):
        if alpha[i] < TINY:
            continue
        if i < count - 1:
            weight = weight / (1 - alpha[i])
        d_color[i] = weight * alpha[i] * g
        d_alpha[i] = g @ (weight * color[i] - behind / (1 - alpha[i]))
        behind = behind + weight * alpha[i] * color[i]
    return d_alpha, d_color, light * g


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_skipped_at_the_end_of_a_row_is_no_contributor():
    dense = RNG.uniform(0.1, 0.8, 6)
    sparse = dense.copy()
    sparse[[2, 5]] = 0.001
    rest = (RNG.uniform(size=(6, 3)), RNG.uniform(size=3))
    wrong = lambda r, g: d_composited(r, g, counts_skipped=True)
    for alpha in (dense, sparse):
        check_vjp(composited, d_composited, (alpha, *rest), strict=False).raise_if_failed()
    assert not check_vjp(composited, wrong, (sparse, *rest)).ok
