"""Row "transforms": right in eager mode; the wrong ones are wrong under one transform, named in `why`."""

import random

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.autograd import Function
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from .._entry import Call, Entry

ROW = "transforms"


def z(seed, *shape):
    return torch.randn(
        shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).requires_grad_()


def seeded(seed, module):
    """Fills the parameters by hand, so that the global generator is left alone."""
    g = torch.Generator().manual_seed(seed)
    module = module.double()
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=g, dtype=torch.float64) * 0.5)
    return module


def dropout_block(x, w):
    return torch.tanh(F.dropout(x @ w, 0.3, training=True)) @ w.mT


def checkpointed_dropout(x, w):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        return checkpoint(dropout_block, x, w, use_reentrant=False)


class TrainedNorm(nn.Module):
    """In train mode: the buffers change at each call, the output does not depend on them."""

    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm1d(4)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(torch.sin(self.bn(x)))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Linear(6, 3, bias=False)
        self.dec_bias = nn.Parameter(torch.zeros(6))

    def forward(self, x):
        return F.linear(torch.tanh(self.enc(x)), self.enc.weight.mT, self.dec_bias)


def make_tied():
    m = seeded(3, Tied())
    params = {k: v.detach().clone().requires_grad_() for k, v in m.named_parameters()}
    return Call(lambda params, x: functional_call(m, params, (x,)), (params, z(4, 5, 6)))


class GeluExact(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return 0.5 * x * (1 + torch.erf(x * 0.5**0.5))

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (0.5 * (1 + torch.erf(x * 0.5**0.5)) + x * torch.exp(-0.5 * x * x) * 0.3989422804014327)


def gelu_two_paths(x):
    """The fused one where no gradient is asked for, of the same value up to rounding."""
    if torch.is_grad_enabled() and x.requires_grad:
        return GeluExact.apply(x)
    return F.gelu(x)


class SquashRows(Function):
    """Capsule squash, with all that transforms ask for"""

    generate_vmap_rule = True

    @staticmethod
    def forward(s):
        n2 = (s * s).sum(-1, keepdim=True)
        return s * n2.sqrt() / (1 + n2)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, g):
        (s,) = ctx.saved_tensors
        n2 = (s * s).sum(-1, keepdim=True)
        n = n2.sqrt()
        k = n / (1 + n2)
        dk = (1 - n2) / (1 + n2) ** 2 / n  # dk/dn / n
        return g * k + s * dk * (s * g).sum(-1, keepdim=True)


def _branchless(x, w):
    h = torch.relu(x @ w)
    return h.cumsum(0).sin().mean(1)


def make_compiled():
    return Call(torch.compile(_branchless, backend="aot_eager"), (z(8, 6, 3), z(9, 3, 4)))


class RandomOrderSoftplusSum(Function):
    """sum over rows of softplus(x @ w), rows taken in a new random order at each call (of no effect on the value)"""

    @staticmethod
    def forward(ctx, x, w):
        order = torch.tensor(random.sample(range(len(x)), len(x)))
        xs = x[order]
        ctx.order = (
            order  # stays as it was in the first forward under checkpoint, while what is saved is made anew
        )
        ctx.save_for_backward(xs, w)
        return F.softplus(xs @ w).sum(0)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        xs, w = ctx.saved_tensors
        s = torch.sigmoid(xs @ w) * g
        gx = torch.empty_like(xs)
        gx[ctx.order] = s @ w.mT
        return gx, xs.mT @ s


class CenteredRank(Function):
    """x minus its mean, times a ramp; the vmap rule takes the mean of everything"""

    @staticmethod
    def forward(x):
        return (x - x.mean(-1, keepdim=True)) * torch.linspace(1, 2, x.shape[-1], dtype=x.dtype)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, g):
        g = g * torch.linspace(1, 2, g.shape[-1], dtype=g.dtype)
        return g - g.mean(-1, keepdim=True)

    @staticmethod
    def vmap(info, in_dims, x):
        x = x.movedim(in_dims[0], 0)
        return (x - x.mean()) * torch.linspace(1, 2, x.shape[-1], dtype=x.dtype), 0


