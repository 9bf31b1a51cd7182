"""A node refuses input that it cannot take, in words of its own that end with the cure."""

import functools
import traceback
from pathlib import Path

import numpy as np
import pytest

import gradlab
from gradlab.node import primal_names
from gradlab.nodes import NODES

PACKAGE = Path(gradlab.__file__).parent


def other_shapes(x):
    """Yield `x` with its last axis longer by one, with that axis empty, without its first axis, and with a new one."""
    if x.ndim:
        yield np.concatenate([x, x[..., :1]], axis=-1)
        yield x[..., :0]
        yield np.array(x[0])
    yield x[None]


def other_settings(value):
    """Yield values of the same kind that few nodes can take."""
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield from (-7, 99)
    elif isinstance(value, tuple) and all(isinstance(part, int) for part in value):
        yield from (tuple(-7 for _ in value), (9,) * 5)
    elif isinstance(value, np.ndarray):
        yield value[..., None, None, None]
        if np.issubdtype(value.dtype, np.integer):
            yield from (value - 50, value + 50, value.astype(float))


def wrong_calls(node):
    for sample in node.draw_samples():
        for i, x in enumerate(sample.primals):
            for other in other_shapes(x):
                yield (*sample.primals[:i], other, *sample.primals[i + 1 :]), sample.settings
        for name, value in sample.settings.items():
            for other in other_settings(value):
                yield sample.primals, {**sample.settings, name: other}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # some are taken, and give no number
@pytest.mark.parametrize("name", NODES)
def test_what_a_node_refuses_it_refuses_in_its_own_words(name):
    for primals, settings in wrong_calls(NODES[name]):
        error = refusal(name, primals, settings)
        if error:
            shapes = dict(
                zip(primal_names(NODES[name].forward, len(primals)), map(np.shape, primals), strict=True)
            )
            where = f"{type(error).__name__}: {error}, of {shapes} and {settings}"
            assert isinstance(error, ValueError), where
            assert Path(traceback.extract_tb(error.__traceback__)[-1].filename).is_relative_to(PACKAGE), where
            assert ": " in str(error), where
            assert "\n" not in str(error), where


def refusal(name, primals, settings):
    try:
        NODES[name].forward(*primals, **settings)
    except Exception as error:
        return error
    return None


X = np.ones((2, 3, 4, 5))
LENGTHS = {"label_lengths": np.array([3]), "input_lengths": np.array([2])}


@pytest.mark.parametrize(
    ("name", "primals", "settings", "message"),
    [
        ("add", [np.ones((2, 3)), np.ones(2)], {}, r"x has shape \(2, 3\), y has shape \(2,\): give shapes that"),
        ("conv2d", [X, np.ones((2, 3, 3, 3)), np.ones(2)], {"stride": -1}, "stride is -1: give a whole number"),
        ("conv2d", [X, np.ones((2, 4, 3, 3)), np.ones(2)], {}, r"W of shape \(2, 4, 3, 3\) in 1 groups .* 3 chan"),
        ("max_pool2d", [X], {"size": 9}, r"a window of \(9, 9\) does not fit into \(4, 5\)"),
        ("embedding", [np.ones((4, 2))], {"ids": np.array([4])}, "ids holds 4"),
        ("gather", [np.ones((2, 3))], {"ids": np.array([[0, 3, 0]]), "axis": 0}, "ids holds 3"),
        ("segment_sum", [np.ones((2, 3))], {"ids": np.array([0, 2]), "num_segments": 2}, "ids holds 2"),
        ("ctc", [np.ones((2, 1, 4))], {"labels": np.array([[1, 2]]), **LENGTHS}, "label_lengths .* from 0 to 2"),
        ("softmax_with_loss", [np.ones((1, 3))], {"t": np.array([3])}, "t holds the label 3"),
        ("inverse", [np.ones((2, 2))], {}, "singular"),
        ("cholesky", [-np.eye(2)], {}, "positive"),
        ("power", [np.ones(2)], {"p": "two"}, "p is 'two'"),
        ("multi_head_attention", [*[np.ones((1, 2, 4))] * 3, *[np.eye(4)] * 4, *[np.ones(4)] * 3], {"heads": 3},
         "heads is 3, with 4 features"),
    ],
)  # fmt: skip
def test_bad_input_is_named_with_what_is_expected(name, primals, settings, message):
    with pytest.raises(ValueError, match=message):
        NODES[name].forward(*primals, **settings)


def test_primals_that_are_no_tuple():
    pair = (lambda x: (x, None)), (lambda residuals, g: (g.copy(),))
    for primals, message in (
        (3, r"primals is int: pass a tuple of arrays, \(x,\) or"),
        (np.ones(3), r"primals is ndarray: pass a tuple of arrays, \(x,\) or"),
        ([1.0, 2.0], r"forward\(x\) was given 2 primals, too many positional arguments: pass a tuple of"),
    ):
        with pytest.raises(TypeError, match=message):
            gradlab.check_vjp(*pair, primals)


def test_a_signature_that_a_decorator_keeps_is_not_believed():
    def scaled(x, factor):
        return factor * x, factor

    @functools.wraps(scaled)
    def forward(x):
        return scaled(x, 2.0)

    assert gradlab.check_vjp(forward, lambda factor, g: (factor * g,), (np.ones(3),)).ok


def test_a_method_that_is_none():
    pair = (lambda x: (x, None)), (lambda residuals, g: (g.copy(),))
    for call in (
        lambda: gradlab.check_vjp(*pair, (np.ones(3),), method="centrl"),
        lambda: gradlab.verify("add", method="x"),
    ):
        with pytest.raises(ValueError, match="no method is named"):
            call()
