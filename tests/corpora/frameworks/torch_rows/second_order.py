"""Rows "second order" and "third order": derivatives of derivatives, by hand."""

import math

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .._entry import Call, Entry

SECOND, THIRD = "second order", "third order"


def T(seed, *size, scale=1.0):
    return (
        torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.double) * scale
    ).requires_grad_()


class LogCosh(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.abs() + torch.log1p(torch.exp(-2 * x.abs())) - math.log(2)

    @staticmethod
    def backward(ctx, g):
        return LogCoshGrad.apply(*ctx.saved_tensors, g)


class LogCoshGrad(Function):
    @staticmethod
    def forward(ctx, x, g):
        ctx.save_for_backward(x, g)
        return torch.tanh(x) * g

    @staticmethod
    def backward(ctx, gg):
        x, g = ctx.saved_tensors
        t = torch.tanh(x)
        return gg * g * (1 - t * t), gg * t


class Inverse(Function):
    """The output itself is saved; save_for_backward keeps its history."""

    @staticmethod
    def forward(ctx, A):
        X = torch.linalg.inv(A)
        ctx.save_for_backward(X)
        return X

    @staticmethod
    def backward(ctx, g):
        (X,) = ctx.saved_tensors
        return -X.mT @ g @ X.mT


def make_inverse():
    a = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.double)
    return Call(Inverse.apply, ((a + 2.5 * torch.eye(3, dtype=torch.double)).requires_grad_(),))


class Leaky(Function):
    @staticmethod
    def forward(ctx, x, slope):
        ctx.slope = slope
        ctx.save_for_backward(x)
        return torch.where(x >= 0, x, x * slope)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return LeakyGrad.apply(x, g, ctx.slope), None


class LeakyGrad(Function):
    @staticmethod
    def forward(ctx, x, g, slope):
        ctx.slope = slope
        ctx.save_for_backward(x)
        return torch.where(x >= 0, g, g * slope)

    @staticmethod
    def backward(ctx, gg):
        (x,) = ctx.saved_tensors
        return None, LeakyGrad.apply(x, gg, ctx.slope), None


class PairEnergy(Function):
    """Sum over pairs of (s/r)^12 - (s/r)^6; the forces' own derivative is a Hessian-vector product by hand."""

    @staticmethod
    def forward(ctx, pos, s):
        ctx.s = s
        ctx.save_for_backward(pos)
        i, j = torch.triu_indices(len(pos), len(pos), 1)
        q = (s / (pos[i] - pos[j]).norm(dim=-1)) ** 6
        return (q * q - q).sum()

    @staticmethod
    def backward(ctx, g):
        (pos,) = ctx.saved_tensors
        return g * PairGradient.apply(pos, ctx.s), None


class PairGradient(Function):
    @staticmethod
    def forward(ctx, pos, s):
        ctx.s = s
        ctx.save_for_backward(pos)
        i, j = torch.triu_indices(len(pos), len(pos), 1)
        d = pos[i] - pos[j]
        r2 = (d * d).sum(-1)
        q = (s * s / r2) ** 3
        c = (-12 * q * q + 6 * q) / r2  # u'(r) / r
        out = torch.zeros_like(pos)
        out.index_add_(0, i, c[:, None] * d)
        out.index_add_(0, j, -c[:, None] * d)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, v):
        (pos,) = ctx.saved_tensors
        i, j = torch.triu_indices(len(pos), len(pos), 1)
        d = pos[i] - pos[j]
        r2 = (d * d).sum(-1)
        q = (ctx.s * ctx.s / r2) ** 3
        c = (-12 * q * q + 6 * q) / r2
        k = (168 * q * q - 48 * q) / (r2 * r2)  # (u'' - u'/r) / r^2
        dv = v[i] - v[j]
        h = c[:, None] * dv + (k * (d * dv).sum(-1))[:, None] * d
        out = torch.zeros_like(pos)
        out.index_add_(0, i, h)
        out.index_add_(0, j, -h)
        return out, None


def make_pairs():
    grid = torch.tensor([[0.0, 0, 0], [1.3, 0.1, 0], [0.2, 1.4, 0.1], [0.1, -0.2, 1.5]], dtype=torch.double)
    return Call(PairEnergy.apply, (grid.requires_grad_(), 1.1))


def circ(x, k):
    """sum_j x[n - j] k[j], circular."""
    return sum(x.roll(j, -1) * k[j] for j in range(len(k)))


def circ_T(g, k):
    return sum(g.roll(-j, -1) * k[j] for j in range(len(k)))


def circ_k(x, g, size):
    return torch.stack([(x.roll(j, -1) * g).sum() for j in range(size)])


