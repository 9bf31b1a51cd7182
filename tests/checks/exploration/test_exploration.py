"""The search for faults beyond the given primals, its report, and the contract that a plain gradient is held to."""

import json
from functools import partial

import numpy as np
import pytest

from gradlab import Verdict, check_gradient, check_vjp, cli, verify
from gradlab.checks import CHECKS
from gradlab.nodes import NODES

X = np.random.default_rng(11).standard_normal((3, 4))


def square(x):
    return x**2, x


def d_square(x, g):
    return (2 * x * g,)


def wrong_below(limit):
    return lambda x, g: (np.where(x < limit, -2 * x * g, 2 * x * g),)


def wrongs(report):
    return [row for row in report.rows if row.verdict is Verdict.WRONG]


def arcsin(x):
    return np.arcsin(x), x


@pytest.mark.parametrize(
    ("forward", "backward", "primals"),
    [
        (lambda x: (np.log(x), x), lambda x, g: (g / x,), [np.abs(X) + 0.2]),
        (lambda x: (y := np.sqrt(x), y), lambda y, g: (g / (2 * y),), [np.abs(X) + 0.2]),
        (arcsin, lambda x, g: (g / np.sqrt(1 - x * x),), [np.tanh(X)]),
        (lambda x, y: (x / y, (x, y)), lambda r, g: (g / r[1], -g * r[0] / r[1] ** 2), [X, np.abs(X) + 0.2]),
    ],
    ids=["log", "sqrt", "arcsin", "divide"],
)
def test_a_domain_is_respected_without_being_declared(forward, backward, primals):
    # warnings are errors here, so that none can escape
    report = check_vjp(forward, backward, primals)
    report.raise_if_failed()
    assert report.faults == []
    assert report.explored[0].derived

    def twice(residuals, g):
        return tuple(2 * d for d in backward(residuals, g))

    assert not check_vjp(forward, twice, primals).ok


def test_only_what_forward_accepts_is_explored():
    def derived(forward, x):
        return set(check_vjp(forward, lambda x, g: (0 * x,), (x,)).explored[0].derived)

    logarithm = lambda x: (np.log(x), x)
    refuses = lambda x: (_refuse(x), x)

    def _refuse(x):
        if (x < 0).any():
            raise ValueError("negative")
        return x**2

    positive = np.abs(X) + 0.2
    assert {"sign turned", "minus 3"} <= derived(square, positive)
    for forward in (logarithm, refuses):
        assert not {"sign turned", "minus 3"} & derived(forward, positive)
        assert {"times 10", "shuffled"} <= derived(forward, positive)


def test_without_exploring_nothing_else_is_looked_at():
    seen = []

    def forward(x):
        seen.append(float(np.abs(x).max()))
        return square(x)

    report = check_vjp(forward, wrong_below(-2.5), (X,), explore=False, checks=["matches_numerical"])
    assert report.ok
    assert not report.explored
    assert max(seen) < 1.5 * np.abs(X).max()
    report = check_vjp(forward, wrong_below(-2.5), (X,), explore="all", checks=["matches_numerical"])
    assert not report.ok
    assert max(seen) > 5 * np.abs(X).max()


def test_the_report_says_where_it_looked():
    report = check_vjp(square, d_square, (X,), name="squares")
    (places,) = report.explored
    assert (places.node, places.sample) == ("squares", "given")
    assert {"sign turned", "times 10", "ties within pairs", "batch cut to 1", "axes of 3 made 4"} <= {
        *places.derived
    }
    assert len(set(places.derived)) == len(places.derived)
    said = f"Looked at {len(places.derived)} other inputs as well."
    assert said in str(report)
    assert said in report.to_markdown()
    envelope = json.loads(report.to_json())
    assert envelope["environment"]["explored"] == [
        {"node": "squares", "sample": "given", "derived": list(places.derived), "cut": ""}
    ]


def test_the_report_says_nothing_of_exploring_where_it_did_not():
    report = check_vjp(square, d_square, (X,), explore=False)
    assert "Looked at" not in str(report) + report.to_markdown()
    assert "explored" not in json.loads(report.to_json())["environment"]


