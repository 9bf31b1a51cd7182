"""That in the foreign corpus the right layers are right, and the wrong ones wrong in the stated place and no other."""

import ast
import copy
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from gradlab.diagnosis import NAMES

from .foreign._defaults import AT_DEFAULTS
from .foreign._proof import Seen
from .foreign._shows import SHOWS, close
from .foreign._use import tupled
from .foreign.catalogue import CONVENTIONS, COTANGENTS, FOREIGN, STORED, STYLES

RIGHT = [entry for entry in FOREIGN if entry.right]
WRONG = [entry for entry in FOREIGN if not entry.right]
BY_NAME = {entry.name: entry for entry in FOREIGN}
every_right = pytest.mark.parametrize("entry", RIGHT, ids=str)
every_wrong = pytest.mark.parametrize("entry", WRONG, ids=str)

# Differences of a forward in double precision, and of a linear one in single precision.
STEP, NEAR = 1e-4, 1e-6
SINGLE_STEP, SINGLE_NEAR = 0.125, 1e-5
WRONG_BY = 1e-3
# Beside this share of the largest gradient one that should be zero counts as zero.
FLOOR = 1e-3


def is_single(entry):
    return "single precision inside" in entry.name or "in single precision" in entry.name.partition(":")[0]


@cache
def numerical(name):
    entry = BY_NAME[name]
    return Seen(entry).numerical(SINGLE_STEP if is_single(entry) else STEP)


