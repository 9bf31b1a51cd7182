"""Aprendizaje por refuerzo, bandidos y meta-aprendizaje: cuadernos, deberes, gists."""

from dataclasses import dataclass, field

import numpy as np

from ._entry import Stranger
from ._help_td import drill, pairs


def caso(*forma, semilla=0):
    return np.random.default_rng(semilla).standard_normal(forma)


# ---------- REINFORCE con entropia (italiano) ----------
def _politica(theta, stati):
    punteggi = stati @ theta.reshape(stati.shape[1], -1)
    punteggi = punteggi - punteggi.max(axis=1, keepdims=True)
    return punteggi - np.log(np.exp(punteggi).sum(axis=1, keepdims=True))


def perdita_reinforce(theta, stati, azioni, ritorni, beta):
    logp = _politica(theta, stati)
    scelto = logp[np.arange(len(azioni)), azioni]
    entropia = -(np.exp(logp) * logp).sum(axis=1)
    return -np.mean(scelto * ritorni + beta * entropia)


def gradiente_reinforce(theta, stati, azioni, ritorni, beta):
    logp = _politica(theta, stati)
    p = np.exp(logp)
    entropia = -(p * logp).sum(axis=1, keepdims=True)
    d = -p * ritorni[:, None]
    d[np.arange(len(azioni)), azioni] += ritorni
    d -= beta * p * (logp + entropia)
    return -(stati.T @ d).ravel() / len(azioni)


# ---------- PPO ----------
class PerdidaPPO:
    """L = -media(min(r A, clip(r, 1-e, 1+e) A)); r = exp(logp - logp_viejo)"""

    def __init__(self, logp_viejo, ventaja, epsilon=0.2):
        self.logp_viejo, self.ventaja, self.epsilon = logp_viejo, ventaja, epsilon

    def forward(self, logp):
        self.r = np.exp(logp - self.logp_viejo)
        recortado = np.clip(self.r, 1 - self.epsilon, 1 + self.epsilon)
        self.libre = self.r * self.ventaja
        self.tope = recortado * self.ventaja
        return -np.mean(np.minimum(self.libre, self.tope))

    def backward(self):
        activo = np.abs(self.r - 1) < self.epsilon
        return -np.where(activo, self.libre, 0.0) / self.r.size


# ---------- GAE (italiano), ricorsione all'indietro ----------
def gae_avanti(ricompense, valori, finito, gamma=0.95, lam=0.9):
    """ricompense (T, N), valori (T+1, N), finito (T, N) interi"""
    vivo = 1 - finito
    delta = ricompense + gamma * valori[1:] * vivo - valori[:-1]
    vantaggi = np.zeros_like(ricompense)
    acc = np.zeros(ricompense.shape[1])
    for t in range(len(ricompense) - 1, -1, -1):
        acc = delta[t] + gamma * lam * vivo[t] * acc
        vantaggi[t] = acc
    return vantaggi, (vivo, gamma, lam)


def gae_indietro(dvantaggi, memoria):
    vivo, gamma, lam = memoria
    ddelta = np.zeros_like(dvantaggi)
    porta = np.zeros(dvantaggi.shape[1])
    for t in range(len(dvantaggi)):
        porta = porta + dvantaggi[t]
        ddelta[t] = porta
        porta = porta * gamma * lam * vivo[t]
    dvalori = np.zeros((len(dvantaggi) + 1, dvantaggi.shape[1]))
    dvalori[:-1] -= ddelta
    dvalori[1:] += gamma * vivo * ddelta
    return {"ricompense": ddelta, "valori": dvalori}


# ---------- tête « dueling » (TP de master) ----------
class TeteDuel:
    def __init__(self, n_traits, n_actions):
        alea = np.random.RandomState(0)
        self.poids = {
            "V": alea.randn(n_traits, 1) * 0.7,
            "A": alea.randn(n_traits, n_actions) * 0.7,
        }
        self.grads = {}

    def avant(self, traits):
        self.traits = traits
        valeur = traits @ self.poids["V"]
        avantage = traits @ self.poids["A"]
        return valeur + avantage - avantage.mean(axis=1, keepdims=True)

    def arriere(self, dq):
        dvaleur = dq.sum(axis=1, keepdims=True)
        davantage = dq
        self.grads["V"] = self.traits.T @ dvaleur
        self.grads["A"] = self.traits.T @ davantage
        return dvaleur @ self.poids["V"].T + davantage @ self.poids["A"].T

    forward, backward = avant, arriere


