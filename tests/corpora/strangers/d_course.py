"""Pairs as in course notes: (out, cache) = x_forward(...), x_backward(dout, cache)."""

import functools

import numpy as np

from ._entry import Stranger
from ._help_d import pair_proof


def sigmoid(z):
    return 0.5 * (1.0 + np.tanh(0.5 * z))


# ---------------------------------------------------------------- highway layer, dict in, dict out


def highway_forward(x, W_h, b_h, W_t, b_t):
    h = np.tanh(x @ W_h + b_h)
    t = sigmoid(x @ W_t + b_t)
    y = t * h + (1 - t) * x
    return y, {"x": x, "h": h, "t": t, "W_h": W_h, "W_t": W_t}


def highway_backward(dy, cache):
    x, h, t = cache["x"], cache["h"], cache["t"]
    dz_h = dy * t * (1 - h**2)
    dz_t = dy * (h - x) * t * (1 - t)
    grads = {}
    grads["x"] = dy * (1 - t) + dz_h @ cache["W_h"].T + dz_t @ cache["W_t"].T
    grads["W_h"] = x.T @ dz_h
    grads["b_h"] = dz_h.sum(0)
    grads["W_t"] = x.T @ dz_t
    grads["b_t"] = dz_t.sum(0)
    return grads


def highway_data():
    rng = np.random.default_rng(101)
    d = 6
    return (
        rng.standard_normal((9, d)),
        rng.standard_normal((d, d)) * 0.5,
        rng.standard_normal(d) * 0.1,
        rng.standard_normal((d, d)) * 0.5,
        rng.standard_normal(d) - 1.0,
    )


# ---------------------------------------------------------------- cartesian to polar, two outputs


def polar_forward(x, y):
    r = np.hypot(x, y)
    phi = np.arctan2(y, x)
    return (r, phi), (x, y, r)


def polar_backward(dout, cache):
    dr, dphi = dout
    x, y, r = cache
    dx = dr * x / r - dphi * y / r**2
    dy = dr * y / r + dphi * x / r**2
    return dx, dy


def polar_data():
    rng = np.random.default_rng(102)
    return rng.uniform(0.5, 2.0, 14), rng.uniform(0.4, 1.8, 14)


# ---------------------------------------------------------------- weighted cross entropy that skips label -1


def weighted_ce_forward(scores, labels, weights):
    keep = labels >= 0
    safe = np.where(keep, labels, 0)
    w = weights[safe] * keep
    shifted = scores - scores.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    total = w.sum()
    loss = -(w * logp[np.arange(len(scores)), safe]).sum() / total
    return loss, (logp, safe, w, total)


def weighted_ce_backward(dloss, cache):
    logp, safe, w, total = cache
    dscores = np.exp(logp)
    dscores[np.arange(len(logp)), safe] -= 1
    return dloss * dscores * (w / total)[:, None]


def weighted_ce_data():
    rng = np.random.default_rng(103)
    scores = rng.standard_normal((12, 4)) * 1.5
    labels = np.array([0, 1, -1, 3, 2, 2, -1, 0, 1, 3, 3, 2])
    return functools.partial(weighted_ce_forward, weights=np.array([0.5, 1.0, 2.0, 1.5])), (scores, labels)


# ---------------------------------------------------------------- all cosine similarities of two sets


def cosine_matrix_forward(A, B):
    na = np.linalg.norm(A, axis=1, keepdims=True)
    nb = np.linalg.norm(B, axis=1, keepdims=True)
    Ah, Bh = A / na, B / nb
    return Ah @ Bh.T, (Ah, Bh, na, nb)


def cosine_matrix_backward(dS, cache):
    Ah, Bh, na, nb = cache
    dAh, dBh = dS @ Bh, dS.T @ Ah
    dA = (dAh - Ah * np.sum(Ah * dAh, axis=1, keepdims=True)) / na
    dB = (dBh - Bh * np.sum(Bh * dBh, axis=1, keepdims=True)) / nb
    return dA, dB


def cosine_matrix_data():
    rng = np.random.default_rng(104)
    return rng.standard_normal((7, 5)), rng.standard_normal((6, 5))


# ---------------------------------------------------------------- gated linear recurrence


