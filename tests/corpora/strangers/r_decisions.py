"""Policies, recommendations, competitions, series."""

from types import SimpleNamespace

import numpy as np

from ._entry import Stranger
from ._help_r import poke, poke_jac


# ###################### focal loss for LightGBM ######################
class FocalLoss:
    def __init__(self, gamma=2.0):
        self.gamma = gamma

    def loss(self, score, y):
        p = 1 / (1 + np.exp(-np.where(y == 1, score, -score)))
        return np.sum(-((1 - p) ** self.gamma) * np.log(p))

    def __call__(self, score, y):
        """fobj: gradient and diagonal of the Hessian."""
        g, s = self.gamma, np.where(y == 1, 1, -1)
        p = 1 / (1 + np.exp(-s * score))
        q, lp = 1 - p, np.log(p)
        grad = s * (g * p * q**g * lp - q ** (g + 1))
        hess = p * q * (g * q**g * lp - g**2 * p * q ** (g - 1) * lp + (2 * g + 1) * q**g)
        return grad, hess


def _focal():
    return np.random.default_rng(0).normal(size=8), np.array([1, 0, 0, 1, 1, 0, 1, 0])


def _check_focal(gradlab):
    fobj = FocalLoss()
    score, y = _focal()
    return gradlab.check_hessian(
        fobj.loss, lambda s, y: fobj(s, y)[0], None, score, args=(y,), hessp=lambda s, v, y: fobj(s, y)[1] * v
    )


def _prove_focal():
    f, (s, y) = FocalLoss(), _focal()
    grad, hess = f(s, y)
    return [(grad, poke(lambda: f.loss(s, y), s)), (np.diag(hess), poke_jac(lambda v: f(v, y)[0], s))]


# ###################### REINFORCE with entropy bonus ######################
class Tensor(SimpleNamespace):
    """data and grad, that is all."""


class ReinforceAgent:
    def __init__(self, n_obs, n_act, actions, rewards, gamma=0.9, ent_coef=0.05):
        rng = np.random.default_rng(1)
        self.W = Tensor(data=rng.normal(size=(n_obs, n_act)), grad=None)
        self.b = Tensor(data=rng.normal(size=n_act), grad=None)
        self.actions, self.ent_coef = actions, ent_coef
        self.G = np.zeros(len(rewards))
        run = 0.0
        for k in range(len(rewards) - 1, -1, -1):
            run = rewards[k] + gamma * run
            self.G[k] = run
        self.G = self.G - self.G.mean()  # baseline

    def parameters(self):
        return [self.W, self.b]

    def zero_grad(self):
        for p in self.parameters():
            p.grad = None

    def forward(self, obs):
        self.obs = obs
        z = obs @ self.W.data + self.b.data
        z = z - z.max(axis=1, keepdims=True)
        self.logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        self.pi = np.exp(self.logp)
        self.H = -(self.pi * self.logp).sum(axis=1)
        picked = self.logp[np.arange(len(obs)), self.actions]
        return -(self.G * picked).mean() - self.ent_coef * self.H.mean()

    def backward(self):
        n = len(self.obs)
        one = np.zeros_like(self.pi)
        one[np.arange(n), self.actions] = 1
        dz = self.G[:, None] * (self.pi - one)
        dz += self.ent_coef * self.pi * (self.logp + self.H[:, None])
        dz /= n
        self.W.grad = self.obs.T @ dz
        self.b.grad = dz.sum(axis=0)


def _agent():
    a = ReinforceAgent(3, 4, np.array([0, 3, 1, 1, 2]), np.array([1.0, 0.0, -0.5, 2.0, 1.0]))
    return a, np.random.default_rng(2).normal(size=(5, 3))


def _prove_agent():
    a, obs = _agent()
    a.forward(obs)
    a.backward()
    return [(p.grad, poke(lambda: a.forward(obs), p.data)) for p in a.parameters()]


