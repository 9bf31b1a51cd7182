"""Molecules, stars, the earth, the climate, epidemics."""

from collections import namedtuple

import numpy as np

from ._entry import Stranger
from ._help_u import numeric, prove_layer, prove_pair

# Lennard-Jones in a periodic box, energy per atom


def lj_energy(pos, box, eps=0.5, sig=0.9):
    n = len(pos)
    ii, jj = np.triu_indices(n, 1)
    d = pos[ii] - pos[jj]
    image = np.rint(d / box)
    d = d - box * image
    r2 = (d * d).sum(1)
    s6 = (sig**2 / r2) ** 3
    u = 4 * eps * (s6 * s6 - s6)
    e = 0.5 * (np.bincount(ii, u, n) + np.bincount(jj, u, n))
    du_dr2 = 4 * eps * (-6 * s6 * s6 + 3 * s6) / r2
    return e, (ii, jj, d, image, du_dr2, pos.shape)


def lj_energy_bwd(de, cache):
    ii, jj, d, image, du_dr2, shape = cache
    f = (0.5 * (de[ii] + de[jj]) * du_dr2 * 2)[:, None] * d
    dpos = np.zeros(shape)
    np.add.at(dpos, ii, f)
    np.subtract.at(dpos, jj, f)
    return dpos, -(f * image).sum(0)


def _atoms():
    g = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(range(3), range(2), range(2), indexing="ij"), -1).reshape(-1, 3)
    return grid * [1.1, 1.5, 1.6] + g.uniform(-0.07, 0.07, grid.shape), np.array([3.3, 2.4, 2.6])


# Generalised Born solvation (Still), a loss with its cache


def born(xyz, q, R):
    d = xyz[:, None] - xyz[None]
    r2 = np.sum(d**2, axis=-1)
    RR = np.outer(R, R)
    ex = np.exp(-r2 / (4 * RR))
    f = np.sqrt(r2 + RR * ex)
    tau = 0.5 * (1 - 1 / 78.5)
    return -tau * np.sum(np.outer(q, q) / f), (d, r2, RR, ex, f, q, R, tau)


def born_grads(cache):
    d, r2, RR, ex, f, q, R, tau = cache
    dq = -2 * tau * (1 / f) @ q
    df = tau * np.outer(q, q) / f**2
    dr2 = df / (2 * f) * (1 - ex / 4)
    dRR = df / (2 * f) * ex * (1 + r2 / (4 * RR))
    return {"xyz": 4 * np.einsum("ij,ijk->ik", dr2, d), "q": dq, "R": 2 * dRR @ R}


def _ions():
    g = np.random.default_rng(2)
    return g.normal(size=(6, 3)) * 2, g.normal(size=6), g.uniform(1, 2, 6)


def _prove_born():
    x = _ions()
    got = born_grads(born(*x)[1])
    return list(zip([got[k] for k in ("xyz", "q", "R")], numeric(lambda: born(*x)[0], *x)))


# Radial velocity of a star with a planet. theta = (K, e, omega, period, M0)

Op = namedtuple("Op", "fwd bwd")


def _rv(theta, t):
    K, e, om, P, M0 = theta
    M = 2 * np.pi * t / P + M0
    E = M + e * np.sin(M)
    for _ in range(30):
        E = E - (E - e * np.sin(E) - M) / (1 - e * np.cos(E))
    den = 1 - e * np.cos(E)
    root = np.sqrt(1 - e * e)
    cnu, snu = (np.cos(E) - e) / den, root * np.sin(E) / den
    nu = np.arctan2(snu, cnu)
    return K * (np.cos(nu + om) + e * np.cos(om)), (theta, t, E, den, root, nu)


def _rv_bwd(g, res):
    (K, e, om, P, M0), t, E, den, root, nu = res
    dnu = -g * K * np.sin(nu + om)
    dM = dnu * root / den**2
    de = g * K * np.cos(om) + dnu * np.sin(nu) / (1 - e * e) + dM * np.sin(E)
    dom = dnu - g * K * e * np.sin(om)
    dK = g * (np.cos(nu + om) + e * np.cos(om))
    dtheta = np.array([dK.sum(), de.sum(), dom.sum(), -(dM * t).sum() * 2 * np.pi / P**2, dM.sum()])
    return dtheta, dM * 2 * np.pi / P


radial_velocity = Op(_rv, _rv_bwd)


def _star():
    return np.array([3.0, 0.35, 0.8, 5.5, 0.4]), np.random.default_rng(3).uniform(0, 6, 11)


# SEIR with age groups; a day is a generator's step, and leaves a closure on the tape


