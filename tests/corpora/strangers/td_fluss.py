"""Normalising flows, diffusion, trees, fuzzy logic, physics-informed losses."""

import numpy as np

from ._entry import Stranger
from ._help_td import drill, pairs


def sig(a):
    return 1.0 / (1.0 + np.exp(-a))


def estrai(*forma, seme=0, scala=1.0):
    return np.random.default_rng(seme).normal(size=forma) * scala


# --- RealNVP (italiano): due uscite, y e log|det J|
class AccoppiamentoAffine:
    def __init__(self, dim, seme=0):
        meta = dim // 2
        self.parametri = {
            "Ws": estrai(meta, meta, seme=seme, scala=0.5),
            "bs": estrai(meta, seme=seme + 1, scala=0.1),
            "Wt": estrai(meta, meta, seme=seme + 2, scala=0.5),
            "bt": estrai(meta, seme=seme + 3, scala=0.1),
        }
        self.gradienti = dict.fromkeys(self.parametri)

    def forward(self, x):
        self.xa, self.xb = np.hsplit(x, 2)
        p = self.parametri
        self.s = np.tanh(self.xa @ p["Ws"] + p["bs"])
        t = self.xa @ p["Wt"] + p["bt"]
        y = np.hstack([self.xa, self.xb * np.exp(self.s) + t])
        return y, self.s.sum(axis=1)

    def backward(self, dy, dlogdet):
        p, g = self.parametri, self.gradienti
        dya, dyb = np.hsplit(dy, 2)
        ds = dyb * self.xb * np.exp(self.s) + dlogdet[:, None]
        dpre = ds * (1 - self.s**2)
        g["Ws"], g["bs"] = self.xa.T @ dpre, dpre.sum(0)
        g["Wt"], g["bt"] = self.xa.T @ dyb, dyb.sum(0)
        dxa = dya + dpre @ p["Ws"].T + dyb @ p["Wt"].T
        return np.hstack([dxa, dyb * np.exp(self.s)])


# --- planar flow, course style
def planar_forward(z, w, u, b):
    h = np.tanh(z @ w + b)
    return z + h[:, None] * u, (z, w, u, h)


def planar_backward(dout, cache):
    z, w, u, h = cache
    da = (dout @ u) * (1 - h**2)
    dz = dout + da[:, None] * w
    dw = z.T @ da
    du = dout.T @ h
    db = da.sum(keepdims=True)
    return dz, du, dw, db


# --- yumuşak karar ağacı: düğüm düğüm, özyineli
class Yaprak:
    def __init__(self, deger):
        self.deger = deger
        self.d_deger = np.zeros_like(deger)

    def ileri(self, x):
        self.n = len(x)
        return np.tile(self.deger, (self.n, 1))

    def geri(self, dy):
        self.d_deger = dy.sum(axis=0)
        return 0.0


class Dugum:
    def __init__(self, w, b, sol, sag):
        self.w, self.b, self.sol, self.sag = w, b, sol, sag

    def ileri(self, x):
        self.x = x
        self.p = sig(x @ self.w + self.b)[:, None]
        self.ysol, self.ysag = self.sol.ileri(x), self.sag.ileri(x)
        return self.p * self.ysag + (1 - self.p) * self.ysol

    def geri(self, dy):
        dp = (dy * (self.ysag - self.ysol)).sum(axis=1)
        da = dp * self.p[:, 0] * (1 - self.p[:, 0])
        self.d_w, self.d_b = self.x.T @ da, da.sum(keepdims=True)
        return np.outer(da, self.w) + self.sag.geri(dy * self.p) + self.sol.geri(dy * (1 - self.p))


