"""Control, power grids, epidemics, games."""

import numpy as np

from ._entry import Stranger
from ._help_tc import diff, layer, pairs


def lqr_problem(A, B, Q, R, starts, horizon):
    """Cost of the feedback u = -K x over some starting states, and its slope in K."""

    def roll(K):
        xs = [starts]
        for _ in range(horizon):
            xs.append(xs[-1] @ (A - B @ K).T)
        return xs

    def cost(K):
        M = Q + K.T @ R @ K
        return sum(np.einsum("ni,ij,nj->", x, M, x) for x in roll(K)) / len(starts)

    def slope(K):
        M, xs = Q + K.T @ R @ K, roll(K)
        costate = 0 * starts
        out = np.zeros_like(K)
        for x in reversed(xs):
            out += -B.T @ costate.T @ x + 2 * R @ K @ x.T @ x
            costate = costate @ (A - B @ K) + 2 * x @ M
        return out / len(starts)

    return cost, slope


class RudderAutopilot:
    """PI steering with a rudder that can only go so far. gains = [kp, ki]."""

    def __init__(self, gains, limit=0.55, drag=0.4, power=1.5, dt=0.2):
        self.gains, self.dgains = np.array(gains), np.zeros(2)
        self.limit, self.drag, self.power, self.dt = limit, drag, power, dt

    def forward(self, course):
        heading = rate = integral = 0.0
        self.log, track = [], np.empty_like(course)
        for t, want in enumerate(course):
            err = want - heading
            integral += self.dt * err
            raw = self.gains[0] * err + self.gains[1] * integral
            rudder = np.clip(raw, -self.limit, self.limit)
            self.log.append((err, integral, raw))
            rate += self.dt * (self.power * rudder - self.drag * rate)
            heading += self.dt * rate
            track[t] = heading
        return track

    def backward(self, dtrack):
        self.dgains[:] = 0
        dheading = drate = dintegral = 0.0
        dcourse = np.empty_like(dtrack)
        for t in reversed(range(len(dtrack))):
            err, integral, raw = self.log[t]
            dheading += dtrack[t]
            drate += self.dt * dheading
            draw = self.dt * self.power * drate
            drate *= 1 - self.dt * self.drag
            self.dgains += draw * np.array([err, integral])
            dintegral += draw * self.gains[1]
            derr = draw * self.gains[0] + self.dt * dintegral
            dcourse[t] = derr
            dheading -= derr
        return dcourse


class Injections:
    """Active and reactive power at the buses from voltage magnitudes and angles."""

    def __init__(self, Y):
        self.Y = Y

    def forward(self, Vm, Va):
        self.unit = np.exp(1j * Va)
        self.v = Vm * self.unit
        self.i = self.Y @ self.v
        S = self.v * np.conj(self.i)
        return S.real, S.imag

    def backward(self, dP, dQ):
        g = dP + 1j * dQ
        vbar = g * self.i + np.conj(self.Y.T @ (g * np.conj(self.v)))
        dVm = np.real(np.conj(vbar) * self.unit)
        dVa = -np.imag(np.conj(vbar) * self.v)
        return dVa, dVm


class FeederLoad:
    """Load of each feeder (column) in each hour (row): base + heating below the threshold temperature."""

    def __init__(self, base, heating):
        self.params = [base, heating]
        self.grads = [np.zeros_like(base), np.zeros_like(heating)]

    def forward(self, temperature):
        base, heating = self.params
        self.cold = np.logaddexp(0, 15.0 - temperature)
        self.on = 1 / (1 + np.exp(temperature - 15.0))
        return base + heating * self.cold[:, None]

    def backward(self, dload):
        self.grads[0][...] = dload.sum(axis=1)
        self.grads[1][...] = (dload * self.cold[:, None]).sum(axis=0)
        return -(dload @ self.params[1]) * self.on


