"""Gradients that torch computes: of functions, of modules with their parameters, of a torch.autograd.Function."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Unpack

from gradlab.adapters.framework.intended import meaningless_for, same_outputs
from gradlab.adapters.framework.kernel import kernel_report
from gradlab.adapters.framework.pair_report import check_asked, framework_options, report_on_pair
from gradlab.adapters.framework.refusal import refuse_without_derivative
from gradlab.report import Report, Row
from gradlab.running.options import CheckKeywords, CheckOptions, options_of, takes_options
from gradlab.verdict import Verdict
from gradlab.workers.threads import one_at_a_time


@one_at_a_time
@takes_options()
def check_torch(
    fn: Any,
    *tensors: Any,
    settings: Mapping[str, Any] | None = None,
    order: int | None = None,
    intended: Callable[..., Any] | None = None,
    reference: Callable[..., Any] | None = None,
    budget: float = 2.0,
    transforms: bool | str | Sequence[str] | None = None,
    nondet_tol: float | None = None,
    **keywords: Unpack[CheckKeywords],
) -> Report:
    """Check the gradients that torch computes for a function, most of all for one with a hand-written backward.

    Of a module, or a function of several, whose gradient is wrong, each submodule and each Function is checked alone on
    the tensors that it was given, and the rows name those that are wrong by themselves.

    Everything is evaluated on the device of the tensors. The numerical side evaluates the function in float64; one
    that takes no other precision than its own is evaluated in that, and the noise is measured. A module runs as a
    copy, from the same buffers and the same random state every time, so that it is left as it was.

    There are more checks than for `check_vjp`: ``saves_for_backward`` (are inputs and outputs kept so that torch
    notices what is written into them?), ``unused_outputs`` (is an output that nobody used as good as one whose
    cotangent is zero?), ``second_derivative`` (is it right, or refused aloud?), and, where a Function has its own `jvp`
    or it is asked for, ``forward_mode`` (are the tangents those of forward?). Gradients in bfloat16 and float16
    are judged by the tolerances of their own dtype, and the rest of the contract in float64.

    Parameters
    ----------
    fn : callable, torch.nn.Module or torch.autograd.Function
        ``fn(*tensors, **settings)`` returns tensors, alone or in tuples, lists and dicts; those that are not of floats
        are ignored. Every parameter of a module is differentiated, and named as in ``named_parameters()``.
    *tensors
        Its arguments. Every tensor of floats or complex numbers is differentiated, also in tuples, lists and dicts;
        where some of them require a gradient, only those. Of a sparse tensor the values are, at the places that it
        has; of complex numbers the real and the imaginary part. All else is passed on.
    settings : mapping, optional
        Keyword arguments of `fn`, which are not differentiated.
    order : int, optional
        Up to which order derivatives are checked, 1 to 5: the gradient of the gradient, and so on, by reverse and by
        forward mode over reverse mode; what is wrong is an error. By default the second one is looked at too, and what
        is wrong in it is a warning.
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
        Under which transforms outputs and gradients are to be the same, True for all: "checkpoint", "torch.func.vjp"
        and "compile" (traced, and run by torch itself); and, of a module, its other mode, "eval" or "train", in which
        its gradient is to be right as well.
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
        If torch is not installed.
    TypeError
        If `fn` is no function, returns nothing to differentiate, has no derivative in torch, or is given no tensor of
        floats.
    ValueError
        If `fn` raises at these arguments.

    Examples
    --------
    >>> import torch
    >>> class Square(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**2
    ...
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return 3 * x * g
    >>> check_torch(Square, torch.tensor([1.0, 2.0])).faults[0].name
    'constant-factor'
    """
    options = framework_options(options_of(check_torch, keywords))
    check_asked(order, intended, reference, budget, nondet_tol)
    try:
        import torch

        from gradlab.adapters.torch.call import call_of, held_random_state
        from gradlab.adapters.torch.culprits import culprits, is_composed
        from gradlab.adapters.torch.execution_mode import one_thread_if_small, torch_pair
        from gradlab.adapters.torch.own_checks import torch_checks, unasked
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError("check_torch needs torch: pip install 'gradlab[torch]'") from error
    # what is created in inference mode cannot be differentiated
    with torch.inference_mode(False), one_thread_if_small(fn, tensors):
        call = call_of(fn, tensors, settings or {}, options.name, options.seed)
        with held_random_state(call):
            pair = torch_pair(call)
            version = {"torch": str(torch.__version__)}
            if reference is not None:
                eager = torch_pair(call_of(reference, tensors, settings or {}, options.name, options.seed))
                return kernel_report(pair, eager, options, budget, version)
            refuse_without_derivative(pair, "torch")
            if intended is not None:
                means = call_of(intended, tensors, settings or {}, options.name, options.seed)
                pair.meant = same_outputs(pair, torch_pair(means))
            # what is drawn depends on the precision
            meaningless = [
                *meaningless_for(pair),
                *unasked(pair),
                *(["works_in_float32"] if pair.draws else []),
            ]
            report = report_on_pair(
                pair, options, torch_checks(pair, order, transforms), meaningless, version, nondet_tol
            )
            if report.ok or options.checks is not None or not is_composed(call, pair):
                return report
            return _blamed(report, culprits(pair, partial(_is_right, options)))


def _is_right(options: CheckOptions, part: Any) -> bool:
    """Return whether a part of a module has a right gradient at what it was given; True if that cannot be told."""
    only = ["matches_numerical"]
    try:
        return check_torch(
            part.function, *part.args, seed=options.seed, checks=only, explore=False, repair=False
        ).ok
    except Exception:
        return True


def _blamed(report: Report, names: Sequence[str]) -> Report:
    """Return a report whose wrong gradients tell which parts are wrong by themselves."""
    if not names:
        return report
    note = f"by {'themselves' if len(names) > 1 else 'itself'} wrong: {', '.join(names)}"

    def told(row: Row) -> Row:
        wrong = row.check == "matches_numerical" and row.verdict is Verdict.WRONG
        return replace(row, note="; ".join(filter(None, [note, row.note]))) if wrong else row

    return replace(report, rows=[told(row) for row in report.rows])
