"""Gradients that JAX computes: of any function, most of all of one with a jax.custom_vjp."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

from gradlab.adapters.framework.intended import meaningless_for, same_outputs
from gradlab.adapters.framework.kernel import kernel_report
from gradlab.adapters.framework.pair_report import check_asked, framework_options, report_on_pair
from gradlab.adapters.framework.refusal import refuse_without_derivative
from gradlab.adapters.framework.transformed import NAME as TRANSFORMS
from gradlab.report import Explored, Report
from gradlab.running.options import CheckKeywords, options_of, takes_options
from gradlab.workers.threads import one_at_a_time

# JAX's arrays have no layout that anybody sees, and nobody writes into them.
FORWARD_ONLY = ("forward_mode", "batched")
MEANINGLESS = ("any_layout", "leaves_arguments_unchanged", "owns_its_memory")


@one_at_a_time
@takes_options()
def check_jax(
    fn: Any,
    *arrays: Any,
    settings: Mapping[str, Any] | None = None,
    order: int | None = None,
    intended: Callable[..., Any] | None = None,
    reference: Callable[..., Any] | None = None,
    budget: float = 2.0,
    transforms: bool | str | Sequence[str] | None = None,
    nondet_tol: float | None = None,
    **keywords: Unpack[CheckKeywords],
) -> Report:
    """Check the gradients that JAX computes for a function, most of all for one with a ``jax.custom_vjp``.

    The numerical side evaluates the function in float64, under a configuration of JAX that is put back; one that
    takes no other precision than its own is evaluated in that, and the noise is measured. Arrays of float64 are
    checked in float64, whether or not ``jax_enable_x64`` is set.

    The checks are those of `check_vjp` without those of memory and layout, which JAX's arrays do not show. Where a
    derivative was written by hand, or they are asked for, there are more: ``second_derivative``, and, for a
    ``jax.custom_jvp``, ``forward_mode``. Gradients in bfloat16 and float16 are
    judged by the tolerances of their own dtype, and the rest of the contract in float64.

    Parameters
    ----------
    fn : callable
        ``fn(*arrays, **settings)`` returns arrays, alone or in a pytree; those that are not of floats are ignored.
    *arrays
        Its arguments. Every array of floats or complex numbers is differentiated, also inside a pytree, where its path
        is its name; of complex numbers the real and the imaginary part are. All else is passed on.
    settings : mapping, optional
        Keyword arguments of `fn`, which are not differentiated.
    order : int, optional
        Up to which order derivatives are checked, 1 to 5: the gradient of the gradient, and so on, by reverse and by
        forward mode over reverse mode; what is wrong is an error. By default the second one is looked at too, where a
        derivative was written by hand, and what is wrong in it is a warning.
    intended : callable, optional
        The function whose gradient the gradient is meant to be, where that is not the one of `fn`: the identity for a
        straight-through estimator, a plain function for one that clips or stops. It is given the same arguments, and
        returns as much. Derivatives of higher order are not looked at then.
    reference : callable, optional
        The eager function that `fn`, a kernel, stands for. Instead of being held to differences, its outputs, what it
        writes into its arguments, and its gradients are held to those of the reference in float64, for random
        cotangents and for such of one sign; the rows, ``kernel``, tell its error beside that of the reference in the
        arguments' own precision, in units in the last place and in bits.
    budget : float
        How many times the reference's error, and one ulp, the kernel's may be.
    transforms : bool or str or sequence of str, optional
        Under which transforms outputs and gradients are to be the same, True for all: "jit", "jit of the gradient",
        "checkpoint", "linearize" and "scan".
    nondet_tol : float, optional
        By how much gradients may differ from call to call, as an absolute number. By default a difference of 1e-5 of
        the largest element is a warning, and what is larger an error. Gradients are held to no less than ten times what
        they differ by.

    Returns
    -------
    Report

    Raises
    ------
    ImportError
        If JAX is not installed.
    TypeError
        If `fn` is no function, returns nothing to differentiate, has no derivative in JAX (of one with forward mode
        alone, as through a `while_loop`, that is checked), or is given no array of
        dense floats.
    ValueError
        If `fn` raises at these arguments.

    Examples
    --------
    >>> import jax, numpy as np
    >>> @jax.custom_vjp
    ... def square(x):
    ...     return x**2
    >>> square.defvjp(lambda x: (x**2, x), lambda x, g: (3 * x * g,))
    >>> check_jax(square, np.array([1.0, 2.0])).faults[0].name
    'constant-factor'
    """
    options = framework_options(options_of(check_jax, keywords))
    check_asked(order, intended, reference, budget, nondet_tol)
    try:
        import jax

        from gradlab.adapters.jax.call import call_of
        from gradlab.adapters.jax.own_checks import has_forward_mode, jax_checks, unasked
        from gradlab.adapters.jax.pair import jax_pair, same_in
    except ModuleNotFoundError as error:
        if error.name not in ("jax", "jaxlib"):
            raise
        raise ImportError("check_jax needs JAX: pip install 'gradlab[jax]'") from error
    pair = jax_pair(call_of(fn, arrays, settings or {}, options.name))
    if reference is not None:
        eager = jax_pair(call_of(reference, arrays, settings or {}, options.name))
        return kernel_report(pair, eager, options, budget, {"jax": jax.__version__})
    try:
        refuse_without_derivative(pair, "jax", by_hand=pair.by_hand)
    except TypeError:
        if not has_forward_mode(pair):
            raise
        # nothing is wrong with a function that JAX differentiates in forward mode alone
        asked_for = [TRANSFORMS] if transforms else []
        options = replace(options, checks=[*FORWARD_ONLY, *asked_for], explore=False)
        pair.reverse = False
    if intended is not None:
        pair.meant = same_outputs(pair, jax_pair(call_of(intended, arrays, settings or {}, options.name)))
    # what is drawn depends on the precision
    asked = options.checks is not None or (not pair.may_not_end and same_in(pair, "float32"))
    drawn = () if asked else ("works_in_float32",)
    meaningless = (*MEANINGLESS, *meaningless_for(pair), *drawn, *unasked(pair, order))
    version = {"jax": jax.__version__}
    own_checks = jax_checks(pair, order, transforms)
    report = report_on_pair(pair, options, own_checks, meaningless, version, nondet_tol)
    if pair.reverse:
        return report
    told = Explored(
        pair.name, "given", (), "JAX has no reverse mode of it, and forward mode alone was checked"
    )
    return replace(report, explored=[told])
