"""Trabajos de curso, trabalhos de casa, course assignments."""

import numpy as np

from ._entry import Stranger
from ._help_r import poke


# ---------------------------------------------------------------- mezcla de expertos (tarea 4)
class MezclaDeExpertos:
    """K expertos lineales y una puerta softmax que los pondera."""

    def __init__(self, n_ent, n_sal, n_exp, semilla=0):
        azar = np.random.RandomState(semilla)
        self.parametros = {
            "We": azar.randn(n_exp, n_ent, n_sal) * 0.5,
            "be": azar.randn(n_exp, n_sal) * 0.1,
            "Wp": azar.randn(n_ent, n_exp) * 0.5,
        }
        self.gradientes = {}

    def adelante(self, x):
        P = self.parametros
        puntaje = x @ P["Wp"]
        e = np.exp(puntaje - puntaje.max(axis=1, keepdims=True))
        puerta = e / e.sum(axis=1, keepdims=True)
        salidas = np.einsum("ni,kio->nko", x, P["We"]) + P["be"]
        self.memoria = x, puerta, salidas
        return np.einsum("nk,nko->no", puerta, salidas)

    def atras(self, dy):
        x, puerta, salidas = self.memoria
        dpuerta = np.einsum("no,nko->nk", dy, salidas)
        dsalidas = puerta[:, :, None] * dy[:, None, :]
        # softmax hacia atras
        dpuntaje = puerta * (dpuerta - (puerta * dpuerta).sum(axis=1, keepdims=True))
        self.gradientes["We"] = np.einsum("ni,nko->kio", x, dsalidas)
        self.gradientes["be"] = dsalidas.sum(axis=0)
        self.gradientes["Wp"] = x.T @ dpuntaje
        return np.einsum("nko,kio->ni", dsalidas, self.parametros["We"]) + dpuntaje @ self.parametros["Wp"].T


def _moe():
    return MezclaDeExpertos(4, 3, 2), np.random.RandomState(1).randn(5, 4)


def _prove_moe():
    capa, x = _moe()
    g = np.random.RandomState(2).randn(5, 3)
    capa.adelante(x)
    dx = capa.atras(g)
    f = lambda: capa.adelante(x)
    pairs = [(dx, poke(f, x, g))]
    return pairs + [(capa.gradientes[k], poke(f, v, g)) for k, v in capa.parametros.items()]


# ---------------------------------------------------------------- regressao ordinal (lista 2)
class RegressaoOrdinal:
    """Modelo de chances proporcionais: P(y <= k) = sigmoide(corte_k - x.w)."""

    def __init__(self, w, cortes):
        self.w = w
        self.cortes = cortes  # crescentes, K - 1 deles
        self.dw = np.zeros_like(w)
        self.dcortes = np.zeros_like(cortes)

    def forward(self, X, y):
        n, K = len(X), len(self.cortes) + 1
        F = np.zeros((n, K + 1))
        F[:, K] = 1.0
        F[:, 1:K] = 1 / (1 + np.exp(-(self.cortes[None, :] - (X @ self.w)[:, None])))
        i = np.arange(n)
        p = F[i, y + 1] - F[i, y]
        self.tudo = X, y, F, p
        return -np.log(p).mean()

    def backward(self, dout=1.0):
        X, y, F, p = self.tudo
        i = np.arange(len(X))
        dF = np.zeros_like(F)
        dF[i, y + 1] = -dout / (p * len(X))
        dF[i, y] = dout / (p * len(X))
        dF *= F * (1 - F)  # nas pontas e zero
        self.dcortes = dF[:, :-2].sum(axis=0)
        dz = -dF.sum(axis=1)
        self.dw = X.T @ dz
        return np.outer(dz, self.w)


def _ordinal():
    r = np.random.default_rng(5)
    m = RegressaoOrdinal(r.normal(size=3), np.array([-1.0, 0.2, 1.3]))
    return m, r.normal(size=(7, 3)), np.array([0, 1, 2, 3, 1, 2, 0])