def picked(x, labels):
    return x[np.arange(len(x)), labels] ** 2, (x, labels)


def d_picked(residuals, g, limit=np.inf):
    x, labels = residuals
    rows = np.arange(len(x))
    gradient = np.zeros_like(x)
    gradient[rows, labels] = 2 * x[rows, labels] * g
    return (np.where(np.abs(x) > limit, 0, gradient).astype(x.dtype),)


def d_picked_but_for_one_row(residuals, g):
    (gradient,) = d_picked(residuals, g)
    return (gradient * (2 if len(gradient) == 1 else 1),)


def product(x, y):
    return x * y, (x, y)


def d_product(residuals, g):
    # at a tie, y takes it all
    x, y = residuals
    return (np.where(x == y, 0, y * g).astype(x.dtype), np.where(x == y, y + x, x).astype(y.dtype) * g)


def pasted(row, forward, settings):
    """Return the primals, and the settings by name, that the Python in a row's note gives."""
    python = row.note.partition("not at the given primals, but at others: ")[2]
    assert python
    names = {}
    exec(python, {"np": np}, names)
    primals = [value for name, value in names.items() if name not in settings]
    return primals, {name: names.get(name, value) for name, value in settings.items()}


@pytest.mark.parametrize(
    ("forward", "backward", "right", "primals", "settings", "dtype"),
    [
        (square, wrong_below(-2.5), d_square, [X], {}, np.float64),
        (square, wrong_below(-2.5), d_square, [X.astype(np.float32)], {}, np.float32),
        (
            picked,
            d_picked_but_for_one_row,
            d_picked,
            [X[:2, :3]],
            {"labels": np.array([2, 0])},
            np.float64,
        ),
        (picked, partial(d_picked, limit=5), d_picked, [X[:2, :3]], {"labels": np.array([1, 2])}, np.float64),
        (
            product,
            d_product,
            lambda r, g: (r[1] * g, r[0] * g),
            [X[:2, :2].astype(np.float32), (X[:2, :2] + 1).astype(np.float32)],
            {},
            np.float32,
        ),
    ],
    ids=["region", "float32", "batch of one and labels", "region and labels", "tie in float32"],
)
def test_what_a_row_says_can_be_pasted_into_a_test(forward, backward, right, primals, settings, dtype):
    assert check_vjp(forward, right, primals, settings=settings, explore="all").ok
    assert check_vjp(forward, backward, primals, settings=settings, explore=False).ok
    report = check_vjp(forward, backward, primals, settings=settings, explore="all")
    rows = wrongs(report)
    assert rows
    for row in rows:
        given, _, how = row.sample.partition(", ")
        assert given == "given"
        assert how in report.explored[0].derived
        smaller, labels = pasted(row, forward, settings)
        assert {x.dtype for x in smaller} == {np.dtype(dtype)}
        again = check_vjp(forward, backward, smaller, settings=labels, explore=False)
        assert not again.ok
        check_vjp(forward, right, smaller, settings=labels, explore=False).raise_if_failed()


def test_a_fault_in_a_region_is_shrunk_to_a_single_element():
    x = np.clip(np.random.default_rng(12).standard_normal((5, 7)), -1.8, 1.8)
    (row,) = wrongs(check_vjp(square, wrong_below(-2), (x,), explore="all"))
    ((smallest,), _) = pasted(row, square, {})
    assert smallest.size == 1
    assert smallest.item() < -2
    assert smallest.item() == round(smallest.item(), 1)


def test_what_is_undecided_beyond_the_given_primals_is_no_fault():
    # forward has a noise beyond 5, where nobody sampled, and backward leaves that out
    noise = lambda x: np.where(np.abs(x) > 5, 1e-4 * np.sin(1e9 * x), 0)
    rough = lambda x: (x**2 + noise(x), x)
    inside = np.clip(X[:2], -1.5, 1.5)
    only = {"checks": ["matches_numerical"], "explore": "all"}
    report = check_vjp(rough, d_square, (inside,), **only)
    assert report.ok
    assert "times 10" in report.explored[0].derived
    assert not check_vjp(square, wrong_below(-5), (inside,), **only).ok


