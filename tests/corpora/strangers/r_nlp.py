"""Words, trees, topics, alignments."""

import numpy as np

from ._entry import Stranger
from ._help_r import poke


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


# ------------------------------------------------------- word2vec, assignment 2
def neg_sampling_loss_and_gradient(center_word_vec, outside_word_idx, outside_vectors, neg_idx):
    """Returns loss, grad_center_vec, grad_outside_vecs. Negative samples may repeat."""
    grad_center = np.zeros_like(center_word_vec)
    grad_outside = np.zeros_like(outside_vectors)
    s = sigmoid(outside_vectors[outside_word_idx] @ center_word_vec)
    loss = -np.log(s)
    grad_center += (s - 1) * outside_vectors[outside_word_idx]
    grad_outside[outside_word_idx] += (s - 1) * center_word_vec
    for k in neg_idx:
        s = sigmoid(-outside_vectors[k] @ center_word_vec)
        loss += -np.log(s)
        grad_center += (1 - s) * outside_vectors[k]
        grad_outside[k] += (1 - s) * center_word_vec
    return loss, grad_center, grad_outside


def skipgram(center_idx, outside_idxs, negs, center_vectors, outside_vectors):
    loss, gc, go = 0.0, np.zeros_like(center_vectors), np.zeros_like(outside_vectors)
    for o, neg in zip(outside_idxs, negs):
        l, c, g = neg_sampling_loss_and_gradient(center_vectors[center_idx], o, outside_vectors, neg)
        loss += l
        gc[center_idx] += c
        go += g
    return loss, gc, go


def word2vec_wrapper(word_vectors, windows):
    """The upper half are the center vectors, the lower half the outside ones."""
    half = word_vectors.shape[0] // 2
    loss, grad = 0.0, np.zeros(word_vectors.shape)
    for c, outs, negs in windows:
        l, gc, go = skipgram(c, outs, negs, word_vectors[:half], word_vectors[half:])
        loss += l / len(windows)
        grad[:half] += gc / len(windows)
        grad[half:] += go / len(windows)
    return loss, grad


WINDOWS = [(2, [0, 1], [[3, 4, 3], [4, 0, 2]]), (0, [3], [[1, 1, 4]]), (2, [4, 1], [[0, 2, 0], [3, 3, 3]])]


def _w2v():
    return np.random.default_rng(0).normal(size=(10, 3))


def _prove_w2v():
    W = _w2v()
    return [(word2vec_wrapper(W, WINDOWS)[1], poke(lambda: word2vec_wrapper(W, WINDOWS)[0], W))]


# ------------------------------------------------------- non-projective parser, matrix-tree theorem
def _laplacian(scores):
    A = np.exp(scores)
    np.fill_diagonal(A, 0)
    A[:, 0] = 0
    L = np.diag(A.sum(axis=0)) - A
    return A, L[1:, 1:]


def tree_nll(scores, heads):
    """scores[h, m]; token 0 is the root; heads[m - 1] is the head of m."""
    _, L = _laplacian(scores)
    gold = scores[heads, np.arange(1, len(heads) + 1)].sum()
    return np.linalg.slogdet(L)[1] - gold


def tree_nll_grad(scores, heads):
    A, L = _laplacian(scores)
    inv = np.linalg.inv(L)
    marg = np.zeros_like(scores)
    d = np.diag(inv)
    marg[0, 1:] = A[0, 1:] * d
    marg[1:, 1:] = A[1:, 1:] * (d[None, :] - inv.T)
    marg[heads, np.arange(1, len(heads) + 1)] -= 1
    return marg


def _tree():
    return np.random.default_rng(2).normal(size=(6, 6)), np.array([2, 0, 2, 3, 3])


def _prove_tree():
    S, heads = _tree()
    return [(tree_nll_grad(S, heads), poke(lambda: tree_nll(S, heads), S))]