class SEIR:
    """Daily new infections for a transmission rate that changes from day to day; theta = sigma, gamma."""

    def __init__(self, start=(0.97, 0.02, 0.01)):
        self.start = start

    def forward(self, beta, theta):
        sigma, gamma = theta
        S, E, I = ([v] for v in self.start)
        new = np.empty_like(beta)
        for t in range(len(beta)):
            new[t] = beta[t] * S[t] * I[t]
            S.append(S[t] - new[t])
            E.append(E[t] + new[t] - sigma * E[t])
            I.append(I[t] + sigma * E[t] - gamma * I[t])
        self.S, self.E, self.I, self.beta, self.theta = S, E, I, beta, theta
        return new

    def backward(self, dnew):
        sigma, gamma = self.theta
        dS = dE = dI = 0.0
        dbeta, dtheta = np.zeros_like(dnew), np.zeros(2)
        for t in range(len(dnew) - 1, -1, -1):
            flow = dnew[t] - dS + dE
            dtheta += [(dI - dE) * self.E[t], -dI * self.I[t]]
            dbeta[t] = flow * self.S[t + 1] * self.I[t]
            dS = dS + flow * self.beta[t] * self.I[t]
            dE, dI = (
                dE * (1 - sigma) + dI * sigma,
                dI * (1 - gamma) + flow * self.beta[t] * self.S[t],
            )
        return dbeta, dtheta


def renewal_forward(Rt, serial, seeds):
    """Renewal equation: infections on day t are Rt[t] times the serial-weighted infections before."""
    k = len(serial)
    I = np.concatenate([seeds, np.zeros(len(Rt))])
    force = np.empty(len(Rt))
    for t in range(len(Rt)):
        force[t] = serial @ I[t : t + k][::-1]
        I[t + k] = Rt[t] * force[t]
    return I[k:], (Rt, serial, I, force)


def renewal_backward(g, cache):
    Rt, serial, I, force = cache
    k = len(serial)
    dI = np.concatenate([np.zeros(k), g])
    grads = {"Rt": np.zeros_like(Rt), "serial": np.zeros(k)}
    for t in range(len(Rt) - 1, -1, -1):
        grads["Rt"][t] = dI[t + k] * force[t]
        dforce = dI[t + k] * Rt[t]
        grads["serial"] += dforce * I[t : t + k][::-1]
        dI[t : t + k] += dforce * serial[::-1]
    grads["seeds"] = dI[:k]
    return grads


class EloSeason:
    """Ratings after a season of games (home, away, result), played one after the other."""

    def __init__(self, games, k=24.0):
        self.games = games
        self.k = np.array([k])
        self.gk = np.zeros(1)

    def forward(self, ratings):
        r, self.expected = ratings.copy(), []
        for home, away, result in self.games:
            p = 1 / (1 + 10 ** ((r[away] - r[home]) / 400))
            self.expected.append(p)
            r[home] += self.k[0] * (result - p)
            r[away] -= self.k[0] * (result - p)
        return r

    def backward(self, g):
        g, self.gk[0] = g.copy(), 0.0
        for (home, away, result), p in zip(self.games[::-1], self.expected[::-1]):
            stake = g[home] - g[away]
            self.gk[0] += stake * (result - p)
            slope = stake * self.k[0] * p * (1 - p) * np.log(10) / 400
            g[home] -= slope
            g[away] += slope
        return g


class LogitEquilibrium:
    """Quantal response equilibrium of a bimatrix game: p = softmax(r A q), q = softmax(r B' p)."""

    def __init__(self, rationality=0.7):
        self.r = rationality

    @staticmethod
    def soft(z):
        e = np.exp(z - z.max())
        return e / e.sum()

    def __call__(self, A, B):
        p, q = np.ones(len(A)) / len(A), np.ones(A.shape[1]) / A.shape[1]
        for _ in range(200):
            p = self.soft(self.r * A @ q)
            q = self.soft(self.r * B.T @ p)
        self.ctx = A, B, p, q
        return np.concatenate([p, q])

    def backward(self, grad_output):
        A, B, p, q = self.ctx
        m, r = len(p), self.r
        Dp, Dq = np.diag(p) - np.outer(p, p), np.diag(q) - np.outer(q, q)
        J = np.block([[np.zeros((m, m)), r * Dp @ A], [r * Dq @ B.T, np.zeros((len(q),) * 2)]])
        u = np.linalg.solve(np.eye(len(J)) - J.T, grad_output)
        return r * np.outer(Dp @ u[:m], q), r * np.outer(p, Dq @ u[m:])