def error(found, expected, largest):
    """Return the largest difference relative to the largest gradient of this primal; infinite for another shape."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return np.inf
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), FLOOR * largest))


def errors(entry, found, expected):
    largest = max(float(np.abs(d).max()) for d in expected.values())
    return {name: error(found[name], d, largest) for name, d in expected.items()}


@every_right
def test_right_layers_agree_with_differences(entry):
    seen = Seen(entry)
    off = errors(entry, seen.analytic, numerical(entry.name))
    assert max(off.values()) < (SINGLE_NEAR if is_single(entry) else NEAR), off


@pytest.mark.parametrize("entry", [entry for entry in RIGHT if entry.truth], ids=str)
def test_right_layers_agree_with_what_was_derived_apart(entry):
    seen = Seen(entry)
    for name, d in zip(entry.differentiated, entry.truth(seen.g, *seen.inputs), strict=True):
        np.testing.assert_allclose(seen.analytic[name], d, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("entry", [entry for entry in RIGHT if entry.convention], ids=str)
def test_a_convention_is_needed_where_one_is_named(entry):
    expected = Seen(entry.varied(entry.name, convention="")).numerical()
    if entry.convention == "sum" and np.ndim(Seen(entry).output):
        expected = {
            name: d / np.size(Seen(entry).output) for name, d in expected.items()
        }  # the mean of a vector
    # an epsilon of 1e-7 moves the gradient by about as much, which the differences of a loss still show
    least = 1e-7 if entry.convention == "no epsilon" else 0.1
    assert max(errors(entry, Seen(entry).analytic, expected).values()) > least


@every_right
def test_right_layers_keep_to_the_manners(entry):
    seen = Seen(entry)
    inputs, g = copy.deepcopy(seen.inputs), copy.deepcopy(seen.g)
    params = copy.deepcopy(dict(seen.use.params(seen.layer)))
    found = seen.gradients(g, inputs=inputs)
    for before, now in zip((*seen.inputs, *tupled(seen.g)), (*inputs, *tupled(g)), strict=True):
        assert np.array_equal(before, now)
    for name, p in params.items():
        assert (found[name].dtype == p.dtype) != ("wrong-dtype" in entry.warnings)
    arrays = [x for x in (*inputs, *tupled(g)) if isinstance(x, np.ndarray)]
    for k, d in enumerate(found.values()):
        assert not any(np.shares_memory(d, other) for other in (*arrays, *list(found.values())[:k]))


# what trains itself has other parameters the second time, and what has a generator another mask
@pytest.mark.parametrize(
    "entry", [e for e in RIGHT if e.style != "trains itself" and e.name != "dropout module"], ids=str
)
def test_right_layers_give_the_same_again(entry):
    seen = Seen(entry)
    layer = copy.deepcopy(seen.layer)
    first = copy.deepcopy(seen.gradients(layer=layer))
    if "stateful" in entry.name:
        layer.reset_state()
    again = seen.gradients(layer=layer)
    assert all(close(again[name], d) for name, d in first.items())


@pytest.mark.parametrize("entry", [e for e in RIGHT if Seen(e).g is not None], ids=str)
def test_right_layers_are_linear_in_the_cotangent_and_take_any_layout(entry):
    seen = Seen(entry)
    near = {"rtol": 1e-5, "atol": 1e-5} if is_single(entry) else {"rtol": 1e-9, "atol": 1e-12}
    many = isinstance(seen.g, tuple)
    doubled, in_fortran_order = (
        [change(g) for g in tupled(seen.g)] for change in (lambda g: -2 * g, fortran)
    )
    for name, d in seen.gradients(tuple(doubled) if many else doubled[0]).items():
        np.testing.assert_allclose(d, -2 * seen.analytic[name], **near)
    for name, d in seen.gradients(tuple(in_fortran_order) if many else in_fortran_order[0]).items():
        np.testing.assert_allclose(d, seen.analytic[name], **near)
    for name, d in seen.gradients(inputs=tuple(map(fortran, seen.inputs))).items():
        np.testing.assert_allclose(d, seen.analytic[name], **near)


def fortran(g):
    return np.asfortranarray(g) if np.ndim(g) else g


def twins(entry):
    """Return a wrong entry and its right twin, at the inputs of the wrong one."""
    wrong = Seen(entry)
    return wrong, Seen(BY_NAME[entry.twin], inputs=wrong.inputs)


@every_wrong
def test_wrong_layers_differ_from_their_twins_where_they_say(entry):
    wrong, right = twins(entry)
    for y, expected in zip(tupled(wrong.output), tupled(right.output), strict=True):
        assert np.array_equal(y, expected)
    assert set(entry.of) <= set(wrong.analytic)
    assert bool(entry.of) != entry.breach
    shows_at_once = not entry.again and not entry.breach
    for name, d in wrong.analytic.items():
        assert np.array_equal(d, right.analytic[name]) != (shows_at_once and name in entry.of), name


@pytest.mark.parametrize("entry", [e for e in WRONG if e.fault != "float32-round-trip"], ids=str)
def test_wrong_layers_disagree_with_differences_where_they_say(entry):
    off = errors(entry, Seen(entry).analytic, numerical(entry.name))
    wrong = () if entry.again or entry.breach else entry.of
    assert {name for name, by in off.items() if by > WRONG_BY} == set(wrong), off


@every_wrong
def test_wrong_layers_show_the_mistake_that_they_are_named_for(entry):
    wrong, right = twins(entry)
    named = entry.of or tuple(wrong.analytic)
    for fault in (entry.fault, *entry.or_else):
        shown = [name for name in named if SHOWS[fault](wrong, right, name)]
        assert set(shown) == set(named) if fault == entry.fault else shown, fault
        assert not any(SHOWS[fault](right, right, name) for name in named)


@pytest.mark.parametrize("name", AT_DEFAULTS)
def test_off_the_defaults_is_where_the_mistake_shows(name):
    make, inputs, settings = AT_DEFAULTS[name]
    seen = Seen(BY_NAME[name].varied(name, make=make, inputs=inputs, settings=settings))
    assert max(errors(seen.entry, seen.analytic, seen.numerical()).values()) < NEAR


def test_the_table_is_whole():
    assert len(BY_NAME) == len(FOREIGN) >= 50
    assert len(RIGHT) == len(WRONG)
    assert all(BY_NAME[entry.twin].right for entry in WRONG)
    assert all(entry.fault is None and not entry.of and not entry.twin for entry in RIGHT)
    assert all(entry.how.endswith(".") for entry in FOREIGN)
    for attribute, known in (("style", STYLES), ("cotangent", COTANGENTS), ("stored", STORED)):
        for side in (RIGHT, WRONG):
            assert {getattr(entry, attribute) for entry in side} == set(known)
    assert {entry.convention for entry in FOREIGN} == set(CONVENTIONS)


def test_faults_are_named_as_the_diagnosis_names_them():
    faults = Counter(entry.fault for entry in WRONG)
    assert {name for entry in WRONG for name in (entry.fault, *entry.or_else)} <= {*NAMES, ""}
    assert faults[""] <= 0.05 * len(WRONG)
    # those of other functions came after the corpus
    later = {"wrong-order", "other-approximation", "rounded-constants", "epsilon-mismatch", "log-parameter"}
    later |= {"columns-exchanged", "missing-factor", "wrong-operand"}
    assert set(NAMES) - set(faults) == {"single-element", "wrong-dtype", "straight-through", *later}


def test_the_proportions_are_those_of_public_code():
    share = {how: count / len(FOREIGN) for how, count in Counter(e.cotangent for e in FOREIGN).items()}
    census = {"passed": 322, "none": 76, "dout=1": 13, "factor": 59, "tape": 55, "attribute": 31, "cache": 28}
    total = sum(census.values()) + 3
    for how, count in census.items():
        assert abs(share[how] - count / total) < 0.06, how


@pytest.mark.parametrize("entry", FOREIGN, ids=str)
def test_every_object_is_a_fresh_one(entry):
    one, two = Seen(entry), Seen(entry)
    assert all(map(np.array_equal, one.inputs, two.inputs))
    params = list(zip(one.use.params(one.layer).values(), two.use.params(two.layer).values(), strict=True))
    assert not any(np.shares_memory(p, q) for p, q in params)
    for d, expected in zip(one.analytic.values(), two.analytic.values(), strict=True):
        assert np.array_equal(d, expected, equal_nan=True)


def test_the_layers_know_nothing_but_numpy():
    for path in Path(__file__).with_name("foreign").glob("[!_]*.py"):
        tree = ast.parse(path.read_text())
        names = {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        absolute = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level}
        assert names | absolute <= {"numpy", "copy"}, path.name
