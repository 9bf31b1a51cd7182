"""Text, speech, embeddings: exercises and notebooks in several languages."""

import numpy as np

from ._entry import Stranger
from ._help_z import losses, num, pairs


def sig(z):
    return 1 / (1 + np.exp(-z))


class SkipGramm:
    """Übung 4: Skip-Gramm mit negativen Beispielen."""

    def __init__(self, woerter, breite, saat=0):
        zufall = np.random.default_rng(saat)
        self.E = zufall.normal(0, 0.5, (woerter, breite))  # Mitte
        self.A = zufall.normal(0, 0.5, (woerter, breite))  # Umgebung

    def vorwaerts(self, mitte, umgebung, negativ):
        self.merke = mitte, umgebung, negativ
        e = self.E[mitte]
        self.pos = np.sum(e * self.A[umgebung], axis=1)
        self.neg = np.einsum("bd,bkd->bk", e, self.A[negativ])
        return (np.logaddexp(0, -self.pos).sum() + np.logaddexp(0, self.neg).sum()) / len(mitte)

    def rueckwaerts(self):
        mitte, umgebung, negativ = self.merke
        e, n = self.E[mitte], len(mitte)
        dp = (sig(self.pos) - 1)[:, None] / n
        dn = sig(self.neg)[:, :, None] / n
        dE, dA = np.zeros_like(self.E), np.zeros_like(self.A)
        np.add.at(dE, mitte, dp * self.A[umgebung] + (dn * self.A[negativ]).sum(axis=1))
        np.add.at(dA, umgebung, dp * e)
        np.add.at(dA, negativ, dn * e[:, None, :])
        return {"E": dE, "A": dA}


SGNS = np.array([1, 4, 1]), np.array([2, 0, 3]), np.array([[5, 5], [3, 6], [0, 2]])


def beweis_skipgramm():
    m = SkipGramm(7, 3)
    return losses(lambda: m.vorwaerts(*SGNS), lambda: m.rueckwaerts().values(), m.E, m.A)


