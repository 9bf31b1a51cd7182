"""Rotary position embeddings, in place and not."""

import torch

from .._entry import Call, Entry

ROW = "rotary"
ALL = ("float32", "bfloat16", "float16")
LOW = ("bfloat16", "float16")
ENTRIES: list[Entry] = []
DTYPES: dict[str, tuple[str, ...]] = {}


def register(name, wrong, why, dtypes, function, reference, inputs):
    first = getattr(torch, dtypes[0])
    ENTRIES.append(
        Entry(name, ROW, wrong, why, lambda dtype=first: Call(function, inputs(dtype), reference=reference))
    )
    DTYPES[name] = dtypes


def tables(length, half, dtype, base=10000.0):
    freq = base ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * freq
    return angle.cos().to(dtype), angle.sin().to(dtype)


def eager_halves(q, k, cos, sin):
    def turn(x):
        x1, x2 = x.chunk(2, dim=-1)
        return torch.cat((x1 * cos - x2 * sin, x2 * cos + x1 * sin), dim=-1)

    return turn(q), turn(k)


def _turn(x, cos, sin):
    half = x.shape[-1] // 2
    x1, x2, c, s = x[..., :half].float(), x[..., half:].float(), cos.float(), sin.float()
    y = torch.empty_like(x)
    y[..., :half] = x1 * c - x2 * s
    y[..., half:] = x2 * c + x1 * s
    return y


class RopeHalves(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, cos, sin):
        ctx.save_for_backward(cos, sin)
        return _turn(q, cos, sin), _turn(k, cos, sin)

    @staticmethod
    def backward(ctx, dq, dk):
        cos, sin = ctx.saved_tensors
        return _turn(dq, cos, -sin), _turn(dk, cos, -sin), None, None


class RopeHalvesSameSign(RopeHalves):
    @staticmethod
    def backward(ctx, dq, dk):
        cos, sin = ctx.saved_tensors
        return _turn(dq, cos, -sin), _turn(dk, cos, sin), None, None


def qk_inputs(dtype):
    g = torch.Generator().manual_seed(2)
    cos, sin = tables(37, 16, dtype)
    q = torch.randn(2, 4, 37, 32, generator=g).to(dtype).requires_grad_()
    k = torch.randn(2, 2, 37, 32, generator=g).to(dtype).requires_grad_()
    return q, k, cos, sin


register(
    "rope_halves",
    False,
    "Two outputs, fewer heads of k than of q; rounds once where the eager version rounds three times.",
    ALL,
    RopeHalves.apply,
    eager_halves,
    qk_inputs,
)
register(
    "rope_halves_sine_sign_of_k",
    True,
    "mathematically: k: the backward pass turns q's gradient back but k's further on (the sine's sign).",
    ALL,
    RopeHalvesSameSign.apply,
    eager_halves,
    qk_inputs,
)


def eager_pairs(x, cos, sin):
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


def _turn_pairs_(x, cos, sin):
    """Overwrites x."""
    even, odd = x[..., 0::2].float(), x[..., 1::2].float()
    new_even = even * cos - odd * sin
    x[..., 1::2] = even * sin + odd * cos
    x[..., 0::2] = new_even
    return x


class RopePairsInPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, cos, sin):
        ctx.save_for_backward(cos, sin)
        ctx.mark_dirty(x)
        return _turn_pairs_(x, cos.float(), sin.float())

    @staticmethod
    def backward(ctx, dy):
        cos, sin = ctx.saved_tensors
        return _turn_pairs_(dy.clone(), cos.float(), -sin.float()), None, None


def rope_pairs_in_place(x, cos, sin):
    return RopePairsInPlace.apply(x.clone(), cos, sin)


class RopePairsOverwritten(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, cos, sin):
        ctx.save_for_backward(cos, sin)
        ctx.mark_dirty(x)
        return _turn_pairs_(x, cos.float(), sin.float())

    @staticmethod
    def backward(ctx, dy):
        cos, sin = ctx.saved_tensors
        dx = dy.clone()
        even, odd = dx[..., 0::2], dx[..., 1::2]  # views
        even.copy_(even * cos + odd * sin)
        odd.copy_(odd * cos - even * sin)  # `even` is the new one by now
        return dx, None, None


def rope_pairs_overwritten(x, cos, sin):
    return RopePairsOverwritten.apply(x.clone(), cos, sin)


def pairs_inputs(dtype):
    g = torch.Generator().manual_seed(20)
    cos, sin = tables(50, 12, dtype, base=500.0)
    return torch.randn(3, 50, 24, generator=g).to(dtype).requires_grad_(), cos, sin


register(
    "rope_pairs_in_place",
    False,
    "Marks its input dirty and turns it in place (a copy of the leaf), and does the same to a copy of the cotangent.",
    ALL,
    rope_pairs_in_place,
    eager_pairs,
    pairs_inputs,
)
register(
    "rope_pairs_in_place_overwritten_too_early",
    True,
    "mathematically: x: the backward pass, in place, uses the even entries when they are already overwritten.",
    ALL,
    rope_pairs_overwritten,
    eager_pairs,
    pairs_inputs,
)


