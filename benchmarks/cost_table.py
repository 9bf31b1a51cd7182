"""What single checks cost beside their peers: the jobs and the section "table" of ``benchmarks/cost.py``."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from cost_jobs import (
    GRADLAB,
    Measured,
    Ways,
    cut,
    first_sentence,
    gradchecks,
    measure,
    verdict_of,
    warm_up_torch,
)

from gradlab import check_jax, check_layer, check_torch, check_vjp, numerical_gradient
from gradlab.report.numbers import seconds
from gradlab.report.tables import table

Job = tuple[int, Ways]
BOTH = ("slow", "fast")
LOOP = "the loop"
LOSS, LOSS_SECONDS = "loss of 250 parameters, right", 0.3
# What is wrong, and the mistake to be named, if there is a name for it.
WRONG = {
    "loss of 250 parameters, wrong": "constant-factor",
    "the book's 784-50-10, 3 images, wrong": "constant-factor",
    "attention 8x8, wrong at large scores": "",
}


def vjp_job(forward: Callable[..., Any], backward: Callable[..., Any], theirs: Any, *primals: Any) -> Job:
    """Return `check_vjp` of a pair beside gradcheck of the same function in torch."""
    import torch

    tensors = [torch.from_numpy(x.copy()).requires_grad_() for x in primals]
    ways = {GRADLAB: lambda: check_vjp(forward, backward, primals)}
    return sum(x.size for x in primals), {**gradchecks(theirs, tensors, BOTH), **ways}


def affine_job(n: int, d: int, h: int) -> Job:
    rng = np.random.default_rng(0)

    def forward(x, W, b):
        return x @ W + b, (x, W)

    def backward(residuals, g):
        x, W = residuals
        return g @ W.T, x.T @ g, g.sum(axis=0)

    primals = [rng.standard_normal(shape) for shape in ((n, d), (d, h), (h,))]
    return vjp_job(forward, backward, lambda x, W, b: x @ W + b, *primals)


def relu_job() -> Job:
    import torch

    x = np.random.default_rng(0).standard_normal((32, 64))
    return vjp_job(lambda x: (np.maximum(x, 0), x > 0), lambda mask, g: (g * mask,), torch.relu, x)


def convolution() -> Job:
    import torch

    torch.manual_seed(0)
    layer, x = torch.nn.Conv2d(3, 8, 3, dtype=torch.float64), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    parameters = dict(layer.named_parameters())

    def call(x, *values):
        return torch.func.functional_call(layer, dict(zip(parameters, values, strict=True)), (x,))

    inputs = [x.clone().requires_grad_(), *parameters.values()]
    ways = {GRADLAB: lambda: check_torch(layer, x)}
    return sum(tensor.numel() for tensor in inputs), {**gradchecks(call, inputs, BOTH), **ways}


def layer_norm() -> Job:
    import torch
    from torch.nn import functional

    torch.manual_seed(0)
    tensors = [torch.randn(*shape, dtype=torch.float64) for shape in ((8, 16), (16,), (16,))]

    def call(x, weight, bias):
        return functional.layer_norm(x, (16,), weight, bias)

    ways = {GRADLAB: lambda: check_torch(call, *tensors)}
    inputs = [tensor.clone().requires_grad_() for tensor in tensors]
    return sum(tensor.numel() for tensor in tensors), {**gradchecks(call, inputs, BOTH), **ways}


def layer_job(
    layer: Any, inputs: Sequence[Any], scalar: Callable[[], Any], arrays: Sequence[Any], wrong: bool = False
) -> Job:
    """Return `check_layer` beside the textbook's loop over all elements of the arrays that `scalar` depends on.

    The loop of a wrong layer would be that of the right one once more, and is left out.
    """
    loop = {LOOP: lambda: [numerical_gradient(lambda _: scalar(), x) for x in arrays]}
    ours = {GRADLAB: lambda: check_layer(layer, *inputs)}
    return sum(x.size for x in arrays), ours if wrong else {**loop, **ours}


def batch_norm() -> Job:
    """Return the check of a right layer, as a learner writes it."""

    class BatchNorm:
        def __init__(self, gamma, beta):
            self.gamma, self.beta = gamma, beta

        def forward(self, x):
            centred = x - x.mean(axis=0)
            self.std = np.sqrt((centred**2).mean(axis=0) + 1e-5)
            self.xhat = centred / self.std
            return self.gamma * self.xhat + self.beta

        def backward(self, dout):
            self.dgamma, self.dbeta = (dout * self.xhat).sum(axis=0), dout.sum(axis=0)
            dxhat = dout * self.gamma
            return (dxhat - dxhat.mean(axis=0) - self.xhat * (dxhat * self.xhat).mean(axis=0)) / self.std

    rng = np.random.default_rng(0)
    x, gamma, beta, g = (rng.standard_normal(shape) for shape in ((32, 64), 64, 64, (32, 64)))
    layer = BatchNorm(gamma, beta)
    return layer_job(layer, [x], lambda: np.sum(g * layer.forward(x)), [x, gamma, beta])


def small_loss(wrong: bool) -> Job:
    """Return the check of scores, softmax and cross-entropy in one layer, as a learner writes it."""

    class AffineWithLoss:
        def __init__(self, W, b):
            self.W, self.b = W, b

        def forward(self, x, t):
            scores = x @ self.W + self.b
            exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
            self.x, self.t, self.y = x, t, exponentials / exponentials.sum(axis=1, keepdims=True)
            return -np.mean(np.log(self.y[np.arange(len(t)), t] + 1e-7))

        def backward(self, dout=1.0):
            dscores = self.y.copy()
            dscores[np.arange(len(self.t)), self.t] -= 1
            dscores *= dout / len(self.t)
            self.dW, self.db = self.x.T @ dscores, dscores.sum(axis=0)
            return dscores @ self.W.T

    class Twice(AffineWithLoss):
        def backward(self, dout=1.0):
            dx = super().backward(dout)
            self.dW *= 2
            return dx

    rng = np.random.default_rng(0)
    layer = (Twice if wrong else AffineWithLoss)(0.1 * rng.standard_normal((24, 10)), np.zeros(10))
    x, t = rng.standard_normal((3, 24)), rng.integers(0, 10, 3)
    return layer_job(layer, [x, t], lambda: layer.forward(x, t), [x, layer.W, layer.b], wrong)


def book_network(wrong: bool) -> Job:
    from gradlab.textbook.datasets import load_dataset
    from gradlab.textbook.models.layer_list_net import LayerListNet

    class Twice(LayerListNet):
        def backward(self, dout=1.0):
            dx = super().backward(dout)
            self.grads[0] *= 2
            return dx

    data = load_dataset()
    x, t = data.x_train[:3].astype(np.float64), data.t_train[:3]
    net = (Twice if wrong else LayerListNet)(784, 50, 10)
    return layer_job(net, [x, t], lambda: net.loss(x, t), [x, *net.params], wrong)


def numpy_fixed_point() -> Job:
    """Return the check of an equation's solution, found by a loop that ends nowhere but there."""
    a, b = np.array([0.5, -0.4, 0.3, -0.6, 0.2]), np.array([0.3, -0.2, 0.5, 0.1, -0.7])

    def forward(a, b):
        x, change = np.zeros_like(b), 1.0
        while change > 1e-12:
            new = np.tanh(a * x + b)
            x, change = new, np.abs(new - x).max()
        return x, (a, x)

    def backward(residuals, g):
        a, x = residuals
        slope = 1 - x**2
        db = g * slope / (1 - a * slope)
        return db * x, db

    return a.size + b.size, {GRADLAB: lambda: check_vjp(forward, backward, (a, b))}


