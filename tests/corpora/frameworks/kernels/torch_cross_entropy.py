"""Fused cross-entropy: chunked over the vocabulary, or over the tokens together with the last linear layer."""

import torch
import torch.nn.functional as F

from .._entry import Call, Entry

ROW = "cross-entropy"
ALL = ("float32", "bfloat16", "float16")
LOW = ("bfloat16", "float16")
ENTRIES: list[Entry] = []
DTYPES: dict[str, tuple[str, ...]] = {}


def _add(name, wrong, why, dtypes, build):
    default = getattr(torch, dtypes[0])

    def make(dtype=default):
        return build(dtype)

    DTYPES[name] = dtypes
    ENTRIES.append(Entry(name, ROW, wrong, why, make))


def _leaf(x, dtype):
    return x.to(dtype).requires_grad_()


BLOCK = 256


def _online_lse(logits, rescale=True):
    rows, vocab = logits.shape
    m = torch.full((rows,), -torch.inf)
    total = torch.zeros(rows)
    for start in range(0, vocab, BLOCK):
        piece = logits[:, start : start + BLOCK].float()
        m_new = torch.maximum(m, piece.amax(1))
        if rescale:
            total = total * torch.exp(m - m_new)
        total = total + torch.exp(piece - m_new[:, None]).sum(1)
        m = m_new
    return m + torch.log(total)


def _token_loss(logits, targets, lse):
    picked = logits.gather(1, targets.clamp_min(0)[:, None])[:, 0].float()
    return torch.where(targets >= 0, lse - picked, torch.zeros_like(lse))


def _dlogits(logits, targets, lse, dloss):
    """Block by block, softmax made anew from the saved log-sum-exp."""
    vocab = logits.shape[1]
    out = torch.empty_like(logits)
    dloss = torch.where(targets >= 0, dloss.float(), 0.0)
    for start in range(0, vocab, BLOCK):
        stop = min(start + BLOCK, vocab)
        p = torch.exp(logits[:, start:stop].float() - lse[:, None])
        p -= (targets[:, None] == torch.arange(start, stop)).float()
        out[:, start:stop] = (p * dloss[:, None]).to(out.dtype)
    return out


class OnlineCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets):
        lse = _online_lse(logits)
        ctx.save_for_backward(logits, targets, lse)
        return _token_loss(logits, targets, lse).to(logits.dtype)

    @staticmethod
    def backward(ctx, dloss):
        return _dlogits(*ctx.saved_tensors, dloss), None


def _token_reference(logits, targets):
    return F.cross_entropy(logits, targets, reduction="none", ignore_index=-100)


def _token_inputs(dtype, vocab=1003):
    gen = torch.Generator().manual_seed(17)
    logits = 2 * torch.randn(24, vocab, generator=gen)
    targets = torch.randint(0, vocab, (24,), generator=gen)
    targets[-4:] = vocab - 1 - torch.arange(4)
    targets[5] = targets[11] = -100
    return _leaf(logits, dtype), targets


_add(
    "ce_online_ignore_index",
    False,
    "Online log-sum-exp in float32 over blocks of 256 of 1,003 words (a tail of 235); rows of ignored tokens have a gradient of 0.",
    ALL,
    lambda dtype: Call(OnlineCrossEntropy.apply, _token_inputs(dtype), reference=_token_reference),
)


class CrossEntropyStaleMax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets):
        lse = _online_lse(logits, rescale=False)
        ctx.save_for_backward(logits, targets, lse)
        return _token_loss(logits, targets, lse).to(logits.dtype)

    @staticmethod
    def backward(ctx, dloss):
        return _dlogits(*ctx.saved_tensors, dloss), None


def _rising_inputs(dtype):
    logits, targets = _token_inputs(torch.float32)
    logits = logits.detach() + torch.linspace(-2, 2, 1003)
    return _leaf(logits, dtype), targets


_add(
    "ce_stale_max",
    True,
    "mathematically: output, logits: the running sum of the online softmax is not rescaled where a later block raises the maximum.",
    ALL,
    lambda dtype: Call(CrossEntropyStaleMax.apply, _rising_inputs(dtype), reference=_token_reference),
)


