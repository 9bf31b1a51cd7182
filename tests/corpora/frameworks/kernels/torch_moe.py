"""Mixture-of-experts routing: two experts for each token, gathered, weighed and scattered back."""

import torch
import torch.nn.functional as F

from .._entry import Call, Entry

ROW = "moe"
ALL = ("float32", "bfloat16", "float16")
LOW = ("bfloat16", "float16")
ENTRIES: list[Entry] = []
DTYPES: dict[str, tuple[str, ...]] = {}


def route(name, wrong, why, function, reference, inputs, dtypes=ALL):
    def make(dtype=getattr(torch, dtypes[0])):
        return Call(function, inputs(dtype), reference=reference)

    DTYPES[name] = dtypes
    ENTRIES.append(Entry(name, ROW, wrong, why, make))


def gates(tokens, experts, gen, dtype, popular=False):
    """Logits apart from each other by 0.3 or more, so that every precision picks the same experts."""
    order = torch.stack([torch.randperm(experts, generator=gen) for _ in range(tokens)]).float()
    if popular:  # expert 0 is among the two of nearly all tokens
        high = experts - 1 - (torch.rand(tokens, generator=gen) < 0.5).float()
        swap = order == high[:, None]
        order = torch.where(swap, order[:, :1], order)
        order[:, 0] = high
    logits = 0.5 * order + 0.2 * torch.rand(tokens, experts, generator=gen)
    return (logits - logits.mean()).to(dtype).requires_grad_()


def dense(x, gate, weight):
    """x (tokens, d), gate (tokens, experts), weight (experts, d, e)"""
    top, which = gate.topk(2, dim=-1)
    p = torch.softmax(top, -1)
    y = 0
    for e in range(len(weight)):
        share = (p * (which == e)).sum(-1)
        y = y + share[:, None] * (x @ weight[e])
    return y


def tokens(dtype, n=300, experts=6, d=12, out=10, seed=1, popular=False, mean=0.0, scale=0.4):
    gen = torch.Generator().manual_seed(seed)
    x = mean + torch.randn(n, d, generator=gen)
    weight = scale * torch.randn(experts, d, out, generator=gen)
    return (
        x.to(dtype).requires_grad_(),
        gates(n, experts, gen, dtype, popular),
        weight.to(dtype).requires_grad_(),
    )


def _sorted(gate):
    top, which = torch.topk(gate.float(), 2, dim=-1)
    p = torch.softmax(top, -1)
    flat = which.flatten()
    order = torch.argsort(flat, stable=True)  # slots, two for each token
    counts = torch.bincount(flat, minlength=gate.shape[1])
    return p, which, order, counts.tolist()


def _grouped(rows, weight, counts):
    return torch.cat([r @ w for r, w in zip(rows.split(counts), weight.float().unbind(0))])


