"""Course notes and kernel code: a forward, something kept, a backward."""

import math
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._entry import Stranger
from .b_diff import cotangents, pair_proof, slopes, vjp_proof, weighed

# ---------------- affine + relu, caches within caches


def affine_forward(x, w, b):
    out = x.reshape(x.shape[0], -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dw, db


def relu_fwd(x):
    return np.maximum(0, x), x


def relu_bwd(dout, cache):
    return dout * (cache > 0)


def affine_relu_forward(x, w, b):
    a, fc_cache = affine_forward(x, w, b)
    out, relu_cache = relu_fwd(a)
    return out, (fc_cache, relu_cache)


def affine_relu_backward(dout, cache):
    fc_cache, relu_cache = cache
    da = relu_bwd(dout, relu_cache)
    return affine_backward(da, fc_cache)


def affine_relu_points():
    rng = np.random.default_rng(101)
    return rng.standard_normal((3, 2, 4)), rng.standard_normal((8, 5)) * 0.5, rng.standard_normal(5)


# ---------------- a naive convolution in one dimension


def conv1d_forward_naive(x, w, b, conv_param):
    """x (N, C, L), w (F, C, K), b (F,)."""
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, C, L = x.shape
    F, _, K = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad)), mode="constant")
    Lout = 1 + (L + 2 * pad - K) // stride
    out = np.zeros((N, F, Lout))
    for n in range(N):
        for f in range(F):
            for l in range(Lout):
                s = l * stride
                out[n, f, l] = np.sum(xp[n, :, s : s + K] * w[f]) + b[f]
    cache = (x, w, b, conv_param)
    return out, cache


def conv1d_backward_naive(dout, cache):
    x, w, b, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    K = w.shape[2]
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad)), mode="constant")
    dxp = np.zeros_like(xp)
    dw = np.zeros_like(w)
    N, F, Lout = dout.shape
    for n in range(N):
        for f in range(F):
            for l in range(Lout):
                s = l * stride
                dxp[n, :, s : s + K] += dout[n, f, l] * w[f]
                dw[f] += dout[n, f, l] * xp[n, :, s : s + K]
    db = dout.sum(axis=(0, 2))
    dx = dxp[:, :, pad : dxp.shape[2] - pad]
    return dx, dw, db


def conv1d_points():
    rng = np.random.default_rng(102)
    x, w, b = rng.standard_normal((2, 3, 7)), rng.standard_normal((4, 3, 3)), rng.standard_normal(4)
    return x, w, b, {"stride": 2, "pad": 1}


# ---------------- dropout with its mask handed in


def dropout_forward(x, dropout_param):
    p, mode = dropout_param["p"], dropout_param["mode"]
    mask = None
    if mode == "train":
        keep = dropout_param["mask"]
        mask = keep / p  # inverted: p is the probability of keeping
        out = x * mask
    else:
        out = x.copy()
    return out, (dropout_param, mask)


def dropout_backward(dout, cache):
    dropout_param, mask = cache
    if dropout_param["mode"] == "train":
        return dout * mask
    return dout.copy()


def dropout_points():
    rng = np.random.default_rng(103)
    x = rng.standard_normal((4, 5))
    return x, {"mode": "train", "p": 0.6, "mask": (rng.random((4, 5)) < 0.6).astype(float)}


# ---------------- batch normalisation, the compact formula


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param.get("mode", "train")
    eps = bn_param.get("eps", 1e-5)
    momentum = bn_param.get("momentum", 0.9)
    running_mean = bn_param.get("running_mean", np.zeros(x.shape[1]))
    running_var = bn_param.get("running_var", np.zeros(x.shape[1]))
    if mode == "train":
        mu, var = x.mean(axis=0), x.var(axis=0)
        inv = 1.0 / np.sqrt(var + eps)
        xhat = (x - mu) * inv
        running_mean = momentum * running_mean + (1 - momentum) * mu
        running_var = momentum * running_var + (1 - momentum) * var
    else:
        inv = 1.0 / np.sqrt(running_var + eps)
        xhat = (x - running_mean) * inv
    bn_param["running_mean"] = running_mean
    bn_param["running_var"] = running_var
    return gamma * xhat + beta, (mode, xhat, inv, gamma)


def batchnorm_backward_alt(dout, cache):
    mode, xhat, inv, gamma = cache
    dgamma, dbeta = np.sum(dout * xhat, axis=0), np.sum(dout, axis=0)
    if mode != "train":
        return dout * gamma * inv, dgamma, dbeta
    N = dout.shape[0]
    dx = gamma * inv / N * (N * dout - dbeta - xhat * dgamma)
    return dx, dgamma, dbeta


def batchnorm_points():
    rng = np.random.default_rng(104)
    gamma, beta = rng.standard_normal(3), rng.standard_normal(3)
    return rng.standard_normal((6, 3)) * 2 + 1, gamma, beta, {"mode": "train"}