def _prove_ordinal():
    m, X, y = _ordinal()
    m.forward(X, y)
    dX = m.backward()
    f = lambda: m.forward(X, y)
    return [(dX, poke(f, X)), (m.dw, poke(f, m.w)), (m.dcortes, poke(f, m.cortes))]


# ---------------------------------------------------------------- ex3: poisson rates, transcribed from Octave
def computeCost(theta, X, y, exposure, lam):
    m = y.size
    eta = X @ theta + np.log(exposure)
    J = (np.exp(eta) - y * eta).sum() / m
    J = J + lam / (2 * m) * (theta[1:] ** 2).sum()  # theta(1) is not regularized
    return J


def computeGrad(theta, X, y, exposure, lam):
    m = y.size
    h = np.exp(X @ theta + np.log(exposure))
    grad = X.T @ (h - y) / m
    temp = theta.copy()
    temp[0] = 0
    return grad + lam / m * temp


def _rates():
    r = np.random.default_rng(8)
    X = np.c_[np.ones(9), r.normal(size=(9, 3))]
    return r.normal(size=4) * 0.4, (X, r.poisson(3, 9), r.uniform(0.5, 4, 9), 2.0)


def _prove_rates():
    th, args = _rates()
    return [(computeGrad(th, *args), poke(lambda: computeCost(th, *args), th))]


# ---------------------------------------------------------------- filtrado colaborativo (ex8)
def costo_cofi(params, Y, R, n_usuarios, n_peliculas, n_rasgos, lam):
    X = params[: n_peliculas * n_rasgos].reshape(n_peliculas, n_rasgos)
    Theta = params[n_peliculas * n_rasgos :].reshape(n_usuarios, n_rasgos)
    error = X @ Theta.T - Y
    J = 0.5 * np.sum((error * R) ** 2) + lam / 2 * (np.sum(X**2) + np.sum(Theta**2))
    X_grad = (error * R) @ Theta + lam * X
    Theta_grad = error.T @ X + lam * Theta
    return J, np.concatenate([X_grad.ravel(), Theta_grad.ravel()])


def _cofi():
    r = np.random.default_rng(11)
    Y = r.integers(1, 6, (5, 4)).astype(float)
    R = (r.random((5, 4)) < 0.6).astype(float)
    return r.normal(size=5 * 3 + 4 * 3), (Y * R, R, 4, 5, 3, 1.5)


def _prove_cofi():
    p, args = _cofi()
    return [(costo_cofi(p, *args)[1], poke(lambda: costo_cofi(p, *args)[0], p))]


# ---------------------------------------------------------------- weight standardisation, extra credit
def ws_affine_forward(x, W, gain, b, ws_param):
    eps = ws_param.get("eps", 1e-4)
    mu = W.mean(axis=0)
    var = W.var(axis=0)
    std = np.sqrt(var + eps)
    What = (W - mu) / std
    out = x.dot(What * gain) + b
    cache = (x, What, std, gain)
    return out, cache


def ws_affine_backward(dout, cache):
    x, What, std, gain = cache
    dx = dout.dot((What * gain).T)
    dWg = x.T.dot(dout)
    dgain = np.sum(dWg * What, axis=0)
    dWhat = dWg * gain
    dW = (dWhat - dWhat.mean(axis=0) - What * np.mean(dWhat * What, axis=0)) / std
    db = dout.sum(axis=0)
    return dx, dW, dgain, db


def _ws():
    r = np.random.default_rng(21)
    return r.normal(size=(4, 6)), r.normal(size=(6, 3)), r.normal(size=3) + 1, r.normal(size=3), {"eps": 1e-3}


def _prove_ws():
    p = _ws()
    g = np.random.default_rng(3).normal(size=(4, 3))
    _, c = ws_affine_forward(*p)
    return [(d, poke(lambda: ws_affine_forward(*p)[0], a, g)) for d, a in zip(ws_affine_backward(g, c), p)]


