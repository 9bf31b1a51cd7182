"""Molecules, epidemics, planets, the climate, the grid."""

from dataclasses import dataclass

import numpy as np

from ._entry import Stranger
from ._help_y import against, columns


@dataclass
class ArgonBox:
    """Lennard-Jones atoms in a periodic cube, cut and shifted."""

    side: float = 5.0
    cutoff: float = 2.0

    def pairs(self, x):
        i, j = np.triu_indices(len(x), 1)
        d = x[i] - x[j]
        d -= self.side * np.round(d / self.side)
        r2 = (d**2).sum(axis=1)
        near = r2 < self.cutoff**2
        return i[near], j[near], d[near], r2[near]

    def energy(self, x):
        *_, r2 = self.pairs(x)
        s6, c6 = r2**-3, self.cutoff**-6
        return 4 * np.sum(s6**2 - s6 - c6**2 + c6)

    def gradient(self, x):
        i, j, d, r2 = self.pairs(x)
        s6 = r2**-3
        push = (-24 * (2 * s6**2 - s6) / r2)[:, None] * d
        g = np.zeros_like(x)
        np.add.at(g, i, push)
        np.subtract.at(g, j, push)
        return g


def atoms():
    grid = np.array([[a, b, c] for a in (0.2, 1.5) for b in (0.3, 3.9) for c in (0.1, 1.3)])
    return grid + 0.08 * np.random.default_rng(60).standard_normal((8, 3))


def prove_argon():
    box, x = ArgonBox(), atoms()
    return against(lambda: box.energy(x), (x, box.gradient(x)))


class RenewalEpidemic:
    """I[t] = R[t] * sum_s w[s] I[t - s]; the first cases are given."""

    def __init__(self, serial):
        self.serial = serial

    def simulate(self, R, first):
        L = len(first)
        self.cases, self.R = np.concatenate([first, np.zeros(len(R))]), R
        self.pressure = np.zeros(len(R))
        for t in range(len(R)):
            self.pressure[t] = self.serial @ self.cases[t : t + L][::-1]
            self.cases[L + t] = R[t] * self.pressure[t]
        return self.cases[L:].copy()

    def backprop(self, bar):
        L = len(self.serial)
        total = np.concatenate([np.zeros(L), bar])
        R_bar = np.zeros_like(self.R)
        for t in range(len(self.R) - 1, -1, -1):
            R_bar[t] = total[L + t] * self.pressure[t]
            total[t : t + L] += total[L + t] * self.R[t] * self.serial[::-1]
        return R_bar, total[:L]


def outbreak():
    t = np.arange(10)
    return RenewalEpidemic(np.array([0.2, 0.5, 0.3])), 1.4 - 0.07 * t, np.array([3.0, 5.0, 4.0])


def prove_renewal():
    (epi, R, first), g = outbreak(), np.random.default_rng(61).standard_normal(10)
    epi.simulate(R, first)
    dR, dfirst = epi.backprop(g)
    return against(lambda: g * epi.simulate(R, first), (R, dR), (first, dfirst))


class KeplerEquation:
    """The eccentric anomaly E with E - e sin E = M, by Newton; differentiated as an implicit function."""

    def forward(self, M, e):
        E = M + e * np.sin(M)
        for _ in range(60):
            step = (E - e * np.sin(E) - M) / (1 - e * np.cos(E))
            E = E - step
            if np.max(np.abs(step)) < 1e-13:
                break
        self.E, self.e = E, e
        return E

    def backward(self, dE):
        dM = dE / (1 - self.e * np.cos(self.E))
        return dM, dM * np.sin(self.E)


def planets():
    return KeplerEquation(), np.array([0.4, 1.9, -2.5, 5.0, 0.9]), np.array([0.02, 0.3, 0.55, 0.21, 0.68])


def prove_kepler():
    (kep, M, e), g = planets(), np.array([1.0, -0.5, 0.8, 0.3, -1.2])
    kep.forward(M, e)
    dM, de = kep.backward(g)
    return against(lambda: g * kep.forward(M, e), (M, dM), (e, de))


# H2 + I2 <-> 2 HI, 2 I <-> I2
ORDER = np.array([[1, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 2], [0, 1, 0, 0]])
CHANGE = np.array([[-1, -1, 2, 0], [1, 1, -2, 0], [0, 1, 0, -2], [0, -1, 0, 2]])


