"""Which convention a loss was written for, where a mistake is in the way."""

from types import SimpleNamespace

import pytest

from gradlab.adapters.foreign_pair import convention_search
from gradlab.directions import Confirmation


@pytest.mark.parametrize(("put_right", "fits"), [(0, True), (3, False)])
def test_a_few_elements_put_right_are_no_factor(put_right, fits, monkeypatch):
    """Another convention may be a few elements off: only a factor is looked over."""
    of_loss = Confirmation(None, 0.0, 0.0, 1.0, 1, 0)
    there = SimpleNamespace(confirmed=(of_loss, of_loss._replace(factor=2.0, put_right=put_right)))
    convention = SimpleNamespace(trial=lambda trial, epsilon: there)
    monkeypatch.setattr(convention_search, "conventions_of_losses", lambda trial: [convention])
    monkeypatch.setattr(convention_search, "_may_fit_beside_factors", lambda trial: True)
    found = convention_search.convention_beside_factors(None, None)
    assert (found is convention) == fits