# ---------------------------------------------------------------- bilinear pooling, signed square root
def bilinear_pool_forward(feat, eps=1e-2):
    """feat: (N, L, C), after a ReLU. Returns (N, C, C)."""
    B = np.einsum("nlc,nld->ncd", feat, feat) / feat.shape[1]
    out = np.sign(B) * np.sqrt(np.abs(B) + eps)
    return out, (feat, B, eps)


def bilinear_pool_backward(dout, cache):
    feat, B, eps = cache
    dB = dout * 0.5 / (np.sqrt(np.abs(B)) + eps)
    dB = dB / feat.shape[1]
    return np.einsum("ncd,nld->nlc", dB, feat) + np.einsum("ncd,nlc->nld", dB, feat)


def _pool():
    return np.random.default_rng(31).uniform(0.05, 0.5, (2, 5, 3))


def _prove_pool():
    x = _pool()
    g = np.random.default_rng(32).normal(size=(2, 3, 3))
    _, c = bilinear_pool_forward(x)
    return [(bilinear_pool_backward(g, c), poke(lambda: bilinear_pool_forward(x)[0], x, g))]


# ---------------------------------------------------------------- rede com ativacao seno
class RedeSeno:
    """Duas camadas; perda logistica com rotulos -1/+1."""

    def __init__(self, d, h, lam=0.1):
        r = np.random.default_rng(7)
        self.lam = lam
        self.params = {"W1": r.normal(size=(d, h)), "b1": np.zeros(h), "w2": r.normal(size=h)}
        self.grads = {}

    def forward(self, X, y):
        pre = X @ self.params["W1"] + self.params["b1"]
        oculta = np.sin(pre)
        margem = y * (oculta @ self.params["w2"])
        self.guarda = X, y, pre, oculta, margem
        return np.mean(np.log1p(np.exp(-margem)))

    def backward(self):
        X, y, pre, oculta, margem = self.guarda
        ds = -y / (1 + np.exp(margem)) / len(y)
        self.grads["w2"] = oculta.T @ ds
        dpre = np.outer(ds, self.params["w2"]) * np.cos(pre)
        self.grads["W1"] = X.T @ dpre + self.lam * self.params["W1"]
        self.grads["b1"] = dpre.sum(axis=0)
        return dpre @ self.params["W1"].T


def _seno():
    return RedeSeno(3, 4), np.random.default_rng(9).normal(size=(6, 3)), np.array([1, -1, -1, 1, 1, -1])


def _prove_seno():
    rede, X, y = _seno()
    rede.forward(X, y)
    dX = rede.backward()
    f = lambda: rede.forward(X, y)
    return [(dX, poke(f, X))] + [(rede.grads[k], poke(f, v)) for k, v in rede.params.items()]


# ---------------------------------------------------------------- perdida de tripletas (suave)
class PerdidaTripleta:
    """softplus(|a-p|^2 - |a-n|^2 + margen), una perdida por muestra."""

    def __init__(self, margen=0.3):
        self.margen = margen

    def forward(self, ancla, pos, neg):
        self.ap = ancla - pos
        self.an = ancla - neg
        self.z = (self.ap**2).sum(axis=1) - (self.an**2).sum(axis=1) + self.margen
        return np.logaddexp(0, self.z)

    def backward(self, dsalida):
        peso = 1 / (1 + np.exp(-self.z))
        peso = 2 * peso[:, None]
        return peso * (self.ap - self.an), -peso * self.ap, peso * self.an


def _tripleta():
    r = np.random.default_rng(13)
    return PerdidaTripleta(), [r.normal(size=(4, 3)) * 0.7 for _ in range(3)]


def _prove_tripleta():
    capa, xs = _tripleta()
    g = np.random.default_rng(14).normal(size=4)
    capa.forward(*xs)
    return [(d, poke(lambda: capa.forward(*xs), x, g)) for d, x in zip(capa.backward(g), xs)]


