"""Linear recurrences h_t = a_t h_{t-1} + b_t as block scans."""

import torch

from .._entry import Call, Entry

ROW = "scan"
ALL = ("float32", "bfloat16", "float16")
LOW = ("bfloat16", "float16")
ENTRIES: list[Entry] = []
DTYPES: dict[str, tuple[str, ...]] = {}


def add(name, wrong, why, function, reference, inputs, dtypes=ALL):
    ENTRIES.append(
        Entry(
            name,
            ROW,
            wrong,
            why,
            lambda dtype=getattr(torch, dtypes[0]): Call(function, inputs(dtype), reference=reference),
        )
    )
    DTYPES[name] = dtypes


def loop(a, b, h0):
    h, out = h0, []
    for t in range(a.shape[1]):
        h = a[:, t] * h + b[:, t]
        out.append(h)
    return torch.stack(out, 1)


BLOCK = 64


def _scan_block(a, b, h):
    out = torch.empty(a.shape)
    for t in range(a.shape[1]):
        h = torch.addcmul(b[:, t].float(), a[:, t].float(), h)
        out[:, t] = h
    return out, h


class BlockScan(torch.autograd.Function):
    carry_multiplied = True
    blocks_back = "all"
    shift = True

    @classmethod
    def forward(cls, ctx, a, b, h0):
        h, ends, out = h0.float(), [], torch.empty_like(b)
        for i in range(0, a.shape[1], BLOCK):
            ends.append(h)
            piece, h = _scan_block(a[:, i : i + BLOCK], b[:, i : i + BLOCK], h)
            out[:, i : i + BLOCK] = piece
        ctx.save_for_backward(a, b, torch.stack(ends))
        return out

    @classmethod
    def backward(cls, ctx, dout):
        a, b, ends = ctx.saved_tensors
        da, db = torch.zeros_like(a), torch.zeros_like(b)
        dh = torch.zeros_like(ends[0])
        starts = list(range(0, a.shape[1], BLOCK))
        if cls.blocks_back == "whole":
            starts = starts[: a.shape[1] // BLOCK]
        for i in reversed(starts):
            ab, bb, g = a[:, i : i + BLOCK], b[:, i : i + BLOCK], dout[:, i : i + BLOCK]
            states, _ = _scan_block(ab, bb, ends[i // BLOCK])
            before = torch.cat([ends[i // BLOCK][:, None], states[:, :-1]], 1) if cls.shift else states
            for t in reversed(range(ab.shape[1])):
                dh = dh + g[:, t].float()
                da[:, i + t] = (dh * before[:, t]).to(da.dtype)
                db[:, i + t] = dh.to(db.dtype)
                if t or cls.carry_multiplied:
                    dh = dh * ab[:, t].float()
        return da, db, dh.to(a.dtype)


class BlockScanLaterState(BlockScan):
    shift = False


class BlockScanCarry(BlockScan):
    carry_multiplied = False


class BlockScanNoTail(BlockScan):
    blocks_back = "whole"


def state_inputs(dtype, length=300, low=0.5, high=0.98):
    g = torch.Generator().manual_seed(1)
    a = low + (high - low) * torch.rand(2, length, 12, generator=g)
    return tuple(
        x.to(dtype).requires_grad_()
        for x in (a, torch.randn(2, length, 12, generator=g), torch.randn(2, 12, generator=g))
    )


add(
    "scan_blocks_made_anew",
    False,
    "States are kept only at the ends of blocks of 64 (length 300) and made anew backward; float32 carries are better than the eager version's rounded ones.",
    BlockScan.apply,
    loop,
    state_inputs,
)
add(
    "scan_state_after_instead_of_before",
    True,
    "mathematically: a: its gradient is multiplied by h_t where it should be h_{t-1}.",
    BlockScanLaterState.apply,
    loop,
    state_inputs,
)
add(
    "scan_carry_without_its_factor_between_blocks",
    True,
    "mathematically: a, b, h0: going back from a block to the one before, the carry is not multiplied by a.",
    BlockScanCarry.apply,
    loop,
    state_inputs,
)
add(
    "scan_tail_block_lost_in_backward",
    True,
    "mathematically: a, b: the last 44 of 300 steps, no whole block, get a gradient of 0 and pass none on.",
    BlockScanNoTail.apply,
    loop,
    state_inputs,
)


def loop_from_zero(a, b):
    h = torch.zeros_like(b[..., 0])
    hs = []
    for at, bt in zip(a.unbind(-1), b.unbind(-1)):
        h = at * h + bt
        hs.append(h)
    return torch.stack(hs, -1)


def doubling(a, b):
    """Inclusive scan along the last axis: log2(length) passes over everything."""
    a, b = a.clone(), b.clone()
    step = 1
    while step < a.shape[-1]:
        b_new, a_new = b.clone(), a.clone()
        b_new[..., step:] += a[..., step:] * b[..., :-step]
        a_new[..., step:] *= a[..., :-step]
        a, b, step = a_new, b_new, 2 * step
    return b


class DoublingScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        h = doubling(a.float(), b.float())
        ctx.save_for_backward(a, h)
        return h.to(b.dtype)

    @staticmethod
    def backward(ctx, dh):
        a, h = ctx.saved_tensors
        a = a.float()
        following = torch.cat([a[..., 1:], torch.zeros_like(a[..., :1])], -1)
        db = doubling(following.flip(-1), dh.float().flip(-1)).flip(-1)
        before = torch.cat([torch.zeros_like(h[..., :1]), h[..., :-1]], -1)
        return (db * before).to(dh.dtype), db.to(dh.dtype)


class DoublingUnshifted(DoublingScan):
    @staticmethod
    def backward(ctx, dh):
        a, h = ctx.saved_tensors
        db = doubling(a.float().flip(-1), dh.float().flip(-1)).flip(-1)
        before = torch.nn.functional.pad(h[..., :-1], (1, 0))
        return (db * before).to(dh.dtype), db.to(dh.dtype)


def signed_inputs(dtype):
    g = torch.Generator().manual_seed(14)
    a = 0.95 * (2 * torch.rand(3, 5, 513, generator=g) - 1)
    a = torch.where(a.abs() < 0.3, 0.97, a)
    return a.to(dtype).requires_grad_(), torch.randn(3, 5, 513, generator=g).to(dtype).requires_grad_()


add(
    "scan_doubling",
    False,
    "Associative scan in ten doubling passes at a length of 513, factors of both signs: another order than the eager loop.",
    DoublingScan.apply,
    loop_from_zero,
    signed_inputs,
)
add(
    "scan_doubling_factors_not_shifted",
    True,
    "mathematically: a, b: the scan that goes back multiplies by a_t where it should be a_{t+1}.",
    DoublingUnshifted.apply,
    loop_from_zero,
    signed_inputs,
)


def decay_loop(log_decay, x):
    h = torch.zeros_like(x[0])
    out = []
    for t in range(len(x)):
        h = torch.exp(log_decay[t]) * h + x[t]
        out.append(h)
    return torch.stack(out)


class ChunkMatrices(torch.autograd.Function):
    """Within a chunk, h = M x with M_ij = exp(sum of log decays from j+1 to i)."""

    chunk = 32

    @staticmethod
    def _matrix(logs):
        n = len(logs)
        segments = logs[:, None].expand(n, n).tril(-1).cumsum(0)  # no differences of large sums
        return torch.exp(segments).tril(), logs.cumsum(0).exp()

    @staticmethod
    def states(log_decay, x):
        carry, out = torch.zeros(x.shape[1]), torch.empty(x.shape)
        for i in range(0, len(x), ChunkMatrices.chunk):
            m, from_start = ChunkMatrices._matrix(log_decay[i : i + ChunkMatrices.chunk].float())
            out[i : i + len(m)] = m @ x[i : i + len(m)].float() + from_start[:, None] * carry
            carry = out[i + len(m) - 1]
        return out

    @staticmethod
    def forward(ctx, log_decay, x):
        ctx.save_for_backward(log_decay, x)
        return ChunkMatrices.states(log_decay, x).to(x.dtype)

    @staticmethod
    def backward(ctx, dh):
        log_decay, x = ctx.saved_tensors
        before = torch.nn.functional.pad(ChunkMatrices.states(log_decay, x)[:-1], (0, 0, 1, 0))
        later = torch.nn.functional.pad(log_decay[1:], (0, 1))  # the factor from t to t+1
        dx = ChunkMatrices.states(later.flip(0), dh.flip(0)).flip(0)
        dlog = log_decay.float().exp() * (dx * before).sum(1)
        return dlog.to(log_decay.dtype), dx.to(x.dtype)


class ChunkMatricesNoExp(ChunkMatrices):
    @staticmethod
    def backward(ctx, dh):
        log_decay, x = ctx.saved_tensors
        before = torch.nn.functional.pad(ChunkMatrices.states(log_decay, x)[:-1], (0, 0, 1, 0))
        later = torch.nn.functional.pad(log_decay[1:], (0, 1))
        dx = ChunkMatrices.states(later.flip(0), dh.flip(0)).flip(0)
        return (dx * before).sum(1).to(log_decay.dtype), dx.to(x.dtype)


def decay_inputs(dtype):
    g = torch.Generator().manual_seed(15)
    logs = -0.02 - 0.5 * torch.rand(200, generator=g)
    return logs.to(dtype).requires_grad_(), torch.randn(200, 40, generator=g).to(dtype).requires_grad_()


add(
    "scan_chunks_as_matrices",
    False,
    "Decays summed in log space and chunks multiplied as triangular matrices: rounds quite otherwise than the eager loop, and is as good.",
    ChunkMatrices.apply,
    decay_loop,
    decay_inputs,
)
add(
    "scan_log_decay_without_exp",
    True,
    "mathematically: log_decay: its gradient lacks the factor exp(log_decay).",
    ChunkMatricesNoExp.apply,
    decay_loop,
    decay_inputs,
)


def wide_loop(a, b):
    """a (channels,), b (batch, time, channels); the states are at least float32, as in the usual reference versions."""
    wide = torch.promote_types(b.dtype, torch.float32)
    a_wide, h, out = a.to(wide), 0.0, []
    for bt in b.to(wide).unbind(1):
        h = a_wide * h + bt
        out.append(h)
    return torch.stack(out, 1).to(b.dtype)


def _states(a, b):
    h, out = torch.zeros(b[:, 0].shape), []
    for bt in b.float().unbind(1):
        h = a.float() * h + bt
        out.append(h)
    return torch.stack(out, 1)


def _back(a, dout):
    dh, out = torch.zeros(dout[:, 0].shape), []
    for g in dout.float().flip(1).unbind(1):
        dh = g + a.float() * dh
        out.append(dh)
    return torch.stack(out[::-1], 1)


class ChannelDecay(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        h = _states(a, b)
        ctx.save_for_backward(a, h)
        return h.to(b.dtype)

    @staticmethod
    def backward(ctx, dout):
        a, h = ctx.saved_tensors
        dh = _back(a, dout)
        return (dh[:, 1:] * h[:, :-1]).sum((0, 1)).to(a.dtype), dh.to(dout.dtype)


class ChannelDecayLowSum(ChannelDecay):
    @staticmethod
    def backward(ctx, dout):
        a, h = ctx.saved_tensors
        dh = _back(a, dout)
        da = torch.zeros_like(a)
        for n in range(len(h)):
            for t in range(1, h.shape[1]):
                da += (dh[n, t] * h[n, t - 1]).to(a.dtype)
        return da, dh.to(dout.dtype)


class ChannelDecayLowCarry(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        h, out = torch.zeros_like(b[:, 0]), torch.empty_like(b)
        for t in range(b.shape[1]):
            h = a * h + b[:, t]
            out[:, t] = h
        ctx.save_for_backward(a, b)
        return out

    @staticmethod
    def backward(ctx, dout):
        a, b = ctx.saved_tensors
        h, dh = _states(a, b), _back(a, dout)
        return (dh[:, 1:] * h[:, :-1]).sum((0, 1)).to(a.dtype), dh.to(dout.dtype)


class ChannelDecayHalfFactors(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return _states(a.bfloat16(), b).to(b.dtype)

    @staticmethod
    def backward(ctx, dout):
        a, b = ctx.saved_tensors
        h, dh = _states(a, b), _back(a, dout)
        return torch.einsum("ntc,ntc->c", dh[:, 1:].double(), h[:, :-1].double()).to(a.dtype), dh.to(
            dout.dtype
        )


def channel_inputs(dtype):
    g = torch.Generator().manual_seed(16)
    return (0.2 + 0.6 * torch.rand(20, generator=g)).to(dtype).requires_grad_(), torch.rand(
        2, 600, 20, generator=g
    ).to(dtype).requires_grad_()


def slow_inputs(dtype):
    g = torch.Generator().manual_seed(18)
    return (0.985 + 0.01 * torch.rand(10, generator=g)).to(dtype).requires_grad_(), torch.rand(
        2, 700, 10, generator=g
    ).to(dtype).requires_grad_()


add(
    "scan_channel_decay",
    False,
    "One decay for each channel: its gradient is a sum of 1,198 terms, in float32 as in the reference.",
    ChannelDecay.apply,
    wide_loop,
    channel_inputs,
)
add(
    "scan_channel_decay_gradient_in_low_precision",
    True,
    "precision: bfloat16, float16: a: the 1,198 terms of the decay's gradient are added one by one in its dtype; clear with a cotangent of one sign.",
    ChannelDecayLowSum.apply,
    wide_loop,
    channel_inputs,
    LOW,
)
add(
    "scan_state_in_low_precision",
    True,
    "precision: bfloat16, float16: output: the state is kept in the dtype of b over 700 steps with decays near 1, the reference keeps float32.",
    ChannelDecayLowCarry.apply,
    wide_loop,
    slow_inputs,
    LOW,
)
add(
    "scan_decays_stored_in_bfloat16",
    True,
    "precision: float32: output: the decays (near 1) go through bfloat16 in the forward pass, which float32 inputs notice.",
    ChannelDecayHalfFactors.apply,
    wide_loop,
    slow_inputs,
    ("float32",),
)


class ResetScan(torch.autograd.Function):
    """Each document (a is 0 at its start) is a scan of its own."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return _time_states(a, b).to(b.dtype)

    @staticmethod
    def backward(ctx, dout):
        a, b = ctx.saved_tensors
        h = _time_states(a, b)
        dh = _time_states(torch.cat([a[:, 1:], torch.zeros_like(a[:, :1])], 1).flip(1), dout.flip(1)).flip(1)
        da = torch.zeros_like(h)
        da[:, 1:] = dh[:, 1:] * h[:, :-1]  # also where a is 0
        return da.to(a.dtype), dh.to(b.dtype)


def _time_states(a, b):
    h, out = torch.zeros(b[:, 0].shape), []
    for at, bt in zip(a.float().unbind(1), b.float().unbind(1)):
        h = torch.where(at == 0, bt, at * h + bt)
        out.append(h)
    return torch.stack(out, 1)


class InvertedScan(ResetScan):
    @staticmethod
    def forward(ctx, a, b):
        out = _time_states(a, b).to(b.dtype)
        ctx.save_for_backward(a, b, out[:, -1])
        return out

    @staticmethod
    def backward(ctx, dout):
        a, b, last = ctx.saved_tensors
        a, b, h = a.float(), b.float(), last.float()
        dh, da, db = torch.zeros_like(h), torch.zeros_like(a), torch.zeros_like(a)
        for t in reversed(range(a.shape[1])):
            dh = dh + dout[:, t].float()
            db[:, t] = dh
            h = (h - b[:, t]) / a[:, t]
            if t:
                da[:, t] = dh * h
            dh = dh * a[:, t]
        return da.to(dout.dtype), db.to(dout.dtype)


def wide_time_loop(a, b):
    wide = torch.promote_types(b.dtype, torch.float32)
    h, out = torch.zeros_like(b[:, 0], dtype=wide), []
    for t in range(b.shape[1]):
        h = a[:, t].to(wide) * h + b[:, t].to(wide)
        out.append(h.to(b.dtype))
    return torch.stack(out, 1)


def documents(dtype):
    g = torch.Generator().manual_seed(40)
    a = 0.4 + 0.55 * torch.rand(2, 220, 14, generator=g)
    a[:, [0, 50, 51, 130, 219]] = 0.0
    return a.to(dtype).requires_grad_(), torch.randn(2, 220, 14, generator=g).to(dtype).requires_grad_()


def slowly_forgotten(dtype):
    g = torch.Generator().manual_seed(41)
    a = 0.95 + 0.04 * torch.rand(2, 300, 8, generator=g)
    return a.to(dtype).requires_grad_(), torch.randn(2, 300, 8, generator=g).to(dtype).requires_grad_()


add(
    "scan_with_resets",
    False,
    "Factors that are exactly 0 at the starts of documents, with a gradient that is not 0 there.",
    ResetScan.apply,
    wide_time_loop,
    documents,
)
add(
    "scan_states_found_by_inverting",
    True,
    "precision: float32, bfloat16, float16: a: earlier states are found again from the last output as (h - b) / a, whose errors grow as 1 / a over 300 steps.",
    InvertedScan.apply,
    wide_time_loop,
    slowly_forgotten,
)
