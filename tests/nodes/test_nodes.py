"""Every registered node passes every check; one list drives test, benchmark and report."""

from dataclasses import replace

import mpmath
import numpy as np
import pytest

from gradlab import verify
from gradlab.checks import CHECKS
from gradlab.checks.trial import Trial
from gradlab.node import named_rng, primal_names
from gradlab.nodes import NODES
from gradlab.nodes.normal_distribution import cumulative_and_bell
from gradlab.running.check_rows import first_wrong
from gradlab.running.selection import select_checks

# These checks apply only to some nodes: those that have a reference, are analytic, or give one number.
OF_SOME = {"matches_reference", "complex_step_agrees", "hessian_is_symmetric"}


@pytest.mark.parametrize("name", NODES)
def test_node(name):
    # other seeds, and float32: tests/checks/test_no_false_alarms.py
    report = verify(name)
    report.raise_if_failed()
    assert set(CHECKS) - OF_SOME <= {row.check for row in report.rows}
    errors = [row.relative_error for row in report.rows if row.check == "matches_numerical"]
    assert max(errors) < 1e-7


@pytest.mark.parametrize("name", NODES)
def test_documented_and_named(name):
    node = NODES[name]
    assert "forward:" in node.doc
    assert "backward:" in node.doc
    assert "Source:" in node.doc
    names = [sample.name for sample in node.draw_samples()]
    assert len(set(names)) == len(names)


def broken(node, how):
    """Return a backward with a mistake in it, from a right one."""

    def backward(residuals, g):
        g0 = g
        if how == "ignores the cotangent":
            g = tuple(np.ones_like(x) for x in g) if isinstance(g, tuple) else np.ones_like(g)
        gradients = node.backward(residuals, g)
        if how == "sign":
            return tuple(-d for d in gradients)
        if how == "factor":
            return tuple(d * d.dtype.type(1.0001) for d in gradients)
        if how == "dropped term":
            return tuple(np.where(np.abs(d) == np.abs(d).max(), 0, d) for d in gradients)
        if how == "last gradient forgotten":
            return (*gradients[:-1], np.zeros_like(gradients[-1]))
        if how == "not summed over what was broadcast":
            first = g0[0] if isinstance(g0, tuple) else g0
            return tuple(
                np.broadcast_to(d, np.broadcast_shapes(d.shape, (2, *first.shape))) for d in gradients
            )
        return gradients

    return backward


@pytest.mark.parametrize(
    "how",
    ["sign", "factor", "dropped term", "last gradient forgotten", "ignores the cotangent",
     "not summed over what was broadcast"],
)  # fmt: skip
@pytest.mark.parametrize("name", [n for n in NODES if not NODES[n].zero_gradient])  # 0 is 0 with each of them
def test_a_broken_backward_is_caught(name, how):
    node = NODES[name]
    wrong = replace(node, backward=broken(node, how))
    trials = [Trial(wrong, sample) for sample in node.draw_samples()]
    assert first_wrong(trials, select_checks(["matches_numerical"]))


def test_a_new_node_never_shifts_another_nodes_samples():
    assert named_rng(0, "add").integers(2**60) == named_rng(0, "add").integers(2**60)
    assert named_rng(0, "add").integers(2**60) != named_rng(0, "adds").integers(2**60)
    # the stream of the list of the seed and the name's bytes, whatever the seed's size
    for seed in (7, 2**32 - 1, 2**32, 2**70):
        listed = np.random.default_rng([seed, *b"add/x"])
        assert named_rng(seed, "add", "x").integers(2**60) == listed.integers(2**60)
    assert named_rng(0, "add").integers(2**60) != named_rng(1, "add").integers(2**60)


def test_names_of_primals():
    assert primal_names(lambda x, W, b, stride=1: None, 3) == ["x", "W", "b"]
    assert primal_names(lambda *xs: None, 2) == ["xs0", "xs1"]
    assert primal_names(lambda x, *, axis: None, 1) == ["x"]
    assert len(primal_names(max, 2)) == 2


def test_extremes_do_not_overflow():
    x = np.array([-1e4, -800.0, 0.0, 800.0, 1e4])
    for name in ("sigmoid", "tanh", "softmax"):
        y, residuals = NODES[name].forward(x)
        assert np.isfinite(y).all()
        assert np.isfinite(NODES[name].backward(residuals, np.ones_like(x))[0]).all()
    loss, residuals = NODES["softmax_with_loss"].forward(np.array([[1e4, -1e4]]), np.array([1]))
    assert loss == 2e4
    assert NODES["softmax_with_loss"].backward(residuals, np.array(1.0))[0].tolist() == [[1, -1]]
    loss, residuals = NODES["sigmoid_with_loss"].forward(x, np.ones(5))
    assert np.isfinite(loss)


def test_the_normal_distribution_of_float32_is_that_of_float64():
    x = np.linspace(-12.5, 12.5, 100_001).astype(np.float32)
    wide, narrow = (cumulative_and_bell(x.astype(dtype)) for dtype in (np.float64, np.float32))
    for a, b in zip(wide, narrow, strict=True):
        assert b.dtype == np.float32
        np.testing.assert_allclose(b, a, rtol=2e-5)
        np.testing.assert_allclose(b[np.abs(x) < 2], a[np.abs(x) < 2], rtol=5e-7)


