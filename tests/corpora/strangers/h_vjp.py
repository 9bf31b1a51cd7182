"""vjp-style functions, closures that return a pullback, a generator, linear algebra."""

from functools import partial

import numpy as np
from scipy.linalg import expm, expm_frechet, solve_sylvester, sqrtm

from ._entry import Stranger
from ._help_h import of_pair


# --- log det of a covariance, in the manner of torch.autograd.Function ---
class Context:
    saved_tensors = ()

    def save_for_backward(self, *tensors):
        self.saved_tensors = tensors


class LogDet:
    @staticmethod
    def forward(ctx, A):
        S = 0.5 * (A + A.T)
        L = np.linalg.cholesky(S)
        ctx.save_for_backward(L)
        return 2 * np.sum(np.log(np.diag(L)))

    @staticmethod
    def backward(ctx, grad_output):
        (L,) = ctx.saved_tensors
        Linv = np.linalg.solve(L, np.eye(len(L)))
        return grad_output * Linv.T @ Linv


def run_function(function):
    """Return (forward, backward) of a function that takes a ctx."""

    def forward(*inputs):
        ctx = Context()
        return function.forward(ctx, *inputs), ctx

    def backward(ctx, g):
        grads = function.backward(ctx, g)
        return grads if isinstance(grads, tuple) else (grads,)

    return forward, backward


def _spd(n=4, seed=60):
    B = np.random.default_rng(seed).standard_normal((n, n))
    return B @ B.T + n * np.eye(n)


# --- continuous-time Markov chain: x0 expm(tQ) ---
def ctmc(p0, Q, t):
    """returns the distribution at time t and a pullback"""
    E = expm(Q * t)

    def pullback(g):
        dE = np.outer(p0, g)
        adj = expm_frechet(Q.T * t, dE, compute_expm=False)
        dQ = adj * t
        dt = np.sum(adj * Q)
        return E @ g, dQ, np.array(dt)

    return p0 @ E, pullback


def _chain():
    rng = np.random.default_rng(61)
    Q = rng.uniform(0, 1, (4, 4))
    Q -= np.diag(Q.sum(1))
    return np.array([0.1, 0.4, 0.3, 0.2]), Q, np.array(0.6)


# --- matrix square root (Bures distance) ---
class MatrixSqrt:
    @staticmethod
    def forward(A):
        R = sqrtm(A)
        if np.iscomplexobj(R):
            raise ValueError("A has no real square root")
        return R.copy(), R

    @staticmethod
    def backward(R, G):
        # R X + X R = dA  =>  adjoint: R^T Y + Y R^T = G
        return (solve_sylvester(R.T, R.T, G),)


# --- power spectrum ---
def spectrum_fwd(x, *, taper):
    X = np.fft.rfft(x * taper)
    return X.real**2 + X.imag**2, (X, taper, len(x))


def spectrum_bwd(res, g):
    X, taper, n = res
    Y = np.zeros(n, dtype=complex)
    Y[: len(X)] = 2 * g * X
    return ((n * np.fft.ifft(Y)).real * taper,)


# --- graph attention: softmax over each node's neighbours ---
def make_segment_softmax(segments, n):
    def seg_sum(v):
        return np.bincount(segments, weights=v, minlength=n)

    def apply(scores, values):
        top = np.full(n, -np.inf)
        np.maximum.at(top, segments, scores)
        e = np.exp(scores - top[segments])
        w = e / seg_sum(e)[segments]
        out = np.stack([seg_sum(w * c) for c in values.T], axis=1)

        def back(g):
            ge = g[segments]
            dw = (ge * values).sum(1)
            dscores = w * (dw - seg_sum(w * dw)[segments])
            return dscores, w[:, None] * ge

        return out, back

    return apply


EDGES_TO = np.array([0, 2, 0, 1, 2, 2, 3, 0])