class CrossEntropyNoTail(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets):
        lse = _online_lse(logits)
        ctx.save_for_backward(logits, targets, lse)
        return _token_loss(logits, targets, lse).to(logits.dtype)

    @staticmethod
    def backward(ctx, dloss):
        logits, targets, lse = ctx.saved_tensors
        out = torch.zeros_like(logits)
        hot = F.one_hot(targets.clamp_min(0), logits.shape[1])
        scale = (dloss.float() * (targets >= 0))[:, None]
        for b in range(logits.shape[1] // BLOCK):  # should be rounded up
            cols = slice(b * BLOCK, (b + 1) * BLOCK)
            out[:, cols] = (scale * (torch.exp(logits[:, cols].float() - lse[:, None]) - hot[:, cols])).to(
                out.dtype
            )
        return out, None


_add(
    "ce_tail_block_lost_in_backward",
    True,
    "mathematically: logits: the vocabulary is no multiple of the block and the gradient of the tail stays 0 (four targets lie in it).",
    ALL,
    lambda dtype: Call(CrossEntropyNoTail.apply, _token_inputs(dtype), reference=_token_reference),
)


def _half_ignored_inputs(dtype):
    gen = torch.Generator().manual_seed(18)
    logits = 2 * torch.randn(24, 400, generator=gen)
    targets = torch.randint(0, 400, (24,), generator=gen)
    targets[::2] = -100
    return _leaf(logits, dtype), targets


class CrossEntropyIgnoredLeak(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets):
        lse = _online_lse(logits)
        ctx.save_for_backward(logits, targets, lse)
        return _token_loss(logits, targets, lse).to(logits.dtype)

    @staticmethod
    def backward(ctx, dloss):
        logits, targets, lse = ctx.saved_tensors
        p = torch.exp(logits.float() - lse[:, None])
        rows = torch.arange(len(targets))[targets >= 0]
        p[rows, targets[rows]] -= 1.0
        return (p * dloss.float()[:, None]).to(logits.dtype), None


_add(
    "ce_ignored_rows_get_softmax",
    True,
    "mathematically: logits: the one-hot is left out for ignored tokens, but their rows still get the softmax as a gradient.",
    ALL,
    lambda dtype: Call(
        CrossEntropyIgnoredLeak.apply, _half_ignored_inputs(dtype), reference=_token_reference
    ),
)


class CrossEntropyLowSum(torch.autograd.Function):
    """One pass for the max, one for the sum; the sum's register has the dtype of the logits."""

    @staticmethod
    def forward(ctx, logits, targets):
        m = logits.amax(1)
        total = torch.zeros_like(m)
        for column in torch.exp(logits - m[:, None]).unbind(1):
            total = total + column
        lse = m.float() + torch.log(total.float())
        ctx.save_for_backward(logits, targets, lse)
        return _token_loss(logits, targets, lse).to(logits.dtype)

    @staticmethod
    def backward(ctx, dloss):
        logits, targets, _ = ctx.saved_tensors
        return _dlogits(logits, targets, torch.logsumexp(logits.float(), 1), dloss), None


def _flat_inputs(dtype):
    gen = torch.Generator().manual_seed(5)
    logits = 0.3 * torch.randn(8, 4096, generator=gen)
    return _leaf(logits, dtype), torch.randint(0, 4096, (8,), generator=gen)


_add(
    "ce_sum_of_exponentials_in_low_precision",
    True,
    "precision: bfloat16, float16: output: the 4,096 exponentials of a row are added one by one in the logits' dtype, where the sum stops growing; "
    "flat logits. The gradient is right.",
    LOW,
    lambda dtype: Call(CrossEntropyLowSum.apply, _flat_inputs(dtype), reference=_token_reference),
)


def _smooth_reference(logits, targets, smoothing=0.1, z=1e-2):
    lse = torch.logsumexp(logits, -1)
    picked = logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    loss = lse - (1 - smoothing) * picked - smoothing * logits.mean(-1)
    return (loss + z * lse.square()).mean()


class SmoothZ(torch.autograd.Function):
    """The gradient is made in the forward pass and kept; the backward pass only scales it."""

    @staticmethod
    def forward(ctx, logits, targets, smoothing=0.1, z=1e-2):
        tokens, vocab = logits.shape
        grad = torch.empty_like(logits)
        loss = 0.0
        for t in range(tokens):  # one program for each row
            row = logits[t].float()
            m = row.max()
            e = torch.exp(row - m)
            s = e.sum()
            lse = m + torch.log(s)
            loss = loss + (lse - (1 - smoothing) * row[targets[t]] - smoothing * row.mean() + z * lse * lse)
            d = e / s * (1 + 2 * z * lse) - smoothing / vocab
            d[targets[t]] -= 1 - smoothing
            grad[t] = (d / tokens).to(grad.dtype)
        ctx.save_for_backward(grad)
        return (loss / tokens).to(logits.dtype)

    @staticmethod
    def backward(ctx, dloss):
        (grad,) = ctx.saved_tensors
        return (grad.float() * dloss.float()).to(grad.dtype), None, None, None


def _smooth_inputs(dtype):
    gen = torch.Generator().manual_seed(8)
    return _leaf(1.5 * torch.randn(20, 777, generator=gen), dtype), torch.randint(
        0, 777, (20,), generator=gen
    )


_add(
    "ce_smoothing_and_z_loss_gradient_made_in_forward",
    False,
    "The gradient is computed in the forward pass, rounded to the logits' dtype, and scaled in the backward pass (two roundings).",
    ALL,
    lambda dtype: Call(SmoothZ.apply, _smooth_inputs(dtype), reference=_smooth_reference),
)


class SmoothZIgnoresUpstream(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets, smoothing=0.1, z=1e-2):
        x = logits.float()
        lse = torch.logsumexp(x, 1)
        hot = F.one_hot(targets, x.shape[1])
        ctx.dlogits = (
            (1 + 2 * z * lse[:, None]) * torch.exp(x - lse[:, None])
            - smoothing / x.shape[1]
            - (1 - smoothing) * hot
        ) / len(x)
        picked = x[torch.arange(len(x)), targets]
        return (lse - (1 - smoothing) * picked - smoothing * x.mean(1) + z * lse**2).mean().to(logits.dtype)

    @staticmethod
    def backward(ctx, dloss):
        return ctx.dlogits.to(dloss.dtype), None, None, None


_add(
    "ce_gradient_made_in_forward_ignores_upstream",
    True,
    "mathematically: logits: the gradient made in the forward pass is returned as it is; a missing factor, the upstream gradient (hidden where that is 1).",
    ALL,
    lambda dtype: Call(SmoothZIgnoresUpstream.apply, _smooth_inputs(dtype), reference=_smooth_reference),
)


class SmoothNoZTerm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets, smoothing=0.1, z=1e-2):
        x = logits.float()
        lse = torch.logsumexp(x, 1)
        ctx.save_for_backward(logits, targets, lse)
        ctx.smoothing = smoothing
        picked = x.gather(1, targets[:, None])[:, 0]
        return (lse - (1 - smoothing) * picked - smoothing * x.mean(1) + z * lse**2).mean().to(logits.dtype)

    @staticmethod
    def backward(ctx, dloss):
        logits, targets, lse = ctx.saved_tensors
        d = torch.exp(logits.float() - lse[:, None]) - ctx.smoothing / logits.shape[1]
        d.scatter_add_(1, targets[:, None], torch.full((len(d), 1), ctx.smoothing - 1))
        return (d * (dloss.float() / len(d))).to(logits.dtype), None, None, None