# ###################### maquina de fatoracao ######################
class MaquinaDeFatoracao:
    """y = w0 + X w + 1/2 soma_f [(X V)_f^2 - (X^2 V^2)_f]"""

    def __init__(self, n, k):
        r = np.random.RandomState(3)
        self.pesos = [np.array(0.3), r.randn(n), r.randn(n, k) * 0.5]
        self.gradientes = [None, None, None]

    def forward(self, X):
        w0, w, V = self.pesos
        self.X = X
        self.XV = X @ V
        return w0 + X @ w + 0.5 * (self.XV**2 - X**2 @ V**2).sum(axis=1)

    def backward(self, dy):
        w0, w, V = self.pesos
        X = self.X
        self.gradientes[0] = dy.sum()
        self.gradientes[1] = X.T @ dy
        self.gradientes[2] = X.T @ (dy[:, None] * self.XV) - V * (X**2).T.dot(dy)[:, None]
        return dy[:, None] * (w + self.XV @ V.T - X * (V**2).sum(axis=1))


def _fm():
    return MaquinaDeFatoracao(5, 2), np.random.RandomState(4).rand(6, 5)


def _prove_fm():
    m, X = _fm()
    g = np.random.RandomState(5).randn(6)
    m.forward(X)
    dX = m.backward(g)
    d = list(m.gradientes)
    f = lambda: m.forward(X)
    return [(dX, poke(f, X, g))] + [(a, poke(f, p, g)) for a, p in zip(d, m.pesos)]


# ###################### Holt's linear trend, one-step errors ######################
def holt(params, y):
    """params: logit alpha, logit beta, first level, first trend. Returns SSE and its gradient.

    The sensitivities of level and trend run along with the filter.
    """
    a, b = 1 / (1 + np.exp(-params[:2]))
    level, trend = params[2], params[3]
    da, db = np.array([a * (1 - a), 0, 0, 0]), np.array([0, b * (1 - b), 0, 0])
    dlevel, dtrend = np.array([0.0, 0, 1, 0]), np.array([0.0, 0, 0, 1])
    sse, grad = 0.0, np.zeros(4)
    for obs in y:
        err = obs - (level + trend)
        derr = -(dlevel + dtrend)
        sse += err**2
        grad += 2 * err * derr
        level, dlevel = level + trend + a * err, dlevel + dtrend + a * derr + da * err
        trend, dtrend = trend + a * b * err, dtrend + a * b * derr + (da * b + a * db) * err
    return sse, grad


SALES = np.array([3.1, 3.9, 4.2, 5.5, 5.1, 6.4, 7.7, 7.2, 8.8])


def _holt():
    return np.array([0.3, -0.8, 2.5, 0.4])


def _prove_holt():
    p = _holt()
    return [(holt(p, SALES)[1], poke(lambda: holt(p, SALES)[0], p))]


# ###################### PPO ######################
class PPOClipLoss:
    """-mean(min(r A, clip(r) A)) for categorical policies; forward takes the new logits."""

    def __init__(self, actions, old_logp, adv, clip=0.2):
        self.actions, self.old_logp, self.adv, self.clip = actions, old_logp, adv, clip

    def forward(self, logits):
        self.rows = np.arange(len(logits))
        z = logits - logits.max(1, keepdims=True)
        logp = z - np.log(np.exp(z).sum(1, keepdims=True))
        self.probs = np.exp(logp)
        self.ratio = np.exp(logp[self.rows, self.actions] - self.old_logp)
        clipped = np.clip(self.ratio, 1 - self.clip, 1 + self.clip)
        return -np.minimum(self.ratio * self.adv, clipped * self.adv).mean()

    def backward(self, dout=1.0):
        live = np.abs(self.ratio - 1) < self.clip
        dlogp = -dout * live * self.adv * self.ratio / len(self.rows)
        dlogits = -self.probs * dlogp[:, None]
        dlogits[self.rows, self.actions] += dlogp
        return dlogits