# ---------------- gated linear unit, named tuples

GluCache = namedtuple("GluCache", "x w v a s")
GluGrads = namedtuple("GluGrads", "x w v")


def glu_forward(x, w, v):
    a = x @ w
    s = 1 / (1 + np.exp(-(x @ v)))
    return a * s, GluCache(x, w, v, a, s)


def glu_backward(dout, c):
    da = dout * c.s
    dz = dout * c.a * c.s * (1 - c.s)
    return GluGrads(x=da @ c.w.T + dz @ c.v.T, w=c.x.T @ da, v=c.x.T @ dz)


def glu_points():
    rng = np.random.default_rng(105)
    return rng.standard_normal((3, 4)), rng.standard_normal((4, 5)), rng.standard_normal((4, 5))


# ---------------- RMS norm, typed

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RmsResiduals:
    x: Array
    weight: Array
    rrms: Array


def rms_norm_fwd(x: Array, weight: Array, *, eps: float = 1e-6) -> tuple[Array, RmsResiduals]:
    rrms = 1.0 / np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True) + eps)
    return x * rrms * weight, RmsResiduals(x, weight, rrms)


def rms_norm_bwd(res: RmsResiduals, dy: Array) -> tuple[Array, Array]:
    n: int = res.x.shape[-1]
    wdy = res.weight * dy
    c = np.sum(wdy * res.x, axis=-1, keepdims=True) * res.rrms**2 / n
    dx = res.rrms * (wdy - res.x * c)
    dweight = (dy * res.x * res.rrms).reshape(-1, n).sum(axis=0)
    return dx, dweight


def rms_points():
    rng = np.random.default_rng(106)
    return rng.standard_normal((2, 3, 4)), rng.standard_normal(4)


# ---------------- two outputs: mean and variance


def moments_fwd(x):
    mu = x.mean(axis=1)
    centred = x - mu[:, None]
    return (mu, (centred**2).mean(axis=1)), centred


def moments_bwd(centred, cts):
    g_mu, g_var = cts
    n = centred.shape[1]
    # the centred values add up to zero, so the variance has no term through the mean
    return ((g_mu[:, None] + 2 * g_var[:, None] * centred) / n,)


def moments_points():
    return (np.random.default_rng(107).standard_normal((3, 5)),)


# ---------------- a recurrent net over time


def rnn_forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    h = np.zeros((N, T, h0.shape[1]))
    prev = h0
    for t in range(T):
        prev = np.tanh(x[:, t] @ Wx + prev @ Wh + b)
        h[:, t] = prev
    return h, (x, h0, Wx, Wh, h)


def rnn_backward(dh, cache):
    x, h0, Wx, Wh, h = cache
    N, T, D = x.shape
    dx = np.zeros_like(x)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wx.shape[1])
    dprev = np.zeros_like(h0)
    for t in reversed(range(T)):
        prev = h0 if t == 0 else h[:, t - 1]
        da = (dh[:, t] + dprev) * (1 - h[:, t] ** 2)
        dx[:, t] = da @ Wx.T
        dWx = x[:, t].T @ da
        dWh += prev.T @ da
        db += da.sum(axis=0)
        dprev = da @ Wh.T
    return dx, dprev, dWx, dWh, db


def rnn_points():
    rng = np.random.default_rng(108)
    return (
        rng.standard_normal((2, 3, 4)),
        rng.standard_normal((2, 5)),
        rng.standard_normal((4, 5)) * 0.5,
        rng.standard_normal((5, 5)) * 0.5,
        rng.standard_normal(5) * 0.5,
    )


# ---------------- layer norm with a dict of settings


def layernorm_forward(x, gamma, beta, ln_param):
    eps = ln_param.get("eps", 1e-5)
    mean = np.mean(x, axis=1, keepdims=True)
    var = np.var(x, axis=1, keepdims=True)
    x_norm = (x - mean) / np.sqrt(var + eps)
    out = gamma * x_norm + beta
    cache = {"x_norm": x_norm, "var": var, "eps": eps, "gamma": gamma}
    return out, cache


def layernorm_backward(dout, cache):
    x_norm, gamma = cache["x_norm"], cache["gamma"]
    std = np.sqrt(cache["var"]) + cache["eps"]
    dgamma = (dout * x_norm).sum(axis=0)
    dbeta = dout.sum(axis=0)
    dxn = dout * gamma
    dx = (dxn - dxn.mean(axis=1, keepdims=True) - x_norm * (dxn * x_norm).mean(axis=1, keepdims=True)) / std
    return dx, dgamma, dbeta


def layernorm_points():
    rng = np.random.default_rng(109)
    return rng.standard_normal((4, 5)) * 0.4, rng.standard_normal(5), rng.standard_normal(5), {"eps": 0.01}


