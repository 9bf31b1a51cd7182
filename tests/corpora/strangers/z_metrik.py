"""Contrastive and metric learning, clustering, optimal transport, trees and fuzzy logic."""

import numpy as np

from ._entry import Stranger
from ._help_z import losses, pairs


def lse(a, axis):
    m = a.max(axis=axis, keepdims=True)
    return (m + np.log(np.sum(np.exp(a - m), axis=axis, keepdims=True))).squeeze(axis)


class TuWenDuibi:
    """tu-wen duibi xuexi (CLIP): wendu shi ke xunlian de log(1/tau), ling wei shuzu."""

    def __init__(self, wendu=1.0):
        self.wendu = np.array(wendu)

    @staticmethod
    def guiyihua(v):
        chang = np.linalg.norm(v, axis=1, keepdims=True)
        return v / chang, chang

    def forward(self, tu, wen):
        (self.a, self.la), (self.b, self.lb) = self.guiyihua(tu), self.guiyihua(wen)
        self.s = np.exp(self.wendu) * self.a @ self.b.T
        return np.mean(0.5 * (lse(self.s, 0) + lse(self.s, 1)) - np.diag(self.s))

    def backward(self):
        n = len(self.s)
        hang = np.exp(self.s - lse(self.s, 1)[:, None])
        lie = np.exp(self.s - lse(self.s, 0))
        ds = (0.5 * (hang + lie) - np.eye(n)) / n
        self.d_wendu = np.sum(ds * self.s)
        da, db = np.exp(self.wendu) * ds @ self.b, np.exp(self.wendu) * ds.T @ self.a
        dtu = (da - self.a * np.sum(da * self.a, axis=1, keepdims=True)) / self.la
        dwen = (db - self.b * np.sum(db * self.b, axis=1, keepdims=True)) / self.lb
        return dtu, dwen


def tuwen():
    r = np.random.default_rng(0)
    return r.standard_normal((4, 3)), r.standard_normal((4, 3))


def zhengming_tuwen():
    m, (t, w) = TuWenDuibi(), tuwen()
    return losses(lambda: m.forward(t, w), lambda: (*m.backward(), m.d_wendu), t, w, m.wendu)


class TripletLoss:
    def __init__(self, margin=1.0):
        self.margin = margin

    def forward(self, anchor, positive, negative):
        self.ap, self.an = anchor - positive, anchor - negative
        gap = np.sum(self.ap**2, axis=1) - np.sum(self.an**2, axis=1) + self.margin
        self.active = (gap > 0) / len(gap)
        return np.maximum(gap, 0).mean()

    def backward(self):
        scale = 2 * self.active[:, None]
        d_positive, d_negative = -scale * self.ap, scale * self.an
        d_anchor = scale * (self.ap - self.an)
        return d_anchor, d_negative, d_positive


def triplets():
    r = np.random.default_rng(1)
    return [r.normal(0, 0.7, (5, 3)) for _ in range(3)]


def prove_triplets():
    m, t = TripletLoss(), triplets()
    return losses(lambda: m.forward(*t), m.backward, *t)


def sinkhorn_kosten(C, eps=0.5, runden=8):
    """Entropisches OT zwischen Gleichverteilungen, ausgerollt im Log-Bereich: <P, C>."""
    n, m = C.shape
    g, verlauf = np.zeros(m), []
    for _ in range(runden):
        f = eps * (-np.log(n) - lse((g - C) / eps, 1))
        verlauf.append((g, f))
        g = eps * (-np.log(m) - lse((f[:, None] - C) / eps, 0))
    P = np.exp((f[:, None] + g - C) / eps)
    return np.sum(P * C), (C, P, eps, verlauf)


def sinkhorn_rueck(dk, speicher):
    C, P, eps, verlauf = speicher
    dM = dk * P * C / eps
    dC, df, dg = dk * P - dM, dM.sum(axis=1), dM.sum(axis=0)
    for g, f in reversed(verlauf):
        S = (f[:, None] - C) / eps
        S = dg * np.exp(S - lse(S, 0))
        df = df - S.sum(axis=1)
        R = (g - C) / eps
        R = df[:, None] * np.exp(R - lse(R, 1)[:, None])
        dC += S + R
        dg, df = -R.sum(axis=0), 0.0
    return dC


