"""Kaggle objectives, reinforcement learning updates, and two layers out of seminars."""

import numpy as np

from ._entry import Stranger
from ._help_n import diff, jac, rand


class FakeDMatrix:
    """So that the objectives can be tried without xgboost."""

    def __init__(self, label, weight=None):
        self.label = label
        self.weight = np.ones(len(label)) if weight is None else weight

    def get_label(self):
        return self.label

    def get_weight(self):
        return self.weight


# ---- claims severity: gamma with log link
def gamma_obj(preds, dtrain):
    y, w = dtrain.get_label(), dtrain.get_weight()
    ratio = y * np.exp(-preds)
    return w * (1.0 - ratio), w * ratio


def gamma_eval(preds, dtrain):
    y, w = dtrain.get_label(), dtrain.get_weight()
    return "gamma-nll", float(np.sum(w * (y * np.exp(-preds) + preds)))


def severity():
    rng = np.random.default_rng(8)
    return rng.normal(size=9), FakeDMatrix(rng.gamma(2.0, 1.0, 9), rng.uniform(0.5, 2, 9))


def call_gamma(gradlab):
    preds, d = severity()
    f, g = (lambda p, d: gamma_eval(p, d)[1]), (lambda p, d: gamma_obj(p, d)[0])
    return gradlab.check_gradient(f, g, preds, args=(d,))


def prove_gamma():
    preds, d = severity()
    return [(gamma_obj(preds, d)[0], diff(lambda: gamma_eval(preds, d)[1], preds))]


# ---- fair loss (Allstate, 2016), what everybody copied from the forum
def fair_obj(preds, dtrain, fair_constant=0.7):
    x = preds - dtrain.get_label()
    den = np.abs(x) + fair_constant
    grad = fair_constant * x / den
    hess = fair_constant**2 / (den * den)
    return grad, hess


def fair_data():
    rng = np.random.default_rng(16)
    return rng.normal(size=8), FakeDMatrix(rng.normal(size=8))


def call_fair(gradlab):
    preds, d = fair_data()
    return gradlab.check_jacobian(lambda p: fair_obj(p, d)[0], lambda p: np.diag(fair_obj(p, d)[1]), preds)


def prove_fair():
    preds, d = fair_data()
    return [(np.diag(fair_obj(preds, d)[1]), jac(lambda: fair_obj(preds, d)[0], preds, 1e-4))]


# ---- lightgbm multiclass: scores come flat, class after class
class SmoothedSoftmaxObjective:
    def __init__(self, labels, n_class, smooth=0.1, class_weight=None):
        t = np.full((len(labels), n_class), smooth / n_class)
        t[np.arange(len(labels)), labels] += 1 - smooth
        self.t, self.n_class = t, n_class
        self.cw = np.ones(n_class) if class_weight is None else np.asarray(class_weight)

    def _logp(self, score):
        s = score.reshape(-1, self.n_class, order="F")
        s = s - s.max(axis=1, keepdims=True)
        return s - np.log(np.exp(s).sum(axis=1, keepdims=True))

    def value(self, score):
        return -np.sum(self.cw * self.t * self._logp(score))

    def gradient(self, score):
        wt = self.cw * self.t
        g = np.exp(self._logp(score)) * wt.sum(axis=1, keepdims=True) - wt
        return g.ravel(order="F")


def lgb_obj():
    return SmoothedSoftmaxObjective(np.array([0, 2, 1, 1, 2]), 3, class_weight=[1.0, 2.0, 0.5]), rand(4, 15)


def call_lgb(gradlab):
    o, score = lgb_obj()
    return gradlab.check_gradient(o.value, o.gradient, score)


def prove_lgb():
    o, score = lgb_obj()
    return [(o.gradient(score), diff(lambda: o.value(score), score))]


# ---- pong from pixels, with more than two actions
def discount_rewards(r, gamma=0.95):
    out, running = np.zeros_like(r), 0.0
    for t in reversed(range(r.size)):
        running = running * gamma + r[t]
        out[t] = running
    out -= out.mean()
    return out / out.std()