class KararAgaci:
    def __init__(self, girdi, cikti, derinlik=2, tohum=0):
        self.r = np.random.default_rng(tohum)
        self.kok = self._kur(girdi, cikti, derinlik)

    def _kur(self, g, c, derinlik):
        if derinlik == 0:
            return Yaprak(self.r.normal(size=c))
        sol, sag = self._kur(g, c, derinlik - 1), self._kur(g, c, derinlik - 1)
        return Dugum(self.r.normal(size=g), self.r.normal(size=1), sol, sag)

    def forward(self, x):
        return self.kok.ileri(x)

    def backward(self, dy):
        return self.kok.geri(dy)


# --- fuzzy OR:  y_j = 1 - prod_i (1 - w_ij x_i)
class NoisyOr:
    def __init__(self, n_in, n_out):
        self.W = np.random.default_rng(14).uniform(0.1, 0.8, (n_in, n_out))
        self.dW = None

    def forward(self, x):
        self.x = x
        self.miss = 1 - x[:, :, None] * self.W
        self.none = self.miss.prod(axis=1)
        return 1 - self.none

    def backward(self, dout):
        others = self.none[:, None, :] / self.miss
        self.dW = np.einsum("bi,bij->ij", self.x, others)
        return np.einsum("bj,ij,bij->bi", dout, self.W, others)


# --- kuosan moxing (DDPM), yuce zaosheng
class KuosanSunshi:
    def __init__(self, weidu, yincang, zaosheng, T=10):
        r = np.random.RandomState(6)
        beta = np.linspace(0.05, 0.3, T)
        self.leiji = np.cumprod(1 - beta)  # alpha ba
        self.zaosheng = zaosheng
        self.W1, self.b1 = r.randn(weidu, yincang) * 0.5, np.zeros(yincang)
        self.W2, self.b2 = r.randn(yincang, weidu) * 0.5, np.zeros(weidu)
        self.E = r.randn(T, yincang) * 0.5  # shijian qianru
        self.tidu = {}

    def canshu(self):
        return {"W1": self.W1, "b1": self.b1, "W2": self.W2, "b2": self.b2, "E": self.E}

    def forward(self, x0, t):
        a = self.leiji[t][:, None]
        self.xt = np.sqrt(a) * x0 + np.sqrt(1 - a) * self.zaosheng
        self.t, self.a = t, a
        z = self.xt @ self.W1 + self.b1 + self.E[t]
        self.s = sig(z)
        self.z, self.h = z, z * self.s  # silu
        self.cha = self.h @ self.W2 + self.b2 - self.zaosheng
        return (self.cha**2).mean()

    def backward(self):
        d = 2 * self.cha / self.cha.size
        dz = d @ self.W2.T * (self.s + self.h * (1 - self.s))
        dE = np.zeros_like(self.E)
        for i, ti in enumerate(self.t):
            dE[ti] += dz[i]
        self.tidu = dict(W1=self.xt.T @ dz, b1=dz.sum(0), W2=self.h.T @ d, b2=d.sum(0), E=dE)
        return np.sqrt(self.a) * (dz @ self.W1.T)


# --- appariement de flux : v(x_t, t) contre x1 - x0, mini-lots d'indices
class Lineaire:
    def __init__(self, entree, sortie, alea):
        self.poids = alea.normal(0, 0.6, (entree, sortie))
        self.biais = np.zeros(sortie)

    def forward(self, x):
        self.x = x
        return x @ self.poids + self.biais

    def backward(self, d):
        self.d_poids = self.x.T @ d / len(self.x)
        self.d_biais = d.sum(axis=0)
        return d @ self.poids.T


class AppariementDeFlux:
    def __init__(self, x0, x1, t):
        self.entree = np.concatenate([(1 - t) * x0 + t * x1, t], axis=1)
        self.cible = x1 - x0
        alea = np.random.default_rng(2)
        self.couches = [Lineaire(x0.shape[1] + 1, 4, alea), Lineaire(4, x0.shape[1], alea)]

    def forward(self, lot):
        un, deux = self.couches
        self.h = np.tanh(un.forward(self.entree[lot]))
        self.ecart = deux.forward(self.h) - self.cible[lot]
        return (self.ecart**2).sum() / len(lot)

    def backward(self):
        un, deux = self.couches
        d = deux.backward(2 * self.ecart / len(self.ecart))
        un.backward(d * (1 - self.h**2))


