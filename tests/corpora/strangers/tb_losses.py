"""Losses and classical models of machine learning and econometrics."""

import numpy as np
from scipy.signal import lfilter
from scipy.special import digamma, expit, gammaln, log_softmax, logsumexp, softmax

from ._entry import Stranger
from ._help_tb import draw, of_pair, slope

# ============ hidden Markov model


def hmm_logprob(emit, trans, start):
    """log P(observations); emit (T, K), trans (K, K) and start (K,) are logs, not necessarily normalised."""
    alpha = np.empty_like(emit)
    alpha[0] = start + emit[0]
    for t in range(1, len(emit)):
        alpha[t] = emit[t] + logsumexp(alpha[t - 1][:, None] + trans, axis=0)
    logp = logsumexp(alpha[-1])
    return logp, (emit, trans, alpha, logp)


def hmm_logprob_bwd(dlogp, cache):
    emit, trans, alpha, logp = cache
    T = len(emit)
    beta = np.zeros_like(emit)
    for t in reversed(range(T - 1)):
        beta[t] = logsumexp(trans + emit[t + 1] + beta[t + 1], axis=1)
    gamma = np.exp(alpha + beta - logp)
    xi = np.exp(alpha[:-1, :, None] + trans + (emit + beta)[1:, None, :] - logp)
    return dlogp * gamma, dlogp * xi.sum(0), dlogp * gamma[0]


def chain():
    rng = np.random.default_rng(41)
    return [log_softmax(rng.normal(size=s), axis=-1) for s in ((6, 3), (3, 3), (3,))]


# ============ evidential regression


def evidential_loss(raw, y):
    """Columns of raw: gamma, log nu, log(alpha - 1), log beta. Mean NLL and its gradient."""
    gamma = raw[:, 0]
    nu, am1, beta = np.exp(raw[:, 1:]).T
    alpha = am1 + 1
    err = y - gamma
    om = 2 * beta * (1 + nu)
    q = err**2 * nu + om
    nll = 0.5 * np.log(np.pi / nu) - alpha * np.log(om) + (alpha + 0.5) * np.log(q)
    nll += gammaln(alpha) - gammaln(alpha + 0.5)
    k = (alpha + 0.5) / q
    d_gamma = -2 * k * err * nu
    d_nu = -0.5 - alpha * nu / (1 + nu) + k * (err**2 + 2 * beta) * nu
    d_alpha = am1 * (np.log(q / om) + digamma(alpha) - digamma(alpha + 0.5))
    d_beta = -alpha + k * om
    grad = np.stack([d_gamma, d_nu, d_beta, d_alpha], axis=1)
    return nll.mean(), grad / len(y)


def sensors():
    rng = np.random.default_rng(42)
    return 0.7 * rng.normal(size=(7, 4)), rng.normal(size=7)


# ============ squared earth mover's distance for ordered grades


class EMD2Loss:
    def forward(self, logits, target):
        self.p = softmax(logits, axis=1)
        self.gap = np.cumsum(self.p - target, axis=1)
        self.C = logits.shape[1]
        return np.mean(self.gap**2)

    def backward(self):
        dgap = 2 * self.gap / self.gap.size
        dp = np.flip(np.cumsum(np.flip(dgap, 1), axis=1), 1)
        inner = np.sum(dp * self.p, axis=1, keepdims=True)
        return self.p * (dp - inner)


def grades():
    rng = np.random.default_rng(43)
    return rng.normal(size=(5, 6)), softmax(2 * rng.normal(size=(5, 6)), axis=1)


def prove_emd():
    m, (x, t) = EMD2Loss(), grades()
    m.forward(x, t)
    return [(m.backward(), slope(lambda: m.forward(x, t), x))]


# ============ ridge logit


