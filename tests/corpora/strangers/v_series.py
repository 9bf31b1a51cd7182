"""Time series, recommendation, ranking objectives."""

import numpy as np

from ._entry import Stranger
from ._help_v import cot, of_fun, probe


# ---------------------------------------- Holt: doppelte exponentielle Glaettung
def holt_fehler(theta, reihe):
    """Quadratfehler der Einschritt-Prognosen; theta = Logits von (alpha, beta). Gibt Fehler und Gradient."""
    alpha, beta = 1 / (1 + np.exp(-theta))
    niveau, trend = reihe[0], reihe[1] - reihe[0]
    d_niveau, d_trend = np.zeros(2), np.zeros(2)
    summe, d_summe = 0.0, np.zeros(2)
    for wert in reihe[1:]:
        prognose, d_prognose = niveau + trend, d_niveau + d_trend
        rest = wert - prognose
        summe += rest**2
        d_summe -= 2 * rest * d_prognose
        neu = prognose + alpha * rest
        d_neu = (1 - alpha) * d_prognose + np.array([rest, 0])
        d_trend = (1 - beta) * d_trend + beta * (d_neu - d_niveau) + np.array([0, neu - niveau - trend])
        trend = (1 - beta) * trend + beta * (neu - niveau)
        niveau, d_niveau = neu, d_neu
    return summe, d_summe * np.array([alpha * (1 - alpha), beta * (1 - beta)])


def _absatz():
    r = np.random.default_rng(0)
    return np.array([0.4, -0.8]), np.cumsum(0.5 + r.normal(size=14))


# ---------------------------------------- GARCH(1,1), kisitsiz parametreler
def _coz(theta):
    return np.exp(theta[0]), 1 / (1 + np.exp(-theta[1])), 1 / (1 + np.exp(-theta[2]))


def garch_kayip(theta, getiri):
    omega, alfa, beta = _coz(theta)
    h, toplam = getiri.var(), 0.0
    for t in range(1, len(getiri)):
        h = omega + alfa * getiri[t - 1] ** 2 + beta * h
        toplam += 0.5 * (np.log(h) + getiri[t] ** 2 / h)
    return toplam


def garch_gradyan(theta, getiri):
    omega, alfa, beta = _coz(theta)
    h, dh, g = getiri.var(), np.zeros(3), np.zeros(3)
    for t in range(1, len(getiri)):
        dh = np.array([1.0, getiri[t - 1] ** 2, h]) + beta * dh
        h = omega + alfa * getiri[t - 1] ** 2 + beta * h
        g += 0.5 * (1 / h - getiri[t] ** 2 / h**2) * dh
    # zincir kurali: exp ve sigmoid
    return g * np.array([omega, alfa * (1 - alfa), beta])


def _getiri():
    return np.array([-1.5, -1.2, 0.6]), np.random.default_rng(1).normal(size=20)


# ---------------------------------------- soft-DTW (Cuturi & Blondel 2017)
def _table(x, y, gamma):
    C = ((x[:, None] - y[None]) ** 2).sum(-1)
    n, m = C.shape
    R = np.full((n + 2, m + 2), np.inf)
    R[0, 0] = 0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            q = np.array([R[i - 1, j - 1], R[i - 1, j], R[i, j - 1]])
            lo = q.min()
            R[i, j] = C[i - 1, j - 1] + lo - gamma * np.log(np.exp(-(q - lo) / gamma).sum())
    return C, R


def sdtw(x, y, gamma=1.0):
    return _table(x, y, gamma)[1][-2, -2]


def sdtw_grad(x, y, gamma=1.0):
    C, R = _table(x, y, gamma)
    n, m = C.shape
    D = np.zeros((n + 2, m + 2))
    D[1:-1, 1:-1] = C
    R[-1], R[:, -1] = -np.inf, -np.inf
    R[-1, -1] = R[-2, -2]
    E = np.zeros_like(R)
    E[-1, -1] = 1
    for j in range(m, 0, -1):
        for i in range(n, 0, -1):
            for a, b in ((i + 1, j), (i, j + 1), (i + 1, j + 1)):
                E[i, j] += E[a, b] * np.exp((R[a, b] - R[i, j] - D[a, b]) / gamma)
    E = E[1:-1, 1:-1]
    return 2 * (E.sum(1)[:, None] * x - E @ y)