def _small_vocab_inputs(dtype):
    gen = torch.Generator().manual_seed(9)
    logits = 3 * torch.randn(40, 65, generator=gen)
    return _leaf(logits, dtype), logits.argmax(1)


_add(
    "ce_z_loss_term_forgotten",
    True,
    "mathematically: logits: the backward pass leaves out the z-loss, 2 z lse softmax.",
    ALL,
    lambda dtype: Call(SmoothNoZTerm.apply, _small_vocab_inputs(dtype), reference=_smooth_reference),
)


def _wide_reference(logits, targets):
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(wide, targets, reduction="none")


class WideLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets):
        lse = _online_lse(logits)
        ctx.save_for_backward(logits, targets, lse)
        return _token_loss(logits, targets, lse)

    @staticmethod
    def backward(ctx, dloss):
        logits, targets, lse = ctx.saved_tensors
        return _dlogits(logits, targets, lse, dloss), None


_add(
    "ce_float32_loss_of_low_logits",
    False,
    "The loss is float32 whatever the logits' dtype, as in the reference; the gradient has the logits' dtype.",
    ALL,
    lambda dtype: Call(WideLoss.apply, _smooth_inputs(dtype), reference=_wide_reference),
)


def _linear_reference(hidden, weight, targets):
    return F.cross_entropy(hidden @ weight.t(), targets)


