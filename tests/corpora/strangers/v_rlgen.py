"""Reinforcement learning and generative models."""

import numpy as np

from ._entry import Stranger
from ._help_v import cot, of_fun, of_pair, probe


# ---------------------------------------- GAE: loi the (advantage), dang (T, B)
def gae_xuoi(thuong, gia_tri, het, gamma=0.97, lam=0.9):
    """gia_tri co T+1 hang; het = True neu van choi ket thuc sau buoc do"""
    T = len(thuong)
    song = 1.0 - het
    delta = thuong + gamma * song * gia_tri[1:] - gia_tri[:-1]
    loi_the = np.zeros_like(delta)
    tich = 0.0
    for t in reversed(range(T)):
        tich = delta[t] + gamma * lam * song[t] * tich
        loi_the[t] = tich
    return loi_the, (song, gamma, lam)


def gae_nguoc(dA, bo_nho):
    song, gamma, lam = bo_nho
    ddelta = dA.copy()
    for t in range(1, len(dA)):
        ddelta[t] += gamma * lam * song[t - 1] * ddelta[t - 1]
    dgia_tri = np.zeros((len(dA) + 1,) + dA.shape[1:])
    dgia_tri[1:] += gamma * song * ddelta
    dgia_tri[:-1] -= ddelta
    return ddelta, dgia_tri


def _van_choi():
    r = np.random.default_rng(0)
    return r.normal(size=(6, 2)), r.normal(size=(7, 2)), r.uniform(size=(6, 2)) < 0.25


# ---------------------------------------- PPO
def log_policy(z):
    z = z - z.max(1, keepdims=True)
    return z - np.log(np.exp(z).sum(1, keepdims=True))


def ppo_loss(logits, acts, old_logp, adv, clip=0.2):
    lp = log_policy(logits)[np.arange(len(acts)), acts]
    ratio = np.exp(lp - old_logp)
    return -np.minimum(ratio * adv, np.clip(ratio, 1 - clip, 1 + clip) * adv).mean()


def ppo_loss_grad(logits, acts, old_logp, adv, clip=0.2):
    n = np.arange(len(acts))
    lp = log_policy(logits)
    ratio = np.exp(lp[n, acts] - old_logp)
    active = np.abs(ratio - 1) < clip
    d = -(active * ratio * adv) / len(acts)
    g = -np.exp(lp) * d[:, None]
    g[n, acts] += d
    return g


def _rollout():
    r = np.random.default_rng(1)
    z, a = r.normal(size=(6, 4)), np.array([0, 3, 1, 2, 2, 0])
    shift = np.array([0.5, -0.45, 0.1, -0.6, 0.4, -0.05])
    return z, (a, log_policy(z)[np.arange(6), a] - shift, np.array([1.2, 0.8, -0.5, -1.1, -0.9, 0.4]))


# ---------------------------------------- SAC's squashed gaussian, reparametrised
class SquashedGaussian:
    def __init__(self, noise):
        self.noise = noise

    def forward(self, mu, log_std):
        self.std = np.exp(log_std)
        self.a = np.tanh(mu + self.std * self.noise)
        logp = -0.5 * self.noise**2 - log_std - 0.5 * np.log(2 * np.pi) - np.log(1 - self.a**2)
        return self.a, logp.sum(axis=1)

    def backward(self, da, dlogp):
        dlogp = dlogp[:, None]
        du = da * (1 - self.a**2) + dlogp * 2 * self.a
        return du, du * self.std * self.noise - dlogp


def _actor():
    r = np.random.default_rng(2)
    return SquashedGaussian(r.normal(size=(4, 3))), r.normal(size=(4, 3)), r.normal(size=(4, 3)) * 0.4 - 0.5


def _prove_actor():
    p, m, s = _actor()
    g = cot(p.forward(m, s))
    return probe(lambda: p.forward(m, s), p.backward(*g), [m, s], g)


