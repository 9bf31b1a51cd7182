"""Row "told as it is": right, and easily called wrong."""

import torch
import torch.nn as nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from .._entry import Call, Entry

ROW = "told as it is"


def k(seed, *shape, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def spd(seed, n, batch=()):
    a = k(seed, *batch, n, n)
    return (a @ a.mT / n + torch.eye(n, dtype=torch.float64)).requires_grad_()


class Cholesky(Function):
    """Takes a symmetric matrix, reads its lower half, returns a symmetric gradient."""

    @staticmethod
    def forward(ctx, A):
        L = torch.linalg.cholesky(A)
        ctx.save_for_backward(L)
        return L

    @staticmethod
    def backward(ctx, g):
        (L,) = ctx.saved_tensors
        P = (L.mT @ g).tril()
        P = P - 0.5 * torch.diag_embed(P.diagonal(dim1=-2, dim2=-1))
        S = torch.linalg.solve_triangular(L.mT, P, upper=True)
        S = torch.linalg.solve_triangular(L, S, upper=False, left=False)
        return 0.5 * (S + S.mT)


class SymmetricEigenvalues(Function):
    @staticmethod
    def forward(ctx, A):
        lam, V = torch.linalg.eigh(A)
        ctx.save_for_backward(V)
        return lam

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        (V,) = ctx.saved_tensors
        return V @ (g.unsqueeze(-1) * V.mT)


class MatrixRoot(Function):
    """Square root of a symmetric positive matrix; the gradient solves a Lyapunov equation."""

    @staticmethod
    def forward(ctx, A):
        lam, V = torch.linalg.eigh(A)
        ctx.save_for_backward(lam, V)
        return V @ (lam.sqrt().unsqueeze(-1) * V.mT)

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        lam, V = ctx.saved_tensors
        s = lam.sqrt()
        h = V.mT @ (0.5 * (g + g.mT)) @ V
        return V @ (h / (s.unsqueeze(-1) + s.unsqueeze(-2))) @ V.mT


def expensive(x, w):
    return torch.sin(x @ w).cumsum(1) * torch.sigmoid(x @ w)


def reentrant(x, w):
    return checkpoint(expensive, x, w, use_reentrant=True)


class Reentrant(nn.Module):
    """Two checkpointed halves, one of them with a custom activation"""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4).double(), nn.Linear(4, 3).double()
        with torch.no_grad():
            for i, p in enumerate(self.parameters()):
                p.copy_(k(30 + i, *p.shape))

    def forward(self, x):
        x = checkpoint(lambda t: torch.tanh(self.a(t)), x, use_reentrant=True)
        return checkpoint(lambda t: self.b(t).square(), x, use_reentrant=True)


class MaskedSoftmax(Function):
    """Rows with nothing to attend to are zero, and so is their gradient."""

    @staticmethod
    def forward(ctx, scores, mask):
        s = scores.masked_fill(~mask, float("-inf"))
        top = s.amax(-1, keepdim=True)
        e = torch.exp(s - torch.where(top.isinf(), torch.zeros_like(top), top))
        total = e.sum(-1, keepdim=True)
        p = e / torch.where(total == 0, torch.ones_like(total), total)
        ctx.save_for_backward(p)
        return p

    @staticmethod
    def backward(ctx, g):
        (p,) = ctx.saved_tensors
        return p * (g - (g * p).sum(-1, keepdim=True)), None


def make_masked():
    mask = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]], dtype=torch.bool)
    return Call(MaskedSoftmax.apply, (k(4, 3, 4).requires_grad_(), mask))


def attend(q, key, value, mask):
    """Plain operations; -inf in the scores, a fully masked row put right after."""
    s = (q @ key.mT / q.shape[-1] ** 0.5).masked_fill(~mask, float("-inf"))
    dead = ~mask.any(-1, keepdim=True)
    p = torch.softmax(s.masked_fill(dead, 0.0), -1).masked_fill(dead, 0.0)
    return p @ value


def make_attend():
    mask = torch.ones(4, 4, dtype=torch.bool).tril(-1)  # the first row sees nothing
    return Call(
        attend, (k(5, 4, 3).requires_grad_(), k(6, 4, 3).requires_grad_(), k(7, 4, 2).requires_grad_(), mask)
    )


def autocast_product(a, b):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return a @ b


def autocast_loss(x, w1, w2):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h = torch.tanh(torch.nn.functional.linear(x, w1))
        y = torch.nn.functional.linear(h, w2)
    return (y.float() ** 2).mean()


class Rescale(Function):
    """x * table[kind] / unit: None for what needs no gradient, and for the integer"""

    @staticmethod
    def forward(ctx, x, table, kind, unit):
        ctx.unit = unit
        ctx.save_for_backward(x, table, kind)
        return x * table[kind] / unit

    @staticmethod
    def backward(ctx, g):
        x, table, kind = ctx.saved_tensors
        gx = g * table[kind] / ctx.unit if ctx.needs_input_grad[0] else None
        gt = torch.zeros_like(table).index_add(0, kind, g * x / ctx.unit) if ctx.needs_input_grad[1] else None
        return gx, gt, None, None


def make_rescale():
    return Call(
        Rescale.apply,
        (
            k(11, 5).requires_grad_(),
            torch.tensor([1.0, 0.25, 3.0], dtype=torch.float64),
            torch.tensor([2, 0, 0, 1, 2]),
            10.0,
        ),
    )


def _oscillator(y, th):
    """a damped pendulum: y = (angle, speed), th = (stiffness, damping)"""
    return torch.stack([y[1], -th[0] * torch.sin(y[0]) - th[1] * y[1]])


def _vjp(y, th, a):
    fy = torch.stack([-th[0] * torch.cos(y[0]) * a[1], a[0] - th[1] * a[1]])
    fth = torch.stack([-torch.sin(y[0]) * a[1], -y[1] * a[1]])
    return fy, fth


