"""Row "which op": modules of several submodules, one of which may have a wrong backward."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.autograd import Function

from .._entry import Call, Entry

ROW = "which op"


def given(seed, module):
    """In float64, parameters from a seed of its own"""
    g = torch.Generator().manual_seed(seed)
    module = module.double()
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(0.6 * torch.randn(p.shape, generator=g, dtype=torch.float64))
    return module


def x_(seed, *shape):
    return torch.randn(
        shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).requires_grad_()


class MishFn(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.tanh(F.softplus(x))

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        t = torch.tanh(F.softplus(x))
        return g * (t + x * (1 - t * t) * torch.sigmoid(x))


class Mish(nn.Module):
    def forward(self, x):
        return MishFn.apply(x)


class LayerNormFn(Function):
    @staticmethod
    def forward(ctx, x, gain, bias, eps):
        ctx.eps = eps
        ctx.save_for_backward(x, gain)
        return (x - x.mean(-1, keepdim=True)) * (
            x.var(-1, unbiased=False, keepdim=True) + eps
        ).rsqrt() * gain + bias

    @staticmethod
    def backward(ctx, g):
        x, gain = ctx.saved_tensors
        istd = (x.var(-1, unbiased=False, keepdim=True) + ctx.eps).rsqrt()
        xhat = (x - x.mean(-1, keepdim=True)) * istd
        h = g * gain
        gx = istd * (h - h.mean(-1, keepdim=True) - xhat * (h * xhat).mean(-1, keepdim=True))
        n = x.shape[-1]
        return gx, (g * xhat).reshape(-1, n).sum(0), g.reshape(-1, n).sum(0), None


class Norm(nn.Module):
    def __init__(self, n, eps=1e-5):
        super().__init__()
        self.gain, self.bias, self.eps = nn.Parameter(torch.ones(n)), nn.Parameter(torch.zeros(n)), eps

    def forward(self, x):
        return LayerNormFn.apply(x, self.gain, self.bias, self.eps)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp = nn.Linear(5, 6)
        self.act = Mish()
        self.norm = Norm(6)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(6, 3)

    def forward(self, x):
        return self.out(self.drop(self.norm(self.act(self.inp(x))))).log_softmax(-1)


class Siren(Function):
    """sin(30 x): steep"""

    @staticmethod
    def forward(ctx, x, w0):
        ctx.w0 = w0
        ctx.save_for_backward(x)
        return torch.sin(w0 * x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * ctx.w0 * torch.cos(ctx.w0 * x), None


class SineLayer(nn.Module):
    def __init__(self, a, b, w0):
        super().__init__()
        self.lin, self.w0 = nn.Linear(a, b), w0

    def forward(self, x):
        return Siren.apply(self.lin(x), self.w0)


class Field(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([SineLayer(2, 4, 30.0), SineLayer(4, 4, 30.0)])
        self.bn = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        h = self.layers[0](x)
        h = h + self.layers[1](h)
        return self.head(self.bn(h)).squeeze(-1)


class CellStep(Function):
    @staticmethod
    def forward(ctx, h, u):
        ctx.save_for_backward(h, u)
        return h + 0.2 * torch.tanh(u - h**3)

    @staticmethod
    def backward(ctx, g):
        h, u = ctx.saved_tensors
        s = 0.2 * g * (1 - torch.tanh(u - h**3) ** 2)
        return g - 3 * h * h * s, s


class Cell(nn.Module):
    def forward(self, h, u):
        return CellStep.apply(h, u)


class Recurrent(nn.Module):
    """One cell, used five times"""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.cell = Cell()
        self.read = nn.Sequential(Norm(4), nn.Linear(4, 2))

    def forward(self, series):
        h = torch.zeros(series.shape[1], 4, dtype=series.dtype)
        for u in series:
            h = self.cell(h, self.embed(u))
        return self.read(h)


class TopGate(Function):
    """Keeps the two largest of each row: piecewise linear"""

    @staticmethod
    def forward(ctx, x):
        keep = torch.zeros_like(x, dtype=torch.bool).scatter(-1, x.topk(2, -1).indices, True)
        ctx.save_for_backward(keep)
        return x * keep

    @staticmethod
    def backward(ctx, g):
        (keep,) = ctx.saved_tensors
        return g * keep


class TopK(nn.Module):
    def forward(self, x):
        return TopGate.apply(x)


class SquaredReLUFn(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return F.relu(x) ** 2

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * F.relu(x)  # a factor 2 is missing


class SquaredReLU(nn.Module):
    def forward(self, x):
        return SquaredReLUFn.apply(x)


class ImageNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3, padding=1)
        self.block = nn.Sequential(nn.GroupNorm(1, 2), SquaredReLU(), nn.Conv2d(2, 2, 1))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(2, 3), Mish())

    def forward(self, x):
        return self.head(self.pool(self.block(self.stem(x))))


class AttentionCore(Function):
    """softmax(q k^T / sqrt(d)) v"""

    @staticmethod
    def forward(ctx, q, k, v):
        p = torch.softmax(q @ k.mT * q.shape[-1] ** -0.5, -1)
        ctx.save_for_backward(q, k, v, p)
        return p @ v

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        q, k, v, p = ctx.saved_tensors
        gp = g @ v.mT
        gs = p * (gp - (gp * p).sum(-1, keepdim=True))
        return gs @ k, gs.mT @ q, p.mT @ g  # 1/sqrt(d) is missing in the two first


class Core(nn.Module):
    def forward(self, q, k, v):
        return AttentionCore.apply(q, k, v)


class SelfAttention(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(n, n), nn.Linear(n, n), nn.Linear(n, n)
        self.core = Core()

    def forward(self, x):
        return self.core(self.q(x), self.k(x), self.v(x))


class TransformerBlock(nn.Module):
    def __init__(self, n=4):
        super().__init__()
        self.norm1, self.attn, self.norm2 = Norm(n), SelfAttention(n), Norm(n)
        self.mlp = nn.Sequential(nn.Linear(n, 2 * n), Mish(), nn.Linear(2 * n, n))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class StridedMeanFn(Function):
    """Mean over windows of `size`, taken every `stride`"""

    @staticmethod
    def forward(ctx, x, size, stride):
        ctx.n, ctx.size, ctx.stride = x.shape[-1], size, stride
        return x.unfold(-1, size, stride).mean(-1)

    @staticmethod
    def backward(ctx, g):
        out = g.new_zeros(*g.shape[:-1], ctx.n)
        w = ctx.stride if ctx.size > ctx.stride else ctx.size  # an overlap is taken for no overlap
        for j in range(w):
            idx = torch.arange(g.shape[-1]) * ctx.stride + j
            out = out.index_add(-1, idx, g / ctx.size)
        return out, None, None


class StridedMean(nn.Module):
    def __init__(self, size, stride):
        super().__init__()
        self.size, self.stride = size, stride

    def forward(self, x):
        return StridedMeanFn.apply(x, self.size, self.stride)


class Pyramid(nn.Module):
    """Three poolings of the same class, of which one overlaps"""

    def __init__(self):
        super().__init__()
        self.lift = nn.Conv1d(1, 3, 3, padding=1)
        self.down = nn.ModuleList([StridedMean(2, 2), StridedMean(3, 2), StridedMean(1, 1)])
        self.act = nn.Tanh()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        x = self.lift(x)
        for d in self.down:
            x = self.act(d(x))
        return self.head(x.mean(-1))


class GivensRotation(Function):
    """rotates the pair (0, 1) of the last axis by a learned angle"""

    @staticmethod
    def forward(ctx, x, angle):
        c, s = angle.cos(), angle.sin()
        ctx.save_for_backward(x, angle)
        a, b = x[..., 0], x[..., 1]
        return torch.stack([c * a - s * b, s * a + c * b], -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        x, angle = ctx.saved_tensors
        c, s = angle.cos(), angle.sin()
        a, b, ga, gb = x[..., 0], x[..., 1], g[..., 0], g[..., 1]
        gx = torch.stack([c * ga - s * gb, s * ga + c * gb], -1)  # turns on, in place of back
        return gx, (ga * (-s * a - c * b) + gb * (c * a - s * b)).sum()


class Turn(nn.Module):
    def __init__(self):
        super().__init__()
        self.angle = nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        return GivensRotation.apply(x, self.angle)


class Optics(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(3, 2)
        self.turn = Turn()
        self.squash = nn.Softsign()
        self.decode = nn.Linear(2, 3)

    def forward(self, x):
        return self.decode(self.squash(self.turn(torch.tanh(self.encode(x)))))


class SoftGateFn(Function):
    """x * sigmoid(w x), elementwise in the last axis"""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x * torch.sigmoid(w * x)

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        s = torch.sigmoid(w * x)
        d = g * x * s * (1 - s)
        return g * s, (d * x).sum(0)  # + d * w is missing in the first


class SoftGate(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.w = nn.Parameter(torch.ones(n))

    def forward(self, x):
        return SoftGateFn.apply(x, self.w)


class Expert(nn.Module):
    def __init__(self, n, act):
        super().__init__()
        self.lin, self.act = nn.Linear(n, n), act

    def forward(self, x):
        return self.act(self.lin(x))


class Mixture(nn.Module):
    def __init__(self, n=3):
        super().__init__()
        self.route = nn.Linear(n, 3)
        self.experts = nn.ModuleDict(
            {"smooth": Expert(n, Mish()), "gated": Expert(n, SoftGate(n)), "flat": Expert(n, nn.Identity())}
        )
        self.norm = Norm(n)

    def forward(self, x):
        p = self.route(x).softmax(-1)
        y = sum(p[:, i, None] * e(x) for i, e in enumerate(self.experts.values()))
        return self.norm(x + y)


class Sparse(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.top, self.mish, self.down = nn.Linear(3, 6), TopK(), Mish(), nn.Linear(6, 2)

    def forward(self, x):
        return self.down(self.mish(self.top(self.up(x))))


ENTRIES = [
    Entry(
        "wo_classifier",
        ROW,
        False,
        "right; two custom Functions, and dropout in eval mode",
        lambda: Call(given(1, Classifier()).eval(), (x_(2, 4, 5),)),
    ),
    Entry(
        "wo_siren_field",
        ROW,
        False,
        "right; sin(30 x) twice: a large curvature, and batch normalisation in train mode",
        lambda: Call(given(3, Field()).train(), (x_(4, 6, 2),)),
    ),
    Entry(
        "wo_recurrent",
        ROW,
        False,
        "right; one submodule called five times in a forward",
        lambda: Call(given(5, Recurrent()), (x_(6, 5, 2, 3),)),
    ),
    Entry(
        "wo_sparse_topk",
        ROW,
        False,
        "right; a piecewise linear selection whose value jumps where the order changes",
        lambda: Call(given(7, Sparse()), (x_(8, 3, 3),)),
    ),
    Entry(
        "wo_squared_relu",
        ROW,
        True,
        "guilty: block.1 (SquaredReLUFn lacks the factor 2)",
        lambda: Call(given(11, ImageNet()), (x_(12, 2, 1, 4, 4),)),
    ),
    Entry(
        "wo_attention_scale",
        ROW,
        True,
        "guilty: attn.core (AttentionCore's gradients of q and k lack 1/sqrt(d))",
        lambda: Call(given(13, TransformerBlock()), (x_(14, 2, 3, 4),)),
    ),
    Entry(
        "wo_pyramid_overlap",
        ROW,
        True,
        "guilty: down.1 (StridedMeanFn is wrong where windows overlap; its two other instances are right)",
        lambda: Call(given(15, Pyramid()), (x_(16, 2, 1, 14),)),
    ),
    Entry(
        "wo_givens_sign",
        ROW,
        True,
        "guilty: turn (GivensRotation rotates the gradient the same way as the value; the angle's own gradient is right)",
        lambda: Call(given(17, Optics()), (x_(18, 5, 3),)),
    ),
    Entry(
        "wo_mixture_gate",
        ROW,
        True,
        "guilty: experts.gated.act (SoftGateFn's gradient of x lacks the term through the sigmoid)",
        lambda: Call(given(19, Mixture()), (x_(20, 4, 3),)),
    ),
]
