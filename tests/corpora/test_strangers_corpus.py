"""330 objects in strangers' forms, written by people who had not read the code: no right one is called wrong."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from .strangers.catalogue import FIRST, SECOND, STRANGERS
from .strangers.outcome import counted, is_right, outcome

FOLDER = Path(__file__).parent / "strangers"
# What is said of these is not what their author calls the truth.
MISSED = {
    "weighted difference of a pair: returned the wrong way round": "names in the return line say which is which",
    "net with preallocated gradients: the same buffers each call": "the gradients of parameters are not watched so",
    "sparsity penalty that passes its input through: dout is dropped": "of what is handed on nothing is looked at",
    "normal likelihood loss with log variance: divided by n twice": "taken for the mean of a loss that forward adds up",
    "model of arrays that carry their gradient as g": "arrays with attributes are not looked into",
    "cosines with prototypes, added up in random order": "the last digits of sums are not watched",
    "soft triplet loss: gradients of positive and negative exchanged": "told as a warning, by the names returned",
    "sampled softmax: every forward draws other negatives": "what forward draws is held, as for dropout",
}


def marked(entry):
    reason = MISSED.get(entry.name)
    return pytest.param(entry, marks=[pytest.mark.xfail(strict=True, reason=reason)] if reason else [])


@pytest.mark.parametrize("entry", STRANGERS, ids=str)
def test_the_truth_is_proved(entry):
    off = [0.0]
    for claimed, true in entry.prove():
        claimed, true = np.asarray(claimed, float), np.asarray(true, float)
        size = float(np.abs(true).max()) + 1e-12
        fits = claimed.size == true.size
        off.append(float(np.abs(claimed.reshape(true.shape) - true).max()) / size if fits else np.inf)
    assert max(off) > 1e-3 if entry.truth == "wrong" else max(off) < 1e-6


@pytest.mark.filterwarnings("ignore")  # as ordinary code overflows where exploring leads it
@pytest.mark.parametrize("entry", [marked(entry) for entry in STRANGERS], ids=str)
def test_the_verdict(entry):
    assert is_right(entry, outcome(entry)[0])


def test_what_the_corpora_are():
    assert len({entry.name for entry in STRANGERS}) == len(STRANGERS)
    assert Counter(entry.truth for entry in FIRST) == {"right": 105, "wrong": 89, "habit": 16}
    assert Counter(entry.truth for entry in SECOND) == {"right": 60, "wrong": 48, "habit": 12}
    assert set(MISSED) <= {entry.name for entry in STRANGERS}


def test_the_first_sights_are_kept():
    first = counted(FIRST, json.loads((FOLDER / "first_sight.json").read_text()))
    assert (first["right"], first["right called wrong"]) == (186, 6)
    second = counted(SECOND, json.loads((FOLDER / "first_sight_of_second.json").read_text()))
    assert (second["right"], second["right called wrong"]) == (108, 1)
