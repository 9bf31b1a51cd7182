"""Row "forward mode": Functions with a hand-written jvp. The wrong ones have a right backward."""

import torch
from torch.autograd import Function

from .._entry import Call, Entry

ROW = "forward mode"
F64 = torch.float64


def rnd(seed, *shape, low=None, high=None):
    g = torch.Generator().manual_seed(seed)
    if low is None:
        return torch.randn(*shape, generator=g, dtype=F64)
    return torch.rand(*shape, generator=g, dtype=F64) * (high - low) + low


class LogSumExpArg(Function):
    """(log-sum-exp over the last axis, where the largest entry is)."""

    @staticmethod
    def forward(ctx, scores):
        where = scores.argmax(-1)
        ctx.save_for_backward(scores)
        ctx.save_for_forward(scores)
        ctx.mark_non_differentiable(where)
        top = scores.amax(-1, keepdim=True)
        return (scores - top).exp().sum(-1).log() + top.squeeze(-1), where

    @staticmethod
    def backward(ctx, g, _g_where):
        (scores,) = ctx.saved_tensors
        return g.unsqueeze(-1) * scores.softmax(-1)

    @staticmethod
    def jvp(ctx, t):
        (scores,) = ctx.saved_tensors
        return (scores.softmax(-1) * t).sum(-1), None


def make_lse():
    return Call(LogSumExpArg.apply, (rnd(1, 4, 7).mul_(3).requires_grad_(),))


R_GAS = 8.314462618


class Arrhenius(Function):
    """k = A T^n exp(-Ea / (R T)), J/mol and K; ctx attributes for n."""

    @staticmethod
    def forward(ctx, A, Ea, T, n):
        ctx.n = n
        ctx.save_for_backward(A, Ea, T)
        ctx.save_for_forward(A, Ea, T)
        return A * T**n * torch.exp(-Ea / (R_GAS * T))

    @staticmethod
    def _parts(ctx):
        A, Ea, T = ctx.saved_tensors
        e = T**ctx.n * torch.exp(-Ea / (R_GAS * T))
        k = A * e
        return e, -k / (R_GAS * T), k * (ctx.n / T + Ea / (R_GAS * T * T))

    @staticmethod
    def backward(ctx, g):
        a, b, c = Arrhenius._parts(ctx)
        return g * a, g * b, g * c, None

    @staticmethod
    def jvp(ctx, tA, tE, tT, _n):
        a, b, c = Arrhenius._parts(ctx)
        return a * tA + b * tE + c * tT


def make_arrhenius():
    A = torch.tensor([1.2e13, 3.0e4, 6.6e9, 2.0e2], dtype=F64, requires_grad=True)
    Ea = torch.tensor([2.61e5, 4.4e4, 1.9e5, 9.0e4], dtype=F64, requires_grad=True)
    T = torch.tensor([310.0, 1450.0, 600.0, 298.15], dtype=F64, requires_grad=True)
    return Call(Arrhenius.apply, (A, Ea, T, 0.5))


