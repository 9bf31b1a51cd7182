"""What a check by directions says of each primal."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gradlab.directions._gradient_check import NAMED, RESOLVED, CheckProgress, GradientCheck
from gradlab.directions._named_mistakes import common_factor, factor_text, share_wrong
from gradlab.directions._sensitivity import smallest_caught
from gradlab.verdict import CheckResult, Verdict

CURE = "choose a point where f is smoother or less rounded, or raise full_below"


def verdict(judge: GradientCheck, found: CheckProgress, i: int) -> CheckResult:
    """Return the result of primal `i`: the worst of its wrong elements, or what the directions say of all of them."""
    own = [result for k, result in sorted(found.elements.items()) if judge.point.owner(k) == i]
    wrong = [result for result in own if result.verdict is Verdict.WRONG]
    undecided = [found.elements[k] for k in sorted(found.open) if judge.point.owner(k) == i]
    shown = f"{found.showed} evaluations showed it, the others found where"
    if wrong:
        worst = max(wrong, key=lambda result: (result.relative_error or 0.0, result.absolute_error or 0.0))
        result = replace(worst, note=f"{_count(judge, found, i, wrong)}: {_list(wrong)}; {shown}")
    elif undecided:
        result = replace(undecided[0], note=f"{undecided[0].note}; {shown}")
    elif len(own) == judge.point.x[judge.point.spans[i]].size:
        result = _each_alone(own)
    elif found.looks:
        result = _along(judge, found, i, own)
    else:
        result = CheckResult(Verdict.INCONCLUSIVE, note="no element is left to move: raise full_below")
    return replace(result, primal=judge.point.names[i], evaluations=found.evaluations)


def _each_alone(own: Sequence[CheckResult]) -> CheckResult:
    """Return the result of a primal so small that all its elements were judged alone, and are right."""
    kink = any(result.verdict is Verdict.KINK for result in own)
    note = f"each of {len(own)} elements was judged alone" if own else "no elements"
    sensitivity = max((result.sensitivity or 0.0 for result in own), default=None)
    return CheckResult(Verdict.KINK if kink else Verdict.PASS, sensitivity=sensitivity, note=note)


def _count(judge: GradientCheck, found: CheckProgress, i: int, wrong: Sequence[CheckResult]) -> str:
    """Return how many elements are wrong, where, and whether by one factor."""
    span = judge.point.spans[i]
    size = span.stop - span.start
    if i in found.lost:
        return f"{found.lost[i]:,} of {size:,} elements {_are(found.lost[i])} not finite"
    if i not in found.spread:
        return f"{len(wrong)} of {size:,} elements {_are(len(wrong))} wrong"
    groups, share = found.spread[i], share_wrong(judge, found, i)
    least = max(len(groups), len(wrong))
    some = f"about {share * size:.2g}" if share * size > least else f"at least {least}"
    count = "most elements are wrong" if share > 0.5 else f"{some} of {size:,} elements are wrong"
    first, last = min(group.start for group in groups), max(group.stop for group in groups) - 1
    factor = common_factor(wrong)
    alike = f", each {factor_text(factor)} times what it should be" if factor is not None else ""
    return f"{count}, between {judge.point.index(first)} and {judge.point.index(last)}{alike}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _list(wrong: Sequence[CheckResult]) -> str:
    worst = sorted(wrong, key=lambda result: -(result.absolute_error or 0.0))
    more = f"; {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    return "; ".join(map(_told, worst[:NAMED])) + more


def _told(result: CheckResult) -> str:
    place = ", ".join(map(str, result.worst_index or ()))
    bound = f" ± {result.reference_error:.1g}" if result.reference_error else ""
    return f"({place}) is {result.analytic:.6g}, should be {result.numerical:.6g}{bound}"


def _along(judge: GradientCheck, found: CheckProgress, i: int, own: Sequence[CheckResult]) -> CheckResult:
    """Return what the directions say: `analytic` and `numerical` are the sums along the one that agrees least."""
    seen = max(found.looks, key=lambda look: look.suspicion)
    result = CheckResult(
        Verdict.PASS,
        relative_error=abs(seen.off) / (seen.norm or 1.0) if seen.suspicion > 1 else 0.0,
        absolute_error=abs(seen.off),
        reference_error=seen.bound,
        analytic=seen.analytic,
        numerical=seen.numerical,
    )
    beyond = [abs(look.off) > look.allowed for look in found.looks]
    kinks = any(look.width for look in found.looks)
    lost = seen.suspicion > RESOLVED and not found.diffuse
    if (lost or any(beyond)) and i in (found.suspects or {i}):
        note = "along a random direction through all elements the slope is another, and no one element explains it"
        if all(beyond) and not kinks:
            return replace(
                result, verdict=Verdict.WRONG, note=f"{note}; {found.showed} evaluations showed it"
            )
    elif not any(look.decides for look in found.looks):
        note = f"along a random direction the slope is only known to ± {seen.error + seen.width:.1g}"
    else:
        return _passed(judge, found, i, own, result)
    if kinks:
        note = "some elements lie on kinks, more than can be singled out along directions"
    return replace(result, verdict=Verdict.INCONCLUSIVE, note=f"{note}: {CURE}")


def _passed(
    judge: GradientCheck, found: CheckProgress, i: int, own: Sequence[CheckResult], result: CheckResult
) -> CheckResult:
    looked = ~found.apart[judge.point.spans[i]]
    size = np.abs(judge.point.gradient[judge.point.spans[i]])[looked]
    caught = smallest_caught(judge, found, i)[looked]
    relative = caught[size > 0] / size[size > 0]
    share = 100 * float(np.mean(size < caught)) if size.size else 0.0
    count = f"{len(found.looks)} random direction{'s' if len(found.looks) > 1 else ''}"
    note = f"by {count} through all elements: an error of {caught.max(initial=0.0):.2g} in any one would be caught; "
    note += f"{share:.3g}% of them are smaller" if share else "none of them is smaller"
    if found.zeros > NAMED:
        note += f"; at 0 lies a kink or an edge: of {found.zeros:,} elements that are 0 only {NAMED} were looked at"
    kinks = (
        found.zeros > NAMED,
        *(r.verdict is Verdict.KINK for r in own),
        *(look.width > 0 for look in found.looks),
    )
    return replace(
        result,
        verdict=Verdict.KINK if any(kinks) else Verdict.PASS,
        sensitivity=float(np.max(relative, initial=0.0)) * (1 + 1e-6),
        note=note,
    )