def minrec_forward(a_logit, x, h0):
    T, D = x.shape
    a = sigmoid(a_logit)
    hs = np.empty((T + 1, D))
    hs[0] = h0
    for t in range(T):
        hs[t + 1] = a[t] * hs[t] + (1 - a[t]) * x[t]
    return hs[1:].copy(), (a, x, hs)


def minrec_backward(dhs, cache):
    a, x, hs = cache
    da_logit, dx = np.zeros_like(a), np.zeros_like(x)
    dh = np.zeros(x.shape[1])
    for t in reversed(range(len(x))):
        dh = dh + dhs[t]
        dx[t] = dh * (1 - a[t])
        da_logit[t] = dh * (hs[t] - x[t]) * a[t] * (1 - a[t])
        dh = dh * a[t]
    return da_logit, dx, dh


def minrec_data():
    rng = np.random.default_rng(105)
    return rng.standard_normal((20, 3)), rng.standard_normal((20, 3)), rng.standard_normal(3)


# ---------------------------------------------------------------- encoder heads of a VAE


def heads_forward(x, W_mu, W_lv):
    mu = x @ W_mu
    lv = 4.0 * np.tanh(x @ W_lv / 4.0)  # keeps the variances sane
    return (mu, lv), (x, W_mu, W_lv, lv)


def heads_backward(douts, cache):
    dmu, dlv = douts
    x, W_mu, W_lv, lv = cache
    slope = 1 - (lv / 4.0) ** 2
    dx = dmu @ W_mu.T + (dlv * slope) @ W_lv.T
    dW_mu = x.T @ dmu
    dW_lv = x.T @ (dmu * slope)
    return dx, dW_mu, dW_lv


def heads_data():
    rng = np.random.default_rng(106)
    return rng.standard_normal((8, 5)), rng.standard_normal((5, 3)), rng.standard_normal((5, 3))


# ---------------------------------------------------------------- bag of words, weighted


def bag_forward(table, coef, ids):
    rows = table[ids]  # (N, L, D)
    return np.einsum("nl,nld->nd", coef, rows), (table.shape, coef, ids, rows)


def bag_backward(dout, cache):
    shape, coef, ids, rows = cache
    dtable = np.zeros(shape)
    dtable[ids] += coef[:, :, None] * dout[:, None, :]
    dcoef = np.einsum("nd,nld->nl", dout, rows)
    return dtable, dcoef


def bag_data():
    rng = np.random.default_rng(107)
    ids = np.array([[0, 3, 3, 7], [1, 0, 5, 2], [7, 7, 4, 6]])
    return rng.standard_normal((9, 4)), rng.uniform(0.2, 1.0, (3, 4)), ids


# ---------------------------------------------------------------- attention pooling over time


def attnpool_forward(h, v):
    e = h @ v
    e = e - e.max(axis=1, keepdims=True)
    a = np.exp(e)
    a /= a.sum(axis=1, keepdims=True)
    return np.einsum("nt,ntd->nd", a, h), (h, v, a)


def attnpool_backward(dout, cache):
    h, v, a = cache
    da = np.einsum("nd,ntd->nt", dout, h)
    de = a * da
    dh = a[:, :, None] * dout[:, None, :] + de[:, :, None] * v
    dv = np.einsum("nt,ntd->d", de, h)
    return dh, dv


def attnpool_data():
    rng = np.random.default_rng(108)
    return rng.standard_normal((4, 6, 5)), rng.standard_normal(5)


# ---------------------------------------------------------------- exposure and gamma of a picture


def develop_forward(img, gain, gamma):
    lin = gain * img
    c = np.clip(lin, 0.05, 1.0)
    return c**gamma, (img, gain, gamma, c)


def develop_backward(dout, cache):
    img, gain, gamma, c = cache
    dc = dout * gamma * c ** (gamma - 1)
    dlin = dc
    dimg = dlin * gain
    dgain = (dlin * img).sum(axis=(0, 1))
    dgamma = (dout * c**gamma * np.log(c)).sum(axis=(0, 1))
    return dimg, dgain, dgamma


def develop_data():
    rng = np.random.default_rng(109)
    return rng.uniform(0.06, 0.95, (6, 7, 3)), np.array([1.3, 1.6, 1.1]), np.array([0.45, 0.8, 1.7])


# ---------------------------------------------------------------- PReLU that recycles dout