# ------------------------------------------------------- tematicheskaya model
class TematicheskayaModel:
    """Smes' tem: p(slovo | dokument) = sum_k theta_k beta_k(slovo), vsyo cherez softmax."""

    def __init__(self, n_tem, n_slov):
        self.beta = np.random.default_rng(3).normal(size=(n_tem, n_slov))
        self.grad_beta = None

    def vpered(self, logity, schetchiki):
        self.n = schetchiki
        self.th = softmax(logity)
        self.be = softmax(self.beta)
        self.p = self.th @ self.be
        return -(schetchiki * np.log(self.p)).sum() / len(schetchiki)

    def nazad(self):
        dp = -self.n / self.p / len(self.n)
        dth = dp @ self.be.T
        dbe = self.th.T @ dp
        self.grad_beta = self.be * (dbe - (dbe * self.be).sum(1, keepdims=True))
        return self.th * (dth - (dth * self.th).sum(1, keepdims=True))


def _temy():
    r = np.random.default_rng(4)
    return TematicheskayaModel(3, 7), r.normal(size=(4, 3)), r.integers(0, 6, (4, 7))


def _prove_temy():
    m, lo, n = _temy()
    m.vpered(lo, n)
    d = m.nazad()
    f = lambda: m.vpered(lo, n)
    return [(d, poke(f, lo)), (m.grad_beta, poke(f, m.beta))]


# ------------------------------------------------------- recursive net over binary trees
class Node:
    __slots__ = ("word", "left", "right", "h")

    def __init__(self, t):
        if isinstance(t, tuple):
            self.word, self.left, self.right = None, Node(t[0]), Node(t[1])
        else:
            self.word = t


class RecursiveNet:
    def __init__(self, vocab, dim, seed=1):
        r = np.random.RandomState(seed)
        self.L = r.randn(vocab, dim) * 0.5
        self.W = r.randn(dim, 2 * dim) * 0.5
        self.b = r.randn(dim) * 0.1

    def forward(self, tree):
        self.root = Node(tree)
        return self._fprop(self.root)

    def _fprop(self, node):
        if node.word is not None:
            node.h = self.L[node.word].copy()
        else:
            lr = np.hstack([self._fprop(node.left), self._fprop(node.right)])
            node.h = np.tanh(self.W @ lr + self.b)
        return node.h

    def backward(self, delta):
        self.dL, self.dW, self.db = np.zeros_like(self.L), np.zeros_like(self.W), np.zeros_like(self.b)
        self._bprop(self.root, delta)

    def _bprop(self, node, delta):
        if node.word is not None:
            self.dL[node.word] += delta
            return
        delta = delta * (1 - node.h**2)
        self.dW += np.outer(delta, np.hstack([node.left.h, node.right.h]))
        self.db += delta
        down = self.W.T @ delta
        self._bprop(node.left, down[: len(self.b)])
        self._bprop(node.right, down[len(self.b) :])


def _rnn():
    return RecursiveNet(6, 3), ((0, (3, 2)), ((1, 3), 5))


def _prove_rnn():
    net, t = _rnn()
    g = np.array([0.7, -1.1, 0.4])
    net.forward(t)
    net.backward(g)
    f = lambda: net.forward(t)
    return [(net.dL, poke(f, net.L, g)), (net.dW, poke(f, net.W, g)), (net.db, poke(f, net.b, g))]


# ------------------------------------------------------- fastText style bag of n-gram ids
class SubwordBag:
    """Mean of the rows of each bag; offsets as in torch.nn.EmbeddingBag."""

    def __init__(self, buckets, dim):
        self.weight = np.random.default_rng(6).uniform(-1, 1, (buckets, dim))
        self.weight_grad = np.zeros_like(self.weight)

    def forward(self, ids, offsets):
        bounds = np.append(offsets, len(ids))
        self.ids, self.size = ids, np.diff(bounds)
        self.bag = np.repeat(np.arange(len(offsets)), self.size)
        out = np.zeros((len(offsets), self.weight.shape[1]))
        np.add.at(out, self.bag, self.weight[ids])
        return out / self.size[:, None]

    def backward(self, grad_output):
        self.weight_grad.fill(0)
        np.add.at(self.weight_grad, self.ids, (grad_output / self.size[:, None])[self.bag])


def _bag():
    return SubwordBag(8, 3), np.array([1, 5, 5, 0, 7, 1, 2]), np.array([0, 3, 4])