# ---------------- parametric relu, one slope for each channel


def prelu_forward(x, a):
    slope = a.reshape(1, -1, 1)
    out = np.where(x > 0, x, slope * x)
    return out, (x, slope, out)


def prelu_backward(dout, cache):
    x, slope, out = cache
    positive = out > 0
    dx = np.where(positive, dout, slope * dout)
    da = np.where(positive, 0.0, x * dout).sum(axis=(0, 2))
    return dx, da


def prelu_points():
    rng = np.random.default_rng(110)
    return rng.standard_normal((3, 4, 2)), np.array([0.25, -0.3, 0.1, 0.4])


# ---------------- words


def word_embedding_forward(x, W):
    return W[x], (x, W.shape)


def word_embedding_backward(dout, cache):
    x, shape = cache
    dW = np.zeros(shape)
    dW[x] += dout
    return dW


def word_points():
    rng = np.random.default_rng(111)
    return np.array([[1, 4, 1], [3, 0, 4]]), rng.standard_normal((6, 3))


# ---------------- one step of an LSTM


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    H = prev_h.shape[1]
    a = x @ Wx + prev_h @ Wh + b
    i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H : 2 * H]), sigmoid(a[:, 2 * H : 3 * H])
    g = np.tanh(a[:, 3 * H :])
    next_c = f * prev_c + i * g
    tc = np.tanh(next_c)
    next_h = o * tc
    return next_h, next_c, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, tc)


def lstm_step_backward(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, tc = cache
    do = dnext_h * tc
    dc = dnext_h * o * (1 - tc**2)
    di, df, dg = dc * g, dc * prev_c, dc * i
    da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)])
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def lstm_points():
    rng = np.random.default_rng(112)
    shapes = [(3, 4), (3, 2), (3, 2), (4, 8), (2, 8), (8,)]
    return tuple(rng.standard_normal(s) * 0.7 for s in shapes)


def lstm_proof():
    primals = lstm_points()
    h, c, cache = lstm_step_forward(*primals)
    gs = cotangents([h, c])
    grads = lstm_step_backward(gs[0], gs[1], cache)
    return list(zip(grads, slopes(lambda *p: weighed(lstm_step_forward(*p)[:2], gs), primals)))


# ---------------- fused bias and gelu

_erf = np.vectorize(math.erf, otypes=[float])


def fused_bias_gelu_fwd(x, bias):
    z = x + bias
    return 0.5 * z * (1.0 + _erf(z * 0.7071067811865476)), z


def fused_bias_gelu_bwd(z, dy):
    # one tanh instead of an erf and an exp
    u = 0.7978845608028654 * (z + 0.044715 * z * z * z)
    t = np.tanh(u)
    dz = dy * (0.5 * (1 + t) + 0.5 * z * (1 - t * t) * 0.7978845608028654 * (1 + 3 * 0.044715 * z * z))
    return dz, dz.sum(axis=0)


def gelu_points():
    rng = np.random.default_rng(113)
    return rng.standard_normal((5, 4)) * 1.5, rng.standard_normal(4)


# ---------------- bilinear scores


def bilinear_score_fwd(left, M, right):
    return np.einsum("ni,ij,nj->n", left, M, right), (left, M, right)


def bilinear_score_bwd(saved, g):
    left, M, right = saved
    g = g[:, None]
    return g * (right @ M.T), (g * right).T @ left, g * (left @ M)


def bilinear_points():
    rng = np.random.default_rng(114)
    return rng.standard_normal((3, 4)), rng.standard_normal((4, 4)), rng.standard_normal((3, 4))


# ---------------- relu, in place to save memory


def relu_forward(x):
    out = np.maximum(x, 0)
    return out, (x <= 0)


def relu_backward(dout, cache):
    dout[cache] = 0  # no copy
    return dout


def relu_points():
    return (np.random.default_rng(115).standard_normal((4, 6)),)


def cached(forward, backward, points):
    return lambda gradlab: gradlab.check_cached_pair(forward, backward, points())


