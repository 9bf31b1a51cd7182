"""Causal attention with a soft cap, cap * tanh(scores / cap), as blockwise kernels."""

import math

import torch

from .._entry import Call, Entry

ROW = "softcap attention"
ALL = ("float32", "bfloat16", "float16")
LOW = ("bfloat16", "float16")
ENTRIES: list[Entry] = []
DTYPES: dict[str, tuple[str, ...]] = {}


def declare(name, why, function, reference, inputs, *, wrong=False, dtypes=ALL):
    def make(dtype=getattr(torch, dtypes[0])):
        return Call(function, inputs(dtype), reference=reference)

    ENTRIES.append(Entry(name, ROW, wrong, why, make))
    DTYPES[name] = dtypes


CAP = 20.0


def eager(q, k, v):
    n, d = q.shape[-2:]
    scores = q @ k.transpose(-1, -2) / math.sqrt(d)
    scores = torch.tanh(scores / CAP) * CAP
    scores = scores.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -math.inf)
    return torch.softmax(scores, -1) @ v


def qkv(dtype, heads=2, n=150, d=16, size=2.0, seed=1):
    g = torch.Generator().manual_seed(seed)
    return tuple(
        (torch.randn(heads, n, d, generator=g) * s).to(dtype).requires_grad_() for s in (size, size, 1.0)
    )


def spans(n, size):
    return [(i, min(i + size, n)) for i in range(0, n, size)]


BQ, BK = 64, 32


def _capped(q, k, i, j):
    """float32 scores of a block, and the tanh."""
    t = torch.tanh(q @ k.mT * (1.0 / (math.sqrt(q.shape[-1]) * CAP)))
    rows = torch.arange(i, i + q.shape[-2])[:, None]
    cols = torch.arange(j, j + k.shape[-2])
    return torch.where(cols <= rows, CAP * t, -math.inf), t


def flash_forward(q, k, v, *, rescale=True, key_blocks=None):
    h, n, d = q.shape
    out, lse = torch.empty_like(q), torch.empty(h, n)
    for i0, i1 in spans(n, BQ):
        qi = q[:, i0:i1].float()
        m = torch.full((h, i1 - i0, 1), -math.inf)
        total = torch.zeros(h, i1 - i0, 1)
        acc = torch.zeros(h, i1 - i0, d)
        for j0, j1 in key_blocks or spans(n, BK):
            if j0 >= i1:
                break
            s, _ = _capped(qi, k[:, j0:j1].float(), i0, j0)
            m_new = torch.maximum(m, s.amax(-1, keepdim=True))
            p = torch.exp(s - m_new)
            shrink = torch.exp(m - m_new)
            total = total * shrink + p.sum(-1, keepdim=True)
            acc = (acc * shrink if rescale else acc) + p @ v[:, j0:j1].float()
            m = m_new
        out[:, i0:i1] = (acc / total).to(out.dtype)
        lse[:, i0:i1] = (m + total.log())[..., 0]
    return out, lse


def flash_backward(q, k, v, out, lse, do, *, tanh_factor=True, use_delta=True, causal_shift=0):
    h, n, d = q.shape
    dq, dk, dv = (torch.zeros(h, n, d) for _ in range(3))
    delta = (do.float() * out.float()).sum(-1, keepdim=True)
    for j0, j1 in spans(n, BK):
        kj, vj = k[:, j0:j1].float(), v[:, j0:j1].float()
        for i0, i1 in spans(n, BQ):
            if i1 <= j0:
                continue
            qi, gi = q[:, i0:i1].float(), do[:, i0:i1].float()
            s, t = _capped(qi, kj, i0 - causal_shift, j0)
            p = torch.exp(s - lse[:, i0:i1, None])
            dv[:, j0:j1] += p.mT @ gi
            dp = gi @ vj.mT
            ds = p * (dp - delta[:, i0:i1]) if use_delta else p * dp
            if tanh_factor:
                ds = ds * (1 - t * t)
            ds = ds / math.sqrt(d)
            dq[:, i0:i1] += ds @ kj
            dk[:, j0:j1] += ds.mT @ qi
    return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype)


