"""Language: tagging, word vectors, attention, recurrent cells."""

import numpy as np
from scipy import sparse
from scipy.special import logsumexp

from ._entry import Stranger
from ._help_n import diff, rand


# ======== 固有表現抽出用の CRF 層
class LinearChainCRF:
    """負の対数尤度（バッチの平均）。emit: (N, T, K)、tags: (N, T)"""

    def __init__(self, K, rng):
        遷移 = rng.normal(0, 0.7, (K, K))
        始 = rng.normal(0, 0.7, K)
        終 = rng.normal(0, 0.7, K)
        self.params = [遷移, 始, 終]
        self.grads = [np.zeros_like(p) for p in self.params]

    def forward(self, emit, tags):
        遷移, 始, 終 = self.params
        N, T, K = emit.shape
        前 = np.zeros((N, T, K))
        後 = np.zeros((N, T, K))
        前[:, 0] = 始 + emit[:, 0]
        for t in range(1, T):
            前[:, t] = logsumexp(前[:, t - 1, :, None] + 遷移, axis=1) + emit[:, t]
        後[:, T - 1] = 終
        for t in range(T - 2, -1, -1):
            後[:, t] = logsumexp(遷移 + (emit[:, t + 1] + 後[:, t + 1])[:, None, :], axis=2)
        logZ = logsumexp(前[:, -1] + 終, axis=1)
        n = np.arange(N)
        score = 始[tags[:, 0]] + 終[tags[:, -1]] + emit[n, 0, tags[:, 0]]
        for t in range(1, T):
            score = score + 遷移[tags[:, t - 1], tags[:, t]] + emit[n, t, tags[:, t]]
        self.cache = emit, tags, 前, 後, logZ
        return np.mean(logZ - score)

    def backward(self, dout=1):
        emit, tags, 前, 後, logZ = self.cache
        遷移, _, _ = self.params
        N, T, K = emit.shape
        n = np.arange(N)
        周辺 = np.exp(前 + 後 - logZ[:, None, None])
        for t in range(T):
            周辺[n, t, tags[:, t]] -= 1
        周辺 *= dout / N
        d遷移 = np.zeros_like(遷移)
        for t in range(1, T):
            対 = 前[:, t - 1, :, None] + 遷移 + (emit[:, t] + 後[:, t])[:, None, :]
            d遷移 += np.exp(対 - logZ[:, None, None]).sum(axis=0)
            np.subtract.at(d遷移, (tags[:, t - 1], tags[:, t]), 1)
        self.grads[0][...] = d遷移 * dout / N
        self.grads[1][...] = 周辺[:, 0].sum(axis=0)
        self.grads[2][...] = 周辺[:, -1].sum(axis=0)
        return 周辺


def crf():
    層 = LinearChainCRF(3, np.random.default_rng(1))
    return 層, rand(2, 2, 5, 3), np.array([[0, 1, 1, 2, 0], [2, 2, 1, 0, 0]])


def prove_crf():
    m, emit, tags = crf()
    m.forward(emit, tags)
    f = lambda: m.forward(emit, tags)  # noqa: E731
    return [(m.backward(), diff(f, emit))] + [(g, diff(f, p)) for p, g in zip(m.params, m.grads)]


# ======== cs224n, a2
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def negSamplingLossAndGradient(centerWordVec, outsideWordIdx, outsideVectors, negSampleWordIndices):
    """A negative word may have been drawn more than once, it counts each time then."""
    indices = [outsideWordIdx] + list(negSampleWordIndices)
    sign = -np.ones(len(indices))
    sign[0] = 1
    u = outsideVectors[indices]
    p = sigmoid(sign * (u @ centerWordVec))
    loss = -np.sum(np.log(p))
    coef = -sign * (1 - p)
    gradCenterVec = u.T @ coef
    gradOutsideVecs = np.zeros_like(outsideVectors)
    np.add.at(gradOutsideVecs, indices, np.outer(coef, centerWordVec))
    return loss, gradCenterVec, gradOutsideVecs


def loss_of_outside(U, v, o, neg):
    loss, _, gradU = negSamplingLossAndGradient(v, o, U, neg)
    return loss, gradU


def prove_neg():
    U, v, neg = rand(1, 6, 4), rand(2, 4), [4, 1, 4, 0]
    _, gv, gU = negSamplingLossAndGradient(v, 2, U, neg)
    f = lambda: negSamplingLossAndGradient(v, 2, U, neg)[0]  # noqa: E731
    return [(gv, diff(f, v)), (gU, diff(f, U))]


