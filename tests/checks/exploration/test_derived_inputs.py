"""Primals are derived from near to far, and other people's integers are never left pointing beyond an axis."""

import numpy as np
import pytest

from gradlab import check_vjp
from gradlab.checks.exploration.derived_inputs import counts_all, derived_trials
from gradlab.checks.exploration.other_shapes import integers_in, may_be_cut
from gradlab.checks.exploration.smallest_inputs import shrink
from gradlab.checks.trial import Trial
from gradlab.node import Node, Sample

X = np.random.default_rng(11).standard_normal((3, 4))


def trial_of(forward, backward, primals, settings=None, **more):
    sample = Sample("given", tuple(primals), settings or {})
    return Trial(
        Node("node", "own", forward, backward, lambda rng: iter([sample])),
        sample,
        **{"registered": False} | more,
    )


def square(x, **settings):
    return x**2, x


def d_square(x, g):
    return (2 * x * g,)


def derived(**more):
    return [d.how for d in derived_trials(trial_of(square, d_square, [X], **more))]


def test_from_near_to_far():
    ours = derived(registered=True)
    order = ["redrawn", "batch cut to 1", "times 0.5", "shuffled", "sign turned", "times 0.1", "plus 3"]
    order += ["times 10", "times 100", "axes of 3 made 4"]
    assert [how for how in ours if how in order] == order
    assert ours.index("ties within pairs") < ours.index("plus 3")
    assert ours.index("axes of 3 made 4") > ours.index("times 100")


def test_what_is_not_ours_is_not_taken_so_far():
    assert set(derived(registered=True)) - set(derived()) == {"times 100"}
    # a registered node keeps every point, whatever it holds
    assert derived(registered=True, holds_integers=True, settings={"k": 2}) == derived(registered=True)


def test_points_are_made_as_they_are_asked_for():
    seen = []

    def forward(x):
        seen.append(float(np.abs(x).max()))
        return x**2, x

    points = iter(derived_trials(trial_of(forward, d_square, [X])))
    assert [next(points).how for _ in range(4)] == ["redrawn", "batch cut to 1", "batch doubled", "times 0.5"]
    # and the output at the given primals, to see that a batch changes it as planned, and with other numbers in what
    # was added to the batch, to see that they count
    assert len(seen) == 6
    assert max(seen) <= 1.1 * np.abs(X).max() + 0.1


def test_compiled_code_that_holds_integers_gets_no_other_shapes():
    hows = derived(holds_integers=True)
    assert "times 10" in hows
    assert not [how for how in hows if "batch" in how or "axes" in how or "oblong" in how]


def gather(x, places):
    """Return rows of x as unchecked code reads them: what lies beyond the end is told."""
    beyond = (places >= len(x)) | (places < -len(x))
    SEEN.append((len(x), bool(beyond.any())))
    return x[np.where(beyond, 0, places)], (x, np.where(beyond, 0, places))


def d_gather(residuals, g):
    x, places = residuals
    d = np.zeros_like(x)
    np.add.at(d, places, g)
    return (d,)


SEEN: list[tuple[int, bool]] = []


@pytest.mark.parametrize(
    "places",
    [
        np.array([0, 2, 1]),
        np.array([2, 2]),
        np.array([[0], [1]]),
        np.array([-3, -1]),
        np.array([2], np.uint8),
    ],
    ids=str,
)
def test_no_integer_points_beyond_an_axis_that_is_cut(places):
    SEEN.clear()
    report = check_vjp(gather, d_gather, (X,), settings={"places": places})
    report.raise_if_failed()
    assert not any(beyond for _, beyond in SEEN)
    # longer axes leave them valid
    assert max(n for n, _ in SEEN) >= 6


def test_neither_does_one_when_a_fault_is_shrunk():
    SEEN.clear()

    def wrong(residuals, g):
        return (d_gather(residuals, g)[0] * np.where(np.abs(residuals[0]) > 8, 2, 1),)

    only = {"checks": ["matches_numerical"], "explore": "all"}
    report = check_vjp(gather, wrong, (X,), settings={"places": np.array([1, 2, 1])}, **only)
    assert not report.ok
    assert not any(beyond for _, beyond in SEEN)


def test_a_row_whose_integers_stay_valid_is_the_one_that_is_kept():
    labels = np.array([3, 1, 0])
    trial = trial_of(square, d_square, [X], {"labels": labels})
    (point,) = [d for d in derived_trials(trial) if d.how == "batch cut to 1"]
    assert point.trials[0].sample.settings["labels"].tolist() == [0]
    assert np.array_equal(point.trials[0].sample.primals[0], X[2:])
    none = trial_of(square, d_square, [X], {"labels": labels[:2].repeat(2)[:3]})
    assert "batch cut to 1" not in [d.how for d in derived_trials(none)]