def test_saturated_slopes_keep_their_digits():
    mpmath.mp.dps = 60
    # y (1 - y) from a rounded y has no digits left here
    truth = float(mpmath.diff(lambda x: 1 / (1 + mpmath.exp(-x)), 30))
    _, residuals = NODES["sigmoid"].forward(np.array([30.0, -30.0]))
    np.testing.assert_allclose(NODES["sigmoid"].backward(residuals, np.ones(2))[0], truth, rtol=1e-14)
    truth = float(mpmath.diff(mpmath.tanh, 15))
    _, residuals = NODES["tanh"].forward(np.array([15.0]))
    np.testing.assert_allclose(NODES["tanh"].backward(residuals, np.ones(1))[0], truth, rtol=1e-14)


@pytest.mark.parametrize(
    ("t", "message"),
    [(np.array([0, 3]), "label 3.*0 to 2"), (np.array([0, -1]), "label -1"), (np.array([0, 1, 2]), "shape"),
     (np.array([0.0, 1.0]), "float64")],
)  # fmt: skip
def test_bad_labels(t, message):
    with pytest.raises(ValueError, match=message):
        NODES["softmax_with_loss"].forward(np.zeros((2, 3)), t)


def test_unknown_check():
    with pytest.raises(ValueError, match="did you mean matches_numerical"):
        select_checks(["match_numerical"])


def test_what_truncation_cuts_is_the_gradient_between_blocks():
    # where no block starts are given, forward goes on from its own states, and only backward takes these as given
    rng = np.random.default_rng(8)
    x, h, c = rng.standard_normal((2, 7, 3)), rng.standard_normal((2, 2)), rng.standard_normal((2, 2))
    Wx, Wh, b = rng.standard_normal((3, 8)), rng.standard_normal((2, 8)), rng.standard_normal(8)
    forward, backward = NODES["lstm"].forward, NODES["lstm"].backward
    (hs, last), residuals = forward(x, h, c, Wx, Wh, b, truncation=3)
    cells = [forward(x[:, :t], h, c, Wx, Wh, b)[0][1] for t in (3, 6)]
    starts = {"h_starts": hs[:, [2, 5]], "c_starts": np.stack(cells, axis=1)}
    (same, same_last), given = forward(x, h, c, Wx, Wh, b, truncation=3, **starts)
    g = rng.standard_normal(hs.shape), rng.standard_normal(last.shape)
    np.testing.assert_allclose(same, hs, rtol=1e-13)
    np.testing.assert_allclose(same_last, last, rtol=1e-13)
    for found, expected in zip(backward(residuals, g), backward(given, g), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    whole = backward(forward(x, h, c, Wx, Wh, b)[1], g)
    assert not np.allclose(whole[1], backward(residuals, g)[1])


def test_what_is_far_from_1_is_not_squared():
    for x, norm in (([3e200, -4e200], 5e200), ([3e-200, 4e-200], 5e-200)):
        y, residuals = NODES["l2_norm"].forward(np.array(x))
        np.testing.assert_allclose(y, norm)
        np.testing.assert_allclose(NODES["l2_norm"].backward(residuals, np.array(1.0))[0], np.array(x) / norm)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "softplus", "softmax", "log_softmax", "log_sigmoid", "silu",
                                  "gelu", "gelu_tanh", "logsumexp", "elu", "selu"])  # fmt: skip
def test_at_1e4_nothing_overflows(name, dtype):
    # warnings are errors here
    x = np.array([-1e4, -100.0, 0.5, 100.0, 1e4], dtype)
    y, residuals = NODES[name].forward(x)
    (dx,) = NODES[name].backward(residuals, np.ones_like(y))
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()
    assert (np.asarray(y).dtype, dx.dtype) == (dtype, dtype)
    slopes = {"softplus": [0, 1], "silu": [0, 1], "gelu": [0, 1], "gelu_tanh": [0, 1], "logsumexp": [0, 1],
              "log_sigmoid": [1, 0], "elu": [0, 1]}  # fmt: skip
    if name in slopes:
        np.testing.assert_allclose(dx[[0, -1]], slopes[name], atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ctc_of_logits_of_1e4(dtype):
    x = np.zeros((4, 1, 3), dtype)
    x[::2, 0, 1] = x[1::2, 0, 2] = 1e4
    settings = {
        "labels": np.array([[1, 2, 1, 2]]),
        "label_lengths": np.array([4]),
        "input_lengths": np.array([4]),
    }
    loss, residuals = NODES["ctc"].forward(x, **settings)
    (dx,) = NODES["ctc"].backward(residuals, np.ones_like(loss))
    assert loss == 0
    assert not dx.any()
    loss, residuals = NODES["ctc"].forward(-x, **settings)
    (dx,) = NODES["ctc"].backward(residuals, np.ones_like(loss))
    np.testing.assert_allclose(loss, 4 * (1e4 + np.log(2)), rtol=1e-6)
    np.testing.assert_allclose(dx[0, 0], [0.5, -1, 0.5], atol=1e-6)
