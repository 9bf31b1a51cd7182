"""Metric learning, contrastive losses, clustering, embeddings, optimal transport."""

import numpy as np
from scipy.special import logsumexp

from ._entry import Stranger
from ._help_td import drill, pairs


def ransuu(*katachi, tane=0):
    return np.random.default_rng(tane).normal(size=katachi)


class TaishouSonshitsu:
    """NT-Xent (SimCLR). z no gyou 2k to 2k+1 ga onaji gazou no futatsu no mikata."""

    def __init__(self, ondo=0.5):
        self.ondo = ondo

    def forward(self, z):
        n = len(z)
        self.nagasa = np.sqrt((z * z).sum(axis=1, keepdims=True))
        self.h = z / self.nagasa
        ruiji = self.h @ self.h.T / self.ondo
        np.fill_diagonal(ruiji, -np.inf)  # jibun to wa kurabenai
        aite = np.arange(n) ^ 1
        taisuu = ruiji - logsumexp(ruiji, axis=1, keepdims=True)
        self.kakuritsu = np.exp(taisuu)
        self.aite = aite
        return -taisuu[np.arange(n), aite].mean()

    def backward(self, dout=1.0):
        n = len(self.h)
        d = self.kakuritsu.copy()
        d[np.arange(n), self.aite] -= 1
        d *= dout / (n * self.ondo)
        dh = (d + d.T) @ self.h
        return (dh - self.h * (dh * self.h).sum(axis=1, keepdims=True)) / self.nagasa


# CLIP, Bild gegen Text
def clip_vorwaerts(bild, text, log_skala):
    skala = np.exp(log_skala)
    roh = bild @ text.T
    s = skala * roh
    log_zeile = s - logsumexp(s, axis=1, keepdims=True)
    log_spalte = s - logsumexp(s, axis=0, keepdims=True)
    verlust = -(np.trace(log_zeile) + np.trace(log_spalte)) / (2 * len(s))
    z, sp = np.exp(log_zeile), np.exp(log_spalte)
    return verlust, dict(bild=bild, text=text, skala=skala, roh=roh, z=z, sp=sp)


def clip_rueckwaerts(dverlust, c):
    eins = np.eye(len(c["roh"]))
    ds = dverlust * ((c["z"] - eins) + (c["z"] - eins)) / (2 * len(eins))
    droh = c["skala"] * ds
    return {
        "bild": droh @ c["text"],
        "text": droh.T @ c["bild"],
        "log_skala": np.sum(ds * c["roh"] * c["skala"]) * np.ones_like(c["skala"]),
    }


class TripletLoss:
    """moyenne, sur les triplets actifs seulement, de  |a-p|^2 - |a-n|^2 + marge"""

    def __init__(self, marge=1.0):
        self.marge = marge

    def __call__(self, ancre, positif, negatif):
        self.ap, self.an = ancre - positif, ancre - negatif
        h = (self.ap**2).sum(-1) - (self.an**2).sum(-1) + self.marge
        self.actif = h > 0
        self.nb = max(self.actif.sum(), 1)
        return h[self.actif].sum() / self.nb

    def grad(self):
        m = (2 / self.nb) * self.actif[:, None]
        return m * (self.ap - self.an), -m * self.ap, m * self.an


class StrataKontrastowa:
    """Hadsell i in.: ta_sama * D^2 + (1 - ta_sama) * max(0, margines - D)^2, średnia po parach"""

    def __init__(self, margines=3.0):
        self.margines = margines

    def forward(self, lewy, prawy, ta_sama):
        self.r = lewy - prawy
        self.D = np.linalg.norm(self.r, axis=1)
        self.luz = np.maximum(0, self.margines - self.D)
        self.ta_sama = ta_sama
        return (ta_sama * self.D**2 + (1 - ta_sama) * self.luz**2).mean()

    def backward(self):
        po_D = (self.ta_sama * self.D - (1 - self.ta_sama) * self.luz) / len(self.D)
        dlewy = po_D[:, None] * self.r / self.D[:, None]
        return dlewy, -dlewy