# ======== fastText-like bag of n-grams with a row-sparse gradient
class EmbeddingBagMean:
    def __init__(self, weight):
        self.weight = weight
        self.grad_weight = None  # csr, (V, D)

    def forward(self, ids, offsets):
        n = len(offsets)
        sizes = np.diff(np.append(offsets, len(ids)))
        bag = np.repeat(np.arange(n), sizes)
        self.M = sparse.csr_matrix((1.0 / sizes[bag], (bag, ids)), shape=(n, len(self.weight)))
        return self.M @ self.weight

    def backward(self, grad_output):
        self.grad_weight = self.M.T.tocsr() @ sparse.csr_matrix(grad_output)


def bags():
    return EmbeddingBagMean(rand(3, 8, 3)), np.array([5, 1, 5, 0, 7, 2, 2]), np.array([0, 3, 5])


def prove_bag():
    bag, ids, off = bags()
    g = rand(4, *bag.forward(ids, off).shape)
    bag.backward(g)
    return [(bag.grad_weight.toarray(), diff(lambda: bag.forward(ids, off) * g, bag.weight))]


# ======== rotary scores
def _rotate(x, angle):
    a, b = x[..., ::2], x[..., 1::2]
    c, s = np.cos(angle), np.sin(angle)
    out = np.empty_like(x)
    out[..., ::2], out[..., 1::2] = a * c - b * s, a * s + b * c
    return out


def rope_scores(q, k, base=100.0):
    d = q.shape[-1]
    freq = base ** (-np.arange(0, d, 2) / d)
    aq, ak = np.outer(np.arange(q.shape[-2]), freq), np.outer(np.arange(k.shape[-2]), freq)
    rq, rk = _rotate(q, aq), _rotate(k, ak)
    return rq @ np.swapaxes(rk, -1, -2) / np.sqrt(d), (rq, rk, aq, ak)


def rope_scores_vjp(residuals, g):
    rq, rk, aq, ak = residuals
    g = g / np.sqrt(rq.shape[-1])
    return _rotate(g @ rk, -aq), _rotate(np.swapaxes(g, -1, -2) @ rq, -ak)


def prove_rope():
    q, k, g = rand(1, 2, 3, 4), rand(2, 2, 5, 4), rand(3, 2, 3, 5)
    f = lambda: rope_scores(q, k)[0] * g  # noqa: E731
    grads = rope_scores_vjp(rope_scores(q, k)[1], g)
    return [(grads[0], diff(f, q)), (grads[1], diff(f, k))]


# ======== QRNN pooling, in the manner of tf.custom_gradient
def fo_pool(z, f, o):
    """z, f, o: (T, N, H). Returns h and the function grad(dh)."""
    c = np.zeros((len(z) + 1, *z.shape[1:]))
    for t in range(len(z)):
        c[t + 1] = f[t] * c[t] + (1 - f[t]) * z[t]

    def grad(dh):
        dz, df = np.empty_like(z), np.empty_like(f)
        carry = np.zeros_like(z[0])
        for t in range(len(z) - 1, -1, -1):
            carry = carry + dh[t] * o[t]
            dz[t] = carry * (1 - f[t])
            df[t] = carry * (c[t] - z[t])
            carry = carry * f[t]
        return dz, df, dh * c[1:]

    return o * c[1:], grad


def qrnn_data():
    return rand(1, 4, 2, 3), sigmoid(rand(2, 4, 2, 3)), sigmoid(rand(3, 4, 2, 3))


def prove_qrnn():
    args, g = qrnn_data(), rand(4, 4, 2, 3)
    return [(d, diff(lambda: fo_pool(*args)[0] * g, a)) for d, a in zip(fo_pool(*args)[1](g), args)]


# ======== word2vec, CBOW（练习）
class CBOW:
    def __init__(self, V, H):
        rng = np.random.default_rng(0)
        self.params = {"W_in": rng.normal(0, 0.6, (V, H)), "W_out": rng.normal(0, 0.6, (H, V))}
        self.grads = {}

    def forward(self, contexts, target):
        self.contexts, self.target = contexts, target
        self.h = self.params["W_in"][contexts].mean(axis=1)  # 上下文词向量取平均
        s = self.h @ self.params["W_out"]
        s = s - s.max(axis=1, keepdims=True)
        self.p = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
        return -np.log(self.p[np.arange(len(target)), target]).mean()

    def backward(self, dout=1):
        n, c = self.contexts.shape
        ds = self.p.copy()
        ds[np.arange(n), self.target] -= 1
        ds *= dout / n
        self.grads["W_out"] = self.h.T @ ds
        dh = ds @ self.params["W_out"].T / c  # 平均的梯度
        dW = np.zeros_like(self.params["W_in"])
        dW[self.contexts] += dh[:, None, :]
        self.grads["W_in"] = dW


