"""Embeddings and bags of embeddings whose gradient rows sum over 1,500 equal ids."""

import torch
import torch.nn.functional as F

from .._entry import Call, Entry

ROW = "embedding"
ALL = ("float32", "bfloat16", "float16")
LOW = ("bfloat16", "float16")
ENTRIES: list[Entry] = []
DTYPES: dict[str, tuple[str, ...]] = {}

WORDS, WIDTH, PAD = 40, 10, 7


def put(name, wrong, why, function, reference, inputs, dtypes=ALL):
    def make(dtype=getattr(torch, dtypes[0])):
        return Call(function, inputs(dtype), reference=reference)

    DTYPES[name] = dtypes
    ENTRIES.append(Entry(name, ROW, wrong, why, make))


def ids_and_table(dtype, seed=3, count=2300):
    gen = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, WORDS, (count,), generator=gen)
    ids[torch.randperm(count, generator=gen)[:1500]] = 5
    return torch.randn(WORDS, WIDTH, generator=gen).to(dtype).requires_grad_(), ids


def lookup(weight, ids):
    return weight[ids]


def lookup_hot(weight, ids):
    """As a product with a one-hot matrix, whose gradient is a product too."""
    return F.one_hot(ids, len(weight)).to(weight.dtype) @ weight


class SortedSegments(torch.autograd.Function):
    """Backward: stable sort of the ids, a block of 128 tokens at a time within a segment."""

    @staticmethod
    def forward(ctx, weight, ids):
        ctx.save_for_backward(ids)
        ctx.shape, ctx.dtype = weight.shape, weight.dtype
        return weight.index_select(0, ids)

    @staticmethod
    def backward(ctx, dout):
        (ids,) = ctx.saved_tensors
        ordered, where = torch.sort(ids, stable=True)
        present, counts = torch.unique_consecutive(ordered, return_counts=True)
        dweight = torch.zeros(ctx.shape, dtype=ctx.dtype)
        start = 0
        for word, count in zip(present.tolist(), counts.tolist()):
            partial = [dout[rows].float().sum(0) for rows in where[start : start + count].split(128)]
            dweight[word] = torch.stack(partial).sum(0).to(ctx.dtype)
            start += count
        return dweight, None


put(
    "emb_sorted_segments",
    False,
    "Better than the eager version: 1,500 terms in float32 by segments, where index_put adds in the low dtype.",
    SortedSegments.apply,
    lookup,
    ids_and_table,
)
put(
    "emb_sorted_segments_beside_one_hot_product",
    False,
    "The same sums beside a reference that is accurate itself; the gradient of words that do not occur is 0.",
    SortedSegments.apply,
    lookup_hot,
    lambda dtype: ids_and_table(dtype, seed=33),
)


class LastOneWins(SortedSegments):
    @staticmethod
    def backward(ctx, dout):
        (ids,) = ctx.saved_tensors
        dweight = torch.zeros(ctx.shape, dtype=ctx.dtype)
        dweight[ids] = dout
        return dweight, None


put(
    "emb_duplicates_overwritten",
    True,
    "mathematically: weight: of equal ids one's gradient overwrites the others'.",
    LastOneWins.apply,
    lookup_hot,
    ids_and_table,
)