class Flash(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v):
        out, lse = flash_forward(q, k, v)
        ctx.save_for_backward(q, k, v, out, lse)
        return out

    @staticmethod
    def backward(ctx, do):
        return flash_backward(*ctx.saved_tensors, do)


declare(
    "attn_flash_softcap",
    "Blocks of 64 x 32 at a length of 150, probabilities made anew from the log-sum-exp, delta from the rounded output.",
    Flash.apply,
    eager,
    lambda dtype: qkv(dtype, size=1.3),
)


class FlashNoTanhFactor(Flash):
    @staticmethod
    def backward(ctx, do):
        return flash_backward(*ctx.saved_tensors, do, tanh_factor=False)


declare(
    "attn_softcap_derivative_forgotten",
    "mathematically: q, k: the backward pass leaves out 1 - tanh^2, the derivative of the soft cap.",
    FlashNoTanhFactor.apply,
    eager,
    lambda dtype: qkv(dtype, size=3.0),
    wrong=True,
)


class FlashNoDelta(Flash):
    @staticmethod
    def backward(ctx, do):
        return flash_backward(*ctx.saved_tensors, do, use_delta=False)


declare(
    "attn_delta_forgotten",
    "mathematically: q, k: the softmax's derivative lacks the term of its denominator (delta).",
    FlashNoDelta.apply,
    eager,
    qkv,
    wrong=True,
)


class FlashMaskOffByOne(Flash):
    @staticmethod
    def backward(ctx, do):
        return flash_backward(*ctx.saved_tensors, do, causal_shift=1)


declare(
    "attn_backward_mask_off_by_one",
    "mathematically: q, k, v: the backward pass masks the diagonal too (j < i where it should be j <= i).",
    FlashMaskOffByOne.apply,
    eager,
    qkv,
    wrong=True,
)


class FlashStaleAccumulator(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v):
        out, _ = flash_forward(q, k, v, rescale=False)
        right, lse = flash_forward(q, k, v)
        ctx.save_for_backward(q, k, v, right, lse)
        return out

    @staticmethod
    def backward(ctx, do):
        return flash_backward(*ctx.saved_tensors, do)


def growing_keys(dtype):
    q, k, v = (x.detach() for x in qkv(torch.float32, heads=1, n=128, seed=4))
    k = k * torch.linspace(0.2, 1.5, 128)[:, None]
    return tuple(x.to(dtype).requires_grad_() for x in (q, k, v))


declare(
    "attn_accumulator_not_rescaled",
    "mathematically: output: where a block raises the maximum the denominator is rescaled and the accumulator is not.",
    FlashStaleAccumulator.apply,
    eager,
    growing_keys,
    wrong=True,
)