def _ppo():
    r = np.random.default_rng(7)
    logits, act = r.normal(size=(8, 3)), r.integers(0, 3, 8)
    logp = (logits - np.log(np.exp(logits).sum(1, keepdims=True)))[np.arange(8), act]
    old = logp - np.log([0.6, 1.5, 1.1, 0.7, 1.4, 0.9, 1.05, 1.6])
    return PPOClipLoss(act, old, np.array([1.0, -0.8, 0.5, -1.2, 0.9, 0.4, -0.7, -1.1])), logits


def _prove_ppo():
    loss, x = _ppo()
    loss.forward(x)
    return [(loss.backward(), poke(lambda: loss.forward(x), x))]


# ###################### Baird's residual gradient ######################
def softplus(x):
    return np.logaddexp(0, x)


def bellman_error(w, phi, phi_next, reward, gamma=0.9):
    """Mean squared Bellman residual of V(s) = softplus(phi . w), both values moving."""
    delta = reward + gamma * softplus(phi_next @ w) - softplus(phi @ w)
    return 0.5 * np.mean(delta**2)


def bellman_error_grad(w, phi, phi_next, reward, gamma=0.9):
    v, vn = phi @ w, phi_next @ w
    delta = reward + gamma * softplus(vn) - softplus(v)
    slope, slope_next = 1 / (1 + np.exp(-v)), 1 / (1 + np.exp(-vn))
    dv = -slope[:, None] * phi
    return (delta[:, None] * dv).mean(axis=0)


def _bellman():
    r = np.random.default_rng(9)
    return r.normal(size=4), (r.normal(size=(7, 4)), r.normal(size=(7, 4)), r.normal(size=7))


def _check_bellman(gradlab):
    w, args = _bellman()
    return gradlab.check_gradient(bellman_error, bellman_error_grad, w, args=args)


def _prove_bellman():
    w, args = _bellman()
    return [(bellman_error_grad(w, *args), poke(lambda: bellman_error(w, *args), w))]


# ###################### BPR ######################
class PerdaBPR:
    """Recomendacao por pares: o item visto deve ficar acima do nao visto."""

    def __init__(self, reg=0.05):
        self.reg = reg

    def forward(self, usuario, visto, nao_visto):
        self.u, self.i, self.j = usuario, visto, nao_visto
        self.dif = (usuario * (visto - nao_visto)).sum(axis=1)
        penal = sum((a**2).sum() for a in (usuario, visto, nao_visto))
        return np.log1p(np.exp(-self.dif)).sum() + self.reg * penal

    def backward(self):
        c = (-1 / (1 + np.exp(self.dif)))[:, None]
        du = c * (self.i - self.j) + 2 * self.reg * self.u
        di = c * self.u + 2 * self.reg * self.i
        dj = -c * self.u + 2 * self.reg * self.j
        return du, dj, di


def _bpr():
    r = np.random.default_rng(11)
    return PerdaBPR(), *[r.normal(size=(5, 3)) for _ in range(3)]


def _prove_bpr():
    m, *xs = _bpr()
    m.forward(*xs)
    return [(d, poke(lambda: m.forward(*xs), x)) for d, x in zip(m.backward(), xs)]


# ###################### N-BEATS block, trend and season ######################
class NBeatsBlock:
    """Returns (backcast, forecast); look-back and horizon are of the same length here."""

    def __init__(self, length, hidden, seed=13):
        r = np.random.default_rng(seed)
        t = np.arange(2 * length) / length
        basis = np.stack([np.ones_like(t), t, np.cos(2 * np.pi * t / 1.5), np.sin(2 * np.pi * t / 1.5)])
        self.back_basis, self.fore_basis = basis[:, :length], basis[:, length:]
        self.params = {
            "fc": r.normal(size=(length, hidden)) * 0.5,
            "theta_b": r.normal(size=(hidden, 4)) * 0.5,
            "theta_f": r.normal(size=(hidden, 4)) * 0.5,
        }
        self.grads = {}

    def forward(self, x):
        p = self.params
        self.x, self.h = x, np.tanh(x @ p["fc"])
        backcast = self.h @ p["theta_b"] @ self.back_basis
        forecast = self.h @ p["theta_f"] @ self.fore_basis
        return x - backcast, forecast

    def backward(self, dresidual, dforecast):
        p = self.params
        dtb = -dresidual @ self.back_basis.T
        dtf = dresidual @ self.fore_basis.T
        self.grads["theta_b"] = self.h.T @ dtb
        self.grads["theta_f"] = self.h.T @ dtf
        dh = (dtb @ p["theta_b"].T + dtf @ p["theta_f"].T) * (1 - self.h**2)
        self.grads["fc"] = self.x.T @ dh
        return dresidual + dh @ p["fc"].T