class LocalLevel:
    """Kalman filter for a noisy random walk. theta = logs of the two variances."""

    def __init__(self, y, m0=0.0, P0=4.0):
        self.y, self.m0, self.P0 = y, m0, P0

    def _filter(self, theta):
        (q, r), m, P = np.exp(theta), self.m0, self.P0
        for y in self.y:
            prior = P + q
            F, v = prior + r, y - m
            yield prior, F, v
            m, P = m + prior / F * v, prior * r / F

    def nll(self, theta):
        return sum(0.5 * (np.log(2 * np.pi * F) + v * v / F) for _, F, v in self._filter(theta))

    def score(self, theta):
        mb = Pb = qb = rb = 0.0
        for prior, F, v in reversed(list(self._filter(theta))):
            gain = prior / F
            gain_b = mb * v - Pb * prior
            Fb = 0.5 / F - 0.5 * v**2 / F**2 - gain_b * prior / F**2
            mb = mb * (1 - gain) - v / F
            Pb = Pb * (1 - gain) + gain_b / F + Fb
            qb, rb = qb + Pb, rb + Fb
        return np.exp(theta) * [qb, rb]


def _rng(k):
    return np.random.default_rng(880 + k)


def _lqr():
    r = _rng(1)
    A = np.array([[1, 0.1, 0], [0, 0.9, 0.2], [0.1, 0, 0.8]])
    B = np.array([[0, 0.1], [0.3, 0], [0, 0.4]])
    K = np.array([[0.6, 0.5, 0.1], [0.2, -0.1, 0.3]])
    return (
        *lqr_problem(
            A, B, np.diag([2.0, 1, 0.5]), np.array([[0.4, 0.1], [0.1, 0.3]]), r.standard_normal((4, 3)), 12
        ),
        K,
    )


def _ship():
    return RudderAutopilot([0.9, 0.15]), np.repeat([0.3, 1.2, 0.4], 7)


def _grid():
    r = _rng(2)
    n = 5
    Y = np.zeros((n, n), complex)
    for i, j in [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (1, 3)]:
        y = 1 / complex(r.uniform(0.02, 0.1), r.uniform(0.2, 0.5))
        Y[[i, j], [i, j]] += y + 0.02j
        Y[[i, j], [j, i]] -= y
    return Injections(Y), r.uniform(0.95, 1.05, n), r.uniform(-0.3, 0.3, n)


def _feeders():
    r = _rng(3)
    return FeederLoad(r.uniform(2, 5, 6), r.uniform(0.1, 0.6, 6)), np.array([4.0, 7, 11, 14.5, 17, 13])


def _seir():
    return SEIR(), np.linspace(0.9, 0.4, 14), np.array([0.3, 0.2])


def _renewal():
    return _rng(4).uniform(0.7, 1.5, 11), np.array([0.2, 0.4, 0.3, 0.1]), np.array([3.0, 4, 6, 5])


def _elo():
    games = [(0, 1, 1.0), (2, 3, 0.5), (1, 2, 0.0), (3, 0, 0.0), (0, 2, 1.0), (1, 3, 1.0), (3, 2, 0.5)]
    return EloSeason(games), np.array([1510.0, 1620, 1435, 1580])


def _qre():
    r = _rng(5)
    return LogitEquilibrium(), r.standard_normal((3, 4)), r.standard_normal((3, 4))


def _level():
    r = _rng(6)
    return LocalLevel(np.cumsum(0.5 * r.standard_normal(15)) + r.standard_normal(15)), np.array([-1.0, 0.2])