def cbow():
    ctx = np.array([[0, 2, 3, 4], [2, 1, 4, 5], [1, 0, 0, 5]])
    return CBOW(7, 3), ctx, np.array([1, 3, 2])


def prove_cbow():
    m, ctx, target = cbow()
    m.forward(ctx, target)
    m.backward()
    return [(m.grads[k], diff(lambda: m.forward(ctx, target), m.params[k])) for k in m.params]


# ======== Luong attention, "general"
class GeneralAttention:
    def __init__(self, hidden, rng):
        self.W = rng.normal(0, 0.6, (hidden, hidden))
        self.grad_W = np.zeros_like(self.W)

    def forward(self, dec, enc):
        self.dec, self.enc = dec, enc
        e = np.einsum("nth,hk,nsk->nts", dec, self.W, enc)
        e = np.exp(e - e.max(-1, keepdims=True))
        self.alpha = e / e.sum(-1, keepdims=True)
        return self.alpha @ enc

    def backward(self, grad):
        d_alpha = np.einsum("ntk,nsk->nts", grad, self.enc)
        d_e = self.alpha * (d_alpha - np.sum(d_alpha * self.alpha, -1, keepdims=True))
        self.grad_W = np.einsum("nts,nth,nsk->kh", d_e, self.dec, self.enc)
        d_dec = np.einsum("nts,hk,nsk->nth", d_e, self.W, self.enc)
        d_enc = np.einsum("nts,ntk->nsk", self.alpha, grad)
        d_enc += np.einsum("nts,nth,hk->nsk", d_e, self.dec, self.W)
        return d_dec, d_enc


def prove_luong():
    m, dec, enc = GeneralAttention(3, np.random.default_rng(1)), rand(2, 2, 3, 3), rand(3, 2, 4, 3)
    g = rand(4, 2, 3, 3)
    m.forward(dec, enc)
    d_dec, d_enc = m.backward(g)
    f = lambda: m.forward(dec, enc) * g  # noqa: E731
    return [(d_dec, diff(f, dec)), (d_enc, diff(f, enc)), (m.grad_W, diff(f, m.W))]


# ======== GRU cell (Keras order: z, r, n)
def gru_step_forward(x, h, Wx, Wh, b):
    H = h.shape[1]
    Wz, Wr, Wn = np.split(Wx, 3, axis=1)
    Uz, Ur, Un = np.split(Wh, 3, axis=1)
    z = sigmoid(x @ Wz + h @ Uz + b[:H])
    r = sigmoid(x @ Wr + h @ Ur + b[H : 2 * H])
    n = np.tanh(x @ Wn + (r * h) @ Un + b[2 * H :])
    return z * h + (1 - z) * n, (x, h, Wx, Wh, z, r, n)


def gru_step_backward(dh_next, cache):
    x, h, Wx, Wh, z, r, n = cache
    Wz, Wr, Wn = np.split(Wx, 3, axis=1)
    Uz, Ur, Un = np.split(Wh, 3, axis=1)
    dn = dh_next * (1 - z) * (1 - n**2)
    dz = dh_next * (h - n) * z * (1 - z)
    drh = dn @ Un.T
    dr = drh * h * r * (1 - r)
    dx = dz @ Wz.T + dr @ Wr.T + dn @ Wn.T
    dh = dh_next * z + drh * r + dz @ Uz.T + dr @ Ur.T
    gates = np.hstack([dr, dz, dn])
    dWh = np.hstack([h.T @ dz, h.T @ dr, (r * h).T @ dn])
    return dx, dh, x.T @ gates, dWh, gates.sum(axis=0)


def gru_data():
    return rand(1, 2, 3), rand(2, 2, 4), 0.5 * rand(3, 3, 12), 0.5 * rand(4, 4, 12), 0.5 * rand(5, 12)


def prove_gru():
    args, g = gru_data(), rand(6, 2, 4)
    grads = gru_step_backward(g, gru_step_forward(*args)[1])
    return [(d, diff(lambda: gru_step_forward(*args)[0] * g, a)) for d, a in zip(grads, args)]


# ======== focal loss for rare tags
class FocalTagLoss:
    def __init__(self, gamma=2.0, ignore_index=-100):
        self.gamma, self.ignore_index = gamma, ignore_index

    def forward(self, logits, labels):
        self.keep = labels != self.ignore_index
        self.shape = logits.shape
        x, self.y = logits[self.keep], labels[self.keep]
        x = x - x.max(-1, keepdims=True)
        self.p = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
        self.pt = self.p[np.arange(len(self.y)), self.y]
        self.w = (1 - self.pt) ** self.gamma
        return np.mean(self.w * -np.log(self.pt))

    def backward(self, dout=1.0):
        coef = self.w
        d = self.p.copy()
        d[np.arange(len(self.y)), self.y] -= 1
        dlogits = np.zeros(self.shape)
        dlogits[self.keep] = dout * coef[:, None] * d / len(self.y)
        return dlogits


