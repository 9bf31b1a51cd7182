"""Arms, wheels, trusses, games."""

import numpy as np

from ._entry import Stranger
from ._help_y import against, columns

LINKS = np.array([0.5, 0.4, 0.3, 0.2, 0.1])


def arm_fk(q):
    """End effector of a planar arm: x, y, and its heading."""
    phi = np.cumsum(q)
    return np.array([LINKS @ np.cos(phi), LINKS @ np.sin(phi), phi[-1]])


def arm_jacobian(q):
    # geometric: every joint swings all that lies beyond it
    phi = np.cumsum(q)
    px = np.concatenate([[0], np.cumsum(LINKS * np.cos(phi))])
    py = np.concatenate([[0], np.cumsum(LINKS * np.sin(phi))])
    return np.vstack([-(py[-1] - py[:-1]), px[-1] - px[:-1], np.ones_like(q)])


def arm_pose():
    return np.array([0.3, -0.8, 1.1, 0.4, -0.6])


# ---- LQR with a given gain ----
A = np.array([[1, 0.1, 0, 0], [0, 0.95, -0.12, 0], [0, 0, 1, 0.1], [0, 0.1, 0.6, 1]])
B = np.array([[0, 0], [0.1, 0.02], [0, 0], [-0.15, 0.08]])
Q, R = np.diag([1.0, 0.1, 2.0, 0.1]), np.array([[0.2, 0.05], [0.05, 0.4]])


def lqr_cost(K, x0, T=8):
    """sum of x'Qx + u'Ru with u = -Kx from each row of x0; and its gradient by K."""
    xs = [x0.T]
    for _ in range(T):
        xs.append(A @ xs[-1] - B @ K @ xs[-1])
    J = np.sum(xs[-1] * (Q @ xs[-1]))
    for x in xs[:-1]:
        u = -K @ x
        J += np.sum(x * (Q @ x)) + np.sum(u * (R @ u))
    lam, dK = 2 * Q @ xs[-1], np.zeros_like(K)
    for x in xs[-2::-1]:
        du = B.T @ lam - 2 * R @ (K @ x)
        dK -= du @ x.T
        lam = 2 * Q @ x + A.T @ lam - K.T @ du
    return J, dK


def gain():
    rng = np.random.default_rng(40)
    return rng.standard_normal((2, 4)), rng.standard_normal((3, 4))


def prove_lqr():
    K, x0 = gain()
    return against(lambda: lqr_cost(K, x0)[0], (K, lqr_cost(K, x0)[1]))


class PidLoop:
    """A PID controller that drives a first-order lag; gains = (kp, ki, kd)."""

    def __init__(self, gains, tau=0.8, dt=0.1):
        self.gains, self.tau, self.dt = gains, tau, dt
        self.dgains = np.zeros(3)

    def forward(self, reference):
        y = s = before = 0.0
        self.terms, out = [], []
        for r in reference:
            e = r - y
            s += e * self.dt
            self.terms.append((e, s, (e - before) / self.dt))
            before = e
            y = y + self.dt * (self.gains @ self.terms[-1] - y) / self.tau
            out.append(y)
        return np.array(out)

    def backward(self, dy):
        kp, ki, kd = self.gains
        self.dgains = np.zeros(3)
        dref = np.zeros(len(dy))
        ly = ls = le = 0.0
        for t in reversed(range(len(dy))):
            g = dy[t] + ly
            du = g * self.dt / self.tau
            self.dgains += du * np.array(self.terms[t])
            ls += ki * du
            dref[t] = kp * du + ls * self.dt + kd * du / self.dt + le
            le = -kd * du / self.dt
            ly = g * (1 - self.dt / self.tau) - dref[t]
        return dref


def loop():
    return PidLoop(np.array([1.5, 0.6, 0.05])), np.sin(np.arange(14) / 3) + 1


def prove_pid():
    (pid, ref), g = loop(), np.random.default_rng(41).standard_normal(14)
    pid.forward(ref)
    dref = pid.backward(g)
    return against(lambda: g * pid.forward(ref), (ref, dref), (pid.gains, pid.dgains))