class FlashNoTail(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v):
        n = q.shape[-2]
        out, lse = flash_forward(q, k, v, key_blocks=[(j * BK, j * BK + BK) for j in range(n // BK)])
        ctx.save_for_backward(q, k, v)
        return out

    @staticmethod
    def backward(ctx, do):
        q, k, v = ctx.saved_tensors
        return flash_backward(q, k, v, *flash_forward(q, k, v), do)


declare(
    "attn_tail_of_the_keys_lost",
    "mathematically: output: the last 22 of 150 keys, no whole block of 32, are not seen; the backward pass runs the right forward pass again.",
    FlashNoTail.apply,
    eager,
    qkv,
    wrong=True,
)


def eager_window(q, k, v, window=40):
    n, d = q.shape[-2:]
    s = (q * d**-0.5) @ k.transpose(-1, -2)
    s = CAP * torch.tanh(s / CAP)
    i, j = torch.arange(n)[:, None], torch.arange(n)
    s = s.masked_fill((j > i) | (j <= i - window), float("-inf"))
    return s.softmax(-1) @ v


class WindowTensorCore(torch.autograd.Function):
    """Blocks of queries against their whole window; the product's operands have the dtype of q, its sums float32."""

    @staticmethod
    def _block(q, k, i0, i1, window):
        lo = max(0, i0 - window + 1)
        s = q[:, i0:i1].float() @ k[:, lo:i1].float().mT
        t = torch.tanh(s * (q.shape[-1] ** -0.5 / CAP))
        i, j = torch.arange(i0, i1)[:, None], torch.arange(lo, i1)
        return lo, t, torch.where((j <= i) & (j > i - window), t * CAP, -math.inf)

    @staticmethod
    def forward(ctx, q, k, v, window=40):
        out = torch.empty_like(q)
        n = q.shape[-2]
        for i0 in range(0, n, 48):
            i1 = min(i0 + 48, n)
            lo, _, s = WindowTensorCore._block(q, k, i0, i1, window)
            p = torch.exp(s - s.amax(-1, keepdim=True))
            out[:, i0:i1] = ((p.to(v.dtype).float() @ v[:, lo:i1].float()) / p.sum(-1, keepdim=True)).to(
                q.dtype
            )
        ctx.save_for_backward(q, k, v)
        ctx.window = window
        return out

    @staticmethod
    def backward(ctx, do):
        q, k, v = ctx.saved_tensors
        low = q.dtype
        dq = torch.empty_like(q)
        dk, dv = torch.zeros(k.shape), torch.zeros(v.shape)
        n, scale = q.shape[-2], q.shape[-1] ** -0.5
        for i0 in range(0, n, 48):
            i1 = min(i0 + 48, n)
            lo, t, s = WindowTensorCore._block(q, k, i0, i1, ctx.window)
            p = torch.softmax(s, -1)
            g = do[:, i0:i1].float()
            dv[:, lo:i1] += p.to(low).float().mT @ g
            dp = g @ v[:, lo:i1].float().mT
            ds = p * (dp - (p * dp).sum(-1, keepdim=True)) * (1 - t * t)
            ds = ds.to(low).float()
            dq[:, i0:i1] = ((ds @ k[:, lo:i1].float()) * scale).to(low)
            dk[:, lo:i1] += (ds.mT @ q[:, i0:i1].float()) * scale
        return dq, dk.to(low), dv.to(low), None


declare(
    "attn_window_operands_rounded",
    "Probabilities and their gradient are rounded to the dtype of q before the products, as tensor cores have it: as good as the eager version, not better.",
    WindowTensorCore.apply,
    eager_window,
    lambda dtype: qkv(dtype, n=130, d=24, seed=12, size=1.5),
)


def eager_grouped(q, k, v):
    group = q.shape[0] // k.shape[0]
    return eager(q, k.repeat_interleave(group, 0), v.repeat_interleave(group, 0))


class Grouped(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v):
        group = q.shape[0] // k.shape[0]
        out = torch.empty_like(q)
        for head in range(q.shape[0]):
            kv = slice(head // group, head // group + 1)
            out[head : head + 1] = flash_forward(q[head : head + 1], k[kv], v[kv])[0]
        ctx.save_for_backward(q, k, v)
        return out

    @staticmethod
    def _head(q, k, v, do):
        s, t = _capped(q, k, 0, 0)
        p = torch.softmax(s, -1)
        dp = do @ v.mT
        ds = p * (dp - (dp * p).sum(-1, keepdim=True)) * (1 - t**2) * q.shape[-1] ** -0.5
        return ds @ k, ds.mT @ q, p.mT @ do

    @staticmethod
    def backward(ctx, do):
        q, k, v = ctx.saved_tensors
        group = q.shape[0] // k.shape[0]
        dq, dk, dv = torch.empty_like(q), torch.zeros(k.shape), torch.zeros(v.shape)
        for head in range(q.shape[0]):
            kv = head // group
            dqh, dkh, dvh = Grouped._head(q[head].float(), k[kv].float(), v[kv].float(), do[head].float())
            dq[head] = dqh.to(q.dtype)
            dk[kv] += dkh
            dv[kv] += dvh
        return dq, dk.to(k.dtype), dv.to(v.dtype)


def grouped_qkv(dtype):
    g = torch.Generator().manual_seed(31)
    q = torch.randn(6, 90, 16, generator=g) * 2
    k, v = torch.randn(2, 2, 90, 16, generator=g)
    return tuple(x.to(dtype).requires_grad_() for x in (q, k, v))


declare(
    "attn_grouped_heads",
    "Three heads of queries share one of keys and values, whose gradients sum over them in float32.",
    Grouped.apply,
    eager_grouped,
    grouped_qkv,
)


class GroupedOverwritten(Grouped):
    @staticmethod
    def backward(ctx, do):
        q, k, v = ctx.saved_tensors
        group = q.shape[0] // k.shape[0]
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros(v.shape)
        for head in range(q.shape[0]):
            kv = head // group
            dqh, dkh, dvh = Grouped._head(q[head].float(), k[kv].float(), v[kv].float(), do[head].float())
            dq[head], dk[kv] = (
                dqh.to(q.dtype),
                dkh.to(k.dtype),
            )  # each head of queries overwrites the last one's
            dv[kv] += dvh
        return dq, dk, dv.to(v.dtype)


declare(
    "attn_grouped_heads_overwrite",
    "mathematically: k: the heads of a group overwrite each other's gradient of the keys.",
    GroupedOverwritten.apply,
    eager_grouped,
    grouped_qkv,
    wrong=True,
)


def flat_long(dtype):
    q, k, v = (x.detach() for x in qkv(torch.float32, heads=1, n=640, d=8, size=0.5, seed=9))
    return tuple(x.to(dtype).requires_grad_() for x in (q, k, v + 1.5))


class LowGradientOfValues(torch.autograd.Function):
    """One program for each row of queries; the values' gradient is added to in place, in its own dtype."""

    @staticmethod
    def forward(ctx, q, k, v):
        ctx.save_for_backward(q, k, v)
        return flash_forward(q, k, v)[0]

    @staticmethod
    def backward(ctx, do):
        q, k, v = ctx.saved_tensors
        s, t = _capped(q.float(), k.float(), 0, 0)
        p = torch.softmax(s, -1)
        dv = torch.zeros_like(v)
        for i in range(q.shape[-2]):
            dv[:, : i + 1] += (p[:, i, : i + 1, None] * do[:, i, None].float()).to(v.dtype)
        dp = do.float() @ v.float().mT
        ds = p * (dp - (p * dp).sum(-1, keepdim=True)) * (1 - t * t) * q.shape[-1] ** -0.5
        return (ds @ k.float()).to(q.dtype), (ds.mT @ q.float()).to(k.dtype), dv


declare(
    "attn_gradient_of_values_in_low_precision",
    "precision: bfloat16, float16: v: the gradient of the values sums over 640 rows in its own dtype; clear with a cotangent of one sign.",
    LowGradientOfValues.apply,
    eager,
    lambda dtype: qkv(dtype, heads=1, n=640, d=8, size=0.05, seed=9),
    wrong=True,
    dtypes=LOW,
)


class LowDenominator(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v):
        s, _ = _capped(q.float(), k.float(), 0, 0)
        m = s.amax(-1, keepdim=True)
        p = torch.exp(s - m)
        total = torch.zeros(*p.shape[:-1], 1, dtype=q.dtype)
        for j in range(k.shape[-2]):
            total += p[..., j : j + 1].to(q.dtype)
        ctx.save_for_backward(q, k, v)
        return ((p @ v.float()) / total.float()).to(q.dtype)

    @staticmethod
    def backward(ctx, do):
        q, k, v = ctx.saved_tensors
        return flash_backward(q, k, v, *flash_forward(q, k, v), do)


declare(
    "attn_denominator_in_low_precision",
    "precision: bfloat16: output: the 640 terms of the softmax's denominator are added one by one in the dtype of q; flat scores.",
    LowDenominator.apply,
    eager,
    flat_long,
    wrong=True,
    dtypes=("bfloat16",),
)


class HalfExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v):
        s, _ = _capped(q.float(), k.float(), 0, 0)
        p = torch.exp((s - s.amax(-1, keepdim=True)).half()).float()
        ctx.save_for_backward(q, k, v)
        return ((p @ v.float()) / p.sum(-1, keepdim=True)).to(q.dtype)

    @staticmethod
    def backward(ctx, do):
        q, k, v = ctx.saved_tensors
        return flash_backward(q, k, v, *flash_forward(q, k, v), do)


declare(
    "attn_exp_in_half_precision",
    "precision: float32: output: the exponentials are taken in float16, which float32 inputs notice; the backward pass is right.",
    HalfExp.apply,
    eager,
    qkv,
    wrong=True,
    dtypes=("float32",),
)


def eager_decode(q, k, v):
    m, n = q.shape[-2], k.shape[-2]
    s = CAP * torch.tanh(q @ k.mT * (q.shape[-1] ** -0.5 / CAP))
    seen = torch.arange(n) <= torch.arange(n - m, n)[:, None]
    return torch.softmax(torch.where(seen, s, -math.inf), -1) @ v


class SplitKeys(torch.autograd.Function):
    """Each split has a softmax of its own; the results are merged by their maxima. The last splits are masked for some rows."""

    @staticmethod
    def scores(q, k, start, n):
        t = torch.tanh(q.float() @ k.float().mT * (q.shape[-1] ** -0.5 / CAP))
        last = torch.arange(n - q.shape[-2], n)[:, None]
        return torch.where(start + torch.arange(k.shape[-2]) <= last, CAP * t, -1e30), t

    @staticmethod
    def forward(ctx, q, k, v):
        n, parts = k.shape[-2], []
        for start in range(0, n, 100):
            s, _ = SplitKeys.scores(q, k[:, start : start + 100], start, n)
            m = s.amax(-1, keepdim=True)
            p = torch.exp(s - m)
            parts.append((m, p.sum(-1, keepdim=True), p @ v[:, start : start + 100].float()))
        top = torch.cat([m for m, _, _ in parts], -1).amax(-1, keepdim=True)
        total = sum(torch.exp(m - top) * t for m, t, _ in parts)
        ctx.save_for_backward(q, k, v)
        return (sum(torch.exp(m - top) * o for m, _, o in parts) / total).to(q.dtype)

    @staticmethod
    def backward(ctx, do):
        q, k, v = ctx.saved_tensors
        g, n = do.float(), k.shape[-2]
        s, t = SplitKeys.scores(q, k, 0, n)
        p = torch.softmax(s, -1)
        dp = g @ v.float().mT
        ds = p * (dp - (p * dp).sum(-1, keepdim=True)) * (1 - t * t) * q.shape[-1] ** -0.5
        return (ds @ k.float()).to(q.dtype), (ds.mT @ q.float()).to(k.dtype), (p.mT @ g).to(v.dtype)


def decode_inputs(dtype):
    g = torch.Generator().manual_seed(55)
    q, k, v = (
        torch.randn(3, 5, 12, generator=g),
        torch.randn(3, 302, 12, generator=g),
        torch.randn(3, 302, 12, generator=g),
    )
    return tuple(x.to(dtype).requires_grad_() for x in (1.5 * q, 1.5 * k, v))


declare(
    "attn_decode_split_keys",
    "Five queries at the end of 302 keys in four splits, merged; the last split, of 2, is wholly masked for three rows.",
    SplitKeys.apply,
    eager_decode,
    decode_inputs,
)
