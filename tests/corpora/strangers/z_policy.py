"""Reinforcement learning, bandits, meta learning: course assignments and blog posts."""

import numpy as np

from ._entry import Stranger
from ._help_z import losses, num, pairs


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class ReinforceAgent:
    """HW2: one hidden layer, reward to go with a baseline, entropy bonus. theta is flat."""

    def __init__(self, n_obs, n_hidden, n_act, beta=0.05):
        self.shapes = [(n_obs, n_hidden), (n_hidden,), (n_hidden, n_act), (n_act,)]
        self.beta = beta

    def unflatten(self, theta):
        at = np.cumsum([int(np.prod(s)) for s in self.shapes])
        return [p.reshape(s) for p, s in zip(np.split(theta, at[:-1]), self.shapes, strict=True)]

    def policy(self, theta, obs):
        w1, b1, w2, b2 = self.unflatten(theta)
        h = np.tanh(obs @ w1 + b1)
        return h, softmax(h @ w2 + b2)

    def loss(self, theta, obs, acts, returns):
        _, p = self.policy(theta, obs)
        logp = np.log(p)
        adv = returns - returns.mean()
        pg = -np.mean(adv * logp[np.arange(len(acts)), acts])
        return pg + self.beta * np.mean(np.sum(p * logp, axis=1))

    def grad(self, theta, obs, acts, returns):
        _, _, w2, _ = self.unflatten(theta)
        h, p = self.policy(theta, obs)
        n, logp = len(acts), np.log(p)
        adv = (returns - returns.mean())[:, None]
        dz = adv * (p - np.eye(p.shape[1])[acts])
        dz += self.beta * p * (logp - np.sum(p * logp, axis=1, keepdims=True))
        dz /= n
        dh = dz @ w2.T * (1 - h**2)
        return np.concatenate([(obs.T @ dh).ravel(), dh.sum(0), (h.T @ dz).ravel(), dz.sum(0)])


def rollout():
    r = np.random.default_rng(0)
    return r.normal(0, 0.6, 38), r.standard_normal((7, 3)), np.array([0, 2, 1, 1, 0, 2, 2]), r.normal(1, 2, 7)


def prove_reinforce():
    a, (th, *rest) = ReinforceAgent(3, 5, 3), rollout()
    return [(a.grad(th, *rest), num(lambda: a.loss(th, *rest), th))]


class PPOClipLoss:
    def __init__(self, logp_old, advantages, clip=0.2):
        self.logp_old, self.adv, self.clip = logp_old, advantages, clip

    def forward(self, logp):
        self.ratio = np.exp(logp - self.logp_old)
        unclipped = self.ratio * self.adv
        clipped = np.clip(self.ratio, 1 - self.clip, 1 + self.clip) * self.adv
        self.use = unclipped <= clipped
        return -np.mean(np.minimum(unclipped, clipped))

    def backward(self):
        alive = np.abs(self.ratio - 1) < self.clip
        return -(alive * self.ratio * self.adv) / self.adv.size


def ppo():
    return PPOClipLoss(np.log([0.3, 0.5, 0.2, 0.4, 0.6]), np.array([1.2, -0.7, 0.5, -1.5, 0.8]))


def logp_new():
    return np.log(np.array([0.45, 0.48, 0.1, 0.7, 0.65]))


def prove_ppo():
    m, x = ppo(), logp_new()
    return losses(lambda: m.forward(x), lambda: (m.backward(),), x)