class Fachwerk:
    """Nachgiebigkeit eines ebenen Fachwerks als Funktion der Stabquerschnitte."""

    knoten = np.array([[0, 0], [1, 0], [2, 0], [0.5, 0.9], [1.5, 0.9]])
    staebe = [(0, 1), (1, 2), (0, 3), (1, 3), (1, 4), (2, 4), (3, 4)]
    frei = [2, 3, 4, 6, 7, 8, 9]
    last = np.array([0.1, -1.0, 0.0, 0.3, -0.5, 0.0, -0.7])

    def stab(self, i, j):
        d = self.knoten[j] - self.knoten[i]
        laenge = np.hypot(*d)
        b = np.zeros(10)
        b[[2 * i, 2 * i + 1, 2 * j, 2 * j + 1]] = np.concatenate([-d, d]) / laenge
        return b[self.frei], laenge

    def loese(self, a):
        K = np.zeros((7, 7))
        for flaeche, (i, j) in zip(a, self.staebe):
            b, laenge = self.stab(i, j)
            K += flaeche / laenge * np.outer(b, b)
        return np.linalg.solve(K, self.last)

    def nachgiebigkeit(self, a):
        return self.last @ self.loese(a)

    def ableitung(self, a):
        u = self.loese(a)
        # selbstadjungiert: kein zweites Gleichungssystem
        return np.array([-((b @ u) ** 2) / laenge for b, laenge in (self.stab(*s) for s in self.staebe)])


def querschnitte():
    return np.array([1.0, 0.8, 1.5, 0.6, 0.9, 1.2, 0.7])


def check_fachwerk(gradlab, f):
    return gradlab.check_gradient(f.nachgiebigkeit, f.ableitung, querschnitte())


def prove_fachwerk():
    a = querschnitte()
    return against(lambda: Fachwerk().nachgiebigkeit(a), (a, Fachwerk().ableitung(a)))


class EloSeason:
    """Log-loss of a season's forecasts, given the ratings before it and the K factor."""

    def __init__(self, games):
        self.games = games

    def forward(self, ratings, k):
        r, self.k, self.log = ratings.copy(), k, []
        loss = 0.0
        for white, black, score in self.games:
            p = 1 / (1 + 10 ** ((r[black] - r[white]) / 400))
            loss -= score * np.log(p) + (1 - score) * np.log(1 - p)
            r[white] += k[0] * (score - p)
            r[black] -= k[0] * (score - p)
            self.log.append((white, black, score, p))
        self.n = len(r)
        return loss

    def backward(self):
        dr, dk = np.zeros(self.n), np.zeros(1)
        for white, black, score, p in self.log[::-1]:
            moved = dr[white] - dr[black]
            dk += moved * (score - p)
            dlogit = (p - score) - self.k[0] * moved * p * (1 - p)
            dr[white] += np.log(10) / 400 * dlogit
            dr[black] -= np.log(10) / 400 * dlogit
        return dr, dk


def season():
    games = [(0, 1, 1.0), (2, 3, 0.5), (1, 2, 0.0), (3, 0, 0.0), (0, 2, 1.0), (1, 3, 1.0), (2, 0, 0.5)]
    return EloSeason(games), np.array([1520.0, 1480.0, 1600.0, 1400.0]), np.array([32.0])


def prove_elo():
    elo, ratings, k = season()
    elo.forward(ratings, k)
    dr, dk = elo.backward()
    return against(lambda: elo.forward(ratings, k), (ratings, dr), (k, dk))


# ---- dead reckoning ----
def drive(speed, turn, dt=0.2):
    """The path of a unicycle; it turns after it has gone."""
    heading = dt * np.concatenate([[0.0], np.cumsum(turn)[:-1]])
    path = dt * np.cumsum([speed * np.cos(heading), speed * np.sin(heading)], axis=1)
    return path.T, (speed, heading, dt)


def drive_back(dpath, cache):
    speed, heading, dt = cache
    gx, gy = dt * np.cumsum(dpath[::-1], axis=0)[::-1].T
    dspeed = gx * np.cos(heading) + gy * np.sin(heading)
    dheading = speed * (gy * np.cos(heading) - gx * np.sin(heading))
    later = np.cumsum(dheading[::-1])[::-1]
    return dspeed, dt * later


def wheels():
    t = np.arange(9)
    return 1 + 0.3 * np.cos(t), 0.8 * np.sin(t / 2) - 0.2