def _curves():
    r = np.random.default_rng(2)
    return r.normal(size=(5, 2)), r.normal(size=(6, 2)), 0.8


# ---------------------------------------- tuijian: yinzi fenjie ji (FM)
class YinZiFenJieJi:
    def __init__(self, tezheng, k):
        r = np.random.default_rng(3)
        self.canshu = {"w0": r.normal(size=1), "w": r.normal(size=tezheng), "V": r.normal(size=(tezheng, k))}
        self.tidu = {}

    def qianxiang(self, x):
        V = self.canshu["V"]
        self.x, self.he = x, x @ V
        jiaocha = 0.5 * (self.he**2 - x**2 @ V**2).sum(1)
        return self.canshu["w0"] + x @ self.canshu["w"] + jiaocha

    def fanxiang(self, dy):
        x, V = self.x, self.canshu["V"]
        self.tidu["w0"] = np.array([dy.sum()])
        self.tidu["w"] = x.T @ dy
        self.tidu["V"] = x.T @ (dy[:, None] * self.he) - V * ((x**2).T @ dy)[:, None]
        return dy[:, None] * (self.canshu["w"] + self.he @ V.T - x * (V**2).sum(1))


def _yonghu():
    return YinZiFenJieJi(5, 3), np.random.default_rng(4).normal(size=(6, 5))


def _prove_fm():
    m, x = _yonghu()
    g = cot(m.qianxiang(x))
    dx = m.fanxiang(g)
    return probe(lambda: m.qianxiang(x), [dx, *(m.tidu[k] for k in m.canshu)], [x, *m.canshu.values()], g)


# ---------------------------------------- cross network (DCN): x0 * (x w) + b + x
class CrossNet:
    def __init__(self, dim, depth=3):
        r = np.random.default_rng(5)
        self.w = 0.4 * r.normal(size=(depth, dim))
        self.b = 0.4 * r.normal(size=(depth, dim))
        self.dw, self.db = np.zeros_like(self.w), np.zeros_like(self.b)

    def forward(self, x0):
        self.xs = [x0]
        for w, b in zip(self.w, self.b):
            x = self.xs[-1]
            self.xs.append(x0 * (x @ w)[:, None] + b + x)
        return self.xs[-1]

    def backward(self, dout):
        x0, g = self.xs[0], dout
        dx0 = np.zeros_like(x0)
        for l in reversed(range(len(self.w))):
            x = self.xs[l]
            ds = (g * x0).sum(1)
            dx0 += g * (x @ self.w[l])[:, None]
            self.dw[l] = x.T @ ds
            g = g + np.outer(ds, self.w[l])
            self.db[l] = g.sum(0)
        return dx0 + g


def _cross():
    return CrossNet(4), np.random.default_rng(6).normal(size=(5, 4))


def _prove_cross():
    m, x = _cross()
    g = cot(m.forward(x))
    dx = m.backward(g)
    return probe(lambda: m.forward(x), [dx, m.dw, m.db], [x, m.w, m.b], g)


# ---------------------------------------- learnable exponential moving average, x (T, F)
class EMA:
    def __init__(self, decay):
        self.decay = np.asarray(decay, float)  # one per feature
        self.decay_grad = np.zeros_like(self.decay)

    def forward(self, x):
        s = np.empty_like(x)
        s[0] = x[0]
        for t in range(1, len(x)):
            s[t] = self.decay * s[t - 1] + (1 - self.decay) * x[t]
        self.x, self.s = x, s
        return s

    def backward(self, dout):
        dx = np.empty_like(dout)
        self.decay_grad = np.zeros_like(self.decay)
        carry = np.zeros_like(self.decay)
        for t in range(len(dout) - 1, 0, -1):
            carry = carry + dout[t]
            self.decay_grad += dout[t] * carry * (self.s[t - 1] - self.x[t])
            dx[t] = (1 - self.decay) * carry
            carry = self.decay * carry
        dx[0] = carry + dout[0]
        return dx


def _ema():
    return EMA([0.9, 0.6, 0.75]), np.random.default_rng(7).normal(size=(8, 3))


def _prove_ema():
    m, x = _ema()
    g = cot(m.forward(x))
    dx = m.backward(g)
    return probe(lambda: m.forward(x), [dx, m.decay_grad], [x, m.decay], g)