class MoyenneCausaleMultiTete:
    """Chaque tête fait la moyenne causale de ses canaux, avec un gain par tête."""

    def __init__(self, tetes, dim, graine=0):
        self.H = tetes
        self.gain = np.random.default_rng(graine).uniform(0.5, 1.5, (tetes, 1, 1))

    def forward(self, x):
        B, T, D = x.shape
        self.z = x.reshape(B, T, self.H, D // self.H).transpose(0, 2, 1, 3)
        self.poids = np.tril(np.ones((T, T))) / np.arange(1, T + 1)[:, None]
        self.m = self.poids @ self.z
        return (self.gain * self.m).transpose(0, 2, 1, 3).reshape(B, T, D)

    def backward(self, dout):
        B, T, D = dout.shape
        d = dout.reshape(B, self.H, T, D // self.H)
        self.dgain = (d * self.m).sum(axis=(0, 2, 3)).reshape(self.gain.shape)
        dz = self.poids.T @ (self.gain * d)
        return dz.transpose(0, 2, 1, 3).reshape(B, T, D)


def entree_tetes():
    return np.random.default_rng(3).standard_normal((2, 5, 6))


def preuve_tetes():
    c, x = MoyenneCausaleMultiTete(2, 6), entree_tetes()
    return pairs(lambda: c.forward(x), lambda g: (c.backward(g), c.dgain), x, c.gain)


def lse(a, asse):
    m = a.max(axis=asse, keepdims=True)
    return np.squeeze(m, asse) + np.log(np.exp(a - m).sum(axis=asse))


def crf_avanti(emissioni, transizioni, etichette):
    """-log p(etichette) di un CRF a catena; algoritmo avanti-indietro."""
    T, K = emissioni.shape
    alfa, beta = emissioni.copy(), np.zeros((T, K))
    for t in range(1, T):
        alfa[t] += lse(alfa[t - 1][:, None] + transizioni, 0)
    for t in range(T - 2, -1, -1):
        beta[t] = lse(transizioni + emissioni[t + 1] + beta[t + 1], 1)
    logz = lse(alfa[-1], 0)
    punti = emissioni[np.arange(T), etichette].sum() + transizioni[etichette[:-1], etichette[1:]].sum()
    return logz - punti, (emissioni, transizioni, etichette, alfa, beta, logz)


def crf_indietro(dperdita, memoria):
    em, tr, et, alfa, beta, logz = memoria
    dem = np.exp(alfa + beta - logz)
    dem[np.arange(len(et)), et] -= 1
    coppie = np.exp(alfa[:-1, :, None] + tr + (em + beta)[1:, None, :] - logz)
    dtr = coppie.sum(axis=0)
    np.subtract.at(dtr, (et[:-1], et[1:]), 1)
    return dperdita * dem, dperdita * dtr


def dati_crf():
    r = np.random.default_rng(5)
    return r.standard_normal((6, 4)), r.standard_normal((4, 4)), np.array([0, 2, 2, 2, 3, 1])


def prova_crf():
    em, tr, et = dati_crf()
    indietro = lambda: crf_indietro(1.0, crf_avanti(em, tr, et)[1])  # noqa: E731
    return losses(lambda: crf_avanti(em, tr, et)[0], indietro, em, tr)


def desempaquetar(theta, n):
    d = (len(theta) - 2 * n) // (2 * n)
    W, C = theta[: n * d].reshape(n, d), theta[n * d : 2 * n * d].reshape(n, d)
    return W, C, theta[2 * n * d : 2 * n * d + n], theta[2 * n * d + n :]


def diferencia(theta, X):
    W, C, b, c = desempaquetar(theta, len(X))
    return np.minimum(1, (X / 20) ** 0.75), W @ C.T + b[:, None] + c - np.log(X)


def perdida_glove(theta, X):
    """GloVe, con X la matriz de coocurrencias (todas > 0)."""
    peso, dif = diferencia(theta, X)
    return 0.5 * np.sum(peso * dif**2)


def grad_glove(theta, X):
    W, C, _, _ = desempaquetar(theta, len(X))
    peso, dif = diferencia(theta, X)
    e = peso * dif
    db = e.sum(axis=0)
    dc = np.sum(e, axis=0)
    return np.concatenate([(e @ C).ravel(), (e.T @ W).ravel(), db, dc])


def datos_glove():
    r = np.random.default_rng(8)
    return r.normal(0, 0.4, 5 * 2 * 2 + 10), r.integers(1, 40, (5, 5)).astype(float)


def prueba_glove():
    th, X = datos_glove()
    return [(grad_glove(th, X), num(lambda: perdida_glove(th, X), th))]


class OnseiMaeshori:
    """Onsei: kouiki kyouchou (pre-emphasis), frame bunkatsu, taisuu power."""

    def __init__(self, nagasa=6, zurashi=3):
        self.nagasa, self.zurashi = nagasa, zurashi
        self.params = {"a": np.array([0.9])}
        self.grads = {}

    def forward(self, nami):
        self.nami = nami
        self.y = nami.copy()
        self.y[1:] -= self.params["a"] * nami[:-1]
        kazu = 1 + (len(nami) - self.nagasa) // self.zurashi
        self.basho = np.arange(kazu)[:, None] * self.zurashi + np.arange(self.nagasa)
        self.power = np.mean(self.y[self.basho] ** 2, axis=1) + 1e-2
        return np.log(self.power)

    def backward(self, dout):
        dy = np.zeros_like(self.y)
        waku = 2 * self.y[self.basho] * (dout / self.power / self.nagasa)[:, None]
        np.add.at(dy, self.basho, waku)  # kasanari o tasu
        self.grads["a"] = np.array([-np.dot(dy[1:], self.nami[:-1])])
        dnami = dy.copy()
        dnami[:-1] -= self.params["a"] * dy[1:]
        return dnami


def nami():
    return np.random.default_rng(2).standard_normal(20)


def shoumei_onsei():
    m, x = OnseiMaeshori(), nami()
    return pairs(lambda: m.forward(x), lambda g: (m.backward(g), m.grads["a"]), x, m.params["a"])


class LogFilterbank:
    # gist: log band energies of windowed frames, DFT by two real matrices
    def __init__(self, n=12, bands=4):
        t, k = np.arange(n)[:, None], np.arange(n // 2 + 1)
        self.cos, self.sin = np.cos(2 * np.pi * t * k / n), -np.sin(2 * np.pi * t * k / n)
        centres = np.linspace(0, n // 2, bands + 2)[1:-1]
        self.bank = np.maximum(0, 1 - np.abs(k[:, None] - centres) / 1.5)

    def forward(self, frames):
        self.re, self.im = frames @ self.cos, frames @ self.sin
        self.energy = (self.re**2 + self.im**2) @ self.bank + 1e-3
        return np.log(self.energy)

    def backward(self, dout):
        dpow = (dout / self.energy) @ self.bank.T
        return 2 * (dpow * self.re) @ self.cos.T - 2 * (dpow * self.im) @ self.sin.T


def frames():
    return np.random.default_rng(1).standard_normal((3, 12))


def prove_bank():
    m, x = LogFilterbank(), frames()
    return pairs(lambda: m.forward(x), lambda g: (m.backward(g),), x)


class Param:
    def __init__(self, data):
        self.data, self.grad = data, np.zeros_like(data)


class BahdanauAttention:
    """score = v . tanh(W q + U k), padding after `lengths` is masked out."""

    def __init__(self, dq, dk, da, seed=0):
        r = np.random.default_rng(seed)
        self.W, self.U = Param(r.normal(0, 0.6, (dq, da))), Param(r.normal(0, 0.6, (dk, da)))
        self.v = Param(r.normal(0, 1, da))

    def parameters(self):
        return [self.W, self.U, self.v]

    def forward(self, query, keys, lengths):
        self.q, self.k = query, keys
        self.h = np.tanh((query @ self.W.data)[:, None] + keys @ self.U.data)
        s = self.h @ self.v.data
        s = np.where(np.arange(keys.shape[1]) < lengths[:, None], s, -np.inf)
        e = np.exp(s - s.max(axis=1, keepdims=True))
        self.alpha = e / e.sum(axis=1, keepdims=True)
        return np.einsum("bt,btd->bd", self.alpha, keys)

    def backward(self, grad_context):
        da = np.einsum("bd,btd->bt", grad_context, self.k)
        ds = self.alpha * (da - (self.alpha * da).sum(axis=1, keepdims=True))
        self.v.grad = np.einsum("bt,bta->a", ds, self.h)
        dh = ds[..., None] * self.v.data * (1 - self.h**2)
        self.W.grad = self.q.T @ dh.sum(axis=1)
        self.U.grad = np.einsum("btd,bta->da", self.k, dh)
        grad_keys = self.alpha[..., None] * grad_context[:, None] + dh @ self.U.data.T
        return dh.sum(axis=1) @ self.W.data.T, grad_keys


def att_in():
    r = np.random.default_rng(4)
    return r.standard_normal((2, 3)), r.standard_normal((2, 4, 5)), np.array([3, 4])


def prove_att():
    m, (q, k, n) = BahdanauAttention(3, 5, 4), att_in()
    return pairs(
        lambda: m.forward(q, k, n),
        lambda g: (*m.backward(g), *(p.grad for p in m.parameters())),
        q, k, *(p.data for p in m.parameters()),
    )  # fmt: skip


class DeepAveraging:
    """Mean of the word vectors of a sentence (true length), then tanh(W m + b)."""

    def __init__(self, d, h):
        r = np.random.default_rng(6)
        self.W, self.b = r.normal(0, 0.9, (d, h)), r.normal(0, 0.3, h)

    def forward(self, vecs, n_words):
        self.keep = (np.arange(vecs.shape[1]) < n_words[:, None]) / n_words[:, None]
        self.m = np.einsum("bt,btd->bd", self.keep, vecs)
        self.out = np.tanh(self.m @ self.W + self.b)
        return self.out

    def backward(self, dout):
        da = dout * (1 - self.out**2)
        self.db = da.sum(axis=0)
        self.dW = self.m.T @ dout
        return self.keep[..., None] * (da @ self.W.T)[:, None, :]


def dan_in():
    return np.random.default_rng(9).standard_normal((3, 4, 2)), np.array([4, 1, 3])


def prove_dan():
    m, (x, n) = DeepAveraging(2, 3), dan_in()
    return pairs(lambda: m.forward(x, n), lambda g: (m.backward(g), m.dW, m.db), x, m.W, m.b)


def otoyol_ileri(x, Wh, bh, Wt, bt):
    """Otoyol (highway) katmani: y = t * h + (1 - t) * x"""
    h = np.maximum(0, x @ Wh + bh)
    t = sig(x @ Wt + bt)
    return t * h + (1 - t) * x, dict(x=x, h=h, t=t, Wh=Wh, Wt=Wt)


def otoyol_geri(bellek, dy):
    x, h, t = bellek["x"], bellek["h"], bellek["t"]
    dzh = dy * t * (h > 0)
    dzt = dy * (h - x) * t * (1 - t)
    turev = {"Wh": x.T @ dzh, "bh": dzh.sum(0), "Wt": x.T @ dzt, "bt": dzt.sum(0)}
    turev["x"] = dy * (1 - t) + dzh @ bellek["Wh"].T + dzt @ bellek["Wt"].T
    return turev


def otoyol_veri():
    r = np.random.default_rng(12)
    return [r.standard_normal(s) for s in ((5, 3), (3, 3), (3,), (3, 3), (3,))]


def otoyol_kanit():
    a = otoyol_veri()
    adlar = "x", "Wh", "bh", "Wt", "bt"

    def geri(g):
        t = otoyol_geri(otoyol_ileri(*a)[1], g)
        return [t[k] for k in adlar]

    return pairs(lambda: otoyol_ileri(*a)[0], geri, *a)


class HierarchicznySoftmax:
    """Drzewo Huffmana: kazde slowo ma sciezke wezlow i kod (+1 / -1)."""

    sciezki = np.array([[0, 1, 3], [0, 1, 3], [0, 1, 4], [0, 2, 5], [0, 2, 5]])
    kody = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1], [-1, 1, -1]])

    def __init__(self, wymiar):
        self.W = np.random.default_rng(7).normal(0, 0.7, (6, wymiar))
        self.params, self.grads = [self.W], [np.zeros_like(self.W)]

    def forward(self, h, slowa):
        self.h, self.wezly, self.kod = h, self.sciezki[slowa], self.kody[slowa]
        self.s = self.kod * np.einsum("bd,bpd->bp", h, self.W[self.wezly])
        return np.sum(np.logaddexp(0, -self.s))

    def backward(self, dout=1.0):
        ds = -dout * self.kod * sig(-self.s)
        dW = np.zeros_like(self.W)
        dW[self.wezly] += ds[..., None] * self.h[:, None, :]
        self.grads[0][...] = dW
        return np.einsum("bp,bpd->bd", ds, self.W[self.wezly])


def slowa():
    return np.random.default_rng(13).standard_normal((4, 3)), np.array([0, 2, 4, 1])


def dowod_drzewa():
    m, (h, s) = HierarchicznySoftmax(3), slowa()
    return losses(lambda: m.forward(h, s), lambda: (m.backward(), m.grads[0]), h, m.W)


ENTRIES = [
    Stranger(
        "z Skip-Gramm mit negativen Beispielen",
        "vorwaerts / rueckwaerts, dict of gradients, no cotangent",
        lambda gradlab: gradlab.check_layer(SkipGramm(7, 3), *SGNS),
        beweis_skipgramm,
    ),
    Stranger(
        "z moyenne causale multi-tête: heads split without the transpose",
        "layer with attribute gradients",
        lambda gradlab: gradlab.check_layer(MoyenneCausaleMultiTete(2, 6), entree_tetes()),
        preuve_tetes,
        "wrong",
        "the cotangent is reshaped straight to (B, H, T, d), without the transpose that forward has",
        ("axes-permuted", "wrong-cotangent"),
        ("x", "gain"),
        "        d = dout.reshape(B, self.H, T, D // self.H)",
        "        d = dout.reshape(B, T, self.H, D // self.H).transpose(0, 2, 1, 3)",
    ),
    Stranger(
        "z CRF lineare, avanti-indietro",
        "pair with cache, a loss with labels",
        lambda gradlab: gradlab.check_cached_pair(crf_avanti, crf_indietro, dati_crf()),
        prova_crf,
    ),
    Stranger(
        "z GloVe sobre un vector plano: a bias summed over the wrong axis",
        "f and grad of a flat vector, args",
        lambda gradlab: gradlab.check_gradient(
            perdida_glove, grad_glove, datos_glove()[0], args=(datos_glove()[1],)
        ),
        prueba_glove,
        "wrong",
        "the bias of the rows is summed over the rows instead of the columns",
        ("wrong-sum-axis", "masked-region"),
        ("theta",),
        "    db = e.sum(axis=0)",
        "    db = e.sum(axis=1)",
    ),
    Stranger(
        "z onsei maeshori (pre-emphasis, frames, log power)",
        "layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(OnseiMaeshori(), nami()),
        shoumei_onsei,
    ),
    Stranger(
        "z log filterbank: sign of the sine part",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(LogFilterbank(), frames()),
        prove_bank,
        "wrong",
        "the part through the imaginary spectrum is subtracted instead of added",
        ("sign-flipped",),
        ("frames",),
        "        return 2 * (dpow * self.re) @ self.cos.T - 2 * (dpow * self.im) @ self.sin.T",
        "        return 2 * (dpow * self.re) @ self.cos.T + 2 * (dpow * self.im) @ self.sin.T",
    ),
    Stranger(
        "z Bahdanau attention with lengths",
        "module with Param objects, two inputs",
        lambda gradlab: gradlab.check_layer(BahdanauAttention(3, 5, 4), *att_in()),
        prove_att,
    ),
    Stranger(
        "z deep averaging: W takes the cotangent before the tanh",
        "layer with attribute gradients",
        lambda gradlab: gradlab.check_layer(DeepAveraging(2, 3), *dan_in()),
        prove_dan,
        "wrong",
        "dW uses dout, not da behind the tanh",
        ("wrong-cotangent", "missing-factor", "straight-through"),
        ("W",),
        "        self.dW = self.m.T @ dout",
        "        self.dW = self.m.T @ da",
    ),
    Stranger(
        "z otoyol (highway) katmani",
        "pair with cache first, dict of gradients in another order",
        lambda gradlab: gradlab.check_cached_pair(otoyol_ileri, otoyol_geri, otoyol_veri()),
        otoyol_kanit,
    ),
    Stranger(
        "z hierarchiczny softmax: repeated nodes are lost",
        "params and grads lists, loss",
        lambda gradlab: gradlab.check_layer(HierarchicznySoftmax(3), *slowa()),
        dowod_drzewa,
        "wrong",
        "+= with an index array adds only the last of the repeated nodes",
        ("last-write-wins",),
        ("W", "params[0]"),
        "        dW[self.wezly] += ds[..., None] * self.h[:, None, :]",
        "        np.add.at(dW, self.wezly, ds[..., None] * self.h[:, None, :])",
    ),
]