class RopePairsAliasOfFloat(RopePairsInPlace):
    @staticmethod
    def backward(ctx, dy):
        cos, sin = (t.float() for t in ctx.saved_tensors)
        dx = dy.clone()
        even, odd = dx[..., 0::2].float(), dx[..., 1::2].float()  # copies, unless dx is float32 already
        dx[..., 0::2] = even * cos + odd * sin
        dx[..., 1::2] = odd * cos - even * sin
        return dx, None, None


def rope_pairs_alias_of_float(x, cos, sin):
    return RopePairsAliasOfFloat.apply(x.clone(), cos, sin)


register(
    "rope_pairs_in_place_alias_in_float32_alone",
    True,
    "mathematically: x: .float() makes no copy of a float32 tensor, so that in float32 alone the in-place backward pass reads what it has overwritten.",
    ("float32",),
    rope_pairs_alias_of_float,
    eager_pairs,
    pairs_inputs,
)


class RopePairsTakesCotangent(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, cos, sin):
        ctx.save_for_backward(cos, sin)
        return _turn_pairs_(x.clone(), cos.float(), sin.float())

    @staticmethod
    def backward(ctx, dy):
        cos, sin = ctx.saved_tensors
        return _turn_pairs_(dy, cos.float(), -sin.float()), None, None


def residual_pairs(x, cos, sin):
    h = x * 1.0
    return h + RopePairsTakesCotangent.apply(h, cos, sin)


def eager_residual_pairs(x, cos, sin):
    return x + eager_pairs(x, cos, sin)


register(
    "rope_gradient_written_into_a_shared_cotangent",
    True,
    "mathematically: x: the gradient is written in place into the cotangent, which the residual branch of x + rope(x) shares.",
    ALL,
    residual_pairs,
    eager_residual_pairs,
    pairs_inputs,
)


def eager_partial(x, positions, rotary=16):
    wide = torch.promote_types(x.dtype, torch.float32)
    freq = 10000.0 ** (-torch.arange(0, rotary, 2, dtype=wide) / rotary)
    angle = positions.to(wide)[:, None, None] * freq
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., : rotary // 2], x[..., rotary // 2 : rotary]
    return torch.cat((a * cos - b * sin, b * cos + a * sin, x[..., rotary:]), -1)


