"""What is known of the gradients that somebody accuses: the true faults, each with its proof in one line.

An accusation that is not here counts as one of a right gradient.
"""

from fnmatch import fnmatchcase

NONE = "not judged: counts as an accusation of a right gradient"

# Of torch's operators, by operator and check; "*" stands for all. Slopes by hand are central differences in float64.
OPERATORS = {
    ("as_strided_scatter", "matches_numerical"): (
        "of a one-element tensor that is scattered over, output 0 does not depend on the input (differences 0, torch "
        "1); of size (2, 2), stride (1, 2) over 3 x 3, output 4 is input 4 (differences 1, torch 0)"
    ),
    ("native_group_norm", "unused_outputs"): (
        "output 1 is the mean of a group of 9, with slope 1/9: torch has it where output 2 is used as well, and none "
        "where it is not"
    ),
    ("nn.functional.hardsigmoid", "matches_numerical"): (
        "the slope is 1/6, and torch multiplies with float32's: 0.1666666716 in float64"
    ),
    **{
        (f"nn.functional.max_unpool{n}d", "matches_numerical"): (
            "two inputs are sent to one place, forward keeps the last of them, and backward gives both the cotangent: "
            "the slope of the first is 0 by differences, 1 by torch"
        )
        for n in (1, 2, 3)
    },
    **{
        (name, "matches_numerical"): (
            "mean + std * z for a z that the seed fixes has slope 1 in mean and z in std: torch's formula is zero for "
            "both"
        )
        for name in ("normal", "normal number_mean")
    },
}

# Operators whose sample has no gradient that could be right or wrong: what is said of them counts for nobody.
WITHOUT_TRUTH = {
    "__rpow__": "forward is nan at the samples",
    "sparse.mm reduce": "gradcheck asks a masked gradient for the entries that a sparse tensor does not hold",
}

