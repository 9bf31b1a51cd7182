"""Each fault does what its line says, to the gradient that it names, and to nothing else."""

import pickle
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from gradlab.faults import behaviour_mutants, mutants
from gradlab.faults.behaviour_mutants import FAULTS
from gradlab.node import Node, Sample, as_tuple, named_rng, primal_names
from gradlab.nodes import NODES

# a zero, a tie, both sides of -2, 0, 2 and 10
X = np.array([[0.5, -1.0, 2.5, 0.0], [1.5, -3.0, -0.7, 12.0], [0.25, 1.5, -2.0, 3.0]])
G = np.random.default_rng(1).standard_normal((3, 4))
W = np.random.default_rng(2).standard_normal((4, 2))


def node_of(forward, backward, *primals, **settings):
    return Node("made", "test", forward, backward, lambda rng: [Sample("given", primals, settings)])


def fresh(call):
    """Return copies of what a backward may write to."""
    return tuple(np.array(a) for a in call) if isinstance(call, tuple) else np.array(call)


all_of = cache(behaviour_mutants)


def find(node, text):
    found = [mutant for mutant in all_of(node) if mutant.description == text]
    assert len(found) == 1, f"{len(found)} mutants are described by {text!r}"
    return found[0]


def gradients(node, primals, g, **settings):
    return node.backward(node.forward(*primals, **settings)[1], fresh(g))


POLYNOMIAL = node_of(lambda x: (x**2 + x, x), lambda x, g: ((2 * x + 1) * g,), X)
D = (2 * X + 1) * G


def edited(where, value):
    wrong = D.copy()
    wrong[where] = value(wrong[where]) if callable(value) else value
    return wrong


def projected(along):
    return D - along * np.vdot(D, along) / np.vdot(along, along)


ELEMENTWISE = {
    "the gradient of x has the wrong sign": -D,
    "the gradient of x is twice too large": 2 * D,
    "the gradient of x is halved": D / 2,
    "the gradient of x is multiplied by the batch, the first axis of the first primal": 3 * D,
    "the gradient of x is divided by the batch, the first axis of the first primal": D / 3,
    "the gradient of x is multiplied by the length of its last axis": 4 * D,
    "the gradient of x is divided by the length of its last axis": D / 4,
    "the gradient of x is multiplied by the number of its elements": 12 * D,
    "the gradient of x is divided by the number of its elements": D / 12,
    "the gradient of x is too large by a factor 1 + 0.001": 1.001 * D,
    "the gradient of x is too large by a factor 1 + 0.0001": 1.0001 * D,
    "the gradient of x is too large by a factor 1 + 1e-05": 1.00001 * D,
    "the gradient of x is zero": 0 * D,
    "a thousandth of its largest element is added to the gradient of x": D + 1e-3 * np.abs(D).max(),
    "the constant 0.001 is added to the gradient of x": D + 1e-3,
    "the gradient of x lacks its mean over the last axis": D - D.mean(axis=1)[:, None],
    "the gradient of x has its mean over the first axis added": D + D.mean(axis=0),
    "the gradient of x lacks its projection on the output": projected(X**2 + X),
    "the gradient of x lacks its projection on x": projected(X),
    "one inner row of the gradient of x is twice too large": edited(1, 2 * D[1]),
    "one inner row of the gradient of x is zero": edited(1, 0),
    "the gradient of x is twice too large at the first index of its first axis": edited(0, 2 * D[0]),
    "the gradient of x is zero at the last index of its last axis": edited((slice(None), 3), 0),
    "the gradient of x is halved at both ends of its last axis": D * [0.5, 1, 1, 0.5],
    "right for a batch of 1 only: beyond the first example the gradient of x is zero": edited(slice(1, 3), 0),
    "right for a batch of 1 only: every example has the first one's gradient of x": D[[0, 0, 0]],
    "the gradient of x is rolled by one along its last axis": D[:, [3, 0, 1, 2]],
    "the gradient of x is moved on by one along its first axis, a zero coming in": np.array(
        [0 * D[0], D[0], D[1]]
    ),
    "the gradient of x is zero where x < -2": edited((1, 1), 0),
    "the gradient of x is twice too large where x > 2": D * np.where(X > 2, 2, 1),
    "the gradient of x has the wrong sign where x < 0": D * np.where(X < 0, -1, 1),
    "the gradient of x is halved where |x| > 10": edited((1, 3), D[1, 3] / 2),
    "the gradient of x is zero where x is exactly 0": edited((0, 3), 0),
    "the gradient of x is twice too large where x has equal values": D * np.where(X == 1.5, 2, 1),
    "the gradient of x is zero where x has equal values": D * (X != 1.5),
    "the gradient of x is NaN in its last element": edited((2, 3), np.nan),
    "the gradient of x is NaN where x is exactly 0": edited((0, 3), np.nan),
    "the gradient of x is infinite where |x| > 10": edited((1, 3), np.inf),
    "the gradient of x is flattened": D.ravel(),
    "the gradient of x has a leading axis of 1 too many": D[None],
    "the gradient of x is summed to one number": D.sum(),
    "the gradient of x is that of a cotangent of ones": 2 * X + 1,
    "the gradient of x is that of the cotangent g |g|": D * np.abs(G),
    "the gradient of x is that of g clipped to -1 ... 1": (2 * X + 1) * np.clip(G, -1, 1),
    "the gradient of x ignores a negative g": D * (G > 0),
}


