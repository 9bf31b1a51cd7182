"""Row "noise": gradients that are not the same from run to run."""

import random

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .._entry import Call, Entry

ROW = "noise"


def n64(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class RandomOrderBias(Function):
    """x + b for many rows; the bias's gradient adds the rows up one chunk after the other, in a random order."""

    @staticmethod
    def forward(ctx, x, b):
        return x + b

    @staticmethod
    def backward(ctx, g):
        total = torch.zeros_like(g[0])
        for chunk in g[torch.randperm(len(g))].split(7):
            total = total + chunk.sum(0)
        return g, total


class AtomicScatter(Function):
    """Field values at particles' cells, nearest cell. The gradient is scattered in float32, in an order of the day."""

    @staticmethod
    def forward(ctx, field, cell, charge):
        ctx.save_for_backward(field, cell, charge)
        return field[cell] * charge

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        field, cell, charge = ctx.saved_tensors
        order = list(range(len(cell)))
        random.shuffle(order)
        order = torch.tensor(order)
        acc = torch.zeros(field.shape, dtype=torch.float32)
        contribution = (g * charge).float()
        for part in order.chunk(16):
            acc.index_add_(0, cell[part], contribution[part])
        return acc.double(), None, g * field[cell]


def make_atomic():
    cell = torch.randint(0, 9, (300,), generator=torch.Generator().manual_seed(3))
    return Call(
        AtomicScatter.apply, (n64(4, 9).requires_grad_(), cell, (n64(5, 300).abs() + 0.1).requires_grad_())
    )


class IterativeSolve(Function):
    """x = A^-1 b for positive A. The backward's conjugate gradients start at a random vector and stop at 1e-8."""

    @staticmethod
    def forward(ctx, A, b):
        x = torch.linalg.solve(A, b)
        ctx.save_for_backward(A, x)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        A, x = ctx.saved_tensors
        At = A.mT
        lam = torch.randn(g.shape, dtype=g.dtype) * g.norm()
        r = g - At @ lam
        p, rr = r.clone(), r @ r
        for _ in range(4 * len(g)):
            if rr.sqrt() <= 1e-8 * g.norm():
                break
            q = At @ p
            a = rr / (p @ q)
            lam, r = lam + a * p, r - a * q
            rr, old = r @ r, rr
            p = r + rr / old * p
        return -torch.outer(lam, x), lam


def make_iterative():
    # the system is linearised at a symmetric A; conjugate gradients need symmetry at the given input only
    S = torch.linalg.qr(n64(6, 40, 40))[0]
    A = (S * torch.linspace(1, 30, 40, dtype=torch.float64)) @ S.mT
    return Call(IterativeSolve.apply, ((0.5 * (A + A.mT)).requires_grad_(), n64(7, 40).requires_grad_()))


class SplitDot(Function):
    """float32 all through: sum_i w_i x_i^2, with the gradient of w summed over a split batch of random sizes."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return (x * x) @ w

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        order = torch.randperm(len(x))
        k = int(torch.randint(1, len(x) - 1, ()))
        a, b = order[:k], order[k:]
        return 2 * g[:, None] * x * w, (g[a] @ (x[a] * x[a])) + (g[b] @ (x[b] * x[b]))


class Drop(Function):
    """Dropout with a seed, as a kernel has it; the backward forgets the seed and draws from the global generator."""

    @staticmethod
    def forward(ctx, x, rate, seed):
        ctx.rate = rate
        keep = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed), dtype=x.dtype) >= rate
        return x * keep / (1 - rate)

    @staticmethod
    def backward(ctx, g):
        keep = torch.rand(g.shape, dtype=g.dtype) >= ctx.rate
        return g * keep / (1 - ctx.rate), None, None


def make_drop():
    return Call(Drop.apply, (n64(11, 6, 8).requires_grad_(), 0.4, 1234))


class WarmUp:
    """An activation whose gradient is warmed up over the first four backwards."""

    def __init__(self):
        self.calls = 0
        outer = self

        class Act(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * torch.sigmoid(x)

            @staticmethod
            @once_differentiable
            def backward(ctx, g):
                (x,) = ctx.saved_tensors
                outer.calls += 1
                s = torch.sigmoid(x)
                return g * (s + x * s * (1 - s)) * min(1.0, outer.calls / 4)

        self.act = Act

    def __call__(self, x):
        return self.act.apply(x)


def make_warmup():
    return Call(WarmUp(), (n64(12, 10).requires_grad_(),))


class Kinematics:
    """Forward kinematics of a planar arm; the Jacobian is computed once and kept for the next configuration."""

    def __init__(self, lengths):
        self.lengths = lengths
        self.jacobian = None
        arm = self

        class Tip(Function):
            @staticmethod
            def forward(ctx, q):
                a = torch.cumsum(q, 0)
                tip = torch.stack([(arm.lengths * a.cos()).sum(), (arm.lengths * a.sin()).sum()])
                if arm.jacobian is None:
                    c, s = arm.lengths * a.cos(), arm.lengths * a.sin()
                    arm.jacobian = torch.stack([-s.flip(0).cumsum(0).flip(0), c.flip(0).cumsum(0).flip(0)])
                return tip

            @staticmethod
            @once_differentiable
            def backward(ctx, g):
                return g @ arm.jacobian

        self.tip = Tip

    def __call__(self, q):
        return self.tip.apply(q)


def make_arm():
    arm = Kinematics(torch.tensor([1.0, 0.8, 0.5], dtype=torch.float64))
    arm(torch.zeros(3, dtype=torch.float64))  # the arm's home position, tried when the program starts
    return Call(arm, (torch.tensor([0.4, -0.9, 1.3], dtype=torch.float64, requires_grad=True),))


class Preallocated:
    """x^T M x with a gradient buffer made once, to which each backward adds."""

    def __init__(self, M):
        self.M = M
        self.buffer = torch.zeros(len(M), dtype=M.dtype)
        me = self

        class Quad(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x @ me.M @ x

            @staticmethod
            @once_differentiable
            def backward(ctx, g):
                (x,) = ctx.saved_tensors
                me.buffer += g * ((me.M + me.M.mT) @ x)  # never set to zero
                return me.buffer.clone()

        self.fn = Quad.apply

    def __call__(self, x):
        return self.fn(x)


def make_preallocated():
    return Call(Preallocated(n64(13, 5, 5)), (n64(14, 5).requires_grad_(),))


class Workspace:
    """Two layers which share one workspace: the first's backward finds what the second has left there."""

    def __init__(self):
        self.work = None
        ws = self

        class Layer(Function):
            @staticmethod
            def forward(ctx, x, w):
                ctx.save_for_backward(x, w)
                ws.work = torch.tanh(x @ w)
                return ws.work.clone()

            @staticmethod
            @once_differentiable
            def backward(ctx, g):
                x, w = ctx.saved_tensors
                s = g * (1 - ws.work**2)
                return s @ w.mT, x.mT @ s

        self.layer = Layer.apply

    def __call__(self, x, w1, w2):
        return self.layer(self.layer(x, w1), w2)


def make_workspace():
    return Call(
        Workspace(),
        (n64(15, 3, 4).requires_grad_(), n64(16, 4, 4).requires_grad_(), n64(17, 4, 4).requires_grad_()),
    )


ENTRIES = [
    Entry(
        "no_bias_random_order",
        ROW,
        False,
        "right; float64 sums in a random order: relative noise about 1e-16, so that no two runs need agree bit for bit",
        lambda: Call(RandomOrderBias.apply, (n64(1, 100, 4).requires_grad_(), n64(2, 4).requires_grad_())),
    ),
    Entry(
        "no_atomic_scatter",
        ROW,
        False,
        "right; float64 function whose gradient is added up in float32 in a random order: relative noise about 1e-7",
        make_atomic,
    ),
    Entry(
        "no_iterative_solve",
        ROW,
        False,
        "right; the gradient comes from conjugate gradients with a random start: relative noise about 1e-8",
        make_iterative,
    ),
    Entry(
        "no_split_dot_float32",
        ROW,
        False,
        "right; float32 inputs, the batch split at a random place: relative noise about 1e-7",
        lambda: Call(
            SplitDot.apply, (n64(8, 64, 5).float().requires_grad_(), n64(9, 5).float().requires_grad_())
        ),
    ),
    Entry(
        "no_dropout_new_mask",
        ROW,
        True,
        "backward draws a new dropout mask; relative noise of the order of 1, the value does not vary",
        make_drop,
    ),
    Entry(
        "no_warmup_counter",
        ROW,
        True,
        "the gradient is multiplied by calls/4 in the first three backwards (0.25 in the first), right from the fourth on",
        make_warmup,
    ),
    Entry(
        "no_arm_stale_jacobian",
        ROW,
        True,
        "the Jacobian is kept from the first configuration ever evaluated (the home position); no noise, a stale cache",
        make_arm,
    ),
    Entry(
        "no_buffer_adds",
        ROW,
        True,
        "the gradient buffer is never set to zero: the first backward is right, each later one adds to it",
        make_preallocated,
    ),
    Entry(
        "no_shared_workspace",
        ROW,
        True,
        "the first layer's backward reads a workspace that the second layer's forward has overwritten; no noise, a stale value",
        make_workspace,
    ),
]