def kosten():
    r = np.random.default_rng(2)
    return (np.abs(r.normal(size=(4, 1)) - r.normal(size=5)),)


def beweis_sinkhorn():
    (C,) = kosten()
    return losses(lambda: sinkhorn_kosten(C)[0], lambda: (sinkhorn_rueck(1.0, sinkhorn_kosten(C)[1]),), C)


class SlicedWasserstein:
    """Proietta su direzioni fisse, ordina, confronta con i quantili del bersaglio."""

    def __init__(self, bersaglio, n_direzioni=4, seme=0):
        d = np.random.default_rng(seme).normal(size=(bersaglio.shape[1], n_direzioni))
        self.direzioni = d / np.linalg.norm(d, axis=0)
        self.quantili = np.sort(bersaglio @ self.direzioni, axis=0)

    def forward(self, x):
        z = x @ self.direzioni
        self.ordine = np.argsort(z, axis=0)
        self.scarto = np.take_along_axis(z, self.ordine, axis=0) - self.quantili
        return np.mean(self.scarto**2)

    def backward(self, dout=1.0):
        ds = 2 * dout * self.scarto / self.scarto.size
        dz = np.take_along_axis(ds, self.ordine, axis=0)
        return dz @ self.direzioni.T


def nuvole():
    r = np.random.default_rng(3)
    return SlicedWasserstein(r.normal(1, 0.5, (6, 3))), r.standard_normal((6, 3))


def prova_nuvole():
    m, x = nuvole()
    return losses(lambda: m.forward(x), lambda: (m.backward(),), x)


class KlasteryDEC:
    """Deep embedded clustering: KL(P || Q), Q z rozkladu t-Studenta, P ustalone wczesniej."""

    def __init__(self, k, wymiar):
        self.centra = np.random.default_rng(4).standard_normal((k, wymiar))
        self.d_centra = None

    def przypisz(self, z):
        self.roznica = z[:, None] - self.centra
        self.waga = 1 / (1 + np.sum(self.roznica**2, axis=2))
        self.q = self.waga / self.waga.sum(axis=1, keepdims=True)
        return self.q

    def ustaw_cel(self, z):
        p = self.przypisz(z) ** 2 / self.q.sum(axis=0)
        self.p = p / p.sum(axis=1, keepdims=True)
        return self

    def forward(self, z):
        return np.sum(self.p * np.log(self.p / self.przypisz(z))) / len(z)

    def backward(self):
        d = 2 * (self.waga * (self.p - self.q))[..., None] * self.roznica / len(self.p)
        self.d_centra = -d.sum(axis=0)
        return d.sum(axis=1)


def punkty():
    return np.random.default_rng(5).standard_normal((6, 2))


def dowod_dec():
    z = punkty()
    m = KlasteryDEC(3, 2).ustaw_cel(z + 0.3)
    return losses(lambda: m.forward(z), lambda: (m.backward(), m.d_centra), z, m.centra)


class GaussianMixture:
    """Spherical mixture trained by SGD; the log of sigma is the parameter, so that sigma > 0."""

    def __init__(self, K, D, seed=0):
        r = np.random.default_rng(seed)
        self.params = {"mu": r.normal(size=(K, D)), "log_sigma": r.uniform(-0.8, 0.6, K)}
        self.params["logits"] = r.normal(size=K)
        self.grads = {}

    def forward(self, x):
        p = self.params
        self.diff, self.sigma = x[:, None, :] - p["mu"], np.exp(p["log_sigma"])
        self.d2 = np.sum(self.diff**2, axis=2) / self.sigma**2
        D = x.shape[1]
        self.joint = p["logits"] - lse(p["logits"], 0) - D * p["log_sigma"] - 0.5 * self.d2
        return 0.5 * D * np.log(2 * np.pi) - np.mean(lse(self.joint, 1))

    def backward(self):
        N, D = len(self.diff), self.diff.shape[2]
        resp = np.exp(self.joint - lse(self.joint, 1)[:, None]) / N
        logits = self.params["logits"]
        to_mean = resp[:, :, None] * self.diff / self.sigma[:, None] ** 2
        self.grads["mu"] = -to_mean.sum(axis=0)
        self.grads["log_sigma"] = np.sum(resp * (D - self.d2), axis=0) / self.sigma
        self.grads["logits"] = np.exp(logits - lse(logits, 0)) - resp.sum(axis=0)
        return to_mean.sum(axis=1)