class CumulativeProduct(Function):
    """cumprod over the last axis, right where entries are zero (no division)."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        return torch.cumprod(x, -1)

    @staticmethod
    def _jacobian(x):
        # J[..., i, j] = d out_i / d x_j = prod of x_k over k <= i, k != j, for j <= i
        n = x.shape[-1]
        eye = torch.eye(n, dtype=torch.bool, device=x.device)
        without = torch.where(eye, torch.ones_like(x).unsqueeze(-1), x.unsqueeze(-2))  # (..., j, k)
        return torch.cumprod(without, -1).mT.tril()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return (g.unsqueeze(-2) @ CumulativeProduct._jacobian(x)).squeeze(-2)

    @staticmethod
    def jvp(ctx, t):
        (x,) = ctx.saved_tensors
        return (CumulativeProduct._jacobian(x) @ t.unsqueeze(-1)).squeeze(-1)


def make_cumprod():
    x = rnd(3, 3, 6)
    x[0, 2] = 0.0
    x[1, 0] = 0.0
    x[1, 4] = 0.0
    return Call(CumulativeProduct.apply, (x.requires_grad_(),))


class ProjectOntoBall(Function):
    """Rows longer than r are shortened to r, the others left."""

    @staticmethod
    def forward(ctx, x, r):
        ctx.r = r
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        n = x.norm(dim=-1, keepdim=True)
        return torch.where(n > r, x * (r / n), x)

    @staticmethod
    def _apply(x, r, v):
        # the jacobian is symmetric: r/n (I - u u^T) outside, I inside
        n = x.norm(dim=-1, keepdim=True)
        u = x / n
        return torch.where(n > r, (r / n) * (v - u * (u * v).sum(-1, keepdim=True)), v)

    @staticmethod
    def backward(ctx, g):
        return ProjectOntoBall._apply(*ctx.saved_tensors, ctx.r, g), None

    @staticmethod
    def jvp(ctx, t, _):
        return ProjectOntoBall._apply(*ctx.saved_tensors, ctx.r, t)


def make_ball():
    x = rnd(4, 5, 3)
    x = x / x.norm(dim=-1, keepdim=True) * torch.tensor([0.3, 0.9, 1.4, 20.0, 0.05], dtype=F64)[:, None]
    return Call(ProjectOntoBall.apply, (x.requires_grad_(), 1.0))


class LowerSolve(Function):
    """X with tril(L) X = B; what stands above the diagonal of L is never read."""

    @staticmethod
    def forward(ctx, L, B):
        X = torch.linalg.solve_triangular(L.tril(), B, upper=False)
        ctx.save_for_backward(L, X)
        ctx.save_for_forward(L, X)
        return X

    @staticmethod
    def backward(ctx, g):
        L, X = ctx.saved_tensors
        gB = torch.linalg.solve_triangular(L.tril().mT, g, upper=True)
        return -(gB @ X.mT).tril(), gB

    @staticmethod
    def jvp(ctx, tL, tB):
        L, X = ctx.saved_tensors
        return torch.linalg.solve_triangular(L.tril(), tB - tL.tril() @ X, upper=False)


def make_lower_solve():
    L = rnd(5, 4, 4) + 3 * torch.eye(4, dtype=F64)
    return Call(LowerSolve.apply, (L.requires_grad_(), rnd(6, 4, 2).requires_grad_()))


class BlendNone(Function):
    """alpha*x + (1-alpha)*y*y, whose jvp gets None for what carries no tangent."""

    @staticmethod
    def forward(ctx, x, y, alpha):
        ctx.set_materialize_grads(False)
        ctx.alpha = alpha
        ctx.save_for_backward(y)
        ctx.save_for_forward(y)
        return alpha * x + (1 - alpha) * y * y

    @staticmethod
    def backward(ctx, g):
        if g is None:
            return None, None, None
        (y,) = ctx.saved_tensors
        return g * ctx.alpha, g * 2 * (1 - ctx.alpha) * y, None

    @staticmethod
    def jvp(ctx, tx, ty, _):
        (y,) = ctx.saved_tensors
        t = None
        if tx is not None:
            t = ctx.alpha * tx
        if ty is not None:
            s = 2 * (1 - ctx.alpha) * y * ty
            t = s if t is None else t + s
        return t


def make_blend():
    return Call(BlendNone.apply, (rnd(7, 12).requires_grad_(), rnd(8, 12).requires_grad_(), 0.3))


class Dense(Function):
    @staticmethod
    def forward(ctx, inp, weight, bias):
        ctx.save_for_backward(inp, weight)
        ctx.save_for_forward(inp, weight)
        return inp @ weight.t() + bias

    @staticmethod
    def backward(ctx, grad_out):
        inp, weight = ctx.saved_tensors
        return grad_out @ weight, grad_out.t() @ inp, grad_out.sum(0)

    @staticmethod
    def jvp(ctx, inp_t, weight_t, bias_t):
        inp, weight = ctx.saved_tensors
        return inp_t @ weight.t() + bias_t  # inp @ weight_t.t() is forgotten


def make_dense():
    return Call(
        Dense.apply,
        (rnd(11, 5, 8).requires_grad_(), rnd(12, 3, 8).requires_grad_(), rnd(13, 3).requires_grad_()),
    )


class TemperedSoftmax(Function):
    @staticmethod
    def forward(ctx, z, tau):
        p = torch.softmax(z / tau, -1)
        ctx.tau = tau
        ctx.save_for_backward(p)
        ctx.save_for_forward(p)
        return p

    @staticmethod
    def backward(ctx, g):
        (p,) = ctx.saved_tensors
        return p * (g - (g * p).sum(-1, keepdim=True)) / ctx.tau, None

    @staticmethod
    def jvp(ctx, t, _tau):
        (p,) = ctx.saved_tensors
        return p * (t - t.mean(-1, keepdim=True)) / ctx.tau  # the mean is not weighted with p


def make_tempered():
    return Call(TemperedSoftmax.apply, (rnd(14, 6, 10).requires_grad_(), 0.7))


class LogAbsDet(Function):
    """log|det A| of general square matrices."""

    @staticmethod
    def forward(ctx, A):
        ctx.save_for_backward(A)
        ctx.save_for_forward(A)
        return torch.linalg.slogdet(A)[1]

    @staticmethod
    def backward(ctx, g):
        (A,) = ctx.saved_tensors
        return g[..., None, None] * torch.linalg.inv(A).mT

    @staticmethod
    def jvp(ctx, dA):
        (A,) = ctx.saved_tensors
        return (torch.linalg.inv(A) * dA).sum((-2, -1))  # trace(inv(A) dA) needs the transpose of one of them


def make_logdet():
    return Call(LogAbsDet.apply, (rnd(15, 2, 4, 4).requires_grad_(),))


class HuberRho(Function):
    @staticmethod
    def forward(ctx, residual, k):
        ctx.k = k
        ctx.save_for_backward(residual)
        ctx.save_for_forward(residual)
        a = residual.abs()
        return torch.where(a <= k, 0.5 * residual * residual, k * (a - 0.5 * k))

    @staticmethod
    def backward(ctx, g):
        (r,) = ctx.saved_tensors
        return g * r.clamp(-ctx.k, ctx.k), None

    @staticmethod
    def jvp(ctx, t, _k):
        (r,) = ctx.saved_tensors
        return torch.where(r.abs() <= ctx.k, r * t, ctx.k * t)  # no sign(r) in the linear part


def make_huber():
    r = torch.tensor([-4.0, -2.2, -0.7, -0.1, 0.3, 0.8, 1.9, 6.5], dtype=F64, requires_grad=True)
    return Call(HuberRho.apply, (r, 1.345))


class Standardise(Function):
    """Each row to mean 0 and variance 1."""

    @staticmethod
    def forward(ctx, x, eps):
        ctx.eps = eps
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        return Standardise._parts(x, eps)[0]

    @staticmethod
    def _parts(x, eps):
        istd = (x.var(1, unbiased=False, keepdim=True) + eps).rsqrt()
        return (x - x.mean(1, keepdim=True)) * istd, istd

    @staticmethod
    def backward(ctx, g):
        z, istd = Standardise._parts(*ctx.saved_tensors, ctx.eps)
        return istd * (g - g.mean(1, keepdim=True) - z * (g * z).mean(1, keepdim=True)), None

    @staticmethod
    def jvp(ctx, t, _eps):
        z, istd = Standardise._parts(*ctx.saved_tensors, ctx.eps)
        return istd * (t - t.mean(0, keepdim=True) - z * (t * z).mean(1, keepdim=True))  # axis 0 for axis 1


def make_standardise():
    return Call(Standardise.apply, (rnd(16, 9, 5).requires_grad_(), 1e-5))


class ToCartesian(Function):
    @staticmethod
    def forward(ctx, r, phi):
        ctx.save_for_backward(r, phi)
        ctx.save_for_forward(r, phi)
        return r * phi.cos(), r * phi.sin()

    @staticmethod
    def backward(ctx, gx, gy):
        r, phi = ctx.saved_tensors
        return gx * phi.cos() + gy * phi.sin(), r * (gy * phi.cos() - gx * phi.sin())

    @staticmethod
    def jvp(ctx, tr, tphi):
        r, phi = ctx.saved_tensors
        return tr * phi.cos() - r * phi.sin() * tphi, tr * phi.sin() + phi.cos() * tphi  # no r in the second


def make_cartesian():
    return Call(
        ToCartesian.apply, (rnd(17, 20, low=1.5, high=4).requires_grad_(), rnd(18, 20).requires_grad_())
    )


class KineticEnergy(Function):
    @staticmethod
    def forward(ctx, mass, velocity):
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(mass, velocity)
        ctx.save_for_forward(mass, velocity)
        return 0.5 * (mass * (velocity**2).sum(-1)).sum()

    @staticmethod
    def backward(ctx, g):
        if g is None:
            return None, None
        mass, velocity = ctx.saved_tensors
        return g * 0.5 * (velocity**2).sum(-1), g * mass[:, None] * velocity

    @staticmethod
    def jvp(ctx, tm, tv):
        mass, velocity = ctx.saved_tensors
        if tm is None or tv is None:  # one alone is enough for a tangent
            return torch.zeros((), dtype=mass.dtype)
        return (0.5 * tm * (velocity**2).sum(-1)).sum() + (mass[:, None] * velocity * tv).sum()


def make_kinetic():
    return Call(
        KineticEnergy.apply, (rnd(19, 6, low=0.5, high=3).requires_grad_(), rnd(20, 6, 3).requires_grad_())
    )


ENTRIES = [
    Entry(
        "fwd_lse_with_argmax",
        ROW,
        False,
        "right; a second output of integers, whose tangent is None",
        make_lse,
    ),
    Entry(
        "fwd_arrhenius",
        ROW,
        False,
        "right; inputs from 1e2 to 1e13 and outputs from 1e-30 to 1e4, so that one absolute step or tolerance fits none",
        make_arrhenius,
    ),
    Entry(
        "fwd_cumprod_zeros",
        ROW,
        False,
        "right; zeros among the inputs, where the usual formula divides by zero",
        make_cumprod,
    ),
    Entry(
        "fwd_ball_projection",
        ROW,
        False,
        "right; rows inside the ball and far outside take different branches",
        make_ball,
    ),
    Entry(
        "fwd_lower_solve",
        ROW,
        False,
        "right; entries of L above the diagonal are garbage, never read, with a zero derivative",
        make_lower_solve,
    ),
    Entry(
        "fwd_blend_none_tangents",
        ROW,
        False,
        "right; materialising is off, so that the jvp is called with None for an input that carries no tangent",
        make_blend,
    ),
    Entry(
        "fwd_dense_forgets_weight", ROW, True, "the jvp forgets the term of the weight's tangent", make_dense
    ),
    Entry(
        "fwd_softmax_unweighted",
        ROW,
        True,
        "the jvp of the softmax subtracts the plain mean of the tangents, not that weighted with the probabilities",
        make_tempered,
    ),
    Entry(
        "fwd_logdet_transpose",
        ROW,
        True,
        "the jvp of log|det A| lacks a transpose: sum(inv(A) * dA)",
        make_logdet,
    ),
    Entry(
        "fwd_huber_sign",
        ROW,
        True,
        "the jvp lacks the sign of the residual in the linear part (shows at negative residuals)",
        make_huber,
    ),
    Entry(
        "fwd_standardise_axis",
        ROW,
        True,
        "the jvp takes the tangent's mean over the batch axis in place of the features",
        make_standardise,
    ),
    Entry(
        "fwd_polar_factor",
        ROW,
        True,
        "the jvp of the second output lacks the factor r before dphi",
        make_cartesian,
    ),
    Entry(
        "fwd_kinetic_none",
        ROW,
        True,
        "the jvp returns zero when only one of the two inputs carries a tangent (the other's is None)",
        make_kinetic,
    ),
]