# ---------- MAML, un paso interno, segundo orden ----------
def tareas(n=3, d=4):
    for i in range(n):
        X = caso(6, d, semilla=10 + i)
        y = (X @ caso(d, semilla=20 + i) > 0).astype(int)
        yield X[:3], y[:3], X[3:], y[3:]


def _logistica(w, X, y):
    p = 1 / (1 + np.exp(-X @ w))
    valor = np.mean(np.logaddexp(0, X @ w) - y * (X @ w))
    return valor, X.T @ (p - y) / len(y), (X.T * (p * (1 - p))) @ X / len(y)


def meta_perdida(w, paso=0.8):
    total, meta_grad = 0.0, np.zeros_like(w)
    for X_apoyo, y_apoyo, X_consulta, y_consulta in tareas():
        _, g, H = _logistica(w, X_apoyo, y_apoyo)
        v, gc, _ = _logistica(w - paso * g, X_consulta, y_consulta)
        total += v
        meta_grad += gc - paso * H @ gc
    return total, meta_grad


# ---------- Meta-SGD : un pas d'apprentissage appris par coordonnée ----------
class MetaSGD:
    def __init__(self, d):
        self.theta = caso(d, semilla=3)
        self.alpha = np.full(d, 0.15)
        self.g_theta = self.g_alpha = None

    def parametres(self):
        return [self.theta, self.alpha]

    def forward(self, Xs, Xq, cibles_s, cibles_q):
        self.Xs, self.Xq = Xs, Xq
        self.g = 2 * Xs.T @ (Xs @ self.theta - cibles_s) / len(Xs)
        self.adapte = self.theta - self.alpha * self.g
        self.reste = Xq @ self.adapte - cibles_q
        return np.mean(self.reste**2)

    def backward(self):
        d_adapte = 2 * self.Xq.T @ self.reste / len(self.Xq)
        hess = 2 * self.Xs.T @ self.Xs / len(self.Xs)
        self.g_theta = d_adapte - hess @ (self.alpha * d_adapte)
        self.g_alpha = self.g * d_adapte
        return None


# ---------- LinUCB ----------
class LinUCB:
    def __init__(self, d, exploration=0.6):
        X = caso(12, d, semilla=5)
        self.theta = caso(d, semilla=6)
        self.A = X.T @ X + np.eye(d)
        self.c = exploration

    def forward(self, contexts):
        self.contexts = contexts
        self.u = np.linalg.solve(self.A, contexts.T).T
        self.bonus = np.sqrt(np.einsum("nd,nd->n", contexts, self.u))
        return contexts @ self.theta + self.c * self.bonus

    def backward(self, dout):
        # bonus = sqrt(x' A^-1 x); A need not stay symmetric
        v = np.linalg.solve(self.A.T, self.contexts.T).T
        k = self.c * dout / (2 * self.bonus)
        self.dtheta = self.contexts.T @ dout
        self.dA = -np.einsum("n,ni,nj->ij", k, v, self.u)
        return np.outer(dout, self.theta) + k[:, None] * (self.u + v)


# ---------- Boltzmann, temperatura aprendida ----------
class BoltzmannLogProb:
    def __init__(self, tau=0.5):
        self.tau = np.array([tau])
        self.dtau = np.zeros(1)

    def forward(self, q, accion):
        self.q, self.accion = q, accion
        self.filas = np.arange(len(q))
        z = q / self.tau
        logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        self.p = np.exp(logp)
        return logp[self.filas, accion]

    def backward(self, dout):
        dz = -self.p * dout[:, None]
        dz[self.filas, self.accion] += dout
        self.dtau = -np.sum(dz * self.q, keepdims=True).ravel() / self.tau
        return dz / self.tau


