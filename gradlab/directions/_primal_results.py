"""The result of a check along directions for each primal."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gradlab.directions._gradient_check import NAMED, RESOLVED, GradientCheck, GradientFindings
from gradlab.directions._named_mistakes import common_factor, factor_text, share_wrong
from gradlab.directions._sensitivity import smallest_caught
from gradlab.verdict import CheckResult, Verdict, element_sensitivity, sensitivity

CURE = "choose a point where f is smoother or less rounded, or raise full_below"


def primal_result(check: GradientCheck, findings: GradientFindings, i: int) -> CheckResult:
    """Return the result of primal `i`: the worst of its wrong elements, or what the directions say of all of them."""
    own = [result for k, result in sorted(findings.elements.items()) if check.point.primal_of(k) == i]
    wrong = [result for result in own if result.verdict is Verdict.WRONG]
    undecided = [findings.elements[k] for k in sorted(findings.undecided) if check.point.primal_of(k) == i]
    shown = f"{findings.first_evaluations} evaluations showed it, the others found where"
    if wrong:
        worst = max(wrong, key=lambda result: (result.relative_error or 0.0, result.absolute_error or 0.0))
        count, places = _count_text(check, findings, i, wrong), _places_text(wrong)
        result = replace(worst, note=f"{count}: {places}; {shown}")
    elif undecided:
        result = replace(undecided[0], note=f"{undecided[0].note}; {shown}")
    elif len(own) == check.point.x[check.point.spans[i]].size:
        result = _result_of_each_alone(own)
    elif findings.slopes:
        result = _result_of_directions(check, findings, i, own)
    else:
        result = CheckResult(Verdict.INCONCLUSIVE, note="no element is left to move: raise full_below")
    return replace(result, primal=check.point.names[i], evaluations=findings.evaluations)


def _result_of_each_alone(own: Sequence[CheckResult]) -> CheckResult:
    """Return the result of a primal so small that all its elements were judged alone, and are right."""
    kink = any(result.verdict is Verdict.KINK for result in own)
    note = f"each of {len(own)} elements was judged alone" if own else "no elements"
    sensitivity, of_element = (
        max((known for result in own if (known := getattr(result, name)) is not None), default=None)
        for name in ("sensitivity", "element_sensitivity")
    )
    verdict = Verdict.KINK if kink else Verdict.PASS
    return CheckResult(verdict, sensitivity=sensitivity, element_sensitivity=of_element, note=note)


def _count_text(
    check: GradientCheck, findings: GradientFindings, i: int, wrong: Sequence[CheckResult]
) -> str:
    """Return how many elements are wrong, where, and whether by one factor."""
    span = check.point.spans[i]
    size = span.stop - span.start
    if i in findings.not_finite:
        return f"{findings.not_finite[i]:,} of {size:,} elements {_are(findings.not_finite[i])} not finite"
    if i not in findings.wrong_groups:
        return f"{len(wrong)} of {size:,} elements {_are(len(wrong))} wrong"
    groups, share = findings.wrong_groups[i], share_wrong(check, findings, i)
    least = max(len(groups), len(wrong))
    some = f"about {share * size:.2g}" if share * size > least else f"at least {least}"
    count = "most elements are wrong" if share > 0.5 else f"{some} of {size:,} elements are wrong"
    first, last = min(group.start for group in groups), max(group.stop for group in groups) - 1
    factor = common_factor(wrong)
    alike = f", each {factor_text(factor)} times what it should be" if factor is not None else ""
    return f"{count}, between {check.point.index(first)} and {check.point.index(last)}{alike}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _places_text(wrong: Sequence[CheckResult]) -> str:
    worst = sorted(wrong, key=lambda result: -(result.absolute_error or 0.0))
    more = f"; {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    return "; ".join(map(_place_text, worst[:NAMED])) + more


def _place_text(result: CheckResult) -> str:
    place = ", ".join(map(str, result.worst_index or ()))
    bound = f" +- {result.reference_error:.1g}" if result.reference_error else ""
    return f"({place}) is {result.analytic:.6g}, should be {result.numerical:.6g}{bound}"


def _result_of_directions(
    check: GradientCheck, findings: GradientFindings, i: int, own: Sequence[CheckResult]
) -> CheckResult:
    """Return what the directions say: `analytic` and `numerical` are the slopes along the one that agrees least."""
    worst = max(findings.slopes, key=lambda slope: slope.suspicion)
    result = CheckResult(
        Verdict.PASS,
        relative_error=abs(worst.disagreement) / (worst.norm or 1.0),
        absolute_error=abs(worst.disagreement),
        reference_error=worst.bound,
        relative_bound=worst.bound / (worst.norm or 1.0),
        analytic=worst.analytic,
        numerical=worst.numerical,
    )
    beyond = [abs(slope.disagreement) > slope.allowed for slope in findings.slopes]
    kinks = any(slope.width for slope in findings.slopes)
    lost = worst.suspicion > RESOLVED and not findings.is_diffuse
    if (lost or any(beyond)) and i in (findings.suspects or {i}):
        note = "along a random direction through all elements the slope is another, and no one element explains it"
        if all(beyond) and not kinks:
            return replace(
                result,
                verdict=Verdict.WRONG,
                note=f"{note}; {findings.first_evaluations} evaluations showed it",
            )
    elif not any(slope.decides for slope in findings.slopes):
        note = f"along a random direction the slope is only known to +- {worst.error + worst.width:.1g}"
    else:
        return _passed(check, findings, i, own, result)
    if kinks:
        note = "some elements lie on kinks, more than can be singled out along directions"
    return replace(result, verdict=Verdict.INCONCLUSIVE, note=f"{note}: {CURE}")


def _passed(
    check: GradientCheck,
    findings: GradientFindings,
    i: int,
    own: Sequence[CheckResult],
    result: CheckResult,
) -> CheckResult:
    """Return `result` as a pass, with the sensitivity of the directions to an error in one element."""
    moved = ~findings.set_apart[check.point.spans[i]]
    size = np.abs(check.point.gradient[check.point.spans[i]])[moved]
    caught = smallest_caught(check, findings, i)[moved]
    share = 100 * float(np.mean(size < caught)) if size.size else 0.0
    count = f"{len(findings.slopes)} random direction{'s' if len(findings.slopes) > 1 else ''}"
    note = f"by {count} through all elements: an error of {caught.max(initial=0.0):.2g} in any one would be caught; "
    note += f"{share:.3g}% of them are smaller" if share else "none of them is smaller"
    if findings.zeros > NAMED:
        note += f"; at 0 lies a kink or an edge: of {findings.zeros:,} elements that are 0 only {NAMED} were looked at"
    kinks = (
        findings.zeros > NAMED,
        *(r.verdict is Verdict.KINK for r in own),
        *(slope.width > 0 for slope in findings.slopes),
    )
    return replace(
        result,
        verdict=Verdict.KINK if any(kinks) else Verdict.PASS,
        sensitivity=sensitivity(caught, largest) if (largest := float(size.max(initial=0.0))) else None,
        element_sensitivity=element_sensitivity(caught, size),
        note=note,
    )