class Outbreak:
    def __init__(self, contacts, sigma=0.3, gamma=0.2):
        self.params = {"C": contacts}
        self.grads = {}
        self.sigma, self.gamma = sigma, gamma

    def _days(self, beta, i0):
        C, sg, gm = self.params["C"], self.sigma, self.gamma
        S, E, I = 1 - i0, np.zeros_like(i0), i0
        for t, b in enumerate(beta):
            force = C @ I
            new = b * S * force

            def undo(adj, t=t, b=b, S=S, force=force, I=I):
                aS, aE, aI, db, dC = adj
                an = aE - aS
                db[t] += np.sum(an * S * force)
                back = b * an * S
                dC += np.outer(back, I)
                return (aS + b * an * force, (1 - sg) * aE + sg * aI, (1 - gm) * aI + C.T @ back, db, dC)

            S, E, I = S - new, E + new - sg * E, I + sg * E - gm * I
            yield I, undo

    def forward(self, beta, i0):
        self.tape, curve = [], []
        for I, undo in self._days(beta, i0):
            curve.append(I)
            self.tape.append(undo)
        return np.array(curve)

    def backward(self, dcurve):
        n = dcurve.shape[1]
        adj = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(len(dcurve)), np.zeros((n, n))
        for d, undo in zip(dcurve[::-1], self.tape[::-1]):
            adj = undo((adj[0], adj[1], adj[2] + d, *adj[3:]))
        self.grads["C"] = adj[4]
        return adj[3], adj[2] - adj[0]


def _outbreak():
    g = np.random.default_rng(4)
    return Outbreak(g.uniform(0.5, 2, (3, 3))), (g.uniform(0.2, 0.5, 10), g.uniform(0.01, 0.05, 3))


# Budyko's climate: zonal temperatures in balance, by Newton; gradients by the implicit function theorem


class EnergyBalance:
    def __init__(self, n):
        self.A = 21.0
        self.B = np.array(1.9)
        self.D = np.array(3.0)
        self.lap = np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)
        self.lap -= np.diag(self.lap.sum(1))

    @staticmethod
    def absorbed(T):
        th = np.tanh(T / 15)
        return 0.55 + 0.15 * th, 0.01 * (1 - th**2)

    def forward(self, sun):
        T = np.full(len(sun), 15.0)
        for _ in range(40):
            a, da = self.absorbed(T)
            F = sun * a - self.A - self.B * T + self.D * self.lap @ T
            J = np.diag(sun * da - self.B) + self.D * self.lap
            T = T - np.linalg.solve(J, F)
        self.T, self.sun = T, sun
        return T

    def backward(self, gT):
        a, da = self.absorbed(self.T)
        J = np.diag(self.sun * da - self.B) + self.D * self.lap
        lam = -np.linalg.solve(J.T, gT)
        self.dB = -lam @ self.T
        self.dD = lam @ (self.lap @ self.T)
        return lam * a


def _climate():
    return EnergyBalance(8), np.linspace(110, 45, 8) + np.random.default_rng(5).normal(size=8)


# ------------------------------------------------------------------------------------------ not rig


def bend(xyz, k, theta0):
    """Bending energy of each water molecule; xyz (n, 3, 3) is H, O, H."""
    a, b = xyz[:, 0] - xyz[:, 1], xyz[:, 2] - xyz[:, 1]
    na, nb = np.linalg.norm(a, axis=1, keepdims=True), np.linalg.norm(b, axis=1, keepdims=True)
    u, v = a / na, b / nb
    cos = np.sum(u * v, axis=1)
    theta = np.arccos(cos)
    return k * (theta - theta0) ** 2, (u, v, na, nb, cos, theta, k, theta0)


def bend_forces_adjoint(dE, cache):
    u, v, na, nb, cos, theta, k, theta0 = cache
    dth = (dE * 2 * k * (theta - theta0) / np.sin(theta))[:, None]
    c = cos[:, None]
    gi, gk = dth * (c * u - v) / na, dth * (c * v - u) / nb
    dxyz = np.stack((gk, -gi - gk, gi), axis=1)
    return dxyz, dE * (theta - theta0) ** 2, -2 * dE * k * (theta - theta0)


def _waters():
    g = np.random.default_rng(6)
    w = np.array([[0.9, 0.3, 0.0], [0, 0, 0], [-0.4, 0.9, 0.2]])
    return w + 0.1 * g.normal(size=(4, 3, 3)), g.uniform(1, 2, 4), g.uniform(1.5, 1.7, 4)


