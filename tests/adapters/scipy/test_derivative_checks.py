"""What scipy.optimize takes: gradients, Jacobians of every kind, Hessians and products with them, right and wrong."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import rosen, rosen_der, rosen_hess, rosen_hess_prod
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from gradlab import Verdict, check_gradient, check_hessian, check_jacobian

RNG = np.random.default_rng(23)
X = RNG.standard_normal(5)
A = RNG.standard_normal((4, 5)) * (RNG.random((4, 5)) < 0.6)


def f(x):
    return np.sin(A @ x)


def jac(x):
    return np.cos(A @ x)[:, None] * A


def entry_rows(report):
    return [row for row in report.rows if row.primal.startswith("jac")]


def test_scipys_own_gradient():
    assert check_gradient(rosen, rosen_der, X).ok
    assert check_gradient(rosen, rosen_der, [1.3, 0.7, 0.8]).ok
    report = check_gradient(rosen, lambda x: 1.001 * rosen_der(x), X)
    assert report.faults[0].name == "constant-factor"


def test_one_function_may_return_both():
    assert check_gradient(lambda x: (rosen(x), rosen_der(x)), True, X).ok
    assert not check_gradient(lambda x: (rosen(x), -rosen_der(x)), True, X).ok
    assert check_jacobian(lambda x: (f(x), jac(x)), True, X).ok
    assert not check_jacobian(lambda x: (f(x), 2 * jac(x)), True, X).ok


def test_args_go_to_both():
    args = (2.0, 3.0)
    assert check_gradient(lambda x, a, b: a * np.sum(x**2) + b, lambda x, a, b: 2 * a * x, X, args=args).ok
    assert check_jacobian(lambda x, a, b: a * x**2 + b, lambda x, a, b: np.diag(2 * a * x), X, args=args).ok
    report = check_hessian(
        lambda x, a, b: a * np.sum(x**2) + b,
        lambda x, a, b: 2 * a * x,
        lambda x, a, b: 2 * a * np.eye(len(x)),
        X,
        hessp=lambda x, p, a, b: 2 * a * p,
        args=args,
    )
    assert report.ok


def test_what_is_written_into_args_is_seen_in_the_first_call():
    def centred(f):
        def of(x, points):
            points -= points.mean(0)  # nothing changes any more after the first
            return f(x, points)

        return of

    points = np.array([[1.0, 2.0], [3.0, 6.0], [2.0, 2.5]])
    f, jac = centred(lambda x, p: p @ x), centred(lambda x, p: p)
    report = check_jacobian(f, jac, X[:2], args=(points,))
    assert report.ok
    assert any("writes into args[0]" in fault.sentence for fault in report.faults)
    np.testing.assert_array_equal(points[0], [1.0, 2.0])
    assert not check_jacobian(f, jac, X[:2], args=(points,), strict=True).ok


def test_what_scipy_takes_as_one_number():
    assert check_gradient(lambda x: np.array([np.sum(x**2)]), lambda x: 2 * x, X).ok
    assert check_gradient(lambda x: x[0] ** 2, lambda x: [2 * x[0]], np.array([0.3])).ok
    assert check_jacobian(lambda x: [np.sum(x**2)], lambda x: 2 * x, X).ok
    assert check_jacobian(lambda x: np.sum(x**2), lambda x: (2 * x)[None], X).ok


@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("form", ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"])
def test_sparse_jacobians_of_every_format(form, kind):
    make = getattr(sp, f"{form}_{kind}")
    options = {"explore": False, "checks": ["matches_numerical"]}
    assert check_jacobian(f, lambda x: make(jac(x)), X, **options).ok
    row, column = np.argwhere(A != 0)[3]

    def forgets(x):
        dense = jac(x)
        dense[row, column] = 0
        return make(dense)

    report = check_jacobian(f, forgets, X, **options)
    (found,) = entry_rows(report)
    assert not report.ok
    assert found.worst_index == (row, column)
    assert found.analytic == 0


def test_an_entry_that_the_pattern_forgets_is_said():
    rows, columns = np.nonzero(A)
    rows, columns = np.delete(rows, 3), np.delete(columns, 3)

    def forgets(x):
        return sp.coo_array((jac(x)[rows, columns], (rows, columns)), shape=A.shape)

    (found,) = entry_rows(check_jacobian(f, forgets, X, explore=False))
    missing = np.argwhere(A != 0)[3]
    assert f"the sparsity pattern has no entry ({missing[0]}, {missing[1]}): add it" in found.note

    def zero_there(x):
        dense = jac(x)
        return sp.coo_array(
            (np.where(np.arange(len(A[A != 0])) == 3, 0, dense[A != 0]), np.nonzero(A)), shape=A.shape
        )

    def one_row(x):
        return sp.coo_array(([2 * x[0]], ([0],)), shape=(5,))

    (found,) = entry_rows(check_jacobian(lambda x: x[0] ** 2 + x[3], one_row, X, explore=False))
    assert "the sparsity pattern has no entry (0, 3): add it" in found.note

    (found,) = entry_rows(check_jacobian(f, zero_there, X, explore=False))
    assert found.verdict is Verdict.WRONG
    assert "sparsity" not in found.note


def test_a_small_entry_beside_large_ones_is_looked_at():
    def of_sizes(x):
        return np.array([1e-10 * x[0] + x[1] ** 2, 3 * x[0]])

    assert check_jacobian(of_sizes, lambda x: np.array([[1e-10, 2 * x[1]], [3.0, 0.0]]), X[:2]).ok
    report = check_jacobian(of_sizes, lambda x: np.array([[0.0, 2 * x[1]], [3.0, 0.0]]), X[:2])
    (found,) = entry_rows(report)
    assert (found.verdict, found.worst_index) == (Verdict.WRONG, (0, 0))


def test_a_jacobian_the_wrong_way_round():
    def square(x):
        return np.array([x[0] * x[1], x[1] ** 2])

    def transposed(x):
        return np.array([[x[1], 0], [x[0], 2 * x[1]]])

    report = check_jacobian(square, transposed, X[:2], explore=False)
    assert not report.ok
    assert "its transpose is right" in entry_rows(report)[0].note
    report = check_jacobian(f, lambda x: jac(x).T, X)
    assert "jac returned shape (5, 4), f has outputs of shape (4,)" in report.rows[0].note


def operator(matvec=1, rmatvec=1):
    def of_point(x):
        J = jac(x)
        adjoint = {} if rmatvec is None else {"rmatvec": lambda g: rmatvec * J.T @ g}
        return LinearOperator(J.shape, matvec=lambda v: matvec * J @ v, dtype=float, **adjoint)

    return of_point


def test_linear_operators():
    assert check_jacobian(f, lambda x: aslinearoperator(jac(x)), X).ok
    assert check_jacobian(f, operator(), X).ok
    assert check_jacobian(f, operator(rmatvec=None), X).ok
    for wrong, primal in ((operator(matvec=2), "jac.matvec"), (operator(rmatvec=2), "jac.rmatvec")):
        report = check_jacobian(f, wrong, X, explore=False)
        assert [row.primal for row in entry_rows(report) if not row.verdict.ok] == [primal]


def test_a_large_jacobian_has_its_doubtful_rows_looked_at():
    B = RNG.standard_normal((80, 40))
    x = RNG.standard_normal(40)

    def large(x):
        return np.tanh(B @ x)

    def its_jacobian(x, wrong=1.0):
        J = (1 - np.tanh(B @ x) ** 2)[:, None] * B
        J[33, 7] *= wrong
        return J

    options = {"explore": False, "checks": ["matches_numerical"]}
    assert check_jacobian(large, its_jacobian, x, **options).ok
    report = check_jacobian(large, lambda x: its_jacobian(x, 1.01), x, **options)
    (found,) = entry_rows(report)
    assert (found.verdict, found.worst_index) == (Verdict.WRONG, (33, 7))


def test_scipys_own_hessian():
    assert check_hessian(rosen, rosen_der, rosen_hess, X, hessp=rosen_hess_prod).ok
    assert check_hessian(
        lambda x: (rosen(x), rosen_der(x)), True, lambda x: sp.csr_array(rosen_hess(x)), X
    ).ok
    assert check_hessian(rosen, rosen_der, None, X, hessp=rosen_hess_prod).ok


def asymmetric(x):
    H = rosen_hess(x)
    H[1, 2] *= 1.01
    return H


def test_wrong_hessians():
    report = check_hessian(rosen, rosen_der, asymmetric, X, explore=False)
    wrong = [row for row in report.rows if not row.verdict.ok]
    assert {row.node for row in wrong} == {"rosen, hess"}
    assert [row.worst_index for row in wrong if row.primal == "jac"] == [(1, 2)]
    report = check_hessian(
        rosen, rosen_der, rosen_hess, X, hessp=lambda x, p: 2 * rosen_hess_prod(x, p), explore=False
    )
    assert {row.node for row in report.rows if not row.verdict.ok} == {"rosen, hessp"}
    report = check_hessian(rosen, lambda x: 2 * rosen_der(x), rosen_hess, X, explore=False)
    assert {row.node for row in report.rows if not row.verdict.ok} >= {"rosen, gradient"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: check_gradient(rosen, "2-point", X),
            r"grad is '2-point', which leaves nothing .*: pass a function",
        ),
        (
            lambda: check_jacobian(f, None, X),
            r"jac is None, which leaves nothing hand-written to check: pass a fun",
        ),
        (
            lambda: check_hessian(rosen, rosen_der, "cs", X),
            r"hess is 'cs', which SciPy approximates itself: pass a",
        ),
        (
            lambda: check_jacobian(f, jac, [1j, 2, 3, 4, 5]),
            r"x has dtype complex128, which cannot be differentiated: pass",
        ),
        (
            lambda: check_gradient(rosen, rosen_der, (X,)),
            r"x is a tuple of arrays: pass one array, and what else f takes as args=",
        ),
    ],
)
def test_nothing_hand_written_is_refused(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_breaches_are_warnings():
    def writes(x):
        found = jac(x)
        x *= 2
        return found

    kept = np.empty(A.shape)

    def one_array(x):
        kept[...] = jac(x)
        return kept

    for jacobian in (writes, one_array):
        report = check_jacobian(f, jacobian, X, explore=False)
        assert report.ok
        assert [fault.sentence.split(":")[0] for fault in report.faults] == ["warning"]
        assert not check_jacobian(f, jacobian, X, explore=False, strict=True).ok


def test_only_the_checks_that_were_asked_for():
    assert {row.check for row in check_jacobian(f, jac, X, checks=["linear_in_cotangent"]).rows} == {
        "linear_in_cotangent"
    }


ENTRIES = np.array([[1.0, 2.0, 0.0], [2.0, 5.0, 3.0], [0.0, 3.0, 7.0]])


@pytest.mark.parametrize(
    ("jac", "name", "said"),
    [
        (np.triu(ENTRIES), "missing-term", "only one of its triangles"),
        (np.tril(ENTRIES), "missing-term", "only one of its triangles"),
        (ENTRIES + np.eye(3)[[0]].T @ np.eye(3)[[2]], "single-element", "(0, 2) of shape (3, 3)"),
        (2 * ENTRIES, "constant-factor", "analytic = 2 numerical"),
    ],
)
def test_the_mistake_in_a_matrix_is_named(jac, name, said):
    x = np.array([0.5, -1.0, 2.0])
    assert check_jacobian(lambda x: ENTRIES @ x, lambda x: ENTRIES, x).ok
    report = check_jacobian(lambda x: ENTRIES @ x, lambda x: jac.copy(), x)
    assert not report.ok
    assert report.faults[0].name == name
    assert said in report.faults[0].evidence


def test_an_entry_that_the_pattern_forgets_is_named():
    wrong = sp.csr_array(np.triu(ENTRIES) + np.diag([2.0, 0.0], -1))
    report = check_jacobian(lambda x: ENTRIES @ x, lambda x: wrong, np.array([0.5, -1.0, 2.0]))
    assert report.faults[0].evidence == "the sparsity pattern has no entry (2, 1)"


def test_what_is_more_than_full_below_is_looked_at_along_directions():
    x = np.array([0.5, -1.0, 2.0])
    given = {
        "gradient": check_gradient(lambda x: x @ x, lambda x: 2 * x, x, full_below=0),
        "jacobian": check_jacobian(lambda x: ENTRIES @ x, lambda x: ENTRIES, x, full_below=0),
        "hessian": check_hessian(lambda x: x @ x, lambda x: 2 * x, lambda x: 2 * np.eye(3), x, full_below=0),
    }
    for kind, report in given.items():
        of_x = [row for row in report.rows if (row.check, row.primal) == ("matches_numerical", "x")]
        assert of_x, kind
        assert all("random direction" in row.note for row in of_x), kind


def test_a_function_of_so_many_unknowns_is_never_called_with_another_number(monkeypatch):
    # compiled code with data of a fixed length would read beyond them
    seen = set()

    def noted(function):
        def noting(x):
            seen.add(x.shape)
            return function(x)

        return noting

    total, slopes = noted(lambda x: float(x @ x)), noted(lambda x: 2 * x)
    assert check_gradient(total, slopes, X).ok
    assert check_gradient(total, slopes, X, strict=True).ok
    assert not check_gradient(total, noted(lambda x: 3 * x), X).ok
    assert check_jacobian(noted(lambda x: x**2), noted(lambda x: np.diag(2 * x)), X).ok
    assert check_hessian(total, slopes, noted(lambda x: 2 * np.eye(len(x))), X).ok
    assert seen == {X.shape}
    # who asks for all of it gets that, too: in a process of its own, were it not to be seen here
    monkeypatch.setattr("gradlab.running.shelter.in_child", lambda task, timeout: task())
    check_gradient(total, slopes, X, explore="all")
    assert (2 * len(X),) in seen


def test_other_numbers_are_looked_at_all_the_same():
    (places,) = check_gradient(lambda x: x @ x, lambda x: 2 * x, X).explored
    assert {"redrawn", "sign turned", "times 10"} <= set(places.derived)
    assert not [how for how in places.derived if "batch" in how or "axes" in how]
    swerves = lambda x: np.where(x == X, 2, 3) * x
    report = check_gradient(lambda x: x @ x, swerves, X, checks=["matches_numerical"])
    assert [row.sample for row in report.rows if row.verdict is Verdict.WRONG] == ["given, redrawn"]


def test_whole_numbers_are_taken_as_floats():
    whole = [1, 2, 3, 4, 5]
    assert check_gradient(rosen, rosen_der, whole).ok
    assert not check_gradient(rosen, lambda x: 1.5 * rosen_der(x), np.array(whole)).ok
    assert check_jacobian(f, jac, whole).ok
    assert check_hessian(rosen, rosen_der, rosen_hess, whole).ok


def test_a_single_further_argument_need_not_be_in_a_tuple():
    for args in (2.0, (2.0,), [2.0]):
        assert check_gradient(lambda x, a: a * rosen(x), lambda x, a: a * rosen_der(x), X, args=args).ok


def test_an_array_for_a_scalar_is_misuse_and_no_verdict():
    with pytest.raises(
        ValueError, match=r"f returned shape \(5,\): return one real number, or use check_jac"
    ):
        check_gradient(lambda x: x**2, lambda x: 2 * x, X)


def test_the_numbers_shown_are_those_of_the_gradient():
    report = check_gradient(lambda x: np.sum(x**2), lambda x: 3 * x, np.array([3.0, 4.0]))
    row = next(row for row in report.rows if row.check == "matches_numerical")
    assert (row.numerical, row.analytic) in [(pytest.approx(2 * x), 3 * x) for x in (3.0, 4.0)]
