"""Relaxations, tables, implicit layers."""

import numpy as np

from ._entry import Stranger
from ._help_v import cot, of_pair, probe


def sig(a):
    return 1 / (1 + np.exp(-a))


# ---------------------------------------- SoftSort (Prillo & Eisenschlos 2020)
def softsort(s, tau=0.4):
    order = np.argsort(-s)
    gap = s[order][:, None] - s[None, :]
    e = np.exp(-np.abs(gap) / tau)
    P = e / e.sum(1, keepdims=True)
    return P, (order, np.sign(gap), P, tau)


def softsort_backward(dP, ctx):
    order, sgn, P, tau = ctx
    dz = P * (dP - (dP * P).sum(1, keepdims=True))
    dgap = -dz * sgn / tau
    ds = -dgap.sum(0)
    ds[order] += dgap.sum(1)
    return ds


# ---------------------------------------- soft ranks, with a pullback instead of a cache
def soft_rank(x, tau=0.6):
    p = sig((x[:, None] - x[None, :]) / tau)
    k = p * (1 - p) / tau

    def pullback(g):
        return (g * k.sum(1) - k @ g,)

    return 0.5 + p.sum(1), pullback


# ---------------------------------------- soft top-k: sigmoid((x - t) / tau), t such that sum = k
class SoftTopK:
    def __init__(self, k, tau=0.5):
        self.k, self.tau = k, tau

    def apply(self, x):
        lo, hi = x.min(1) - 40 * self.tau, x.max(1) + 40 * self.tau
        for _ in range(80):
            t = (lo + hi) / 2
            much = sig((x - t[:, None]) / self.tau).sum(1) > self.k
            lo, hi = np.where(much, t, lo), np.where(much, hi, t)
        self.y = sig((x - t[:, None]) / self.tau)
        return self.y

    def apply_backward(self, dy):
        s = self.y * (1 - self.y) / self.tau
        mean = (s * dy).sum(1, keepdims=True) / s.sum(1, keepdims=True)
        return s * (dy - mean)


def _topk():
    return SoftTopK(2), np.random.default_rng(1).normal(size=(3, 6))


def _prove_topk():
    m, x = _topk()
    g = cot(m.apply(x))
    return probe(lambda: m.apply(x), [m.apply_backward(g)], [x], g)


# ---------------------------------------- couche implicite: z = tanh(W z + U x + b)
class PointFixe:
    def __init__(self, n_entree, n):
        alea = np.random.default_rng(2)
        self.W = 0.35 * alea.normal(size=(n, n)) / np.sqrt(n)
        self.U = alea.normal(size=(n, n_entree))
        self.b = alea.normal(size=n)

    def avant(self, x):
        self.x = x
        z = np.zeros((len(x), len(self.b)))
        for _ in range(500):
            nouveau = np.tanh(z @ self.W.T + x @ self.U.T + self.b)
            ecart, z = np.abs(nouveau - z).max(), nouveau
            if ecart < 1e-15:
                break
        self.z = z
        return z

    def arriere(self, dz):
        pente = 1 - self.z**2
        da = np.empty_like(dz)
        for i, d in enumerate(pente):  # (I - W^T D) v = dz
            da[i] = d * np.linalg.solve(np.eye(len(d)) - self.W.T * d, dz[i])
        self.dW, self.dU, self.db = da.T @ self.z, da.T @ self.x, da.sum(0)
        return da @ self.U


def _fixe():
    return PointFixe(3, 4), np.random.default_rng(3).normal(size=(5, 3))


def _preuve_fixe():
    c, x = _fixe()
    g = cot(c.avant(x))
    dx = c.arriere(g)
    return probe(lambda: c.avant(x), [dx, c.dW, c.dU, c.db], [x, c.W, c.U, c.b], g)


# ---------------------------------------- Whittaker-Glaetter: (diag(w) + lam D'D) z = w y
def glaetten(y, w, lam):
    D = np.diff(np.eye(len(y)), n=2, axis=0)
    P = D.T @ D
    A = np.diag(w) + lam[0] * P
    z = np.linalg.solve(A, w * y)
    return z, (y, w, A, P, z)


def glaetten_rueck(dz, merk):
    y, w, A, P, z = merk
    a = np.linalg.solve(A, dz)  # A ist symmetrisch
    dy = w * a
    dw = a * (y - z)
    dlam = np.array([a @ P @ z])
    return dy, dw, dlam


def _reihe():
    r = np.random.default_rng(4)
    return np.cumsum(r.normal(size=9)), r.uniform(0.5, 2, 9), np.array([1.7])


# ---------------------------------------- yumusak karar agaci, derinlik 2
class Kapi:
    def __init__(self, n, r):
        self.w, self.b = r.normal(size=n), r.normal(size=1)

    def ileri(self, x):
        self.x, self.p = x, sig(x @ self.w + self.b)
        return self.p

    def geri(self, dp):
        dz = dp * self.p * (1 - self.p)
        self.dw, self.db = dz @ self.x, np.array([dz.sum()])
        return np.outer(dz, self.w)


