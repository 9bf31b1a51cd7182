"""Physics and signals: energies, adjoints by hand, filters."""

import numpy as np

from ._entry import Stranger
from ._help_d import separate_proof, value_and_grad_proof

# ---------------------------------------------------------------- gravity, softened


def nbody_energy(q, m, soft=0.1):
    r = q.reshape(-1, 3)
    d = r[:, None] - r[None]
    dist = np.sqrt((d**2).sum(-1) + soft**2)
    i, j = np.triu_indices(len(m), 1)
    return -np.sum(m[i] * m[j] / dist[i, j])


def nbody_gradient(q, m, soft=0.1):
    r = q.reshape(-1, 3)
    d = r[:, None] - r[None]
    inv3 = ((d**2).sum(-1) + soft**2) ** -1.5
    return (m[:, None] * np.einsum("ij,ijk->ik", inv3 * m[None, :], d)).ravel()


def nbody_data():
    rng = np.random.default_rng(401)
    return rng.standard_normal(36) * 2, (rng.uniform(0.5, 2.0, 12),)


# ---------------------------------------------------------------- net of springs under gravity


class SpringNet:
    """A square net of springs in the plane, the upper row of nodes hangs on nails."""

    def __init__(self, n, stiffness=30.0, weight=0.2):
        self.n, self.k, self.weight = n, stiffness, weight
        node = np.arange(n * n).reshape(n, n)
        self.edges = np.concatenate(
            [
                np.stack([node[:, :-1].ravel(), node[:, 1:].ravel()], 1),
                np.stack([node[:-1].ravel(), node[1:].ravel()], 1),
            ]
        )
        xx, yy = np.meshgrid(np.arange(n), -np.arange(n))
        self.rest = np.stack([xx.ravel(), yy.ravel()], 1).astype(float)
        self.length = np.linalg.norm(self.rest[self.edges[:, 0]] - self.rest[self.edges[:, 1]], axis=1)

    def _positions(self, free):
        return np.concatenate([self.rest[: self.n], free.reshape(-1, 2)])

    def energy(self, free):
        p = self._positions(free)
        d = p[self.edges[:, 0]] - p[self.edges[:, 1]]
        stretch = np.linalg.norm(d, axis=1) - self.length
        return 0.5 * self.k * (stretch**2).sum() + self.weight * p[self.n :, 1].sum()

    def gradient(self, free):
        p = self._positions(free)
        a, b = self.edges.T
        d = p[a] - p[b]
        ell = np.linalg.norm(d, axis=1)
        f = (self.k * (ell - self.length) / ell)[:, None] * d
        g = np.zeros_like(p)
        np.add.at(g, a, f)
        np.add.at(g, b, -f)
        g[:, 1] += self.weight
        return g[self.n :].ravel()


def spring_data():
    rng = np.random.default_rng(402)
    net = SpringNet(6)
    return net, (net.rest[6:] + 0.15 * rng.standard_normal((30, 2))).ravel()


# ---------------------------------------------------------------- pendulum with friction, discrete adjoint


def pendulum_fit(params, observed, dt=0.05):
    """params: angle, velocity, log(g / L), damping. Semi-implicit Euler."""
    th, om, log_w2, c = params
    w2 = np.exp(log_w2)
    n = len(observed)
    ths, oms = np.empty(n + 1), np.empty(n + 1)
    ths[0], oms[0] = th, om
    for k in range(n):
        oms[k + 1] = oms[k] + dt * (-w2 * np.sin(ths[k]) - c * oms[k])
        ths[k + 1] = ths[k] + dt * oms[k + 1]
    miss = ths[1:] - observed
    loss = 0.5 * np.sum(miss**2)

    lam_th = lam_om = d_w2 = d_c = 0.0
    for k in range(n - 1, -1, -1):
        lam_th = lam_th + miss[k]
        lam_om = lam_om + dt * lam_th  # through ths[k + 1]
        d_w2 += lam_om * dt * -np.sin(ths[k])
        d_c += lam_om * dt * -oms[k]
        lam_th = lam_th - lam_om * dt * w2 * np.cos(ths[k])
        lam_om = lam_om * (1 - dt * c)
    return loss, np.array([lam_th, lam_om, d_w2 * w2, d_c])


def pendulum_data():
    rng = np.random.default_rng(403)
    t = 0.05 * np.arange(1, 81)
    return np.array([1.2, -0.3, 1.1, 0.15]), (
        np.exp(-0.1 * t) * np.cos(1.7 * t) + 0.05 * rng.standard_normal(80),
    )


# ---------------------------------------------------------------- Kalman filter of a local level, sensitivities alongside