# --- PINN: u'' + w^2 u = 0, u(0) = 1, con u(t) = sum_k a_k tanh(w_k t + b_k)
TIEMPOS = np.linspace(0.1, 2.0, 9)


def pinn_oscilador(p, omega=1.7):
    a, w, b = p.reshape(3, -1)
    h = np.tanh(np.outer(TIEMPOS, w) + b)
    s = 1 - h**2
    residuo = (-2 * h * s * w**2) @ a + omega**2 * h @ a
    h0 = np.tanh(b)
    inicial = h0 @ a - 1
    valor = np.mean(residuo**2) + inicial**2
    # gradiente
    dr = 2 * residuo / len(residuo)
    ga = dr @ (-2 * h * s * w**2 + omega**2 * h) + 2 * inicial * h0
    # d(-2 h s)/dz = -2 s (1 - 3 h^2)
    dz = dr[:, None] * a * (-2 * s * (1 - 3 * h**2) * w**2 + omega**2 * s)
    gw = TIEMPOS @ dz + dr @ (-4 * h * s * w) * a
    gb = dz.sum(0) + 2 * inicial * a * (1 - h0**2)
    return valor, np.concatenate([ga, gw, gb])


# --- Burgers, collocation on sin(k x) t^m
def _basis(x, t):
    k, m = np.array([1, 2, 3, 1, 2, 3]), np.array([0, 0, 0, 1, 1, 1])
    s, c, tm = np.sin(np.outer(x, k)), np.cos(np.outer(x, k)), t[:, None] ** m
    return s * tm, s * m, c * k * tm, -s * k**2 * tm  # u, u_t, u_x, u_xx


def burgers_residual(c, x, t, nu):
    U, Ut, Ux, Uxx = _basis(x, t)
    return Ut @ c + (U @ c) * (Ux @ c) - nu * (Uxx @ c)


def burgers_jacobian(c, x, t, nu):
    U, Ut, Ux, Uxx = _basis(x, t)
    J = Ut - nu * Uxx
    J += (U @ c)[:, None] * Ux
    return J


# --- yawarakai shikiichi (ki no bunki)
class YawarakaiShikiichi:
    def __init__(self, shikiichi, katasa=3.0):
        self.shikiichi = shikiichi
        self.katasa = katasa
        self.d_shikiichi = np.zeros_like(shikiichi)

    def forward(self, x):
        self.migi = sig(self.katasa * (x - self.shikiichi))
        return self.migi

    def backward(self, dout):
        dz = dout
        self.d_shikiichi = -dz.sum(axis=0)
        return dz


# --- mixture of logistics, log-likelihood of a batch; gradients in one dict
class LogisticMixture:
    def __init__(self, K):
        self.logits = np.linspace(-0.5, 0.5, K)
        self.mu = np.linspace(-2.0, 2.0, K)
        self.log_s = np.linspace(-0.3, 0.2, K)

    def forward(self, x):
        e = np.exp(self.logits)
        self.pi = e / e.sum()
        self.s = np.exp(self.log_s)
        self.z = (x[:, None] - self.mu) / self.s
        dens = self.pi * sig(self.z) * sig(-self.z) / self.s
        self.r = dens / dens.sum(1, keepdims=True)
        return np.log(dens.sum(1))

    def backward(self, dlogp):
        r = self.r * dlogp[:, None]
        pull = -r * np.tanh(self.z / 2) / self.s
        return {
            "x": pull.sum(1),
            "logits": (r - dlogp[:, None] * self.pi).sum(0),
            "mu": -pull.sum(0),
            "log_s": (-pull * self.z * self.s - r).sum(0),
        }


