"""The MNIST benchmark: one network, its gradient both ways, and training by either."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.numerical.finite_difference import numerical_gradient
from gradlab.report import Row
from gradlab.report.envelope import environment, to_json
from gradlab.report.numbers import number, seconds
from gradlab.report.tables import table
from gradlab.running.progress import progress_bar
from gradlab.running.timing import best_time
from gradlab.textbook import mnist_models
from gradlab.textbook.datasets import Dataset
from gradlab.textbook.models import TwoLayerNet
from gradlab.textbook.models.parameter_blocks import numerical_blocks
from gradlab.textbook.optimizers import SGD
from gradlab.textbook.training import Progress, TrainingHistory, train
from gradlab.verdict import Verdict
from gradlab.workers.blas_threads import one_blas_thread
from gradlab.workers.worker_map import Workers

# Above this the two gradients do not agree: central differences with h = 1e-4 reach about 1e-8 here.
AGREEMENT = 1e-6
GRADIENT_HEADERS = (
    "parameter", "elements", "relative error", "verdict", "numerical", "backprop (all)", "numerical / backprop",
)  # fmt: skip
TRAINING_HEADERS = ("epoch", "step", "loss", "train accuracy", "test accuracy", "time")


@dataclass(frozen=True)
class MnistReport:
    """The result of the benchmark.

    Attributes
    ----------
    data : str
        The data set's name, which every title carries.
    gradients : list of Row
        Numerical against backprop for each parameter, and for "all"; empty if the two were not compared.
    training : dict of TrainingHistory
        One for each gradient that a net was trained by, under the gradient's name.
    environment : mapping
    apart : float or None
        The largest difference, over all steps, of any parameter of two nets from one start on the same batches, one
        trained by each gradient; None if only one was trained.
    distances : sequence of float
        The same difference after each step.
    """

    data: str
    gradients: list[Row]
    training: dict[str, TrainingHistory]
    environment: Mapping[str, Any] = field(default_factory=environment)
    apart: float | None = None
    distances: Sequence[float] = ()

    @property
    def ok(self) -> bool:
        """Whether the two gradients agree, as far as they were compared, and led to the same parameters."""
        together = self.apart is None or self.apart < AGREEMENT
        return together and all(row.verdict.ok for row in self.gradients)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended a training."""
        return any(history.interrupted for history in self.training.values())

    def to_table(self, style: str) -> str:
        """Return both tables, each with its title, in one of tabulate's styles."""
        heading = "## " if style == "github" else ""
        parts = []
        for caption, headers, rows, remark in self.tables():
            parts += [f"{heading}{caption}", table(headers, rows, style), remark]
        if self.apart is not None:
            parts.append(f"No parameter of the two nets was ever further apart than {number(self.apart)}.")
        return "\n\n".join(filter(None, parts))

    def tables(self) -> list[tuple[str, Sequence[str], Sequence[Sequence[str]], str]]:
        """Return captions, headers, rows and remarks: of both gradients, and of each training."""
        compared = "numerical gradient against backprop"
        tables: list[tuple[str, Sequence[str], Sequence[Sequence[str]], str]] = []
        if self.gradients:
            of_both = _gradient_cells(self.gradients), self.gradients[-1].note
            tables.append((f"{self.data}: {compared}", GRADIENT_HEADERS, *of_both))
        for way, history in self.training.items():
            rows = [_training_row(point) for point in _shown(history.points)]
            cut = "Interrupted: this is how far it came." if history.interrupted else ""
            tables.append((f"{self.data}: training by {way}", TRAINING_HEADERS, rows, cut))
        return tables

    def to_json(self) -> str:
        """Return the envelope; the ``table`` of a row is "gradient" (a `Row`), "training" (a `Progress`) or "apart"."""
        rows: list[dict[str, Any]] = [{"table": "gradient", **asdict(row)} for row in self.gradients]
        for way, history in self.training.items():
            rows += [{"table": "training", "gradient": way, **asdict(point)} for point in history.points]
        rows += [] if self.apart is None else [{"table": "apart", "apart": self.apart}]
        return to_json(self.ok, rows, self.environment)


