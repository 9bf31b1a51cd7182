"""Row "intended": gradients which differ from the true one on purpose; Call.intended has the gradient that is meant."""

import torch
import torch.nn.functional as F
from torch.autograd import Function

from .._entry import Call, Entry

ROW = "intended"


def q(seed, *shape, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, generator=g, dtype=torch.float64) * scale).requires_grad_()


class RoundTo(Function):
    """To the next multiple of step; straight-through"""

    @staticmethod
    def forward(ctx, x, step):
        return torch.round(x / step) * step

    @staticmethod
    def backward(ctx, g):
        return g, None


class Binarise(Function):
    """sign(x), whose gradient passes where |x| <= 1"""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (x.abs() <= 1)


class Reverse(Function):
    """gradient reversal, as in domain adversarial training"""

    @staticmethod
    def forward(ctx, features, strength):
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx, g):
        return -ctx.strength * g, None


class ClippedSquare(Function):
    """sum of squared errors / 2, whose gradient is clipped at +-c (as Huber's loss has it)"""

    @staticmethod
    def forward(ctx, prediction, target, c):
        ctx.c = c
        ctx.save_for_backward(prediction, target)
        return 0.5 * ((prediction - target) ** 2).sum()

    @staticmethod
    def backward(ctx, g):
        prediction, target = ctx.saved_tensors
        e = (prediction - target).clamp(-ctx.c, ctx.c)
        return g * e, -g * e, None


def huber(prediction, target, c):
    return F.huber_loss(prediction, target, reduction="sum", delta=c)


def bootstrapped(value, following, reward):
    """Semi-gradient temporal difference: the target is held still."""
    return 0.5 * ((reward + 0.95 * following.detach() - value) ** 2).sum()


def make_bootstrapped():
    following = q(6, 5)
    held = following.detach().clone()

    def meant(value, following, reward):
        return 0.5 * ((reward + 0.95 * held - value) ** 2).sum() + 0.0 * following.sum()

    return Call(
        bootstrapped, (q(5, 5), following, torch.linspace(-1, 1, 5, dtype=torch.float64)), intended=meant
    )


class HardChoice(Function):
    """one-hot of the largest logit, with the softmax's gradient"""

    @staticmethod
    def forward(ctx, logits, tau):
        ctx.tau = tau
        ctx.save_for_backward(logits)
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)

    @staticmethod
    def backward(ctx, g):
        (logits,) = ctx.saved_tensors
        p = torch.softmax(logits / ctx.tau, -1)
        return p * (g - (p * g).sum(-1, keepdim=True)) / ctx.tau, None


class FakeQuant(Function):
    """int8 grid with a scale; meant: identity in the range, 0 outside"""

    @staticmethod
    def forward(ctx, x, scale, zero_point):
        ctx.scale, ctx.zp = scale, zero_point
        ctx.save_for_backward(x)
        k = torch.clamp(torch.round(x / scale) + zero_point, 0, 15)
        return (k - zero_point) * scale

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        inside = (x / ctx.scale + ctx.zp >= 0) & (x / ctx.scale + ctx.zp <= 15)
        return g * inside / ctx.scale, None, None  # not scaled back


def quant_meant(x, scale, zero_point):
    return (torch.clamp(x / scale + zero_point, 0, 15) - zero_point) * scale


class Ternary(Function):
    """-1, 0, 1; meant: hardtanh's gradient"""

    @staticmethod
    def forward(ctx, x, threshold):
        ctx.threshold = threshold
        ctx.save_for_backward(x)
        return torch.sign(x) * (x.abs() > threshold)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (x.abs() > ctx.threshold), None  # the forward's mask, in place of |x| <= 1


class ReverseAdapt(Function):
    @staticmethod
    def forward(ctx, h, lam):
        ctx.lam = lam
        return h * 1.0

    @staticmethod
    def backward(ctx, g):
        return ctx.lam * g, None  # not negated


class LearnedStep(Function):
    """Quantiser with a learned step (scalar): round(clamp(x/s, -4, 3)) s"""

    @staticmethod
    def forward(ctx, x, s):
        ctx.save_for_backward(x, s)
        return torch.round(torch.clamp(x / s, -4, 3)) * s

    @staticmethod
    def backward(ctx, g):
        x, s = ctx.saved_tensors
        v = x / s
        inside = (v > -4) & (v < 3)
        return g * inside, (
            g * torch.where(inside, torch.round(v) - v, torch.zeros_like(v))
        ).sum()  # ends: -4 and 3, not 0


