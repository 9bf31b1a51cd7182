"""Time steppers and the adjoints that people write for them."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

from ._entry import Stranger
from ._help_y import against, columns


def two(seed, n, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal((2, n))


class LeapfrogChain:
    """Coupled pendula, kick-drift-kick."""

    def __init__(self, coupling=0.7, dt=0.15, n_steps=10):
        self.coupling, self.dt, self.n_steps = coupling, dt, n_steps

    def force(self, q):
        return -np.sin(q) + self.coupling * (np.roll(q, 1) - 2 * q + np.roll(q, -1))

    def force_t(self, q, v):
        # the Hessian is symmetric
        return -np.cos(q) * v + self.coupling * (np.roll(v, 1) - 2 * v + np.roll(v, -1))

    def forward(self, q, p):
        half = self.dt / 2
        self.visited = []
        for _ in range(self.n_steps):
            start = q
            p = p + half * self.force(q)
            q = q + self.dt * p
            p = p + half * self.force(q)
            self.visited.append((start, q))
        return q, p

    def backward(self, dq, dp):
        half = self.dt / 2
        for start, end in reversed(self.visited):
            dq = dq + half * self.force_t(end, dp)
            dp = dp + self.dt * dq
            dq = dq + half * self.force_t(start, dp)
        return dq, dp


def prove_leapfrog():
    chain, (q, p), (gq, gp) = LeapfrogChain(), two(11, 5), two(1, 5)
    chain.forward(q, p)
    dq, dp = chain.backward(gq, gp)

    def value():
        a, b = chain.forward(q, p)
        return gq @ a + gp @ b

    return against(value, (q, dq), (p, dp))


def diffuse(u, kappa, steps=4, r=0.6):
    """Crank-Nicolson with a conductivity for each face; gives the new temperatures and their pullback."""
    n = len(u)
    D = np.diff(np.eye(n), axis=0)
    A = D.T @ (kappa[:, None] * D)
    left, right = np.eye(n) + r / 2 * A, np.eye(n) - r / 2 * A
    history = [u]
    for _ in range(steps):
        history.append(np.linalg.solve(left, right @ history[-1]))

    def pullback(bar):
        kappa_bar = np.zeros_like(kappa)
        for old, new in zip(history[-2::-1], history[:0:-1]):
            mu = np.linalg.solve(left, bar)
            kappa_bar -= r / 2 * (D @ mu) * (D @ (old + new))
            bar = right @ mu
        return bar, kappa_bar

    return history[-1], pullback


def pull(bar, pullback):
    return pullback(bar)


def rod():
    return np.linspace(-1, 2, 7) ** 2, np.array([0.6, 1.1, 1.9, 0.8, 1.4, 0.7])


def prove_diffuse():
    (u, kappa), g = rod(), np.random.default_rng(2).standard_normal(7)
    du, dkappa = diffuse(u, kappa)[1](g)
    return against(lambda: g @ diffuse(u, kappa)[0], (u, du), (kappa, dkappa))


def _lv(y, th):
    x, z = y
    return np.array([th[0] * x - th[1] * x * z, th[3] * x * z - th[2] * z])


def _lv_jt(y, th, v):
    x, z = y
    jy = np.array([[th[0] - th[1] * z, -th[1] * x], [th[3] * z, th[3] * x - th[2]]])
    jth = np.array([[x, -x * z, 0, 0], [0, 0, -z, x * z]])
    return jy.T @ v, jth.T @ v


def lynx_misfit(th, counts, y0=(1.2, 0.8), h=0.25):
    """0.5 * sum of squares of RK4's Lotka-Volterra against the counts, and its discrete adjoint."""
    y, tape, stages = np.array(y0), [], None
    for _ in counts:
        k1 = _lv(y, th)
        s2 = y + h / 2 * k1
        k2 = _lv(s2, th)
        s3 = y + h / 2 * k2
        k3 = _lv(s3, th)
        s4 = y + h * k3
        stages = y, s2, s3, s4
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + _lv(s4, th))
        tape.append((stages, y))
    misfit, lam, grad = 0.0, np.zeros(2), np.zeros(4)
    for ((s1, s2, s3, s4), y), seen in zip(tape[::-1], counts[::-1]):
        misfit += 0.5 * np.sum((y - seen) ** 2)
        lam = lam + (y - seen)
        l4, t4 = _lv_jt(s4, th, h / 6 * lam)
        l3, t3 = _lv_jt(s3, th, h / 3 * lam + h * l4)
        l2, t2 = _lv_jt(s2, th, h / 3 * lam + h / 2 * l3)
        l1, t1 = _lv_jt(s1, th, h / 6 * lam + h / 2 * l2)
        lam = lam + l1 + l2 + l3 + l4
        grad += t1 + t2 + t3 + t4
    return misfit, grad