@one_blas_thread()
def run(
    data: Dataset,
    *,
    gradient: str = "both",
    steps: int = 10_000,
    batch_size: int = 100,
    hidden: int = 50,
    lr: float = 0.1,
    seed: int = 0,
    workers: Workers = None,
    progress: bool = False,
) -> MnistReport:
    """Compare and train the textbook's TwoLayerNet.

    Parameters
    ----------
    data : Dataset
    gradient : {"both", "backprop", "numerical"}
        "both" compares the two gradients on one batch, then trains by backprop; "numerical" compares them, and trains
        two nets from one start on the same batches, one by backprop and one by the incremental differences.
    steps, batch_size : int
        See `gradlab.textbook.training.train`.
    hidden : int
        The number of hidden units.
    lr : float
        The learning rate.
    seed : int
        Of the initial weights and of the batches, not negative.
    workers : int or map-like callable, optional
        Who shares the losses of the textbook's loop, the numerical gradient of the comparison: see
        `gradlab.estimate_gradient`.
    progress : bool
        Whether to show a bar on stderr when that is a terminal.
    """
    for_weights, for_batches, for_comparison = np.random.default_rng(seed).spawn(3)
    net = TwoLayerNet(data.x_train.shape[1], hidden, 10, rng=for_weights)
    rows = []
    if gradient != "backprop":
        batch = for_comparison.integers(len(data.x_train), size=batch_size)
        x, t = data.x_train[batch], data.t_train[batch]
        rows = compare_gradients(net, x, t, workers=workers, progress=progress)
    settings = {"steps": steps, "batch_size": batch_size, "lr": lr}
    distances: list[float] = []
    if gradient == "numerical":
        training, distances = _both_ways(net, data, settings, for_batches, progress)
    else:
        training = {"backprop": _trained(net, net.gradient, data, settings, for_batches, progress)}
    more = {"data": data.name, "batch_size": batch_size, "hidden": hidden, "learning_rate": lr, "seed": seed}
    apart = max(distances, default=0.0) if gradient == "numerical" else None
    return MnistReport(data.name, rows, training, environment(**more), apart, distances)


def _trained(
    net: TwoLayerNet,
    gradient: Callable[[Array, Array], Mapping[str, Array]],
    data: Dataset,
    settings: Mapping[str, Any],
    rng: np.random.Generator,
    progress: bool,
    also: Callable[[Array, Array], None] = lambda x, t: None,
) -> TrainingHistory:
    way = "backprop" if gradient == net.gradient else "numerical gradients"
    with _bar(f"training by {way}", settings["steps"], progress) as bar:

        def on_step(x: Array, t: Array) -> None:
            also(x, t)
            bar(lambda: f"loss {net.loss(x, t):.3f}")

        return train(net, gradient, data, **settings, rng=rng, on_step=on_step)


def _both_ways(
    net: TwoLayerNet, data: Dataset, settings: Mapping[str, Any], rng: np.random.Generator, progress: bool
) -> tuple[dict[str, TrainingHistory], list[float]]:
    """Train `net` by numerical gradients, and a copy by backprop on the same batches.

    Returns both histories, and the largest difference of a parameter of the two nets after each step.
    """
    twin, start = deepcopy(net), deepcopy(net)
    same_batches = deepcopy(rng)
    optimizer, distances = SGD(settings["lr"]), list[float]()

    def keep_up(x: Array, t: Array) -> None:
        optimizer.update(twin.params, twin.gradient(x, t))
        distances.append(max(float(np.abs(p - twin.params[k]).max()) for k, p in net.params.items()))

    numerical = _trained(net, net.incremental_gradient, data, settings, rng, progress, keep_up)
    done = {**settings, "steps": numerical.points[-1].step if numerical.points else 0}
    backprop = _trained(start, start.gradient, data, done, same_batches, progress)
    return {"numerical gradients": numerical, "backprop": backprop}, distances


@one_blas_thread()
def run_graph_model(data: Dataset, model: str, *, seed: int = 0, **given: Any) -> MnistReport:
    """Train one of the models of `gradlab.textbook.mnist_models`; a setting left out or None has its default there."""
    settings = {key: given.get(key) or default for key, default in mnist_models.DEFAULTS[model].items()}
    history = mnist_models.train(model, data, seed=seed, **settings)
    more = {"data": data.name, "model": model, **settings, "seed": seed}
    return MnistReport(data.name, [], {f"backprop, model {model}": history}, environment(**more))


