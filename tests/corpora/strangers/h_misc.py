"""From all over: embeddings, recommenders, meshes, time series, options, knowledge graphs."""

import numpy as np
from scipy.special import ndtr

from ._entry import Stranger
from ._help_h import of_pair, of_scalar, slope


# ~~~~~ t-SNE ~~~~~
def kl_divergence(Y, P, n_components=2):
    """Y is flat, as scipy wants it. Returns the KL divergence and its gradient."""
    Y = Y.reshape(-1, n_components)
    diff = Y[:, None, :] - Y[None, :, :]
    num = 1.0 / (1.0 + np.sum(diff**2, axis=2))
    np.fill_diagonal(num, 0.0)
    Q = num / num.sum()
    off = ~np.eye(len(Y), dtype=bool)
    C = np.sum(P[off] * np.log(P[off] / Q[off]))
    PQ = (P - Q) * num
    grad = 4 * np.einsum("ij,ijk->ik", PQ, diff)
    return C, grad.ravel()


def _similar():
    rng = np.random.default_rng(160)
    P = rng.uniform(0.1, 1, (8, 8))
    P = P + P.T
    np.fill_diagonal(P, 0)
    return rng.standard_normal(16), (P / P.sum(),)


# ~~~~~ factorization machine ~~~~~
class FM:
    def __init__(self, n_features, k=3, seed=0):
        rng = np.random.default_rng(seed)
        self.params = {
            "w0": np.zeros(1),
            "w": 0.1 * rng.standard_normal(n_features),
            "V": 0.3 * rng.standard_normal((n_features, k)),
        }
        self.grads = {}

    def forward(self, X):
        p = self.params
        self.X = X
        self.XV = X @ p["V"]
        pair = 0.5 * (self.XV**2 - X**2 @ p["V"] ** 2).sum(1)
        return p["w0"] + X @ p["w"] + pair

    def backward(self, dy):
        X, V = self.X, self.params["V"]
        self.grads["w0"] = dy.sum(keepdims=True)
        self.grads["w"] = X.T @ dy
        self.grads["V"] = X.T @ (dy[:, None] * self.XV) - ((X**2).T @ dy)[:, None] * V
        pair = self.XV @ V.T - X * (V**2).sum(1)
        return dy[:, None] * (self.params["w"] + pair)


def _clicks():
    return np.random.default_rng(161).uniform(0, 1, (5, 6))


# ~~~~~ Dreiecksnetz: Fläche und Volumen ~~~~~
FLAECHEN = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])


def blase(ecken, flaechen, spannung=1.0, druck=0.8):
    a, b, c = ecken[flaechen].transpose(1, 0, 2)
    normale = np.cross(b - a, c - a)
    return spannung * 0.5 * np.linalg.norm(normale, axis=1).sum() - druck * np.sum(a * np.cross(b, c)) / 6


def blase_ableitung(ecken, flaechen, spannung=1.0, druck=0.8):
    a, b, c = ecken[flaechen].transpose(1, 0, 2)
    normale = np.cross(b - a, c - a)
    n = 0.5 * spannung * normale / np.linalg.norm(normale, axis=1, keepdims=True)
    erg = np.zeros_like(ecken)
    for spalte, (p, q, r) in enumerate(((a, b, c), (b, c, a), (c, a, b))):
        np.add.at(erg, flaechen[:, spalte], np.cross(q - r, n) - druck / 6 * np.cross(q, r))
    return erg


def _oktaeder():
    ecken = np.vstack([np.eye(3), -np.eye(3)])[[0, 3, 1, 4, 2, 5]]
    return ecken + 0.1 * np.random.default_rng(162).standard_normal((6, 3)), (FLAECHEN,)


# ~~~~~ soft-DTW ~~~~~
def soft_dtw(x, y, gamma=0.5):
    """Cuturi and Blondel (2017). x (n, d), y (m, d)."""
    D = ((x[:, None] - y[None]) ** 2).sum(-1)
    n, m = D.shape
    R = np.full((n + 2, m + 2), np.inf)
    R[0, 0] = 0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            z = -np.array([R[i - 1, j - 1], R[i - 1, j], R[i, j - 1]]) / gamma
            top = z.max()
            R[i, j] = D[i - 1, j - 1] - gamma * (top + np.log(np.exp(z - top).sum()))
    return R[n, m], (x, y, D, R, gamma)


def soft_dtw_backward(dout, cache):
    x, y, D, R, gamma = cache
    n, m = D.shape
    R = R.copy()
    R[n + 1, :] = R[:, m + 1] = -np.inf
    R[n + 1, m + 1] = R[n, m]
    D = np.pad(D, ((0, 1), (0, 1)))
    E = np.zeros((n + 2, m + 2))
    E[n + 1, m + 1] = 1
    for j in range(m, 0, -1):
        for i in range(n, 0, -1):
            a = np.exp((R[i + 1, j] - R[i, j] - D[i, j - 1]) / gamma)
            b = np.exp((R[i, j + 1] - R[i, j] - D[i - 1, j]) / gamma)
            c = np.exp((R[i + 1, j + 1] - R[i, j] - D[i, j]) / gamma)
            E[i, j] = a * E[i + 1, j] + b * E[i, j + 1] + c * E[i + 1, j + 1]
    E = dout * E[1:-1, 1:-1]
    diff = x[:, None] - y[None]
    return 2 * (E[..., None] * diff).sum(1), -2 * (E[..., None] * diff).sum(0)