def _nbeats():
    return NBeatsBlock(6, 5), np.random.default_rng(14).normal(size=(3, 6))


def _prove_nbeats():
    m, x = _nbeats()
    r = np.random.default_rng(15)
    g = r.normal(size=(3, 6)), r.normal(size=(3, 6))
    m.forward(x)
    dx = m.backward(*g)
    f = lambda: m.forward(x)
    return [(dx, poke(f, x, g))] + [(m.grads[k], poke(f, v, g)) for k, v in m.params.items()]


ENTRIES = [
    Stranger(
        "r focal objective, gradient and diagonal Hessian",
        "objective of boosted trees, hessp",
        _check_focal,
        _prove_focal,
    ),
    Stranger(
        "r REINFORCE with entropy bonus",
        "torch imitation, no gradient of the input",
        lambda gradlab: gradlab.check_layer(*_agent()),
        _prove_agent,
    ),
    Stranger(
        "r maquina de fatoracao",
        "layer with lists, one parameter a 0-d array",
        lambda gradlab: gradlab.check_layer(*_fm()),
        _prove_fm,
    ),
    Stranger(
        "r Holt's linear trend by sensitivities",
        "f returns value and gradient, args",
        lambda gradlab: gradlab.check_gradient(holt, True, _holt(), args=(SALES,)),
        _prove_holt,
    ),
    Stranger(
        "r PPO clip: clipped on both sides whatever the advantage",
        "loss layer, default dout",
        lambda gradlab: gradlab.check_layer(*_ppo()),
        _prove_ppo,
        "wrong",
        "the gradient is cut wherever the ratio is out of range, also where the minimum is the unclipped one",
        ("masked-region",),
        ("logits",),
        "        live = np.abs(self.ratio - 1) < self.clip",
        "        live = np.where(self.adv > 0, self.ratio < 1 + self.clip, self.ratio > 1 - self.clip)",
    ),
    Stranger(
        "r Bellman residual: next state's value taken as constant",
        "f and grad, args",
        _check_bellman,
        _prove_bellman,
        "wrong",
        "the next state's value depends on w too, and its term is left out",
        ("missing-term",),
        ("w",),
        "    dv = -slope[:, None] * phi",
        "    dv = gamma * slope_next[:, None] * phi_next - slope[:, None] * phi",
    ),
    Stranger(
        "r perda BPR: seen and unseen item exchanged",
        "loss layer of three inputs",
        lambda gradlab: gradlab.check_layer(*_bpr()),
        _prove_bpr,
        "wrong",
        "the gradients of the seen and the unseen item are returned in the wrong order",
        ("swapped-primals",),
        ("visto", "nao_visto"),
        "        return du, dj, di",
        "        return du, di, dj",
    ),
    Stranger(
        "r N-BEATS block: forecast branch fed with the residual's cotangent",
        "layer of two outputs, dicts",
        lambda gradlab: gradlab.check_layer(*_nbeats()),
        _prove_nbeats,
        "wrong",
        "the forecast branch uses the residual's cotangent, not the forecast's",
        ("wrong-cotangent", "wrong-operand"),
        ("theta_f", "fc", "x"),
        "        dtf = dresidual @ self.fore_basis.T",
        "        dtf = dforecast @ self.fore_basis.T",
    ),
]