def make_learned_step():
    x, s = q(14, 24, scale=1.5), torch.tensor(0.45, dtype=torch.float64, requires_grad=True)
    v = x.detach() / s.detach()
    rest = torch.round(v.clamp(-4, 3)) - v.clamp(-4, 3)

    def meant(x, s):
        return (torch.clamp(x / s, -4, 3) + rest) * s

    return Call(LearnedStep.apply, (x, s), intended=meant)


class SpikeFn(Function):
    """Heaviside step of the membrane potential, with the fast sigmoid's derivative as surrogate"""

    @staticmethod
    def forward(ctx, u, slope):
        ctx.slope = slope
        ctx.save_for_backward(u)
        return (u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx, g):
        (u,) = ctx.saved_tensors
        return g / (ctx.slope * u.abs() + 1), None  # the square is missing


def fast_sigmoid(u, slope):
    return u / (1 + slope * u.abs())


class NearestCode(Function):
    """Vector quantisation: each row to its nearest code; meant: straight through to the rows, nothing to the codes"""

    @staticmethod
    def forward(ctx, rows, codes):
        idx = torch.cdist(rows, codes).argmin(1)
        ctx.save_for_backward(idx)
        ctx.size = codes.shape
        return codes[idx]

    @staticmethod
    def backward(ctx, g):
        (idx,) = ctx.saved_tensors
        return g, g.new_zeros(ctx.size).index_add(0, idx, g)  # the codes were meant to get nothing


def straight_rows(rows, codes):
    return rows + 0.0 * codes.sum()


ENTRIES = [
    Entry(
        "in_round",
        ROW,
        False,
        "right; straight-through rounding: the true gradient is zero",
        lambda: Call(RoundTo.apply, (q(1, 4, 3), 0.25), intended=lambda x, step: x),
    ),
    Entry(
        "in_binarise",
        ROW,
        False,
        "right; sign with a gradient clipped to |x| <= 1, meant as hardtanh's",
        lambda: Call(Binarise.apply, (q(2, 20),), intended=lambda x: x.clamp(-1, 1)),
    ),
    Entry(
        "in_reversal",
        ROW,
        False,
        "right; the identity with the gradient times -0.7",
        lambda: Call(Reverse.apply, (q(3, 2, 6), 0.7), intended=lambda x, strength: -strength * x),
    ),
    Entry(
        "in_clipped_square",
        ROW,
        False,
        "right; the gradient of a sum of squares clipped by value, which is Huber's",
        lambda: Call(ClippedSquare.apply, (q(4, 12, scale=3.0), q(7, 12), 1.0), intended=huber),
    ),
    Entry(
        "in_semi_gradient",
        ROW,
        False,
        "right; a stop-gradient in the target, whose input's gradient is none on purpose",
        make_bootstrapped,
    ),
    Entry(
        "in_hard_choice",
        ROW,
        False,
        "right; one-hot with the softmax's gradient",
        lambda: Call(
            HardChoice.apply, (q(8, 5, 4), 0.5), intended=lambda logits, tau: torch.softmax(logits / tau, -1)
        ),
    ),
    Entry(
        "in_fake_quant_scale",
        ROW,
        True,
        "the straight-through gradient is divided by the scale",
        lambda: Call(FakeQuant.apply, (q(11, 30), 0.2, 8), intended=quant_meant),
    ),
    Entry(
        "in_ternary_mask",
        ROW,
        True,
        "the gradient is masked with the forward's |x| > threshold in place of |x| <= 1",
        lambda: Call(Ternary.apply, (q(12, 16), 0.5), intended=lambda x, threshold: x.clamp(-1, 1)),
    ),
    Entry(
        "in_reversal_sign",
        ROW,
        True,
        "the gradient reversal does not reverse",
        lambda: Call(ReverseAdapt.apply, (q(13, 3, 3), 0.3), intended=lambda h, lam: -lam * h),
    ),
    Entry(
        "in_learned_step_ends",
        ROW,
        True,
        "the step's gradient leaves out the clamped entries (-4 or 3 each)",
        make_learned_step,
    ),
    Entry(
        "in_spike_square",
        ROW,
        True,
        "the surrogate derivative 1/(1 + k|u|)^2 lacks its square",
        lambda: Call(SpikeFn.apply, (q(15, 4, 5), 10.0), intended=fast_sigmoid),
    ),
    Entry(
        "in_codes_get_gradient",
        ROW,
        True,
        "the codes get a gradient that the straight-through estimator is meant to keep from them",
        lambda: Call(NearestCode.apply, (q(16, 7, 2), q(17, 4, 2)), intended=straight_rows),
    ),
]
