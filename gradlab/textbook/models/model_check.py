"""Whether a model's backprop is right: the gradient of every parameter against differences of the loss."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol, Unpack

import numpy as np

from gradlab.adapters.numpy_layer import LayerError, check_layer
from gradlab.adapters.numpy_layer.naming_conventions import is_training_flag
from gradlab.directions import is_large
from gradlab.node import Array
from gradlab.numerical.estimate import Estimate, exact_estimate
from gradlab.report import Comparison, Report, Row
from gradlab.running.options import CheckOptions, NumericalKeywords, options_of, takes_options
from gradlab.running.timing import best_time, times_are_shown
from gradlab.textbook.models._directional_rows import rows_along
from gradlab.textbook.models._loss_differences import Named, differences, named
from gradlab.verdict import CheckResult, Verdict, atol_for, compare, rtol_for
from gradlab.workers.threads import one_at_a_time
from gradlab.workers.worker_map import Workers


class Differentiable(Protocol):
    """A model that can be checked: parameters, a loss that depends on nothing else, and the gradient of the loss."""

    @property
    def params(self) -> Named:
        """The arrays that the loss is computed with, by name or in a list."""

    def loss(self, x: Any, t: Any) -> float:
        """Return the loss of a batch; the same at every call."""

    def gradient(self, x: Any, t: Any) -> Named:
        """Return the gradient of every parameter, as `params` has them."""


class DrawingError(ValueError):
    """A loss that is another one at every call."""


class ModelKeywords(NumericalKeywords, total=False):
    """The keywords of `check_model`, for type checkers and editors: see `CheckOptions`."""

    repair: bool
    workers: Workers


@one_at_a_time
@takes_options()
def check_model(
    model: Differentiable,
    x: Any,
    t: Any,
    **keywords: Unpack[ModelKeywords],
) -> Report:
    """Compare the gradient of every parameter by backprop with a numerical one of the loss.

    The methods are "auto", up to 32 losses an element, and "central", five. With more than `full_below` elements, all
    parameters together are one vector, whose gradient is compared along random directions. Each of the `workers` has
    models of its own, and ``numerical_s`` is the sum of their times.

    Parameters
    ----------
    model : object with params, loss(x, t) and gradient(x, t)
        Any other net is read as `gradlab.check_layer` reads it, in this process.
        Its parameters are moved in place, one element at a time, and restored. A model in another dtype than float64
        is judged by a copy in float64, which its ``astype`` makes.
    x, t
        A batch, as the model's `loss` takes it. Where the loss draws random numbers (dropout), it must draw the same
        at every call.

    Returns
    -------
    Report
        A row for each parameter, and one named "all" for the gradient as one vector, whose relative error is that of
        the norms: ||analytic - numerical|| / ||numerical||. ``backward_s`` is one gradient of all parameters by
        backprop, forward pass included, and ``numerical_s`` one by the textbook's central differences. Above
        `full_below` no times are taken.

    Raises
    ------
    TypeError
        If the model is in another dtype than float64 and has no ``astype``, or cannot be sent to `workers`.
    ValueError
        If the model has no parameters, or the loss is not finite, or not the same at every call, or the seed or
        `full_below` is negative.

    Notes
    -----
    Source: Deep Learning from Scratch, chapter 5, the gradient check, with an estimate that knows its own error.

    Examples
    --------
    >>> from gradlab.textbook.models import TwoLayerNet
    >>> check_model(TwoLayerNet(4, 3, 2), np.ones((5, 4)), np.array([0, 1, 0, 1, 1])).ok
    True
    """
    options = options_of(check_model, keywords)
    rtol, atol, method = options.rtol, options.atol, options.method
    if not _keeps_the_contract(model):
        # somebody's own net: how it is called, and where its gradients are, is found out
        return _as_layer(model, x, t, options)
    precise = _in_double(model)
    params = named(precise.params)

    def loss() -> float:
        return float(precise.loss(x, t))

    try:
        here = _checked_loss(loss, params, type(model).__name__)
    except DrawingError as error:
        # `check_layer` holds random generators; a gradient that is wrong even so may be that of other draws
        try:
            held = _as_layer(model, x, t, options)
        except LayerError:  # what cannot be read as a layer has no more to say
            raise error from None
        if not held.ok:
            raise error from None
        return held
    # copies: a model may keep its arrays, and write into them at the next call
    analytic = {key: np.array(g) for key, g in named(model.gradient(x, t)).items()}
    common: dict[str, Any] = {
        "node": options.name or type(model).__name__,
        "sample": f"batch of {_batch_size(x)}",
    }
    large = is_large(list(params.values()), options.full_below)
    # beside every element's losses they cost nothing; along directions they would be a fifth
    if times_are_shown() or not large:
        common["forward_s"] = best_time(lambda: model.loss(x, t))
        common["backward_s"] = best_time(lambda: model.gradient(x, t))
    if large:
        rows = rows_along(loss, here, params, analytic, common, options.seed, rtol, atol, method)
        return _explained(Report(list(rows)), model, x, t, options)
    rows, estimates = [], {}
    for key, (estimate, textbook, numerical_s) in differences(precise, x, t, method, options.workers).items():
        estimates[key] = estimate
        found = _judged(analytic.get(key), estimates[key], textbook, rtol, atol)
        dtype = str(analytic[key].dtype) if key in analytic else ""
        rows.append(_row(common, replace(found, primal=key), dtype, numerical_s))
    report = Report(
        [*rows, _all(common, rows, analytic, estimates)],
        comparisons=[
            _comparison(row, analytic[row.primal], estimates[row.primal]) for row in rows if row.worst_index
        ],
    )
    return _explained(report, model, x, t, options)


def _comparison(row: Row, analytic: Array, estimate: Estimate) -> Comparison:
    off = np.abs(analytic - estimate.value)
    allowed = (
        atol_for(estimate, analytic.dtype)
        + rtol_for(analytic.dtype) * np.abs(estimate.value)
        + estimate.error
    )
    wrong = ~(off <= allowed) & (row.verdict is Verdict.WRONG)
    return Comparison(row.node, row.sample, row.primal, analytic, estimate.value, estimate.error, wrong)


def _as_layer(
    model: Any, x: Any, t: Any, options: CheckOptions, settings: Mapping[str, Any] | None = None
) -> Report:
    return check_layer(
        model,
        x,
        t,
        settings=settings,
        name=options.name or type(model).__name__,
        seed=options.seed,
        rtol=options.rtol,
        atol=options.atol,
        method=options.method,
        full_below=options.full_below,
        repair=options.repair,
    )


def _explained(report: Report, model: Any, x: Any, t: Any, options: CheckOptions) -> Report:
    """Return a report with the mistakes in it named, as `check_layer` names them.

    Where that knows the gradient as that of the loss without its epsilon, or while the net is trained, its report
    stands for this one.
    """
    wrong = {row.primal for row in report.rows if row.verdict is Verdict.WRONG} - {"all"}
    # what is missing, or has another shape, is told by its row
    if not wrong or any(row.analytic is None for row in report.rows if row.primal in wrong):
        return report
    try:
        # a gradient is taken while the net is trained, and its loss may be that of a net in use
        trains = _training_flag(model)
        trained = _as_layer(model, x, t, options, trains) if trains else None
        if trained and _excuses(trained, wrong):
            return _with_note(
                trained, f"the loss was taken with {next(iter(trains))}=True, as the gradient is"
            )
        told = _as_layer(model, x, t, options)
    except LayerError:  # what cannot be read as a layer has no more to say
        return report
    if _excuses(told, wrong):
        return told
    rows = [row for row in told.rows if row.check == "matches_numerical" and row.verdict is Verdict.WRONG]
    names = {row.primal: _last_name(row.primal) for row in rows if row.primal}
    if set(names.values()) != wrong:
        return report
    findings = [
        replace(found, primal=name, evidence=found.evidence.replace(found.primal, name))
        for found in told.findings.get(report.rows[0].node, ())
        if (name := names.get(found.primal, ""))
    ]
    return replace(report, findings={report.rows[0].node: findings}, repairs=told.repairs)


def _excuses(told: Report, wrong: set[str]) -> bool:
    """Return whether all these parameters are right as `check_layer` reads the net, but for an epsilon."""
    rows = [row for row in told.rows if row.check == "matches_numerical" and row.verdict is Verdict.PASS]
    right = {_last_name(row.primal) for row in rows if row.primal}
    conventions = [row.note for row in told.rows if row.check == "belongs_to_forward"]
    plain = all(
        note.startswith("the gradient is that of forward without its epsilon") for note in conventions
    )
    return told.ok and plain and wrong <= right


def _with_note(report: Report, note: str) -> Report:
    row = Row(report.rows[0].node, "given", "settings", "", "", Verdict.PASS, note=note)
    return replace(report, rows=[*report.rows, row])


def _training_flag(model: Any) -> dict[str, bool]:
    """Return the setting that trains a net whose loss by default does not; empty if it has none."""
    try:
        parameters = inspect.signature(model.loss).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {p.name: True for p in parameters if p.default is False and is_training_flag(p.name)}


def _last_name(primal: str) -> str:
    """Return what a parameter is called in its list or dict: W1 for params['W1'], and 0 for params[0]."""
    return str(re.findall(r"\w+", primal)[-1])


def _keeps_the_contract(model: Any) -> bool:
    """Return whether a model has arrays as ``params``, and the methods ``loss`` and ``gradient``."""
    try:
        params = named(model.params).values()
    except Exception:
        return False
    methods = all(callable(getattr(model, name, None)) for name in ("loss", "gradient"))
    return methods and all(isinstance(p, np.ndarray) for p in params)


def _in_double(model: Any) -> Any:
    """Return the model, or a copy of it in float64: in less a small step is lost."""
    other = [p.dtype for p in named(model.params).values() if p.dtype != np.float64]
    if not other:
        return model
    if not hasattr(model, "astype"):
        raise TypeError(f"the parameters are of {other[0]}, in which a small step is lost: make them float64")
    return model.astype(np.float64)


def _checked_loss(loss: Callable[[], float], params: Mapping[str, Array], model: str) -> float:
    """Return the loss, or raise `ValueError` if it has no differences."""
    if not params:
        raise ValueError(
            f"{model} has no parameters, so there is nothing to check: give it a layer that has some"
        )
    first, second = loss(), loss()
    if not np.isfinite(first):
        raise ValueError(f"the loss is {first}, which has no differences: give other data or parameters")
    if first != second:
        raise DrawingError(
            f"the loss is {first}, and {second} at the next call: draw from the same seed each time"
        )
    return first


def _judged(
    analytic: Array | None, estimate: Estimate, textbook: Array, rtol: float | None, atol: float | None
) -> CheckResult:
    if analytic is None or analytic.shape != textbook.shape:
        shape = "missing" if analytic is None else f"of shape {analytic.shape}"
        return CheckResult(
            Verdict.WRONG, note=f"the gradient is {shape}, and the parameter of shape {textbook.shape}"
        )
    found = compare(analytic, estimate, rtol=rtol, atol=atol)
    return replace(found, textbook_error=compare(analytic, exact_estimate(textbook)).relative_error)


def _row(common: Mapping[str, Any], found: CheckResult, dtype: str, numerical_s: float) -> Row:
    return Row(
        check="matches_numerical",
        dtype=dtype,
        numerical_s=numerical_s,
        speedup=numerical_s / common["backward_s"],
        **common,
        **asdict(found),
    )


def _all(
    common: Mapping[str, Any],
    rows: Sequence[Row],
    analytic: Mapping[str, Array],
    estimates: Mapping[str, Estimate],
) -> Row:
    """Return the row of the whole gradient, as bad as the worst parameter."""
    worst = next((row for row in rows if row.verdict is Verdict.WRONG), None) or next(
        (row for row in rows if not row.verdict.ok), None
    )
    verdict = worst.verdict if worst else Verdict.PASS
    evaluations = sum(estimate.evaluations for estimate in estimates.values())
    found = CheckResult(verdict, "all", evaluations=evaluations, note="relative error of the norms")
    if all(row.analytic is not None for row in rows):
        numerical = np.concatenate(
            [_expected(analytic[key], estimate).ravel() for key, estimate in estimates.items()]
        )
        distance = np.concatenate([analytic[key].ravel() for key in estimates]) - numerical
        relative = float(np.linalg.norm(distance) / (np.linalg.norm(numerical) or 1.0))
        found = replace(found, relative_error=relative, absolute_error=float(np.abs(distance).max()))
    return _row(common, found, rows[0].dtype, sum(row.numerical_s or 0.0 for row in rows))


def _expected(analytic: Array, estimate: Estimate) -> Array:
    """Return the numerical gradient, at a kink the slope of those that are right that is nearest to the analytic."""
    clipped = np.clip(analytic, estimate.lower, estimate.upper)
    return np.where(estimate.kink & ~estimate.jump, clipped, estimate.value)


def _batch_size(x: Any) -> int:
    arrays = list(x.values()) if isinstance(x, Mapping) else x
    several = isinstance(arrays, list | tuple) and isinstance(arrays[0], np.ndarray)
    return len(arrays[0] if several else arrays)