class RidgeLogit:
    """First column of X is the constant; the intercept goes unpenalised."""

    def __init__(self, X, y, C=2.0):
        self.X, self.y, self.C = X, y, C

    def loss(self, w):
        m = self.X @ w
        return self.C * np.sum(np.logaddexp(0, m) - self.y * m) + 0.5 * w[1:] @ w[1:]

    def grad(self, w):
        score = self.C * self.X.T @ (expit(self.X @ w) - self.y)
        score += w
        return score


def patients():
    rng = np.random.default_rng(44)
    X = np.c_[np.ones(26), rng.normal(size=(26, 3))]
    return RidgeLogit(X, (rng.random(26) < 0.4) * 1.0), np.array([1.5, 0.4, -0.8, 0.3])


# ============ soft decision tree


class Leaf:
    def __init__(self, rng):
        self.v = rng.normal(size=1)
        self.dv = np.zeros(1)

    def forward(self, x):
        self.n = len(x)
        return np.full(self.n, self.v[0])

    def backward(self, dy):
        self.dv = np.array([dy.sum()])
        return 0.0

    def params(self):
        return [self.v]

    def grads(self):
        return [self.dv]


class Split:
    """Goes left with probability sigmoid(x a + c); children are splits or leaves."""

    def __init__(self, dim, depth, rng):
        self.a, self.c = rng.normal(size=dim), rng.normal(size=1)
        self.da, self.dc = np.zeros(dim), np.zeros(1)
        make = (lambda: Leaf(rng)) if depth == 1 else (lambda: Split(dim, depth - 1, rng))
        self.left, self.right = make(), make()

    def forward(self, x):
        self.x = x
        self.p = expit(x @ self.a + self.c)
        self.yl, self.yr = self.left.forward(x), self.right.forward(x)
        return self.p * self.yl + (1 - self.p) * self.yr

    def backward(self, dy):
        dz = dy * (self.yl - self.yr) * self.p * (1 - self.p)
        self.da, self.dc = dz @ self.x, dz.sum(keepdims=True)
        return np.outer(dz, self.a) + self.left.backward(dy * self.p) + self.right.backward(dy * (1 - self.p))

    def params(self):
        return [self.a, self.c] + self.left.params() + self.right.params()

    def grads(self):
        return [self.da, self.dc] + self.left.grads() + self.right.grads()


def tree():
    return Split(3, 2, np.random.default_rng(45)), draw((8, 3), 5)


def prove_tree():
    m, x = tree()
    g = draw(8)
    m.forward(x)
    dx = m.backward(g)
    value = lambda: np.sum(g * m.forward(x))  # noqa: E731
    rest = zip(m.grads(), m.params(), strict=True)
    return [(dx, slope(value, x))] + [(d, slope(value, p)) for d, p in rest]


# ============ n-pairs on the sphere


def to_sphere(a):
    norm = np.sqrt((a * a).sum(1, keepdims=True))
    return a / norm, norm


def from_sphere(g, unit, norm):
    return g


class NPairs:
    """Row i of the anchors belongs to row i of the positives; all other rows are negatives."""

    def __init__(self, scale=3.0):
        self.scale = scale

    def forward(self, anchors, positives):
        self.A, self.nA = to_sphere(anchors)
        self.P, self.nP = to_sphere(positives)
        lp = log_softmax(self.scale * self.A @ self.P.T, axis=1)
        self.q = np.exp(lp)
        return -np.mean(np.diag(lp))

    def backward(self, dout=1.0):
        n = len(self.q)
        ds = dout * self.scale * (self.q - np.eye(n)) / n
        return from_sphere(ds @ self.P, self.A, self.nA), from_sphere(ds.T @ self.A, self.P, self.nP)


def prove_npairs():
    m, a, b = NPairs(), draw((5, 4), 6), draw((5, 4), 7)
    m.forward(a, b)
    da, db = m.backward()
    return [(da, slope(lambda: m.forward(a, b), a)), (db, slope(lambda: m.forward(a, b), b))]


# ============ discriminant analysis


