"""JAX's own gradients: no false alarm."""

import numpy as np
import pytest

from gradlab import check_jax

from ._jax_ops import FUNCTIONS, HALF, case, jax

# the checks that could raise an alarm
CHECKS = ("matches_numerical", "linear_in_cotangent", "repeatable", "shapes_and_dtypes")


@pytest.fixture(autouse=True)
def _quick_to_compile():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.parametrize("dtype, seed", [(np.float64, 0), (np.float32, 1)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_false_alarm(name, dtype, seed):
    function, arrays = case(name, seed, dtype)
    check_jax(function, *arrays, seed=seed, name=name, explore=False, checks=CHECKS).raise_if_failed()


@pytest.mark.parametrize("name", HALF)
def test_no_false_alarm_in_bfloat16(name):
    function, arrays = case(name, 2, jax.numpy.bfloat16)
    report = check_jax(function, *arrays, name=name, explore=False, checks=["matches_numerical"])
    report.raise_if_failed()
    assert {row.dtype for row in report.rows if row.sample != "given"} == {"bfloat16"}


@pytest.mark.parametrize("name", ["softmax", "take"])
def test_no_false_alarm_beyond_the_given_arrays(name):
    function, arrays = case(name, 3, np.float32)
    report = check_jax(function, *arrays, name=name)
    report.raise_if_failed()
    assert report.explored[0].derived