class GravityProfile:
    """g_z along a profile over buried point masses."""

    def __init__(self, stations, xm):
        self.dx = stations[:, None] - xm

    def forward(self, mass, depth):
        self.mass, self.depth = mass, depth
        self.r2 = self.dx**2 + depth**2
        self.K = depth / self.r2**1.5
        return self.K @ mass

    def backward(self, g):
        dmass = (g[:, None] * self.K).sum(axis=1)
        dK = g[:, None] * self.mass
        ddepth = np.sum(dK * (self.r2 - 3 * self.depth**2) / self.r2**2.5, axis=0)
        return dmass, ddepth


def _gravity():
    g = np.random.default_rng(7)
    return (
        GravityProfile(np.linspace(-3, 3, 7), g.uniform(-3, 3, 7)),
        (g.uniform(0.5, 2, 7), g.uniform(0.8, 1.6, 7)),
    )


def rate_law(c, T, Ea, order, A=50.0, R=8.314e-3):
    """Arrhenius times a power of the concentration, for each reaction."""
    k = A * np.exp(-Ea / (R * T))
    rate = k * c**order
    return rate, dict(c=c, T=T, Ea=Ea, order=order, k=k, rate=rate, R=R)


def rate_law_grad(drate, s):
    w = drate * s["rate"]
    dc = drate * s["k"] * s["c"] ** (s["order"] - 1)
    dT = w * s["Ea"] / (s["R"] * s["T"] ** 2)
    dEa = -w / (s["R"] * s["T"])
    dorder = w * np.log(s["c"])
    return dc, dT, dEa, dorder


def _rates():
    g = np.random.default_rng(8)
    return g.uniform(0.5, 2, 6), g.uniform(300, 400, 6), g.uniform(5, 9, 6), g.uniform(0.7, 2.5, 6)


def infected(beta, gamma, days=9):
    """The infected of each region after some days, from one in a hundred."""
    S, I, hist = np.full_like(beta, 0.99), np.full_like(beta, 0.01), []
    for _ in range(days):
        hist.append((S, I))
        new = beta * S * I
        S, I = S - new, I + new - gamma * I
    return I, (beta, gamma, hist)


def infected_back(dI, cache):
    beta, gamma, hist = cache
    dS, dbeta, dgamma = np.zeros_like(dI), 0.0, 0.0
    for S, I in hist[::-1]:
        dnew = dI - dS
        dbeta = dbeta + dnew * S * I
        dgamma = dgamma - dI * I
        dS, dI = dS + dnew * beta * I, dI * (1 - gamma) + dnew * beta * S
    return dgamma, dbeta


def _regions():
    g = np.random.default_rng(9)
    return g.uniform(0.3, 0.9, 5), g.uniform(0.1, 0.3, 5)


class Arrivals:
    """Arrival times: origin + distance * slowness + the station's static correction, (S, E)."""

    def __init__(self, stations, statics):
        self.stations = stations
        self.statics = statics  # (S, 1)

    def forward(self, quakes, origin, slowness):
        self.rel = quakes - self.stations[:, None]
        self.dist = np.sqrt((self.rel**2).sum(-1))
        self.slowness = slowness
        return origin + self.dist * slowness + self.statics

    def backward(self, dt):
        self.d_statics = dt.copy()
        d_dist = dt * self.slowness
        d_quakes = (d_dist[..., None] * self.rel / self.dist[..., None]).sum(0)
        return d_quakes, dt.sum(0), (dt * self.dist).sum(0)


def _quakes():
    g = np.random.default_rng(10)
    arr = Arrivals(g.uniform(-5, 5, (6, 3)), 0.1 * g.normal(size=(6, 1)))
    return arr, (g.uniform(-4, 4, (4, 3)), g.uniform(0, 1, 4), g.uniform(0.2, 0.4, 4))


# ------------------------------------------------------------------------------------------ a habit


class CosineTaper:
    """Tapers both ends of seismograms (traces, samples)."""

    def __init__(self, n, width):
        w = np.ones(n)
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(width) + 0.5) / width)
        w[:width], w[-width:] = ramp, ramp[::-1]
        self.w = w

    def forward(self, x):
        return x * self.w

    def backward(self, dout):
        dout *= self.w
        return dout


def _p(made, params=(), grads=()):
    o, x = made
    get = lambda d, k: d[k] if isinstance(d, dict) else getattr(d, k)
    return prove_layer(
        o.forward,
        o.backward,
        x if isinstance(x, tuple) else (x,),
        [get(getattr(o, "params", o), k) for k in params],
        lambda: [get(getattr(o, "grads", o), k) for k in grads],
    )