@pytest.mark.parametrize("text", ELEMENTWISE)
def test_a_wrong_value(text):
    (wrong,) = gradients(find(POLYNOMIAL, text).make(), (X,), G)
    expected = ELEMENTWISE[text]
    assert np.shape(wrong) == expected.shape
    np.testing.assert_allclose(wrong, expected, rtol=1e-14)
    assert not np.array_equal(expected, D)


def test_roots_of_a_length():
    x = np.random.default_rng(3).standard_normal((2, 3))
    node = node_of(lambda x: (x**2, x), lambda x, g: (2 * x * g,), x)
    for word, factor in (("multiplied", 3**0.5), ("divided", 3**-0.5)):
        mutant = find(node, f"the gradient of x is {word} by the root of its last axis' length")
        np.testing.assert_allclose(gradients(mutant.make(), (x,), x)[0], factor * 2 * x * x, rtol=1e-14)
        assert (mutant.fault, mutant.diagnosis, mutant.primal) == ("factor", "constant-factor", "x")


def test_a_factor_that_is_1_is_no_fault():
    x = np.array([[0.5]])
    node = node_of(lambda x: (x**2, x), lambda x, g: (2 * x * g,), x)
    factors = [mutant.description for mutant in behaviour_mutants(node) if mutant.fault == "factor"]
    assert factors == ["the gradient of x is twice too large", "the gradient of x is halved"]


def test_of_two_faults_that_do_the_same_one_is_kept():
    """The batch is the first axis of the first primal; of a second one it need not be."""
    text = "is multiplied by the length of its first axis"
    assert f"the gradient of x {text}" not in [mutant.description for mutant in all_of(POLYNOMIAL)]
    assert f"the gradient of W {text}" in [mutant.description for mutant in all_of(matrix_product(X, W))]


def test_float32_round_trip():
    (wrong,) = gradients(find(POLYNOMIAL, "the gradient of x went through float32").make(), (X,), G)
    assert wrong.dtype == np.float64
    assert (wrong == D.astype(np.float32)).all()
    assert (wrong != D).any()


@pytest.mark.parametrize("name", ["float32", "float64", "longdouble"])
def test_wrong_dtype(name):
    dtype = np.dtype(name)
    mutant = find(POLYNOMIAL, f"the gradient of x is {dtype.name}, whatever x is")
    assert mutant.diagnosis == "wrong-dtype"
    for given_dtype in (np.float32, np.float64):
        x, g = X.astype(given_dtype), G.astype(given_dtype)
        assert gradients(mutant.make(), (x,), g)[0].dtype == dtype


def test_axes_of_length_1_lost():
    node = replace(POLYNOMIAL, samples=lambda rng: [Sample("a column", (X[:, :1],))])
    mutant = find(node, "the gradient of x has lost its axes of length 1")
    np.testing.assert_allclose(gradients(mutant.make(), (X[:, :1],), G[:, :1])[0], D[:, 0])


