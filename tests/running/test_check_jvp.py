"""A forward mode written by hand: its tangents are held to differences, and its mistakes named."""

import numpy as np
import pytest

from gradlab import check_jvp

RNG = np.random.default_rng(0)
X, W = RNG.standard_normal((3, 4)), RNG.standard_normal((4, 2))
LARGE = RNG.standard_normal((30, 40)), RNG.standard_normal((40, 20))


def layer(x, w):
    return np.tanh(x @ w)


def layer_jvp(primals, tangents):
    (x, w), (dx, dw) = primals, tangents
    return (1 - layer(x, w) ** 2) * (dx @ w + x @ dw)


def of_both(primals, tangents):
    return layer(*primals), layer_jvp(primals, tangents)


def forgets_w(primals, tangents):
    (x, w), (dx, _) = primals, tangents
    return (1 - layer(x, w) ** 2) * (dx @ w)


def turned(primals, tangents):
    return -layer_jvp(primals, tangents)


def slightly_off(primals, tangents):
    return 1.001 * layer_jvp(primals, tangents)


def one_element_off(primals, tangents):
    t = layer_jvp(primals, tangents)
    t[2, 1] *= 1.01
    return t


def takes_the_sign(primals, tangents):
    return np.abs(layer_jvp(primals, tangents))


def writes(primals, tangents):
    tangents[0][...] *= 2
    return layer_jvp(primals, [tangents[0] / 2, tangents[1]])


def wrong_shape(primals, tangents):
    return layer_jvp(primals, tangents)[:2]


def raises(primals, tangents):
    raise RuntimeError("not for these")


@pytest.mark.parametrize("primals", [(X, W), LARGE, tuple(x.astype(np.float32) for x in (X, W))])
@pytest.mark.parametrize("jvp", [layer_jvp, of_both])
def test_right(jvp, primals):
    report = check_jvp(layer, jvp, primals)
    assert report.ok, str(report)
    assert {row.primal for row in report.rows} >= {"x", "w"}


@pytest.mark.parametrize("primals", [(X, W), LARGE])
@pytest.mark.parametrize(
    "jvp", [forgets_w, turned, slightly_off, one_element_off, takes_the_sign, wrong_shape, raises]
)
def test_wrong(jvp, primals):
    assert not check_jvp(layer, jvp, primals).ok


def test_the_mistake_is_named():
    assert check_jvp(layer, turned, (X, W)).faults[0].name == "sign-flipped"
    fault = check_jvp(layer, forgets_w, (X, W)).faults[0]
    assert (fault.name, fault.primal) == ("zero-gradient", "w")


def test_the_output_that_is_off_is_told():
    rows = check_jvp(layer, one_element_off, LARGE).rows
    assert "element (2, 1) of the output moves by" in rows[0].note


def several(x):
    return x**2, np.sin(x)


def several_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return 2 * x * t, np.cos(x) * t


def test_several_outputs():
    assert check_jvp(several, several_jvp, (X,)).ok
    assert check_jvp(several, lambda p, t: (several(*p), several_jvp(p, t)), (X,)).ok
    assert check_jvp(several, lambda p, t: list(several_jvp(p, t)), (X,)).ok
    assert not check_jvp(several, lambda p, t: several_jvp(p, t)[::-1], (X,)).ok


def quadratic_in_one_of_two(primals, tangents):
    (x, w), (dx, dw) = primals, tangents
    return layer_jvp(primals, tangents) + (dx @ w) * (x @ dw)


def test_what_is_right_for_each_primal_alone_and_wrong_for_both():
    report = check_jvp(layer, quadratic_in_one_of_two, (X, W))
    (row,) = [row for row in report.rows if not row.verdict.ok]
    assert row.check == "forward_mode"
    assert "linear in its tangents" in row.note


def test_settings():
    def scaled(x, by):
        return by * x

    assert check_jvp(scaled, lambda p, t, by: by * t[0], (X,), settings={"by": 3.0}).ok
    assert not check_jvp(scaled, lambda p, t, by: t[0], (X,), settings={"by": 3.0}).ok


def test_tangents_that_are_written_into():
    for primals in ((X, W), LARGE):
        report = check_jvp(layer, writes, primals)
        assert report.ok
        assert "writes into its tangents" in report.faults[0].sentence
        assert not check_jvp(layer, writes, primals, strict=True).ok

    def spoils(primals, tangents):
        primals[0][...] = 0
        return layer_jvp(primals, tangents)

    assert not check_jvp(layer, spoils, (X, W)).ok


def test_misuse():
    with pytest.raises(TypeError, match="pass a tuple of arrays"):
        check_jvp(layer, layer_jvp, X)
    with pytest.raises(TypeError, match="pass it as floats"):
        check_jvp(layer, layer_jvp, (X, np.ones((4, 2), int)))
    with pytest.raises(ValueError, match="there are no primals"):
        check_jvp(layer, layer_jvp, ())
    with pytest.raises(TypeError, match="jvp is None, which is no function: pass one"):
        check_jvp(layer, None, (X, W))
