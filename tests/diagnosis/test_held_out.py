"""Layers that nobody here wrote for these checks: the right ones pass, the wrong ones don't, and get their name."""

import numpy as np
import pytest

from gradlab import check_vjp
from gradlab.diagnosis import NAMES

from ..corpora.right.catalogue import RIGHT
from ..corpora.wrong.catalogue import WRONG

# They divide by a number that may be 0, or by a spread that may be, and are right only away from it.
NAN_AT_ZERO = {"prod", "cumprod", "standard deviation"}


# Tried in test_other_functions.py and test_places.py.
OTHER_FUNCTIONS = {
    "wrong-order", "rounded-constants", "epsilon-mismatch", "straight-through", "columns-exchanged",
}  # fmt: skip
# Told by the change that takes them back alone: tests/repair/test_mistake_names.py.
BY_REPAIR = {"missing-factor", "wrong-operand"}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # as ordinary code overflows at extreme primals
@pytest.mark.parametrize("layer", RIGHT, ids=lambda layer: layer.name)
def test_a_right_layer_is_neither_called_wrong_nor_given_a_name(layer):
    given = {"settings": layer.settings, "name": layer.name}
    report = check_vjp(layer.forward, layer.backward, layer.primals, explore="all", **given)
    wrong = [row for row in report.rows if row.verdict == "wrong"]
    if layer.name in NAN_AT_ZERO:
        assert wrong
        assert all(np.isnan(row.analytic) for row in wrong)
        assert report.faults[0].name == "not-finite"
        told = check_vjp(layer.forward, layer.backward, layer.primals, **given)
        warned = [row for row in told.rows if row.verdict == "warning"]
        assert told.ok
        assert warned
        assert all(np.isnan(row.analytic) for row in warned)
        assert told.faults[0].name == "not-finite"
    else:
        assert not wrong, [row.sentence() for row in wrong]
        assert report.ok, [row.sentence() for row in report.rows if not row.verdict.ok]


@pytest.fixture(scope="module")
def first_names():
    found = {}
    for mistake in WRONG:
        forward, backward = mistake.make()
        # the diagnosis alone: a repair may give a name where it gives none
        given = {"settings": mistake.settings, "name": mistake.name, "repair": False}
        report = check_vjp(forward, backward, mistake.primals, **given)
        assert not report.ok, mistake.name
        assert all(fault.name in NAMES for fault in report.faults if fault.confidence)
        found[mistake.name] = next((fault.name for fault in report.faults if fault.confidence), "")
    return found


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_wrong_layers_are_rejected_and_nine_in_ten_named(first_names):
    named = [mistake for mistake in WRONG if mistake.diagnosis]
    hits = [mistake for mistake in named if first_names[mistake.name] in mistake.diagnosis]
    assert len(named) >= 100
    assert len(hits) >= 0.9 * len(named)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_name_is_given_to_some_layer(first_names):
    # nine in ten would hold without whichever hypothesis explains few
    assert set(NAMES) - set(first_names.values()) == OTHER_FUNCTIONS | BY_REPAIR


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_fits_no_name_gets_none(first_names):
    named = {mistake.name: first_names[mistake.name] for mistake in WRONG if not mistake.diagnosis}
    # the slope of one variable that is nearly forward's is that of another function, whatever was forgotten in it
    assert named.pop("gelu, inner derivative without the cubic term") == "other-approximation"
    assert set(named.values()) == {""}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("mistake", WRONG, ids=str)
def test_its_right_version_passes(mistake):
    forward, backward = mistake.make_right()
    given = {"settings": mistake.settings, "name": mistake.name, "explore": "all"}
    report = check_vjp(forward, backward, mistake.primals, **given)
    assert report.ok, [row.sentence() for row in report.rows if not row.verdict.ok]
    assert not any(fault.confidence for fault in report.faults if "warning" not in fault.sentence)