ENTRIES = [
    Stranger(
        "u: Lennard-Jones energies per atom in a periodic box",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(lj_energy, lj_energy_bwd, _atoms()),
        lambda: prove_pair(lj_energy, lj_energy_bwd, _atoms(), step=1e-4),
    ),
    Stranger(
        "u: generalised Born energy, dict of gradients from the cache alone",
        "loss pair, backward(cache)",
        lambda gradlab: gradlab.check_cached_pair(born, born_grads, _ions()),
        _prove_born,
    ),
    Stranger(
        "u: radial velocity through Kepler's equation",
        "namedtuple of functions",
        lambda gradlab: gradlab.check_cached_pair(radial_velocity.fwd, radial_velocity.bwd, _star()),
        lambda: prove_pair(radial_velocity.fwd, radial_velocity.bwd, _star()),
    ),
    Stranger(
        "u: SEIR with age groups and a tape of closures",
        "layer with a tape, dicts params and grads",
        lambda gradlab: (lambda o, x: gradlab.check_layer(o, *x))(*_outbreak()),
        lambda: _p(_outbreak(), ("C",), ("C",)),
    ),
    Stranger(
        "u: energy balance of the climate, implicit",
        "layer with scalar parameters",
        lambda gradlab: (lambda o, x: gradlab.check_layer(o, x))(*_climate()),
        lambda: _p(_climate(), ("B", "D"), ("dB", "dD")),
    ),
    Stranger(
        "u: bending of water molecules: the hydrogens exchanged",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(bend, bend_forces_adjoint, _waters()),
        lambda: prove_pair(bend, bend_forces_adjoint, _waters()),
        truth="wrong",
        mistake="the gradients of the first and the third atom are exchanged",
        names=("columns-exchanged",),
        of=("xyz",),
        line="    dxyz = np.stack((gk, -gi - gk, gi), axis=1)",
        mended="    dxyz = np.stack((gi, -gi - gk, gk), axis=1)",
    ),
    Stranger(
        "u: gravity profile: summed over the masses",
        "layer, tuple of gradients",
        lambda gradlab: (lambda o, x: gradlab.check_layer(o, *x))(*_gravity()),
        lambda: _p(_gravity()),
        truth="wrong",
        mistake="the gradient of the masses is summed over the masses, not over the stations",
        names=("wrong-sum-axis",),
        of=("mass",),
        line="        dmass = (g[:, None] * self.K).sum(axis=1)",
        mended="        dmass = (g[:, None] * self.K).sum(axis=0)",
    ),
    Stranger(
        "u: rate law of Arrhenius: order of the reaction left out",
        "pair with a dict as cache",
        lambda gradlab: gradlab.check_cached_pair(rate_law, rate_law_grad, _rates()),
        lambda: prove_pair(rate_law, rate_law_grad, _rates()),
        truth="wrong",
        mistake="the derivative of the power lacks its exponent, the order",
        names=("missing-factor",),
        of=("c",),
        line='    dc = drate * s["k"] * s["c"] ** (s["order"] - 1)',
        mended='    dc = drate * s["k"] * s["order"] * s["c"] ** (s["order"] - 1)',
    ),
    Stranger(
        "u: SIR in several regions: recovery and contact gradients exchanged",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(infected, infected_back, _regions()),
        lambda: prove_pair(infected, infected_back, _regions()),
        truth="wrong",
        mistake="the gradients come back in the other order, gamma's first",
        names=("swapped-primals",),
        of=("beta", "gamma"),
        line="    return dgamma, dbeta",
        mended="    return dbeta, dgamma",
    ),
    Stranger(
        "u: arrival times with statics: not summed over the quakes",
        "layer, attributes statics and d_statics",
        lambda gradlab: (lambda o, x: gradlab.check_layer(o, *x))(*_quakes()),
        lambda: _p(_quakes(), ("statics",), ("d_statics",)),
        truth="wrong",
        mistake="the statics are broadcast over the quakes and their gradient is not summed",
        names=("missing-broadcast-sum", "wrong-shape"),
        of=("statics",),
        line="        self.d_statics = dt.copy()",
        mended="        self.d_statics = dt.sum(axis=1, keepdims=True)",
    ),
    Stranger(
        "u: cosine taper of seismograms: writes into dout",
        "layer",
        lambda gradlab: gradlab.check_layer(
            CosineTaper(20, 5), np.random.default_rng(11).normal(size=(3, 20))
        ),
        lambda: [],
        truth="habit",
        mistake="backward multiplies its argument in place and returns it",
        names=("mutates-argument", "aliases-memory"),
        of=("x",),
    ),
]