def local_level_nll(log_var, y, P0=10.0):
    """-log p(y) for x' = x + N(0, q), y = x + N(0, r), log_var = (log q, log r)."""
    q, r = np.exp(log_var)
    m, P = 0.0, P0
    dm, dP = np.zeros(2), np.zeros(2)
    dq, dr = np.array([q, 0.0]), np.array([0.0, r])
    nll, grad = 0.0, np.zeros(2)
    for obs in y:
        P, dP = P + q, dP + dq
        v, dv = obs - m, -dm
        S, dS = P + r, dP + dr
        nll += 0.5 * (np.log(2 * np.pi * S) + v * v / S)
        grad += 0.5 * (dS / S + 2 * v * dv / S - v * v * dS / S**2)
        K = P / S
        dK = dP / S - P * dS / S**2
        m, dm = m + K * v, dm + dK * v + K * dv
        P, dP = (1 - K) * P, (1 - K) * dP - dK * P
    return nll, grad


def local_level_data():
    rng = np.random.default_rng(404)
    y = np.cumsum(0.4 * rng.standard_normal(50)) + 0.8 * rng.standard_normal(50)
    return np.array([-1.5, -0.2]), (y,)


# ---------------------------------------------------------------- log spectral distance of short-time spectra


def make_spectral_loss(target, frame=32, hop=16, eps=1e-3):
    window = np.hanning(frame)
    starts = np.arange(0, len(target) - frame + 1, hop)
    index = starts[:, None] + np.arange(frame)

    def log_power(x):
        S = np.fft.rfft(x[index] * window, axis=1)
        power = S.real**2 + S.imag**2 + eps
        return S, power, np.log(power)

    L_target = log_power(target)[2]

    def loss(x):
        return np.mean((log_power(x)[2] - L_target) ** 2)

    def grad(x):
        S, power, L = log_power(x)
        dL = 2 * (L - L_target) / L.size
        dS = 2 * S * dL / power  # d/dRe + i d/dIm
        full = np.zeros((len(starts), frame), dtype=complex)
        full[:, : frame // 2 + 1] = dS
        dframes = np.fft.ifft(full, axis=1).real * frame * window
        g = np.zeros_like(x)
        np.add.at(g, index, dframes)
        return g

    return loss, grad


def spectral_data():
    rng = np.random.default_rng(405)
    t = np.arange(256)
    target = np.sin(0.3 * t) + 0.5 * np.sin(0.9 * t + 0.4) + 0.2 * rng.standard_normal(256)
    x = np.sin(0.32 * t) + 0.4 * rng.standard_normal(256)
    loss, grad = make_spectral_loss(target)
    return loss, grad, x


# ---------------------------------------------------------------- autocorrelation sidelobes of a waveform


def sidelobe_energy(x, return_grad=True):
    """Energy of the aperiodic autocorrelation outside lag 0, and its gradient."""
    n = len(x)
    X = np.fft.fft(x, 2 * n)
    r = np.fft.ifft(np.abs(X) ** 2).real  # lags 0 .. n-1, 0, -(n-1) .. -1
    r[0] = 0.0
    value = 0.5 * np.sum(r**2)
    if not return_grad:
        return value
    # r = ifft(X conj(X)); dr is symmetric, so both factors give the same share
    return value, 2 * np.fft.ifft(np.fft.fft(r) * X).real[:n]


def sidelobe_data():
    rng = np.random.default_rng(406)
    return rng.standard_normal(64)


# ---------------------------------------------------------------- chain of double wells


def phi4_energy(u, coupling=0.7, lam=0.5):
    return 0.5 * coupling * np.sum(np.diff(u) ** 2) + 0.25 * lam * np.sum((u**2 - 1) ** 2)


def phi4_gradient(u, coupling=0.7, lam=0.5):
    g = lam * u * (u**2 - 1)
    g[0] += coupling * (u[0] - u[1])
    g[1:-1] += coupling * (2 * u[1:-1] - u[:-2] - u[2:])
    return g


def phi4_data():
    return np.random.default_rng(407).standard_normal(45)


# ---------------------------------------------------------------- deconvolution of a trace


class Deconvolution:
    def __init__(self, kernel, trace, smooth=0.05):
        self.H = np.fft.rfft(kernel, len(trace))
        self.trace, self.smooth, self.n = trace, smooth, len(trace)

    def _blur(self, x):
        return np.fft.irfft(self.H * np.fft.rfft(x), self.n)

    def fun(self, x):
        r = self._blur(x) - self.trace
        return 0.5 * r @ r + 0.5 * self.smooth * x @ x

    def jac(self, x):
        R = np.fft.rfft(self._blur(x) - self.trace)
        return np.fft.irfft(self.H * R, self.n) + self.smooth * x


def deconvolution_data():
    rng = np.random.default_rng(408)
    kernel = np.exp(-np.arange(12) / 3.0) * (1 + 0.3 * np.arange(12))
    return Deconvolution(kernel, rng.standard_normal(100)), rng.standard_normal(100)


# ---------------------------------------------------------------- ions in a trap


def ion_trap(coords, charge, trap=0.5):
    """Coulomb energy of ions in a harmonic trap, and its gradient for minimize(jac=True)."""
    r = coords.reshape(-1, 2)
    d = r[:, None] - r[None]
    dist = np.sqrt((d**2).sum(-1)) + np.eye(len(r))
    qq = np.outer(charge, charge)
    np.fill_diagonal(qq, 0.0)
    energy = 0.5 * np.sum(qq / dist) + 0.5 * trap * np.sum(r**2)
    force = np.einsum("ij,ijk->ik", qq / dist**3, d) - trap * r
    return energy, force.ravel()


def ion_data():
    rng = np.random.default_rng(409)
    grid = np.stack(np.meshgrid(np.arange(3.0), np.arange(3.0)), -1).reshape(-1, 2) - 1
    return (grid + 0.2 * rng.standard_normal((9, 2))).ravel(), (rng.uniform(0.5, 1.5, 9),)


# ---------------------------------------------------------------- initial heat from the final one, one work array for all


class HeatInversion:
    """Find u(0) from noisy u(T): explicit Euler with fixed ends at 0."""

    def __init__(self, final, steps=25, alpha=0.3):
        self.final, self.steps, self.alpha = final, steps, alpha
        self._work = np.empty_like(final)

    def _step(self, u):
        p = np.concatenate([[0.0], u, [0.0]])
        return u + self.alpha * (p[2:] - 2 * u + p[:-2])

    def misfit(self, u0):
        u = u0
        for _ in range(self.steps):
            u = self._step(u)
        return 0.5 * np.sum((u - self.final) ** 2)

    def gradient(self, u0):
        u = u0
        for _ in range(self.steps):
            u = self._step(u)
        lam = u - self.final
        for _ in range(self.steps):
            lam = self._step(lam)  # symmetric
        self._work[:] = lam
        return self._work


def heat_data():
    rng = np.random.default_rng(410)
    x = np.linspace(0, 1, 42)[1:-1]
    return HeatInversion(np.sin(np.pi * x) + 0.05 * rng.standard_normal(40)), rng.standard_normal(40)


def apart(f, g, data):
    def call(gradlab):
        x, args = data()
        return gradlab.check_gradient(f, g, x, args=args)

    def prove():
        x, args = data()
        return separate_proof(f, g, x, *args)

    return call, prove


def both(f, data):
    def call(gradlab):
        x, args = data()
        return gradlab.check_gradient(f, True, x, args=args)

    def prove():
        x, args = data()
        return value_and_grad_proof(f, x, *args)

    return call, prove


def methods(data, f, g):
    def call(gradlab):
        o, x = data()
        return gradlab.check_gradient(getattr(o, f), getattr(o, g), x)

    def prove():
        o, x = data()
        return separate_proof(getattr(o, f), getattr(o, g), x)

    return call, prove


def _spectral_call(gradlab):
    loss, grad, x = spectral_data()
    return gradlab.check_gradient(loss, grad, x)


def _spectral_prove():
    loss, grad, x = spectral_data()
    return separate_proof(loss, grad, x)


ENTRIES = [
    Stranger(
        "softened gravity of twelve bodies",
        "f and grad, args",
        *apart(nbody_energy, nbody_gradient, nbody_data),
    ),
    Stranger(
        "net of springs on nails",
        "methods energy and gradient of an object",
        *methods(spring_data, "energy", "gradient"),
    ),
    Stranger(
        "pendulum with friction, discrete adjoint",
        "f(x, ...) -> value, grad",
        *both(pendulum_fit, pendulum_data),
    ),
    Stranger(
        "Kalman filter of a local level, log variances",
        "f(x, ...) -> value, grad",
        *both(local_level_nll, local_level_data),
    ),
    Stranger(
        "log spectral distance of short-time spectra",
        "closures loss and grad",
        _spectral_call,
        _spectral_prove,
    ),
    Stranger(
        "autocorrelation sidelobes by FFT",
        "f(x) -> value, grad",
        lambda gradlab: gradlab.check_gradient(sidelobe_energy, True, sidelobe_data()),
        lambda: value_and_grad_proof(sidelobe_energy, sidelobe_data()),
    ),
    Stranger(
        "chain of double wells: the last element lacks its spring",
        "f and grad",
        lambda gradlab: gradlab.check_gradient(phi4_energy, phi4_gradient, phi4_data()),
        lambda: separate_proof(phi4_energy, phi4_gradient, phi4_data()),
        "wrong",
        "the coupling's share at the last boundary element is forgotten",
        ("single-element", "missing-term"),
        ("u", "grad"),
    ),
    Stranger(
        "deconvolution by FFT: the filter's conjugate is forgotten",
        "methods fun and jac of an object",
        *methods(deconvolution_data, "fun", "jac"),
        "wrong",
        "the gradient convolves with the kernel once more where it should correlate (H instead of conj(H))",
        ("transposed",),
        ("jac", "x"),
    ),
    Stranger(
        "ions in a trap: forces instead of the gradient",
        "f(x, ...) -> value, grad",
        *both(ion_trap, ion_data),
        "wrong",
        "returns the force, which is minus the gradient",
        ("sign-flipped",),
        ("coords", "grad"),
    ),
    Stranger(
        "initial heat by the adjoint: always the same work array is returned",
        "methods misfit and gradient of an object",
        *(methods(heat_data, "misfit", "gradient")[0], lambda: []),
        "habit",
        "the gradient is a buffer that the next call overwrites",
        ("aliases-memory",),
        ("grad",),
    ),
]