class NoTailTokens(SortedSegments):
    @staticmethod
    def backward(ctx, dout):
        (ids,) = ctx.saved_tensors
        total = torch.zeros(ctx.shape)
        for block in range(len(ids) // 1024):
            part = slice(1024 * block, 1024 * (block + 1))
            total.index_add_(0, ids[part], dout[part].float())
        return total.to(ctx.dtype), None


put(
    "emb_tail_tokens_lost",
    True,
    "mathematically: weight: the last 252 of 2,300 tokens, no whole block of 1,024, are not in the gradient.",
    NoTailTokens.apply,
    lookup_hot,
    ids_and_table,
)


class LowIndexPut(SortedSegments):
    @staticmethod
    def backward(ctx, dout):
        (ids,) = ctx.saved_tensors
        return torch.zeros(ctx.shape, dtype=ctx.dtype).index_put_((ids,), dout, accumulate=True), None


put(
    "emb_index_put_in_low_precision",
    True,
    "precision: bfloat16, float16: weight: 1,500 terms of a row are added in the weight's dtype; clear with a cotangent of one sign.",
    LowIndexPut.apply,
    lookup_hot,
    ids_and_table,
    LOW,
)


def scaled_lookup(weight, ids):
    return (
        F.one_hot(ids, len(weight)).to(weight.dtype)
        @ torch.where(torch.arange(len(weight))[:, None] == PAD, weight.detach(), weight)
        * WIDTH**0.5
    )


class ScaledPadded(torch.autograd.Function):
    zero_padding = True

    @classmethod
    def forward(cls, ctx, weight, ids):
        ctx.save_for_backward(ids)
        ctx.like = weight
        return (weight[ids].float() * WIDTH**0.5).to(weight.dtype)

    @classmethod
    def backward(cls, ctx, dout):
        (ids,) = ctx.saved_tensors
        workspace = torch.zeros(ctx.like.shape).index_add_(0, ids, dout.float())
        workspace *= WIDTH**0.5
        if cls.zero_padding:
            workspace[PAD] = 0
        return workspace.to(ctx.like.dtype), None


class ScaledPaddedLeak(ScaledPadded):
    zero_padding = False


class UnscaledPadded(ScaledPadded):
    @staticmethod
    def backward(ctx, dout):
        (ids,) = ctx.saved_tensors
        real = ids != PAD
        workspace = torch.zeros(ctx.like.shape).index_add_(0, ids[real], dout[real].float())
        return workspace.to(ctx.like.dtype), None


def padded_ids(dtype):
    weight, ids = ids_and_table(dtype, seed=4, count=2100)
    ids[-300:] = PAD
    return weight, ids


put(
    "emb_scaled_with_padding",
    False,
    "The row of the padding word has a gradient of 0 although 300 tokens or more are padding; a float32 workspace, scaled after the sum.",
    ScaledPadded.apply,
    scaled_lookup,
    padded_ids,
)
put(
    "emb_padding_word_gets_a_gradient",
    True,
    "mathematically: weight: the gradient of the padding word's row is not set to 0.",
    ScaledPaddedLeak.apply,
    scaled_lookup,
    padded_ids,
)
put(
    "emb_scale_forgotten",
    True,
    "mathematically: weight: a missing factor, sqrt(width), in the backward pass.",
    UnscaledPadded.apply,
    scaled_lookup,
    padded_ids,
)


def bag_mean(weight, ids, bags, importance):
    """importance (tokens,) weighs the tokens of a bag; the mean divides by the tokens in the bag."""
    member = F.one_hot(bags, 12).to(weight.dtype)
    words = F.one_hot(ids, len(weight)).to(weight.dtype) @ weight
    total = member.t() @ (words * importance[:, None])
    count = torch.bincount(bags, minlength=12).to(weight.dtype)
    return total / count[:, None]


class BagMean(torch.autograd.Function):
    @staticmethod
    def counts(bags, dtype):
        return torch.bincount(bags, minlength=12).float()

    @classmethod
    def forward(cls, ctx, weight, ids, bags, importance):
        total = torch.zeros(12, weight.shape[1])
        total.index_add_(0, bags, weight[ids].float() * importance.float()[:, None])
        ctx.save_for_backward(weight, ids, bags, importance)
        return (total / cls.counts(bags, weight.dtype)[:, None]).to(weight.dtype)

    @staticmethod
    def backward(ctx, dout):
        weight, ids, bags, importance = ctx.saved_tensors
        per_bag = dout.float() / torch.bincount(bags, minlength=12)[:, None]
        g = per_bag[bags]
        dimportance = (g * weight[ids].float()).sum(1)
        dweight = torch.zeros(weight.shape).index_add_(0, ids, g * importance.float()[:, None])
        return dweight.to(weight.dtype), None, None, dimportance.to(importance.dtype)


class BagMeanLowCount(BagMean):
    @staticmethod
    def counts(bags, dtype):
        return torch.zeros(12, dtype=dtype).index_add_(0, bags, torch.ones(len(bags), dtype=dtype)).float()


class BagMeanOfImportance(BagMean):
    @staticmethod
    def backward(ctx, dout):
        weight, ids, bags, importance = ctx.saved_tensors
        per_bag = dout.float() / torch.bincount(bags, minlength=12)[:, None]
        dweight = torch.zeros(weight.shape).index_add_(0, ids, per_bag[bags] * importance.float()[:, None])
        dimportance = (dout.float()[bags] * weight[ids].float()).sum(1)
        return dweight.to(weight.dtype), None, None, dimportance.to(importance.dtype)


def bag_inputs(dtype):
    gen = torch.Generator().manual_seed(8)
    bags = torch.cat([torch.zeros(1500, dtype=torch.long), torch.randint(1, 12, (500,), generator=gen)])
    bags[-12:] = torch.arange(12)
    ids = torch.randint(0, WORDS, (2000,), generator=gen)
    weight = 0.3 + torch.rand(WORDS, WIDTH, generator=gen)
    importance = 0.5 + torch.rand(2000, generator=gen)
    return weight.to(dtype).requires_grad_(), ids, bags, importance.to(dtype).requires_grad_()


put(
    "emb_bag_mean_with_importance",
    False,
    "Mean over bags of 45 to 1,500 tokens; also the gradient of each token's weight.",
    BagMean.apply,
    bag_mean,
    bag_inputs,
)
put(
    "emb_bag_counts_in_low_precision",
    True,
    "precision: bfloat16: output: the tokens of a bag are counted by adding ones in bfloat16, which ends at 256 (float16 counts to 2,048).",
    BagMeanLowCount.apply,
    bag_mean,
    bag_inputs,
    ("bfloat16",),
)
put(
    "emb_bag_count_forgotten_for_importance",
    True,
    "mathematically: importance: a missing factor, 1 / count, in the gradient of the tokens' weights.",
    BagMeanOfImportance.apply,
    bag_mean,
    bag_inputs,
)