def _edges():
    rng = np.random.default_rng(63)
    return rng.standard_normal(8), rng.standard_normal((8, 3))


# --- the coroutine way ---
def gated(x, W, V):
    """tanh(xW) * sigmoid(xV): yields the output, then takes g and yields gradients for as long as one asks"""
    a = np.tanh(x @ W)
    s = 1 / (1 + np.exp(-(x @ V)))
    g = yield a * s
    while True:
        da = g * s * (1 - a**2)
        ds = g * a * s * (1 - s)
        g = yield da @ W.T + ds @ V.T, x.T @ da, x.T @ ds


def gated_forward(x, W, V):
    process = gated(x, W, V)
    return next(process), process


def gated_backward(process, g):
    return process.send(g)


# --- precision matrix ---
def inverse_forward(A):
    inv = np.linalg.inv(A)
    return inv.copy(), inv


def inverse_backward(inv, g):
    return (-inv @ g @ inv,)


# --- Kronecker product of two factors of one size ---
def kron_f(A, B):
    return np.kron(A, B), (A, B)


def kron_b(res, G):
    A, B = res
    (m, n), (p, q) = A.shape, B.shape
    G4 = G.reshape(m, p, n, q)
    first = np.einsum("ipjq,ij->pq", G4, A)
    second = np.einsum("ipjq,pq->ij", G4, B)
    return first, second


# --- free energy of a restricted Boltzmann machine ---
def rbm_free_energy(v, W, a, b):
    act = v @ W + b
    F = -v @ a - np.logaddexp(0, act).sum(axis=1)
    hidden = 1 / (1 + np.exp(-act))

    def vjp(g):
        gh = g[:, None] * hidden
        da = -v.sum(axis=0)
        return -np.outer(g, a) - gh @ W.T, -v.T @ gh, da, -gh.sum(axis=0)

    return F, vjp


def _rbm():
    rng = np.random.default_rng(66)
    W = rng.standard_normal((4, 3))
    return rng.uniform(0, 1, (5, 4)), W, rng.standard_normal(4), rng.standard_normal(3)


# --- unit vectors (face embeddings) ---
def normalize_rows(x):
    n = np.sqrt((x * x).sum(-1, keepdims=True))
    u = x / n
    return u.copy(), (u, n)


def normalize_rows_vjp(res, g):
    u, n = res
    along = (g * g).sum(-1, keepdims=True)
    return ((g - u * along) / n,)


# --- mean and variance of each channel, as two outputs ---
def moments(x):
    m = x.mean(axis=0)
    c = x - m
    return (m, (c * c).mean(axis=0)), c


def moments_vjp(c, g):
    g_mean, g_var = g
    n = len(c)
    return (np.tile(g_mean / n, (n, 1)) + 2 * c * g_mean / n,)


# --- low-rank product into a work buffer ---
class Workspace:
    """Keeps its buffers between steps, so that nothing is allocated in the inner loop."""

    def __init__(self, n, k):
        self.out = np.empty((n, n))
        self.dU = np.empty((n, k))
        self.dV = np.empty((n, k))

    def forward(self, U, V):
        np.matmul(U, V.T, out=self.out)
        return self.out.copy(), (U, V)

    def backward(self, residuals, g):
        U, V = residuals
        np.matmul(g, V, out=self.dU)
        np.matmul(g.T, U, out=self.dV)
        return self.dU, self.dV


def _call_back(back, g):
    return back(g)


def _call_back_tuple(back, g):
    return tuple(back(g))


def _vjp(forward, backward, make, **settings):
    return (
        lambda gradlab: gradlab.check_vjp(forward, backward, make(), settings=settings or None),
        lambda: of_pair(partial(forward, **settings), backward, make(), first=True),
    )


def _normals(*shapes, seed=0):
    return lambda: tuple(np.random.default_rng(seed + k).standard_normal(s) for k, s in enumerate(shapes))