def prove_drive():
    (speed, turn), g = wheels(), np.random.default_rng(42).standard_normal((9, 2))
    made = drive_back(g, drive(speed, turn)[1])
    return against(lambda: g * drive(speed, turn)[0], (speed, made[0]), (turn, made[1]))


class TransformChain:
    """T[0] @ T[1] @ ... of a stack of homogeneous matrices."""

    def forward(self, T):
        self.T = T
        self.prefix = [np.eye(T.shape[-1])]
        for t in T:
            self.prefix.append(self.prefix[-1] @ t)
        return self.prefix[-1]

    def backward(self, dP):
        dT, rest = np.empty_like(self.T), np.eye(self.T.shape[-1])
        for i in range(len(self.T) - 1, -1, -1):
            dT[i] = self.prefix[i].T @ rest.T @ dP
            rest = self.T[i] @ rest
        return dT


def poses():
    T = np.zeros((4, 4, 4))
    for t, a, shift in zip(T, [0.4, -1.0, 0.7, 2.0], np.random.default_rng(43).standard_normal((4, 3))):
        t[:] = np.eye(4)
        t[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
        t[:3, 3] = shift
    T[1::2, :3, :3] = T[1::2, :3, :3][:, [1, 2, 0]][:, :, [1, 2, 0]]
    return T


def prove_chain():
    chain, T, g = TransformChain(), poses(), np.random.default_rng(44).standard_normal((4, 4))
    chain.forward(T)
    return against(lambda: g * chain.forward(T), (T, chain.backward(g)))


class Seilnetz:
    def __init__(self, seile, laenge0, steif):
        self.von, self.nach = np.array(seile).T
        self.laenge0, self.steif = laenge0, steif

    def energie(self, x):
        laenge = np.linalg.norm(x[self.nach] - x[self.von], axis=1)
        return 0.5 * np.sum(self.steif * (laenge - self.laenge0) ** 2)

    def gradient(self, x):
        d = x[self.nach] - x[self.von]
        laenge = np.linalg.norm(d, axis=1)
        zug = (self.steif * (laenge - self.laenge0) / laenge)[:, None] * d
        g = np.zeros_like(x)
        np.add.at(g, self.von, zug)
        np.add.at(g, self.nach, -zug)
        return g


def netz():
    rng = np.random.default_rng(45)
    seile = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 4), (1, 4), (2, 4), (3, 4)]
    ecken = np.array([[0, 0, 0], [2, 0, 0.5], [2, 2, 0], [0, 2, 0.5], [1, 1, 0.2]])
    n = Seilnetz(seile, rng.uniform(0.8, 1.6, 8), rng.uniform(1, 3, 8))
    return n, ecken + 0.1 * rng.standard_normal((5, 3))


def prove_netz():
    n, x = netz()
    return against(lambda: n.energie(x), (x, n.gradient(x)))


class ForceTorqueSensor:
    """Six bridge voltages -> force and torque: wrench = C (u - offset)."""

    def __init__(self, C, offset):
        self.C, self.offset = C, offset

    def forward(self, u):
        self.centred = u - self.offset
        return self.centred @ self.C.T

    def backward(self, dwrench):
        du = dwrench @ self.C
        self.dC = dwrench.T @ self.centred
        self.doffset = -du.sum(axis=1)
        return du


def bench():
    rng = np.random.default_rng(46)
    return ForceTorqueSensor(rng.standard_normal((6, 6)), rng.standard_normal(6)), rng.standard_normal((6, 6))


def prove_bench():
    (s, u), g = bench(), np.random.default_rng(47).standard_normal((6, 6))
    s.forward(u)
    du = s.backward(g)
    return against(lambda: g * s.forward(u), (u, du), (s.C, s.dC), (s.offset, s.doffset))


class ScanMatcher:
    """Mean squared distance of matched 2-D points; the pose is theta and t."""

    def __init__(self, theta, t):
        self.pose = {"theta": theta, "t": t}
        self.grads = {}

    def forward(self, source, target):
        c, s = np.cos(self.pose["theta"][0]), np.sin(self.pose["theta"][0])
        self.turned = source @ np.array([[c, s], [-s, c]])
        self.miss = self.turned + self.pose["t"] - target
        return np.mean(np.sum(self.miss**2, axis=1))

    def backward(self):
        d = 2 * self.miss / len(self.miss)
        lever = np.stack([-self.turned[:, 1], self.turned[:, 0]], axis=1)
        self.grads["theta"] = np.array([np.sum(d * lever)])
        self.grads["t"] = d.mean(axis=0)