def jax_fixed_point() -> Job:
    import jax
    import jax.numpy as jnp

    def step(x, a, b):
        return jnp.tanh(a * x + b)

    @jax.custom_vjp
    def solution(a, b):
        start = jnp.zeros_like(b), step(jnp.zeros_like(b), a, b)
        far = lambda pair: jnp.abs(pair[0] - pair[1]).max() > 1e-6  # noqa: E731  (JAX's own habit)
        return jax.lax.while_loop(far, lambda pair: (pair[1], step(pair[1], a, b)), start)[1]

    def forward(a, b):
        x = solution(a, b)
        return x, (a, x)

    def backward(residuals, g):
        a, x = residuals
        slope = 1 - x**2
        db = g * slope / (1 - a * slope)
        return db * x, db

    solution.defvjp(forward, backward)
    a, b = jnp.array([0.5, -0.4, 0.3]), jnp.array([0.3, -0.2, 0.5])
    return a.size + b.size, {GRADLAB: lambda: check_jax(jax.jit(solution), a, b, name="fixed point")}


def ctc_loss() -> Job:
    import torch
    from torch.nn import functional

    torch.manual_seed(0)
    x, targets = torch.randn(6, 2, 4, dtype=torch.float64), torch.tensor([[1, 2], [3, 3]])
    lengths = torch.tensor([6, 5]), torch.tensor([2, 2])

    # torch's gradient is that of log-probabilities which are normalised, and stay so
    def call(x, targets, input_lengths, target_lengths):
        return functional.ctc_loss(x.log_softmax(-1), targets, input_lengths, target_lengths)

    ways = {GRADLAB: lambda: check_torch(call, x, targets, *lengths, name="ctc_loss")}
    inputs = x.clone().requires_grad_(), targets, *lengths
    return x.numel(), {**gradchecks(call, inputs, BOTH), **ways}


