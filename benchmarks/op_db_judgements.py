"""The true faults among the operators that ``benchmarks/op_db.py`` accuses, each with its proof in one line.

Those of first derivatives in reverse mode are in ``trust_judgements``.
"""

from fnmatch import fnmatchcase

from trust_judgements import proof_of_operator, proof_of_pair

# By library, operator, dtype and check, as patterns.
FAULTS = {
    ("torch", "cholesky_inverse", "*", "*"): (
        "the jvp of a random lower triangle is off by 1.4 from what torch's own reverse mode gives, whose largest "
        "slope is 0.9 and which differences confirm; gradgradcheck rejects forward over reverse as well"
    ),
    ("torch", "logcumsumexp", "*", "*"): (
        "the jvp divides sums of exp(x) without their maximum: at (-3, 40, 1, 30, 3) it is off by 1 from reverse mode, "
        "and nan where exp overflows; gradcheck rejects it in complex128"
    ),
    ("torch", "triangular_solve", "*", "second_derivative"): (
        "forward over reverse of the second output, the coefficient again; gradgradcheck rejects it as well"
    ),
    ("torch", "scatter_reduce prod", "*", "second_derivative"): (
        "forward over reverse of x[0] s[0] s[1] gives a tangent of 0 for the slope of s[0] along x[0], which is s[1]"
    ),
    ("torch", "nn.functional.linear_cross_entropy chunked", "*", "second_derivative"): (
        "the gradient is computed in forward and kept as a constant; gradgradcheck rejects it as well"
    ),
    ("torch", "nn.functional.linear_cross_entropy chunked", "*", "batched"): (
        "under torch.func.vmap the output has a graph, and the gradients of the inputs are None"
    ),
    ("torch", "masked.logaddexp", "*", "second_derivative"): (
        "nan where nothing is masked in, and 0 by differences; gradgradcheck rejects it as well"
    ),
    ("torch", "sparse.sampled_addmm", "*", "second_derivative"): (
        "the gradient is linear in its cotangent, and torch's derivative by the cotangent is 0"
    ),
    ("jax", "jax special.log_ndtr", "float64", "second_derivative"): (
        "at -25 JAX has -0.99841559, and mpmath with 40 digits -0.99841516"
    ),
    ("jax", "jax special.fresnel", "float64", "second_derivative"): (
        "at 3 the slope of the second gradient is -3 pi by differences of it, and JAX has 0"
    ),
    ("jax", "jax special.expn(3)", "float64", "second_derivative"): (
        "JAX raises from inside, with jit and without; check_grads does as well"
    ),
    ("jax", "jax numpy sign", "complex128", "*"): (
        "z / abs(z) turns with z: its derivative is 0 for real numbers alone"
    ),
}
# How many accusations of right gradients there were when each question was asked for the first time, by library,
# dtype and question; float64 in reverse mode had been looked at before, by ``benchmarks/trust.py``, and JAX was asked
# after what torch's tangents had shown was mended.
FIRST_SIGHT = {
    ("torch", "float64", "reverse mode"): 0,
    ("torch", "float64", "forward mode"): 5,
    ("torch", "float64", "second order"): 1,
    ("torch", "complex128", "reverse mode"): 0,
    ("torch", "complex128", "forward mode"): 2,
    ("torch", "complex128", "second order"): 2,
    ("jax", "float64", "reverse mode"): 1,
    ("jax", "float64", "forward mode"): 0,
    ("jax", "float64", "second order"): 0,
    ("jax", "complex128", "reverse mode"): 1,
    ("jax", "complex128", "forward mode"): 0,
    ("jax", "complex128", "second order"): 0,
}


def proof_of(library: str, subject: str, dtype: str, check: str) -> str:
    """Return the proof that an operator is at fault in what a check looks at, "" if there is none."""
    for pattern, proof in FAULTS.items():
        # an operator's name may have brackets
        *words, last = pattern
        if words[:2] == [library, subject] and fnmatchcase(dtype, words[2]) and fnmatchcase(check, last):
            return proof
    return proof_of_operator(subject, check) if library == "torch" else proof_of_pair(subject, beyond=True)