class CabecaDuelo:
    """Cabeça dueling: Q = V + A - média(A). Pesos e gradientes em dicionários."""

    def __init__(self, dim, acoes, semente=0):
        r = np.random.default_rng(semente)
        self.pesos = {"V": r.normal(0, 0.5, (dim, 1)), "bV": np.zeros(1)}
        self.pesos.update(A=r.normal(0, 0.5, (dim, acoes)), bA=np.zeros(acoes))
        self.gradientes = dict.fromkeys(self.pesos)

    def propagar(self, h):
        self.h = h
        vantagem = h @ self.pesos["A"] + self.pesos["bA"]
        return h @ self.pesos["V"] + self.pesos["bV"] + vantagem - vantagem.mean(axis=1, keepdims=True)

    def retropropagar(self, dQ):
        dA = dQ - dQ.mean(axis=1, keepdims=True)
        dV = dQ.sum(axis=1, keepdims=True)
        for nome, d in (("V", dV), ("A", dA)):
            self.gradientes[nome] = self.h.T @ d
            self.gradientes["b" + nome] = d.sum(axis=0)
        return dV @ self.pesos["V"].T + dA @ self.pesos["A"].T


def estados():
    return np.random.default_rng(2).standard_normal((4, 3))


def prova_duelo():
    m, h = CabecaDuelo(3, 4), estados()
    back = lambda g: (m.retropropagar(g), *m.gradientes.values())  # noqa: E731
    return pairs(lambda: m.propagar(h), back, h, *m.pesos.values())


class GaussPolitika:
    """log pi(eylem | mu, sigma); log_std butun ornekler icin ortak."""

    def forward(self, mu, log_std, eylem):
        self.fark, self.s2 = eylem - mu, np.exp(2 * log_std)
        yogunluk = -0.5 * self.fark**2 / self.s2 - log_std - 0.5 * np.log(2 * np.pi)
        return yogunluk.sum(axis=1)

    def backward(self, dlogp):
        g = dlogp[:, None]
        dmu = g * self.fark / self.s2
        dlog_std = np.sum(g * self.fark**2 / self.s2, axis=0)
        return dmu, dlog_std, -dmu


def politika_girdi():
    r = np.random.default_rng(3)
    return r.standard_normal((5, 2)), np.array([-0.4, 0.3]), r.standard_normal((5, 2))


def politika_kanit():
    m, a = GaussPolitika(), politika_girdi()
    return pairs(lambda: m.forward(*a), m.backward, *a)


def puntaje_ucb(x, A, b, alfa):
    """LinUCB para una acción continua x: media más ancho de confianza."""
    return x @ np.linalg.solve(A, b) + alfa * np.sqrt(x @ np.linalg.solve(A, x))


def gradiente_ucb(x, A, b, alfa):
    ancho = np.linalg.solve(A, x)
    return np.linalg.solve(A, b) + alfa * ancho / np.sqrt(x @ ancho)


def historia():
    vistos = np.random.default_rng(4).standard_normal((9, 4))
    return np.eye(4) + vistos.T @ vistos, vistos.T @ np.linspace(-1, 2, 9), 1.3


def prueba_ucb():
    x, h = np.array([0.4, -1.1, 0.8, 0.3]), historia()
    return [(gradiente_ucb(x, *h), num(lambda: puntaje_ucb(x, *h), x))]


class DianjiMoxing:
    """dianji lv moxing (logistic bandit): w shi quanzhong, lishi = (tezheng, dianji)."""

    def __init__(self, tezheng, dianji, lam=0.3):
        self.X, self.c, self.lam = tezheng, dianji, lam

    def sunshi(self, w):
        z = self.X @ w
        return np.sum(np.logaddexp(0, z) - self.c * z)

    def tidu(self, w):
        p = 1 / (1 + np.exp(-self.X @ w))
        return self.X.T @ (p - self.c) + self.lam * w


def dianji():
    return DianjiMoxing(np.random.default_rng(5).standard_normal((8, 4)), np.array([0, 1, 1, 0, 1, 0, 0, 1]))


def quanzhong():
    return np.array([0.8, -0.5, 1.4, 0.2])


def zhengming():
    m, w = dianji(), quanzhong()
    return [(m.tidu(w), num(lambda: m.sunshi(w), w))]


def maml(theta, taches, pas):
    """Méta-perte et méta-gradient exact : un pas de gradient par tâche, régression linéaire."""
    perte, grad = 0.0, np.zeros_like(theta)
    for Xs, ys, Xq, yq in taches:
        H = Xs.T @ Xs / len(ys)
        phi = theta - pas * (H @ theta - Xs.T @ ys / len(ys))
        r = Xq @ phi - yq
        perte += 0.5 * np.mean(r**2)
        v = Xq.T @ r / len(yq)
        grad += v - pas * H @ v
    return perte / len(taches), grad / len(taches)


