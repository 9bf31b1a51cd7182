"""Options that cannot be used are told in one line with the cure, the same in every entrance."""

import json

import numpy as np
import pytest

from gradlab import check_cached_pair, check_gradient, check_jacobian, check_layer, check_vjp, verify

X = np.array([1.0, 2.0])


class Square:
    def forward(self, x):
        self.x = x
        return x**2

    def backward(self, dout):
        return 2 * self.x * dout


ENTRANCES = {
    "check_gradient": lambda **o: check_gradient(lambda x: np.sum(x * x), lambda x: 2 * x, X, **o),
    "check_jacobian": lambda **o: check_jacobian(lambda x: x * x, lambda x: np.diag(2 * x), X, **o),
    "check_vjp": lambda **o: check_vjp(lambda x: (x * x, x), lambda x, g: (2 * x * g,), (X,), **o),
    "check_layer": lambda **o: check_layer(Square(), X, **o),
    "check_cached_pair": lambda **o: check_cached_pair(
        lambda x: (x * x, x), lambda g, x: (2 * x * g,), (X,), **o
    ),
    "verify": lambda **o: verify("add", **o),
}
UNUSABLE = [
    ("rtol", np.nan, "rtol is nan: give a number from 0 up"),
    ("rtol", -1, "rtol is -1: give"),
    ("rtol", "1e-3", "rtol is '1e-3': give"),
    ("rtol", True, "rtol is True: give"),
    ("atol", np.inf, "atol is inf: give"),
    ("seed", 1.5, "the seed is 1.5: give a whole number"),
    ("seed", "0", "the seed is '0': give"),
    ("seed", None, "the seed is None: give"),
    ("seed", -1, "the seed is -1: give"),
    ("full_below", "5", "full_below is '5': give a number of elements"),
    ("full_below", 2.5, r"full_below is 2\.5: give"),
    ("checks", 7, "checks is 7: give a list of the checks' names"),
    ("checks", [3], r"checks is \[3\]: give"),
    ("checks", "matches_numerical", "checks is 'matches_numerical': give a list"),
]


@pytest.mark.parametrize("entrance", ENTRANCES.values(), ids=ENTRANCES)
@pytest.mark.parametrize(("name", "value", "told"), UNUSABLE, ids=[f"{n}={v}" for n, v, _ in UNUSABLE])
def test_one_line_names_the_option_and_the_cure(entrance, name, value, told):
    if entrance is ENTRANCES["verify"] and name == "full_below":
        # verify looks at every element
        with pytest.raises(TypeError, match="takes no 'full_below'"):
            entrance(**{name: value})
        return
    with pytest.raises(ValueError, match=told):
        entrance(**{name: value})


@pytest.mark.parametrize("explore", [1, None, "everything", np.array([1, 2])])
def test_what_is_no_exploring(explore):
    with pytest.raises(ValueError, match="give True, False or 'all'"):
        ENTRANCES["check_gradient"](explore=explore)


def test_numpys_integers_are_integers():
    report = ENTRANCES["check_gradient"](
        seed=np.int64(3), full_below=np.int32(100), max_evaluations=np.int64(10**6)
    )
    assert json.loads(report.to_json())["environment"]["seed"] == 3


def test_without_elements_nothing_is_called_right():
    for call in (
        lambda: check_vjp(lambda x: (2 * x, None), lambda r, g: (3 * g,), (np.zeros((3, 0)),)),
        lambda: check_gradient(lambda x: np.sum(x**2), lambda x: 7 * x, np.zeros(0)),
        lambda: check_jacobian(lambda x: x, lambda x: np.zeros((0, 0)), np.zeros(0)),
    ):
        with pytest.raises(ValueError, match="nothing was checked: pass at least one number"):
            call()
    # one that has some is checked beside one that has none
    pair = lambda x, y: (x * 2, None), lambda r, g: (2 * g, np.zeros(0))
    assert check_vjp(*pair, (X, np.zeros(0))).ok


def test_settings_that_are_no_dict():
    with pytest.raises(TypeError, match="settings is 5: pass a dict"):
        check_vjp(lambda x: (x, x), lambda r, g: (g,), (X,), settings=5)
    with pytest.raises(ValueError, match="settings is 5: pass a dict"):
        check_layer(Square(), X, settings=5)


@pytest.mark.parametrize("given", [5, "W", lambda layer: None])
def test_params_and_grads_of_another_kind(given):
    for name in ("params", "grads"):
        with pytest.raises(ValueError, match="give a list or dict of names"):
            check_layer(Square(), X, **{name: given})
