"""Optimizers: the papers' formulas, closed forms, descent, and what they refuse."""

import inspect
import re
import tracemalloc
from math import sqrt

import numpy as np
import pytest

from gradlab.textbook import optimizers
from gradlab.textbook.models import TwoLayerNet
from gradlab.textbook.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSprop

STEPS = 100
ALL = [SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam, AdamW]


# the formulas as the papers have them, with Keras 3's defaults: one array w, and its gradient at each step


def sgd(w, gradients, lr=0.01):
    for g in gradients:
        w = w - lr * g
        yield w


def heavy_ball(w, gradients, lr=0.01, momentum=0.9):
    v = 0
    for g in gradients:
        v = momentum * v - lr * g
        w = w + v
        yield w


def nesterov(w, gradients, lr=0.01, momentum=0.9):
    theta, v = w, 0  # Sutskever's theta; a model holds w = theta + momentum v, where the gradient is taken
    for g in gradients:
        v = momentum * v - lr * g
        theta = theta + v
        yield theta + momentum * v


def adagrad(w, gradients, lr=0.001, initial_accumulator_value=0.1, epsilon=1e-7):
    s = initial_accumulator_value
    for g in gradients:
        s = s + g**2
        w = w - lr * g / np.sqrt(s + epsilon)
        yield w


def rmsprop(w, gradients, lr=0.001, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False):
    s = m = v = 0
    for g in gradients:
        s = rho * s + (1 - rho) * g**2
        m = rho * m + (1 - rho) * g
        v = momentum * v - lr * g / np.sqrt((s - m**2 if centered else s) + epsilon)
        w = w + v
        yield w


