"""160 layers, losses and nets of two textbooks and two courses, as a learner types them: all are right."""

import json
from pathlib import Path

import numpy as np
import pytest

from gradlab import Verdict

from .books.catalogue import BOOKS
from .strangers.outcome import PACKAGE

FIRST_SIGHT = json.loads((Path(__file__).parent / "books" / "first_sight.json").read_text())


@pytest.mark.parametrize("book", BOOKS, ids=str)
def test_the_truth_is_proved(book):
    for claimed, true in book.prove():
        size = float(np.abs(true).max()) + 1e-12
        assert np.abs(np.reshape(claimed, np.shape(true)) - true).max() / size < book.tolerance


@pytest.mark.filterwarnings("ignore")  # as ordinary code overflows where exploring leads it
@pytest.mark.parametrize("book", BOOKS, ids=str)
def test_a_learner_is_told_that_it_is_right(book):
    report = book.call(PACKAGE)
    assert report.ok
    assert all(row.note for row in report.rows if row.verdict is Verdict.WARNING)


def test_the_first_sight_is_kept():
    assert len(FIRST_SIGHT) == len(BOOKS) == 160
    assert sum(verdict in ("right", "warned") for verdict in FIRST_SIGHT.values()) == 151