def _rk4(f, state, h):
    def move(s, d, c):
        return [u + c * v for u, v in zip(s, d)]

    k1 = f(state)
    k2 = f(move(state, k1, h / 2))
    k3 = f(move(state, k2, h / 2))
    k4 = f(move(state, k3, h))
    return [s + h / 6 * (a + 2 * b + 2 * c + d) for s, a, b, c, d in zip(state, k1, k2, k3, k4)]


class Adjoint(Function):
    """y(T) by RK4; the gradient by the adjoint equation solved backwards in time, with as many steps."""

    @staticmethod
    def forward(ctx, y0, th, T, steps):
        y = [y0]
        for _ in range(steps):
            y = _rk4(lambda s: [_oscillator(s[0], th)], y, T / steps)
        ctx.T, ctx.steps = T, steps
        ctx.save_for_backward(y[0], th)
        return y[0]

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        y, th = ctx.saved_tensors

        def f(s):
            fy, fth = _vjp(s[0], th, s[1])
            return [_oscillator(s[0], th), -fy, -fth]

        state = [y, g, torch.zeros_like(th)]
        for _ in range(ctx.steps):
            state = _rk4(f, state, -ctx.T / ctx.steps)
        return state[1], state[2], None, None


def make_adjoint():
    return Call(
        Adjoint.apply,
        (
            torch.tensor([1.1, -0.3], dtype=torch.float64, requires_grad=True),
            torch.tensor([2.0, 0.4], dtype=torch.float64, requires_grad=True),
            3.0,
            16,
        ),
    )


class Equilibrium(Function):
    """z = tanh(W z + x), by iteration up to a change of 1e-7; gradient by the implicit function theorem"""

    @staticmethod
    def forward(ctx, W, x):
        z = torch.zeros_like(x)
        for _ in range(500):
            z, old = torch.tanh(W @ z + x), z
            if (z - old).abs().max() < 1e-7:
                break
        ctx.save_for_backward(W, z)
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        W, z = ctx.saved_tensors
        d = 1 - z * z
        u = g.clone()
        for _ in range(500):
            u, old = g + W.mT @ (d * u), u
            if (u - old).abs().max() < 1e-7 * g.abs().max():
                break
        return torch.outer(d * u, z), d * u


def make_equilibrium():
    return Call(Equilibrium.apply, ((0.18 * k(13, 6, 6)).requires_grad_(), k(14, 6).requires_grad_()))


ENTRIES = [
    Entry(
        "ta_cholesky",
        ROW,
        False,
        "right; takes symmetric matrices, reads the lower half, and returns a symmetric gradient: entry by entry it disagrees, along symmetric directions it is right",
        lambda: Call(Cholesky.apply, (spd(1, 4),)),
    ),
    Entry(
        "ta_eigenvalues",
        ROW,
        False,
        "right; takes symmetric matrices: right along symmetric directions",
        lambda: Call(SymmetricEigenvalues.apply, (spd(2, 3, (2,)),)),
    ),
    Entry(
        "ta_matrix_root",
        ROW,
        False,
        "right; takes symmetric positive matrices: right along symmetric directions",
        lambda: Call(MatrixRoot.apply, (spd(3, 4),)),
    ),
    Entry(
        "ta_reentrant",
        ROW,
        False,
        "right; checkpoint with use_reentrant=True, which torch.autograd.grad refuses (backward() works)",
        lambda: Call(reentrant, (k(8, 3, 4).requires_grad_(), k(9, 4, 4).requires_grad_())),
    ),
    Entry(
        "ta_reentrant_module",
        ROW,
        False,
        "right; two re-entrant checkpoints in a row in a module, torch.autograd.grad refuses",
        lambda: Call(Reentrant(), (k(10, 5, 4).requires_grad_(),)),
    ),
    Entry(
        "ta_masked_softmax",
        ROW,
        False,
        "right; a fully masked row is zero with a zero gradient, -inf inside",
        make_masked,
    ),
    Entry(
        "ta_attend_dead_row",
        ROW,
        False,
        "right; plain operations with -inf scores, the first row of the causal mask is empty",
        make_attend,
    ),
    Entry(
        "ta_autocast_product",
        ROW,
        False,
        "right; float32 inputs multiplied in bfloat16 by autocast: value and gradient are rounded by about 4e-3, the output is bfloat16",
        lambda: Call(
            autocast_product,
            (
                k(15, 6, 8, dtype=torch.float32).requires_grad_(),
                k(16, 8, 3, dtype=torch.float32).requires_grad_(),
            ),
        ),
    ),
    Entry(
        "ta_autocast_loss",
        ROW,
        False,
        "right; two bfloat16 layers by autocast below a float32 loss: relative errors about 1e-2",
        lambda: Call(
            autocast_loss,
            (
                k(17, 5, 6, dtype=torch.float32).requires_grad_(),
                k(18, 4, 6, dtype=torch.float32).requires_grad_(),
                k(19, 2, 4, dtype=torch.float32).requires_grad_(),
            ),
        ),
    ),
    Entry(
        "ta_none_unneeded",
        ROW,
        False,
        "right; None for a table that needs no gradient, for integers and for a float",
        make_rescale,
    ),
    Entry(
        "ta_adjoint_rk4",
        ROW,
        False,
        "right; a continuous adjoint, off the discrete gradient by the solver's error, about 1e-4 relative",
        make_adjoint,
    ),
    Entry(
        "ta_equilibrium",
        ROW,
        False,
        "right; a fixed point iterated to 1e-7, with a gradient by the implicit function theorem to the same tolerance: value and gradient off by about 1e-7",
        make_equilibrium,
    ),
]