def taches():
    r = np.random.default_rng(6)
    return [[r.normal(size=s) for s in ((4, 3), 4, (6, 3), 6)] for _ in range(3)]


def theta0():
    return np.array([0.5, -0.2, 1.0])


def preuve_maml():
    th, t = theta0(), taches()
    return [(maml(th, t, 0.4)[1], num(lambda: maml(th, t, 0.4)[0], th))]


class ProtoLoss:
    """Prototypical networks, episode loss. support: (way, shot, dim), queries: (q, dim)."""

    def forward(self, support, queries, labels):
        self.way, self.shot, _ = support.shape
        self.protos = support.mean(axis=1)
        self.diff = queries[:, None, :] - self.protos
        self.p = softmax(-np.sum(self.diff**2, axis=2))
        self.labels = labels
        return -np.mean(np.log(self.p[np.arange(len(labels)), labels]))

    def backward(self):
        d = self.p.copy()
        d[np.arange(len(d)), self.labels] -= 1
        ddiff = -2 * self.diff * d[:, :, None] / len(d)
        dprotos = -ddiff.sum(axis=0)
        dsupport = np.repeat(dprotos[:, None, :], self.shot, axis=1)
        return dsupport, ddiff.sum(axis=1)


def episode():
    r = np.random.default_rng(7)
    return r.normal(0, 0.8, (3, 4, 2)), r.normal(0, 0.8, (5, 2)), np.array([0, 2, 1, 1, 0])


def prove_proto():
    m, (s, q, y) = ProtoLoss(), episode()
    return losses(lambda: m.forward(s, q, y), m.backward, s, q)


def gae_forward(rewards, values, dones, gamma=0.95, lam=0.9):
    """values has one entry more than rewards (the bootstrap)."""
    alive = 1.0 - dones
    adv, last = np.empty_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * alive[t] * values[t + 1] - values[t]
        adv[t] = last = delta + gamma * lam * alive[t] * last
    return adv, (alive, gamma, lam)


def gae_backward(dadv, cache):
    alive, gamma, lam = cache
    ddelta, carry = np.empty_like(dadv), 0.0
    for t in range(len(dadv)):  # forwards in time: the adjoint runs the other way
        ddelta[t] = dadv[t] + carry
        carry = gamma * lam * alive[t] * ddelta[t]
    dvalues = np.append(-ddelta, 0.0)
    dvalues[1:] += gamma * alive * ddelta
    return {"values": dvalues, "rewards": ddelta}


def trajectory():
    r = np.random.default_rng(8)
    return r.standard_normal(7), r.standard_normal(8), np.array([0, 0, 1, 0, 0, 0, 1], dtype=bool)


def prove_gae():
    r, v, d = trajectory()

    def back(g):
        out = gae_backward(g, gae_forward(r, v, d)[1])
        return out["rewards"], out["values"]

    return pairs(lambda: gae_forward(r, v, d)[0], back, r, v)


class ActorCriticHeads:
    """Two heads on one trunk; forward gives [logits | value] side by side."""

    def __init__(self, dim, n_act):
        r = np.random.default_rng(9)
        self.actor, self.critic = r.normal(0, 0.5, (dim, n_act)), r.normal(0, 0.5, (dim, 1))
        self.d_actor, self.d_critic = np.zeros((dim, n_act)), np.zeros((dim, 1))

    def forward(self, trunk):
        self.trunk = np.tanh(trunk)
        return np.hstack([self.trunk @ self.actor, self.trunk @ self.critic])

    def backward(self, dout):
        n = self.actor.shape[1]
        self.d_actor += self.trunk.T @ dout[:, :n]
        self.d_critic += self.trunk.T @ dout[:, n:]
        dtrunk = dout[:, :n] @ self.actor.T + dout[:, n:] @ self.critic.T
        return dtrunk * (1 - self.trunk**2)


