"""The object that the fixture `gradcheck` gives to a test."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import gradlab
from gradlab.report import Report


class GradCheck:
    """gradlab's checks for a test: each raises `GradientError` where a gradient is wrong, or could not be decided.

    Each method takes the arguments of the check that it names, and returns the check's `Report` where all is right.
    The check is also passed the options of the marker ``gradlab`` and the run's seed, as far as it takes them;
    options that the call itself gives come first.

    Parameters
    ----------
    options : mapping
        The options to pass on: `rtol`, `atol`, `seed`, `strict`, `explore`, `max_seconds`, `max_evaluations`.
    record : callable
        ``record(report)`` is called with every report, before anything is raised.

    Examples
    --------
    >>> def test_square(gradcheck):
    ...     gradcheck(lambda x: (x**2, x), lambda x, g: (2 * x * g,), (np.array([1.0, 2.0]),))
    """

    def __init__(self, options: Mapping[str, Any], record: Callable[[Report], object]) -> None:
        self._options = dict(options)
        self._record = record

    def __repr__(self) -> str:
        return f"GradCheck({', '.join(f'{name}={value!r}' for name, value in self._options.items())})"

    def __call__(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        primals: Sequence[Any],
        **options: Any,
    ) -> Report:
        """Hold functions to the node contract: see `gradlab.check_vjp`."""
        return self.run(gradlab.check_vjp, forward, backward, primals, **options)

    def layer(self, layer: Any, *inputs: Any, **options: Any) -> Report:
        """Check an object with a forward and a backward pass: see `gradlab.check_layer`."""
        return self.run(gradlab.check_layer, layer, *inputs, **options)

    def cached_pair(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        primals: Sequence[Any],
        **options: Any,
    ) -> Report:
        """Check functions in the course style: see `gradlab.check_cached_pair`."""
        return self.run(gradlab.check_cached_pair, forward, backward, primals, **options)

    def gradient(self, f: Callable[..., Any], grad: Any, x: Any, **options: Any) -> Report:
        """Check the gradient of a scalar function: see `gradlab.check_gradient`."""
        return self.run(gradlab.check_gradient, f, grad, x, **options)

    def jacobian(self, f: Callable[..., Any], jac: Any, x: Any, **options: Any) -> Report:
        """Check the Jacobian of a vector-valued function: see `gradlab.check_jacobian`."""
        return self.run(gradlab.check_jacobian, f, jac, x, **options)

    def hessian(self, f: Callable[..., Any], grad: Any, hess: Any, x: Any, **options: Any) -> Report:
        """Check the gradient and the Hessian of a scalar function: see `gradlab.check_hessian`."""
        return self.run(gradlab.check_hessian, f, grad, hess, x, **options)

    def jvp(
        self, forward: Callable[..., Any], jvp: Callable[..., Any], primals: Sequence[Any], **options: Any
    ) -> Report:
        """Check a forward mode: see `gradlab.check_jvp`."""
        return self.run(gradlab.check_jvp, forward, jvp, primals, **options)

    def torch(self, fn_or_module: Any, *tensors: Any, **options: Any) -> Report:
        """Check a function or module of torch's: see `gradlab.check_torch`."""
        return self.run(gradlab.check_torch, fn_or_module, *tensors, **options)

    def jax(self, fn: Callable[..., Any], *arrays: Any, **options: Any) -> Report:
        """Check a function of JAX's: see `gradlab.check_jax`."""
        return self.run(gradlab.check_jax, fn, *arrays, **options)

    def model(self, model: Any, x: Any, t: Any, **options: Any) -> Report:
        """Check the backprop of a whole model: see `gradlab.textbook.models.check_model`."""
        # only a test of a whole model loads the textbook
        models = import_module("gradlab.textbook.models")
        return self.run(models.check_model, model, x, t, **options)

    def run(self, check: Callable[..., Report], *args: Any, **options: Any) -> Report:
        """Return the report of ``check(*args, **options)``, if nothing is wrong.

        Raises
        ------
        GradientError
            If a gradient is wrong, or could not be decided; the error carries the report.
        """
        known = inspect.signature(check).parameters
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
        passed_on = {name: value for name, value in self._options.items() if takes_any or name in known}
        report = check(*args, **passed_on | options)
        self._record(report)
        report.raise_if_failed()
        return report