# Of libraries, by the pair's name.
LIBRARIES = {
    "jax special.spence": "the slope at 1 is -1, the limit of -log(x) / (x - 1), and JAX has 0 there",
    "statsmodels MixedLM * full.hessian at the GLS effects": (
        "leaves out terms that vanish at the GLS effects alone: at other parameters of the same size it is off by half "
        "and more, by differences of the score as well"
    ),
    "scipy special mathieu_?em, x in degrees": "takes degrees, and gives the derivative per radian",
    "scipy linalg expm/expm_frechet_kronform, vec on both sides": (
        "stacks columns for the value and takes the directions row by row: the columns of the Jacobian are permuted"
    ),
    "statsmodels GeneralizedPoisson p=? in ln(alpha).score": (
        "squares the last entry of the score, where the chain rule multiplies it with alpha"
    ),
    "statsmodels NegativeBinomialP p=* in ln(alpha).score": (
        "squares the last entry of the score, where the chain rule multiplies it with alpha"
    ),
    "statsmodels NegativeBinomialP p=1.5.hessian*": (
        "the cross term has p * a1 in the place of a1: the same for p = 1 and p = 2 only"
    ),
    "statsmodels ZeroInflatedPoisson*.hessian": (
        "fills the upper triangle from the lower one, and with it zeroes the block between inflation and mean"
    ),
    "statsmodels TruncatedLFNegativeBinomialP p=1 *.score": (
        "score_obs builds the truncated part anew without p, which is 2 by default"
    ),
    "statsmodels TruncatedLFGeneralizedPoisson p=2 *.score": (
        "score_obs builds the truncated part anew without p, which is 1 by default"
    ),
    "statsmodels GLM *.score, scale estimated at each point": (
        "loglike estimates the scale anew at each point, and the score leaves that dependence out"
    ),
    "statsmodels GLM Poisson Sqrt.hessian, expected": (
        "the expected information, which off the canonical link is not the derivative of the score"
    ),
    "statsmodels NominalGEE.mean_deriv": (
        "leaves out the terms between the categories of one observation: they share a denominator"
    ),
    "statsmodels OLS profile.hessian": "has X'X / ssr where the second derivative of log(ssr) has 2 X'X / ssr",
    "statsmodels OLS profile at the fit.hessian": (
        "has X'X / ssr where the second derivative of log(ssr) has 2 X'X / ssr"
    ),
    "statsmodels OLS profile, response near 1e5.score": (
        "its ssr is a difference of squares near 1e10: element 0 is 8.387891, and 8.387867 in 50 digits"
    ),
    "statsmodels MixedLM * full.hessian off the GLS effects": (
        "the scale is profiled out, and the terms in X'V^-1 r, which vanish at the GLS effects, are left out"
    ),
    "statsmodels penalty *, square, array weights.deriv": (
        "func weighs the transformed coordinates, deriv weighs after the chain rule: w (psi R) for (w psi) R"
    ),
    "statsmodels copula Frank.deriv": "the wrong sign: the generator falls from infinity to 0",
    "statsmodels copula Frank.inverse": "the derivative that it is held against has the wrong sign: see Frank.deriv",
    "statsmodels emplike _log_star/_grad, weights 1/n": (
        "the value adds log(1/n) inside the logarithm and forgets the factor 1/n"
    ),
    "statsmodels KernelReg local constant *": (
        "multiplies the kernels' derivatives over all variables, with a factor 1/n too many"
    ),
    "statsmodels KernelReg local linear *": (
        "gives the fitted slope, an estimate of the regression's derivative: not the derivative of the fitted curve"
    ),
    "sklearn AbsoluteError.gradient_hessian, weighted": "1 for a second derivative that is 0, as approx_hessian says",
    "sklearn PinballLoss(0.?).gradient_hessian, weighted": (
        "1 for a second derivative that is 0, as approx_hessian says"
    ),
    "sklearn HalfMultinomialLoss.gradient_hessian*": "the diagonal alone of a full block, as its docstring says",
    "sklearn MLPRegressor tanh, two outputs": "the loss averages over the outputs, backward sums over them",
    "sklearn t-SNE _kl_divergence, 3 components, 2 degrees of freedom": (
        "weighs with (1 + d/nu)^(-(nu + 1)/2) for (1 + d/nu)^-1: the same for one degree of freedom only"
    ),
    "jax linalg.scipy cho_solve, all entries free": (
        "reads one triangle, and takes the tangent as symmetric: half of each slope goes where it does not look"
    ),
    "jax linalg.scipy solve, assume pos, all entries free": (
        "reads one triangle, and takes the tangent as symmetric: half of each slope goes where it does not look"
    ),
    "jax random.gamma in alpha, key fixed": (
        "differentiates the distribution, not the rejection sampler that the key drives"
    ),
    "jax random.beta in a and b, key fixed": (
        "differentiates the distribution, not the rejection sampler that the key drives"
    ),
    "jax custom docs clip_gradient": "a rule that clips the gradient on purpose",
    "jax custom gradient reversal": "a rule that turns the gradient round on purpose",
    "jax custom straight-through round": "the slope of a staircase is 0, and the rule gives 1 on purpose",
    "jax custom stop_gradient of a factor": "a factor is held on purpose: half of the slope of a square",
}

# The same, at other points than the given one, where the gradient is right.
LIBRARIES_BEYOND = {
    "jax numpy std over columns": "of a single row it is 0, whatever the row is: the slope is 0, and JAX has nan",
}


def proof_of_operator(name: str, check: str | None = None) -> str:
    """Return the proof that an operator's gradient is at fault, for a check or for any; "" if there is none."""
    proofs = (proof for (op, of), proof in OPERATORS.items() if op == name and check in (None, of))
    return next(proofs, "")


def proof_of_pair(name: str, beyond: bool = False) -> str:
    """Return the proof that a library's gradient is at fault, at the given point or beyond it; "" if there is none."""
    known = LIBRARIES | LIBRARIES_BEYOND if beyond else LIBRARIES
    return next((proof for of, proof in known.items() if fnmatchcase(name, of)), "")