ENTRIES = [
    Stranger(
        "affine-relu pair with caches in a cache",
        "pair with cache",
        cached(affine_relu_forward, affine_relu_backward, affine_relu_points),
        lambda: pair_proof(affine_relu_forward, affine_relu_backward, affine_relu_points()),
    ),
    Stranger(
        "naive 1d convolution pair with conv_param",
        "pair with cache and a settings dict",
        cached(conv1d_forward_naive, conv1d_backward_naive, conv1d_points),
        lambda: pair_proof(conv1d_forward_naive, conv1d_backward_naive, conv1d_points()),
    ),
    Stranger(
        "dropout pair with the mask in dropout_param",
        "pair with cache and a settings dict",
        cached(dropout_forward, dropout_backward, dropout_points),
        lambda: pair_proof(dropout_forward, dropout_backward, dropout_points()),
    ),
    Stranger(
        "batch norm pair with running statistics in bn_param",
        "pair with cache and a settings dict",
        cached(batchnorm_forward, batchnorm_backward_alt, batchnorm_points),
        lambda: pair_proof(batchnorm_forward, batchnorm_backward_alt, batchnorm_points()),
    ),
    Stranger(
        "gated linear unit pair with named tuples",
        "pair with a named tuple for the cache and one for the gradients",
        cached(glu_forward, glu_backward, glu_points),
        lambda: pair_proof(glu_forward, glu_backward, glu_points()),
    ),
    Stranger(
        "rms norm fwd and bwd with a dataclass of residuals",
        "fwd and bwd with residuals",
        lambda gradlab: gradlab.check_vjp(rms_norm_fwd, rms_norm_bwd, rms_points(), name="rms_norm"),
        lambda: vjp_proof(rms_norm_fwd, rms_norm_bwd, rms_points()),
    ),
    Stranger(
        "mean and variance fwd and bwd with two outputs",
        "fwd and bwd with residuals, two outputs",
        lambda gradlab: gradlab.check_vjp(moments_fwd, moments_bwd, moments_points()),
        lambda: vjp_proof(moments_fwd, moments_bwd, moments_points()),
    ),
    Stranger(
        "rnn pair over time: dWx of the first step only",
        "pair with cache",
        cached(rnn_forward, rnn_backward, rnn_points),
        lambda: pair_proof(rnn_forward, rnn_backward, rnn_points()),
        "wrong",
        "dWx is assigned in the loop over time and not added up",
        ("last-write-wins", "missing-term"),
        ("Wx",),
    ),
    Stranger(
        "layer norm pair with ln_param: epsilon outside the root in backward",
        "pair with a dict for a cache",
        cached(layernorm_forward, layernorm_backward, layernorm_points),
        lambda: pair_proof(layernorm_forward, layernorm_backward, layernorm_points()),
        "wrong",
        "backward divides by sqrt(var) + eps, forward by sqrt(var + eps)",
        ("epsilon-outside",),
        ("x",),
    ),
    Stranger(
        "prelu pair with slopes of both signs: mask of the output",
        "pair with cache",
        cached(prelu_forward, prelu_backward, prelu_points),
        lambda: pair_proof(prelu_forward, prelu_backward, prelu_points()),
        "wrong",
        "the mask is out > 0, which is not x > 0 where the slope is negative",
        ("masked-region",),
        ("x", "a"),
    ),
    Stranger(
        "word embedding pair: repeated words lost",
        "pair with cache, integer input",
        cached(word_embedding_forward, word_embedding_backward, word_points),
        lambda: pair_proof(word_embedding_forward, word_embedding_backward, word_points()),
        "wrong",
        "dW[x] += dout keeps one of several equal indices",
        ("last-write-wins",),
        ("W",),
    ),
    Stranger(
        "lstm step pair with two cotangents: the cell's is forgotten",
        "pair with cache, two outputs and two cotangents",
        cached(lstm_step_forward, lstm_step_backward, lstm_points),
        lstm_proof,
        "wrong",
        "dnext_c is never added to dc",
        ("first-cotangent-only", "missing-term", "ignores-cotangent"),
        ("x", "prev_h", "prev_c", "Wx", "Wh", "b"),
    ),
    Stranger(
        "fused bias and exact gelu: backward of the tanh approximation",
        "fwd and bwd with residuals",
        lambda gradlab: gradlab.check_vjp(fused_bias_gelu_fwd, fused_bias_gelu_bwd, gelu_points()),
        lambda: vjp_proof(fused_bias_gelu_fwd, fused_bias_gelu_bwd, gelu_points()),
        "wrong",
        "forward is the exact gelu, backward the derivative of its tanh approximation",
        ("other-approximation",),
        ("x", "bias"),
    ),
    Stranger(
        "bilinear scores fwd and bwd: gradient of the matrix transposed",
        "fwd and bwd with residuals",
        lambda gradlab: gradlab.check_vjp(bilinear_score_fwd, bilinear_score_bwd, bilinear_points()),
        lambda: vjp_proof(bilinear_score_fwd, bilinear_score_bwd, bilinear_points()),
        "wrong",
        "the gradient of M is transposed",
        ("transposed", "axes-permuted"),
        ("M",),
    ),
    Stranger(
        "relu pair: backward zeroes in dout itself",
        "pair with cache",
        cached(relu_forward, relu_backward, relu_points),
        lambda: [],
        "habit",
        "writes into the cotangent and returns it",
        ("mutates-argument", "aliases-memory"),
        ("x",),
    ),
]