def test_a_clip_far_out_shows_in_a_large_cotangent():
    mutant = find(POLYNOMIAL, "the gradient of x is that of g clipped to -100 ... 100").make()
    np.testing.assert_array_equal(gradients(mutant, (X,), G)[0], D)
    np.testing.assert_allclose(gradients(mutant, (X,), 1e6 * G)[0], (2 * X + 1) * np.sign(G) * 100)


@pytest.mark.parametrize(
    ("text", "factor"), [("is twice too large", 2), ("is zero", 0), ("has the wrong sign", -1)]
)
def test_one_element(text, factor):
    (wrong,) = gradients(find(POLYNOMIAL, f"one element of the gradient of x {text}").make(), (X,), G)
    (place,) = np.argwhere(wrong != D)
    assert wrong[tuple(place)] == factor * D[tuple(place)]


def test_wrong_for_a_batch_of_1_only():
    mutant = find(
        POLYNOMIAL, "wrong for a batch of 1 only: there the gradient of x is twice too large"
    ).make()
    np.testing.assert_array_equal(gradients(mutant, (X,), G)[0], D)
    np.testing.assert_array_equal(gradients(mutant, (X[:1],), G[:1])[0], 2 * D[:1])


def test_transposed_where_square():
    x = X[:, :3]
    node = replace(POLYNOMIAL, samples=lambda rng: [Sample("square", (x,)), Sample("oblong", (X,))])
    mutant = find(node, "the gradient of x is transposed where it is square").make()
    np.testing.assert_array_equal(gradients(mutant, (x,), G[:, :3])[0], D[:, :3].T)
    np.testing.assert_array_equal(gradients(mutant, (X,), G)[0], D)
    assert "transposed" not in {mutant.fault for mutant in behaviour_mutants(POLYNOMIAL)}


def test_axes_permuted():
    x = np.random.default_rng(4).standard_normal((2, 3, 2))
    node = replace(POLYNOMIAL, samples=lambda rng: [Sample("three axes", (x,))])
    mutant = find(node, "two axes of equal length are swapped in the gradient of x").make()
    np.testing.assert_array_equal(gradients(mutant, (x,), np.ones_like(x))[0], (2 * x + 1).transpose(2, 1, 0))


def matrix_product(*primals):
    return node_of(lambda x, W: (x @ W, (x, W)), lambda xW, g: (g @ xW[1].T, xW[0].T @ g), *primals)


def test_a_second_primal_with_lengths_of_its_own():
    node, g = matrix_product(X, W), G[:, :2]
    for text, factor in (
        ("the batch, the first axis of the first primal", 3),
        ("the length of its first axis", 4),
    ):
        mutant = find(node, f"the gradient of W is multiplied by {text}")
        dx, dW = gradients(mutant.make(), (X, W), g)
        np.testing.assert_array_equal(dx, g @ W.T)
        np.testing.assert_allclose(dW, factor * (X.T @ g))


def test_swapped_primals():
    x, W = X[:, :3], X[:, 1:]
    node = matrix_product(x, W)
    mutant = find(node, "the gradients of x and of the next primal of its shape are swapped").make()
    dx, dW = gradients(mutant, (x, W), x)
    np.testing.assert_array_equal(dx, x.T @ x)
    np.testing.assert_array_equal(dW, x @ W.T)
    assert "swapped primals" not in {mutant.fault for mutant in behaviour_mutants(matrix_product(X, X.T))}


B = np.array([1.0, -2.0, 0.5])
SUM = node_of(lambda x, b: (x + b, (x.shape, b.shape)), None, X[:, :3], B)
SUM = replace(SUM, backward=lambda shapes, g: (g.copy(), g.sum(axis=0) if len(shapes[1]) == 1 else g.copy()))
S = G[:, :3]


