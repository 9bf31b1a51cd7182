"""Mixed checks in several threads at once: the verdicts of one after the other, and the process as it was."""

import random
import sys
import threading
import warnings
from collections.abc import Callable
from time import monotonic
from typing import Any

import numpy as np

import gradlab

THREADS = 8


class Dropout:
    """Draws from NumPy's own generator, and says so."""

    def forward(self, x: Any) -> Any:
        """Draw a mask."""
        print("dropping")
        self.mask = np.random.rand(*x.shape) > 0.5  # noqa: NPY002 # as layers do
        return x * self.mask

    def backward(self, d: Any) -> Any:
        """Use it."""
        warnings.warn("backward", stacklevel=1)
        return d * self.mask


class Wrong(Dropout):
    """Forgets its mask."""

    def backward(self, d: Any) -> Any:
        """Use none."""
        return d


def _square(factor: float, size: int) -> gradlab.Report:
    x = np.random.default_rng(size).standard_normal(size) + 2
    return gradlab.check_vjp(lambda x: (x**2, x), lambda x, g: (factor * x * g,), (x,))


def _estimated() -> bool:
    x = np.linspace(0.5, 2, 50)
    found = gradlab.estimate_gradient(lambda x: np.log(x).sum(), x)
    return bool((np.abs(found.value - 1 / x) <= found.error + 1e-12).all())


X = np.random.default_rng(1).standard_normal((4, 5))
TASKS: dict[str, Callable[[], Any]] = {
    "a right square": lambda: _square(2.0, 7).ok,
    "a wrong square": lambda: _square(3.0, 7).ok,
    "a large right square": lambda: _square(2.0, 20_000).ok,
    "a right dropout": lambda: gradlab.check_layer(Dropout(), X).ok,
    "a wrong dropout": lambda: gradlab.check_layer(Wrong(), X).ok,
    "a gradient": lambda: gradlab.check_gradient(lambda x: np.sum(x**3), lambda x: 3 * x**2, X[0]).ok,
    "a wrong Jacobian": lambda: gradlab.check_jacobian(lambda x: x**2, lambda x: np.diag(x), X[0]).ok,
    "an estimate": _estimated,
    "a node": lambda: gradlab.verify("softplus").ok,
}


def in_threads(seconds: float) -> tuple[int, list[str]]:
    """Run the tasks in threads for so many seconds; return how many ran, and what was wrong."""
    expected = {name: task() for name, task in TASKS.items()}
    np.random.seed(3)  # noqa: NPY002 # what the layers draw from
    stdout, filters, errors = sys.stdout, list(warnings.filters), np.geterr()
    wrong: list[str] = []
    done = [0] * THREADS
    end = monotonic() + seconds

    def work(number: int) -> None:
        rng = random.Random(number)
        while monotonic() < end:
            name = rng.choice(list(TASKS))
            try:
                found = TASKS[name]()
            except BaseException as error:
                found = f"{type(error).__name__}: {error}"
            if found != expected[name]:
                wrong.append(f"{name}: {found} instead of {expected[name]}")
            done[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wrong += ["stdout is another"] if sys.stdout is not stdout else []
    wrong += ["the filters of warnings are others"] if list(warnings.filters) != filters else []
    wrong += ["NumPy handles errors otherwise"] if np.geterr() != errors else []
    return sum(done), wrong