# ---------------------------------------- Duell-Netz (dueling DQN)
class DuellNetz:
    def __init__(self, ein, versteckt, aktionen, saat=3):
        z = np.random.default_rng(saat)
        self.params = {
            "W1": z.normal(size=(ein, versteckt)),
            "b1": z.normal(size=versteckt),
            "Wv": z.normal(size=(versteckt, 1)),
            "Wa": z.normal(size=(versteckt, aktionen)),
        }

    def predict(self, s):
        p = self.params
        self.h = np.tanh(s @ p["W1"] + p["b1"])
        vorteil = self.h @ p["Wa"]
        return self.h @ p["Wv"] + vorteil - vorteil.mean(1, keepdims=True)

    def loss(self, s, aktion, ziel):
        """Huber-Verlust zum TD-Ziel"""
        self.zeile = np.arange(len(s))
        self.fehler = self.predict(s)[self.zeile, aktion] - ziel
        f = np.abs(self.fehler)
        return np.where(f < 1, 0.5 * f**2, f - 0.5).mean()

    def gradient(self, s, aktion, ziel):
        self.loss(s, aktion, ziel)
        p = self.params
        dq = np.clip(self.fehler, -1, 1)[:, None] / len(s)
        eins = np.zeros((len(s), p["Wa"].shape[1]))
        eins[self.zeile, aktion] = 1
        dvorteil = dq * (eins - 1 / eins.shape[1])
        dh = dq @ p["Wv"].T + dvorteil @ p["Wa"].T
        dz = dh * (1 - self.h**2)
        return {"W1": s.T @ dz, "b1": dz.sum(0), "Wv": self.h.T @ dq, "Wa": self.h.T @ dvorteil}


def _duell():
    z = np.random.default_rng(4)
    return DuellNetz(3, 5, 4), z.normal(size=(6, 3)), z.integers(0, 4, 6), 2 * z.normal(size=6)


def _beweis_duell():
    n, s, a, ziel = _duell()
    g = n.gradient(s, a, ziel)
    return probe(lambda: n.loss(s, a, ziel), [g[k] for k in n.params], list(n.params.values()))


# ---------------------------------------- TD(lambda) targets
def lambda_return(r, v, gamma=0.95, lam=0.8):
    """r (T,), v (T+1,): G_t = r_t + gamma ((1 - lam) v_{t+1} + lam G_{t+1}), G_T = v_T"""
    G = np.empty(len(r))
    nxt = v[-1]
    for t in range(len(r) - 1, -1, -1):
        nxt = r[t] + gamma * ((1 - lam) * v[t + 1] + lam * nxt)
        G[t] = nxt
    return G, (gamma, lam)


def lambda_return_vjp(dG, cache):
    gamma, lam = cache
    T = len(dG)
    dr, dv = np.empty(T), np.zeros(T + 1)
    acc = 0.0
    for t in range(T):
        acc = dG[t] + gamma * lam * acc
        dr[t] = acc
        dv[t] += gamma * (1 - lam) * acc
    dv[T] += gamma * lam * acc
    return dr, dv


def _episode():
    r = np.random.default_rng(5)
    return r.normal(size=6), r.normal(size=7)


# ---------------------------------------- planar flow
class PlanarFlow:
    def __init__(self, dim):
        r = np.random.default_rng(6)
        self.w = r.normal(size=dim)
        self.u = 0.5 * self.w + 0.2 * r.normal(size=dim)
        self.b = np.array([0.3])

    def __call__(self, z):
        self.z = z
        self.t = np.tanh(z @ self.w + self.b)
        self.det = 1 + (1 - self.t**2) * (self.w @ self.u)
        return z + np.outer(self.t, self.u), np.log(np.abs(self.det))

    def backward(self, dx, dlogdet):
        slope, k = 1 - self.t**2, dlogdet / self.det
        dwu = np.sum(k * slope)
        dpre = (dx @ self.u) * slope - 2 * k * (self.w @ self.u) * self.t * slope
        self.grad_u = self.t @ dx + dwu * self.w
        self.grad_w = dpre @ self.z + dwu * self.u
        self.grad_b = np.array([dpre.sum()])
        return dx + np.outer(dpre, self.w)


def _flow():
    return PlanarFlow(3), np.random.default_rng(7).normal(size=(5, 3))


def _prove_flow():
    f, z = _flow()
    g = cot(f(z))
    dz = f.backward(*g)
    return probe(lambda: f(z), [dz, f.grad_u, f.grad_w, f.grad_b], [z, f.u, f.w, f.b], g)