@pytest.mark.parametrize(
    ("text", "diagnosis", "expected"),
    [
        ("is not summed where b was broadcast", "missing-broadcast-sum", S),
        ("is the first slice, not the sum, where b was broadcast", "missing-broadcast-sum", S[0]),
        ("is the last slice, not the sum, where b was broadcast", "missing-broadcast-sum", S[-1]),
        ("is the mean, not the sum, where b was broadcast", "constant-factor", S.sum(axis=0) / 3),
        ("is summed over the last axis, not the first one added", "wrong-sum-axis", S.sum(axis=1)),
        ("is summed over all axes where b was broadcast", "wrong-sum-axis", np.full(3, S.sum())),
    ],
)
def test_broadcast_sum(text, diagnosis, expected):
    # b is (3,) on (3, 3): the sum over the wrong axis has the right shape; on (2, 3) the mean is no third
    node = replace(SUM, samples=lambda rng: [Sample("3", (X[:, :3], B)), Sample("2", (X[:2, :3], B))])
    mutant = find(node, f"the gradient of b {text}")
    assert (mutant.diagnosis, mutant.primal, mutant.fault) == (diagnosis, "b", "broadcast sum")
    dx, db = gradients(mutant.make(), (X[:, :3], B), S)
    np.testing.assert_array_equal(dx, S)
    assert np.shape(db) == expected.shape
    np.testing.assert_allclose(db, expected)


def test_a_sum_over_one_axis_too_few():
    x, b, g = np.ones((2, 3, 4)), np.ones(4), np.random.default_rng(5).standard_normal((2, 3, 4))
    node = node_of(
        lambda x, b: (x + b, b.shape),
        lambda shape, g: (g.copy(), g.sum(axis=tuple(range(g.ndim - len(shape))))),
        x,
        b,
    )
    mutant = find(
        node, "the gradient of b is summed over all but one of the axes along which b was broadcast"
    )
    np.testing.assert_allclose(gradients(mutant.make(), (x, b), g)[1], g[0].sum(axis=0))


def test_what_is_not_broadcast_has_no_broadcast_sum():
    # W of x W has the shape (1, 2) of a row for the output's (3, 2), and forward does not broadcast it
    names = [m.fault for m in behaviour_mutants(matrix_product(X[:, :1], W[:1]))]
    assert "broadcast sum" not in names


def test_what_forward_treats_otherwise_when_stretched_was_not_broadcast():
    # x of shape (1,) goes through a sum, which is another one for four elements
    x, y = np.array([2.0]), np.array([1.0, -1.0, 3.0, 0.5])
    node = node_of(
        lambda x, y: (x.sum() * y, (x, y)),
        lambda xy, g: (np.full(xy[0].shape, g @ xy[1]), xy[0].sum() * g),
        x,
        y,
    )
    assert "broadcast sum" not in {mutant.fault for mutant in all_of(node)}


SEVERAL = node_of(lambda x: ((2 * x, 3 * x), None), lambda _, g: (2 * g[0] + 3 * g[1],), X)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("takes the first output's cotangent for all outputs", 5 * X),
        ("exchanges the cotangents of the first two outputs", 2 * G + 3 * X),
    ],
)
def test_another_outputs_cotangent(text, expected):
    mutant = find(SEVERAL, f"the gradient of x {text}")
    assert mutant.diagnosis == "wrong-cotangent"
    np.testing.assert_allclose(gradients(mutant.make(), (X,), (X, G))[0], expected)


def read_backwards(x):
    room = np.zeros((*x.shape[:-1], 2 * x.shape[-1]))
    room[..., 1::2] = x[..., ::-1]
    return room[..., ::-2]


@pytest.mark.parametrize(
    ("text", "layout", "seen"),
    [
        ("takes g in the order in which it lies in memory", np.asfortranarray, G.T.reshape(G.shape)),
        ("reads g as if it were C-contiguous", np.asfortranarray, G.T.reshape(G.shape)),
        ("reads g as if it were C-contiguous", read_backwards, None),
    ],
)
def test_a_cotangent_that_is_not_contiguous(text, layout, seen):
    mutant = find(POLYNOMIAL, f"the gradient of x {text}")
    assert mutant.diagnosis == "assumes-contiguous"
    node = mutant.make()
    np.testing.assert_array_equal(gradients(node, (X,), G)[0], D)
    laid = layout(G)
    np.testing.assert_array_equal(laid, G)
    (wrong,) = node.backward(node.forward(X)[1], laid)
    if seen is None:
        # from the last place of the buffer on, and round its end
        seen = np.roll(laid.base.ravel(), -7)[:12].reshape(G.shape)
    np.testing.assert_array_equal(wrong, (2 * X + 1) * seen)


def test_a_cotangent_that_must_be_contiguous():
    node = find(POLYNOMIAL, "the gradient of x raises where g is not C-contiguous").make()
    np.testing.assert_array_equal(gradients(node, (X,), G)[0], D)
    with pytest.raises(ValueError, match="C-contiguous"):
        node.backward(node.forward(X)[1], np.asfortranarray(G))