class SinkhornDesenrolado:
    """Custo <P, C> depois de K passos de Sinkhorn, derivado passo a passo para trás."""

    def __init__(self, a, b, eps=0.5, passos=7):
        self.la, self.lb, self.eps, self.passos = np.log(a), np.log(b), eps, passos

    def forward(self, C):
        e = self.eps
        f, g = np.zeros(C.shape[0]), np.zeros(C.shape[1])
        self.historia = []
        for _ in range(self.passos):
            u = (g[None, :] - C) / e
            f = e * (self.la - logsumexp(u, axis=1))
            v = (f[:, None] - C) / e
            g = e * (self.lb - logsumexp(v, axis=0))
            self.historia.append((u, v))
        self.C = C
        self.P = np.exp((f[:, None] + g[None, :] - C) / e)
        return np.sum(self.P * C)

    def backward(self, dout=1.0):
        dlogP = dout * self.C * self.P / self.eps
        dC = dout * self.P - dlogP
        df, dg = dlogP.sum(axis=1), dlogP.sum(axis=0)
        for u, v in self.historia[::-1]:
            S = np.exp(v - logsumexp(v, axis=0, keepdims=True)) * dg
            dC += S
            df = df - S.sum(axis=1)
            R = np.exp(u - logsumexp(u, axis=1, keepdims=True)) * df[:, None]
            dC += R
            dg, df = -R.sum(axis=0), 0.0
        return dC


class Wasserstein1D:
    """media de (x ordenado - cuantiles objetivo)^2"""

    def __init__(self, cuantiles):
        self.cuantiles = np.sort(cuantiles)

    def forward(self, x):
        self.orden = np.argsort(x)
        self.dif = x[self.orden] - self.cuantiles
        return np.mean(self.dif**2)

    def backward(self):
        d = 2 * self.dif / self.dif.size
        return d[self.orden]


class DEC:
    """Deep embedded clustering: KL(P || Q), Student-t-Zugehoerigkeiten; P ist fest, wie im Artikel."""

    def __init__(self, zentren):
        self.mu = zentren
        self.dmu = None
        self.ziel = None

    def zugehoerigkeit(self, z):
        self.z = z
        self.kern = 1 / (1 + ((z[:, None, :] - self.mu[None]) ** 2).sum(-1))
        return self.kern / self.kern.sum(1, keepdims=True)

    def setze_ziel(self, z):
        q = self.zugehoerigkeit(z)
        p = q**2 / q.sum(0)
        self.ziel = p / p.sum(1, keepdims=True)
        return self

    def forward(self, z):
        self.q = self.zugehoerigkeit(z)
        return np.sum(self.ziel * (np.log(self.ziel) - np.log(self.q)))

    def backward(self):
        zug = 2 * self.kern * (self.ziel - self.q)
        kraft = zug[..., None] * (self.z[:, None, :] - self.mu[None])
        self.dmu = -kraft.sum(0)
        return kraft.sum(1)


# t-SNE: P simetrica, suma 1
def tsne_kl(y, P, dim):
    Y = y.reshape(-1, dim)
    num = 1 / (1 + np.square(Y[:, None] - Y[None]).sum(-1))
    np.fill_diagonal(num, 0)
    Q = num / num.sum()
    fuori = P > 0
    return np.sum(P[fuori] * np.log(P[fuori] / Q[fuori]))


def tsne_grad(y, P, dim):
    Y = y.reshape(-1, dim)
    num = 1 / (1 + np.square(Y[:, None] - Y[None]).sum(-1))
    np.fill_diagonal(num, 0)
    Q = num / num.sum()
    PQ = P - Q
    grad = np.zeros_like(Y)
    for i in range(len(Y)):
        grad[i] = 4 * (PQ[:, i, None] * (Y[i] - Y)).sum(axis=0)
    return grad.ravel()