# ---------------------------------------- Glow: likelihood of one invertible mixing of channels
def glow_nll(W, pixels):
    z = pixels @ W
    return 0.5 * np.sum(z**2) - len(pixels) * np.linalg.slogdet(W)[1]


def glow_nll_grad(W, pixels):
    dz = pixels @ W
    return pixels.T @ dz - len(pixels) * np.linalg.inv(W)


def _channels():
    r = np.random.default_rng(8)
    return np.eye(4) + 0.4 * r.normal(size=(4, 4)), r.normal(size=(9, 4))


# ---------------------------------------- bianfen zibianma: sunshi (ELBO)
class BianFenSunShi:
    """x: yangben, zaosheng: gudingde biaozhun zhengtai zaosheng"""

    def __init__(self, x, zaosheng):
        self.x, self.zaosheng = x, zaosheng

    def qianxiang(self, mu, sigma):
        self.mu, self.sigma = mu, sigma
        self.cha = mu + sigma * self.zaosheng - self.x
        chonggou = 0.5 * np.sum(self.cha**2)
        kl = np.sum(0.5 * (mu**2 + sigma**2 - 1) - np.log(sigma))
        return (chonggou + kl) / len(mu)

    def fanxiang(self):
        n = len(self.mu)
        dmu = (self.cha + self.mu) / n
        dsigma = (self.cha * self.zaosheng * self.sigma + self.sigma**2 - 1) / n
        return dmu, dsigma


def _yangben():
    r = np.random.default_rng(9)
    ceng = BianFenSunShi(r.normal(size=(4, 3)), r.normal(size=(4, 3)))
    return ceng, r.normal(size=(4, 3)), r.uniform(0.3, 1.6, (4, 3))


def _prove_vae():
    c, m, s = _yangben()
    c.qianxiang(m, s)
    return probe(lambda: c.qianxiang(m, s), c.fanxiang(), [m, s])


# ---------------------------------------- MMD of a generator's samples, several bandwidths
class MMD:
    def __init__(self, real, bandwidths=(0.7, 1.5, 3.0)):
        self.real, self.bw = real, bandwidths

    def _k(self, a, b):
        d2 = ((a[:, None] - b[None]) ** 2).sum(-1)
        return [(np.exp(-d2 / (2 * s * s)), s) for s in self.bw]

    def value(self, fake):
        n, m = len(fake), len(self.real)
        same = sum(k.sum() - n for k, _ in self._k(fake, fake)) / (n * (n - 1))
        cross = sum(k.sum() for k, _ in self._k(fake, self.real)) / (n * m)
        rest = sum(k.sum() - m for k, _ in self._k(self.real, self.real)) / (m * (m - 1))
        return same + rest - 2 * cross

    def grad(self, fake):
        n, m = len(fake), len(self.real)
        g = np.zeros_like(fake)
        for k, s in self._k(fake, fake):
            g -= 2 * (k.sum(1)[:, None] * fake - k @ fake) / s**2 / (n * (n - 1))
        for k, s in self._k(fake, self.real):
            g += 2 * (k.sum(1)[:, None] * fake - k @ self.real) / s**2 / (n * m)
        return g


def _samples():
    r = np.random.default_rng(10)
    return MMD(r.normal(size=(7, 2)) + 0.5), r.normal(size=(6, 2))


# ---------------------------------------- StyleGAN's noise injection, NCHW
class NoiseInjection:
    def __init__(self, channels, noise):
        r = np.random.default_rng(11)
        self.strength = r.normal(size=(1, channels, 1, 1))
        self.bias = r.normal(size=(1, channels, 1, 1))
        self.noise = noise

    def forward(self, x):
        a = x + self.strength * self.noise + self.bias
        self.slope = np.where(a > 0, 1.0, 0.2) * np.sqrt(2)
        return a * self.slope

    def backward(self, dout):
        da = dout * self.slope
        self.dbias = da.sum((0, 2, 3), keepdims=True)
        self.dstrength = (da * self.noise).sum((2, 3), keepdims=True)
        return da


def _noise():
    r = np.random.default_rng(16)
    return NoiseInjection(3, r.normal(size=(2, 1, 3, 4))), r.normal(size=(2, 3, 3, 4))


def _prove_noise():
    m, x = _noise()
    g = cot(m.forward(x))
    dx = m.backward(g)
    return probe(lambda: m.forward(x), [dx, m.dstrength, m.dbias], [x, m.strength, m.bias], g)