@pytest.mark.parametrize(
    "text",
    [
        "takes the primals in the order in which they lie in memory",
        "reads the primals as if they were C-contiguous",
    ],
)
def test_a_primal_that_is_not_contiguous(text):
    node = find(POLYNOMIAL, f"the gradient of x {text}").make()
    np.testing.assert_array_equal(gradients(node, (X,), G)[0], D)
    np.testing.assert_array_equal(
        gradients(node, (np.asfortranarray(X),), G)[0], (2 * X.T.reshape(X.shape) + 1) * G
    )


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("backward fills the cotangent with zeros", 0 * G),
        ("backward doubles the cotangent in place", 2 * G),
        ("backward writes zeros over the negative elements of the cotangent", np.maximum(G, 0)),
    ],
)
def test_mutated_cotangent(text, left):
    mutant = find(POLYNOMIAL, text)
    assert (mutant.diagnosis, mutant.primal) == ("mutates-argument", "")
    node, x, g = mutant.make(), X.copy(), G.copy()
    (gradient,) = node.backward(node.forward(x)[1], g)
    np.testing.assert_array_equal(gradient, D)
    np.testing.assert_array_equal(g, left)
    np.testing.assert_array_equal(x, X)


def test_mutated_primal():
    node, x, g = find(POLYNOMIAL, "backward writes zeros into x").make(), X.copy(), G.copy()
    (gradient,) = node.backward(node.forward(x)[1], g)
    np.testing.assert_array_equal(gradient, D)
    assert not x.any()
    np.testing.assert_array_equal(g, G)


def test_a_primal_that_forward_mutates():
    node, x = find(POLYNOMIAL, "forward doubles x in place").make(), X.copy()
    output, _ = node.forward(x)
    np.testing.assert_array_equal(output, X**2 + X)
    np.testing.assert_array_equal(x, 2 * X)


def test_mutated_setting():
    node = node_of(lambda x, t: (x * t, t), lambda t, g: (g * t,), X, t=np.ones((3, 4)))
    wrong, t = find(node, "backward writes zeros into the settings").make(), np.ones((3, 4))
    (gradient,) = wrong.backward(wrong.forward(X, t=t)[1], G.copy())
    np.testing.assert_array_equal(gradient, G)
    assert not t.any()
    assert "mutated setting" not in {mutant.fault for mutant in behaviour_mutants(POLYNOMIAL)}


def test_a_gradient_that_is_the_cotangent():
    node = find(
        SUM, "the gradient of x is the cotangent itself, or a view of it, where they are equal"
    ).make()
    g = S.copy()
    dx, db = node.backward(node.forward(X[:, :3], B)[1], g)
    np.testing.assert_array_equal(dx, g)
    assert np.shares_memory(dx, g)
    assert not np.shares_memory(db, g)


def test_what_is_equal_by_chance_is_no_aliasing():
    """At x = 0 the gradient of exp is its cotangent; its own samples are elsewhere."""
    texts = [mutant.description for mutant in all_of(NODES["exp"]) if mutant.fault == "aliased memory"]
    assert texts == ["the gradient of x stands in a buffer that the next call writes over"]


def test_a_gradient_that_is_a_stretched_view_of_the_cotangent():
    node = node_of(
        lambda x: (x.sum(axis=0), x.shape), lambda shape, g: (np.broadcast_to(g, shape).copy(),), X
    )
    text = "the gradient of x is the cotangent itself, or a view of it, where they are equal"
    wrong, g = find(node, text).make(), G[0].copy()
    (gradient,) = wrong.backward(wrong.forward(X)[1], g)
    np.testing.assert_array_equal(gradient, [g, g, g])
    assert np.shares_memory(gradient, g)


def test_a_gradient_that_is_a_primal():
    node = node_of(lambda x, y: ((x * y).sum(), (x, y)), lambda xy, g: (g * xy[1], xy[0].copy()), X, X + 1)
    wrong = find(node, "the gradient of y is a view of a primal where they are equal").make()
    dx, dy = wrong.backward(wrong.forward(X, X + 1)[1], np.array(2.0))
    assert np.shares_memory(dy, X)
    np.testing.assert_array_equal(dx, 2 * (X + 1))