class CircularConv(Function):
    @staticmethod
    def forward(ctx, x, k):
        ctx.save_for_backward(x, k)
        return circ(x, k)

    @staticmethod
    def backward(ctx, g):
        x, k = ctx.saved_tensors
        return CircularConvGrad.apply(x, k, g)


class CircularConvGrad(Function):
    @staticmethod
    def forward(ctx, x, k, g):
        ctx.save_for_backward(x, k, g)
        return circ_T(g, k), circ_k(x, g, len(k))

    @staticmethod
    def backward(ctx, gx, gk):
        x, k, g = ctx.saved_tensors
        return circ_T(g, gk), circ_k(gx, g, len(k)), circ(gx, k) + circ(x, gk)


class SoftSign(Function):
    """x / sqrt(1 + x^2)"""

    @staticmethod
    def forward(ctx, x):
        n = torch.rsqrt(1 + x * x)
        ctx.slope = n * n * n  # made while nothing is recorded: a constant for the second derivative
        return x * n

    @staticmethod
    def backward(ctx, g):
        return g * ctx.slope


class Charbonnier(Function):
    @staticmethod
    def forward(ctx, x, eps):
        ctx.eps = eps
        ctx.save_for_backward(x)
        return torch.sqrt(x * x + eps * eps)

    @staticmethod
    def backward(ctx, g):
        x = ctx.saved_tensors[0].data
        return g * x / torch.sqrt(x * x + ctx.eps**2), None


