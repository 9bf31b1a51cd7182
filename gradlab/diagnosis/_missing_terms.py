"""A term that is missing from a gradient, or too much in it."""

from collections.abc import Iterator

import numpy as np

from gradlab.diagnosis._finding import Finding
from gradlab.diagnosis._primal_evidence import PrimalEvidence
from gradlab.diagnosis.point_evidence import PointEvidence
from gradlab.node import Array, as_tuple

# The difference numerical - analytic has a form if no more than this share of it is left.
LEFT = 0.01
# So many more elements than the form has free coefficients must have it.
ENOUGH = 3

CURE = (
    "derive the backward once more with this path in it: what depends on all elements has a term of its own"
)

_FORMS = {
    "constant": "constant",
    "primal": "a multiple of {x}",
    "output": "a multiple of the output",
    "primal and constant": "a multiple of {x} and a constant",
    "output and constant": "a multiple of the output and a constant",
    "cotangent": "a multiple of the cotangent",
}


def missing_term(evidence: PrimalEvidence) -> Finding | None:
    """See whether the missing part is a mean, constant along an axis, or a multiple of primal or output."""
    given = [p for p in evidence.wrong_points if p.is_given] or evidence.wrong_points
    # where forward is constant, no term of its slope is missing
    if not any(p.numerical(evidence.i).any() for p in given):
        return None
    ndim = max((evidence.primal(p).ndim for p in given), default=0)
    axes = [None, *range(-ndim, 0), *range(ndim)]  # samples may differ in their number of axes
    for form, said in _FORMS.items():
        said = said.format(x=evidence.name)
        for axis in axes:
            if (form == "constant" and axis is None) or (form == "cotangent" and axis is not None):
                continue
            surplus = 0
            for p in given:
                spare = _spare_elements(evidence, p, form, axis)
                if spare is None:
                    break
                surplus += spare
            else:
                if surplus >= ENOUGH:
                    if form == "primal" and axis is None and (added := _added_multiple(evidence, given)):
                        return added
                    along = "" if axis is None else f" along axis {axis}"
                    mean = " (a mean)" if form == "constant" and _is_mean(evidence, given, axis) else ""
                    observed = f"numerical - analytic is {said}{along}{mean}"
                    return evidence.finding("missing-term", 0.95, observed, CURE)
    return _mean_of_everything(evidence, given)


def _added_multiple(evidence: PrimalEvidence, given: list[PointEvidence]) -> Finding | None:
    """See whether the same positive multiple of the primal is too much everywhere: a weight's decay."""
    multiples = []
    for p in given:
        x, d = evidence.primal(p), evidence.analytic(p) - p.numerical(evidence.i)
        multiples.append(float(np.sum(d * x) / np.sum(x * x)))
    if min(multiples) <= 0 or np.ptp(multiples) > LEFT * max(multiples):
        return None
    observed = f"{multiples[0]:.4g} times {evidence.name} is added"
    cure = "leave out a decay that is no part of the loss, or let the loss have it"
    return evidence.finding("additive-bias", 0.95, observed, cure)


def _mean_of_everything(evidence: PrimalEvidence, given: list[PointEvidence]) -> Finding | None:
    large = [p for p in given if evidence.primal(p).size > 2]
    if not large:
        return None
    for p in large:
        d = p.numerical(evidence.i) - evidence.analytic(p)
        if np.ptp(d) > LEFT * np.abs(d).max():
            return None
    return evidence.finding("missing-term", 0.9, "numerical - analytic is one number (a mean)", CURE)


def _spare_elements(evidence: PrimalEvidence, p: PointEvidence, form: str, axis: int | None) -> int | None:
    """Return how many more elements than free coefficients the form explains; None if it does not explain them all."""
    d = (p.numerical(evidence.i) - evidence.analytic(p)).astype(np.float64)  # linalg knows no longdouble
    basis = list(_basis(evidence, p, form))
    if not basis or (axis is not None and not -d.ndim <= axis < d.ndim):
        return None
    rows = d.reshape(1, -1) if axis is None else np.moveaxis(d, axis, -1).reshape(-1, d.shape[axis])
    columns = [
        b.reshape(1, -1) if axis is None else np.moveaxis(b, axis, -1).reshape(-1, d.shape[axis])
        for b in basis
    ]
    largest = float(np.abs(d).max(initial=0.0))
    spare = 0
    for k, row in enumerate(rows):
        matrix = np.stack([column[k] for column in columns], axis=1)
        solution, *_ = np.linalg.lstsq(matrix, row, rcond=None)
        if np.abs(matrix @ solution - row).max(initial=0.0) > LEFT * largest:
            return None
        spare += max(0, row.size - len(columns))
    return spare


def _basis(evidence: PrimalEvidence, p: PointEvidence, form: str) -> Iterator[Array]:
    """Yield the arrays that a form is a linear combination of; nothing where the output has not the primal's shape."""
    x = evidence.primal(p).astype(np.float64)
    if "primal" in form:
        yield x
    if "output" in form or form == "cotangent":
        y = as_tuple(p.trial.cotangent() if form == "cotangent" else p.trial.output)[0]
        if np.shape(y) != x.shape:
            return
        yield np.asarray(y, np.float64)
    if "constant" in form:
        yield np.ones_like(x)


def _is_mean(evidence: PrimalEvidence, given: list[PointEvidence], axis: int | None) -> bool:
    """Return whether the missing part is the mean of the right gradient, or of the analytic one, but for its sign."""
    for p in given:
        numerical, analytic = p.numerical(evidence.i), evidence.analytic(p)
        d = np.abs(numerical - analytic)
        means = [
            np.abs(np.broadcast_to(v.mean(axis=axis, keepdims=True), d.shape)) for v in (numerical, analytic)
        ]
        if not any(np.abs(d - mean).max() <= LEFT * d.max() for mean in means):
            return False
    return True
