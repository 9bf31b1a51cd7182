"""One list of keywords behind every check: shown in each signature, documented once, and refused with the cure."""

import inspect
import re
from dataclasses import fields
from typing import get_type_hints

import numpy as np
import pytest

import gradlab
from gradlab.running.options import CheckKeywords, CheckOptions, NumericalKeywords, SharedCheckKeywords
from gradlab.textbook.models import check_model

CHECKS = [getattr(gradlab, name) for name in gradlab.__all__ if name.startswith("check_") or name == "verify"]
CHECKS.append(check_model)
FIELDS = {field.name: field for field in fields(CheckOptions)}
OWN_DEFAULTS = {(gradlab.check_vjp, "strict"): True, (gradlab.verify, "max_seconds"): None}
X = np.array([1.0, 2.0])


def shared(check):
    return {name: p for name, p in inspect.signature(check).parameters.items() if name in FIELDS}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_signature_shows_every_keyword_with_its_default(check):
    parameters = inspect.signature(check).parameters
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name, p in shared(check).items():
        assert p.kind is p.KEYWORD_ONLY
        assert p.default == OWN_DEFAULTS.get((check, name), FIELDS[name].default)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_documentation_has_each_keyword_once_and_no_other(check):
    text = inspect.getdoc(check)
    section = re.search(r"Parameters\n-+\n(.*?)\n\nReturns\n", text, re.DOTALL)[1]
    entries = re.findall(r"^([*\w][*\w, ]*)(?: :.*)?$", section, re.MULTILINE)
    documented = [name.strip("* ") for entry in entries for name in entry.split(", ")]
    assert len(documented) == len(set(documented))
    assert set(shared(check)) == {name for name in documented if name in FIELDS} - missing_twin(check)


def missing_twin(check):
    # rtol and atol stand in one entry
    return set() if {"rtol", "atol"} <= set(shared(check)) else {"rtol", "atol"}


def test_the_keywords_of_the_type_checkers_are_the_options():
    hints = get_type_hints(SharedCheckKeywords)
    assert set(hints) == set(FIELDS)
    assert hints == {name: get_type_hints(CheckOptions)[name] for name in hints}
    assert set(NumericalKeywords.__annotations__) < set(CheckKeywords.__annotations__) < set(hints)


@pytest.mark.parametrize(
    "keyword, cure",
    [
        ("rtoll", r"did you mean rtol\?"),
        ("nonsense", "there are rtol, atol, seed"),
        ("eps", "the steps are chosen by themselves"),
        ("tol", "give rtol= and atol="),
        ("raise_exception", "call raise_if_failed"),
    ],
)
def test_a_keyword_that_does_not_exist_is_told_with_the_cure(keyword, cure):
    with pytest.raises(TypeError, match=f"check_gradient takes no '{keyword}': {cure}"):
        gradlab.check_gradient(np.sum, np.ones_like, X, **{keyword: 1})


def test_the_complaint_names_the_function_that_was_called():
    with pytest.raises(TypeError, match=r"^check_cached_pair takes no 'sed': did you mean seed"):
        gradlab.check_cached_pair(lambda x: (x, None), lambda g, cache: g, (X,), sed=1)
    with pytest.raises(TypeError, match=r"^check_hessian takes no 'worker'"):
        gradlab.check_hessian(np.sum, np.ones_like, lambda x: np.zeros((2, 2)), X, worker=2)


def test_what_cannot_share_its_work_takes_no_workers():
    assert {check.__name__ for check in CHECKS if "workers" in shared(check)} == {
        "check_model",
        "check_vjp",
        "verify",
    }


@pytest.mark.parametrize("bad", [0, -1, -0.5, float("nan"), "10", True])
def test_a_time_that_is_none(bad):
    with pytest.raises(ValueError, match=r"^max_seconds is .*: give a number of seconds above 0, or None"):
        gradlab.check_gradient(np.sum, np.ones_like, X, max_seconds=bad)
    with pytest.raises(ValueError, match=r"^max_seconds is"):
        gradlab.verify("add", max_seconds=bad)


@pytest.mark.parametrize("bad", [0, -1, 2.5, "10", True])
def test_a_number_of_evaluations_that_is_none(bad):
    with pytest.raises(ValueError, match=r"^max_evaluations is .*: give a whole number from 1 up, or None"):
        gradlab.check_gradient(np.sum, np.ones_like, X, max_evaluations=bad)


def test_every_check_of_a_function_takes_a_budget():
    without = {
        check.__name__ for check in CHECKS if not {"max_seconds", "max_evaluations"} <= set(shared(check))
    }
    # of a model nothing but the given point is looked at
    assert without == {"check_model"}


@pytest.mark.parametrize("name", [{}, ["a"], np.ones(2), 3])
def test_a_name_is_a_string(name):
    with pytest.raises(ValueError, match=r"^name is .*: give a string$"):
        gradlab.check_gradient(np.sum, np.ones_like, X, name=name)


def test_a_time_that_no_timer_takes_is_no_limit():
    assert gradlab.check_gradient(np.sum, np.ones_like, X, max_seconds=1e300).ok