def _gestures():
    rng = np.random.default_rng(163)
    return rng.standard_normal((5, 2)), rng.standard_normal((6, 2))


# ~~~~~ Bayesian personalised ranking ~~~~~
class BPR:
    """Triples (user, bought, not bought). The loss's gradients come back with it."""

    reg = 0.02

    def loss_and_grads(self, params, triples):
        U, I = params["U"], params["I"]
        u, i, j = triples.T
        s = ((I[i] - I[j]) * U[u]).sum(1)
        loss = np.logaddexp(0, -s).sum() + self.reg / 2 * ((U**2).sum() + (I**2).sum())
        e = -1 / (1 + np.exp(s))[:, None]
        grads = {k: self.reg * v for k, v in params.items()}
        np.add.at(grads["U"], u, e * (I[i] - I[j]))
        np.add.at(grads["I"], i, e * U[u])
        np.add.at(grads["I"], j, -e * U[u])
        return loss, grads


TRIPLES = np.array([[0, 1, 2], [0, 3, 2], [1, 0, 3], [2, 2, 0], [2, 1, 0], [1, 0, 4]])


def _bpr_flat(theta):
    U, I = theta[:9].reshape(3, 3), theta[9:].reshape(5, 3)
    loss, grads = BPR().loss_and_grads({"U": U, "I": I}, TRIPLES)
    return loss, np.concatenate([grads["U"].ravel(), grads["I"].ravel()])


# ~~~~~ CBOW ~~~~~
class CBOW:
    def __init__(self, vocab, dim):
        rng = np.random.default_rng(0)
        self.W_in = rng.standard_normal((vocab, dim))
        self.W_out = rng.standard_normal((dim, vocab))

    def forward(self, contexts, target):
        self.contexts, self.target = contexts, target
        self.h = self.W_in[contexts].mean(axis=1)
        s = self.h @ self.W_out
        e = np.exp(s - s.max(axis=1, keepdims=True))
        self.y = e / e.sum(axis=1, keepdims=True)
        return -np.log(self.y[np.arange(len(target)), target]).mean()

    def backward(self):
        N = len(self.target)
        ds = self.y.copy()
        ds[np.arange(N), self.target] -= 1
        ds /= N
        self.dW_out = self.h.T @ ds
        dh = ds @ self.W_out.T
        self.dW_in = np.zeros_like(self.W_in)
        for c in range(self.contexts.shape[1]):
            np.add.at(self.dW_in, self.contexts[:, c], dh)


CONTEXTS = np.array([[0, 2, 3, 1], [1, 3, 5, 2], [4, 0, 0, 6], [5, 6, 1, 3]])


def _you_say():
    return CBOW(7, 3), CONTEXTS, np.array([1, 4, 2, 0])


# ~~~~~ GloVe on a full co-occurrence matrix ~~~~~
def glove(W, C, bw, bc, X, x_max=10.0):
    f = np.minimum(1.0, (X / x_max) ** 0.75)
    diff = W @ C.T + bw[:, None] + bc[None, :] - np.log(X)
    return 0.5 * np.sum(f * diff**2), (W, C, f * diff)


def glove_backward(dout, cache):
    W, C, fdiff = cache
    fdiff = dout * fdiff
    dbw = fdiff.sum(axis=1)
    dbc = fdiff.sum(axis=1)
    return {"W": fdiff @ C, "C": fdiff.T @ W, "bw": dbw, "bc": dbc}


def _corpus():
    rng = np.random.default_rng(165)
    X = rng.integers(1, 20, (5, 5))
    W, C = rng.standard_normal((2, 5, 3))
    return W.copy(), C.copy(), rng.standard_normal(5), rng.standard_normal(5), X


# ~~~~~ calibrating volatilities to option prices ~~~~~
def bs_price(vol, S, K, T, r):
    d1 = (np.log(S / K) + (r + 0.5 * vol**2) * T) / (vol * np.sqrt(T))
    d2 = d1 - vol * np.sqrt(T)
    return S * ndtr(d1) - K * np.exp(-r * T) * ndtr(d2)


def calibration_error(vol, market, S, K, T, r):
    return 0.5 * np.sum((bs_price(vol, S, K, T, r) - market) ** 2)


def calibration_gradient(vol, market, S, K, T, r):
    d1 = (np.log(S / K) + (r + 0.5 * vol**2) * T) / (vol * np.sqrt(T))
    vega = S * np.exp(-0.5 * d1**2) / np.sqrt(2 * np.pi)
    return vega * (bs_price(vol, S, K, T, r) - market)


def _options():
    K, T = np.array([90.0, 95, 100, 105, 110]), np.array([0.25, 0.5, 0.5, 1.5, 2.0])
    market = bs_price(np.array([0.3, 0.26, 0.24, 0.22, 0.25]), 100.0, K, T, 0.02)
    return np.array([0.25, 0.2, 0.3, 0.25, 0.18]), (market, 100.0, K, T, 0.02)