# ---------- SAC ----------
@dataclass
class SquashedGaussian:
    """log pi of a = tanh(mu + sigma * noise); sigma itself is the second input, not its log."""

    noise: np.ndarray
    saved: dict = field(default_factory=dict)

    def forward(self, mu, sigma):
        a = np.tanh(mu + sigma * self.noise)
        self.saved = {"a": a, "sigma": sigma}
        logp = -0.5 * self.noise**2 - np.log(sigma) - np.log(1 - a**2 + 1e-6)
        return logp.sum(axis=-1)

    def backward(self, dlogp):
        a, sigma = self.saved["a"], self.saved["sigma"]
        g = dlogp[:, None]
        dz = 2 * a * (1 - a**2) / (1 - a**2 + 1e-6)
        dmu = g * dz
        dsigma = g * (dz * sigma * self.noise - 1)
        return dmu, dsigma


# ---------- politica con azioni vietate ----------
class SoftmaxMascherata:
    def __init__(self, permesse):
        self.permesse = permesse

    def forward(self, logit):
        e = np.exp(np.where(self.permesse, logit, -1e9))
        self.p = e / e.sum(axis=1, keepdims=True)
        return self.p

    def backward(self, dp):
        dp *= self.p
        return dp - self.p * dp.sum(axis=1, keepdims=True)


def _reinforce():
    return caso(12, semilla=1) * 0.5, (
        caso(5, 4, semilla=2),
        np.array([0, 2, 1, 1, 0]),
        caso(5, semilla=3),
        0.1,
    )


def _p_reinforce():
    theta, args = _reinforce()
    return pairs([gradiente_reinforce(theta, *args)], lambda: perdita_reinforce(theta, *args), theta)


_VIEJO = np.log(np.array([0.5, 0.3, 0.2, 0.6, 0.4, 0.25]))


def _ppo():
    ventaja = np.array([1.0, -0.7, -1.2, 0.4, -0.5, 0.9])
    return PerdidaPPO(_VIEJO.copy(), ventaja), _VIEJO + np.array([0.1, 0.4, -0.05, -0.5, 0.6, 0.3])


def _p_ppo():
    capa, logp = _ppo()
    capa.forward(logp)
    return pairs([capa.backward()], lambda: capa.forward(logp), logp)


def _gae():
    finito = np.zeros((6, 2), dtype=int)
    finito[2, 0] = finito[4, 1] = 1
    return caso(6, 2, semilla=1), caso(7, 2, semilla=2), finito


def _p_gae():
    r, v, fin = _gae()
    g = caso(6, 2, semilla=4)
    d = gae_indietro(g, gae_avanti(r, v, fin)[1])
    return pairs([d["ricompense"], d["valori"]], lambda: gae_avanti(r, v, fin)[0] * g, r, v)


def _p_capa(capa, xs, resto=(), otros=lambda c: ([], [])):
    g = caso(*capa.forward(*xs, *resto).shape, semilla=30)
    d = capa.backward(g)
    d = d if isinstance(d, tuple) else (d,)
    valores, grads = otros(capa)
    return pairs([*d, *grads], lambda: capa.forward(*xs, *resto) * g, *xs, *valores)


def _p_maml():
    w = caso(4, semilla=1)
    return [(meta_perdida(w)[1], drill(lambda: meta_perdida(w)[0], w)[0])]


def _episodio():
    return caso(5, 3, semilla=1), caso(4, 3, semilla=2), caso(5, semilla=3), caso(4, semilla=4)


def _p_metasgd():
    m, e = MetaSGD(3), _episodio()
    m.forward(*e)
    m.backward()
    return pairs([m.g_theta, m.g_alpha], lambda: m.forward(*e), m.theta, m.alpha)


def _c_metasgd(gradlab):
    Xs, Xq, ts, tq = _episodio()

    class Episodio(MetaSGD):
        def forward(self):
            return super().forward(Xs, Xq, ts, tq)

    return gradlab.check_layer(Episodio(3))


_ACC = np.array([1, 0, 3, 2])
_mu_sigma = lambda: (caso(4, 2, semilla=1) * 0.6, np.exp(0.3 * caso(4, 2, semilla=2)))  # noqa: E731