def make_surrogate(epx, actions, rewards, H, A):
    adv = discount_rewards(rewards)
    D = epx.shape[1]

    def unpack(theta):
        return theta[: D * H].reshape(H, D), theta[D * H :].reshape(A, H)

    def policy_forward(theta):
        W1, W2 = unpack(theta)
        eph = np.tanh(epx @ W1.T)
        logits = eph @ W2.T
        logits = logits - logits.max(1, keepdims=True)
        return eph, logits - np.log(np.exp(logits).sum(1, keepdims=True))

    def surrogate(theta):
        return np.sum(adv * policy_forward(theta)[1][np.arange(len(actions)), actions])

    def policy_backward(theta):
        _, W2 = unpack(theta)
        eph, logp = policy_forward(theta)
        epdlogp = -np.exp(logp)
        epdlogp[np.arange(len(actions)), actions] += 1
        epdlogp *= adv[:, None]
        dW2 = epdlogp.T @ eph
        dW1 = ((epdlogp @ W2) * (1 - eph**2)).T @ epx
        return np.concatenate([dW1.ravel(), dW2.ravel()])

    return surrogate, policy_backward


def pong():
    rng = np.random.default_rng(12)
    f, g = make_surrogate(
        rng.normal(size=(7, 5)), rng.integers(0, 3, 7), np.array([0, 0, 1.0, 0, -1.0, 0, 1.0]), 4, 3
    )
    return f, g, 0.5 * rng.normal(size=4 * 5 + 3 * 4)


def prove_pong():
    f, g, theta = pong()
    return [(g(theta), diff(lambda: f(theta), theta))]


# ---- dueling head; illegal moves do not enter the mean
class DuelingHead:
    def __init__(self, legal):
        self.legal = legal.astype(float)

    def forward(self, V, A):
        self.n = self.legal.sum(axis=1, keepdims=True)
        mean = (A * self.legal).sum(axis=1, keepdims=True) / self.n
        return (V + A - mean) * self.legal

    def backward(self, dQ):
        dQ = dQ * self.legal
        total = dQ.sum(axis=1, keepdims=True)
        return total, dQ - self.legal * total / self.n


LEGAL = np.array([[1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]])


def prove_dueling():
    head, V, A, g = DuelingHead(LEGAL), rand(1, 3, 1), rand(2, 3, 4), rand(3, 3, 4)
    head.forward(V, A)
    f = lambda: head.forward(V, A) * g  # noqa: E731
    return [(d, diff(f, a)) for d, a in zip(head.backward(g), (V, A))]


# ---- RMSLE (squared), bike sharing demand
def msle(pred, y):
    return np.mean((np.log1p(pred) - np.log1p(y)) ** 2)


def msle_grad(pred, y):
    log_diff = np.log1p(pred) - np.log1p(y)
    return 2.0 * log_diff / len(y)


def bikes():
    rng = np.random.default_rng(3)
    return rng.uniform(1, 40, 8), rng.uniform(1, 40, 8)


def call_msle(gradlab):
    pred, y = bikes()
    return gradlab.check_gradient(msle, msle_grad, pred, args=(y,))


def prove_msle():
    pred, y = bikes()
    return [(msle_grad(pred, y), diff(lambda: msle(pred, y), pred))]


# ---- DQN: Huber loss of the TD error
class HuberTD:
    def __init__(self, kappa=0.25):
        self.kappa = kappa

    def forward(self, q, target):
        self.delta = q - target
        quad = np.abs(self.delta) < self.kappa
        loss = np.where(quad, 0.5 * self.delta**2 / self.kappa, np.abs(self.delta) - 0.5 * self.kappa)
        return loss.mean()

    def backward(self):
        quad = np.abs(self.delta) < 1.0
        return np.where(quad, self.delta / self.kappa, np.sign(self.delta)) / self.delta.size


def td_data():
    return np.array([0.1, 1.3, -0.6, 2.2, 0.45, -1.9]), np.array([0.2, 0.9, -0.1, 0.4, 0.3, -1.1])


def prove_huber():
    q, target = td_data()
    layer = HuberTD()
    layer.forward(q, target)
    return [(layer.backward(), diff(lambda: layer.forward(q, target), q))]


