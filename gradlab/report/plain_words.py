"""What checks and mistakes are called in the words of the books, for who has never heard of a cotangent."""

import re

# What each check says of a gradient that it rejects; a check without a line here is called by its name.
CHECKS = {
    "matches_numerical": "not the numerical gradient",
    "matches_reference": "forward is not its reference",
    "linear_in_cotangent": "not proportional to dout",
    "leaves_arguments_unchanged": "writes into its arguments",
    "owns_its_memory": "shares memory with others",
    "shapes_and_dtypes": "another shape or dtype",
    "repeatable": "not the same when called again",
    "any_layout": "depends on layout or batch",
    "samples_can_fail": "zeros would pass unseen",
    "finite_where_expected": "nan or infinite",
    "works_in_float32": "another gradient in float32",
    "complex_step_agrees": "not what a complex step gives",
    "hessian_is_symmetric": "the gradient of no function",
    "second_derivative": "wrong second derivative",
    "forward_mode": "wrong in forward mode",
    "batched": "wrong in a batch (vmap)",
    "unused_outputs": "wrong where an output is unused",
    "saves_for_backward": "keeps what may change",
}
# What each mistake of `gradlab.diagnosis.NAMES` is.
MISTAKES = {
    "sign-flipped": "the sign is turned round",
    "constant-factor": "off by a constant factor",
    "ignores-cotangent": "does not use dout",
    "wrong-cotangent": "uses dout of another place",
    "nonlinear-in-cotangent": "not proportional to dout",
    "transposed": "it is transposed",
    "axes-permuted": "the axes are in another order",
    "missing-broadcast-sum": "not summed where broadcast",
    "wrong-sum-axis": "summed over the wrong axis",
    "zero-gradient": "zero everywhere",
    "swapped-primals": "two inputs' gradients exchanged",
    "last-write-wins": "overwritten, not added up",
    "missing-term": "a term is missing",
    "masked-region": "wrong in one region",
    "tie-or-kink": "wrong at a tie or a corner",
    "border": "wrong at the border",
    "shifted": "moved by some places",
    "single-element": "one element is wrong",
    "additive-bias": "something is added to it",
    "float32-round-trip": "rounded to float32 on the way",
    "stale-residuals": "belongs to an earlier call",
    "accumulates": "adds to the call before",
    "mutates-argument": "writes into its arguments",
    "aliases-memory": "shares memory with others",
    "assumes-contiguous": "depends on the memory layout",
    "nondeterministic": "another one at each call",
    "wrong-dtype": "another dtype",
    "wrong-shape": "another shape",
    "not-finite": "nan or infinite",
    "wrong-order": "a factor in the wrong place",
    "other-approximation": "of a slightly other function",
    "rounded-constants": "constants with too few digits",
    "epsilon-mismatch": "another epsilon than forward's",
    "log-parameter": "by the logarithm of the input",
    "straight-through": "the function's own slope is left out",
    "columns-exchanged": "slices are exchanged",
    "missing-factor": "a factor is left out",
    "wrong-operand": "another value stands there",
    "not-diagnosed": "the mistake was not found in time",
}
# The field's terms, and what the books call them; the longer ones first.
TERMS = {
    r"\bbeyond the given point\b": "at other inputs than yours",
    r"\bthe given primals\b": "your input",
    r"\bthe primal's\b": "the input's",
    r"\bprimal(s?)\b": r"input\1",
    r"\bthe cotangent, dout\b": "dout",
    r"\bthe cotangents?\b": "dout",
    r"\b[Cc]otangents?\b": "dout",
    r"\bthe analytic gradient\b": "backprop's gradient",
    r"\banalytic\b": "backprop",
    r"\bin the residuals\b": "with what forward keeps for it",
    r"\bthe residuals of\b": "what is kept for the forward of",
    r"\b(the )?residuals\b": "what forward keeps for it",
    r"\bsee the repair\b": "see the change below",
}


def plain(text: str) -> str:
    """Return a text with the books' words in place of the field's."""
    for term, words in TERMS.items():
        text = re.sub(term, words, text)
    return text


def check_words(check: str) -> str:
    """Return what a check says of a gradient that it rejects."""
    return CHECKS.get(check, check.replace("_", " "))