LABELS = np.array([[0, 2, -100], [1, 1, 2]])


def prove_focal():
    loss, x = FocalTagLoss(), rand(9, 2, 3, 3)
    loss.forward(x, LABELS)
    return [(loss.backward(), diff(lambda: loss.forward(x, LABELS), x))]


# ======== zeroes what lies behind the end of a sentence
class PaddingMask:
    def forward(self, x, lengths):
        self.pad = np.arange(x.shape[1])[None, :] >= np.asarray(lengths)[:, None]
        return np.where(self.pad[..., None], 0.0, x)

    def backward(self, dout):
        dout[self.pad] = 0.0
        return dout


ENTRIES = [
    Stranger(
        "n: linear-chain CRF with Japanese names",
        "loss layer, lists params and grads",
        lambda gradlab: gradlab.check_layer(*crf()),
        prove_crf,
    ),
    Stranger(
        "n: negative sampling of cs224n with repeats",
        "f that returns loss and gradient, args",
        lambda gradlab: gradlab.check_gradient(
            loss_of_outside, True, rand(1, 6, 4), args=(rand(2, 4), 2, [4, 1, 4, 0])
        ),
        prove_neg,
    ),
    Stranger(
        "n: embedding bag with a sparse gradient",
        "layer with a csr gradient",
        lambda gradlab: gradlab.check_layer(*bags()),
        prove_bag,
    ),
    Stranger(
        "n: rotary attention scores",
        "node contract",
        lambda gradlab: gradlab.check_vjp(rope_scores, rope_scores_vjp, (rand(1, 2, 3, 4), rand(2, 2, 5, 4))),
        prove_rope,
    ),
    Stranger(
        "n: QRNN pooling that returns its gradient function",
        "pair whose cache is a closure",
        lambda gradlab: gradlab.check_cached_pair(fo_pool, lambda dout, grad: grad(dout), qrnn_data()),
        prove_qrnn,
    ),
    Stranger(
        "n: CBOW: repeated context words lost",
        "loss layer with dicts params and grads",
        lambda gradlab: gradlab.check_layer(*cbow()),
        prove_cbow,
        "wrong",
        "dW[contexts] += keeps only the last of a word's repeats",
        ("last-write-wins",),
        ("W_in",),
        "        dW[self.contexts] += dh[:, None, :]",
        "        np.add.at(dW, self.contexts, dh[:, None, :])",
    ),
    Stranger(
        "n: Luong attention: gradient of W transposed",
        "layer of two inputs, W and grad_W",
        lambda gradlab: gradlab.check_layer(
            GeneralAttention(3, np.random.default_rng(1)), rand(2, 2, 3, 3), rand(3, 2, 4, 3)
        ),
        prove_luong,
        "wrong",
        "the gradient of the square W is transposed",
        ("transposed",),
        ("W",),
        '        self.grad_W = np.einsum("nts,nth,nsk->kh", d_e, self.dec, self.enc)',
        '        self.grad_W = np.einsum("nts,nth,nsk->hk", d_e, self.dec, self.enc)',
    ),
    Stranger(
        "n: GRU step: gates stacked in another order",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(gru_step_forward, gru_step_backward, gru_data()),
        prove_gru,
        "wrong",
        "Wx and b are stacked z, r, n and their gradients r, z, n",
        ("columns-exchanged",),
        ("Wx", "b"),
        "    gates = np.hstack([dr, dz, dn])",
        "    gates = np.hstack([dz, dr, dn])",
    ),
    Stranger(
        "n: focal loss of tags: weight taken for a constant",
        "loss layer with ignore_index",
        lambda gradlab: gradlab.check_layer(FocalTagLoss(), rand(9, 2, 3, 3), LABELS),
        prove_focal,
        "wrong",
        "the focal weight (1 - p)**gamma is not differentiated",
        ("missing-term",),
        ("logits",),
        "        coef = self.w\n",
        "        coef = self.w - self.gamma * (1 - self.pt) ** (self.gamma - 1)"
        " * self.pt * np.log(self.pt)\n",
    ),
    Stranger(
        "n: padding mask: zeroes dout in place",
        "layer with lengths",
        lambda gradlab: gradlab.check_layer(PaddingMask(), rand(1, 3, 4, 2), np.array([2, 4, 3])),
        lambda: [],
        "habit",
        "backward writes zeros into the dout that it was given",
        ("mutates-argument",),
        ("x",),
        "        dout[self.pad] = 0.0\n        return dout",
        "        return np.where(self.pad[..., None], 0.0, dout)",
    ),
]