def _p_nvp():
    m, x = AccoppiamentoAffine(4), estrai(5, 4, seme=20)
    gy, gl = estrai(5, 4, seme=21), estrai(5, seme=22)
    m.forward(x)
    d = m.backward(gy, gl)

    def valore():
        y, logdet = m.forward(x)
        return np.sum(y * gy) + np.sum(logdet * gl)

    return pairs([d, *m.gradienti.values()], valore, x, *m.parametri.values())


def _planar():
    return estrai(5, 3, seme=1), estrai(3, seme=2), estrai(3, seme=3), estrai(1, seme=4)


def _p_planar():
    xs, g = _planar(), estrai(5, 3, seme=5)
    return pairs(planar_backward(g, planar_forward(*xs)[1]), lambda: planar_forward(*xs)[0] * g, *xs)


def _p(m, x, values=(), grads=lambda m: []):
    g = estrai(*m.forward(x).shape, seme=30)
    d = m.backward(g)
    return pairs([d, *grads(m)], lambda: m.forward(x) * g, x, *values)


def _p_agac():
    m = KararAgaci(3, 2)
    k, s, g = m.kok, m.kok.sol, m.kok.sag
    y = [s.sol, s.sag, g.sol, g.sag]
    values = [a for n in (k, s, g) for a in (n.w, n.b)] + [n.deger for n in y]
    return _p(
        m,
        estrai(5, 3, seme=6),
        values,
        lambda m: [a for n in (k, s, g) for a in (n.d_w, n.d_b)] + [n.d_deger for n in y],
    )


def _p_or():
    m = NoisyOr(4, 3)
    return _p(m, sig(estrai(5, 4, seme=7)), [m.W], lambda m: [m.dW])


_T = np.array([2, 7, 2, 4])


def _p_kuosan():
    m, x0 = KuosanSunshi(3, 4, estrai(4, 3, seme=8)), estrai(4, 3, seme=9)
    m.forward(x0, _T)
    d, p = m.backward(), m.canshu()
    return pairs([d, *(m.tidu[k] for k in p)], lambda: m.forward(x0, _T), x0, *p.values())


def _flux():
    return AppariementDeFlux(estrai(8, 2, seme=10), 2 + estrai(8, 2, seme=11), np.linspace(0, 1, 8)[:, None])


_LOT = np.array([0, 3, 5, 6])


def _p_flux():
    m = _flux()
    m.forward(_LOT)
    m.backward()
    claimed = [a for c in m.couches for a in (c.d_poids, c.d_biais)]
    return pairs(claimed, lambda: m.forward(_LOT), *(a for c in m.couches for a in (c.poids, c.biais)))


def _p_pinn():
    p = estrai(12, seme=12)
    return [(pinn_oscilador(p)[1], drill(lambda: pinn_oscilador(p)[0], p)[0])]


_ARGS = (np.linspace(0.2, 2.9, 8), np.linspace(0.9, 0.1, 8), 0.1)


def _p_burgers():
    c = estrai(6, seme=13)
    rows = [drill(lambda i=i: burgers_residual(c, *_ARGS)[i], c)[0] for i in range(8)]
    return [(burgers_jacobian(c, *_ARGS), np.stack(rows))]


_ki = lambda: YawarakaiShikiichi(estrai(4, seme=15, scala=0.3))  # noqa: E731


def _p_ki():
    m = _ki()
    return _p(m, estrai(6, 4, seme=16), [m.shikiichi], lambda m: [m.d_shikiichi])


def _p_mix():
    m, x, g = LogisticMixture(3), estrai(6, seme=17), estrai(6, seme=18)
    m.forward(x)
    d = m.backward(g)
    claimed = [d[k] for k in ("x", "logits", "mu", "log_s")]
    return pairs(claimed, lambda: m.forward(x) * g, x, m.logits, m.mu, m.log_s)