def _call_level(gradlab):
    o, theta = _level()
    return gradlab.check_gradient(o.nll, o.score, theta)


def _p(make, params=(), **kw):
    def prove():
        o, *ins = make()
        return layer(
            o, ins, [getattr(o, n) for n, _ in params], lambda o: [getattr(o, d) for _, d in params], **kw
        )

    return prove


def _p_lqr():
    cost, slope, K = _lqr()
    return [(slope(K), diff(lambda: cost(K), K))]


def _p_feeders():
    o, T = _feeders()
    return layer(o, [T], o.params, lambda o: o.grads)


def _p_renewal():
    a = _renewal()
    return pairs(
        lambda: renewal_forward(*a)[0],
        lambda g: map(renewal_backward(g, renewal_forward(*a)[1]).get, ("Rt", "serial", "seeds")),
        a,
    )


def _p_level():
    o, theta = _level()
    return [(o.score(theta), diff(lambda: o.nll(theta), theta))]


ENTRIES = [
    Stranger(
        "tc LQR cost of a feedback matrix",
        "closures cost and slope of a matrix",
        lambda gradlab: gradlab.check_gradient(*_lqr()),
        _p_lqr,
    ),
    Stranger(
        "tc rudder autopilot: goes through the stops as if there were none",
        "layer, gains and dgains",
        lambda gradlab: gradlab.check_layer(*_ship()),
        _p(_ship, [("gains", "dgains")]),
        "wrong",
        "the clip's slope, zero where the rudder is at its stop, is left out",
        ("straight-through", "masked-region", "missing-factor"),
        ("course", "gains"),
        "            draw = self.dt * self.power * drate\n",
        "            draw = self.dt * self.power * drate * (abs(raw) < self.limit)\n",
    ),
    Stranger(
        "tc bus injections: magnitudes' and angles' gradients exchanged",
        "layer with two outputs",
        lambda gradlab: gradlab.check_layer(*_grid()),
        _p(_grid),
        "wrong",
        "the two gradients are returned in the wrong order",
        ("swapped-primals",),
        ("Vm", "Va"),
        "        return dVa, dVm\n",
        "        return dVm, dVa\n",
    ),
    Stranger(
        "tc feeder load: the base's gradient summed over the feeders",
        "layer, params and grads lists",
        lambda gradlab: gradlab.check_layer(*_feeders()),
        _p_feeders,
        "wrong",
        "summed over the feeders, not over the hours",
        ("wrong-sum-axis",),
        ("base",),
        "        self.grads[0][...] = dload.sum(axis=1)\n",
        "        self.grads[0][...] = dload.sum(axis=0)\n",
    ),
    Stranger(
        "tc SEIR: the susceptibles of the next day",
        "layer, two inputs",
        lambda gradlab: gradlab.check_layer(*_seir()),
        _p(_seir),
        "wrong",
        "beta's gradient takes S of the day after instead of S of the same day",
        ("wrong-operand", "shifted"),
        ("beta",),
        "            dbeta[t] = flow * self.S[t + 1] * self.I[t]\n",
        "            dbeta[t] = flow * self.S[t] * self.I[t]\n",
    ),
    Stranger(
        "tc renewal equation",
        "pair with cache, dict of gradients",
        lambda gradlab: gradlab.check_cached_pair(renewal_forward, renewal_backward, _renewal()),
        _p_renewal,
    ),
    Stranger(
        "tc elo season",
        "layer, indices, parameter k and gk",
        lambda gradlab: gradlab.check_layer(*_elo()),
        _p(_elo, [("k", "gk")]),
    ),
    Stranger(
        "tc logit equilibrium of a bimatrix game",
        "callable with backward, implicit",
        lambda gradlab: gradlab.check_layer(*_qre()),
        _p(_qre, fwd="__call__"),
    ),
    Stranger(
        "tc local level likelihood by a Kalman filter",
        "object with nll and score, a generator inside",
        _call_level,
        _p_level,
    ),
]