class Bump(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.exp(-0.5 * x * x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return BumpGrad.apply(x, g)


class BumpGrad(Function):
    @staticmethod
    def forward(ctx, x, g):
        ctx.save_for_backward(x, g)
        return -x * torch.exp(-0.5 * x * x) * g

    @staticmethod
    def backward(ctx, gg):
        x, g = ctx.saved_tensors
        e = torch.exp(-0.5 * x * x)
        return gg * g * (x * x + 1) * e, -gg * x * e  # should be x*x - 1


class SoftPlus(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.nn.functional.softplus(x)

    @staticmethod
    def backward(ctx, g):
        return SoftPlusBackward.apply(g, *ctx.saved_tensors)


class SoftPlusBackward(Function):
    @staticmethod
    def forward(ctx, g, x):
        ctx.save_for_backward(g, x)
        return g * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, v):
        g, x = ctx.saved_tensors
        s = torch.sigmoid(x)
        return v, v * g * s * (1 - s)  # the first should be v * s


class DragForce(Function):
    """0.5 rho(h) v^2 with rho = exp(-h): the double backward has the diagonal terms alone."""

    @staticmethod
    def forward(ctx, h, v):
        ctx.save_for_backward(h, v)
        return 0.5 * torch.exp(-h) * v * v

    @staticmethod
    def backward(ctx, g):
        h, v = ctx.saved_tensors
        return DragForceGrad.apply(h, v, g)


class DragForceGrad(Function):
    @staticmethod
    def forward(ctx, h, v, g):
        ctx.save_for_backward(h, v, g)
        rho = torch.exp(-h)
        return -0.5 * g * rho * v * v, g * rho * v

    @staticmethod
    def backward(ctx, a, b):
        h, v, g = ctx.saved_tensors
        rho = torch.exp(-h)
        to_h = 0.5 * a * g * rho * v * v  # - b g rho v is missing
        to_v = b * g * rho  # - a g rho v is missing
        return to_h, to_v, rho * v * (b - 0.5 * a * v)


class Swish(Function):
    @staticmethod
    def forward(ctx, x):
        s = torch.sigmoid(x)
        ctx.save_for_backward(x, s)  # s is neither an input nor an output, so its history is lost
        return x * s

    @staticmethod
    def backward(ctx, g):
        x, s = ctx.saved_tensors
        return g * (s + x * s * (1 - s))


class Compose(Function):
    """A @ B for square A and B."""

    @staticmethod
    def forward(ctx, A, B):
        ctx.save_for_backward(A, B)
        return A @ B

    @staticmethod
    def backward(ctx, G):
        A, B = ctx.saved_tensors
        return ComposeBackward.apply(A, B, G)


class ComposeBackward(Function):
    @staticmethod
    def forward(ctx, A, B, G):
        ctx.save_for_backward(A, B, G)
        return G @ B.mT, A.mT @ G

    @staticmethod
    def backward(ctx, U, V):
        A, B, G = ctx.saved_tensors
        return G @ V.mT, U.mT @ G, U @ B + (A @ V).mT  # the last should be U B + A V


class SinShift(Function):
    """The n-th derivative of the sine is sin(x + n pi/2), so that the class is its own backward."""

    @staticmethod
    def forward(ctx, x, n):
        ctx.n = n
        ctx.save_for_backward(x)
        return torch.sin(x + n * math.pi / 2)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * SinShift.apply(x, ctx.n + 1), None


class DecayTimes(Function):
    """d^n/dx^n of x exp(-x) = (-1)^n (x - n) exp(-x)."""

    @staticmethod
    def forward(ctx, x, n):
        ctx.n = n
        ctx.save_for_backward(x)
        return (-1) ** n * (x - n) * torch.exp(-x)

    @staticmethod
    def backward(ctx, g):
        return g * DecayTimes.apply(ctx.saved_tensors[0], ctx.n + 1), None


class RealPower(Function):
    @staticmethod
    def forward(ctx, base, p):
        ctx.p = p
        ctx.save_for_backward(base)
        return base**p

    @staticmethod
    def backward(ctx, g):
        (base,) = ctx.saved_tensors
        return g * ctx.p * RealPower.apply(base, ctx.p - 1), None


class Trilinear(Function):
    """sum over i of a_i b_i c_i: the fourth derivative is zero, the third does not depend on the inputs."""

    @staticmethod
    def forward(ctx, a, b, c):
        ctx.save_for_backward(a, b, c)
        return (a * b * c).sum()

    @staticmethod
    def backward(ctx, g):
        a, b, c = ctx.saved_tensors
        return TrilinearPart.apply(b, c, g), TrilinearPart.apply(a, c, g), TrilinearPart.apply(a, b, g)


class TrilinearPart(Function):
    @staticmethod
    def forward(ctx, p, q, g):
        ctx.save_for_backward(p, q, g)
        return p * q * g

    @staticmethod
    def backward(ctx, v):
        p, q, g = ctx.saved_tensors
        return v * q * g, v * p * g, Trilinear.apply(v, p, q)


class Tanh0(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return Tanh1.apply(x, g)


class Tanh1(Function):
    @staticmethod
    def forward(ctx, x, g):
        ctx.save_for_backward(x, g)
        return g * (1 - x.tanh() ** 2)

    @staticmethod
    def backward(ctx, h):
        x, g = ctx.saved_tensors
        return Tanh2.apply(x, g, h), Tanh1.apply(x, h)


class Tanh2(Function):
    @staticmethod
    def forward(ctx, x, g, h):
        ctx.save_for_backward(x, g, h)
        y = x.tanh()
        return -2 * g * h * y * (1 - y * y)

    @staticmethod
    def backward(ctx, k):
        x, g, h = ctx.saved_tensors
        y = x.tanh()
        s = 1 - y * y
        return -2 * k * g * h * s * s, -2 * k * h * y * s, -2 * k * g * y * s  # should be s * (1 - 3 y^2)


class Gauss(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (-x * x).exp()

    @staticmethod
    def backward(ctx, g):
        return GaussPrime.apply(ctx.saved_tensors[0]) * g


class GaussPrime(Function):
    @staticmethod
    def forward(ctx, x):
        e = (-x * x).exp()
        ctx.second = (4 * x * x - 2) * e  # a constant from here on
        return -2 * x * e

    @staticmethod
    def backward(ctx, g):
        return ctx.second * g


class Lorentzian(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return 1 / (1 + x * x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return LorentzianSlope.apply(x) * g


class LorentzianSlope(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return -2 * x / (1 + x * x) ** 2

    @staticmethod
    def backward(ctx, g):
        x = ctx.saved_tensors[0].detach()
        return g * (6 * x * x - 2) / (1 + x * x) ** 3


class Spline(Function):
    """a + b t + c t^2 + d t^3 with constant coefficients, each derivative by its own class method."""

    @staticmethod
    def forward(ctx, t, coef, order):
        ctx.coef, ctx.order = coef, order
        ctx.save_for_backward(t)
        a, b, c, d = coef
        return [
            lambda: a + t * (b + t * (c + t * d)),
            lambda: b + t * (2 * c + t * 3 * d),
            lambda: 2 * c + 6 * d * t,
            lambda: 3 * d + 0 * t,  # should be 6 d
            lambda: 0 * t,
        ][order]()

    @staticmethod
    def backward(ctx, g):
        (t,) = ctx.saved_tensors
        return g * Spline.apply(t, ctx.coef, min(ctx.order + 1, 4)), None, None


def pos(seed, *size):
    return (
        torch.rand(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.double) + 0.5
    ).requires_grad_()


ENTRIES = [
    Entry(
        "so_log_cosh",
        SECOND,
        False,
        "right; two Functions in a chain, and inputs up to 20 where the second derivative is below rounding",
        lambda: Call(LogCosh.apply, (T(1, 15, scale=8.0),)),
    ),
    Entry(
        "so_inverse_saved_output",
        SECOND,
        False,
        "right; what is saved is the output, which looks like a once-saved value",
        make_inverse,
    ),
    Entry(
        "so_leaky_zero_hessian",
        SECOND,
        False,
        "right; the second derivative with respect to x is zero everywhere and comes as None",
        lambda: Call(Leaky.apply, (T(3, 4, 5), 0.1)),
    ),
    Entry(
        "so_pair_energy",
        SECOND,
        False,
        "right; a stiff Hessian by hand, and a third derivative that is refused (once_differentiable)",
        make_pairs,
    ),
    Entry(
        "so_circular_conv",
        SECOND,
        False,
        "right; bilinear, so that the second derivative is in the mixed terms alone",
        lambda: Call(CircularConv.apply, (T(5, 3, 16), T(6, 4))),
    ),
    Entry(
        "so_softsign_attribute",
        SECOND,
        True,
        "backward multiplies by a slope stored on ctx while nothing was recorded: the second derivative is zero",
        lambda: Call(SoftSign.apply, (T(11, 10),)),
    ),
    Entry(
        "so_charbonnier_data",
        SECOND,
        True,
        "backward uses .data of the saved input: the second derivative is zero",
        lambda: Call(Charbonnier.apply, (T(12, 3, 4), 0.5)),
    ),
    Entry(
        "so_bump_sign",
        SECOND,
        True,
        "the second derivative of exp(-x^2/2) is written with x^2 + 1 in place of x^2 - 1",
        lambda: Call(Bump.apply, (T(13, 12),)),
    ),
    Entry(
        "so_softplus_grad_out",
        SECOND,
        True,
        "the double backward's derivative with respect to grad_output lacks the factor sigmoid(x)",
        lambda: Call(SoftPlus.apply, (T(14, 2, 6),)),
    ),
    Entry(
        "so_drag_mixed",
        SECOND,
        True,
        "the double backward lacks the mixed derivatives between altitude and speed",
        lambda: Call(DragForce.apply, (pos(15, 7), pos(16, 7))),
    ),
    Entry(
        "so_swish_intermediate",
        SECOND,
        True,
        "an intermediate saved in forward (sigmoid) counts as a constant in the double backward",
        lambda: Call(Swish.apply, (T(17, 20),)),
    ),
    Entry(
        "so_compose_transpose",
        SECOND,
        True,
        "the double backward of A @ B transposes the second part of the derivative with respect to grad_output",
        lambda: Call(Compose.apply, (T(18, 4, 4), T(19, 4, 4))),
    ),
    Entry(
        "to_sin_shift",
        THIRD,
        False,
        "right; one class which is its own backward, any number of times",
        lambda: Call(SinShift.apply, (T(21, 9), 0)),
    ),
    Entry(
        "to_decay",
        THIRD,
        False,
        "right; an input stands at x = 3, where the third derivative is zero",
        lambda: Call(
            DecayTimes.apply,
            (torch.tensor([0.2, 1.0, 2.0, 3.0, 5.5], dtype=torch.double, requires_grad=True), 0),
        ),
    ),
    Entry(
        "to_real_power",
        THIRD,
        False,
        "right; x^2.5 at inputs from 1e-3 to 1e2, whose third derivatives differ in size by 300 times",
        lambda: Call(RealPower.apply, (torch.logspace(-3, 2, 6, dtype=torch.double).requires_grad_(), 2.5)),
    ),
    Entry(
        "to_trilinear",
        THIRD,
        False,
        "right; a multilinear function, whose pure second and third derivatives are all zero",
        lambda: Call(Trilinear.apply, (T(22, 5), T(23, 5), T(24, 5))),
    ),
    Entry(
        "to_tanh_factor",
        THIRD,
        True,
        "the third derivative of tanh is written with (1 - y^2)^2 in place of (1 - y^2)(1 - 3 y^2)",
        lambda: Call(Tanh0.apply, (T(25, 8),)),
    ),
    Entry(
        "to_gauss_constant",
        THIRD,
        True,
        "the second derivative is stored on ctx as a constant: the third is zero where it should not be",
        lambda: Call(Gauss.apply, (T(26, 8),)),
    ),
    Entry(
        "to_lorentzian_detach",
        THIRD,
        True,
        "the backward of the slope detaches its saved input: the third derivative loses a term",
        lambda: Call(Lorentzian.apply, (T(27, 2, 5),)),
    ),
    Entry(
        "to_spline_factor",
        THIRD,
        True,
        "the third derivative of the cubic is 3 d in place of 6 d",
        lambda: Call(Spline.apply, (T(28, 6), (0.3, -1.2, 0.8, 0.45), 0)),
    ),
]
