"""Which named mistake explains a mismatch: hypotheses, tried from the simplest on, each against all the evidence.

A hypothesis is a function that returns a `Finding` where this mistake would give the gradients that backward gave,
and None elsewhere. Adding a hypothesis is adding a function, and its name to one of the tables below.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

from gradlab.checks.exploration.derived_inputs import derived_trials
from gradlab.checks.trial import Trial, quiet
from gradlab.diagnosis import (
    _behaviour_mistakes,
    _located_mistakes,
    _missing_paths,
    _missing_terms,
    _other_functions,
    _output_places,
    _rearrangements,
    _scale_mistakes,
    cotangent_mistakes,
)
from gradlab.diagnosis._finding import Finding
from gradlab.diagnosis._primal_evidence import PrimalEvidence
from gradlab.diagnosis.point_evidence import SMALL, PointEvidence, all_evidence

__all__ = ["NAMES", "Finding", "diagnose"]

NAMES = (
    "sign-flipped", "constant-factor", "ignores-cotangent", "wrong-cotangent", "nonlinear-in-cotangent", "transposed",
    "axes-permuted", "missing-broadcast-sum", "wrong-sum-axis", "zero-gradient", "swapped-primals", "last-write-wins",
    "missing-term", "masked-region", "tie-or-kink", "border", "shifted", "single-element", "additive-bias",
    "float32-round-trip", "stale-residuals", "accumulates", "mutates-argument", "aliases-memory",
    "assumes-contiguous", "nondeterministic", "wrong-dtype", "wrong-shape", "not-finite", "wrong-order",
    "other-approximation", "rounded-constants", "epsilon-mismatch", "log-parameter", "straight-through",
    "columns-exchanged", "missing-factor", "wrong-operand",
)  # fmt: skip

# Of two findings that are both at least this sure, the simpler comes first.
SURE = 0.9
# Nobody reads more explanations of a mismatch than this.
ENOUGH = 3
# The hypotheses on the values of one primal's gradient, the simplest first.
VALUE_HYPOTHESES: tuple[Callable[[PrimalEvidence], Finding | None], ...] = (
    _located_mistakes.not_finite,
    _scale_mistakes.zero_gradient,
    cotangent_mistakes.ignores_cotangent,
    cotangent_mistakes.float32_round_trip,
    cotangent_mistakes.bias_at_zero,
    cotangent_mistakes.additive_bias,
    cotangent_mistakes.wrong_cotangent,
    cotangent_mistakes.nonlinear_in_cotangent,
    _scale_mistakes.sign_flipped,
    _scale_mistakes.constant_factor,
    _rearrangements.swapped_primals,
    _rearrangements.transposed,
    _rearrangements.wrongly_summed,
    _other_functions.counted_once,
    _other_functions.wrong_order,
    _other_functions.not_transposed,
    _other_functions.log_parameter,
    _rearrangements.slices_exchanged,
    _located_mistakes.tie_or_kink,
    _located_mistakes.single_element,
    _located_mistakes.border,
    _located_mistakes.masked_region,
    _rearrangements.shifted,
    _rearrangements.axes_permuted,
    _other_functions.moved_cotangent,
    _output_places.exchanged_outputs,
    _other_functions.nearly_the_same_function,
    _missing_terms.missing_term,
    _other_functions.sum_over_another_axis,
    _other_functions.forgotten_mask,
    _output_places.ignored_outputs,
    _missing_paths.other_places_dropped,
    _missing_paths.sum_of_some_shares,
    _missing_paths.wrong_block,
    _missing_paths.empty_block,
    _missing_paths.factor_held_constant,
    _missing_paths.path_through_other_primals,
    _output_places.right_at_one_end,
    _other_functions.straight_through,
    _other_functions.roughly_the_same_function,
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
CHECKS_OF_VALUES = {
    "matches_numerical", "complex_step_agrees", "finite_where_expected", "hessian_is_symmetric",
    "linear_in_cotangent", "repeatable",
}  # fmt: skip


def _findings(trials: Sequence[Trial], failed: Collection[str]) -> Iterator[Finding]:
    found: list[Finding | None] = []
    # a mistake that shows at no sample may show at the primals derived from them, where the node is meant to take them
    everywhere = [
        *trials,
        *(d.trials[0] for trial in trials for d in derived_trials(trial) if not d.guessed),
    ]
    if "leaves_arguments_unchanged" in failed or "any_layout" in failed:
        found.append(_behaviour_mistakes.mutates_argument(everywhere))
    if CHECKS_OF_VALUES & set(failed):
        changing = _behaviour_mistakes.changes_between_calls(trials)
        known, broken = all_evidence(trials)
        found += [changing, *_behaviour_mistakes.wrong_form(trials)]
        if changing is None:
            found.insert(0, _behaviour_mistakes.stale_residuals(trials, known))
        if not any(found):
            found += _value_findings(known)
        if not any(found) and not any(p.wrong(i).any() for p in known for i in range(len(p.gradients))):
            found += _behaviour_mistakes.wrong_form(broken)
    else:
        found += _behaviour_mistakes.wrong_form(everywhere)
    if "finite_where_expected" in failed and not any(found):
        found.append(_behaviour_mistakes.not_finite(trials))
    if "works_in_float32" in failed:
        found.append(_behaviour_mistakes.loses_its_dtype(trials))
    if "any_layout" in failed:
        found.append(_behaviour_mistakes.assumes_contiguous(trials))
    if "owns_its_memory" in failed:
        found.append(_behaviour_mistakes.aliases_memory(everywhere))
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
            # of many elements the first that is sure is told: further hypotheses would ask for Jacobians
            few = evidence.primal(evidence.wrong_points[0]).size <= SMALL
            enough = ENOUGH if few else 1
            for hypothesis in VALUE_HYPOTHESES:
                finding = hypothesis(evidence)
                of_primal += [finding] if finding else []
                if sum(f.confidence >= SURE for f in of_primal) == enough:
                    break
            yield from sorted(of_primal, key=lambda finding: finding.confidence < SURE)
        else:
            yield from filter(
                None,
                [
                    _located_mistakes.tie_or_kink(evidence),
                    cotangent_mistakes.nonlinear_in_cotangent(evidence),
                ],
            )
