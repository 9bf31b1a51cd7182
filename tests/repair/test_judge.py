"""What a candidate has to give."""

import numpy as np

from gradlab.checks.trial import Trial
from gradlab.node import Node, Sample
from gradlab.repair._judge import judge_of

X = np.array([1.0, -2.0, 0.5])


def test_a_change_that_touches_what_forward_gives_is_none():
    added = [0.0]
    sample = Sample("given", (X,))
    node = Node(
        "square", "own", lambda x: (x**2 + added[0], x), lambda x, g: (2 * x * g,), lambda rng: iter([sample])
    )
    judge = judge_of(Trial(node, sample, registered=False))
    assert judge.fits(judge.gradients())
    added[0] = 1.0
    assert judge.gradients() is None


def test_a_gradient_of_another_shape_spoils_no_other():
    sample = Sample("given", (X, X))
    node = Node(
        "sum", "own", lambda x, y: (x + y, None), lambda r, g: (g, g.sum()), lambda rng: iter([sample])
    )
    judge = judge_of(Trial(node, sample, registered=False))
    base = judge.gradients()
    assert judge.off(base).tolist() == [False] * 3 + [True] * 3
    assert len(judge.of_each_wrong_primal(base)) == 1


def test_lists_dicts_and_arrays_that_backward_changes_are_as_they_were():
    kept, memo, buffer = [1.0, 2.0], {"a": 1.0}, np.zeros(3)

    def backward(x, g):
        kept.append(3.0)
        memo["b"] = memo.pop("a")
        buffer[:] = g
        return (2 * x * g,)

    sample = Sample("given", (X,))
    node = Node("square", "own", lambda x: (x**2, x), backward, lambda rng: iter([sample]))
    judge = judge_of(Trial(node, sample, registered=False), [kept, memo, buffer])
    assert judge.fits(judge.gradients())
    assert (kept, memo, buffer.tolist()) == ([1.0, 2.0], {"a": 1.0}, [0.0] * 3)
