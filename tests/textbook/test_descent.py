"""Descent in batches, counted as the texts count, and the three places where descent does not arrive."""

import numpy as np
import pytest

from gradlab import numerical_gradient
from gradlab.textbook.descent import (
    compare_batch_sizes,
    descend_in_batches,
    descent_path,
    divergence,
    epoch_batches,
    local_minimum,
    plateau,
    steps_per_epoch,
    write_figures,
)

RNG = np.random.default_rng(0)
X, T = RNG.standard_normal((12, 3)), RNG.standard_normal(12)
W = RNG.standard_normal(3)


def loss(w, x, t):
    return np.mean((x @ w - t) ** 2)


def gradient(w, x, t):
    return 2 * x.T @ (x @ w - t) / len(x)


@pytest.mark.parametrize(
    ("n", "batch_size", "steps"),
    [(60_000, 100, 600), (100, 100, 1), (100, 1, 100), (10, 4, 3), (10, 20, 1)],
)
def test_steps_of_an_epoch(n, batch_size, steps):
    assert steps_per_epoch(n, batch_size) == steps
    batches = list(epoch_batches(n, batch_size, 0))
    assert len(batches) == steps
    assert sorted(np.concatenate(batches)) == list(range(n))
    assert {len(rows) for rows in batches[:-1]} <= {batch_size}


@pytest.mark.parametrize(("n", "batch_size"), [(0, 1), (10, 0), (10, -1)])
def test_counts_that_are_none(n, batch_size):
    with pytest.raises(ValueError, match=f"n is {n} and batch_size {batch_size}: give positive numbers"):
        steps_per_epoch(n, batch_size)


def test_epochs_are_shuffled_anew():
    rng = np.random.default_rng(0)
    first, second = (np.concatenate(list(epoch_batches(50, 5, rng))) for _ in range(2))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, np.arange(50))
    assert np.array_equal(first, np.concatenate(list(epoch_batches(50, 5, 0))))


def test_full_batch_is_gradient_descent():
    run = descend_in_batches(loss, gradient, W, X, T, batch_size=12, epochs=5, lr=0.1)
    w = W.copy()
    for epoch in range(6):
        assert run.losses[epoch] == pytest.approx(loss(w, X, T), rel=1e-9)
        w -= 0.1 * numerical_gradient(lambda w: loss(w, X, T), w)
    assert (run.epochs, run.steps_per_epoch, run.steps) == (5, 1, 5)


