"""Paths that backward forgets, and regions that targets mark: named, with what bears them out."""

import numpy as np
import pytest

from gradlab import check_vjp

RNG = np.random.default_rng(11)
X, V = RNG.standard_normal((4, 3)), RNG.standard_normal((3, 3))
LABELS = np.array([2, 0, 1, 1])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def diagnosis(forward, backward, primals, **settings):
    report = check_vjp(forward, backward, primals, settings=settings, name="mine")
    assert not report.ok
    return next((fault for fault in report.faults if fault.confidence), None)


def attention(x):
    e = np.exp(x @ x.T)
    a = e / e.sum(axis=1, keepdims=True)
    return a @ x, (x, a)


def of_attention(residuals, g, values=1.0, weights=1.0):
    x, a = residuals
    da = g @ x.T
    ds = a * (da - (a * da).sum(axis=1, keepdims=True))
    return (values * a.T @ g + weights * (ds @ x + ds.T @ x),)


@pytest.mark.parametrize(
    ("forgotten", "said"), [({"weights": 0.0}, "what is there"), ({"values": 0.0}, "what lacks")]
)
def test_one_factor_of_a_product(forgotten, said):
    assert check_vjp(attention, of_attention, (X,)).ok
    fault = diagnosis(attention, lambda r, g: of_attention(r, g, **forgotten), (X,))
    assert (fault.name, fault.evidence.startswith(said)) == ("missing-term", True)


def residual(x):
    return np.tanh(x) + x, x


def test_a_residual_connection():
    fault = diagnosis(residual, lambda x, g: (g * (1 - np.tanh(x) ** 2),), (X,))
    assert (fault.name, fault.evidence) == (
        "missing-term",
        "numerical - analytic is a multiple of the cotangent",
    )


def recurrent(x):
    h, hs = np.zeros(x.shape[::2]), []
    for t in range(x.shape[1]):
        h = np.tanh(h @ V + x[:, t] @ V.T)
        hs.append(h)
    return np.stack(hs, axis=1), np.stack(hs, axis=1)


def of_recurrent(hs, g, on=1.0):
    d, later = np.zeros_like(hs), np.zeros(hs.shape[::2])
    for t in reversed(range(hs.shape[1])):
        a = (g[:, t] + on * later) * (1 - hs[:, t] ** 2)
        d[:, t], later = a @ V, a @ V.T
    return (d,)


def test_what_other_places_say():
    x = RNG.standard_normal((2, 4, 3))
    assert check_vjp(recurrent, of_recurrent, (x,)).ok
    fault = diagnosis(recurrent, lambda hs, g: of_recurrent(hs, g, 0.0), (x,))
    assert fault.name == "missing-term"
    assert "outputs at the same place of axis 1" in fault.evidence


def windows(x):
    """Sums of four neighbours, weighted."""
    w = np.array([1.0, -2.0, 0.5, 3.0])
    return np.stack([x[:, k : k + 4] @ w for k in range(x.shape[1] - 3)], axis=1), x.shape


def of_windows(shape, g, add):
    w, d = np.array([1.0, -2.0, 0.5, 3.0]), np.zeros(shape)
    for k in range(g.shape[1]):
        d[:, k : k + 4] = add * d[:, k : k + 4] + g[:, [k]] * w
    return (d,)


class Overwriting:
    """Each second window overwrites, so that some shares are there, and neither the first nor the last alone."""

    def __call__(self, shape, g):
        w, d = np.array([1.0, -2.0, 0.5, 3.0]), np.zeros(shape)
        for k in range(g.shape[1]):
            d[:, k : k + 4] = (k % 2) * d[:, k : k + 4] + g[:, [k]] * w
        return (d,)


def test_windows_that_overwrite_each_other():
    x = RNG.standard_normal((2, 9))
    assert check_vjp(windows, lambda shape, g: of_windows(shape, g, 1), (x,)).ok
    for backward in (lambda shape, g: of_windows(shape, g, 0), Overwriting()):
        assert diagnosis(windows, backward, (x,)).name == "last-write-wins"