def adam(w, gradients, lr=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=0.0):
    m = v = 0
    for t, g in enumerate(gradients, start=1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        m_hat, v_hat = m / (1 - beta_1**t), v / (1 - beta_2**t)
        # algorithm 1, with the epsilon that stands for epsilon hat, which Keras's is
        w = w - lr * (m_hat / (np.sqrt(v_hat) + epsilon / sqrt(1 - beta_2**t)) + weight_decay * w)
        yield w


def adamw(w, gradients, weight_decay=0.004, **settings):
    return adam(w, gradients, weight_decay=weight_decay, **settings)


FORMULAS = dict(zip(ALL, [sgd, heavy_ball, nesterov, adagrad, rmsprop, adam, adamw], strict=True))
CASES = [(kind, {}) for kind in ALL] + [
    (Momentum, {"lr": 0.2, "momentum": 0.5}),
    (Nesterov, {"lr": 0.2, "momentum": 0.5}),
    (AdaGrad, {"lr": 0.5, "initial_accumulator_value": 0.0, "epsilon": 1e-3}),
    (RMSprop, {"centered": True}),
    (RMSprop, {"lr": 0.01, "rho": 0.7, "momentum": 0.6, "epsilon": 0.02, "centered": True}),
    (Adam, {"lr": 0.1, "beta_1": 0.5, "beta_2": 0.8, "epsilon": 0.03}),
    (AdamW, {"lr": 0.1, "weight_decay": 0.3, "beta_1": 0.5, "beta_2": 0.8, "epsilon": 0.03}),
]


def drawn(seed=0):
    """Return parameters, one of them at 0, and gradients for each step: of all sizes, some of them 0."""
    rng = np.random.default_rng(seed)
    params = {"W": rng.standard_normal((3, 4)), "b": np.zeros(4), "scale": np.array(1.5)}
    return params, [{name: _gradient(rng, p.shape) for name, p in params.items()} for _ in range(STEPS)]


def _gradient(rng, shape):
    sizes = 10.0 ** rng.uniform(-5, 1, shape) * (rng.random(shape) < 0.8)
    return np.asarray(sizes * rng.standard_normal(shape))


def shown(case):
    return case.__name__ if isinstance(case, type) else ", ".join(case) or "defaults"


@pytest.mark.parametrize(("kind", "settings"), CASES, ids=shown)
def test_a_hundred_steps_follow_the_formula(kind, settings):
    optimizer, (params, steps) = kind(**settings), drawn()
    paths = {
        name: FORMULAS[kind](p.copy(), [grads[name] for grads in steps], **settings)
        for name, p in params.items()
    }
    for grads in steps:
        optimizer.update(params, grads)
        for name, path in paths.items():
            expected = next(path)
            np.testing.assert_allclose(params[name], expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_names_and_defaults_are_keras_3s():
    settings = {
        kind.__name__: {p.name: p.default for p in inspect.signature(kind).parameters.values()}
        for kind in ALL
    }
    assert settings == {
        "SGD": {"lr": 0.01},
        "Momentum": {"lr": 0.01, "momentum": 0.9},
        "Nesterov": {"lr": 0.01, "momentum": 0.9},
        "AdaGrad": {"lr": 0.001, "initial_accumulator_value": 0.1, "epsilon": 1e-7},
        "RMSprop": {"lr": 0.001, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": False},
        "Adam": {"lr": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
        "AdamW": {"lr": 0.001, "weight_decay": 0.004, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
    }


def _way(momentum):
    """Return how far 100 steps lead with a velocity that starts at 0 and gains 1 at each."""
    return (STEPS - momentum * (1 - momentum**STEPS) / (1 - momentum)) / (1 - momentum)


G = np.array([2.0, -0.03])
T = np.arange(1, STEPS + 1)[:, None]
SHRUNK = (1 - 0.1 * 0.3) ** STEPS
CLOSED = [  # where 100 steps along the constant gradient G lead from (1, 1)
    (SGD, {"lr": 0.1}, 1 - 0.1 * STEPS * G),
    (Momentum, {"lr": 0.1, "momentum": 0.8}, 1 - 0.1 * G * _way(0.8)),
    (Nesterov, {"lr": 0.1, "momentum": 0.8}, 1 - 0.1 * G * (0.8 * _way(0.8) + STEPS)),
    (AdaGrad, {"lr": 0.1}, 1 - 0.1 * (G / np.sqrt(0.1 + T * G**2 + 1e-7)).sum(axis=0)),
    (RMSprop, {"lr": 0.1}, 1 - 0.1 * (G / np.sqrt((1 - 0.9**T) * G**2 + 1e-7)).sum(axis=0)),
    (
        RMSprop,
        {"lr": 0.1, "epsilon": 1e-3, "centered": True},
        1 - 0.1 * (G / np.sqrt((1 - 0.9**T) * 0.9**T * G**2 + 1e-3)).sum(axis=0),
    ),
    (Adam, {"lr": 0.1}, 1 - 0.1 * (G / (np.abs(G) + 1e-7 / np.sqrt(1 - 0.999**T))).sum(axis=0)),
    (
        AdamW,
        {"lr": 0.1, "weight_decay": 0.3, "epsilon": 1e-300},
        SHRUNK - np.sign(G) * (1 - SHRUNK) / 0.3,
    ),
]


@pytest.mark.parametrize(("kind", "settings", "expected"), CLOSED)
def test_a_constant_gradient_leads_to_the_closed_form(kind, settings, expected):
    optimizer, w = kind(**settings), np.ones(2)
    for _ in range(STEPS):
        optimizer.update({"w": w}, {"w": G})
    np.testing.assert_allclose(w, expected, rtol=1e-11)


def rosenbrock(w):
    """Return the banana valley's height and slope; its bottom is (1, 1)."""
    x, y = w
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2, np.array(
        [-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)]
    )


def quadratic(w):
    """Return a bowl's height and slope: 1000 times as steep in one direction as in the other."""
    curvature = np.array([1.0, 1000.0])
    return float(curvature @ w**2) / 2, curvature * w


RATES = {SGD: 2e-4, Momentum: 2e-4, Nesterov: 2e-4, AdaGrad: 0.5, RMSprop: 0.01, Adam: 0.05, AdamW: 0.05}


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(("f", "start"), [(quadratic, (3.0, 1.0)), (rosenbrock, (-1.2, 1.0))])
def test_descent(kind, f, start):
    optimizer, w = kind(RATES[kind]), np.array(start)
    first = f(w)[0]
    for _ in range(1000):
        optimizer.update({"w": w}, {"w": f(w)[1]})
    assert f(w)[0] < 0.2 * first


def test_the_networks_learn_with_each():
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((20, 4)), rng.integers(3, size=20)
    for kind in ALL:
        net, optimizer = TwoLayerNet(4, 6, 3, weight_init_std=0.5, rng=1), kind(0.05)
        before = net.loss(x, t)
        for _ in range(30):
            optimizer.update(net.params, net.gradient(x, t))
        assert net.loss(x, t) < before - 0.01, kind


def test_sgd_is_the_textbooks_to_the_bit():
    params, steps = drawn()
    expected = params["W"].copy()
    for grads in steps:
        SGD(lr=0.3).update(params, grads)
        expected -= 0.3 * grads["W"]
    assert np.array_equal(params["W"], expected)


def by_all(test):
    kinds = [*CASES, (RMSprop, {"momentum": 0.5})]
    return pytest.mark.parametrize(("kind", "settings"), kinds, ids=shown)(test)


@by_all
def test_float32_stays_float32(kind, settings):
    params, steps = drawn()
    single = {name: p.astype(np.float32) for name, p in params.items()}
    exact, rounded = kind(**settings), kind(**settings)
    rounded.lr = np.float64(rounded.lr)  # a schedule's; it must not make the sums float64
    for grads in steps:
        exact.update(params, grads)
        rounded.update(single, {name: g.astype(np.float32) for name, g in grads.items()})
    for name, p in single.items():
        kept = [a for a in rounded.state[name].values() if isinstance(a, np.ndarray)]
        assert {a.dtype for a in (p, *kept)} == {np.dtype(np.float32)}
        assert all(a.shape == p.shape for a in kept)
        np.testing.assert_allclose(p, params[name], rtol=0, atol=3e-5 * max(1, np.abs(params[name]).max()))


@by_all
def test_arrays_are_changed_in_place_and_gradients_are_not(kind, settings):
    params, steps = drawn()
    optimizer, plain, copies = kind(**settings), kind(**settings), dict(params)
    wide = np.zeros((8, 3))
    laid_out = {**params, "W": wide.T[:, ::2]}  # neither C nor Fortran order
    laid_out["W"][...] = params["W"]
    params = {name: p.copy() for name, p in params.items()}
    for grads in steps[:5]:
        kept = {name: g.copy() for name, g in grads.items()}
        optimizer.update(laid_out, grads)
        plain.update(params, grads)
        assert all(np.array_equal(g, kept[name]) for name, g in grads.items())
    assert laid_out["b"] is copies["b"]
    assert laid_out["scale"] is copies["scale"]
    assert all(np.array_equal(laid_out[name], p) for name, p in params.items())
    assert np.array_equal(wide[::2].T, params["W"])
    assert not wide[1::2].any()


@by_all
def test_a_parameter_may_be_its_own_gradient(kind, settings):
    shared, apart = np.array([1.0, -2.0]), np.array([1.0, -2.0])
    one, other = kind(**settings), kind(**settings)
    for _ in range(3):
        one.update({"w": shared}, {"w": shared})
        other.update({"w": apart}, {"w": apart.copy()})
    assert np.array_equal(shared, apart)


@by_all
def test_an_update_needs_two_temporaries(kind, settings):
    w, g = {"w": np.ones(10_000)}, {"w": np.ones(10_000)}
    optimizer = kind(**settings)
    optimizer.update(w, g)
    tracemalloc.start()
    optimizer.update(w, g)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.2 * w["w"].nbytes


@by_all
def test_state_belongs_to_a_name(kind, settings):
    params, steps = drawn()
    alone, together = {"b": params["b"].copy()}, kind(**settings)
    single = kind(**settings)
    assert together.state == {}
    for i, grads in enumerate(steps[:8]):
        together.update(params, grads if i % 2 else {"W": grads["W"]})
        if i % 2:
            single.update(alone, {"b": grads["b"]})
    assert np.array_equal(params["b"], alone["b"])
    assert list(together.state) == ["W", "b", "scale"]


def test_a_changed_rate_counts_for_the_gradients_to_come():
    optimizer, w = Momentum(0.1, 0.5), np.zeros(1)
    optimizer.update({"w": w}, {"w": np.ones(1)})  # v = -0.1
    optimizer.lr = 0.01
    optimizer.update({"w": w}, {"w": np.ones(1)})  # v = -0.05 - 0.01
    assert w == pytest.approx(-0.16)


def test_a_variance_below_0_by_rounding_gives_no_nan():
    optimizer, w = RMSprop(centered=True), np.zeros(50, np.float32)
    g = np.linspace(1e3, 1e5, 50, dtype=np.float32)
    for step in range(200):
        optimizer.update({"w": w}, {"w": g if step > 50 else 2 * g})  # where both come down, m^2 stops short
    s, m = optimizer.state["w"]["mean_square"], optimizer.state["w"]["mean"]
    assert (s - m * m < -1e-7).any()  # or this test shows nothing
    assert np.isfinite(w).all()


def test_whole_number_gradients_do_not_overflow():
    optimizer, w = Adam(0.1), np.zeros(2, np.float32)
    optimizer.update({"w": w}, {"w": np.array([200, 16], np.uint8)})
    np.testing.assert_allclose(w, -0.1, rtol=1e-5)


@pytest.mark.parametrize(
    "name", ["sgd", "Momentum", "NESTEROV", "adagrad", "RMSprop", "rmsprop", "adam", "AdamW"]
)
def test_get_by_name(name):
    made = optimizers.get(name)
    assert type(made).__name__.lower() == name.lower()
    assert optimizers.get(name) is not made
    assert optimizers.get(made) is made


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            "adm",
            ValueError,
            "no optimizer is named 'adm': give one of sgd, momentum, nesterov, adagrad, rmsprop, ",
        ),
        (Adam, TypeError, "an optimizer cannot be a type: give a name or an object, 'adam' or Adam(0.001)"),
        (None, TypeError, "an optimizer cannot be a NoneType: give a name"),
    ],
)
def test_get_refuses(given, error, message):
    with pytest.raises(error, match=re.escape(message)):
        optimizers.get(given)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("lr", [0, -0.1, np.nan, np.inf, "fast", None, True, np.ones((30, 30))])
def test_a_rate_that_is_no_positive_number(kind, lr):
    with pytest.raises(ValueError, match=r"^lr is .{1,40}: give a positive number, such as 0.01$"):
        kind(lr)
    optimizer, w = kind(0.1), np.ones(2)
    optimizer.lr = lr
    with pytest.raises(ValueError, match=r"^lr is .{1,40}: give a positive number, such as 0.01$"):
        optimizer.update({"w": w}, {"w": w.copy()})
    assert w.tolist() == [1, 1]


@pytest.mark.parametrize("kind", ALL)
def test_settings_out_of_range(kind):
    shares = {"momentum", "rho", "beta_1", "beta_2"}
    for name in set(inspect.signature(kind).parameters) - {"lr", "centered"}:
        for value in (-0.1, 1 if name in shares else np.inf, np.nan, "much", True):
            with pytest.raises(ValueError, match=rf"^{name} is .+: give a (positive )?number"):
                kind(**{name: value})
    if kind in (AdaGrad, RMSprop, Adam, AdamW):
        with pytest.raises(ValueError, match=r"^epsilon is 0: give a positive number, such as 1e-07$"):
            kind(epsilon=0)


READ_ONLY = np.ones(2)
READ_ONLY.flags.writeable = False
WHOLE = "parameter 'w' cannot be changed in place: give a writeable array of floats"


@pytest.mark.parametrize("kind", [SGD, Adam])
@pytest.mark.parametrize(
    ("w", "g", "error", "message"),
    [
        (
            np.ones(2),
            np.ones(1),
            ValueError,
            "the gradient of 'w' has shape (1,): give one of the shape (2,)",
        ),
        (np.ones(2), 1.0, ValueError, "the gradient of 'w' has shape (): give one of the shape (2,)"),
        (np.ones(2), None, ValueError, "the gradient of 'w' has shape (): give one of the shape (2,)"),
        (
            np.ones(2),
            np.ones(2) * 1j,
            TypeError,
            "the gradient of 'w' has dtype complex128: give one of float64",
        ),
        (np.ones(2, int), np.ones(2), TypeError, WHOLE),
        (READ_ONLY, np.ones(2), TypeError, WHOLE),
        (1.0, np.ones(()), TypeError, WHOLE),
    ],
)
def test_a_gradient_or_parameter_that_does_not_fit(kind, w, g, error, message):
    optimizer, first = kind(), np.ones(3)
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        optimizer.update({"first": first, "w": w}, {"first": np.ones(3), "w": g})
    assert first.tolist() == [1, 1, 1]  # all or nothing
    assert optimizer.state == {}


def test_names_and_containers_that_do_not_fit():
    w = np.ones(2)
    with pytest.raises(
        ValueError, match=r"^no parameter is named 'W': name the gradients as .+, \['w', 'b'\]$"
    ):
        Adam().update({"w": w, "b": w}, {"w": w, "W": w})
    with pytest.raises(TypeError, match=r"^params is a list: give a mapping .+ dict\(enumerate\(params\)\)"):
        SGD().update([w], [w])
    with pytest.raises(TypeError, match=r"^grads is a tuple: give a mapping"):
        SGD().update({0: w}, (w,))
    assert w.tolist() == [1, 1]


@pytest.mark.parametrize("other", [np.ones(3), np.ones(2, np.float32)])
def test_another_model_needs_another_optimizer(other):
    optimizer = Adam()
    optimizer.update({"w": np.ones(2)}, {"w": np.ones(2)})
    with pytest.raises(ValueError, match=r"'w' was float64 of shape \(2,\) and is .+: make a new optimizer"):
        optimizer.update({"w": other}, {"w": other})