def prelu_forward(x, alpha):
    out = np.where(x > 0, x, alpha * x)
    return out, (x, alpha)


def prelu_backward(dout, cache):
    x, alpha = cache
    neg = x <= 0
    dalpha = (dout * x * neg).sum(axis=0)
    dout *= np.where(neg, alpha, 1.0)  # saves an allocation
    return dout, dalpha


def prelu_data():
    rng = np.random.default_rng(110)
    x = rng.standard_normal((10, 5))
    return x + 0.05 * np.sign(x), rng.uniform(0.1, 0.4, 5)


def _weighted_ce_call(gradlab):
    forward, primals = weighted_ce_data()
    return gradlab.check_cached_pair(forward, weighted_ce_backward, primals)


def _weighted_ce_prove():
    forward, primals = weighted_ce_data()
    return pair_proof(forward, weighted_ce_backward, primals, [0])


ENTRIES = [
    Stranger(
        "highway layer, gradients in a dict",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(highway_forward, highway_backward, highway_data()),
        lambda: pair_proof(
            highway_forward,
            highway_backward,
            highway_data(),
            range(5),
            lambda g: [g[k] for k in ("x", "W_h", "b_h", "W_t", "b_t")],
        ),
    ),
    Stranger(
        "polar coordinates, two outputs",
        "pair with cache, tuple of outputs",
        lambda gradlab: gradlab.check_cached_pair(polar_forward, polar_backward, polar_data()),
        lambda: pair_proof(polar_forward, polar_backward, polar_data(), [0, 1]),
    ),
    Stranger(
        "weighted cross entropy that skips label -1",
        "pair with cache, loss, functools.partial",
        _weighted_ce_call,
        _weighted_ce_prove,
    ),
    Stranger(
        "matrix of cosine similarities",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(
            cosine_matrix_forward, cosine_matrix_backward, cosine_matrix_data()
        ),
        lambda: pair_proof(cosine_matrix_forward, cosine_matrix_backward, cosine_matrix_data(), [0, 1]),
    ),
    Stranger(
        "gated linear recurrence with initial state",
        "pair with cache, recursion",
        lambda gradlab: gradlab.check_cached_pair(minrec_forward, minrec_backward, minrec_data()),
        lambda: pair_proof(minrec_forward, minrec_backward, minrec_data(), [0, 1, 2]),
    ),
    Stranger(
        "two heads of a VAE encoder: the weights of the second head get the first head's dout",
        "pair with cache, tuple of outputs",
        lambda gradlab: gradlab.check_cached_pair(heads_forward, heads_backward, heads_data()),
        lambda: pair_proof(heads_forward, heads_backward, heads_data(), [0, 1, 2]),
        "wrong",
        "dW_lv is computed from dmu where dlv belongs",
        ("wrong-cotangent",),
        ("W_lv", "dW_lv"),
    ),
    Stranger(
        "weighted bag of embeddings: repeated ids without np.add.at",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(bag_forward, bag_backward, bag_data()),
        lambda: pair_proof(bag_forward, bag_backward, bag_data(), [0, 1]),
        "wrong",
        "dtable[ids] += ... keeps only the last share of a repeated id",
        ("last-write-wins",),
        ("table", "dtable"),
    ),
    Stranger(
        "attention pooling: softmax backward without its normaliser",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(attnpool_forward, attnpool_backward, attnpool_data()),
        lambda: pair_proof(attnpool_forward, attnpool_backward, attnpool_data(), [0, 1]),
        "wrong",
        "de = a * da lacks - a * sum(a * da)",
        ("missing-term",),
        ("h", "v", "dh", "dv"),
    ),
    Stranger(
        "exposure and gamma of a picture: the clip is ignored",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(develop_forward, develop_backward, develop_data()),
        lambda: pair_proof(develop_forward, develop_backward, develop_data(), [0, 1, 2]),
        "wrong",
        "the gradient passes through the clip where it saturates",
        ("straight-through", "masked-region"),
        ("img", "gain", "dimg", "dgain"),
    ),
    Stranger(
        "PReLU: backward writes into dout",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(prelu_forward, prelu_backward, prelu_data()),
        lambda: [],
        "habit",
        "backward scales dout in place and returns it",
        ("mutates-argument", "aliases-memory"),
        ("dout",),
    ),
]