def attention() -> Job:
    """Return the check of an attention whose mistake lies beyond the given point, and is shrunk."""
    import torch

    class Attention(torch.autograd.Function):
        @staticmethod
        def forward(ctx, q, k, v):
            ctx.save_for_backward(q, k, v)
            return torch.softmax(q @ k.T / q.shape[-1] ** 0.5, dim=-1) @ v

        @staticmethod
        def backward(ctx, g):
            q, k, v = ctx.saved_tensors
            scores = q @ k.T / q.shape[-1] ** 0.5
            weights = torch.softmax(scores, dim=-1)
            dweights = g @ v.T
            dscores = weights * (dweights - (dweights * weights).sum(dim=-1, keepdim=True))
            # the mistake: large scores are taken for saturated
            dscores = torch.where(scores.abs() < 4, dscores, 0) / q.shape[-1] ** 0.5
            return dscores @ k, dscores.T @ q, weights.T @ g

    torch.manual_seed(0)
    tensors = [torch.randn(8, 8, dtype=torch.float64) for _ in range(3)]
    inputs = [tensor.clone().requires_grad_() for tensor in tensors]
    ways = {GRADLAB: lambda: check_torch(Attention, *tensors)}
    return sum(tensor.numel() for tensor in tensors), {**gradchecks(Attention.apply, inputs, BOTH), **ways}


def whole_model() -> Job:
    from directional import torch_network

    from gradlab.textbook.models import TwoLayerNet
    from gradlab.textbook.models.model_check import check_model

    rng = np.random.default_rng(0)
    x = rng.random((100, 784)) * (rng.random((100, 784)) < 0.2)
    t = rng.integers(10, size=100)
    net = TwoLayerNet(784, 50, 10, rng=0)
    ways = {"gradcheck, fast": torch_network(net, x, t), GRADLAB: lambda: check_model(net, x, t)}
    return sum(p.size for p in net.params.values()), ways