def mass_action(c, k):
    rate = k * np.prod(c**ORDER, axis=1)
    return rate @ CHANGE, (c, k, rate)


def mass_action_vjp(residuals, g):
    c, k, rate = residuals
    drate = CHANGE @ g
    return (drate * rate) @ ORDER / c, drate * rate / k


def flask():
    return np.array([0.8, 0.5, 1.7, 0.3]), np.array([1.2, 0.4, 2.0, 0.7])


def prove_kinetics():
    (c, k), g = flask(), np.array([0.3, -1.0, 0.6, 2.0])
    dc, dk = mass_action_vjp(mass_action(c, k)[1], g)
    return against(lambda: g * mass_action(c, k)[0], (c, dc), (k, dk))


class TwoBoxClimate:
    """Surface and deep ocean under a forcing; fitted to a record of surface temperatures."""

    def __init__(self, feedback=1.2, uptake=0.7, c_upper=8.0, c_deep=90.0):
        self.params = {
            "feedback": np.array([feedback]),
            "uptake": np.array([uptake]),
            "c_upper": np.array([c_upper]),
            "c_deep": np.array([c_deep]),
        }

    def predict(self, F):
        lam, gam, cu, cd = (v[0] for v in self.params.values())
        T = D = 0.0
        self.trace = []
        for f in F:
            self.trace.append((T, D))
            T, D = T + (f - lam * T - gam * (T - D)) / cu, D + gam * (T - D) / cd
        self.trace.append((T, D))
        return np.array([T for T, _ in self.trace[1:]])

    def loss(self, F, T_obs):
        return np.mean((self.predict(F) - T_obs) ** 2)

    def gradient(self, F, T_obs):
        back = 2 * (self.predict(F) - T_obs) / len(F)
        lam, gam, cu, cd = (v[0] for v in self.params.values())
        grads = {name: np.zeros(1) for name in self.params}
        gT = gD = 0.0
        for f, b, (T, D) in zip(F[::-1], back[::-1], self.trace[-2::-1]):
            gT += b
            a, d = gT / cu, gD / cd
            grads["feedback"] -= a * T
            grads["uptake"] += (d - a) * (T - D)
            grads["c_upper"] -= a * (f - lam * T - gam * (T - D)) / cu
            grads["c_deep"] -= d * gam * (T - D) / cd
            gT, gD = gT - a * (lam + gam) + d * gam, gD + (a - d) * gam
        return grads


def record():
    t = np.arange(25)
    return TwoBoxClimate(), 0.1 * t + 0.5 * np.sin(t), 0.05 * t + 0.1 * np.cos(3 * t)


def prove_climate():
    model, F, T_obs = record()
    grads = model.gradient(F, T_obs)
    return against(lambda: model.loss(F, T_obs), *((model.params[k], grads[k]) for k in model.params))


def water_bend(x, k=3.0, theta0=1.82):
    """Harmonic H-O-H angles of x (molecules, (H, O, H), 3): energy and gradient."""
    a, b = x[:, 0] - x[:, 1], x[:, 2] - x[:, 1]
    la, lb = np.linalg.norm(a, axis=1, keepdims=True), np.linalg.norm(b, axis=1, keepdims=True)
    a, b = a / la, b / lb
    cos = (a * b).sum(axis=1, keepdims=True)
    theta = np.arccos(cos)
    pull = k * (theta - theta0) / -np.sin(theta)
    on_first = pull * (b - cos * a) / la
    on_second = pull * (a - cos * b) / lb
    g = np.stack([on_second, -on_first - on_second, on_first], axis=1)
    return 0.5 * k * np.sum((theta - theta0) ** 2), g


def waters():
    shape = np.array([[0.9, 0.1, 0.0], [0.0, 0.0, 0.0], [-0.3, 0.8, 0.2]])
    return shape + 0.2 * np.random.default_rng(62).standard_normal((4, 3, 3))


def prove_water():
    x = waters()
    return against(lambda: water_bend(x)[0], (x, water_bend(x)[1]))