def discriminant(X, labels, k):
    """log det of within scatter minus log det of total scatter, of the projection W (flat, d x k)."""
    Xc = X - X.mean(0)
    total = Xc.T @ Xc / len(X)
    within = sum(np.cov(X[labels == c].T, bias=True) * np.mean(labels == c) for c in np.unique(labels))

    def objective(flat):
        W = flat.reshape(-1, k)
        value, G = 0.0, np.zeros_like(W)
        for sign, S in ((1, within), (-1, total)):
            SW = S @ W
            M = W.T @ SW
            value += sign * np.linalg.slogdet(M)[1]
            G += sign * 2 * np.linalg.solve(M, SW.T).T
        return value, G.ravel()

    return objective


def iris_like():
    rng = np.random.default_rng(47)
    lab = np.arange(30) % 3
    X = rng.normal(size=(30, 4)) + lab[:, None] * [1, -0.5, 0, 0.3]
    return discriminant(X, lab, 2), rng.normal(size=8)


# ============ generalised method of moments


class ExponentialIV:
    """Poisson-type regression with instruments: E[z (y - exp(x b))] = 0, weighted two-step GMM."""

    def __init__(self, x, z, y):
        self.x, self.z, self.y = x, z, y
        self.A = np.linalg.inv(z.T @ z / len(z))

    def moments(self, b):
        return self.z.T @ (self.y - np.exp(self.x @ b)) / len(self.y)

    def moments_jac(self, b):
        return -self.z.T @ (np.exp(self.x @ b)[:, None] * self.x) / len(self.y)

    def objective(self, b):
        m = self.moments(b)
        return m @ self.A @ m

    def objective_jac(self, b):
        return self.moments_jac(b).T @ self.A @ self.moments(b)


def instruments():
    rng = np.random.default_rng(48)
    z = np.c_[np.ones(50), rng.normal(size=(50, 3))]
    x = z[:, :3] + 0.3 * rng.normal(size=(50, 3))
    return ExponentialIV(x, z, rng.poisson(np.exp(0.3 * x[:, 1])).astype(float)), np.array([0.2, 0.1, -0.3])


# ============ ARMA


def css(par, y):
    c, phi, theta = par
    u = y[1:] - c - phi * y[:-1]
    e = lfilter([1.0], [1.0, theta], u)
    return 0.5 * e @ e


def css_prime(par, y):
    c, phi, theta = par
    ar = [1.0, theta]
    e = lfilter([1.0], ar, y[1:] - c - phi * y[:-1])
    lagged = np.concatenate([[0.0], e[:-1]])
    sens = [lfilter([-1.0], ar, v) for v in (np.ones(len(e)), y[:-1], lagged)]
    return np.array([e @ s for s in sens])


def inflation():
    return np.array([0.2, 0.5, 0.3]), 1 + np.random.default_rng(49).normal(size=60)


# ============ policy gradient


class Reinforce:
    """Surrogate loss of a softmax bandit; a running mean of the rewards is the baseline."""

    def __init__(self, actions, rewards):
        self.actions, self.rewards = actions, rewards
        self.baseline = 0.0

    def __call__(self, logits):
        adv = self.rewards - self.baseline
        lp = log_softmax(logits)
        loss = -np.mean(adv * lp[self.actions])
        grad = adv.mean() * np.exp(lp)
        np.subtract.at(grad, self.actions, adv / len(adv))
        self.baseline = 0.9 * self.baseline + 0.1 * self.rewards.mean()
        return loss, grad


def bandit():
    rng = np.random.default_rng(50)
    return Reinforce(rng.integers(0, 4, 12), 1 + rng.random(12)), rng.normal(size=4)


def value_and_grad(f, x, *a):
    return [(f(x, *a)[1], slope(lambda: f(x, *a)[0], x))]


def apart(f, df, x, *a):
    return [(df(x, *a), slope(lambda: f(x, *a), x))]