@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (4,)])
def test_a_closed_over_array_of_fixed_shape_is_no_fault(shape):
    weights = np.random.default_rng(13).standard_normal(shape)
    forward = lambda x: (weights * x**2, x)
    right = lambda x, g: ((2 * weights * x * g).astype(x.dtype),)
    check_vjp(forward, right, (X,)).raise_if_failed()
    assert not check_vjp(forward, lambda x, g: (1.5 * right(x, g)[0],), (X,)).ok


def affine(x, W, b):
    return x @ W + b, (x, W)


def d_affine(residuals, g):
    x, W = residuals
    return g @ W.T, x.T @ g, g.sum(axis=0, keepdims=True)


def normal(*shape):
    return np.random.default_rng([14, *shape]).standard_normal(shape)


def shaped(n, square_):
    """Yield right functions at batches of n, with square arrays where asked."""
    k = n if square_ else 4
    m = n if square_ else 2
    yield (
        "matmul",
        lambda x, W: (x @ W, (x, W)),
        lambda r, g: (g @ r[1].T, r[0].T @ g),
        [
            normal(n, k),
            normal(k, m),
        ],
        {},
    )
    yield "bias row", affine, d_affine, [normal(n, k), normal(k, m), normal(1, m)], {}
    yield (
        "elementwise",
        lambda x, y: (x * y, (x, y)),
        lambda r, g: (r[1] * g, r[0] * g),
        [
            normal(n, k),
            normal(n, k) + 1,
        ],
        {},
    )
    yield "labels", picked, d_picked, [normal(n, k)], {"labels": np.arange(n) * 3 % k}


@pytest.mark.parametrize("what", ["matmul", "bias row", "elementwise", "labels"])
@pytest.mark.parametrize(("n", "square_"), [(1, False), (3, False), (3, True), (1, True)])
def test_right_functions_are_not_accused_for_their_shapes(what, n, square_):
    ((forward, backward, primals, settings),) = (case[1:] for case in shaped(n, square_) if case[0] == what)
    report = check_vjp(forward, backward, primals, settings=settings)
    report.raise_if_failed()
    wrong = lambda r, g: tuple(2 * d for d in backward(r, g))
    assert not check_vjp(forward, wrong, primals, settings=settings).ok


def per_class(x, weights):
    return x * weights, (x, weights)


def test_a_weight_per_class_as_setting_goes_with_its_axis():
    backward = lambda r, g: ((g * r[1]).astype(r[0].dtype),)
    report = check_vjp(per_class, backward, (X,), settings={"weights": np.array([1.0, 2.0, 0.5, 3.0])})
    report.raise_if_failed()
    assert "axes of 4 made 5" in report.explored[0].derived


def interrupts_beyond(limit):
    def forward(x):
        if np.abs(x).max() > limit:
            raise KeyboardInterrupt
        return square(x)

    return forward


def test_ctrl_c_passes_out_of_check_vjp():
    only = {"checks": ["matches_numerical"]}
    assert check_vjp(interrupts_beyond(5), d_square, (X,), explore=False, **only).ok
    with pytest.raises(KeyboardInterrupt):
        check_vjp(interrupts_beyond(5), d_square, (X,), **only)


def test_ctrl_c_while_exploring_leaves_verify_what_it_had(monkeypatch):
    from gradlab.running import verify as running_verify

    calls = []

    def explore(*arguments, **more):
        calls.append(arguments)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return real(*arguments, **more)

    real = running_verify.explore_trials
    monkeypatch.setattr(running_verify, "explore_trials", explore)
    report = verify("add", "exp", "log")
    assert report.interrupted
    # a row of exp, which was not explored to its end, would look like a pass
    assert {row.node for row in report.rows} == {"add"}
    assert {places.node for places in report.explored} == {"add"}