def lynx_data():
    rng = np.random.default_rng(3)
    return np.array([1.1, 0.7, 0.9, 0.5]), rng.uniform(0.5, 2, (8, 2))


def prove_lynx():
    th, counts = lynx_data()
    return against(lambda: lynx_misfit(th, counts)[0], (th, lynx_misfit(th, counts)[1]))


SIDE = 4
_T = sp.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(SIDE, SIDE))
LAPLACE = (sp.kron(_T, sp.eye_array(SIDE)) + sp.kron(sp.eye_array(SIDE), _T)) * (SIDE + 1) ** 2


def bratu(u, lam=2.0):
    return LAPLACE @ u + lam * np.exp(u)


def bratu_jac(u, lam=2.0):
    return (LAPLACE + sp.diags_array(lam * np.exp(u))).tocsc()


def bratu_start():
    return np.random.default_rng(4).uniform(0, 1, SIDE**2)


class StiffReactor:
    """A -> B (k0), B + C -> A + C (k1), 2B -> B + C (k2); backward Euler. `adjoint` eats the tape."""

    def __init__(self, k, h=0.3, n=5):
        self.k, self.h, self.n = k, h, n
        self.k_grad = np.zeros_like(k)
        self.tape = []

    def rhs(self, y):
        r = self.k * np.array([y[0], y[1] * y[2], y[1] ** 2])
        return np.array([r[1] - r[0], r[0] - r[1] - r[2], r[2]])

    def jac(self, y):
        a, b, c = self.k
        bb, bc, cb = b * y[2], b * y[1], 2 * c * y[1]
        return np.array([[-a, bb, bc], [a, -bb - cb, -bc], [0, cb, 0]])

    def solve(self, y0):
        self.tape.clear()
        y = y0
        for _ in range(self.n):
            z = y.copy()
            for _ in range(12):
                z -= np.linalg.solve(np.eye(3) - self.h * self.jac(z), z - y - self.h * self.rhs(z))
            self.tape.append(z)
            y = z
        return y

    def adjoint(self, lam):
        self.k_grad = np.zeros_like(self.k)
        while self.tape:
            y = self.tape.pop()
            lam = np.linalg.solve((np.eye(3) - self.h * self.jac(y)).T, lam)
            flux = np.array([y[0], y[1] * y[2], y[1] ** 2])
            self.k_grad += self.h * flux * np.array([lam[1] - lam[0], lam[0] - lam[1], lam[2] - lam[1]])
        return lam


def reactor():
    return StiffReactor(np.array([0.8, 1.5, 0.6])), np.array([1.0, 0.3, 0.2])


def prove_reactor():
    (net, y0), g = reactor(), np.array([0.3, -1.1, 0.7])
    net.solve(y0)
    dy = net.adjoint(g)
    dk = net.k_grad
    return against(lambda: g @ net.solve(y0), (y0, dy), (net.k, dk))


class Lorenz96:
    def __init__(self, h=0.05, steps=6):
        self.h, self.steps = h, steps

    def _f(self, x, forcing):
        return (np.roll(x, -1) - np.roll(x, 2)) * np.roll(x, 1) - x + forcing

    def _jt(self, x, v):
        w = v * np.roll(x, 1)
        u = v * (np.roll(x, -1) - np.roll(x, 2))
        return np.roll(w, 1) - np.roll(w, -2) + np.roll(u, -1) - v

    def forward(self, x, forcing):
        self.saved = []
        for _ in range(self.steps):
            k1 = self._f(x, forcing)
            xs = x + self.h * k1
            self.saved.append((x, xs))
            x = x + self.h / 2 * (k1 + self._f(xs, forcing))
        return x

    def backward(self, lam):
        dforcing = np.zeros_like(lam)
        for x, xs in reversed(self.saved):
            d2 = self.h / 2 * lam
            dxs = self._jt(x, d2)
            d1 = self.h / 2 * lam + self.h * dxs
            dforcing += d1 + d2
            lam = lam + dxs + self._jt(x, d1)
        return lam, dforcing


def prove_lorenz():
    net, (x, forcing), g = Lorenz96(), two(12, 8, 3.0), np.random.default_rng(5).standard_normal(8)
    net.forward(x, forcing)
    dx, df = net.backward(g)
    return against(lambda: g @ net.forward(x, forcing), (x, dx), (forcing, df))