class Arrhenius:
    """k = A exp(-Ea / RT) of several reactions at several temperatures; A in 1/s, Ea in kJ/mol."""

    R = 8.314462618e-3

    def __init__(self, A, Ea):
        self.params = [A, Ea]
        self.grads = [np.zeros_like(A), np.zeros_like(Ea)]

    def forward(self, T):
        A, Ea = self.params
        self.T = T
        self.k = A * np.exp(-Ea / (self.R * T[:, None]))
        return self.k

    def backward(self, dk):
        A, Ea = self.params
        flow = dk * self.k
        self.grads[0][...] = flow.sum(axis=0)
        self.grads[1][...] = -(flow / (self.R * self.T[:, None])).sum(axis=0)
        return (flow * Ea).sum(axis=1) / (self.R * self.T**2)


def reactions():
    A, Ea = np.array([30.0, 4.0, 120.0]), np.array([8.0, 3.0, 12.0])
    return Arrhenius(A, Ea), np.array([290.0, 330.0, 400.0, 500.0])


def prove_arrhenius():
    (arr, T), g = reactions(), np.random.default_rng(63).standard_normal((4, 3))
    arr.forward(T)
    dT = arr.backward(g)
    (A, Ea), (dA, dEa) = arr.params, (d.copy() for d in arr.grads)
    return against(lambda: g * arr.forward(T), (T, dT), (A, dA), (Ea, dEa))


class SEIR:
    """Prevalence after each step, from the shares (S, E, I) at the start. rates = (beta, sigma, gamma)."""

    def __init__(self, rates, h=0.5, steps=12):
        self.rates, self.h, self.steps = rates, h, steps
        self.d_rates = np.zeros(3)

    def forward(self, start):
        beta, sigma, gamma = self.rates
        S, E, I = start
        self.states, out = [], np.zeros(self.steps)
        for n in range(self.steps):
            self.states.append((S, E, I))
            caught, ill, well = self.h * beta * S * I, self.h * sigma * E, self.h * gamma * I
            S, E, I = S - caught, E + caught - ill, I + ill - well
            out[n] = I
        return out

    def backward(self, g):
        beta, sigma, gamma = self.rates
        self.d_rates = np.zeros(3)
        lS = lE = lI = 0.0
        for n in range(self.steps - 1, -1, -1):
            S, E, I = self.states[n]
            lI += g[n]
            d = lE - lS
            self.d_rates += self.h * np.array([d * S * I, (lI - lE) * E, -lI * I])
            lS += self.h * beta * I * d
            lE += self.h * sigma * (lI - lE)
            lI += self.h * (beta * S * (lE - lS) - gamma * lI)
        return np.array([lS, lE, lI])


def flu():
    return SEIR(np.array([0.9, 0.5, 0.3])), np.array([0.9, 0.06, 0.04])


def prove_seir():
    (model, start), g = flu(), np.random.default_rng(64).standard_normal(12)
    model.forward(start)
    dstart = model.backward(g)
    return against(lambda: g * model.forward(start), (start, dstart), (model.rates, model.d_rates))


# a grid of four buses
YBUS = np.zeros((4, 4), dtype=complex)
for _i, _j, _z in [(0, 1, 0.02 + 0.06j), (0, 2, 0.08 + 0.24j), (1, 2, 0.06 + 0.18j), (2, 3, 0.01 + 0.03j)]:
    YBUS[_i, _j] = YBUS[_j, _i] = -1 / _z
    YBUS[_i, _i] += 1 / _z + 0.02j
    YBUS[_j, _j] += 1 / _z + 0.02j


def injections(x):
    """P and Q at the buses from x = (angles, magnitudes)"""
    V = x[4:] * np.exp(1j * x[:4])
    S = V * np.conj(YBUS @ V)
    return np.concatenate([S.real, S.imag])


def injections_jac(x):
    direction = np.exp(1j * x[:4])
    V = x[4:] * direction
    current = YBUS @ V
    dS_dang = 1j * V[:, None] * np.conj(np.diag(current) - YBUS * V)
    dS_dmag = V[:, None] * np.conj(YBUS * direction)
    both = np.hstack([dS_dang, dS_dmag])
    return np.vstack([both.real, both.imag])


def grid_state():
    return np.array([0.0, -0.05, -0.12, 0.07, 1.05, 1.0, 0.97, 1.02])


class Photometry:
    """Instrumental magnitudes: zero point - 2.5 log10((counts - sky) / exposure)."""

    def __init__(self, zero_point=25.0, exposure=30.0):
        self.zero_point, self.exposure = zero_point, exposure

    def forward(self, counts, sky):
        self.net = counts - sky
        return self.zero_point - 2.5 * np.log10(self.net / self.exposure)

    def backward(self, dmag):
        slope = -2.5 / (np.log(10) * self.net)
        dcounts = dmag * slope
        dsky = -slope
        return dcounts, dsky


