"""That the passes of the right corpus are right indeed, by differences that know nothing of the package."""

import numpy as np
import pytest

from .right.catalogue import RIGHT, Right

KINKED = {
    "abs at zero",
    "maximum, ties",
    "minimum, ties",
    "clip at its limits",
    "max, ties",
    "norm at zero",
    "sort, ties",
    "relu at zero",
    "leaky relu at zero",
    "selu at zero",
    "softsign at zero",
    "hardtanh at its corners",
    "huber at its corners",
    "hinge at the margin",
    "max pool, ties",
    "lasso at a zero weight",
}
# at these the step and the tolerance follow each entry's own size, however small
SCALED = {
    "relu near zero",
    "log of 1e-6",
    "log with + 1e-7 of 1e-6",
    "reciprocal of 1e-6",
    "cube of 1e-6",
    "square of 1e6",
    "sqrt of 1e6",
    "mse of 1e6",
    "matmul of 1e-6 and 1e6",
    "product of 1e-12 and 1e12",
    "columns in their own units",
    "square of 1e6, single",
}
STEPS = {"a large offset": 50.0}  # 1e8 drowns the change over a smaller one
CENTRAL = ((1, 8 / 12), (-1, -8 / 12), (2, -1 / 12), (-2, 1 / 12))
RIGHTWARD = ((0, -11 / 6), (1, 3.0), (2, -3 / 2), (3, 1 / 3))
LEFTWARD = tuple((-k, -c) for k, c in RIGHTWARD)


def tupled(values):
    return values if isinstance(values, tuple) else (values,)


def double(primals):
    return [x.astype(np.float64) for x in primals]


def cotangents(output, seed=0):
    rng = np.random.default_rng(seed)
    drawn = [np.asarray(rng.standard_normal(np.shape(y)), np.asarray(y).dtype) for y in tupled(output)]
    return tuple(drawn) if isinstance(output, tuple) else drawn[0]


def gradients(entry, primals):
    output, residuals = entry.forward(*primals, **entry.settings)
    return entry.backward(residuals, cotangents(output))


def difference(entry, primals, i, g, stencil, step):
    """Return the derivative by `stencil` along each entry of primal `i`, and how far rounding may move it."""
    value, noise = np.zeros(primals[i].shape), np.zeros(primals[i].shape)
    eps = np.finfo(float).eps
    here = tupled(entry.forward(*primals, **entry.settings)[0])
    for at in np.ndindex(primals[i].shape):
        scaled = entry.name in SCALED
        reach = abs(primals[i][at]) if scaled else np.abs(primals[i]).max()
        h = step * (reach if scaled else STEPS.get(entry.name, 1.0))
        for k, c in stencil:
            moved = [x.copy() for x in primals]
            moved[i][at] += k * h
            output, _ = entry.forward(*moved, **entry.settings)
            for y, y0, gy in zip(tupled(output), here, g, strict=True):
                value[at] += c * np.sum(gy * y) / h
                rounded = np.abs(y) + np.abs(y - y0) * reach / h
                noise[at] += 4 * eps * abs(c) * np.sum(np.abs(gy) * rounded) / h
    return value, noise


@pytest.mark.parametrize("entry", RIGHT, ids=str)
def test_gradients_are_the_differences(entry: Right) -> None:
    primals = double(entry.primals)
    g = tuple(map(np.float64, tupled(cotangents(entry.forward(*entry.primals, **entry.settings)[0]))))
    given = gradients(entry, entry.primals)
    single = entry.primals[0].dtype == np.float32
    for i, dx in enumerate(given):
        if entry.name in KINKED:
            (a, noise), (b, _) = (difference(entry, primals, i, g, s, 1e-4) for s in (LEFTWARD, RIGHTWARD))
        else:
            a, noise = difference(entry, primals, i, g, CENTRAL, 1e-3)
            b = a
        size = np.abs([a, b]).max(axis=0 if entry.name in SCALED else None)
        slack = (1e-5 if single else 1e-6) * size + noise
        assert np.all(np.minimum(a, b) - slack <= dx), (i, dx, a, b)
        assert np.all(dx <= np.maximum(a, b) + slack), (i, dx, a, b)


@pytest.mark.parametrize("entry", RIGHT, ids=str)
def test_shapes_dtypes_and_memory(entry: Right) -> None:
    for dtype in (entry.primals[0].dtype, np.float32):
        primals = [x.astype(dtype) for x in entry.primals]
        before = [x.copy() for x in primals]
        output, residuals = entry.forward(*primals, **entry.settings)
        g = cotangents(output)
        first, second = entry.backward(residuals, g), entry.backward(residuals, g)
        assert isinstance(first, tuple)
        assert len(first) == len(primals)
        for i, (dx, again, x) in enumerate(zip(first, second, primals, strict=True)):
            assert dx.shape == x.shape
            assert dx.dtype == x.dtype, i
            assert np.array_equal(dx, again)
            others = [*primals, *tupled(g), *first[:i], *first[i + 1 :]]
            assert not any(np.shares_memory(dx, other) for other in others)
        assert all(map(np.array_equal, primals, before))
        assert all(map(np.array_equal, tupled(g), tupled(cotangents(output))))


def frozen(values, change):
    changed = [change(np.asarray(x)) for x in tupled(values)]
    for x in changed:
        x.flags.writeable = False
    return changed


def backwards(x):
    return np.asarray(np.flip(np.flip(x).copy()))


@pytest.mark.parametrize("change", [np.copy, lambda x: np.array(x, order="F"), backwards], ids="CFR")
@pytest.mark.parametrize("entry", RIGHT, ids=str)
def test_any_layout_read_only(entry: Right, change) -> None:
    expected = gradients(entry, entry.primals)
    primals = frozen(tuple(entry.primals), change)
    output, residuals = entry.forward(*primals, **entry.settings)
    g = frozen(cotangents(output), change)
    found = entry.backward(residuals, tuple(g) if isinstance(output, tuple) else g[0])
    single = entry.primals[0].dtype == np.float32
    for dx, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(dx, wanted, rtol=1e-5 if single else 1e-11, atol=1e-6 if single else 1e-14)


@pytest.mark.parametrize("entry", RIGHT, ids=str)
def test_linear_in_g(entry: Right) -> None:
    primals = double(entry.primals)
    output, residuals = entry.forward(*primals, **entry.settings)
    g, h = cotangents(output, 1), cotangents(output, 2)
    both = tuple(2 * a - 3 * b for a, b in zip(tupled(g), tupled(h), strict=True))
    combined = entry.backward(residuals, both if isinstance(output, tuple) else np.asarray(both[0]))
    of_g, of_h = entry.backward(residuals, g), entry.backward(residuals, h)
    size = max(np.abs(dx).max() for dx in (*of_g, *of_h))
    for dx, dg, dh in zip(combined, of_g, of_h, strict=True):
        np.testing.assert_allclose(dx, 2 * dg - 3 * dh, rtol=1e-9, atol=1e-12 * size + 1e-14)


def test_names_are_unique_and_points_small() -> None:
    assert len({entry.name for entry in RIGHT}) == len(RIGHT)
    assert all(x.size <= 40 for entry in RIGHT for x in entry.primals)