JOBS: dict[str, Callable[[], Job]] = {
    "check_vjp of affine 4x5 -> 3": lambda: affine_job(4, 5, 3),
    "check_torch of Conv2d(3, 8, 3) on 2x3x8x8": convolution,
    "check_torch of layer_norm 8x16": layer_norm,
    "check_layer of batch norm 32x64": batch_norm,
    "check_vjp of relu 32x64": relu_job,
    "check_vjp of affine 32x64 -> 32": lambda: affine_job(32, 64, 32),
    LOSS: lambda: small_loss(False),
    "loss of 250 parameters, wrong": lambda: small_loss(True),
    "the book's 784-50-10, 3 images, right": lambda: book_network(False),
    "the book's 784-50-10, 3 images, wrong": lambda: book_network(True),
    "fixed point by an endless loop, NumPy": numpy_fixed_point,
    "fixed point by lax.while_loop, JAX": jax_fixed_point,
    "torch's ctc_loss 6x2x4": ctc_loss,
    "attention 8x8, wrong at large scores": attention,
    "check_model of 784-50-10, batch of 100": whole_model,
}


def warm_up() -> None:
    """Load torch's side, and what a wrong report loads."""
    warm_up_torch()
    check_vjp(lambda x: (x**2, x), lambda x, g: (3 * x * g,), (np.ones(2),))


def job(name: str) -> Job:
    """Return the elements and the ways of a row of the table."""
    return JOBS[name]()


def section(options: argparse.Namespace, style: str) -> tuple[str, bool]:
    """Return the section, and whether every goal in it is met."""
    every = list(measure("cost_table", list(JOBS), options.patience, "check"))
    lines = [line for found in every for line in lines_of(found)]
    told = [
        f"- {found.name}: {sentence}" for found in every for sentence in named(found) or first_sentence(found)
    ]
    goals = [goal for found in every for goal in goals_of(found)]
    missed = [f"- missed: {text}" for text, met in goals if not met]
    headers = ("check", "elements", "gradlab", "peer", "its time", "gradlab / peer", "verdict")
    parts = [
        "Default arguments, one thread, the best of several calls in turns, a single one where it takes more than a "
        f"second; a call is ended after {options.patience:g} s. The loop is the textbook's: two losses an element.",
        table(headers, lines, style),
        "\n".join(told),
        f"Every check has an end, what is right is neither accused nor undecided, in what is wrong a mistake is named, "
        f"and the small loss takes at most {LOSS_SECONDS} s: {len(goals) - len(missed)} of {len(goals)} goals met.",
        "\n".join(missed),
    ]
    return "\n\n".join(filter(None, ["## Single checks beside their peers", *parts])), not missed


def lines_of(found: Measured) -> list[tuple[str, ...]]:
    """Return a line of the table for each peer, or one where there is none."""
    first = found.name, f"{found.elements:,}", seconds(found.seconds.get(GRADLAB))
    verdict = f"{verdict_of(found)}, named" if named(found) else verdict_of(found)
    lines = []
    for peer in [way for way in found.seconds if way != GRADLAB] or [""]:
        ratio = found.ratio(peer)
        shown = "" if ratio is None else f"{ratio:.3g}"
        lines.append((*first, peer, seconds(found.seconds.get(peer)), shown, verdict))
        first, verdict = ("", "", ""), ""
    return lines


def named(found: Measured) -> list[str]:
    """Return a sentence that names a mistake, the wanted one if it is among them; empty if there is none."""
    sentences = found.told.get(GRADLAB, {}).get("named", [])
    return [
        cut(sentence) for sentence in sorted(sentences, key=lambda s: WRONG.get(found.name, "") not in s)
    ][:1]


def goals_of(found: Measured) -> list[tuple[str, bool]]:
    """Return each goal of a row in words, and whether it is met."""
    verdict, taken = verdict_of(found), found.seconds.get(GRADLAB, float("inf"))
    goals = [(f"{found.name}: {verdict}", verdict == ("accused" if found.name in WRONG else "right"))]
    if WRONG.get(found.name):
        right_name = any(WRONG[found.name] in sentence for sentence in named(found))
        goals.append((f"{found.name}: {WRONG[found.name]} is not named", right_name))
    if found.name == LOSS:
        goals.append((f"{found.name}: {taken:.3g} s (goal {LOSS_SECONDS} s)", taken <= LOSS_SECONDS))
    return goals