def _prove_bag():
    bag, ids, off = _bag()
    g = np.random.default_rng(7).normal(size=(3, 3))
    bag.forward(ids, off)
    bag.backward(g)
    return [(bag.weight_grad, poke(lambda: bag.forward(ids, off), bag.weight, g))]


# ------------------------------------------------------- ierarhicheskij softmax
def sdelat_ierarhiyu(puti, kody, vektory):
    """puti[i], kody[i]: uzly i bity (0/1) dlya i-go slova; vektory[i]: ego kontekst."""

    def poteri(U):
        summa = 0.0
        for put, kod, h in zip(puti, kody, vektory):
            znak = 1 - 2 * np.asarray(kod)
            summa += np.log1p(np.exp(-znak * (U[put] @ h))).sum()
        return summa

    def gradient(U):
        dU = np.zeros_like(U)
        for put, kod, h in zip(puti, kody, vektory):
            oshibka = sigmoid(U[put] @ h) - (1 - np.asarray(kod))
            dU[put] += np.outer(oshibka, h)  # v puti uzly ne povtoryayutsya
        return dU

    return poteri, gradient


def _derevo():
    r = np.random.default_rng(9)
    puti, kody = [[0, 1], [0, 2, 3], [0, 1], [0, 2, 4]], [[0, 1], [1, 0, 1], [0, 0], [1, 1, 0]]
    return *sdelat_ierarhiyu(puti, kody, r.normal(size=(4, 3))), r.normal(size=(5, 3))


def _prove_derevo():
    f, df, U = _derevo()
    return [(df(U), poke(lambda: f(U), U))]


# ------------------------------------------------------- GloVe
class GloVe:
    def __init__(self, cooc, dim, x_max=20.0):
        r, V = np.random.RandomState(8), len(cooc)
        self.cooc, self.x_max = cooc, x_max
        self.params = dict(W=r.randn(V, dim), C=r.randn(V, dim), bw=r.randn(V), bc=r.randn(V))
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}

    def forward(self, i, j):
        p = self.params
        x = self.cooc[i, j]
        f = np.minimum(1.0, (x / self.x_max) ** 0.75)
        diff = (p["W"][i] * p["C"][j]).sum(1) + p["bw"][i] + p["bc"][j] - np.log(x)
        self.cache = i, j, f * diff
        return 0.5 * np.sum(f * diff**2)

    def backward(self):
        i, j, fd = self.cache
        for g in self.grads.values():
            g[...] = 0
        self.grads["W"][i] = fd[:, None] * self.params["C"][j]
        np.add.at(self.grads["C"], j, fd[:, None] * self.params["W"][i])
        np.add.at(self.grads["bw"], i, fd)
        np.add.at(self.grads["bc"], j, fd)


def _glove():
    cooc = np.random.RandomState(3).randint(1, 30, (5, 5)).astype(float)
    return GloVe(cooc, 3), np.array([0, 0, 1, 4, 2, 4]), np.array([1, 3, 3, 2, 2, 0])


def _prove_glove():
    m, i, j = _glove()
    m.forward(i, j)
    m.backward()
    return [(m.grads[k].copy(), poke(lambda: m.forward(i, j), v)) for k, v in m.params.items()]


# ------------------------------------------------------- IBM model 1 s logitami
def ibm1_poteri(logity, pary):
    """logity[e, f]; pary - spisok (angl. slova, russkie slova)."""
    t = softmax(logity, axis=1)
    return -sum(np.log(t[e][:, f].mean(axis=0)).sum() for e, f in pary)


def ibm1_gradient(logity, pary):
    t = softmax(logity, axis=1)
    schet = np.zeros_like(t)
    for e, f in pary:
        veroyatnost = t[e][:, f] / t[e][:, f].sum(axis=0)
        for a, slovo in enumerate(e):
            np.add.at(schet[slovo], f, veroyatnost[a])
    return t - schet


def _ibm():
    pary = [([0, 1, 3], [2, 0, 1]), ([0, 2], [2, 2, 3, 4]), ([1, 1, 3], [0, 4])]
    return np.random.default_rng(15).normal(size=(4, 5)), pary


def _prove_ibm():
    lo, pary = _ibm()
    return [(ibm1_gradient(lo, pary), poke(lambda: ibm1_poteri(lo, pary), lo))]