ENTRIES = [
    Stranger(
        "v: generalised advantages in Vietnamese",
        "pair with cache, bool mask",
        lambda gl: gl.check_cached_pair(gae_xuoi, gae_nguoc, _van_choi()),
        lambda: of_pair(gae_xuoi, gae_nguoc, _van_choi()),
    ),
    Stranger(
        "v: PPO loss: clipped wherever the ratio is out of range",
        "f and grad with args",
        lambda gl: gl.check_gradient(ppo_loss, ppo_loss_grad, _rollout()[0], args=_rollout()[1]),
        lambda: of_fun(ppo_loss, ppo_loss_grad, _rollout()[0], *_rollout()[1]),
        "wrong",
        "the mask stops the gradient on both sides, whatever the advantage's sign",
        ("masked-region",),
        ("logits",),
        "    active = np.abs(ratio - 1) < clip\n",
        "    active = ratio * adv <= np.clip(ratio, 1 - clip, 1 + clip) * adv\n",
    ),
    Stranger(
        "v: squashed gaussian actor, action and log-probability",
        "layer with two outputs",
        lambda gl: gl.check_layer(*_actor()),
        _prove_actor,
    ),
    Stranger(
        "v: dueling network in German",
        "net with params dict, loss and gradient",
        lambda gl: gl.check_layer(*_duell()),
        _beweis_duell,
    ),
    Stranger(
        "v: lambda-returns: the value's gradient a step early",
        "pair with cache",
        lambda gl: gl.check_cached_pair(lambda_return, lambda_return_vjp, _episode()),
        lambda: of_pair(lambda_return, lambda_return_vjp, _episode()),
        "wrong",
        "the bootstrap's gradient goes to the value of step t instead of t + 1",
        ("shifted",),
        ("v",),
        "        dv[t] += gamma * (1 - lam) * acc\n",
        "        dv[t + 1] += gamma * (1 - lam) * acc\n",
    ),
    Stranger(
        "v: planar flow",
        "callable layer with two outputs, grad_ attributes",
        lambda gl: gl.check_layer(*_flow()),
        _prove_flow,
    ),
    Stranger(
        "v: Glow's channel mixing: inverse not transposed",
        "f and grad with args",
        lambda gl: gl.check_gradient(glow_nll, glow_nll_grad, _channels()[0], args=(_channels()[1],)),
        lambda: of_fun(glow_nll, glow_nll_grad, *_channels()),
        "wrong",
        "the log-determinant's gradient is the inverse, not the inverse's transpose",
        ("transposed",),
        ("W",),
        "    return pixels.T @ dz - len(pixels) * np.linalg.inv(W)\n",
        "    return pixels.T @ dz - len(pixels) * np.linalg.inv(W).T\n",
    ),
    Stranger(
        "v: ELBO loss in pinyin: gradient by log sigma",
        "loss layer qianxiang/fanxiang",
        lambda gl: gl.check_layer(*_yangben()),
        _prove_vae,
        "wrong",
        "sigma's gradient is that by the logarithm of sigma",
        ("log-parameter", "missing-factor"),
        ("sigma",),
        "        dsigma = (self.cha * self.zaosheng * self.sigma + self.sigma**2 - 1) / n\n",
        "        dsigma = (self.cha * self.zaosheng + self.sigma - 1 / self.sigma) / n\n",
    ),
    Stranger(
        "v: maximum mean discrepancy of samples",
        "methods value and grad",
        lambda gl: gl.check_gradient(_samples()[0].value, _samples()[0].grad, _samples()[1]),
        lambda: of_fun(_samples()[0].value, _samples()[0].grad, _samples()[1]),
    ),
    Stranger(
        "v: noise injection: strength not summed over the batch",
        "layer with d-attributes",
        lambda gl: gl.check_layer(*_noise()),
        _prove_noise,
        "wrong",
        "the strength's gradient is summed over the image only, not over the batch",
        ("missing-broadcast-sum", "wrong-shape", "wrong-sum-axis"),
        ("strength",),
        "        self.dstrength = (da * self.noise).sum((2, 3), keepdims=True)\n",
        "        self.dstrength = (da * self.noise).sum((0, 2, 3), keepdims=True)\n",
    ),
]