class InversionAcustica:
    """Inversión de onda completa en 1D: se busca la velocidad c de cada celda."""

    def __init__(self, nx=14, nt=30, r=0.4):
        self.nx, self.nt, self.r = nx, nt, r
        t = np.arange(nt)
        self.fuente = np.exp(-(((t - 6) / 3.0) ** 2)) * np.sin(t / 2)
        self.receptores = [2, 11]
        self.observado = self.propagar(1.3 + 0.2 * np.cos(np.arange(nx)))[:, self.receptores]

    def lap(self, p):
        q = -2 * p
        q[1:] += p[:-1]
        q[:-1] += p[1:]
        return q

    def propagar(self, c):
        campo = np.zeros((self.nt + 2, self.nx))
        for n in range(1, self.nt + 1):
            p = campo[n]
            campo[n + 1] = 2 * p - campo[n - 1] + self.r**2 * c**2 * self.lap(p)
            campo[n + 1, 5] += self.fuente[n - 1]
        return campo

    def costo(self, c):
        return 0.5 * np.sum((self.propagar(c)[:, self.receptores] - self.observado) ** 2)

    def gradiente(self, c):
        campo = self.propagar(c)
        adj = np.zeros((self.nt + 4, self.nx))
        suma = np.zeros(self.nx)
        for n in range(self.nt + 1, 0, -1):
            adj[n] = 2 * adj[n + 1] - adj[n + 2] + self.lap(self.r**2 * c**2 * adj[n + 1])
            adj[n, self.receptores] += campo[n, self.receptores] - self.observado[n]
            suma += adj[n + 1] * self.r**2 * self.lap(campo[n])
        return suma


def modelo_inicial():
    return np.linspace(1.1, 1.6, 14)


def prove_acustica():
    inv, c = InversionAcustica(), modelo_inicial()
    return against(lambda: inv.costo(c), (c, inv.gradiente(c)))


class UpwindTransport(LinearOperator):
    """A few steps of first-order upwind on a ring, with a Courant number of each cell's own."""

    def __init__(self, courant, steps=3):
        n = len(courant)
        super().__init__(np.dtype(float), (n, n))
        eye = np.eye(n)
        self.step = eye - courant[:, None] * (eye - np.roll(eye, -1, axis=1))
        self.steps = steps

    def _matvec(self, q):
        for _ in range(self.steps):
            q = self.step @ q
        return q

    def _rmatvec(self, v):
        for _ in range(self.steps):
            v = self.step @ v
        return v


def ring():
    rng = np.random.default_rng(6)
    return UpwindTransport(rng.uniform(0.1, 0.9, 9)), rng.standard_normal(9)


def check_ring(gradlab, op, q):
    return gradlab.check_jacobian(lambda x: op @ x, lambda x: op, q)


def prove_upwind():
    op, q = ring()
    v = np.cos(np.arange(9.0))
    return [(op.rmatvec(v), columns(op.matvec, q).T @ v)]


class DecayChain:
    """n' = A n of a radioactive chain, implicit Euler."""

    def __init__(self, halflives, h=0.4, steps=5):
        rate = np.log(2) / np.asarray(halflives)
        self.A = np.diag(rate[:-1], -1) - np.diag(rate)
        self.M = np.eye(len(rate)) - h * self.A
        self.h, self.steps = h, steps

    def forward(self, n0):
        n = n0
        for _ in range(self.steps):
            n = np.linalg.solve(self.M, n)
        return n

    def backward(self, g):
        for _ in range(self.steps):
            g = g + self.h * self.A.T @ g
        return g


def chain_of_four():
    return DecayChain([0.5, 1.0, 2.5, 4.0]), np.array([4.0, 2.0, 1.0, 0.5])


def prove_decay():
    (chain, n0), g = chain_of_four(), np.array([0.2, 1.0, -0.4, 2.0])
    chain.forward(n0)
    return against(lambda: g @ chain.forward(n0), (n0, chain.backward(g)))


class FourDVar:
    """Lorenz 63, strong constraint. J = background + observations of x and z every fourth step."""

    def __init__(self, xb, obs, dt=0.02, nstep=16):
        self.xb, self.obs, self.dt, self.nstep = xb, obs, dt, nstep
        self.first_guess = self.run(xb)

    def run(self, x):
        out = [x]
        for _ in range(self.nstep):
            a, b, c = out[-1]
            out.append(out[-1] + self.dt * np.array([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c]))
        return out

    def tangent(self, x):
        a, b, c = x
        return np.eye(3) + self.dt * np.array([[-10, 10, 0], [28 - c, -1, -a], [b, a, -8 / 3]])

    def cost(self, x0):
        traj = self.run(x0)
        miss = sum(np.sum((traj[k][::2] - y) ** 2) for k, y in self.obs.items())
        return 0.5 * np.sum((x0 - self.xb) ** 2) + 0.5 * miss / 4.0

    def gradient(self, x0):
        traj = self.run(x0)
        lam = np.zeros(3)
        for k in range(self.nstep, -1, -1):
            if k < self.nstep:
                lam = self.tangent(self.first_guess[k]).T @ lam
            if k in self.obs:
                lam[::2] += (traj[k][::2] - self.obs[k]) / 4.0
        return lam + (x0 - self.xb)