ENTRIES = [
    Stranger(
        "z REINFORCE with baseline and entropy",
        "f and grad methods of a flat theta, args",
        lambda gradlab: gradlab.check_gradient(
            ReinforceAgent(3, 5, 3).loss, ReinforceAgent(3, 5, 3).grad, rollout()[0], args=rollout()[1:]
        ),
        prove_reinforce,
    ),
    Stranger(
        "z PPO clip: clipped on both sides whatever the advantage's sign",
        "loss layer, constants in the constructor",
        lambda gradlab: gradlab.check_layer(ppo(), logp_new()),
        prove_ppo,
        "wrong",
        "the gradient is cut wherever the ratio is out of range, even where the unclipped term is smaller",
        ("masked-region",),
        ("logp",),
        "        alive = np.abs(self.ratio - 1) < self.clip",
        "        alive = self.use",
    ),
    Stranger(
        "z cabeça dueling (DQN)",
        "propagar / retropropagar, dicts pesos and gradientes",
        lambda gradlab: gradlab.check_layer(CabecaDuelo(3, 4), estados()),
        prova_duelo,
    ),
    Stranger(
        "z gauss politika: the -1 of the log-determinant is missing",
        "layer of three inputs, tuple",
        lambda gradlab: gradlab.check_layer(GaussPolitika(), *politika_girdi()),
        politika_kanit,
        "wrong",
        "the gradient of log_std lacks the -1 from the term -log_std",
        ("missing-term",),
        ("log_std",),
        "        dlog_std = np.sum(g * self.fark**2 / self.s2, axis=0)",
        "        dlog_std = np.sum(g * (self.fark**2 / self.s2 - 1), axis=0)",
    ),
    Stranger(
        "z LinUCB, acción continua",
        "f and grad functions, args",
        lambda gradlab: gradlab.check_gradient(
            puntaje_ucb, gradiente_ucb, np.array([0.4, -1.1, 0.8, 0.3]), args=historia()
        ),
        prueba_ucb,
    ),
    Stranger(
        "z dianji moxing: weight decay that the loss has not",
        "f and grad as methods",
        lambda gradlab: gradlab.check_gradient(dianji().sunshi, dianji().tidu, quanzhong()),
        zhengming,
        "wrong",
        "lam * w is added to the gradient, the loss has no such term",
        ("additive-bias",),
        ("w",),
        "        return self.X.T @ (p - self.c) + self.lam * w",
        "        return self.X.T @ (p - self.c)",
    ),
    Stranger(
        "z MAML exact, régression linéaire",
        "value and gradient together, args with a list of tuples",
        lambda gradlab: gradlab.check_gradient(maml, True, theta0(), args=(taches(), 0.4)),
        preuve_maml,
    ),
    Stranger(
        "z prototypical loss: support gradient not divided by the shots",
        "loss layer with labels, tuple",
        lambda gradlab: gradlab.check_layer(ProtoLoss(), *episode()),
        prove_proto,
        "wrong",
        "the gradient of the mean over the shots is repeated, but not divided by their number",
        ("constant-factor",),
        ("support",),
        "        dsupport = np.repeat(dprotos[:, None, :], self.shot, axis=1)",
        "        dsupport = np.repeat(dprotos[:, None, :] / self.shot, self.shot, axis=1)",
    ),
    Stranger(
        "z generalized advantage estimation",
        "pair with cache, dict of gradients, bool argument",
        lambda gradlab: gradlab.check_cached_pair(gae_forward, gae_backward, trajectory()),
        prove_gae,
    ),
    Stranger(
        "z actor critic heads: gradients add to those of the call before",
        "layer with attribute gradients",
        lambda gradlab: gradlab.check_layer(ActorCriticHeads(3, 4), estados()),
        lambda: [],
        "habit",
        "backward does += on the stored gradients and nothing ever clears them",
        ("accumulates",),
        ("actor", "critic"),
    ),
]