def _lowrank(gradlab):
    work = Workspace(5, 2)
    U, V = np.random.default_rng(69).standard_normal((2, 5, 2))
    return gradlab.check_vjp(work.forward, work.backward, (U.copy(), V.copy()))


ENTRIES = [
    Stranger(
        "log determinant by Cholesky",
        "static methods with a ctx",
        *_vjp(*run_function(LogDet), lambda: (_spd(),)),
    ),
    Stranger(
        "Markov chain in continuous time", "closure that returns a pullback", *_vjp(ctmc, _call_back, _chain)
    ),
    Stranger(
        "matrix square root by Sylvester",
        "static methods, vjp pair",
        *_vjp(MatrixSqrt.forward, MatrixSqrt.backward, lambda: (_spd(3, 62),)),
    ),
    Stranger(
        "tapered power spectrum",
        "vjp pair with a setting",
        *_vjp(spectrum_fwd, spectrum_bwd, _normals(12, seed=64), taper=np.hamming(12)),
    ),
    Stranger(
        "graph attention over segments",
        "closures in a closure",
        *_vjp(make_segment_softmax(EDGES_TO, 4), _call_back_tuple, _edges),
    ),
    Stranger(
        "gated unit as a generator",
        "generator that is sent the cotangent",
        *_vjp(gated_forward, gated_backward, _normals((4, 3), (3, 2), (3, 2), seed=70)),
    ),
    Stranger(
        "matrix inverse: not transposed",
        "vjp pair",
        *_vjp(inverse_forward, inverse_backward, lambda: (_normals((4, 4), seed=80)()[0] + 3 * np.eye(4),)),
        "wrong",
        "the inverse on either side of the cotangent is not transposed",
        ("transposed",),
        ("A",),
        "    return (-inv @ g @ inv,)\n",
        "    return (-inv.T @ g @ inv.T,)\n",
    ),
    Stranger(
        "Kronecker product: the factors' gradients",
        "vjp pair",
        *_vjp(kron_f, kron_b, _normals((2, 3), (2, 3), seed=90)),
        "wrong",
        "the gradients of the two factors are returned in the wrong order",
        ("swapped-primals",),
        ("A", "B"),
        "    return first, second\n",
        "    return second, first\n",
    ),
    Stranger(
        "RBM free energy: the visible bias",
        "closure that returns a vjp",
        *_vjp(rbm_free_energy, _call_back, _rbm),
        "wrong",
        "the visible bias's gradient is summed without the cotangent",
        ("ignores-cotangent",),
        ("a",),
        "        da = -v.sum(axis=0)\n",
        "        da = -g @ v\n",
    ),
    Stranger(
        "unit rows: the cotangent twice",
        "vjp pair",
        *_vjp(normalize_rows, normalize_rows_vjp, _normals((4, 3), seed=100)),
        "wrong",
        "the part along the row is the product of the cotangent with itself and not with the row",
        ("nonlinear-in-cotangent",),
        ("x",),
        "    along = (g * g).sum(-1, keepdims=True)\n",
        "    along = (g * u).sum(-1, keepdims=True)\n",
    ),
    Stranger(
        "mean and variance: the variance's cotangent",
        "vjp pair with two outputs",
        *_vjp(moments, moments_vjp, _normals((5, 3), seed=110)),
        "wrong",
        "the variance's path is multiplied by the mean's cotangent",
        ("wrong-cotangent",),
        ("x",),
        "    return (np.tile(g_mean / n, (n, 1)) + 2 * c * g_mean / n,)\n",
        "    return (np.tile(g_mean / n, (n, 1)) + 2 * c * g_var / n,)\n",
    ),
    Stranger(
        "low-rank product: gradients in a workspace",
        "object with forward and backward, vjp pair",
        _lowrank,
        lambda: [],
        "habit",
        "backward returns its own buffers, which the next backward overwrites",
        ("aliases-memory",),
        ("U", "V"),
    ),
]