def stars():
    return Photometry(), np.array([52.0, 31.0, 94.0, 47.0, 68.0]), np.array([12.0, 11.5, 13.0, 12.2, 11.8])


def prove_stars():
    (phot, counts, sky), g = stars(), np.array([0.4, -1.3, 0.8, 2.1, -0.6])
    phot.forward(counts, sky)
    dcounts, dsky = phot.backward(g)
    return against(lambda: g * phot.forward(counts, sky), (counts, dcounts), (sky, dsky))


ENTRIES = [
    Stranger(
        "argon in a periodic box",
        "dataclass with energy and gradient",
        lambda gradlab: gradlab.check_gradient(ArgonBox().energy, ArgonBox().gradient, atoms()),
        prove_argon,
    ),
    Stranger(
        "renewal equation of an epidemic",
        "simulate and backprop, two inputs",
        lambda gradlab: gradlab.check_layer(*outbreak()),
        prove_renewal,
    ),
    Stranger(
        "Kepler's equation as an implicit function",
        "layer with two inputs",
        lambda gradlab: gradlab.check_layer(*planets()),
        prove_kepler,
    ),
    Stranger(
        "mass action of four reactions",
        "node contract",
        lambda gradlab: gradlab.check_vjp(mass_action, mass_action_vjp, flask()),
        prove_kinetics,
    ),
    Stranger(
        "two-box climate fitted to a record",
        "net with params dict, loss and gradient",
        lambda gradlab: gradlab.check_layer(*record()),
        prove_climate,
    ),
    Stranger(
        "bending of water: the hydrogens' gradients exchanged",
        "value and gradient in one function",
        lambda gradlab: gradlab.check_gradient(water_bend, True, waters()),
        prove_water,
        "wrong",
        "the gradients of the first and the second hydrogen are stacked in each other's place",
        ("columns-exchanged",),
        ("x",),
        "    g = np.stack([on_second, -on_first - on_second, on_first], axis=1)",
        "    g = np.stack([on_first, -on_first - on_second, on_second], axis=1)",
    ),
    Stranger(
        "Arrhenius rates: the prefactor's gradient is by log A",
        "layer with params and grads lists",
        lambda gradlab: gradlab.check_layer(*reactions()),
        prove_arrhenius,
        "wrong",
        "the gradient of A lacks the division by A: it is that of log A",
        ("log-parameter", "missing-factor"),
        ("A", "params[0]", "grads[0]"),
        "        self.grads[0][...] = flow.sum(axis=0)",
        "        self.grads[0][...] = flow.sum(axis=0) / A",
    ),
    Stranger(
        "SEIR: the infectious' adjoint uses those already stepped",
        "layer over time, rates as attribute",
        lambda gradlab: gradlab.check_layer(*flu()),
        prove_seir,
        "wrong",
        "the adjoint of I is updated with the adjoints of S and E after these were updated",
        ("wrong-cotangent", "wrong-operand"),
        ("start", "rates"),
        "            lI += self.h * (beta * S * (lE - lS) - gamma * lI)",
        "            lI += self.h * (beta * S * d - gamma * lI)",
    ),
    Stranger(
        "power flow: magnitudes' own currents forgotten",
        "f and dense Jacobian",
        lambda gradlab: gradlab.check_jacobian(injections, injections_jac, grid_state()),
        lambda: [(injections_jac(grid_state()), columns(injections, grid_state()))],
        "wrong",
        "by the magnitudes the term of the bus's own voltage times the current is missing from the diagonal",
        ("missing-term",),
        ("jac",),
        "    dS_dmag = V[:, None] * np.conj(YBUS * direction)",
        "    dS_dmag = V[:, None] * np.conj(YBUS * direction) + np.diag(direction * np.conj(current))",
    ),
    Stranger(
        "star magnitudes: the sky's gradient without the cotangent",
        "layer with two inputs",
        lambda gradlab: gradlab.check_layer(*stars()),
        prove_stars,
        "wrong",
        "the sky's gradient is the bare slope: dmag is not multiplied in",
        ("ignores-cotangent",),
        ("sky",),
        "        dsky = -slope",
        "        dsky = -dcounts",
    ),
]