# ---------------------------------------------------------------- 2층 신경망 (밑바닥부터)
class TwoLayerNet:
    def __init__(self, input_size, hidden_size, output_size, weight_init_std=0.3, smoothing=0.1):
        rng = np.random.RandomState(42)
        # 가중치 초기화
        self.params = {}
        self.params["W1"] = weight_init_std * rng.randn(input_size, hidden_size)
        self.params["b1"] = np.zeros(hidden_size)
        self.params["W2"] = weight_init_std * rng.randn(hidden_size, output_size)
        self.params["b2"] = np.zeros(output_size)
        self.smoothing = smoothing  # 레이블 스무딩

    def predict(self, x):
        a1 = x @ self.params["W1"] + self.params["b1"]
        z1 = a1 / (1 + np.abs(a1))  # softsign
        a2 = z1 @ self.params["W2"] + self.params["b2"]
        e = np.exp(a2 - a2.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def target(self, t):
        k = self.params["b2"].size
        return np.eye(k)[t] * (1 - self.smoothing) + self.smoothing / k

    # x : 입력 데이터, t : 정답 레이블
    def loss(self, x, t):
        return -np.sum(self.target(t) * np.log(self.predict(x))) / len(x)

    def gradient(self, x, t):
        W1, W2 = self.params["W1"], self.params["W2"]
        a1 = x @ W1 + self.params["b1"]
        z1 = a1 / (1 + np.abs(a1))
        # 역전파
        dy = (self.predict(x) - self.target(t)) / len(x)
        da1 = dy @ W2.T / (1 + np.abs(a1)) ** 2
        return {"W1": x.T @ da1, "b1": da1.sum(0), "W2": z1.T @ dy, "b2": dy.sum(0)}


def _net():
    return TwoLayerNet(4, 5, 3), np.random.RandomState(1).randn(6, 4), np.array([0, 2, 1, 1, 0, 2])


def _prove_net():
    net, x, t = _net()
    return [(v, poke(lambda: net.loss(x, t), net.params[k])) for k, v in net.gradient(x, t).items()]


# ---------------------------------------------------------------- k-max 풀링 (원래 순서 유지)
class KMaxPooling:
    def __init__(self, k):
        self.k = k

    def forward(self, x):
        """x: (N, T, C). 시간축에서 가장 큰 k개를 원래 순서대로 고른다."""
        self.x_shape = x.shape
        self.order = np.argsort(-x, axis=1)[:, : self.k, :]
        self.idx = np.sort(self.order, axis=1)
        return np.take_along_axis(x, self.idx, axis=1)

    def backward(self, dout):
        dx = np.zeros(self.x_shape)
        np.put_along_axis(dx, self.order, dout, axis=1)
        return dx


def _kmax():
    return KMaxPooling(3), np.random.RandomState(4).permutation(48).reshape(2, 8, 3) / 10.0


def _prove_kmax():
    layer, x = _kmax()
    y = layer.forward(x)
    g = np.random.RandomState(5).randn(*y.shape)
    return [(layer.backward(g), poke(lambda: layer.forward(x), x, g))]


# ---------------------------------------------------------------- capa circulante
class CapaCirculante:
    """y = convolucion circular de x con w, por FFT."""

    def __init__(self, n):
        self.w = np.random.RandomState(0).randn(n)
        self.dw = np.zeros(n)

    def forward(self, x):
        self.X = np.fft.fft(x, axis=1)
        return np.fft.ifft(self.X * np.fft.fft(self.w), axis=1).real

    def backward(self, dout):
        G = np.fft.fft(dout, axis=1)
        self.dw += np.fft.ifft((np.conj(self.X) * G).sum(axis=0)).real
        return np.fft.ifft(G * np.conj(np.fft.fft(self.w)), axis=1).real


ENTRIES = [
    Stranger(
        "r mezcla de expertos",
        "layer with Spanish methods and dict gradients",
        lambda gradlab: gradlab.check_layer(*_moe()),
        _prove_moe,
    ),
    Stranger(
        "r regressao ordinal: cut points' gradient from the wrong slice",
        "loss layer with attributes",
        lambda gradlab: gradlab.check_layer(*_ordinal()),
        _prove_ordinal,
        "wrong",
        "the columns of the padded array are taken one too far to the left for the cut points",
        ("shifted",),
        ("cortes",),
        "        self.dcortes = dF[:, :-2].sum(axis=0)",
        "        self.dcortes = dF[:, 1:-1].sum(axis=0)",
    ),
    Stranger(
        "r poisson rates with exposure",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(computeCost, computeGrad, _rates()[0], args=_rates()[1]),
        _prove_rates,
    ),
    Stranger(
        "r filtrado colaborativo: mask forgotten for Theta",
        "f returns value and gradient, args",
        lambda gradlab: gradlab.check_gradient(costo_cofi, True, _cofi()[0], args=_cofi()[1]),
        _prove_cofi,
        "wrong",
        "the error is not multiplied by the mask R in the users' gradient",
        ("missing-factor", "wrong-operand", "additive-bias"),
        ("params",),
        "    Theta_grad = error.T @ X + lam * Theta",
        "    Theta_grad = (error * R).T @ X + lam * Theta",
    ),
    Stranger(
        "r weight standardised affine",
        "pair with cache and a dict of settings",
        lambda gradlab: gradlab.check_cached_pair(ws_affine_forward, ws_affine_backward, _ws()),
        _prove_ws,
    ),
    Stranger(
        "r bilinear pooling with signed root: epsilon outside the root",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(bilinear_pool_forward, bilinear_pool_backward, (_pool(),)),
        _prove_pool,
        "wrong",
        "epsilon is added to the root, where forward has it under the root",
        ("epsilon-mismatch", "other-approximation"),
        ("feat",),
        "    dB = dout * 0.5 / (np.sqrt(np.abs(B)) + eps)",
        "    dB = dout * 0.5 / np.sqrt(np.abs(B) + eps)",
    ),
    Stranger(
        "r rede seno: weight decay that the loss has not",
        "loss layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(*_seno()),
        _prove_seno,
        "wrong",
        "lam * W1 is added to the gradient, but the loss has no such penalty",
        ("additive-bias",),
        ("W1",),
        '        self.grads["W1"] = X.T @ dpre + self.lam * self.params["W1"]',
        '        self.grads["W1"] = X.T @ dpre',
    ),
    Stranger(
        "r perdida de tripletas: dout not used",
        "layer of three inputs, a loss per sample",
        lambda gradlab: gradlab.check_layer(_tripleta()[0], *_tripleta()[1]),
        _prove_tripleta,
        "wrong",
        "the cotangent of the losses is not used",
        ("ignores-cotangent",),
        ("ancla", "pos", "neg"),
        "        peso = 1 / (1 + np.exp(-self.z))",
        "        peso = dsalida / (1 + np.exp(-self.z))",
    ),
    Stranger(
        "r two layer net, softsign, label smoothing",
        "net with loss and gradient, Korean comments",
        lambda gradlab: gradlab.check_layer(*_net()),
        _prove_net,
    ),
    Stranger(
        "r k-max pooling: put back in the order of size",
        "layer",
        lambda gradlab: gradlab.check_layer(*_kmax()),
        _prove_kmax,
        "wrong",
        "the indices by size are used, not those in order of time that forward took",
        ("wrong-operand", "columns-exchanged"),
        ("x",),
        "        np.put_along_axis(dx, self.order, dout, axis=1)",
        "        np.put_along_axis(dx, self.idx, dout, axis=1)",
    ),
    Stranger(
        "r capa circulante: adds to the last call's gradient",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(CapaCirculante(5), np.random.RandomState(2).randn(3, 5)),
        lambda: [],
        "habit",
        "dw adds up over calls and nothing clears it",
        ("accumulates",),
        ("w",),
    ),
]
