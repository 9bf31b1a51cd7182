"""Linear layers whose passes add up over blocks."""

import torch
import torch.nn.functional as F

from .._entry import Call, Entry

ROW = "matmul"
ALL = ("float32", "bfloat16", "float16")
LOW = ("bfloat16", "float16")
ENTRIES: list[Entry] = []
DTYPES: dict[str, tuple[str, ...]] = {}


def case(name, why, function, reference, inputs, *, wrong=False, dtypes=ALL):
    def make(dtype=getattr(torch, dtypes[0])):
        return Call(function, inputs(dtype), reference=reference)

    DTYPES[name] = dtypes
    ENTRIES.append(Entry(name, ROW, wrong, why, make))


def linear(x, weight, bias):
    return F.linear(x, weight, bias)


def layer(dtype, rows, width, out, *, mean=0.0, seed=1, scale=1.0):
    gen = torch.Generator().manual_seed(seed)
    x = mean + torch.randn(*rows, width, generator=gen)
    weight = scale * torch.randn(out, width, generator=gen) / width**0.5
    return tuple(t.to(dtype).requires_grad_() for t in (x, weight, torch.randn(out, generator=gen)))


class SplitK(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        parts = [a.float() @ b.float().t() for a, b in zip(x.split(300, -1), weight.split(300, -1))]
        return (torch.stack(parts).sum(0) + bias.float()).to(x.dtype)

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        g = dy.float()
        return (g @ weight.float()).to(x.dtype), (g.t() @ x.float()).to(x.dtype), g.sum(0).to(x.dtype)


def long_inner(dtype):
    return layer(dtype, (10,), 2000, 9, seed=2)


case(
    "mm_split_inner",
    "The inner dimension, 2,000, is split into seven, and the bias added before the only rounding.",
    SplitK.apply,
    linear,
    long_inner,
)


class SplitKNoTail(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        acc = bias.float().expand(len(x), -1).clone()
        for k in range(x.shape[1] // 300):
            cols = slice(300 * k, 300 * (k + 1))
            acc += x[:, cols].float() @ weight[:, cols].float().t()
        return acc.to(x.dtype)

    backward = SplitK.backward


case(
    "mm_tail_of_the_inner_dimension_lost",
    "mathematically: output: the last 200 of 2,000 terms, no whole block of 300, are not in the product.",
    SplitKNoTail.apply,
    linear,
    long_inner,
    wrong=True,
)


class LowForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        acc = torch.zeros(len(x), len(weight), dtype=x.dtype)
        for k in range(x.shape[1]):
            acc += torch.outer(x[:, k], weight[:, k])
        return acc + bias

    backward = SplitK.backward


case(
    "mm_forward_adds_up_in_low_precision",
    "precision: bfloat16, float16: output: 4,096 terms of one sign are added in the inputs' dtype.",
    LowForward.apply,
    linear,
    lambda dtype: tuple(
        t.detach().abs().to(dtype).requires_grad_() for t in layer(torch.float32, (5,), 4096, 4, seed=3)
    ),
    wrong=True,
    dtypes=LOW,
)


class Accumulated(torch.autograd.Function):
    """x (..., width). The weight's gradient: addmm_ into one float32 buffer, 128 rows at a time."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return (x.float() @ weight.float().t() + bias.float()).to(x.dtype)

    @staticmethod
    def rows(x, dy):
        return x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        xs, gs = Accumulated.rows(x, dy)
        main_grad, bias_grad = torch.zeros(weight.shape), torch.zeros(len(weight))
        for xb, gb in zip(xs.split(128), gs.split(128)):
            main_grad.addmm_(gb.float().t(), xb.float())
            bias_grad += gb.float().sum(0)
        dx = (dy.float() @ weight.float()).to(x.dtype)
        return dx, main_grad.to(weight.dtype), bias_grad.to(weight.dtype)


def strided(dtype):
    gen = torch.Generator().manual_seed(4)
    x = torch.randn(14, 3, 100, generator=gen).to(dtype).permute(2, 1, 0)  # (100, 3, 14)
    weight = torch.randn(11, 14, generator=gen).to(dtype)
    return (
        x.requires_grad_(),
        weight.requires_grad_(),
        torch.randn(11, generator=gen).to(dtype).requires_grad_(),
    )


def many_rows(dtype):
    return layer(dtype, (1500,), 12, 8, mean=1.0, seed=5)


case(
    "mm_accumulates_in_place",
    "Three axes, none contiguous; sums in place in a float32 buffer.",
    Accumulated.apply,
    linear,
    strided,
)
case(
    "mm_accumulates_over_many_rows",
    "Sums of 1,500 rows, 128 at a time with a tail.",
    Accumulated.apply,
    linear,
    many_rows,
)


class BiasOfTheLastBlock(Accumulated):
    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        main_grad = torch.zeros(weight.shape)
        for xb, gb in zip(x.split(500), dy.split(500)):
            main_grad += gb.float().t() @ xb.float()
            bias_grad = gb.float().sum(0)  # should be added
        return (
            (dy.float() @ weight.float()).to(x.dtype),
            main_grad.to(weight.dtype),
            bias_grad.to(weight.dtype),
        )


case(
    "mm_bias_gradient_of_the_last_block",
    "mathematically: bias: each block of rows overwrites the bias's gradient of the one before.",
    BiasOfTheLastBlock.apply,
    linear,
    many_rows,
    wrong=True,
)


class Transposed(Accumulated):
    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        dw = x.float().t() @ dy.float()
        return (
            (dy.float() @ weight.float()).to(x.dtype),
            dw.to(weight.dtype),
            dy.float().sum(0).to(weight.dtype),
        )


class ForwardWeight(Accumulated):
    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        g = dy.float()
        return (
            (g @ weight.float().t()).to(x.dtype),
            (g.t() @ x.float()).to(weight.dtype),
            g.sum(0).to(weight.dtype),
        )


def square(dtype):
    return layer(dtype, (70,), 32, 32, seed=6)


case(
    "mm_weight_gradient_transposed",
    "mathematically: weight: x^T g where it should be g^T x; the layer is square.",
    Transposed.apply,
    linear,
    square,
    wrong=True,
)
case(
    "mm_weight_transposed_in_backward",
    "mathematically: x: the cotangent is multiplied by the weight's transpose; the layer is square.",
    ForwardWeight.apply,
    linear,
    square,
    wrong=True,
)


class LowAccumulator(Accumulated):
    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        dw = torch.zeros_like(weight)
        for xb, gb in zip(x.split(2), dy.split(2)):
            dw.addmm_(gb.t(), xb)
        return (dy.float() @ weight.float()).to(x.dtype), dw, dy.float().sum(0).to(weight.dtype)


class LowBias(Accumulated):
    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        db = dy[0].clone()
        for g in dy[1:]:
            db = db + g
        return (dy.float() @ weight.float()).to(x.dtype), (dy.float().t() @ x.float()).to(weight.dtype), db


case(
    "mm_weight_gradient_accumulates_in_low_precision",
    "precision: bfloat16, float16: weight: addmm_ into a gradient of the weight's dtype, 750 times; clear with a cotangent of one sign.",
    LowAccumulator.apply,
    linear,
    lambda dtype: layer(dtype, (1500,), 12, 8, mean=2.0, seed=8),
    wrong=True,
    dtypes=LOW,
)
case(
    "mm_bias_gradient_in_low_precision",
    "precision: bfloat16, float16: bias: 1,500 cotangents are added one by one in their dtype; clear with a cotangent of one sign.",
    LowBias.apply,
    linear,
    many_rows,
    wrong=True,
    dtypes=LOW,
)


class RoundedOperands(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        xb, wb, gb = x.bfloat16().float(), weight.bfloat16().float(), dy.bfloat16().float()
        return (gb @ wb).to(x.dtype), (gb.t() @ xb).to(x.dtype), dy.sum(0)


case(
    "mm_backward_operands_in_bfloat16",
    "precision: float32: x, weight: the backward pass rounds the operands of float32 products to bfloat16, the forward pass does not.",
    RoundedOperands.apply,
    linear,
    many_rows,
    wrong=True,
    dtypes=("float32",),
)


class Compensated(torch.autograd.Function):
    """Adds up in the low dtype, but keeps what each addition loses (a sum and a remainder, as Kahan and Neumaier do)."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return (x.float() @ weight.float().t() + bias.float()).to(x.dtype)

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        total, lost = torch.zeros_like(weight), torch.zeros(weight.shape)
        for xb, gb in zip(x.split(20), dy.split(20)):
            term = gb.float().t() @ xb.float()
            high = term.to(total.dtype)
            new = total + high
            back = new - total
            error = (total - (new - back)) + (high - back)
            lost += error.float() + (term - high.float())
            total = new
        dw = (total.float() + lost).to(weight.dtype)
        db = dy.float().t().contiguous().sum(1).to(weight.dtype)
        return (dy.float() @ weight.float()).to(x.dtype), dw, db


case(
    "mm_compensated_low_precision_sums",
    "The weight's gradient is added up in the low dtype, 75 times, but with a running remainder: as good as float32.",
    Compensated.apply,
    linear,
    many_rows,
)


def linear_gelu(x, weight, bias):
    return F.gelu(F.linear(x, weight, bias), approximate="tanh")


class LinearGelu(torch.autograd.Function):
    tanh_term = True

    @classmethod
    def forward(cls, ctx, x, weight, bias):
        z = x.float() @ weight.float().t() + bias.float()
        ctx.save_for_backward(x, weight, bias)
        return (0.5 * z * (1 + torch.tanh(0.7978845608028654 * (z + 0.044715 * z**3)))).to(x.dtype)

    @classmethod
    def backward(cls, ctx, dy):
        x, weight, bias = ctx.saved_tensors
        z = x.float() @ weight.float().t() + bias.float()
        t = torch.tanh(0.7978845608028654 * (z + 0.044715 * z**3))
        slope = 0.5 * (1 + t)
        if cls.tanh_term:
            slope = slope + 0.5 * z * (1 - t * t) * 0.7978845608028654 * (1 + 3 * 0.044715 * z * z)
        dz = dy.float() * slope
        return (
            (dz @ weight.float()).to(x.dtype),
            (dz.t() @ x.float()).to(weight.dtype),
            dz.sum(0).to(bias.dtype),
        )


class LinearGeluFirstTerm(LinearGelu):
    tanh_term = False


def gelu_layer(dtype):
    return layer(dtype, (90,), 40, 30, seed=7, scale=1.2)


case(
    "mm_gelu_epilogue",
    "Product, bias and GELU rounded once; nothing but the inputs is kept.",
    LinearGelu.apply,
    linear_gelu,
    gelu_layer,
)
case(
    "mm_gelu_second_term",
    "mathematically: x, weight, bias: GELU's derivative lacks its second term, that of the tanh.",
    LinearGeluFirstTerm.apply,
    linear_gelu,
    gelu_layer,
    wrong=True,
)