# ---------------------------------------- filtre de Kalman, niveau local; theta = log(q), log(r)
class NiveauLocal:
    def __init__(self, serie):
        self.serie = serie

    def perte_et_pente(self, theta):
        q, r = np.exp(theta)
        m, P = self.serie[0], r
        dm, dP = np.zeros(2), np.array([0, r])
        perte, pente = 0.0, np.zeros(2)
        for y in self.serie[1:]:
            P, dP = P + q, dP + np.array([q, 0])
            S, dS = P + r, dP + np.array([0, r])
            e, de = y - m, -dm
            perte += 0.5 * (np.log(S) + e**2 / S)
            pente += 0.5 * dS / S + e * de / S - 0.5 * e**2 * dS / S**2
            K, dK = P / S, dP / S - P * dS / S**2
            m, dm = m + K * e, dm + dK * e + K * de
            P, dP = (1 - K) * P, (1 - K) * dP - dK * P
        return perte, pente


def _nil():
    r = np.random.default_rng(8)
    return NiveauLocal(np.cumsum(0.4 * r.normal(size=15)) + 0.8 * r.normal(size=15)), np.array([-1.1, 0.2])


# ---------------------------------------- Zwei-Turm-Modell: Kosinus von Nutzer und Artikel
class KosinusTurm:
    def vorwaerts(self, nutzer, artikel):
        self.nu = np.linalg.norm(nutzer, axis=1, keepdims=True)
        self.na = np.linalg.norm(artikel, axis=1, keepdims=True)
        self.u, self.a = nutzer / self.nu, artikel / self.na
        self.cos = (self.u * self.a).sum(1, keepdims=True)
        return self.cos[:, 0]

    def rueckwaerts(self, dcos):
        d = dcos[:, None]
        d_nutzer = (self.a - self.cos * self.u) / self.nu
        d_artikel = d * (self.u - self.cos * self.a) / self.na
        return d_nutzer, d_artikel


def _turm():
    r = np.random.default_rng(9)
    return KosinusTurm(), r.normal(size=(5, 4)), r.normal(size=(5, 4))


def _beweis_turm():
    m, a, b = _turm()
    g = cot(m.vorwaerts(a, b))
    return probe(lambda: m.vorwaerts(a, b), m.rueckwaerts(g), [a, b], g)


# ---------------------------------------- xep hang: ListMLE theo nhom truy van
def listmle(diem, lien_quan, nhom):
    mat_mat = 0.0
    for dau, cuoi in zip(np.r_[0, np.cumsum(nhom)[:-1]], np.cumsum(nhom)):
        s = diem[dau:cuoi][np.argsort(-lien_quan[dau:cuoi], kind="stable")]
        mat_mat += sum(np.log(np.exp(s[i:]).sum()) - s[i] for i in range(len(s)))
    return mat_mat


def listmle_muc_tieu(diem, lien_quan, nhom):
    """muc tieu kieu XGBoost: tra ve (grad, hess)"""
    grad, hess = np.zeros_like(diem), np.ones_like(diem)
    for dau, cuoi in zip(np.r_[0, np.cumsum(nhom)[:-1]], np.cumsum(nhom)):
        thu_tu = dau + np.argsort(-lien_quan[dau:cuoi], kind="stable")
        e = np.exp(diem[thu_tu])
        duoi = np.cumsum(e[::-1])[::-1]
        grad[thu_tu] = e * np.cumsum(1 / duoi) - 1
        hess[thu_tu] = e * np.cumsum(1 / duoi) - e**2 * np.cumsum(1 / duoi**2)
    return grad, hess


def _truy_van():
    r = np.random.default_rng(10)
    return r.normal(size=9), np.array([2, 0, 1, 3, 1, 4, 0, 2, 5]), [4, 3, 2]


def _listmle_grad(d, lq, nh):
    return listmle_muc_tieu(d, lq, nh)[0]


# ---------------------------------------- undo differencing: level = start + cumsum
class Integrate:
    def __init__(self, start):
        self.start = np.asarray(start, float)

    def forward(self, steps):
        return self.start + np.cumsum(steps, axis=0)

    def backward(self, dout):
        for t in range(len(dout) - 2, -1, -1):
            dout[t] += dout[t + 1]
        self.dstart = dout[0].copy()
        return dout.copy()