class LeanSwish(Function):
    """Computes the slope in forward where it will be needed, else leaves zeros."""

    @staticmethod
    def forward(x):
        s = torch.sigmoid(x)
        # under torch.func.grad forward sees an unwrapped tensor, which does not require grad
        slope = s * (1 + x * (1 - s)) if x.requires_grad else torch.zeros_like(x)
        return x * s, slope

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g, _):
        (slope,) = ctx.saved_tensors
        return g * slope


class PartlyFrozen(nn.Module):
    """Whatever is no nn.Parameter counts as frozen; functional_call passes plain tensors."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(3, 5)
        self.fc2 = nn.Linear(5, 2)

    @staticmethod
    def _w(t):
        return t if isinstance(t, nn.Parameter) else t.detach()

    def forward(self, x):
        h = torch.tanh(F.linear(x, self._w(self.fc1.weight), self.fc1.bias))
        return F.linear(h, self.fc2.weight, self.fc2.bias)


def make_frozen_functional():
    m = seeded(14, PartlyFrozen())
    params = {k: v.detach().clone().requires_grad_() for k, v in m.named_parameters()}
    return Call(lambda params, x: functional_call(m, params, (x,)), (params, z(15, 4, 3)))


def make_frozen_module():
    return Call(seeded(14, PartlyFrozen()), (z(15, 4, 3),))


class MeanFieldStep(nn.Module):
    """Inference takes a shortcut: the damping is left out where nothing is recorded."""

    def forward(self, q, coupling):
        new = torch.tanh(q @ coupling)
        if not torch.is_grad_enabled():
            return new
        return 0.7 * new + 0.3 * q


class NormFn(Function):
    @staticmethod
    def forward(ctx, x, weight, mean, var, training, eps):
        if training:
            mean, var = x.mean(0), x.var(0, unbiased=False)
        istd = (var + eps).rsqrt()
        ctx.save_for_backward((x - mean) * istd, weight, istd)
        return (x - mean) * istd * weight

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        xhat, weight, istd = ctx.saved_tensors
        gx = g * weight
        # the batch's own statistics are taken to depend on x, also where the running ones were used
        gx = istd * (gx - gx.mean(0) - xhat * (gx * xhat).mean(0))
        return gx, (g * xhat).sum(0), None, None, None, None


class HandNorm(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0.5, 1.5, n, dtype=torch.float64))
        self.register_buffer("mean", torch.linspace(-0.3, 0.3, n, dtype=torch.float64))
        self.register_buffer("var", torch.linspace(0.8, 1.4, n, dtype=torch.float64))

    def forward(self, x):
        return NormFn.apply(x, self.weight, self.mean, self.var, self.training, 1e-5)


class HardTanhScaled(Function):
    """A mask on ctx that is turned into the gradient in place: right once"""

    @staticmethod
    def forward(ctx, x, gain):
        ctx.gain = gain
        ctx.slope = (x.abs() < 1).to(x.dtype)
        return gain * x.clamp(-1, 1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        ctx.slope.mul_(g).mul_(ctx.gain)
        return ctx.slope.clone(), None


def make_masked(checkpointed):
    gen = torch.Generator()

    def segment(x, w):
        mask = (
            torch.rand(x.shape, generator=gen, dtype=x.dtype) < 0.6
        )  # checkpoint puts back the global generator alone
        return torch.sin((x * mask) @ w)

    def function(x, w, checkpointed):
        gen.manual_seed(7)
        if checkpointed:
            return checkpoint(segment, x, w, use_reentrant=False)
        return segment(x, w)

    return Call(function, (z(19, 4, 5), z(20, 5, 3)), {"checkpointed": checkpointed})


def soft_clip(x):
    """x / (1 + |x|/s), with s the largest entry; written once more for the compiler"""
    if torch.compiler.is_compiling():
        s = x.detach().abs().amax()  # the eager one does not detach
        return x / (1 + x.abs() / s)
    s = x.abs().amax()
    return x / (1 + x.abs() / s)


ENTRIES = [
    Entry(
        "tr_checkpoint_dropout",
        ROW,
        False,
        "right; dropout inside torch.utils.checkpoint (use_reentrant=False), whose mask is drawn again from the kept generator state",
        lambda: Call(checkpointed_dropout, (z(1, 4, 5), z(2, 5, 5))),
    ),
    Entry(
        "tr_batchnorm_train",
        ROW,
        False,
        "right; train mode: running statistics change at each call and the value does not",
        lambda: Call(seeded(5, TrainedNorm()).train(), (z(6, 8, 4),)),
    ),
    Entry(
        "tr_functional_tied", ROW, False, "right; functional_call with a weight that is used twice", make_tied
    ),
    Entry(
        "tr_gelu_two_paths",
        ROW,
        False,
        "right; under torch.no_grad another path with the same value up to rounding",
        lambda: Call(gelu_two_paths, (z(7, 3, 6),)),
    ),
    Entry(
        "tr_squash_all",
        ROW,
        False,
        "right; new-style Function with a generated vmap rule, right under vmap, torch.func.grad, checkpoint and retain_graph",
        lambda: Call(SquashRows.apply, (z(10, 3, 4),)),
    ),
    Entry(
        "tr_compiled_aot",
        ROW,
        False,
        "right; torch.compile with backend aot_eager, which refuses a double backward",
        make_compiled,
    ),
    Entry(
        "tr_checkpoint_order",
        ROW,
        True,
        "transform: torch.utils.checkpoint (use_reentrant=False) around it: a random order is kept on ctx while the saved rows are made anew in another order",
        lambda: Call(RandomOrderSoftplusSum.apply, (z(11, 9, 3), z(12, 3, 2))),
    ),
    Entry(
        "tr_checkpoint_generator",
        ROW,
        True,
        "transform: torch.utils.checkpoint, inside the function: a mask of its own generator is drawn anew in the recomputation (with checkpointed=False all is right)",
        lambda: make_masked(True),
    ),
    Entry(
        "tr_vmap_center",
        ROW,
        True,
        "transform: torch.func.vmap around it: the vmap rule subtracts the mean of the whole batch",
        lambda: Call(CenteredRank.apply, (z(13, 6),)),
    ),
    Entry(
        "tr_func_grad_lean",
        ROW,
        True,
        "transform: torch.func.grad (and vjp, jacrev): forward sees requires_grad False there and leaves the slope zero",
        lambda: Call(lambda x: LeanSwish.apply(x)[0], (z(16, 7),)),
    ),
    Entry(
        "tr_functional_frozen",
        ROW,
        True,
        "transform: functional_call, inside the function: the weight fc1.weight is no nn.Parameter then and gets detached",
        make_frozen_functional,
    ),
    Entry(
        "tr_functional_frozen_module",
        ROW,
        True,
        "transform: functional_call around the module given: fc1.weight is no nn.Parameter then and gets detached (shows at the parameters, not at x)",
        make_frozen_module,
    ),
    Entry(
        "tr_no_grad_shortcut",
        ROW,
        True,
        "transform: torch.no_grad: the value is another where nothing is recorded (the damping is left out); the gradient is that of the recorded one",
        lambda: Call(MeanFieldStep(), (z(17, 3, 4), z(18, 4, 4))),
    ),
    Entry(
        "tr_norm_eval",
        ROW,
        True,
        "transform: eval(): the module is given in train mode, where all is right; in eval mode the backward still differentiates through the batch's statistics",
        lambda: Call(HandNorm(4).train(), (z(21, 7, 4),)),
    ),
    Entry(
        "tr_retain_graph_mask",
        ROW,
        True,
        "transform: repeated backward with retain_graph=True: the mask on ctx is overwritten with the first gradient",
        lambda: Call(HardTanhScaled.apply, (z(22, 12), 1.5)),
    ),
    Entry(
        "tr_compile_detached",
        ROW,
        True,
        "transform: torch.compile (backend aot_eager) around it: the branch for the compiler detaches the scale",
        lambda: Call(soft_clip, (z(23, 8),)),
    ),
]