class YumusakAgac:
    def __init__(self, n, m):
        r = np.random.default_rng(5)
        self.kok, self.sol, self.sag = (Kapi(n, r) for _ in range(3))
        self.yaprak = r.normal(size=(4, m))

    def ileri(self, x):
        k, a, b = self.kok.ileri(x), self.sol.ileri(x), self.sag.ileri(x)
        self.yol = np.stack([k * a, k * (1 - a), (1 - k) * b, (1 - k) * (1 - b)], 1)
        return self.yol @ self.yaprak

    def geri(self, dy):
        k, a, b = self.kok.p, self.sol.p, self.sag.p
        self.dyaprak = self.yol.T @ dy
        d1, d2, d3, d4 = (dy @ self.yaprak.T).T
        dx = self.kok.geri(d1 * a + d2 * (1 - a) - d3 * b - d4 * (1 - b))
        dx += self.sol.geri(k * (d1 - d2))
        return dx + self.sag.geri((1 - k) * (d3 - d4))


def _agac():
    return YumusakAgac(3, 2), np.random.default_rng(6).normal(size=(5, 3))


def _ispat_agac():
    t, x = _agac()
    g = cot(t.ileri(x))
    dx = t.geri(g)
    kapi = [t.kok, t.sol, t.sag]
    return probe(
        lambda: t.ileri(x),
        [dx, t.dyaprak, *(q.dw for q in kapi), *(q.db for q in kapi)],
        [x, t.yaprak, *(q.w for q in kapi), *(q.b for q in kapi)],
        g,
    )


# ---------------------------------------- neural accumulator (Trask et al. 2018)
class NAC:
    def __init__(self, n_in, n_out):
        r = np.random.default_rng(7)
        self.params = {"W_hat": r.normal(size=(n_in, n_out)), "M_hat": r.normal(size=(n_in, n_out))}
        self.grads = {}

    def forward(self, x):
        self.x = x
        self.t, self.s = np.tanh(self.params["W_hat"]), sig(self.params["M_hat"])
        self.W = self.t * self.s
        return x @ self.W

    def backward(self, dout):
        dW = self.x.T @ dout
        self.grads["W_hat"] = dW * self.s * (1 - self.W**2)
        self.grads["M_hat"] = dW * self.t * self.s * (1 - self.s)
        return dout @ self.W.T


def _nac():
    return NAC(4, 3), np.random.default_rng(8).normal(size=(5, 4))


def _prove_nac():
    m, x = _nac()
    g = cot(m.forward(x))
    dx = m.backward(g)
    return probe(
        lambda: m.forward(x),
        [dx, m.grads["W_hat"], m.grads["M_hat"]],
        [x, m.params["W_hat"], m.params["M_hat"]],
        g,
    )


# ---------------------------------------- histogramme doux cumulé (pour une distance de Wasserstein)
def histo_avant(x, centres, log_largeur):
    ecart = x[:, None] - centres
    var = np.exp(2 * log_largeur)
    q = -0.5 * ecart**2 / var
    e = np.exp(q - q.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    return np.cumsum(p.mean(0)), (ecart, var, q, p)


def histo_arriere(dc, memoire):
    ecart, var, q, p = memoire
    dh = np.cumsum(dc[::-1])[::-1] / len(p)
    dq = p * (dh - (p @ dh)[:, None])
    decart = -dq * ecart / var
    return decart.sum(1), -decart.sum(0), np.array([-2 * np.sum(dq * q)])


def _valeurs():
    return np.random.default_rng(9).normal(size=8), np.linspace(-2, 2, 5), np.array([-0.5])


# ---------------------------------------- Catmull-Rom hokan (seigyoten wo tooru kyokusen)
class Hokan:
    KEISUU = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1.0]])

    def __init__(self, seigyoten):
        self.seigyoten = seigyoten
        self.dseigyoten = None

    def forward(self, t):
        n = len(self.seigyoten)
        i = np.clip(np.floor(t).astype(int), 1, n - 3)
        self.u = u = t - i
        self.bangou = i[:, None] + np.arange(-1, 3)
        self.omomi = np.stack([u**0, u, u**2, u**3], 1) @ self.KEISUU
        return np.einsum("tk,tkd->td", self.omomi, self.seigyoten[self.bangou])

    def backward(self, dten):
        self.dseigyoten = np.zeros_like(self.seigyoten)
        np.add.at(self.dseigyoten, self.bangou, self.omomi[..., None] * dten[:, None])
        p = self.seigyoten[self.bangou]
        sokudo = p[:, 2] - p[:, 1]
        return (dten * sokudo).sum(1)


def _kyokusen():
    r = np.random.default_rng(10)
    return Hokan(r.normal(size=(7, 2))), np.array([1.2, 1.9, 2.45, 3.3, 3.8, 4.6])


