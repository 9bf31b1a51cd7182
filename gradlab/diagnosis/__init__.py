"""Which named mistake explains a mismatch: hypotheses, tried from the simplest on, each against all the evidence.

A hypothesis is a function that returns a `Finding` where this mistake would give the gradients that backward gave,
and None elsewhere. Adding a hypothesis is adding a function, and its name to one of the tables below.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

from gradlab.checks.exploration.derived_inputs import derived_trials
from gradlab.checks.trial import Trial, quiet
from gradlab.diagnosis import _behaviour_mistakes as _behaviour
from gradlab.diagnosis import _located_mistakes as _places
from gradlab.diagnosis import _missing_paths as _paths
from gradlab.diagnosis import _missing_terms as _terms
from gradlab.diagnosis import _rearrangements as _arranged
from gradlab.diagnosis import _scale_mistakes as _scaled
from gradlab.diagnosis import cotangent_mistakes as _cotangent
from gradlab.diagnosis._finding import Finding
from gradlab.diagnosis._primal_evidence import PrimalEvidence
from gradlab.diagnosis.point_evidence import PointEvidence, points

__all__ = ["NAMES", "Finding", "diagnose"]

NAMES = (
    "sign-flipped", "constant-factor", "ignores-cotangent", "wrong-cotangent", "nonlinear-in-cotangent", "transposed",
    "axes-permuted", "missing-broadcast-sum", "wrong-sum-axis", "zero-gradient", "swapped-primals", "last-write-wins",
    "missing-term", "masked-region", "tie-or-kink", "border", "shifted", "single-element", "additive-bias",
    "float32-round-trip", "stale-residuals", "accumulates", "mutates-argument", "aliases-memory",
    "assumes-contiguous", "nondeterministic", "wrong-dtype", "wrong-shape", "not-finite",
)  # fmt: skip

# Of two findings that are both at least this sure, the simpler comes first.
SURE = 0.9
# Nobody reads more explanations of a mismatch than this.
ENOUGH = 3
# The hypotheses on the values of one primal's gradient, the simplest first.
VALUE_HYPOTHESES: tuple[Callable[[PrimalEvidence], Finding | None], ...] = (
    _places.not_finite,
    _scaled.zero_gradient,
    _cotangent.ignores_cotangent,
    _cotangent.float32_round_trip,
    _cotangent.bias_at_zero,
    _cotangent.additive_bias,
    _cotangent.wrong_cotangent,
    _cotangent.nonlinear_in_cotangent,
    _scaled.sign_flipped,
    _scaled.constant_factor,
    _arranged.swapped_primals,
    _arranged.transposed,
    _arranged.wrongly_summed,
    _places.tie_or_kink,
    _places.single_element,
    _places.border,
    _places.masked_region,
    _arranged.shifted,
    _arranged.axes_permuted,
    _terms.missing_term,
    _paths.other_places_dropped,
    _paths.sum_of_some_shares,
    _paths.wrong_block,
    _paths.empty_block,
    _paths.factor_held_constant,
    _paths.path_through_other_primals,
)


def diagnose(trials: Sequence[Trial], failed: Collection[str]) -> list[Finding]:
    """Return the mistakes that explain why checks reject a node, the likeliest first.

    Parameters
    ----------
    trials : sequence of Trial
        The samples of one node.
    failed : collection of str
        The names of the checks that reject it, or warn.

    Returns
    -------
    list of Finding
        Empty where nothing explains it: a diagnosis needs evidence.
    """
    # where forward has no value nothing is known of the gradients, and the checks tell what forward raises
    accepted = [trial for trial in trials if trial.accepted]
    with quiet():
        return list(_findings(accepted, failed)) if accepted else []


# Checks that may fail because of the gradient's values, or of what backward keeps between calls.
OF_VALUES = {
    "matches_numerical", "complex_step_agrees", "finite_where_expected", "hessian_is_symmetric",
    "linear_in_cotangent", "repeatable",
}  # fmt: skip


def _findings(trials: Sequence[Trial], failed: Collection[str]) -> Iterator[Finding]:
    found: list[Finding | None] = []
    # a mistake that shows at no sample may show at the primals derived from them
    everywhere = [*trials, *(d.trials[0] for trial in trials for d in derived_trials(trial))]
    if "leaves_arguments_unchanged" in failed or "any_layout" in failed:
        found.append(_behaviour.mutates_argument(everywhere))
    if OF_VALUES & set(failed):
        changing = _behaviour.changes_between_calls(trials)
        known, broken = points(trials)
        found += [changing, *_behaviour.wrong_form(trials)]
        if changing is None:
            found.insert(0, _behaviour.stale_residuals(trials, known))
        if not any(found):
            found += _value_findings(known)
        if not any(found):
            found += _behaviour.wrong_form(broken)
    else:
        found += _behaviour.wrong_form(everywhere)
    if "finite_where_expected" in failed and not any(found):
        found.append(_behaviour.not_finite(trials))
    if "works_in_float32" in failed:
        found.append(_behaviour.loses_its_dtype(trials))
    if "any_layout" in failed:
        found.append(_behaviour.assumes_contiguous(trials))
    if "owns_its_memory" in failed:
        found.append(_behaviour.aliases_memory(everywhere))
    told: set[tuple[str, str]] = set()
    for finding in found:
        if finding and (finding.name, finding.primal) not in told:
            told.add((finding.name, finding.primal))
            yield finding


def _value_findings(known: Sequence[PointEvidence]) -> Iterator[Finding]:
    """Yield the findings that explain the values of each primal's gradient."""
    # some samples may have more primals than others, as concatenate's
    for i in range(max((len(p.gradients) for p in known), default=0)):
        evidence = PrimalEvidence([p for p in known if i < len(p.gradients)], i)
        if evidence.wrong_points:
            of_primal: list[Finding] = []
            for hypothesis in VALUE_HYPOTHESES:
                finding = hypothesis(evidence)
                of_primal += [finding] if finding else []
                if sum(f.confidence >= SURE for f in of_primal) == ENOUGH:
                    break
            yield from sorted(of_primal, key=lambda finding: finding.confidence < SURE)
        else:
            yield from filter(
                None, [_places.tie_or_kink(evidence), _cotangent.nonlinear_in_cotangent(evidence)]
            )