def compare_gradients(
    net: TwoLayerNet, x: Array, t: Array, *, workers: Workers = None, progress: bool = False
) -> list[Row]:
    """Return a row for each parameter, and one for all of them, with both gradients of one batch.

    The relative error is ||analytic - numerical|| / ||numerical||, the norm over all elements: most of the
    784 x 50 single elements are smaller than the differences' own rounding. The time of a numerical gradient that
    `workers` share is the sum of theirs.
    """
    backprop_s = best_time(lambda: net.gradient(x, t))
    forward_s = best_time(lambda: net.loss(x, t))
    analytic = net.gradient(x, t)
    numerical, numerical_s = _numerical(net, x, t, workers, progress)
    incremental_s = best_time(lambda: net.incremental_gradient(x, t))
    incremental = net.incremental_gradient(x, t)
    incremental["all"] = np.concatenate([g.ravel() for g in incremental.values()])
    analytic["all"] = np.concatenate([g.ravel() for g in analytic.values()])
    numerical["all"] = np.concatenate([g.ravel() for g in numerical.values()])
    numerical_s["all"] = sum(numerical_s.values())
    sample = f"batch of {len(x)}"
    rows = [
        _gradient_row(sample, name, analytic[name], numerical[name], forward_s, backprop_s, numerical_s[name])
        for name in numerical
    ]
    apart = np.abs(incremental["all"] - numerical["all"]).max()
    rows[-1] = replace(
        rows[-1],
        note=f"The same differences, of each element only what it changes computed anew: {seconds(incremental_s)}, "
        f"{numerical_s['all'] / incremental_s:,.0f} times as fast as the loop and at most {number(apart)} apart.",
    )
    return rows


def _numerical(
    net: TwoLayerNet, x: Array, t: Array, workers: Workers, progress: bool
) -> tuple[dict[str, Array], dict[str, float]]:
    """Return the gradient of every parameter by central differences, and the seconds that each took."""
    gradients = {name: np.empty_like(p) for name, p in net.params.items()}
    taken = dict.fromkeys(net.params, 0.0)
    with _bar("numerical gradient", 2 * sum(p.size for p in net.params.values()), progress) as bar:

        def loss(_: Array) -> float:
            bar(None)
            return net.loss(x, t)

        if workers is not None:
            for block, gradient, block_s in numerical_blocks(net, x, t, workers):
                block.of(gradients[block.name])[...] = gradient
                taken[block.name] += block_s
                bar(None, 2 * gradient.size)
            return gradients, taken
        for name, parameter in net.params.items():
            start = perf_counter()
            gradients[name] = numerical_gradient(loss, parameter)
            taken[name] = perf_counter() - start
    return gradients, taken


def _gradient_row(
    sample: str,
    name: str,
    analytic: Array,
    numerical: Array,
    forward_s: float,
    backprop_s: float,
    numerical_s: float,
) -> Row:
    difference = np.abs(analytic - numerical)
    relative = float(np.linalg.norm(difference) / np.linalg.norm(numerical))
    worst = np.unravel_index(difference.argmax(), difference.shape)
    return Row(
        node="two_layer_net",
        sample=sample,
        check="matches_numerical",
        primal=name,
        dtype=str(analytic.dtype),
        verdict=Verdict.PASS if relative < AGREEMENT else Verdict.WRONG,
        relative_error=relative,
        absolute_error=float(difference.max()),
        worst_index=tuple(int(i) for i in worst),
        analytic=float(analytic[worst]),
        numerical=float(numerical[worst]),
        forward_s=forward_s,
        backward_s=backprop_s,
        numerical_s=numerical_s,
        speedup=numerical_s / backprop_s,
        evaluations=2 * analytic.size,
        note="relative error of the norms; backward_s is one backprop for all parameters, forward pass included",
    )


def _gradient_cells(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    return [
        (r.primal, f"{(r.evaluations or 0) // 2:,}", number(r.relative_error), str(r.verdict),
         seconds(r.numerical_s), seconds(r.backward_s), f"{r.speedup:,.0f}x")
        for r in rows
    ]  # fmt: skip


def _training_row(point: Progress) -> tuple[str, ...]:
    accuracies = (f"{point.train_accuracy:.4f}", f"{point.test_accuracy:.4f}")
    return (f"{point.epoch:.4g}", str(point.step), f"{point.loss:.4f}", *accuracies, seconds(point.seconds))


def _shown(points: list[Progress]) -> list[Progress]:
    """Return the start, the epochs that are powers of two, and the end."""
    powers = {2**k for k in range(32)}
    return [p for p in points if p is points[-1] or p.epoch == 0 or p.epoch in powers]


@contextmanager
def _bar(title: str, total: int, progress: bool) -> Iterator[Callable[..., None]]:
    """Yield ``advance(word, steps=1)``, to be called after steps; `word` is called only when the bar is redrawn."""
    if not progress:
        yield lambda word, steps=1: None
        return
    last_s = 0.0
    with progress_bar(total, "step", title=title) as bar:

        def advance(word: Callable[[], str] | None, steps: int = 1) -> None:
            nonlocal last_s
            bar.update(steps)
            if word is not None and not bar.disable and perf_counter() - last_s > 0.2:
                last_s = perf_counter()
                bar.set_postfix_str(word(), refresh=False)

        yield advance