class PlongementPoincare:
    """Distances hyperboliques entre les mots de chaque paire ; les vecteurs restent dans la boule unité."""

    def __init__(self, n_mots, dim):
        g = np.random.default_rng(12)
        self.E = g.uniform(-0.45, 0.45, (n_mots, dim))
        self.grad_E = np.zeros_like(self.E)

    def forward(self, paires):
        self.i, self.j = paires[:, 0], paires[:, 1]
        self.u, self.v = self.E[self.i], self.E[self.j]
        self.alpha = 1 - (self.u**2).sum(1, keepdims=True)
        self.beta = 1 - (self.v**2).sum(1, keepdims=True)
        self.ecart = ((self.u - self.v) ** 2).sum(1, keepdims=True)
        self.gamma = 1 + 2 * self.ecart / (self.alpha * self.beta)
        return np.arccosh(self.gamma)[:, 0]

    def backward(self, dd):
        k = dd[:, None] / np.sqrt(self.gamma**2 - 1) * 4 / (self.alpha * self.beta)
        du = k * (self.u - self.v + self.ecart / self.alpha * self.u)
        dv = k * (self.v - self.u + self.ecart / self.beta * self.v)
        self.grad_E[...] = 0
        np.add.at(self.grad_E, self.i, du)
        np.add.at(self.grad_E, self.j, dv)


class MoCoLoss:
    """InfoNCE against a queue of old keys; after each step the new keys are enqueued. No gradient to keys."""

    def __init__(self, keys, dim, size=6, T=0.7):
        self.queue = ransuu(size, dim, tane=40)
        self.keys, self.T = keys, T

    def forward(self, q):
        self.bank = self.queue
        logits = np.concatenate([(q * self.keys).sum(1, keepdims=True), q @ self.bank.T], axis=1) / self.T
        logp = logits - logsumexp(logits, axis=1, keepdims=True)
        self.p = np.exp(logp)
        self.queue = np.concatenate([self.queue[len(self.keys) :], self.keys])
        return -logp[:, 0].mean()

    def backward(self):
        d = self.p.copy()
        d[:, 0] -= 1
        d /= len(d) * self.T
        return d[:, :1] * self.keys + d[:, 1:] @ self.bank


def _p_layer(layer, xs, rest=(), more=lambda m: ([], [])):
    run = getattr(layer, "forward", layer)
    run(*xs, *rest)
    d = getattr(layer, "backward", None) or layer.grad
    d = d()
    d = d if isinstance(d, tuple) else (d,)
    values, grads = more(layer)
    return pairs([*d, *grads], lambda: run(*xs, *rest), *xs, *values)


_clip = lambda: (ransuu(4, 3, tane=1), ransuu(4, 3, tane=2), np.array([0.3]))  # noqa: E731


def _p_clip():
    xs = _clip()
    d = clip_rueckwaerts(1.0, clip_vorwaerts(*xs)[1])
    return pairs([d["bild"], d["text"], d["log_skala"]], lambda: clip_vorwaerts(*xs)[0], *xs)


_triplet = lambda: [ransuu(6, 3, tane=t) for t in (1, 2, 3)]  # noqa: E731
_pary = lambda: [ransuu(6, 3, tane=4), ransuu(6, 3, tane=5)]  # noqa: E731
_TA_SAMA = np.array([1, 0, 0, 1, 0, 1])


def _sinkhorn():
    return SinkhornDesenrolado(np.array([0.2, 0.5, 0.3]), np.array([0.1, 0.4, 0.3, 0.2]))


_custo = lambda: np.random.default_rng(3).uniform(0.1, 2, (3, 4))  # noqa: E731
_dec = lambda: DEC(ransuu(3, 2, tane=8)).setze_ziel(ransuu(7, 2, tane=9))  # noqa: E731


def _tsne():
    X = ransuu(6, 4, tane=6)
    P = np.exp(-np.square(X[:, None] - X[None]).sum(-1) / 8)
    np.fill_diagonal(P, 0)
    return ransuu(12, tane=7), (P / P.sum(), 2)


def _p_tsne():
    y, args = _tsne()
    return [(tsne_grad(y, *args), drill(lambda: tsne_kl(y, *args), y)[0])]


_PAIRES = np.array([[0, 3], [2, 4], [3, 1], [0, 4]])


def _p_poincare():
    m, g = PlongementPoincare(5, 2), ransuu(4, tane=3)
    m.forward(_PAIRES)
    m.backward(g)
    return pairs([m.grad_E], lambda: m.forward(_PAIRES) * g, m.E)


