"""Evidence of equivalence: what is the same function, and what only looks like it."""

from dataclasses import replace

import numpy as np
import pytest

from gradlab.faults import derived_samples, equivalent
from gradlab.node import Node, Sample

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.3, -0.7]])
SAMPLES = [Sample("matrix", (X,)), Sample("another", (-2 * X,)), Sample("scalar", (np.array(0.4),))]


def forward(x):
    return x**2, x


def backward(x, g):
    return (2 * x * g,)


SQUARE = Node("square", "test", forward, backward, lambda rng: SAMPLES)


def is_equivalent(**parts):
    return equivalent(replace(SQUARE, **parts), SQUARE, SAMPLES, np.random.default_rng(0))


def test_a_node_is_equivalent_to_itself():
    assert is_equivalent()


def test_the_same_arithmetic_in_another_order():
    assert is_equivalent(backward=lambda x, g: (g * (x + x),))


def test_of_the_two_zeros_either_will_do():
    node = replace(SQUARE, backward=lambda x, g: (0 * np.abs(g),))
    assert equivalent(
        replace(SQUARE, backward=lambda x, g: (-0.0 * np.abs(g),)), node, SAMPLES, np.random.default_rng(0)
    )


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, g: (2 * x * g * (1 + 2e-16),),
        lambda x, g: ((2 * x * g).astype(np.longdouble),),
        lambda x, g: ((2 * x * g)[None],),
        lambda x, g: [2 * x * g],
        lambda x, g: (2 * x * g, None),
        lambda x, g: (2 * x * np.where(x == 2, np.nan, g),),
        lambda x, g: 1 / 0,
    ],
    ids=["an ulp", "dtype", "shape", "a list", "one more", "NaN in a corner", "raises"],
)
def test_another_gradient(wrong):
    assert not is_equivalent(backward=wrong)


def test_zeros_of_another_dtype():
    zero = replace(SQUARE, backward=lambda x, g: (np.zeros(x.shape),))
    whole = replace(SQUARE, backward=lambda x, g: (np.zeros(x.shape, np.int64),))
    assert not equivalent(whole, zero, SAMPLES, np.random.default_rng(0))


def test_a_cotangent_that_is_written_to():
    def writes(x, g):
        gradient = 2 * x * g
        g[...] = 0
        return (gradient,)

    assert not is_equivalent(backward=writes)


def test_a_gradient_that_shares_memory():
    identity = replace(SQUARE, forward=lambda x: (x.copy(), None), backward=lambda _, g: (g.copy(),))
    aliased = replace(identity, backward=lambda _, g: (g,))
    assert equivalent(identity, identity, SAMPLES, np.random.default_rng(0))
    assert not equivalent(aliased, identity, SAMPLES, np.random.default_rng(0))


def test_a_gradient_that_the_next_call_writes_over():
    buffers = {}

    def reuses(x, g):
        buffer = buffers.setdefault(x.shape, np.empty_like(x))
        buffer[...] = 2 * x * g
        return (buffer,)

    assert not is_equivalent(backward=reuses)


def test_a_gradient_that_cannot_be_added_to():
    total = replace(SQUARE, forward=lambda x: (x.sum(), x.shape), backward=lambda s, g: (np.full(s, g),))
    stretched = replace(total, backward=lambda s, g: (np.broadcast_to(2 * g / 2, s),))
    assert not equivalent(stretched, total, SAMPLES, np.random.default_rng(0))


def test_a_cotangent_that_is_clipped_far_out():
    assert not is_equivalent(backward=lambda x, g: (2 * x * np.clip(g, -100, 100),))


def test_a_fault_where_nobody_sampled():
    far = replace(SQUARE, backward=lambda x, g: (np.where(x > 100, 0, 2 * x * g),))
    derived = list(derived_samples(SQUARE, SAMPLES))
    assert equivalent(far, SQUARE, SAMPLES, np.random.default_rng(0))
    assert not equivalent(far, SQUARE, derived, np.random.default_rng(0))


def test_samples_are_derived_only_where_forward_takes_them_and_has_a_slope():
    # the root has none at 0, whatever the backward states there
    root = replace(SQUARE, forward=lambda x: (np.sqrt(x), x))
    names = [sample.name for sample in derived_samples(root, [Sample("positive", (np.array([1.0, 4.0]),))])]
    assert names == [
        f"positive, {change}" for change in ("times 10", "times 1000", "plus 4", "with a tie", "in float32")
    ]


def test_a_batch_is_cut_to_one_with_its_labels():
    sample = Sample("batch", (X,), {"t": np.array([2, 0]), "axis": 1})
    loss = replace(SQUARE, forward=lambda x, t, axis: (x[np.arange(len(x)), t].sum(), None))
    *_, cut = derived_samples(loss, [sample])
    assert cut.primals[0].shape == (1, 3)
    assert cut.settings["t"].tolist() == [2]


def test_residuals_of_the_latest_forward():
    latest = {}

    def remembers(x):
        latest[x.shape] = x
        return x**2, x.shape

    assert not is_equivalent(forward=remembers, backward=lambda shape, g: (2 * latest[shape] * g,))


@pytest.mark.parametrize("order", ["F", "K"])
def test_a_layout_that_is_not_seen_through(order):
    def flat(x, g):
        return (2 * x * (g.ravel(order=order).reshape(x.shape)),)

    assert not is_equivalent(backward=flat)


def test_both_may_raise_the_same():
    def refuses(x, g):
        raise ZeroDivisionError

    broken = replace(SQUARE, backward=refuses)
    assert equivalent(broken, broken, SAMPLES, np.random.default_rng(0))
    assert not equivalent(SQUARE, broken, SAMPLES, np.random.default_rng(0))