@pytest.mark.parametrize("batch_size", [1, 3, 5])
def test_every_step_follows_its_own_batch(batch_size):
    seen = []

    def recorded(w, x, t):
        seen.append((w.copy(), x, t))
        return gradient(w, x, t)

    start = W.copy()
    run = descend_in_batches(loss, recorded, W, X, T, batch_size=batch_size, epochs=2, lr=0.05, rng=3)
    assert len(seen) == run.steps == 2 * run.steps_per_epoch == 2 * -(-12 // batch_size)
    rng, w = np.random.default_rng(3), start.copy()
    batches = [rows for _ in range(2) for rows in epoch_batches(12, batch_size, rng)]
    for rows, (at, x, t) in zip(batches, seen, strict=True):
        np.testing.assert_allclose(at, w, rtol=1e-12)
        assert np.array_equal(x, X[rows])
        assert np.array_equal(t, T[rows])
        w -= 0.05 * gradient(w, x, t)
    np.testing.assert_allclose(run.w, w, rtol=1e-12)
    assert np.array_equal(start, W)


def test_batch_gradients_average_to_the_whole_gradient():
    parts = [gradient(W, X[rows], T[rows]) for rows in epoch_batches(12, 3, 0)]
    np.testing.assert_allclose(np.mean(parts, axis=0), gradient(W, X, T), rtol=1e-12)


def test_float32_stays_float32():
    x, t, w = X.astype(np.float32), T.astype(np.float32), W.astype(np.float32)
    assert descend_in_batches(loss, gradient, w, x, t, batch_size=3, epochs=1, lr=0.1).w.dtype == np.float32


def test_what_cannot_be_descended():
    with pytest.raises(TypeError, match=r"w has dtype int64, .*: give an array of floats"):
        descend_in_batches(loss, gradient, np.ones(3, np.int64), X, T, batch_size=1, epochs=1, lr=0.1)
    with pytest.raises(ValueError, match="x has 12 examples and t 11 targets: give one target for each"):
        descend_in_batches(loss, gradient, W, X, T[:-1], batch_size=1, epochs=1, lr=0.1)
    with pytest.raises(ValueError, match="batch_size 0: give positive numbers"):
        descend_in_batches(loss, gradient, W, X, T, batch_size=0, epochs=1, lr=0.1)


def test_smaller_batches_take_more_steps_and_get_further_in_as_many_epochs():
    runs = compare_batch_sizes(epochs=3)
    assert {name: (r.batch_size, r.steps_per_epoch, r.steps) for name, r in runs.items()} == {
        "full batch": (100, 1, 3),
        "mini-batch": (10, 10, 30),
        "online": (1, 100, 300),
    }
    assert runs["online"].losses[1] < runs["mini-batch"].losses[1] < runs["full batch"].losses[1]
    assert len({r.losses[0] for r in runs.values()}) == 1


def test_a_path_is_gradient_descent():
    assert descent_path(lambda x: 2 * x, 1.0, 0.25, 3).tolist() == [1, 0.5, 0.25, 0.125]


@pytest.mark.parametrize("scene", [divergence(), local_minimum(), plateau()], ids=lambda scene: scene.title)
def test_slopes_are_the_functions_own(scene):
    x = np.linspace(*scene.interval, 21)
    numerical = numerical_gradient(lambda x: np.sum(scene.f(x)), x)
    np.testing.assert_allclose(scene.slope(x), numerical, rtol=1e-6, atol=1e-6)
    low, high = scene.interval
    assert all(((low < path) & (path < high)).all() for path in scene.paths.values())


def test_above_a_rate_of_1_descent_on_the_parabola_diverges():
    for label, path in divergence().paths.items():
        lr = float(label.removeprefix("lr = "))
        np.testing.assert_allclose(path, 3 * (1 - 2 * lr) ** np.arange(9), rtol=1e-12)
    calm, swinging, wild = divergence().paths.values()
    assert (np.diff(calm) < 0).all()
    assert (np.sign(swinging) == (-1.0) ** np.arange(9)).all()
    assert (np.diff(np.abs(swinging)) < 0).all()
    assert (np.diff(np.abs(wild)) > 0).all()


def test_descent_ends_in_the_valley_it_starts_above():
    scene = local_minimum()
    ends = [path[-1] for path in scene.paths.values()]
    assert [abs(scene.slope(end)) < 1e-3 for end in ends] == [True, True]
    assert ends[0] < 0 < ends[1]
    best, stuck = scene.f(ends[0]), scene.f(ends[1])
    assert best == pytest.approx(scene.f(np.linspace(*scene.interval, 2001)).min(), abs=1e-5)
    assert stuck > best + 0.9


def test_descent_on_the_plateau_stands_before_it_falls():
    scene = plateau()
    first_below = [int(np.argmax(scene.f(path) < 0.1)) for path in scene.paths.values()]
    assert first_below[0] < 15
    assert first_below[1] > 150
    values = scene.f(scene.paths["from x = 5.0"])
    assert values[0] - values[75] < 0.02 < values[150] - values[175]


def test_figures(tmp_path):
    pytest.importorskip("matplotlib", reason="pip install 'gradlab[plot]'")
    written = write_figures(tmp_path)
    assert [path.name for path in written] == ["divergence.svg", "local-minimum.svg", "plateau.svg"]
    first = [path.read_bytes() for path in written]
    assert all(text.lstrip().startswith(b"<?xml") for text in first)
    for label in (b"a learning rate too large", b"lr = 1.05", b"step", b"f(x)"):
        assert label in first[0]
    assert [path.read_bytes() for path in write_figures(tmp_path)] == first
    assert sorted(tmp_path.iterdir()) == sorted(written)