def gated(x, u, v):
    a, b = x @ u, x @ v
    return np.tanh(a) * sigmoid(b), (x, u, v, np.tanh(a), sigmoid(b))


def of_gated(residuals, g, gate=1.0):
    x, u, v, h, s = residuals
    da, db = g * s * (1 - h**2), g * h * s * (1 - s)
    return da @ u.T + gate * db @ v.T, x.T @ da, x.T @ db


def test_the_path_through_a_parameter():
    primals = (X, V, RNG.standard_normal((3, 3)))
    assert check_vjp(gated, of_gated, primals).ok
    fault = diagnosis(gated, lambda r, g: of_gated(r, g, gate=0.0), primals)
    assert (fault.name, fault.primal) == ("missing-term", "x")
    assert fault.evidence == "what lacks in the gradient of x is as much as comes through v"


@pytest.mark.parametrize(("others", "name"), [(0.0, "masked-region"), (0.3, "missing-term")])
def test_slices_that_nothing_reaches(others, name):
    wide = RNG.standard_normal((2, 3, 5))

    def backward(residuals, g):
        dx, du, dv = of_gated(residuals, g)
        dv += others * np.roll(dv, 1, axis=0)
        dv[:, 1:4] = 0
        return dx, du, dv

    fault = diagnosis(gated, backward, (X, *wide))
    assert (fault.name, fault.primal) == (name, "v")
    assert (
        "1 to 3 along axis -1" in fault.evidence
        or "along axis -1 is 1 to 3: there it is zero" in fault.evidence
    )


def cross_entropy(x, t):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    y = e / e.sum(axis=1, keepdims=True)
    return -np.log(y[np.arange(len(t)), t]).sum(), (y, t)


def of_cross_entropy(residuals, g, at_label=1.0):
    y, t = residuals
    d = y.copy()
    d[np.arange(len(t)), t] -= at_label
    return (g * d,)


def test_what_lacks_at_the_labels():
    assert check_vjp(cross_entropy, of_cross_entropy, (X,), settings={"t": LABELS}).ok
    fault = diagnosis(cross_entropy, lambda r, g: of_cross_entropy(r, g, 0.0), (X,), t=LABELS)
    assert fault.name == "masked-region"
    assert "the index along the last axis is the one that t says" in fault.evidence


def huber(x, t):
    e = x - t
    return np.where(np.abs(e) < 1, 0.5 * e**2, np.abs(e) - 0.5).sum(), e


def test_what_lacks_far_from_the_targets():
    x = 2 * X
    assert check_vjp(huber, lambda e, g: (g * np.clip(e, -1, 1),), (x,), settings={"t": V[:1] - X}).ok
    fault = diagnosis(huber, lambda e, g: (g * e,), (x,), t=V[:1] - X)
    assert fault.name == "masked-region"
    assert "|x - t| > 1" in fault.evidence


def valid(x):
    """Four weighted neighbours of each element that has them, on a border of zeros of width 2."""
    p = np.pad(x, 2)
    return p[:-1, :-1] + 2 * p[:-1, 1:] + 3 * p[1:, :-1] + 5 * p[1:, 1:], x.shape


def of_valid(shape, g, corner=2):
    d = np.zeros((shape[0] + 4, shape[1] + 4))
    for (i, j), w in {(0, 0): 1, (0, 1): 2, (1, 0): 3, (1, 1): 5}.items():
        d[i : i + g.shape[0], j : j + g.shape[1]] += w * g
    return (d[corner : corner + shape[0], corner : corner + shape[1]],)


def test_a_border_that_is_cropped_at_one_corner():
    x = RNG.standard_normal((5, 6))
    assert check_vjp(valid, of_valid, (x,)).ok
    fault = diagnosis(valid, lambda shape, g: of_valid(shape, g, 0), (x,))
    assert (fault.name, fault.evidence) == (
        "shifted",
        "analytic = numerical moved by +2 along the last two axes",
    )