class Routed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gate, weight):
        p, which, order, counts = _sorted(gate)
        token = order // 2
        out = _grouped(x[token].float(), weight, counts)
        y = torch.zeros(len(x), weight.shape[2])
        y.index_add_(0, token, out * p.flatten()[order][:, None])
        ctx.save_for_backward(x, gate, weight)
        return y.to(x.dtype)

    @staticmethod
    def pieces(x, gate, weight, dy):
        """d loss / d x per slot, d loss / d p per slot (in slot order), d loss / d weight, all float32."""
        p, which, order, counts = _sorted(gate)
        token = order // 2
        rows, g = x[token].float(), dy[token].float()
        out = _grouped(rows, weight, counts)
        dp = torch.empty(2 * len(x))
        dp[order] = (out * g).sum(1)
        scaled = g * p.flatten()[order][:, None]
        slots = _grouped(scaled, weight.mT, counts)
        dw = torch.stack([r.mT @ s for r, s in zip(rows.split(counts), scaled.split(counts))])
        return p, which, order, slots, dp.view(-1, 2), dw

    @staticmethod
    def gate_gradient(gate, p, which, dp):
        dtop = p * (dp - (p * dp).sum(-1, keepdim=True))
        return torch.zeros(gate.shape).scatter_(1, which, dtop).to(gate.dtype)

    @staticmethod
    def backward(ctx, dy):
        x, gate, weight = ctx.saved_tensors
        p, which, order, slots, dp, dw = Routed.pieces(x, gate, weight, dy)
        dx = torch.zeros(x.shape).index_add_(0, order // 2, slots)
        return dx.to(x.dtype), Routed.gate_gradient(gate, p, which, dp), dw.to(weight.dtype)


route(
    "moe_sorted_groups",
    False,
    "Sorted by expert, products by groups, scatter-add in float32.",
    Routed.apply,
    dense,
    tokens,
)


class NotRenormalised(Routed):
    @staticmethod
    def backward(ctx, dy):
        x, gate, weight = ctx.saved_tensors
        p, which, order, slots, dp, dw = Routed.pieces(x, gate, weight, dy)
        dx = torch.zeros(x.shape).index_add_(0, order // 2, slots)
        dgate = torch.zeros(gate.shape).scatter_(1, which, p * (1 - p) * dp)
        return dx.to(x.dtype), dgate.to(gate.dtype), dw.to(weight.dtype)


route(
    "moe_cross_term_of_the_gate_forgotten",
    True,
    "mathematically: gate: only the diagonal of the softmax over the two experts is in the gate's gradient.",
    NotRenormalised.apply,
    dense,
    tokens,
)


class ScatterOverwrites(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gate, weight):
        p, which, order, counts = _sorted(gate)
        token = order // 2
        y = torch.zeros(len(x), weight.shape[2])
        y[token] = _grouped(x[token].float(), weight, counts) * p.flatten()[order][:, None]
        ctx.save_for_backward(x, gate, weight)
        return y.to(x.dtype)

    backward = Routed.backward


route(
    "moe_scatter_overwrites",
    True,
    "mathematically: output: a token's second expert overwrites its first in the scatter, which should add.",
    ScatterOverwrites.apply,
    dense,
    tokens,
)


class FirstExpertAlone(Routed):
    @staticmethod
    def backward(ctx, dy):
        x, gate, weight = ctx.saved_tensors
        p, which, order, slots, dp, dw = Routed.pieces(x, gate, weight, dy)
        by_slot = torch.empty_like(slots)
        by_slot[order] = slots
        return by_slot[0::2].to(x.dtype), Routed.gate_gradient(gate, p, which, dp), dw.to(weight.dtype)


route(
    "moe_gradient_through_the_first_expert_alone",
    True,
    "mathematically: x: only the first of a token's two experts passes a gradient to it.",
    FirstExpertAlone.apply,
    dense,
    tokens,
)


class InversePermutation(Routed):
    @staticmethod
    def backward(ctx, dy):
        x, gate, weight = ctx.saved_tensors
        p, which, order, slots, dp, dw = Routed.pieces(x, gate, weight, dy)
        dx = slots[order].view(len(x), 2, -1).sum(1)  # should be the inverse of `order`
        return dx.to(x.dtype), Routed.gate_gradient(gate, p, which, dp), dw.to(weight.dtype)


route(
    "moe_permutation_not_inverted",
    True,
    "mathematically: x: its gradient is put back with the permutation itself, not with the inverse.",
    InversePermutation.apply,
    dense,
    tokens,
)


class LowExpertGradient(Routed):
    @staticmethod
    def backward(ctx, dy):
        x, gate, weight = ctx.saved_tensors
        p, which, order, slots, dp, _ = Routed.pieces(x, gate, weight, dy)
        dx = torch.zeros(x.shape).index_add_(0, order // 2, slots)
        dw = torch.zeros_like(weight)
        for t in range(len(x)):
            for slot in range(2):
                dw[which[t, slot]] += torch.outer(x[t].float(), p[t, slot] * dy[t].float()).to(dw.dtype)
        return dx.to(x.dtype), Routed.gate_gradient(gate, p, which, dp), dw


route(
    "moe_expert_gradient_in_low_precision",
    True,
    "precision: bfloat16, float16: weight: an expert that nearly all of 1,000 tokens use adds up its gradient in its own dtype; "
    "clear with a cotangent of one sign.",
    LowExpertGradient.apply,
    dense,
    lambda dtype: tokens(dtype, n=1000, experts=4, d=6, out=5, seed=2, popular=True, mean=1.5),
    LOW,
)


def with_capacity(x, gate, weight, capacity=90):
    """Weights are the two largest of a softmax over all experts; an expert serves its first `capacity` tokens."""
    p = torch.softmax(gate, -1)
    chosen = torch.zeros_like(gate).scatter(1, gate.topk(2, -1).indices, 1.0)
    served = chosen * (chosen.float().cumsum(0) <= capacity)
    y = torch.zeros(len(x), weight.shape[-1], dtype=x.dtype)
    for e, w in enumerate(weight):
        y = y + (p * served)[:, e, None] * (x @ w)
    return y


class Capacity(torch.autograd.Function):
    over_all = True

    @staticmethod
    def lists(gate, capacity):
        chosen = torch.zeros(gate.shape, dtype=torch.bool).scatter_(1, gate.topk(2, -1).indices, True)
        return [torch.nonzero(chosen[:, e])[:capacity, 0] for e in range(gate.shape[1])]

    @staticmethod
    def forward(ctx, x, gate, weight, capacity=90):
        p = torch.softmax(gate.float(), -1)
        y = torch.zeros(len(x), weight.shape[-1])
        for e, rows in enumerate(Capacity.lists(gate, capacity)):
            y[rows] += p[rows, e, None] * (x[rows].float() @ weight[e].float())
        ctx.save_for_backward(x, gate, weight, p)
        ctx.capacity = capacity
        return y.to(x.dtype)

    @classmethod
    def backward(cls, ctx, dy):
        x, gate, weight, p = ctx.saved_tensors
        g = dy.float()
        dx, dp, dw = torch.zeros(x.shape), torch.zeros(p.shape), torch.zeros(weight.shape)
        for e, rows in enumerate(Capacity.lists(gate, ctx.capacity)):
            xr, gr, w = x[rows].float(), g[rows], weight[e].float()
            dp[rows, e] = ((xr @ w) * gr).sum(1)
            gr = gr * p[rows, e, None]
            dx[rows] += gr @ w.mT
            dw[e] = xr.mT @ gr
        dgate = p * (dp - (p * dp).sum(-1, keepdim=True))
        if not cls.over_all:
            dgate = dgate * (dp != 0)
        return dx.to(x.dtype), dgate.to(gate.dtype), dw.to(weight.dtype), None


class CapacityChosenAlone(Capacity):
    over_all = False


class CapacityDroppedLeak(Capacity):
    @staticmethod
    def backward(ctx, dy):
        unlimited = Capacity.backward
        capacity, ctx.capacity = ctx.capacity, len(dy)
        leaked = unlimited(ctx, dy)
        ctx.capacity = capacity
        dx, dgate, _, _ = unlimited(ctx, dy)
        return dx, dgate, leaked[2], None


route(
    "moe_capacity",
    False,
    "Tokens beyond an expert's capacity of 90 are dropped: their gradients are partly or wholly 0; experts not chosen have a gate gradient all the same.",
    Capacity.apply,
    with_capacity,
    lambda dtype: tokens(dtype, seed=3),
)
route(
    "moe_gate_gradient_of_chosen_experts_alone",
    True,
    "mathematically: gate: the softmax is over all experts, but the experts not chosen get no gradient.",
    CapacityChosenAlone.apply,
    with_capacity,
    lambda dtype: tokens(dtype, seed=3),
)
route(
    "moe_dropped_tokens_reach_the_weights",
    True,
    "mathematically: weight: its gradient has the tokens, too, that the forward pass dropped for want of capacity.",
    CapacityDroppedLeak.apply,
    with_capacity,
    lambda dtype: tokens(dtype, seed=3),
)


def balance(gate):
    """experts * sum_e (share of tokens whose first expert is e) * (mean probability of e); a scalar"""
    p = torch.softmax(gate, -1)
    share = torch.bincount(gate.argmax(-1), minlength=gate.shape[1]).to(gate.dtype) / len(gate)
    return gate.shape[1] * (share * p.mean(0)).sum()


class Balance(torch.autograd.Function):
    @staticmethod
    def shares(gate):
        return torch.bincount(gate.argmax(-1), minlength=gate.shape[1]).float() / len(gate)

    @classmethod
    def forward(cls, ctx, gate):
        p = torch.softmax(gate.float(), -1)
        share = cls.shares(gate)
        ctx.save_for_backward(gate)
        ctx.share = share
        return (gate.shape[1] * (share * p.mean(0)).sum()).to(gate.dtype)

    @staticmethod
    def backward(ctx, dloss):
        (gate,) = ctx.saved_tensors
        p = torch.softmax(gate.float(), -1)
        dp = ctx.share * (dloss.float() * gate.shape[1] / len(gate))
        return (p * (dp - (p * dp).sum(-1, keepdim=True))).to(gate.dtype)


class BalanceLowCount(Balance):
    @staticmethod
    def shares(gate):
        hot = F.one_hot(gate.argmax(-1), gate.shape[1]).to(gate.dtype)
        count = torch.zeros_like(gate[0])
        for row in hot:
            count += row
        return count.float() / len(gate)


def unbalanced(dtype):
    gen = torch.Generator().manual_seed(5)
    return (gates(1200, 8, gen, dtype, popular=True),)  # expert 0 is the first of about 600


route(
    "moe_balance_loss",
    False,
    "A scalar loss; the shares of the tokens are counts, through which nothing passes.",
    Balance.apply,
    balance,
    unbalanced,
)
route(
    "moe_balance_counts_in_low_precision",
    True,
    "precision: bfloat16: output, gate: tokens are counted by adding ones in bfloat16, which ends at 256.",
    BalanceLowCount.apply,
    balance,
    unbalanced,
    ("bfloat16",),
)


def combine(parts, slots, scores, shared):
    """parts (2 tokens, d) in the experts' order, slots (tokens, 2) where each token's parts lie, scores (tokens, 2)"""
    hot = F.one_hot(slots.flatten(), len(parts)).to(parts.dtype)
    mine = (hot @ parts).reshape(*slots.shape, -1)
    return (torch.sigmoid(scores)[..., None] * mine).sum(1) + shared


class Combine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, parts, slots, scores, shared):
        ctx.save_for_backward(parts, slots, scores)
        w = torch.sigmoid(scores.float())
        out = shared.float()
        for j in range(2):
            out = torch.addcmul(out, w[:, j, None], parts[slots[:, j]].float())
        return out.to(parts.dtype)

    @staticmethod
    def backward(ctx, dout):
        parts, slots, scores = ctx.saved_tensors
        w, g = torch.sigmoid(scores.float()), dout.float()
        dparts = torch.empty_like(parts)  # every slot belongs to one token: written, not added
        dparts[slots.flatten()] = (w[..., None] * g[:, None]).flatten(0, 1).to(parts.dtype)
        dw = (parts[slots].float() * g[:, None]).sum(-1)
        return dparts, None, (dw * w * (1 - w)).to(scores.dtype), dout


def combine_inputs(dtype):
    gen = torch.Generator().manual_seed(15)
    slots = torch.randperm(400, generator=gen).view(200, 2)
    parts, shared = torch.randn(400, 20, generator=gen), torch.randn(200, 20, generator=gen)
    scores = 2 * torch.randn(200, 2, generator=gen)
    return (
        parts.to(dtype).requires_grad_(),
        slots,
        scores.to(dtype).requires_grad_(),
        shared.to(dtype).requires_grad_(),
    )


route(
    "moe_combine_with_shared_expert",
    False,
    "The parts' gradient is scattered without adding, which is right as no slot occurs twice; the cotangent itself is returned for `shared`.",
    Combine.apply,
    combine,
    combine_inputs,
)