def assimilation():
    rng = np.random.default_rng(7)
    xb = np.array([1.5, -1.0, 20.0])
    return FourDVar(xb, {k: np.array([2.0, 21.0]) + rng.standard_normal(2) for k in (4, 8, 12, 16)}), xb + 0.8


def prove_4dvar():
    var, x0 = assimilation()
    return against(lambda: var.cost(x0), (x0, var.gradient(x0)))


ENTRIES = [
    Stranger(
        "leapfrog of coupled pendula, two inputs and two outputs",
        "layer with two outputs and two cotangents",
        lambda gradlab: gradlab.check_layer(LeapfrogChain(), *two(11, 5)),
        prove_leapfrog,
    ),
    Stranger(
        "Crank-Nicolson heat with face conductivities",
        "function that returns a pullback closure",
        lambda gradlab: gradlab.check_cached_pair(diffuse, pull, rod()),
        prove_diffuse,
    ),
    Stranger(
        "Lotka-Volterra misfit by RK4",
        "value and gradient in one function",
        lambda gradlab: gradlab.check_gradient(lynx_misfit, True, lynx_data()[0], args=(lynx_data()[1],)),
        prove_lynx,
    ),
    Stranger(
        "Bratu's residual on a square",
        "f and sparse Jacobian",
        lambda gradlab: gradlab.check_jacobian(bratu, bratu_jac, bratu_start()),
        lambda: [(bratu_jac(bratu_start()).toarray(), columns(bratu, bratu_start()))],
    ),
    Stranger(
        "backward Euler reactor whose adjoint pops its tape",
        "solve and adjoint, parameter as attribute",
        lambda gradlab: gradlab.check_layer(*reactor()),
        prove_reactor,
    ),
    Stranger(
        "Lorenz 96 by Heun: both slopes transposed at the first state",
        "layer with two inputs",
        lambda gradlab: gradlab.check_layer(Lorenz96(), *two(12, 8, 3.0)),
        prove_lorenz,
        "wrong",
        "the adjoint of the second slope is taken at the old state instead of the predicted one",
        ("wrong-operand",),
        ("x", "forcing"),
        "            dxs = self._jt(x, d2)",
        "            dxs = self._jt(xs, d2)",
    ),
    Stranger(
        "acoustic inversion: gradient by the square of the velocity",
        "f and grad, methods of an object",
        lambda gradlab: gradlab.check_gradient(
            InversionAcustica().costo, InversionAcustica().gradiente, modelo_inicial()
        ),
        prove_acustica,
        "wrong",
        "it is the gradient by c squared: the factor 2 c is forgotten",
        ("missing-factor",),
        ("c",),
        "        return suma",
        "        return 2 * c * suma",
    ),
    Stranger(
        "upwind operator: adjoint marches with the same matrix",
        "scipy LinearOperator",
        lambda gradlab: check_ring(gradlab, *ring()),
        prove_upwind,
        "wrong",
        "rmatvec multiplies by the step matrix, not by its transpose",
        ("transposed",),
        ("rmatvec", "jac"),
        "            v = self.step @ v",
        "            v = self.step.T @ v",
    ),
    Stranger(
        "radioactive chain: implicit forward, explicit adjoint",
        "layer",
        lambda gradlab: gradlab.check_layer(*chain_of_four()),
        prove_decay,
        "wrong",
        "the adjoint is stepped by explicit Euler where forward is implicit",
        ("other-approximation",),
        ("n0",),
        "            g = g + self.h * self.A.T @ g",
        "            g = np.linalg.solve(self.M.T, g)",
    ),
    Stranger(
        "4D-Var: linearised about the background's trajectory",
        "f and grad, methods of an object",
        lambda gradlab: gradlab.check_gradient(
            assimilation()[0].cost, assimilation()[0].gradient, assimilation()[1]
        ),
        prove_4dvar,
        "wrong",
        "the tangent model is taken along the trajectory kept from the constructor, not along that of x0",
        ("stale-residuals", "wrong-operand"),
        ("x0",),
        "                lam = self.tangent(self.first_guess[k]).T @ lam",
        "                lam = self.tangent(traj[k]).T @ lam",
    ),
]