class PartialRope(torch.autograd.Function):
    """Sines and cosines in float64, never rounded to the dtype of x."""

    @staticmethod
    def forward(ctx, x, positions, rotary=16):
        freq = 10000.0 ** (-torch.arange(0, rotary, 2, dtype=torch.float64) / rotary)
        angle = positions.double()[:, None, None] * freq
        ctx.save_for_backward(angle)
        ctx.rotary = rotary
        return PartialRope.turned(x, angle, rotary)

    @staticmethod
    def turned(x, angle, rotary):
        y = x.clone()
        z = torch.complex(x[..., : rotary // 2].float(), x[..., rotary // 2 : rotary].float())
        z = z * torch.polar(torch.ones_like(angle), angle).to(torch.complex64)
        y[..., : rotary // 2], y[..., rotary // 2 : rotary] = z.real, z.imag
        return y

    @staticmethod
    def backward(ctx, dy):
        (angle,) = ctx.saved_tensors
        return PartialRope.turned(dy, -angle, ctx.rotary), None, None


class PartialRopeNoPass(PartialRope):
    @staticmethod
    def backward(ctx, dy):
        (angle,) = ctx.saved_tensors
        r = ctx.rotary
        dx = torch.zeros_like(dy)
        dx[..., :r] = PartialRope.turned(dy[..., :r], -angle, r)
        return dx, None, None


class PartialRopeFromZero(PartialRope):
    @staticmethod
    def backward(ctx, dy):
        (angle,) = ctx.saved_tensors
        return PartialRope.turned(dy, angle[:1] - angle, ctx.rotary), None, None


def packed_inputs(dtype):
    g = torch.Generator().manual_seed(6)
    positions = torch.cat([torch.arange(5, 42), torch.arange(100, 130)])
    return torch.randn(67, 4, 24, generator=g).to(dtype).requires_grad_(), positions


register(
    "rope_partial_complex",
    False,
    "Complex multiplication, tables never rounded to the low dtype (better than eager); 8 of 24 features pass as they are.",
    ALL,
    PartialRope.apply,
    eager_partial,
    packed_inputs,
)
register(
    "rope_partial_passing_features_lost",
    True,
    "mathematically: x: the features that are not turned get a gradient of 0.",
    ALL,
    PartialRopeNoPass.apply,
    eager_partial,
    packed_inputs,
)
register(
    "rope_backward_without_the_offset",
    True,
    "mathematically: x: the backward pass counts positions from the first one, as if it were 0 (it is 5).",
    ALL,
    PartialRopeFromZero.apply,
    eager_partial,
    packed_inputs,
)


class LowAngles(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, positions, rotary=16):
        freq = (10000.0 ** (-torch.arange(0, rotary, 2) / rotary)).to(x.dtype)
        angle = positions.to(x.dtype)[:, None, None] * freq
        ctx.save_for_backward(angle.double())
        ctx.rotary = rotary
        return PartialRope.turned(x, angle.double(), rotary)

    @staticmethod
    def backward(ctx, dy):
        (angle,) = ctx.saved_tensors
        return PartialRope.turned(dy, -angle, ctx.rotary), None, None


def far_inputs(dtype):
    g = torch.Generator().manual_seed(7)
    return torch.randn(64, 3, 20, generator=g).to(dtype).requires_grad_(), torch.arange(2990, 3054)


register(
    "rope_angles_in_low_precision",
    True,
    "precision: bfloat16, float16: output, x: position times frequency in the dtype of x, at positions of about 3,000.",
    LOW,
    LowAngles.apply,
    eager_partial,
    far_inputs,
)


def eager_tables(x, cos, sin):
    a, b = x.unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1)


class TrainedTables(torch.autograd.Function):
    """x (sequences, length, features, 2); cos and sin are parameters, and sum over the sequences."""

    @staticmethod
    def forward(ctx, x, cos, sin):
        ctx.save_for_backward(x, cos, sin)
        a, b, c, s = x[..., 0].float(), x[..., 1].float(), cos.float(), sin.float()
        return torch.stack((a * c - b * s, a * s + b * c), -1).to(x.dtype)

    @staticmethod
    def dx(x, cos, sin, dy):
        u, v, c, s = dy[..., 0].float(), dy[..., 1].float(), cos.float(), sin.float()
        return torch.stack((u * c + v * s, v * c - u * s), -1).to(x.dtype)

    @staticmethod
    def backward(ctx, dy):
        x, cos, sin = ctx.saved_tensors
        dcos, dsin = torch.zeros(cos.shape), torch.zeros(cos.shape)
        for xs, ds in zip(x.split(50), dy.split(50)):
            xs, ds = xs.float(), ds.float()
            dcos += (xs * ds).sum(-1).sum(0)
            dsin += (xs[..., 0] * ds[..., 1] - xs[..., 1] * ds[..., 0]).sum(0)
        return TrainedTables.dx(x, cos, sin, dy), dcos.to(cos.dtype), dsin.to(sin.dtype)


class TrainedTablesLow(TrainedTables):
    @staticmethod
    def backward(ctx, dy):
        x, cos, sin = ctx.saved_tensors
        dcos, dsin = torch.zeros_like(cos), torch.zeros(sin.shape)
        for xs, ds in zip(x.float().unbind(0), dy.float().unbind(0)):
            dcos += (xs * ds).sum(-1).to(cos.dtype)
            dsin += xs[..., 0] * ds[..., 1] - xs[..., 1] * ds[..., 0]
        return TrainedTables.dx(x, cos, sin, dy), dcos, dsin.to(sin.dtype)


class TrainedTablesSine(TrainedTables):
    @staticmethod
    def backward(ctx, dy):
        x, cos, sin = ctx.saved_tensors
        xs, ds = x.float(), dy.float()
        dcos = (xs * ds).sum(-1).sum(0)
        dsin = (xs[..., 0] * ds[..., 1] + xs[..., 1] * ds[..., 0]).sum(0)
        return TrainedTables.dx(x, cos, sin, dy), dcos.to(cos.dtype), dsin.to(sin.dtype)


def table_inputs(dtype):
    g = torch.Generator().manual_seed(71)
    x = torch.rand(1400, 4, 3, 2, generator=g) + torch.tensor([0.5, 0.0])
    cos, sin = tables(4, 3, dtype, base=100.0)
    return x.to(dtype).requires_grad_(), cos.requires_grad_(), sin.requires_grad_()


register(
    "rope_trained_tables",
    False,
    "The tables are parameters, whose gradients sum over 1,400 sequences in float32, 50 at a time.",
    ALL,
    TrainedTables.apply,
    eager_tables,
    table_inputs,
)
register(
    "rope_trained_tables_added_up_in_low_precision",
    True,
    "precision: bfloat16, float16: cos: the gradient of the cosines sums over 1,400 sequences in its own dtype; clear with a cotangent of one sign.",
    LOW,
    TrainedTablesLow.apply,
    eager_tables,
    table_inputs,
)
register(
    "rope_trained_tables_sine",
    True,
    "mathematically: sin: the gradient of the sine has the wrong sign in one of its two terms.",
    ALL,
    TrainedTablesSine.apply,
    eager_tables,
    table_inputs,
)