def test_two_gradients_that_are_one_array():
    text = "the gradient of x and that of a later primal are one array where they are equal"
    node = replace(SUM, samples=lambda rng: [Sample("one shape", (X, X))])
    wrong = find(node, text).make()
    dx, dy = gradients(wrong, (X, X), G)
    np.testing.assert_array_equal(dy, G)
    assert np.shares_memory(dx, dy)


def test_a_gradient_that_the_next_call_writes_over():
    node = find(POLYNOMIAL, "the gradient of x stands in a buffer that the next call writes over").make()
    (first,) = gradients(node, (X,), G)
    np.testing.assert_array_equal(first, D)
    (second,) = gradients(node, (X,), 2 * G)
    np.testing.assert_array_equal(second, 2 * D)
    np.testing.assert_array_equal(first, second)


def test_residuals_of_the_first_call():
    node = find(
        POLYNOMIAL, "backward uses the residuals of the first call ever made with these shapes"
    ).make()
    np.testing.assert_array_equal(gradients(node, (X,), G)[0], D)
    np.testing.assert_array_equal(gradients(node, (5 * X,), G)[0], D)
    np.testing.assert_array_equal(gradients(node, (X[0],), G[0])[0], D[0])


def test_residuals_of_the_latest_forward():
    text = "backward uses the residuals of the latest forward with these shapes, not of its own"
    node = find(POLYNOMIAL, text).make()
    np.testing.assert_array_equal(gradients(node, (X,), G)[0], D)
    residuals = node.forward(X)[1]
    node.forward(-X)
    np.testing.assert_array_equal(node.backward(residuals, G)[0], (1 - 2 * X) * G)


def test_accumulation():
    mutant = find(POLYNOMIAL, "the gradient of x is added to those of the calls before it")
    node = mutant.make()
    for calls in (1, 2, 3):
        np.testing.assert_allclose(gradients(node, (X,), G)[0], calls * D, rtol=1e-15)
    # a node that is made afresh has no past
    np.testing.assert_array_equal(gradients(mutant.make(), (X,), G)[0], D)


@pytest.mark.parametrize("size", ["1e-6", "1e-12"])
def test_noise(size):
    mutant = find(POLYNOMIAL, f"the gradient of x carries random noise of {size} of each element")
    node = mutant.make()
    first, second = (gradients(node, (X,), G)[0] for _ in range(2))
    assert (first != second).any()
    np.testing.assert_allclose(first, D, rtol=10 * float(size))
    # and yet it is the same noise in every run
    np.testing.assert_array_equal(gradients(mutant.make(), (X,), G)[0], first)


def test_now_and_then():
    text = "now and then, at least in every third call, the gradient of x is half as large again"
    node = find(POLYNOMIAL, text).make()
    drawn = [gradients(node, (X,), G)[0] for _ in range(60)]
    wrong = [np.array_equal(d, 1.5 * D) for d in drawn]
    assert all(w or np.array_equal(d, D) for w, d in zip(wrong, drawn, strict=True))
    assert all(any(wrong[i : i + 3]) for i in range(58))
    assert not any(all(wrong[i : i + 20]) for i in range(40))


def test_what_is_only_rounding_is_no_fault():
    """The gradients of softmax sum to zero, but for crumbs; there is no mean to be missed."""
    texts = [mutant.description for mutant in all_of(NODES["softmax"])]
    assert "the gradient of x has its mean over the first axis added" in texts
    assert "the gradient of x lacks its mean over the last axis" not in texts


# making all mutants of all nodes takes minutes; `gradlab mutate` does
SOME = sorted({*list(NODES)[::4], "affine", "branch", "lstm_cell", "softmax"})


mutants_of = cache(lambda name: mutants(NODES[name]))


def test_the_mutants_of_some_nodes_together():
    """One test, so that of several processes one alone makes all of them.

    Every row of the table is somebody's fault, there are many, and no two of a node are described alike.
    """
    found = {name: mutants_of(name) for name in SOME}
    described = {(m.fault, m.diagnosis) for some in found.values() for m in some}
    described |= {(m.fault, m.diagnosis) for m in behaviour_mutants(SEVERAL)}
    assert {(fault.name, fault.diagnosis) for fault in FAULTS} <= described
    # without those of a name mixed up, many of which raise at once
    counts = Counter(m.fault for some in found.values() for m in some)
    assert counts.total() - counts["source: name mixed up"] >= 1500, counts
    for name, some in found.items():
        texts = Counter((mutant.fault, mutant.description) for mutant in some)
        assert texts.most_common(1)[0][1] == 1, (name, texts.most_common(1))