def kept(name):
    """Return a gradient of sum(x**2) that is right, and breaks the contract in one way."""
    buffer = {}

    def shared(x):
        out = buffer.setdefault((x.shape, x.dtype), np.empty_like(x))
        return np.multiply(2, x, out=out)

    def writes(x):
        gradient = 2 * x
        x[...] = 0
        return gradient

    return {"shared": shared, "dtype": lambda x: 2 * x.astype(np.float64), "writes": writes}[name]


BREACHES = [
    ("shared", np.float64, "owns_its_memory"),
    ("dtype", np.float32, "shapes_and_dtypes"),
    ("writes", np.float64, "leaves_arguments_unchanged"),
]


@pytest.mark.parametrize(("what", "dtype", "check"), BREACHES)
def test_a_breach_that_leaves_the_numbers_right_is_a_warning_unless_strict(what, dtype, check):
    x = X[0].astype(dtype)
    total = lambda x: np.sum(x**2)
    relaxed = check_gradient(total, kept(what), x)
    assert relaxed.ok, relaxed.faults
    assert check in [fault.name for fault in relaxed.faults]
    assert all("warning" in fault.sentence for fault in relaxed.faults)
    strict = check_gradient(total, kept(what), x, strict=True)
    assert not strict.ok
    assert check in [row.check for row in wrongs(strict)]
    assert check_gradient(total, lambda x: 2 * x, x, strict=True).faults == []
    assert not check_gradient(total, lambda x: -kept(what)(x), x).ok


@pytest.mark.parametrize(
    ("backward", "check"),
    [
        (lambda x, g: (np.broadcast_to(g, x.shape),), "owns_its_memory"),
        (lambda x, g: ((g + 0).astype(np.longdouble),), "shapes_and_dtypes"),
        (lambda x, g: (g.copy(), g.fill(0))[:1], "leaves_arguments_unchanged"),
    ],
)
def test_a_breach_in_a_backward_is_a_warning_only_where_it_is_asked_for(backward, check):
    forward = lambda x: (x + 1, x)
    relaxed = check_vjp(forward, backward, (X,), strict=False, checks=["matches_numerical", check])
    assert relaxed.ok, relaxed.faults
    assert {row.check for row in relaxed.rows if row.verdict == "warning"} == {check}
    assert check in [fault.name for fault in relaxed.faults]
    assert not check_vjp(forward, backward, (X,), checks=["matches_numerical", check]).ok


def test_checks_are_chosen_by_name():
    chosen = ["works_in_float32", "matches_numerical"]
    report = check_vjp(square, d_square, (X,), checks=chosen)
    assert {row.check for row in report.rows} == set(chosen)
    contiguous_only = lambda x, g: (2 * x * g.ravel(order="K").reshape(g.shape),)
    assert check_vjp(square, contiguous_only, (X,), checks=["matches_numerical"]).ok
    assert not check_vjp(square, contiguous_only, (X,), checks=["any_layout"]).ok
    assert {row.check for row in check_vjp(square, d_square, (X,)).rows} <= set(CHECKS)
    with pytest.raises(ValueError, match="did you mean any_layout"):
        check_vjp(square, d_square, (X,), checks=["any_layuot"])


def test_the_command_line_chooses_checks_too(capsys):
    assert cli.main(["verify", "exp", "--checks", "any_layout", "repeatable", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["check"] for row in rows} == {"any_layout", "repeatable"}


def test_the_command_line_explores_unless_told_not_to(capsys):
    command = ["verify", "exp", "--checks", "matches_numerical", "--format", "json"]
    assert cli.main(command) == 0
    explored = json.loads(capsys.readouterr().out)["environment"]["explored"]
    assert [places["sample"] for places in explored] == [s.name for s in NODES["exp"].draw_samples()]
    assert cli.main([*command, "--no-explore"]) == 0
    assert "explored" not in json.loads(capsys.readouterr().out)["environment"]
    assert cli.main(["verify", "exp", "--no-explore"]) == 0
    assert "Explored" not in capsys.readouterr().out