def scan():
    rng = np.random.default_rng(48)
    return ScanMatcher(np.array([0.4]), np.array([0.5, -1.0])), *rng.standard_normal((2, 6, 2))


def prove_scan():
    match, source, target = scan()
    match.forward(source, target)
    match.backward()
    made = [(match.pose[k], match.grads[k]) for k in ("theta", "t")]
    return against(lambda: match.forward(source, target), *made)


ENTRIES = [
    Stranger(
        "planar arm's forward kinematics",
        "f and dense Jacobian",
        lambda gradlab: gradlab.check_jacobian(arm_fk, arm_jacobian, arm_pose()),
        lambda: [(arm_jacobian(arm_pose()), columns(arm_fk, arm_pose()))],
    ),
    Stranger(
        "LQR cost by the gain matrix",
        "value and gradient in one function, a matrix",
        lambda gradlab: gradlab.check_gradient(lqr_cost, True, gain()[0], args=(gain()[1],)),
        prove_lqr,
    ),
    Stranger(
        "PID loop around a first-order lag",
        "layer over time, gains as attribute",
        lambda gradlab: gradlab.check_layer(*loop()),
        prove_pid,
    ),
    Stranger(
        "compliance of a truss",
        "f and grad, methods of an object",
        lambda gradlab: check_fachwerk(gradlab, Fachwerk()),
        prove_fachwerk,
    ),
    Stranger(
        "log-loss of a season of Elo updates",
        "loss with backward() for two inputs",
        lambda gradlab: gradlab.check_layer(*season()),
        prove_elo,
    ),
    Stranger(
        "unicycle: turn rates' gradients one step late",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(drive, drive_back, wheels()),
        prove_drive,
        "wrong",
        "the reversed sum includes the step's own heading, which the turn does not touch yet",
        ("shifted",),
        ("turn",),
        "    return dspeed, dt * later",
        "    return dspeed, dt * np.append(later[1:], 0.0)",
    ),
    Stranger(
        "chain of transforms: suffix on the wrong side",
        "layer on a stack of matrices",
        lambda gradlab: gradlab.check_layer(TransformChain(), poses()),
        prove_chain,
        "wrong",
        "the transposed suffix stands before the cotangent instead of behind it",
        ("wrong-order",),
        ("T",),
        "            dT[i] = self.prefix[i].T @ rest.T @ dP",
        "            dT[i] = self.prefix[i].T @ dP @ rest.T",
    ),
    Stranger(
        "cable net: forces instead of the gradient",
        "f and grad, methods of an object",
        lambda gradlab: gradlab.check_gradient(netz()[0].energie, netz()[0].gradient, netz()[1]),
        prove_netz,
        "wrong",
        "the pull on the knots is added, which is minus the energy's gradient",
        ("sign-flipped",),
        ("x",),
        "        np.add.at(g, self.von, zug)\n        np.add.at(g, self.nach, -zug)",
        "        np.add.at(g, self.von, -zug)\n        np.add.at(g, self.nach, zug)",
    ),
    Stranger(
        "force-torque sensor: offset's gradient summed over the channels",
        "layer, parameters and gradients as attributes",
        lambda gradlab: gradlab.check_layer(*bench()),
        prove_bench,
        "wrong",
        "the offset's gradient is summed over the channels instead of over the samples",
        ("wrong-sum-axis",),
        ("offset", "doffset"),
        "        self.doffset = -du.sum(axis=1)",
        "        self.doffset = -du.sum(axis=0)",
    ),
    Stranger(
        "scan matcher: the translation's mean is taken twice",
        "loss with pose and grads dicts",
        lambda gradlab: gradlab.check_layer(*scan()),
        prove_scan,
        "wrong",
        "d holds the mean's 1/n already, and the translation's gradient is averaged once more",
        ("constant-factor",),
        ("t",),
        '        self.grads["t"] = d.mean(axis=0)',
        '        self.grads["t"] = d.sum(axis=0)',
    ),
]