ENTRIES = [
    Stranger(
        "td RealNVP coupling in Italian with two outputs",
        "layer with two outputs, dicts in Italian",
        lambda gradlab: gradlab.check_layer(AccoppiamentoAffine(4), estrai(5, 4, seme=20)),
        _p_nvp,
    ),
    Stranger(
        "td planar flow: the gradients of w and u change places",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(planar_forward, planar_backward, _planar()),
        _p_planar,
        "wrong",
        "w's gradient is returned in the place of u's, and the other way round",
        ("swapped-primals",),
        ("w", "u"),
        "    return dz, du, dw, db\n",
        "    return dz, dw, du, db\n",
    ),
    Stranger(
        "td soft decision tree in Turkish, nodes inside nodes",
        "recursive layer, parameters in nested objects",
        lambda gradlab: gradlab.check_layer(KararAgaci(3, 2), estrai(5, 3, seme=6)),
        _p_agac,
    ),
    Stranger(
        "td noisy-or logic layer: the weights' gradient does not use dout",
        "layer with W and dW",
        lambda gradlab: gradlab.check_layer(NoisyOr(4, 3), sig(estrai(5, 4, seme=7))),
        _p_or,
        "wrong",
        "the gradient of W leaves out dout",
        ("ignores-cotangent",),
        ("W",),
        '        self.dW = np.einsum("bi,bij->ij", self.x, others)\n',
        '        self.dW = np.einsum("bi,bij,bj->ij", self.x, others, dout)\n',
    ),
    Stranger(
        "td DDPM noise-prediction loss in pinyin with time embeddings",
        "loss net with canshu() and tidu dict",
        lambda gradlab: gradlab.check_layer(
            KuosanSunshi(3, 4, estrai(4, 3, seme=8)), estrai(4, 3, seme=9), _T
        ),
        _p_kuosan,
    ),
    Stranger(
        "td flow matching in French: weights' gradients averaged over the batch a second time",
        "loss net of batch indices with modules in a list",
        lambda gradlab: gradlab.check_layer(_flux(), _LOT),
        _p_flux,
        "wrong",
        "the loss's gradient is divided by the batch size, and the weights' gradient once more",
        ("constant-factor",),
        ("poids",),
        "        self.d_poids = self.x.T @ d / len(self.x)\n",
        "        self.d_poids = self.x.T @ d\n",
    ),
    Stranger(
        "td PINN of an oscillator in Spanish",
        "f that returns value and gradient",
        lambda gradlab: gradlab.check_gradient(pinn_oscilador, True, estrai(12, seme=12)),
        _p_pinn,
    ),
    Stranger(
        "td Burgers residual's Jacobian: half of the product rule",
        "f and jac with args",
        lambda gradlab: gradlab.check_jacobian(
            burgers_residual, burgers_jacobian, estrai(6, seme=13), args=_ARGS
        ),
        _p_burgers,
        "wrong",
        "of the derivative of u u_x the term u_x du is missing",
        ("missing-term",),
        ("c",),
        "    J += (U @ c)[:, None] * Ux\n",
        "    J += (U @ c)[:, None] * Ux + (Ux @ c)[:, None] * U\n",
    ),
    Stranger(
        "td soft threshold in romaji: backward passes dout through without the sigmoid's slope",
        "layer with shikiichi and d_shikiichi",
        lambda gradlab: gradlab.check_layer(_ki(), estrai(6, 4, seme=16)),
        _p_ki,
        "wrong",
        "the slope of the sigmoid is left out: dout is handed on as it is",
        ("straight-through", "missing-factor"),
        ("x", "shikiichi"),
        "        dz = dout\n",
        "        dz = dout * self.katasa * self.migi * (1 - self.migi)\n",
    ),
    Stranger(
        "td mixture of logistics, log densities",
        "layer whose backward returns one dict for input and parameters",
        lambda gradlab: gradlab.check_layer(LogisticMixture(3), estrai(6, seme=17)),
        _p_mix,
    ),
]