def _shoumei_hokan():
    s, t = _kyokusen()
    g = cot(s.forward(t))
    dt = s.backward(g)
    return probe(lambda: s.forward(t), [dt, s.dseigyoten], [t, s.seigyoten], g)


# ---------------------------------------- ruan qu zheng (soft rounding), lianghua buchang
class RuanQuZheng:
    """x - sin(2 pi x / buchang) * buchang / (2 pi) * yingdu, yingdu zai 0 he 1 zhijian"""

    def __init__(self, buchang=0.5, yingdu=0.8):
        self.buchang, self.yingdu = buchang, yingdu

    def zhengxiang(self, x):
        self.xiangwei = 2 * np.pi * x / self.buchang
        return x - self.yingdu * self.buchang / (2 * np.pi) * np.sin(self.xiangwei)

    def fanxiang(self, tidu):
        return tidu.copy()


def _qz():
    return RuanQuZheng(), np.random.default_rng(11).normal(size=(3, 4))


def _prove_qz():
    c, x = _qz()
    g = cot(c.zhengxiang(x))
    return probe(lambda: c.zhengxiang(x), [c.fanxiang(g)], [x], g)


def _scores():
    return (np.array([0.3, -1.2, 0.9, 2.1, -0.4, 1.3]),)


ENTRIES = [
    Stranger(
        "v: SoftSort permutation",
        "pair with cache",
        lambda gl: gl.check_cached_pair(softsort, softsort_backward, _scores()),
        lambda: of_pair(softsort, softsort_backward, _scores()),
    ),
    Stranger(
        "v: soft ranks with a pullback",
        "value and closure",
        lambda gl: gl.check_vjp(soft_rank, lambda pull, g: pull(g), _scores()),
        lambda: of_pair(soft_rank, lambda g, pull: pull(g), _scores()),
    ),
    Stranger(
        "v: soft top-k with an implicit threshold",
        "layer apply/apply_backward",
        lambda gl: gl.check_layer(*_topk()),
        _prove_topk,
    ),
    Stranger(
        "v: fixed-point layer in French",
        "layer avant/arriere, d-attributes",
        lambda gl: gl.check_layer(*_fixe()),
        _preuve_fixe,
    ),
    Stranger(
        "v: Whittaker smoother in German: sign of the penalty's gradient",
        "pair with cache",
        lambda gl: gl.check_cached_pair(glaetten, glaetten_rueck, _reihe()),
        lambda: of_pair(glaetten, glaetten_rueck, _reihe()),
        "wrong",
        "the derivative of the solution by lambda has the wrong sign",
        ("sign-flipped",),
        ("lam",),
        "    dlam = np.array([a @ P @ z])\n",
        "    dlam = np.array([-(a @ P @ z)])\n",
    ),
    Stranger(
        "v: soft decision tree in Turkish",
        "layer of modules ileri/geri",
        lambda gl: gl.check_layer(*_agac()),
        _ispat_agac,
    ),
    Stranger(
        "v: neural accumulator: slope of tanh from the product",
        "params and grads dicts",
        lambda gl: gl.check_layer(*_nac()),
        _prove_nac,
        "wrong",
        "the slope of tanh is taken at W = tanh * sigmoid instead of at tanh",
        ("wrong-operand",),
        ("W_hat",),
        '        self.grads["W_hat"] = dW * self.s * (1 - self.W**2)\n',
        '        self.grads["W_hat"] = dW * self.s * (1 - self.t**2)\n',
    ),
    Stranger(
        "v: soft cumulative histogram in French",
        "pair with cache",
        lambda gl: gl.check_cached_pair(histo_avant, histo_arriere, _valeurs()),
        lambda: of_pair(histo_avant, histo_arriere, _valeurs()),
    ),
    Stranger(
        "v: Catmull-Rom curve in romaji: slope of the chord",
        "layer with d-attribute",
        lambda gl: gl.check_layer(*_kyokusen()),
        _shoumei_hokan,
        "wrong",
        "the velocity is that of linear interpolation between the two points, not the cubic's",
        ("other-approximation", "wrong-operand"),
        ("t",),
        "        sokudo = p[:, 2] - p[:, 1]\n",
        "        u = self.u\n"
        "        domomi = np.stack([0 * u, u**0, 2 * u, 3 * u**2], 1) @ self.KEISUU\n"
        "        sokudo = np.einsum('tk,tkd->td', domomi, p)\n",
    ),
    Stranger(
        "v: soft rounding in pinyin: gradient passed straight through",
        "layer zhengxiang/fanxiang",
        lambda gl: gl.check_layer(*_qz()),
        _prove_qz,
        "wrong",
        "the cotangent is passed on as if the layer were the identity",
        ("straight-through", "missing-factor"),
        ("x",),
        "        return tidu.copy()\n",
        "        return tidu * (1 - self.yingdu * np.cos(self.xiangwei))\n",
    ),
]