ENTRIES = [
    Stranger(
        "tb hidden markov model log likelihood",
        "pair with cache",
        lambda gl: gl.check_cached_pair(hmm_logprob, hmm_logprob_bwd, chain()),
        lambda: of_pair(hmm_logprob, hmm_logprob_bwd, chain(), (0, 1, 2)),
    ),
    Stranger(
        "tb evidential regression: columns of alpha and beta exchanged",
        "loss and gradient with args",
        lambda gl: (lambda r, y: gl.check_gradient(evidential_loss, True, r, args=(y,)))(*sensors()),
        lambda: value_and_grad(evidential_loss, *sensors()),
        "wrong",
        "the last two columns of the gradient stand in each other's place",
        ("columns-exchanged",),
        ("evidential_loss", "grad", "raw", "x"),
        "    grad = np.stack([d_gamma, d_nu, d_beta, d_alpha], axis=1)\n",
        "    grad = np.stack([d_gamma, d_nu, d_alpha, d_beta], axis=1)\n",
    ),
    Stranger(
        "tb squared earth mover's distance of grades",
        "loss layer without cotangent",
        lambda gl: gl.check_layer(EMD2Loss(), *grades()),
        prove_emd,
    ),
    Stranger(
        "tb ridge logit: intercept penalised in the gradient",
        "object with loss and grad",
        lambda gl: (lambda m, w: gl.check_gradient(m.loss, m.grad, w))(*patients()),
        lambda: (lambda m, w: apart(m.loss, m.grad, w))(*patients()),
        "wrong",
        "the gradient penalises the intercept, which the loss leaves alone",
        ("single-element", "additive-bias"),
        ("grad", "x", "w"),
        "        score += w\n",
        "        score[1:] += w[1:]\n",
    ),
    Stranger(
        "tb soft decision tree of nested splits",
        "layer with layers inside",
        lambda gl: (lambda m, x: gl.check_layer(m, x))(*tree()),
        prove_tree,
    ),
    Stranger(
        "tb n-pairs loss: gradient not brought back through the normalisation",
        "loss layer, two inputs",
        lambda gl: gl.check_layer(NPairs(), draw((5, 4), 6), draw((5, 4), 7)),
        prove_npairs,
        "wrong",
        "the gradient by the unit vectors is passed on as that by the vectors",
        ("straight-through",),
        ("anchors", "positives"),
        "    return g\n",
        "    return (g - unit * (g * unit).sum(1, keepdims=True)) / norm\n",
    ),
    Stranger(
        "tb discriminant projection",
        "closure that returns value and gradient",
        lambda gl: (lambda f, w: gl.check_gradient(f, True, w))(*iris_like()),
        lambda: value_and_grad(*iris_like()),
    ),
    Stranger(
        "tb gmm with instruments: factor two forgotten",
        "object with objective and jac",
        lambda gl: (lambda m, b: gl.check_gradient(m.objective, m.objective_jac, b))(*instruments()),
        lambda: (lambda m, b: apart(m.objective, m.objective_jac, b))(*instruments()),
        "wrong",
        "the factor 2 of the quadratic form is missing",
        ("constant-factor",),
        ("objective_jac", "grad", "x", "b"),
        "        return self.moments_jac(b).T @ self.A @ self.moments(b)\n",
        "        return 2 * self.moments_jac(b).T @ self.A @ self.moments(b)\n",
    ),
    Stranger(
        "tb arma(1,1) by conditional least squares",
        "f and fprime with args",
        lambda gl: (lambda p, y: gl.check_gradient(css, css_prime, p, args=(y,)))(*inflation()),
        lambda: apart(css, css_prime, *inflation()),
    ),
    Stranger(
        "tb reinforce with a running baseline: each call moves it",
        "callable that returns loss and gradient",
        lambda gl: (lambda m, x: gl.check_gradient(m, True, x))(*bandit()),
        lambda: [],
        "habit",
        "every call updates the baseline, so the next call gives another loss and gradient",
        ("nondeterministic",),
        ("x", "grad"),
    ),
]