# ------------------------------------------------------- HMM 품사 태거
class HmmTagger:
    """은닉 마르코프 모델의 음의 로그 우도 (스케일링 사용)."""

    def __init__(self, n_tags, n_words):
        r = np.random.default_rng(12)
        self.params = {
            "init": r.normal(size=n_tags),
            "trans": r.normal(size=(n_tags, n_tags)),
            "emit": r.normal(size=(n_tags, n_words)),
        }
        self.grads = {}

    def forward(self, obs):
        self.obs = obs
        self.pi, self.A, self.B = (softmax(self.params[k]) for k in ("init", "trans", "emit"))
        self.alpha, self.c = np.zeros((len(obs), len(self.pi))), np.zeros(len(obs))
        for t, o in enumerate(obs):
            a = (self.pi if t == 0 else self.alpha[t - 1] @ self.A) * self.B[:, o]
            self.c[t] = a.sum()
            self.alpha[t] = a / self.c[t]
        return -np.log(self.c).sum()

    def backward(self):
        obs, A, B = self.obs, self.A, self.B
        beta = np.ones_like(self.alpha)
        xi, gamma_o = np.zeros_like(A), np.zeros_like(B)
        # 뒤에서부터 베타 계산
        for t in range(len(obs) - 2, -1, -1):
            beta[t] = A @ (B[:, obs[t + 1]] * beta[t + 1]) / self.c[t + 1]
        for t in range(len(obs) - 1):
            xi += self.alpha[t][:, None] * A * (B[:, obs[t]] * beta[t + 1]) / self.c[t + 1]
        gamma = self.alpha * beta
        for t, o in enumerate(obs):
            gamma_o[:, o] += gamma[t]
        self.grads["init"] = self.pi - gamma[0]
        self.grads["trans"] = xi.sum(1, keepdims=True) * A - xi
        self.grads["emit"] = gamma_o.sum(1, keepdims=True) * B - gamma_o


def _hmm():
    return HmmTagger(3, 4), np.array([1, 0, 3, 2, 2, 1, 0])


def _prove_hmm():
    m, obs = _hmm()
    m.forward(obs)
    m.backward()
    g = dict(m.grads)
    return [(g[k], poke(lambda: m.forward(obs), v)) for k, v in m.params.items()]


# ------------------------------------------------------- biaffine arc scorer
def biaffine_forward(heads, mods, U, u):
    scores = heads @ U @ mods.T + (heads @ u)[:, None]
    return scores, (heads, mods, U, u)


def biaffine_backward(dscores, cache):
    heads, mods, U, u = cache
    drow = dscores.sum(axis=1)
    return {
        "heads": dscores @ mods @ U.T + np.outer(drow, u),
        "mods": dscores.T @ heads @ U,
        "U": mods.T @ dscores.T @ heads,
        "u": heads.T @ drow,
    }


def _biaffine():
    r = np.random.default_rng(16)
    return r.normal(size=(5, 3)), r.normal(size=(4, 3)), r.normal(size=(3, 3)), r.normal(size=3)


def _prove_biaffine():
    p = _biaffine()
    g = np.random.default_rng(17).normal(size=(5, 4))
    d = biaffine_backward(g, biaffine_forward(*p)[1])
    f = lambda: biaffine_forward(*p)[0]
    return [(d[k], poke(f, a, g)) for k, a in zip(("heads", "mods", "U", "u"), p)]


# ------------------------------------------------------- ELMo scalar mix
class ScalarMix:
    def __init__(self, n_layers):
        self.w = np.linspace(-0.5, 0.8, n_layers)
        self.gamma = np.array([1.4])

    def __call__(self, reps):  # (n_layers, tokens, dim)
        self.reps, self.s = reps, softmax(self.w)
        self.mix = np.tensordot(self.s, reps, axes=1)
        return self.gamma * self.mix

    def backward(self, dout):
        self.dgamma = np.array([np.sum(dout * self.mix)])
        dmix = self.gamma * dout
        ds = np.array([np.sum(dmix * layer) for layer in self.reps])
        self.dw = ds
        return self.s[:, None, None] * dmix


def _mix():
    return ScalarMix(3), np.random.default_rng(18).normal(size=(3, 4, 2))