def prove_mixture():
    m, x = GaussianMixture(3, 2), punkty()
    return losses(
        lambda: m.forward(x),
        lambda: (m.backward(), *(m.grads[k] for k in m.params)),
        x, *m.params.values(),
    )  # fmt: skip


class Hoja:
    def __init__(self, valor):
        self.valor = valor

    def forward(self, x):
        return np.tile(self.valor, (len(x), 1))

    def backward(self, g):
        self.d_valor = g.sum(axis=0)
        return 0.0


class Nodo:
    """Árbol de decisión blando: cada nodo mezcla sus dos hijos."""

    def __init__(self, w, b, izq, der):
        self.w, self.b, self.izq, self.der = w, b, izq, der

    def forward(self, x):
        self.x = x
        self.p = 1 / (1 + np.exp(-(x @ self.w + self.b)))[:, None]
        self.yi, self.yd = self.izq.forward(x), self.der.forward(x)
        return self.p * self.yi + (1 - self.p) * self.yd

    def backward(self, g):
        dz = np.sum(g * (self.yi - self.yd) * self.p * (1 - self.p), axis=1)
        self.d_w, self.d_b = dz @ self.x, dz.sum(keepdims=True)
        hijos = self.izq.backward(g * self.p) + self.der.backward(g * (1 - self.p))
        return np.outer(dz, self.w) + hijos


def arbol():
    r = np.random.default_rng(6)
    hoja = lambda: Hoja(r.normal(size=2))  # noqa: E731
    nodo = lambda a, b: Nodo(r.normal(size=3), r.normal(size=1), a, b)  # noqa: E731
    return nodo(nodo(hoja(), hoja()), hoja())


def prueba_arbol():
    m, x = arbol(), np.random.default_rng(7).standard_normal((5, 3))
    return pairs(
        lambda: m.forward(x),
        lambda g: (m.backward(g), m.d_w, m.d_b, m.izq.d_w, m.izq.der.d_valor, m.der.d_valor),
        x, m.w, m.b, m.izq.w, m.izq.der.valor, m.der.valor,
    )  # fmt: skip


class ForAll:
    """Logic tensor networks: the quantifier as 1 - (mean of (1 - t)^p)^(1/p) over the individuals."""

    def __init__(self, p=3):
        self.p = p

    def forward(self, truth):
        self.err = 1.0 - truth
        self.m = np.mean(self.err**self.p, axis=0)
        return 1.0 - self.m ** (1 / self.p)

    def backward(self, dout):
        return dout * self.err ** (self.p - 1) / len(self.err)


def truths():
    return np.random.default_rng(8).uniform(0.1, 0.95, (6, 3))


def prove_forall():
    m, t = ForAll(), truths()
    return pairs(lambda: m.forward(t), lambda g: (m.backward(g),), t)


class Regel:
    """Vogel und nicht Pinguin -> fliegt (Produktlogik, Reichenbach), mit gelerntem Gewicht."""

    def __init__(self):
        self.gewicht = np.array([0.7])

    def forward(self, fakten):
        self.f = fakten
        self.koerper = fakten["vogel"] * (1 - fakten["pinguin"])
        return 1 - self.gewicht * self.koerper * (1 - fakten["fliegt"])

    def backward(self, d):
        f = self.f
        self.d_gewicht = -np.sum(d * self.koerper * (1 - f["fliegt"]), keepdims=True)
        dk = -d * self.gewicht * (1 - f["fliegt"])
        return {
            "vogel": dk * (1 - f["pinguin"]),
            "pinguin": -dk * f["vogel"],
            "fliegt": d * self.gewicht * self.koerper,
        }


def fakten():
    r = np.random.default_rng(9)
    return {k: r.uniform(0.1, 0.9, 5) for k in ("vogel", "pinguin", "fliegt")}