# ~~~~~ RESCAL: scores of (subject, relation, object) ~~~~~
def rescal(E, R, triples):
    s, r, o = triples.T
    return np.einsum("na,nab,nb->n", E[s], R[r], E[o]), (E, R, triples)


def rescal_grads(g, cache):
    E, R, triples = cache
    s, r, o = triples.T
    dE, dR = np.zeros_like(E), np.zeros_like(R)
    np.add.at(dE, s, g[:, None] * np.einsum("nab,nb->na", R[r], E[o]))
    np.add.at(dE, o, g[:, None] * np.einsum("nab,na->nb", R[r], E[s]))
    np.add.at(dR, r, np.einsum("n,na,nb->nba", g, E[s], E[o]))
    return dE, dR


FACTS = np.array([[0, 0, 1], [1, 1, 2], [3, 0, 2], [2, 1, 0], [0, 1, 3]])


def _facts():
    rng = np.random.default_rng(167)
    return rng.standard_normal((4, 3)), rng.standard_normal((2, 3, 3)), FACTS


def _use(f, grad, make):
    return (
        lambda gradlab: gradlab.check_gradient(f, grad, make()[0], args=make()[1]),
        lambda: of_scalar(f, grad, *make()),
    )


def _pair(forward, backward, make, names=()):
    return (
        lambda gradlab: gradlab.check_cached_pair(forward, backward, make()),
        lambda: of_pair(forward, backward, make(), names),
    )


def _fm_truth():
    fm, X, g = FM(6), _clicks(), np.array([0.3, -1.0, 2.0, 0.5, -0.7])
    fm.forward(X)
    dX = fm.backward(g)
    claimed = [dX, *(fm.grads[k].copy() for k in fm.params)]
    return [(d, slope(lambda: g @ fm.forward(X), a)) for d, a in zip(claimed, [X, *fm.params.values()])]


def _cbow_truth():
    net, *args = _you_say()
    net.forward(*args)
    net.backward()
    claimed = net.dW_in.copy(), net.dW_out.copy()
    return [(d, slope(lambda: net.forward(*args), a)) for d, a in zip(claimed, (net.W_in, net.W_out))]


ENTRIES = [
    Stranger("t-SNE's divergence", "value and gradient in one", *_use(kl_divergence, True, _similar)),
    Stranger(
        "factorization machine, as a pair",
        "model with dicts of parameters and gradients",
        lambda gradlab: gradlab.check_layer(FM(6), _clicks()),
        _fm_truth,
    ),
    Stranger("soap bubble on a mesh", "f and grad with args", *_use(blase, blase_ableitung, _oktaeder)),
    Stranger("soft dynamic time warping", "pair with cache", *_pair(soft_dtw, soft_dtw_backward, _gestures)),
    Stranger(
        "Bayesian personalised ranking",
        "dict of parameters, flattened for SciPy",
        *_use(_bpr_flat, True, lambda: (np.random.default_rng(164).standard_normal(24), ())),
    ),
    Stranger(
        "CBOW: the mean over the context",
        "model with attributes W_in, dW_in",
        lambda gradlab: gradlab.check_layer(*_you_say()),
        _cbow_truth,
        "wrong",
        "each context word gets the whole gradient of the mean and not its share",
        ("constant-factor",),
        ("W_in",),
        "            np.add.at(self.dW_in, self.contexts[:, c], dh)\n",
        "            np.add.at(self.dW_in, self.contexts[:, c], dh / self.contexts.shape[1])\n",
    ),
    Stranger(
        "GloVe: the context words' biases",
        "pair with cache, dict of gradients",
        *_pair(glove, glove_backward, _corpus, ("W", "C", "bw", "bc")),
        "wrong",
        "the context biases' gradient is summed over the contexts and not over the words",
        ("wrong-sum-axis",),
        ("bc",),
        "    dbc = fdiff.sum(axis=1)\n",
        "    dbc = fdiff.sum(axis=0)\n",
    ),
    Stranger(
        "calibrated volatilities: vega",
        "f and grad with args",
        *_use(calibration_error, calibration_gradient, _options),
        "wrong",
        "vega lacks the square root of the time to maturity",
        (),
        ("vol",),
        "    vega = S * np.exp(-0.5 * d1**2) / np.sqrt(2 * np.pi)\n",
        "    vega = S * np.exp(-0.5 * d1**2) * np.sqrt(T) / np.sqrt(2 * np.pi)\n",
    ),
    Stranger(
        "RESCAL: a relation's matrix",
        "pair with cache",
        *_pair(rescal, rescal_grads, _facts),
        "wrong",
        "a relation's gradient has subject and object in the other order",
        ("axes-permuted", "transposed"),
        ("R",),
        '    np.add.at(dR, r, np.einsum("n,na,nb->nba", g, E[s], E[o]))\n',
        '    np.add.at(dR, r, np.einsum("n,na,nb->nab", g, E[s], E[o]))\n',
    ),
]