def _prove_mix():
    m, x = _mix()
    g = np.random.default_rng(19).normal(size=(4, 2))
    m(x)
    dx = m.backward(g)
    f = lambda: m(x)
    return [(dx, poke(f, x, g)), (m.dw, poke(f, m.w, g)), (m.dgamma, poke(f, m.gamma, g))]


ENTRIES = [
    Stranger(
        "r word2vec with negative samples",
        "f returns loss and gradient of a matrix",
        lambda gradlab: gradlab.check_gradient(lambda W: word2vec_wrapper(W, WINDOWS), True, _w2v()),
        _prove_w2v,
    ),
    Stranger(
        "r matrix-tree parser",
        "f and grad of a matrix, args",
        lambda gradlab: gradlab.check_gradient(tree_nll, tree_nll_grad, _tree()[0], args=(_tree()[1],)),
        _prove_tree,
    ),
    Stranger(
        "r tematicheskaya model",
        "loss layer with Russian methods, told",
        lambda gradlab: gradlab.check_layer(*_temy(), forward="vpered", backward="nazad"),
        _prove_temy,
    ),
    Stranger(
        "r recursive net over trees",
        "net whose input is a nested tuple",
        lambda gradlab: gradlab.check_layer(*_rnn()),
        _prove_rnn,
    ),
    Stranger(
        "r subword bag with offsets",
        "layer with ids and offsets",
        lambda gradlab: gradlab.check_layer(*_bag()),
        _prove_bag,
    ),
    Stranger(
        "r ierarhicheskij softmax",
        "two closures",
        lambda gradlab: gradlab.check_gradient(*_derevo()),
        _prove_derevo,
    ),
    Stranger(
        "r GloVe: repeated words lost",
        "loss layer of indices with dicts",
        lambda gradlab: gradlab.check_layer(*_glove()),
        _prove_glove,
        "wrong",
        "repeated row indices overwrite each other",
        ("last-write-wins",),
        ("W",),
        '        self.grads["W"][i] = fd[:, None] * self.params["C"][j]',
        '        np.add.at(self.grads["W"], i, fd[:, None] * self.params["C"][j])',
    ),
    Stranger(
        "r IBM model 1: total count left out",
        "f and grad of a matrix, args a list of pairs",
        lambda gradlab: gradlab.check_gradient(ibm1_poteri, ibm1_gradient, _ibm()[0], args=(_ibm()[1],)),
        _prove_ibm,
        "wrong",
        "the softmax is not multiplied by the row's total count",
        ("missing-factor",),
        ("logity",),
        "    return t - schet",
        "    return t * schet.sum(axis=1, keepdims=True) - schet",
    ),
    Stranger(
        "r HMM tagger: emission of the wrong time step",
        "loss layer of integers with dicts",
        lambda gradlab: gradlab.check_layer(*_hmm()),
        _prove_hmm,
        "wrong",
        "the pair posterior takes the emission at t, not at t + 1",
        ("wrong-operand", "shifted"),
        ("trans",),
        "            xi += self.alpha[t][:, None] * A * (B[:, obs[t]] * beta[t + 1]) / self.c[t + 1]",
        "            xi += self.alpha[t][:, None] * A * (B[:, obs[t + 1]] * beta[t + 1]) / self.c[t + 1]",
    ),
    Stranger(
        "r biaffine arc scorer: U transposed",
        "pair with cache, dict of gradients",
        lambda gradlab: gradlab.check_cached_pair(biaffine_forward, biaffine_backward, _biaffine()),
        _prove_biaffine,
        "wrong",
        "the gradient of U is transposed",
        ("transposed",),
        ("U",),
        '        "U": mods.T @ dscores.T @ heads,',
        '        "U": heads.T @ dscores @ mods,',
    ),
    Stranger(
        "r scalar mix: softmax of the weights passed over",
        "callable layer",
        lambda gradlab: gradlab.check_layer(*_mix()),
        _prove_mix,
        "wrong",
        "the gradient by the mixing proportions is given for that by the logits, without the softmax",
        ("straight-through", "missing-factor", "missing-term"),
        ("w",),
        "        self.dw = ds",
        "        self.dw = self.s * (ds - np.sum(self.s * ds))",
    ),
]