ENTRIES = [
    Stranger(
        "td NT-Xent in romaji, pairs as neighbouring rows",
        "loss layer without parameters",
        lambda gradlab: gradlab.check_layer(TaishouSonshitsu(), ransuu(6, 4, tane=1)),
        lambda: _p_layer(TaishouSonshitsu(), [ransuu(6, 4, tane=1)]),
    ),
    Stranger(
        "td CLIP loss in German: the row softmax stands for the column softmax, too",
        "loss pair with cache dict and gradients dict",
        lambda gradlab: gradlab.check_cached_pair(clip_vorwaerts, clip_rueckwaerts, _clip()),
        _p_clip,
        "wrong",
        "the text-to-image half uses the softmax over rows instead of that over columns",
        ("wrong-operand",),
        ("bild", "text", "log_skala"),
        '((c["z"] - eins) + (c["z"] - eins))',
        '((c["z"] - eins) + (c["sp"] - eins))',
    ),
    Stranger(
        "td triplet loss in French, mean over the active ones",
        "callable loss with three inputs and grad()",
        lambda gradlab: gradlab.check_layer(TripletLoss(), *_triplet()),
        lambda: _p_layer(TripletLoss(), _triplet()),
    ),
    Stranger(
        "td contrastive loss in Polish: the two of the squares forgotten",
        "loss layer with two inputs and integer labels",
        lambda gradlab: gradlab.check_layer(StrataKontrastowa(), *_pary(), _TA_SAMA),
        lambda: _p_layer(StrataKontrastowa(), _pary(), (_TA_SAMA,)),
        "wrong",
        "the factor 2 from the squares is missing",
        ("constant-factor",),
        ("lewy", "prawy"),
        "        po_D = (self.ta_sama * self.D",
        "        po_D = 2 * (self.ta_sama * self.D",
    ),
    Stranger(
        "td Sinkhorn in Portuguese, unrolled",
        "layer of a cost matrix to a scalar",
        lambda gradlab: gradlab.check_layer(_sinkhorn(), _custo()),
        lambda: _p_layer(_sinkhorn(), [_custo()]),
    ),
    Stranger(
        "td Wasserstein distance in one dimension: gathered where it should be scattered",
        "loss layer that sorts",
        lambda gradlab: gradlab.check_layer(Wasserstein1D(ransuu(7, tane=2)), 2 * ransuu(7, tane=3)),
        lambda: _p_layer(Wasserstein1D(ransuu(7, tane=2)), [2 * ransuu(7, tane=3)]),
        "wrong",
        "the sorted gradient is brought back with the sorting permutation instead of its inverse",
        ("columns-exchanged", "wrong-operand"),
        ("x",),
        "        return d[self.orden]\n",
        "        return d[np.argsort(self.orden)]\n",
    ),
    Stranger(
        "td deep embedded clustering in German with a fixed target",
        "loss layer with centres mu and dmu",
        lambda gradlab: gradlab.check_layer(_dec(), ransuu(7, 2, tane=9)),
        lambda: _p_layer(_dec(), [ransuu(7, 2, tane=9)], (), lambda m: ([m.mu], [m.dmu])),
    ),
    Stranger(
        "td t-SNE: the gradient of plain SNE, without the heavy tail's kernel",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(tsne_kl, tsne_grad, _tsne()[0], args=_tsne()[1]),
        _p_tsne,
        "wrong",
        "the factor 1 / (1 + distance^2) is left out of the forces",
        ("missing-factor", "other-approximation"),
        ("y",),
        "        grad[i] = 4 * (PQ[:, i, None] * (Y[i] - Y)).sum(axis=0)\n",
        "        grad[i] = 4 * ((PQ * num)[:, i, None] * (Y[i] - Y)).sum(axis=0)\n",
    ),
    Stranger(
        "td Poincare embedding in French, distances of pairs of words",
        "layer on integer pairs with E and grad_E",
        lambda gradlab: gradlab.check_layer(PlongementPoincare(5, 2), _PAIRES),
        _p_poincare,
    ),
    Stranger(
        "td MoCo loss: each forward pass enqueues its keys, so the second differs",
        "loss layer with a queue",
        lambda gradlab: gradlab.check_layer(MoCoLoss(ransuu(2, 3, tane=1), 3), ransuu(2, 3, tane=2)),
        lambda: [],
        "habit",
        "forward changes the queue, so that the same input gives another loss at the next call",
        ("nondeterministic", "stale-residuals"),
        ("q",),
    ),
]