ENTRIES = [
    Stranger(
        "v: Holt smoothing in German",
        "value and gradient, args",
        lambda gl: gl.check_gradient(holt_fehler, True, _absatz()[0], args=(_absatz()[1],)),
        lambda: of_fun(holt_fehler, True, *_absatz()),
    ),
    Stranger(
        "v: GARCH in Turkish: sigmoid's slope of beta incomplete",
        "f and grad with args",
        lambda gl: gl.check_gradient(garch_kayip, garch_gradyan, _getiri()[0], args=(_getiri()[1],)),
        lambda: of_fun(garch_kayip, garch_gradyan, *_getiri()),
        "wrong",
        "beta is a sigmoid, but its slope lacks the factor 1 - beta",
        ("missing-factor", "columns-exchanged", "single-element"),
        ("theta",),
        "    return g * np.array([omega, alfa * (1 - alfa), beta])\n",
        "    return g * np.array([omega, alfa * (1 - alfa), beta * (1 - beta)])\n",
    ),
    Stranger(
        "v: soft-DTW between curves",
        "f and grad with args",
        lambda gl: gl.check_gradient(sdtw, sdtw_grad, _curves()[0], args=_curves()[1:]),
        lambda: of_fun(sdtw, sdtw_grad, *_curves()),
    ),
    Stranger(
        "v: factorization machine in pinyin",
        "layer qianxiang/fanxiang, dicts canshu and tidu",
        lambda gl: gl.check_layer(*_yonghu()),
        _prove_fm,
    ),
    Stranger(
        "v: cross network: bias from the next layer's cotangent",
        "layer with d-attributes",
        lambda gl: gl.check_layer(*_cross()),
        _prove_cross,
        "wrong",
        "the bias's gradient is summed after the cotangent was already taken to the layer below",
        ("wrong-cotangent",),
        ("b",),
        "            g = g + np.outer(ds, self.w[l])\n            self.db[l] = g.sum(0)\n",
        "            self.db[l] = g.sum(0)\n            g = g + np.outer(ds, self.w[l])\n",
    ),
    Stranger(
        "v: learnable moving average: cotangent twice in the decay",
        "layer with _grad attribute",
        lambda gl: gl.check_layer(*_ema()),
        _prove_ema,
        "wrong",
        "the decay's gradient multiplies by dout although carry already contains it",
        ("nonlinear-in-cotangent",),
        ("decay",),
        "            self.decay_grad += dout[t] * carry * (self.s[t - 1] - self.x[t])\n",
        "            self.decay_grad += carry * (self.s[t - 1] - self.x[t])\n",
    ),
    Stranger(
        "v: local level Kalman likelihood in French",
        "method with value and gradient",
        lambda gl: gl.check_gradient(_nil()[0].perte_et_pente, True, _nil()[1]),
        lambda: of_fun(_nil()[0].perte_et_pente, True, _nil()[1]),
    ),
    Stranger(
        "v: two-tower cosine in German: the user's gradient without dout",
        "layer vorwaerts/rueckwaerts",
        lambda gl: gl.check_layer(*_turm()),
        _beweis_turm,
        "wrong",
        "the user's gradient is not multiplied by the cotangent",
        ("ignores-cotangent",),
        ("nutzer",),
        "        d_nutzer = (self.a - self.cos * self.u) / self.nu\n",
        "        d_nutzer = d * (self.a - self.cos * self.u) / self.nu\n",
    ),
    Stranger(
        "v: ListMLE as a booster's objective in Vietnamese",
        "objective with grad and hess, groups",
        lambda gl: gl.check_gradient(listmle, _listmle_grad, _truy_van()[0], args=_truy_van()[1:]),
        lambda: of_fun(listmle, _listmle_grad, *_truy_van()),
    ),
    Stranger(
        "v: integrated steps: sums up in the caller's dout",
        "layer with d-attribute",
        lambda gl: gl.check_layer(Integrate([1.0, -2.0]), np.random.default_rng(11).normal(size=(6, 2))),
        lambda: [],
        "habit",
        "backward writes its running sums into dout",
        ("mutates-argument",),
        ("dout",),
    ),
]