def random_cotangent(node, sample):
    rng = named_rng(0, node.name, "a cotangent")
    output = node.forward(*fresh(sample.primals), **sample.settings)[0]
    g = tuple(np.asarray(rng.standard_normal(np.shape(y))) for y in as_tuple(output))
    return g if isinstance(output, tuple) else g[0]


@pytest.mark.parametrize("name", SOME)
def test_a_fault_stays_where_it_was_put(name):
    """Forward gives what it gave, and on a first call no other gradient than the named one is wrong."""
    node, sample = NODES[name], NODES[name].draw_samples(0)[0]
    g = random_cotangent(node, sample)
    names = primal_names(node.forward, len(sample.primals))
    output = node.forward(*fresh(sample.primals), **sample.settings)[0]
    right = gradients(node, sample.primals, g, **sample.settings)
    # the one swaps two gradients; the other spoils what forward has saved for all of them
    of_several = ("swapped primals", "mutated primal")
    for mutant in (m for m in mutants_of(name) if m.primal and m.fault not in of_several):
        wrong_node = mutant.make()
        wrong_output, residuals = wrong_node.forward(*fresh(sample.primals), **sample.settings)
        assert all(map(np.array_equal, as_tuple(wrong_output), as_tuple(output))), mutant.description
        wrong = wrong_node.backward(residuals, fresh(g))
        for primal, a, b in zip(names, right, wrong, strict=True):
            assert primal == mutant.primal or np.array_equal(a, b), mutant.description


def test_the_same_seed_gives_the_same_mutants():
    def described(found):
        return [(m.node, m.fault, m.description, m.primal, m.diagnosis) for m in found]

    for name in ("affine", "branch", "softmax"):
        assert described(mutants(NODES[name])) == described(mutants_of(name))


def test_another_seed_draws_other_elements():
    text = "one element of the gradient of x is zero"

    def places(seed):
        found = [m for m in behaviour_mutants(POLYNOMIAL, seed) if m.description == text]
        return np.argwhere(gradients(found[0].make(), (X,), G)[0] != D).tolist()

    assert len({str(places(seed)) for seed in range(5)}) > 1


def outcome(node, primals, g):
    try:
        with np.errstate(all="ignore"):
            return [
                (np.shape(d), np.asarray(d, dtype=float).tobytes())
                for d in gradients(node, fresh(primals), g)
            ]
    except Exception as error:
        return repr(error)


def test_a_mutant_can_be_sent_to_another_process():
    for mutant in mutants_of("affine"):
        sent = pickle.loads(pickle.dumps(mutant))
        assert sent.description == mutant.description
        g = np.ones((2, 4))
        primals = NODES["affine"].draw_samples(0)[0].primals
        assert outcome(sent.make(), primals, g) == outcome(mutant.make(), primals, g)


def test_a_domain_is_respected():
    """log is not finite below 0, so nothing is said to be wrong there."""
    texts = [mutant.description for mutant in behaviour_mutants(NODES["log"])]
    assert "the gradient of x is twice too large where x > 2" in texts
    assert "the gradient of x is zero where x < -2" not in texts


def test_what_does_nothing_is_no_mutant():
    """The gradient of a step is zero, so no factor, no lost row and no swapped axes can be wrong."""
    faults = {mutant.fault for mutant in behaviour_mutants(NODES["step"])}
    assert "additive bias" in faults
    assert not faults & {"factor", "zero gradient", "sign flipped", "one row", "shifted", "ties"}


def test_a_variable_number_of_primals():
    node = Node(
        "join",
        "test",
        lambda *xs: (np.concatenate(xs), len(xs)),
        lambda n, g: tuple(part.copy() for part in np.split(g, n)),
        lambda rng: [Sample("one", (X,)), Sample("two", (X, -X))],
    )
    primals = {mutant.primal for mutant in behaviour_mutants(node)}
    assert primals == {"xs0", "xs1", ""}