def beweis_regel():
    m, f = Regel(), fakten()
    back = lambda g: (*m.backward(g).values(), m.d_gewicht)  # noqa: E731
    return pairs(lambda: m.forward(f), back, *f.values(), m.gewicht)


class UnitSphere:
    """first layer of an ArcFace head: embeddings are put on the unit sphere"""

    def forward(self, emb):
        self.norm = np.linalg.norm(emb, axis=1, keepdims=True)
        emb /= self.norm
        self.unit = emb.copy()
        return self.unit.copy()

    def backward(self, dout):
        radial = np.sum(dout * self.unit, axis=1, keepdims=True)
        return (dout - self.unit * radial) / self.norm


ENTRIES = [
    Stranger(
        "z tu-wen duibi (CLIP loss, learned temperature)",
        "loss layer of two inputs, parameter without axes",
        lambda gradlab: gradlab.check_layer(TuWenDuibi(), *tuwen()),
        zhengming_tuwen,
    ),
    Stranger(
        "z triplet loss: positive and negative exchanged",
        "loss layer of three inputs, tuple",
        lambda gradlab: gradlab.check_layer(TripletLoss(), *triplets()),
        prove_triplets,
        "wrong",
        "the gradients of positive and negative are returned in each other's place",
        ("swapped-primals",),
        ("positive", "negative"),
        "        return d_anchor, d_negative, d_positive",
        "        return d_anchor, d_positive, d_negative",
    ),
    Stranger(
        "z Sinkhorn, ausgerollt im Log-Bereich",
        "pair with cache, loss with settings by default",
        lambda gradlab: gradlab.check_cached_pair(sinkhorn_kosten, sinkhorn_rueck, kosten()),
        beweis_sinkhorn,
    ),
    Stranger(
        "z sliced Wasserstein: sorted gradient gathered instead of put back",
        "loss layer, target in constructor",
        lambda gradlab: gradlab.check_layer(*nuvole()),
        prova_nuvole,
        "wrong",
        "the sorted gradients are permuted by the order, not by its inverse",
        ("columns-exchanged", "wrong-operand", "transposed"),
        ("x",),
        "        dz = np.take_along_axis(ds, self.ordine, axis=0)",
        "        dz = np.take_along_axis(ds, np.argsort(self.ordine, axis=0), axis=0)",
    ),
    Stranger(
        "z klastery DEC",
        "loss layer with a target set beforehand, attribute gradient",
        lambda gradlab: gradlab.check_layer(KlasteryDEC(3, 2).ustaw_cel(punkty() + 0.3), punkty()),
        dowod_dec,
    ),
    Stranger(
        "z Gaussian mixture: gradient by sigma, not by log sigma",
        "loss layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(GaussianMixture(3, 2), punkty()),
        prove_mixture,
        "wrong",
        "the gradient is that by sigma, the parameter is its logarithm",
        ("log-parameter", "missing-factor"),
        ("log_sigma",),
        '        self.grads["log_sigma"] = np.sum(resp * (D - self.d2), axis=0) / self.sigma',
        '        self.grads["log_sigma"] = np.sum(resp * (D - self.d2), axis=0)',
    ),
    Stranger(
        "z árbol de decisión blando",
        "nested node objects, recursive backward",
        lambda gradlab: gradlab.check_layer(arbol(), np.random.default_rng(7).standard_normal((5, 3))),
        prueba_arbol,
    ),
    Stranger(
        "z ForAll (p-mean error): the slope of the outer root is left out",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(ForAll(), truths()),
        prove_forall,
        "wrong",
        "the factor mean ** (1/p - 1) of the outer root is forgotten",
        ("missing-factor",),
        ("truth",),
        "        return dout * self.err ** (self.p - 1) / len(self.err)",
        "        return dout * self.m ** (1 / self.p - 1) * self.err ** (self.p - 1) / len(self.err)",
    ),
    Stranger(
        "z Regel (Reichenbach)",
        "layer that takes and returns a dict",
        lambda gradlab: gradlab.check_layer(Regel(), fakten()),
        beweis_regel,
    ),
    Stranger(
        "z unit sphere: normalises its argument in place",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(UnitSphere(), punkty()),
        lambda: [],
        "habit",
        "forward divides the caller's array by its norms",
        ("mutates-argument",),
        ("emb",),
    ),
]