ENTRIES = [
    Stranger(
        "td REINFORCE with entropy bonus in Italian",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(
            perdita_reinforce, gradiente_reinforce, _reinforce()[0], args=_reinforce()[1]
        ),
        _p_reinforce,
    ),
    Stranger(
        "td PPO clipped loss in Spanish: no gradient outside the clip, whatever the advantage",
        "loss layer with the rest in the constructor",
        lambda gradlab: gradlab.check_layer(*_ppo()),
        _p_ppo,
        "wrong",
        "outside the clip range the gradient is zeroed even where the unclipped term is the minimum",
        ("masked-region",),
        ("logp",),
        "        activo = np.abs(self.r - 1) < self.epsilon\n",
        "        activo = self.libre <= self.tope\n",
    ),
    Stranger(
        "td generalised advantage estimation in Italian",
        "pair with cache, gradients in a dict",
        lambda gradlab: gradlab.check_cached_pair(gae_avanti, gae_indietro, _gae()),
        _p_gae,
    ),
    Stranger(
        "td dueling head in French: the mean's share of the advantages forgotten",
        "layer with params dict, methods under two names",
        lambda gradlab: gradlab.check_layer(TeteDuel(3, 4), caso(5, 3, semilla=1)),
        lambda: _p_capa(
            TeteDuel(3, 4),
            [caso(5, 3, semilla=1)],
            (),
            lambda c: ([c.poids["V"], c.poids["A"]], [c.grads["V"], c.grads["A"]]),
        ),
        "wrong",
        "the path through the mean of the advantages, which is subtracted, is missing",
        ("missing-term",),
        ("traits", "A"),
        "        davantage = dq\n",
        "        davantage = dq - dq.mean(axis=1, keepdims=True)\n",
    ),
    Stranger(
        "td MAML over logistic tasks from a generator, second order",
        "f that returns value and gradient",
        lambda gradlab: gradlab.check_gradient(meta_perdida, True, caso(4, semilla=1)),
        _p_maml,
    ),
    Stranger(
        "td Meta-SGD in French: the learned rates' gradient has the wrong sign",
        "loss without inputs, parameters and gradients as attributes",
        _c_metasgd,
        _p_metasgd,
        "wrong",
        "the inner step subtracts alpha * g, and the minus is lost in alpha's gradient",
        ("sign-flipped",),
        ("alpha",),
        "        self.g_alpha = self.g * d_adapte\n",
        "        self.g_alpha = -self.g * d_adapte\n",
    ),
    Stranger(
        "td LinUCB score with the gradient of its design matrix",
        "layer with theta, A, dtheta, dA",
        lambda gradlab: gradlab.check_layer(LinUCB(3), caso(5, 3, semilla=8)),
        lambda: _p_capa(LinUCB(3), [caso(5, 3, semilla=8)], (), lambda c: ([c.theta, c.A], [c.dtheta, c.dA])),
    ),
    Stranger(
        "td Boltzmann log-probability: the temperature's gradient lacks one division by it",
        "layer with integer actions and a one-element parameter",
        lambda gradlab: gradlab.check_layer(BoltzmannLogProb(), caso(4, 4, semilla=5), _ACC),
        lambda: _p_capa(BoltzmannLogProb(), [caso(4, 4, semilla=5)], (_ACC,), lambda c: ([c.tau], [c.dtau])),
        "wrong",
        "the gradient of tau is divided by tau instead of by its square",
        ("missing-factor", "constant-factor"),
        ("tau",),
        "        self.dtau = -np.sum(dz * self.q, keepdims=True).ravel() / self.tau\n",
        "        self.dtau = -np.sum(dz * self.q, keepdims=True).ravel() / self.tau**2\n",
    ),
    Stranger(
        "td SAC log-probability: sigma's gradient is that of log sigma",
        "dataclass with two inputs",
        lambda gradlab: gradlab.check_layer(SquashedGaussian(caso(4, 2, semilla=7)), *_mu_sigma()),
        lambda: _p_capa(SquashedGaussian(caso(4, 2, semilla=7)), _mu_sigma()),
        "wrong",
        "the gradient is that with respect to log sigma and not sigma",
        ("log-parameter", "missing-factor"),
        ("sigma",),
        "        dsigma = g * (dz * sigma * self.noise - 1)\n",
        "        dsigma = g * (dz * self.noise - 1 / sigma)\n",
    ),
    Stranger(
        "td softmax with forbidden actions in Italian: backward multiplies into its argument",
        "layer with a mask in the constructor",
        lambda gradlab: gradlab.check_layer(
            SoftmaxMascherata(np.array([[1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 1]], dtype=bool)),
            caso(3, 4, semilla=2),
        ),
        lambda: [],
        "habit",
        "backward writes into the cotangent that it is given",
        ("mutates-argument",),
        ("dp",),
    ),
]