# ---- A2C actor loss on logits
def a2c_actor_loss(logits, actions, advantages, beta):
    """Returns loss, dlogits. Entropy bonus with weight beta."""
    n = len(actions)
    z = logits - logits.max(axis=-1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    p = np.exp(logp)
    H = -(p * logp).sum(axis=-1, keepdims=True)
    loss = -(advantages * logp[np.arange(n), actions]).mean() - beta * H.mean()

    dlogits = p * advantages[:, None]
    dlogits[np.arange(n), actions] -= advantages
    dlogits -= beta * p * (logp + H)
    return loss, dlogits / n


def actor():
    return 1.3 * rand(20, 5, 4), np.array([0, 3, 1, 1, 2]), rand(21, 5), 0.2


def call_a2c(gradlab):
    logits, *rest = actor()
    return gradlab.check_gradient(a2c_actor_loss, True, logits, args=tuple(rest))


def prove_a2c():
    logits, *rest = actor()
    return [(a2c_actor_loss(logits, *rest)[1], diff(lambda: a2c_actor_loss(logits, *rest)[0], logits))]


# ---- gaussian policy for continuous actions
class GaussianPolicy:
    """Negative log-likelihood of the taken actions, mean over the batch; a sigma for each dimension."""

    def __init__(self, obs_dim, act_dim, seed=1):
        rs = np.random.RandomState(seed)
        self.W = rs.randn(obs_dim, act_dim) * 0.4
        self.sigma = np.linspace(0.4, 1.7, act_dim)

    def forward(self, obs, act):
        self.obs = obs
        self.z = (act - obs @ self.W) / self.sigma
        return (0.5 * self.z**2 + np.log(self.sigma)).sum(axis=1).mean()

    def backward(self):
        n = len(self.obs)
        dmu = -self.z / self.sigma / n
        self.dW = self.obs.T @ dmu
        self.dsigma = (1 - self.z**2).mean(axis=0)
        return dmu @ self.W.T, -dmu


def prove_gauss():
    pol, obs, act = GaussianPolicy(3, 2), rand(5, 6, 3), rand(6, 6, 2)
    pol.forward(obs, act)
    dobs, dact = pol.backward()
    f = lambda: pol.forward(obs, act)  # noqa: E731
    return [
        (dobs, diff(f, obs)),
        (dact, diff(f, act)),
        (pol.dW, diff(f, pol.W)),
        (pol.dsigma, diff(f, pol.sigma)),
    ]


# ---- Strompreis-Prognose: Expektile, ein Verlust je Beispiel
class ExpektilVerlust:
    def __init__(self, tau=0.8):
        self.tau = tau

    def forward(self, prognose, wahrheit):
        self.rest = wahrheit - prognose
        self.gewicht = np.where(self.rest > 0, self.tau, 1 - self.tau)
        return self.gewicht * self.rest**2

    def backward(self, dout):
        dprognose = -2.0 * self.gewicht * self.rest
        return dprognose


def prove_expektil():
    v, p, w, g = ExpektilVerlust(), rand(1, 7), rand(2, 7), rand(3, 7)
    v.forward(p, w)
    return [(v.backward(g), diff(lambda: v.forward(p, w) * g, p))]


# ---- transformer homework: positions
def posemb_forward(x, pos, scale):
    """x (N, T, D), pos (T, D), scale (D,)"""
    return scale * (x + pos), (x, pos, scale)


def posemb_backward(dout, cache):
    x, pos, scale = cache
    dx = dout * scale
    dpos = dout * scale
    dscale = (dout * (x + pos)).sum(axis=(0, 1))
    return dx, dpos, dscale


def prove_posemb():
    args, g = (rand(1, 3, 4, 2), rand(2, 4, 2), rand(3, 2)), rand(4, 3, 4, 2)
    grads = posemb_backward(g, posemb_forward(*args)[1])
    return [(d, diff(lambda: posemb_forward(*args)[0] * g, a)) for d, a in zip(grads, args)]


# ---- ゼミ課題：残差ブロック
class ResidualBlock:
    """出力 = relu(x + relu(x W1) W2)"""

    def __init__(self, W1, W2):
        self.W1, self.W2 = W1, W2
        self.dW1 = None
        self.dW2 = None

    def forward(self, x):
        self.x = x
        self.h = np.maximum(np.dot(x, self.W1), 0)
        z = x + np.dot(self.h, self.W2)
        self.mask = z <= 0
        out = z.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dz = dout.copy()
        dz[self.mask] = 0
        self.dW2 = np.dot(self.h.T, dz)
        dh = np.dot(dz, self.W2.T) * (self.h > 0)
        self.dW1 = np.dot(self.x.T, dh)
        dx = np.dot(dh, self.W1.T) + dout  # 近道の分
        return dx


def prove_residual():
    blk, x, g = ResidualBlock(rand(1, 4, 5), rand(2, 5, 4)), rand(3, 3, 4), rand(4, 3, 4)
    blk.forward(x)
    dx, f = blk.backward(g), lambda: blk.forward(x) * g
    return [(dx, diff(f, x, 1e-4)), (blk.dW1, diff(f, blk.W1, 1e-4)), (blk.dW2, diff(f, blk.W2, 1e-4))]


ENTRIES = [
    Stranger(
        "n: gamma objective of xgboost, gradient", "objective and metric, args", call_gamma, prove_gamma
    ),
    Stranger(
        "n: fair objective, diagonal Hessian as a Jacobian", "Jacobian of the gradient", call_fair, prove_fair
    ),
    Stranger(
        "n: smoothed softmax objective, scores flat in column order",
        "methods value and gradient",
        call_lgb,
        prove_lgb,
    ),
    Stranger(
        "n: policy gradient surrogate of closures over an episode",
        "closures f and grad",
        lambda gradlab: gradlab.check_gradient(*pong()),
        prove_pong,
    ),
    Stranger(
        "n: dueling head with illegal moves",
        "layer of two inputs, tuple",
        lambda gradlab: gradlab.check_layer(DuelingHead(LEGAL), rand(1, 3, 1), rand(2, 3, 4)),
        prove_dueling,
    ),
    Stranger(
        "n: MSLE objective: slope of log1p forgotten",
        "f and grad with args",
        call_msle,
        prove_msle,
        "wrong",
        "the factor 1 / (1 + pred) of log1p is left out",
        ("missing-factor", "log-parameter"),
        ("pred",),
        "    return 2.0 * log_diff / len(y)",
        "    return 2.0 * log_diff / (1.0 + pred) / len(y)",
    ),
    Stranger(
        "n: Huber TD loss: backward switches at 1 and not at kappa",
        "loss layer, backward without argument",
        lambda gradlab: gradlab.check_layer(HuberTD(), *td_data()),
        prove_huber,
        "wrong",
        "backward takes the quadratic part below 1, forward below kappa",
        ("masked-region",),
        ("q",),
        "        quad = np.abs(self.delta) < 1.0",
        "        quad = np.abs(self.delta) < self.kappa",
    ),
    Stranger(
        "n: A2C actor loss: entropy bonus with the wrong sign",
        "f that returns loss and gradient, args",
        call_a2c,
        prove_a2c,
        "wrong",
        "the entropy bonus's term has the wrong sign in dlogits",
        ("sign-flipped",),
        ("logits",),
        "    dlogits -= beta * p * (logp + H)",
        "    dlogits += beta * p * (logp + H)",
    ),
    Stranger(
        "n: gaussian policy: gradient of log sigma for sigma",
        "loss layer with attributes W, dW, sigma, dsigma",
        lambda gradlab: gradlab.check_layer(GaussianPolicy(3, 2), rand(5, 6, 3), rand(6, 6, 2)),
        prove_gauss,
        "wrong",
        "dsigma is the gradient by log(sigma): the factor 1 / sigma is missing",
        ("log-parameter", "missing-factor"),
        ("sigma",),
        "        self.dsigma = (1 - self.z**2).mean(axis=0)",
        "        self.dsigma = (1 - self.z**2).mean(axis=0) / self.sigma",
    ),
    Stranger(
        "n: Expektil loss per example: dout not used",
        "loss layer with a vector of losses",
        lambda gradlab: gradlab.check_layer(ExpektilVerlust(), rand(1, 7), rand(2, 7)),
        prove_expektil,
        "wrong",
        "backward never multiplies by dout",
        ("ignores-cotangent",),
        ("prognose",),
        "        dprognose = -2.0 * self.gewicht * self.rest",
        "        dprognose = -2.0 * self.gewicht * self.rest * dout",
    ),
    Stranger(
        "n: learned positions: gradient not summed over the batch",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(
            posemb_forward, posemb_backward, (rand(1, 3, 4, 2), rand(2, 4, 2), rand(3, 2))
        ),
        prove_posemb,
        "wrong",
        "pos is broadcast over the batch, its gradient is not summed over it",
        ("missing-broadcast-sum", "wrong-shape"),
        ("pos",),
        "    dpos = dout * scale",
        "    dpos = (dout * scale).sum(axis=0)",
    ),
    Stranger(
        "n: residual block: shortcut gets dout from before the last ReLU's mask",
        "layer with attributes dW1, dW2",
        lambda gradlab: gradlab.check_layer(ResidualBlock(rand(1, 4, 5), rand(2, 5, 4)), rand(3, 3, 4)),
        prove_residual,
        "wrong",
        "the shortcut passes dout on, not the dz behind the outer ReLU's mask",
        ("wrong-cotangent", "masked-region"),
        ("x",),
        "        dx = np.dot(dh, self.W1.T) + dout  # 近道の分",
        "        dx = np.dot(dh, self.W1.T) + dz  # 近道の分",
    ),
]