@pytest.mark.parametrize(
    ("settings", "size", "may"),
    [
        ({}, 1, True),
        ({"k": 0}, 1, True),
        ({"k": 1}, 1, False),
        ({"length": 5}, 2, False),
        ({"k": 6}, 1, True),
        ({"k": 4}, 5, True),
        ({"k": -1}, 1, True),
        ({"k": -4}, 3, False),
        ({"flag": True}, 1, True),
        ({"rate": 0.5, "name": "k"}, 1, True),
        ({"ids": [0, 3]}, 2, False),
        ({"ids": ({"a": np.array([3])},)}, 2, False),
        ({"labels": np.array([3, 9])}, 2, True),
        ({"one-hot": np.eye(3)}, 1, True),
    ],
)
def test_which_axes_of_5_may_be_cut(settings, size, may):
    trial = trial_of(square, d_square, [np.ones((5, 2))], settings)
    assert may_be_cut(trial, 5, size, settings) is may
    ours = trial_of(square, d_square, [np.ones((5, 2))], settings, registered=True)
    assert may_be_cut(ours, 5, size, settings)


def test_the_integers_in_a_value():
    value = {
        "a": [1, 2.5, "3", None, (4, True)],
        "b": np.array([[5, 6]]),
        "c": np.int8(7),
        "d": np.array([False]),
    }
    assert integers_in(value).tolist() == [1, 4, 5, 6, 7]


def test_shrinking_compiled_code_that_holds_integers_cuts_nothing():
    trial = trial_of(square, d_square, [X], holds_integers=True)
    smallest = shrink(trial, lambda trial: True)
    assert smallest.sample.primals[0].tolist() == np.zeros((3, 4)).tolist()


LARGE = np.random.default_rng(12).standard_normal((300, 400))


def test_of_a_large_batch_the_first_rows_are_changed():
    points = list(derived_trials(trial_of(square, d_square, [LARGE])))
    assert {"redrawn", "times 0.5", "plus 3", "axes of 400 made 401"} <= {d.how for d in points}
    assert all(x.size < 20_000 for d in points for t in d.trials for x in t.sample.primals)
    ours = next(derived_trials(trial_of(square, d_square, [LARGE], registered=True)))
    assert ours.trials[0].sample.primals[0].shape == LARGE.shape


@pytest.mark.parametrize(
    "name", ["another batch is refused", "wrong in few rows", "a batch that stays large"]
)
def test_all_rows_are_changed_where_the_first_say_nothing(name):
    def fixed(x):
        if len(x) != len(LARGE):
            raise ValueError("of this many rows alone")
        return square(x)

    def wrong(x, g):
        return (2 * x * g * (1 if len(x) > 100 else 2),)

    forward, backward, primals = {
        "another batch is refused": (fixed, d_square, [LARGE]),
        "wrong in few rows": (square, wrong, [LARGE]),
        "a batch that stays large": (
            lambda x, w: (x @ w, (x, w)),
            lambda r, g: (g @ r[1].T, r[0].T @ g),
            [LARGE[:4], LARGE.T],
        ),
    }[name]
    first = next(derived_trials(trial_of(forward, backward, primals)))
    assert first.how == "redrawn"
    assert first.trials[0].sample.primals[0].shape == primals[0].shape


def test_what_is_wrong_beyond_a_large_batch_is_found_in_its_first_rows():
    def wrong(x, g):
        return (2 * np.clip(x, -20, 20) * g,)

    report = check_vjp(square, wrong, (LARGE,), repair=False)
    assert [row.verdict for row in report.rows if row.check == "matches_numerical"] == ["pass", "warning"]
    assert not check_vjp(square, wrong, (10 * LARGE,), repair=False).ok


@pytest.mark.parametrize(
    ("used", "counts"), [(lambda x: x, True), (lambda x: x[:, :2], False), (lambda x: 0 * x, True)]
)
def test_what_is_added_counts_along_every_axis_by_itself(used, counts):
    """Where rows and columns are added, the rows may count and the columns not."""

    def forward(x):
        return (used(x) ** 2).sum(axis=1), x

    given = trial_of(forward, d_square, [X[:2, :2]])
    longer = trial_of(forward, d_square, [X[:3, :3]])
    assert counts_all(given, longer) is counts