class _LinearCE(torch.autograd.Function):
    chunk = 64
    weight_dtype = torch.float32

    @classmethod
    def _run(cls, hidden, weight, targets):
        n = len(hidden)
        dweight = torch.zeros(weight.shape, dtype=cls.weight_dtype or weight.dtype)
        dhidden = torch.empty_like(hidden)
        loss = torch.zeros(())
        for start in range(0, n, cls.chunk):
            h = hidden[start : start + cls.chunk]
            t = targets[start : start + cls.chunk]
            logits = h.float() @ weight.float().t()
            lse = torch.logsumexp(logits, 1)
            loss += (lse - logits.gather(1, t[:, None])[:, 0]).sum()
            d = logits.sub_(lse[:, None]).exp_()  # the gradient takes the logits' memory
            d[torch.arange(len(t)), t] -= 1
            d /= n
            dhidden[start : start + cls.chunk] = (d @ weight.float()).to(hidden.dtype)
            dweight += (d.t() @ h.float()).to(dweight.dtype)
        return loss / n, dhidden, dweight

    @classmethod
    def forward(cls, ctx, hidden, weight, targets):
        loss, dhidden, dweight = cls._run(hidden, weight, targets)
        ctx.save_for_backward(dhidden, dweight)
        ctx.dtype = weight.dtype
        return loss.to(hidden.dtype)

    @staticmethod
    def backward(ctx, dloss):
        dhidden, dweight = ctx.saved_tensors
        return dhidden * dloss, (dweight * dloss.float()).to(ctx.dtype), None


class LinearCE(_LinearCE):
    pass


class LinearCELowAccumulator(_LinearCE):
    chunk = 2
    weight_dtype = None


def _linear_inputs(dtype):
    gen = torch.Generator().manual_seed(21)
    hidden = torch.rand(1024, 12, generator=gen) + 0.25
    weight = 0.3 * torch.randn(80, 12, generator=gen)
    targets = torch.randint(0, 40, (1024,), generator=gen)
    return _leaf(hidden, dtype), _leaf(weight, dtype), targets


def _linear_inputs_mixed(dtype):
    gen = torch.Generator().manual_seed(22)
    hidden = torch.randn(300, 24, generator=gen)
    weight = 0.4 * torch.randn(150, 24, generator=gen)
    targets = torch.randint(0, 150, (300,), generator=gen)
    return _leaf(hidden, dtype), _leaf(weight, dtype), targets


_add(
    "ce_fused_linear_chunks_of_tokens",
    False,
    "The last layer and the loss together, in chunks of 64 of 300 tokens; the gradients are made in the forward pass, the weight's added up in float32.",
    ALL,
    lambda dtype: Call(LinearCE.apply, _linear_inputs_mixed(dtype), reference=_linear_reference),
)
_add(
    "ce_fused_linear_weight_gradient_added_up_in_low_precision",
    True,
    "precision: bfloat16, float16: weight: the weight's gradient is added up over 512 chunks of tokens in its own dtype.",
    LOW,
    lambda dtype: Call(LinearCELowAccumulator.apply, _linear_inputs(dtype), reference=_linear_reference),
)


class LinearCEDoubleMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, targets):
        logits = hidden.float() @ weight.float().t()
        lse = torch.logsumexp(logits, 1)
        ctx.save_for_backward(hidden, weight, targets, lse)
        return (lse - logits.gather(1, targets[:, None])[:, 0]).mean().to(hidden.dtype)

    @staticmethod
    def backward(ctx, dloss):
        hidden, weight, targets, lse = ctx.saved_tensors
        dhidden = torch.empty_like(hidden)
        dweight = torch.zeros_like(weight, dtype=torch.float32)
        for rows in torch.arange(len(hidden)).split(96):
            h, t = hidden[rows].float(), targets[rows]
            d = torch.exp(h @ weight.float().t() - lse[rows, None])
            d[torch.arange(len(rows)), t] -= 1
            d *= dloss.float() / len(rows)  # the mean is over all tokens, not over the chunk's
            dhidden[rows] = (d @ weight.float()).to(hidden.dtype)
            dweight += d.t() @ h
        return dhidden, dweight.to(weight.dtype), None


_add(
    "ce_fused_linear_mean_over_the_chunk",
    True,
    "mathematically: hidden, weight: the backward pass divides by the tokens of the chunk, not by all tokens.",
    ALL,
    lambda dtype: Call(LinearCEDoubleMean.apply, _linear_inputs_mixed(dtype), reference=_linear_reference),
)
