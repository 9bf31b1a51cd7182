"""Recurrent, state-space and attention pieces."""

import numpy as np

from ._entry import Stranger
from ._help_s import cached, named, pairs, rng


def sig(a):
    return 1.0 / (1.0 + np.exp(-a))


class MGU:
    """Minimal gated unit over a sequence (T, N, D); every step leaves a closure behind."""

    def __init__(self, D, H, r):
        g = lambda *s: r.normal(0, 0.6, s)
        self.p = dict(Wf=g(D, H), Uf=g(H, H), bf=g(H), Wc=g(D, H), Uc=g(H, H), bc=g(H))
        self.g = {}
        self.H = H

    def step(self, x, h):
        p, g = self.p, self.g
        f = sig(x @ p["Wf"] + h @ p["Uf"] + p["bf"])
        c = np.tanh(x @ p["Wc"] + (f * h) @ p["Uc"] + p["bc"])

        def back(dh_new):
            dac = dh_new * f * (1 - c**2)
            dfh = dac @ p["Uc"].T
            daf = (dh_new * (c - h) + dfh * h) * f * (1 - f)
            for name, a, d in (("f", h, daf), ("c", f * h, dac)):
                g["W" + name] += x.T @ d
                g["U" + name] += a.T @ d
                g["b" + name] += d.sum(0)
            return daf @ p["Wf"].T + dac @ p["Wc"].T, dh_new * (1 - f) + dfh * f + daf @ p["Uf"].T

        self.tape.append(back)
        return (1 - f) * h + f * c

    def forward(self, xs):
        self.tape = []
        h, out = np.zeros((xs.shape[1], self.H)), []
        for x in xs:
            h = self.step(x, h)
            out.append(h)
        return np.stack(out)

    def backward(self, dhs):
        self.g.update({k: np.zeros_like(v) for k, v in self.p.items()})
        dh, dxs = 0, []
        for back, d in zip(self.tape[::-1], dhs[::-1]):
            dx, dh = back(d + dh)
            dxs.insert(0, dx)
        return np.stack(dxs)


def _mgu():
    return MGU(2, 3, rng(21)), rng(22).standard_normal((4, 2, 2))


class LeakyIntegrator:
    """누설 적분기: 뉴런마다 시정수 tau 를 학습한다.  x: (T, N, H)"""

    def __init__(self, tau):
        self.tau = tau
        self.grad_tau = None

    def forward(self, x):
        lam = np.exp(-1.0 / self.tau)
        h = np.zeros_like(x[0])
        self.hs, self.x, self.lam = [h], x, lam
        for xt in x:
            h = lam * h + (1 - lam) * xt
            self.hs.append(h)
        return np.array(self.hs[1:])

    def backward(self, dout):
        dx = np.empty_like(dout)
        dlam = np.zeros_like(self.tau)
        dh = np.zeros_like(dout[0])
        for t in range(len(dout) - 1, -1, -1):
            dh = dh + dout[t]
            dlam += (dh * (self.hs[t] - self.x[t])).sum(axis=0)
            dx[t] = dh * (1 - self.lam)
            dh = dh * self.lam
        self.grad_tau = dlam * self.lam / self.tau
        return dx


def _leaky():
    return LeakyIntegrator(np.array([0.7, 2.0, 3.5])), rng(23).standard_normal((6, 2, 3))


class AFTFull:
    """Attention free transformer: y_t = sigmoid(q_t) * sum_s exp(k_s + w_ts) v_s / sum_s exp(k_s + w_ts)."""

    def forward(self, q, k, v, w):
        self.gate = sig(q)
        self.v = v
        self.e = np.exp(k[None] + w[:, :, None])  # (T, S, D)
        self.den = self.e.sum(axis=1)
        self.mix = np.einsum("tsd,sd->td", self.e, v) / self.den
        return self.gate * self.mix

    def backward(self, dy):
        dq = dy * self.mix * self.gate * (1 - self.gate)
        r = (dy * self.gate / self.den)[:, None]  # (T, 1, D)
        dv = (r * self.e).sum(axis=0)
        ds = r * self.v[None] * self.e
        return dq, ds.sum(axis=0), dv, ds.sum(axis=2)


def _aft():
    r = rng(24)
    return (AFTFull(), *(r.standard_normal((4, 3)) for _ in range(3)), r.standard_normal((4, 4)))


# QRNN, fo-pooling. Z, F, O: (steps, batch, units), activations already applied
def fo_pool(Z, F, O):
    C = [np.zeros(Z.shape[1:])]
    for z, f in zip(Z, F):
        C.append(f * C[-1] + (1 - f) * z)
    C = np.stack(C)
    return O * C[1:], (Z, F, O, C)


def fo_pool_backward(dH, cache):
    Z, F, O, C = cache
    dZ, dF, dO = np.zeros_like(Z), np.zeros_like(F), dH * C[1:]
    dc = np.zeros(Z.shape[1:])
    for t in reversed(range(len(Z))):
        dc = dc + dH[t] * O[t]
        dZ[t] = dc * (1 - F[t])
        dF[t] = dc * (C[t + 1] - Z[t])
        dc = dc * F[t]
    return dZ, dF, dO


def _fo():
    r = rng(25)
    z, f, o = r.standard_normal((3, 5, 2, 3))
    return np.tanh(z), sig(f), sig(o)


class MultiQueryAttention:
    """Several heads of queries, one head of keys and values (Shazeer 2019)."""

    def __init__(self, dim, dh, heads, seed=26):
        r = rng(seed)
        self.weights = {
            "Wq": r.standard_normal((heads, dim, dh)) * 0.6,
            "Wk": r.standard_normal((dim, dh)) * 0.6,
            "Wv": r.standard_normal((dim, dh)) * 0.6,
        }
        self.gradients = {}

    def forward(self, x):
        w = self.weights
        self.x, self.K, self.V = x, x @ w["Wk"], x @ w["Wv"]
        self.Q, self.A, outs = [], [], []
        for Wq in w["Wq"]:
            q = x @ Wq
            s = q @ self.K.T / np.sqrt(q.shape[1])
            a = np.exp(s - s.max(axis=1, keepdims=True))
            a /= a.sum(axis=1, keepdims=True)
            self.Q.append(q)
            self.A.append(a)
            outs.append(a @ self.V)
        return np.concatenate(outs, axis=1)

    def backward(self, dout):
        w = self.weights
        heads = np.split(dout, len(self.A), axis=1)
        dK, dV = np.zeros_like(self.K), np.zeros_like(self.V)
        dWq, dx = np.zeros_like(w["Wq"]), np.zeros_like(self.x)
        for h, (g, q, a) in enumerate(zip(heads, self.Q, self.A)):
            da = g @ self.V.T
            ds = a * (da - (da * a).sum(axis=1, keepdims=True)) / np.sqrt(q.shape[1])
            dV += a.T @ g
            dK = ds.T @ q
            dWq[h] = self.x.T @ (ds @ self.K)
            dx += ds @ self.K @ w["Wq"][h].T
        self.gradients = {"Wq": dWq, "Wk": self.x.T @ dK, "Wv": self.x.T @ dV}
        return dx + dK @ w["Wk"].T + dV @ w["Wv"].T


def _mqa():
    return MultiQueryAttention(4, 2, 3), rng(27).standard_normal((5, 4))


class Jordan:
    """Jordan network: the context is the last output; the context before the first step (y0) is learned."""

    def __init__(self, n_in, n_out, r):
        self.params = {"V": r.standard_normal((n_in, n_out)), "U": r.standard_normal((n_out, n_out)) * 0.5}
        self.params["y0"] = r.standard_normal(n_out) * 0.5
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}

    def forward(self, x):
        self.x, p = x, self.params
        self.y = np.zeros((len(x) + 1, x.shape[1], len(p["y0"])))
        self.y[0] = p["y0"]
        for t in range(len(x)):
            self.y[t + 1] = np.tanh(x[t] @ p["V"] + self.y[t] @ p["U"])
        return self.y[1:].copy()

    def backward(self, dy):
        p, dx = self.params, np.zeros_like(self.x)
        dV, dU, dctx = np.zeros_like(p["V"]), np.zeros_like(p["U"]), np.zeros_like(dy[0])
        for t in range(len(dy) - 1, -1, -1):
            da = (dy[t] + dctx) * (1 - self.y[t + 1] ** 2)
            dV += self.x[t].T @ da
            dU += self.y[t].T @ da
            dx[t] = da @ p["V"].T
            dctx = da @ p["U"].T if t > 0 else np.zeros_like(da)
        self.grads = {"V": dV, "U": dU, "y0": dctx.sum(axis=0)}
        return dx


def _jordan():
    return Jordan(2, 3, rng(28)), rng(29).standard_normal((4, 2, 2))


class CausalLinearAttention:
    """phi(u) = elu(u) + 1, running sums S (keys x values) and z."""

    @staticmethod
    def phi(u):
        return np.where(u > 0, u + 1, np.exp(np.minimum(u, 0)))

    @staticmethod
    def dphi(u):
        return np.where(u > 0, 1.0, np.exp(np.minimum(u, 0)))

    def sums(self):
        S, z = 0.0, 0.0
        for fk, v in zip(self.fk, self.v):
            S, z = S + np.outer(fk, v), z + fk
            yield S, z

    def forward(self, q, k, v):
        self.q, self.k, self.v = q, k, v
        self.fq, self.fk = self.phi(q), self.phi(k)
        self.out = np.array([fq @ S / (fq @ z) for fq, (S, z) in zip(self.fq, self.sums())])
        return self.out.copy()

    def backward(self, do):
        dfq, dfk, dv = np.zeros_like(self.q), np.zeros_like(self.k), np.zeros_like(self.v)
        dS, dz = np.zeros((self.q.shape[1], do.shape[1])), np.zeros(self.q.shape[1])
        for t, (S, z) in reversed(list(enumerate(self.sums()))):
            n = self.fq[t] @ z
            dnum, dn = do[t] / n, -(do[t] @ self.out[t]) / n
            dfq[t] = S @ dnum + dn * z
            dS += np.outer(self.fq[t], dnum)
            dz += dn * self.fq[t]
            dfk[t] = dS @ self.v[t] + dz
            dv[t] = self.fk[t] @ dS
        return {"q": dfq * self.dphi(self.q), "k": dfk * self.dphi(self.k), "v": dv}


def _linatt():
    r = rng(30)
    return (CausalLinearAttention(), *(r.standard_normal((5, n)) for n in (3, 3, 2)))


class ClockworkRNN:
    """Module j ticks every periods[j] steps and hears only modules that are as slow or slower."""

    def __init__(self, n_in, per_module=2, periods=(1, 2, 4)):
        r = rng(31)
        self.period = np.repeat(periods, per_module)
        H = len(self.period)
        self.hears = self.period[:, None] >= self.period[None, :]
        self.params = [r.standard_normal(s) * 0.6 for s in ((n_in, H), (H, H), H)]
        self.grads = [np.zeros_like(p) for p in self.params]

    def forward(self, xs):
        Wx, Wh, b = self.params
        h = np.zeros((xs.shape[1], len(b)))
        self.cache, hs = [], []
        for t, x in enumerate(xs):
            on = t % self.period == 0
            a = np.tanh(x @ Wx + h @ (Wh * self.hears) + b)
            self.cache.append((x, h, a, on))
            h = np.where(on, a, h)
            hs.append(h)
        return np.stack(hs)

    def backward(self, dhs):
        Wx, Wh, _ = self.params
        for g in self.grads:
            g.fill(0)
        dxs, dh = [], np.zeros_like(dhs[0])
        for (x, h, a, on), d in zip(reversed(self.cache), dhs[::-1]):
            dh = dh + d
            da = np.where(on, dh * (1 - a * a), 0)
            self.grads[0] += x.T @ da
            self.grads[1] += h.T @ da * self.hears
            self.grads[2] += da.sum(axis=0)
            dxs.append(da @ Wx.T)
            dh = np.where(on, 0, dh) + da @ (Wh * self.hears).T
        return np.stack(dxs[::-1])


def _clock():
    return ClockworkRNN(2), rng(32).standard_normal((6, 2, 2))


class S4D:
    """Real diagonal state space, bilinear step, as a convolution by FFT. u: (channels, length)."""

    def __init__(self, H, N):
        r = rng(33)
        self.log_dt, self.log_a = r.uniform(-2, -1, (H, 1)), np.log(1 + np.arange(N)) + np.zeros((H, 1))
        self.B, self.C = r.standard_normal((H, N)), r.standard_normal((H, N))
        self.D = r.standard_normal((H, 1))

    def parameters(self):
        return {k: getattr(self, k) for k in ("log_dt", "log_a", "B", "C", "D")}

    def forward(self, u):
        L = u.shape[1]
        self.dt, self.a = np.exp(self.log_dt), -np.exp(self.log_a)
        self.q = 1 - self.dt * self.a / 2
        self.Ab, self.Bb = (1 + self.dt * self.a / 2) / self.q, self.dt * self.B / self.q
        self.pows = self.Ab[..., None] ** np.arange(L)
        K = np.einsum("hn,hnl->hl", self.C * self.Bb, self.pows)
        self.u, self.Uf, self.Kf = u, np.fft.rfft(u, 2 * L), np.fft.rfft(K, 2 * L)
        return np.fft.irfft(self.Uf * self.Kf, 2 * L)[:, :L] + self.D * u

    def backward(self, dy):
        L = dy.shape[1]
        Gf = np.fft.rfft(dy, 2 * L)
        dK = np.fft.irfft(Gf * self.Uf.conj(), 2 * L)[:, :L]
        du = np.fft.irfft(Gf * self.Kf.conj(), 2 * L)[:, :L] + self.D * dy
        moments = np.einsum("hl,hnl->hn", dK, self.pows)
        lag = np.einsum("hl,hnl->hn", dK[:, 1:] * np.arange(1, L), self.pows[..., :-1])
        dBb, dAb = self.C * moments, self.C * self.Bb * lag
        # d Ab / d(dt a) = 1 / q^2,   d(1/q) / d(dt a) = 1 / (2 q^2)
        dm = (dAb + dBb * self.dt * self.B / 2) / self.q**2
        ddt = (dm * self.a + dBb * self.B / self.q).sum(axis=1, keepdims=True)
        self.grads = {
            "log_dt": ddt * self.dt,
            "log_a": dm * self.dt * self.a,
            "B": dBb * self.dt / self.q,
            "C": self.Bb * moments,
            "D": (dy * self.u).sum(axis=1, keepdims=True),
        }
        return du


def _s4d():
    return S4D(2, 3), rng(34).standard_normal((2, 7))


# Neural Turing machine: where does the head point next?
def address(M, key, strength, gate, shift, sharp, w_prev):
    nm, nk = np.sqrt((M * M).sum(axis=1)), np.sqrt(key @ key)
    cos = M @ key / (nm * nk)
    beta, g, gamma = np.log1p(np.exp(strength)), sig(gate), 1 + np.log1p(np.exp(sharp))
    wc = np.exp(beta * cos)
    wc = wc / wc.sum()
    wg = g * wc + (1 - g) * w_prev
    s = np.exp(shift) / np.exp(shift).sum()
    ws = sum(s[j] * np.roll(wg, j - 1) for j in range(3))
    p = ws**gamma
    w = p / p.sum()
    return w, (M, key, nm, nk, cos, strength, beta, g, wc, w_prev, wg, s, ws, sharp, gamma, p, w)


def address_back(dw, c):
    M, key, nm, nk, cos, strength, beta, g, wc, w_prev, wg, s, ws, sharp, gamma, p, w = c
    dp = (dw - dw @ w) / p.sum()
    dgamma = (dp * p * np.log(ws)).sum(keepdims=True)
    dws = dp * gamma * p / ws
    ds = np.array([dws @ np.roll(wg, j - 1) for j in range(3)])
    dwg = sum(s[j] * np.roll(dws, 1 - j) for j in range(3))
    dg = (dwg * (wc - w_prev)).sum(keepdims=True)
    dwc = g * dwg
    dz = wc * (dwc - dwc @ wc)
    dcos = beta * dz
    dM = np.outer(dcos / (nm * nk), key) - (dcos * cos / nm**2)[:, None] * M
    dkey = M.T @ (dcos / (nm * nk)) - (dcos @ cos) * key / nk**2
    dbeta = (dz * cos).sum(keepdims=True)
    dshift, dsharp = s * (ds - ds @ s), dgamma * sig(sharp)
    return dM, dkey, dbeta * sig(strength), dg * g * (1 - g), dshift, dsharp, (1 - g) * dwg


def _address():
    r = rng(35)
    w = r.uniform(0.1, 1, 5)
    return (*(r.standard_normal(s) for s in ((5, 3), 3, 1, 1, 3, 1)), w / w.sum())


ENTRIES = [
    Stranger(
        "s: minimal gated unit whose steps leave closures",
        "sequence layer with p and g dicts",
        lambda gradlab: gradlab.check_layer(*_mgu()),
        lambda: pairs(_mgu, lambda o, d, x: named(d, x, o.g, o.p)),
    ),
    Stranger(
        "s: leaky integrator: time constant's gradient by its logarithm",
        "sequence layer with grad_tau",
        lambda gradlab: gradlab.check_layer(*_leaky()),
        lambda: pairs(_leaky, lambda o, d, x: [(d, x[0]), (o.grad_tau, o.tau)]),
        "wrong",
        "exp(-1/tau) is differentiated by log tau: a division by tau is missing",
        ("log-parameter", "missing-factor"),
        ("tau",),
        "        self.grad_tau = dlam * self.lam / self.tau\n",
        "        self.grad_tau = dlam * self.lam / self.tau**2\n",
    ),
    Stranger(
        "s: attention free transformer: denominator taken for a constant",
        "layer of four inputs, tuple of gradients",
        lambda gradlab: gradlab.check_layer(*_aft()),
        lambda: pairs(_aft, lambda o, d, x: list(zip(d, x))),
        "wrong",
        "the normaliser's dependence on k and w is forgotten",
        ("missing-term",),
        ("k", "w"),
        "        ds = r * self.v[None] * self.e\n",
        "        ds = r * (self.v[None] - self.mix[:, None]) * self.e\n",
    ),
    Stranger(
        "s: fo-pooling of a QRNN: this step's cell instead of the last one's",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(fo_pool, fo_pool_backward, _fo()),
        lambda: cached(fo_pool, fo_pool_backward, _fo()),
        "wrong",
        "the forget gate's gradient uses the cell after the step instead of the one before",
        ("wrong-operand",),
        ("F",),
        "        dF[t] = dc * (C[t + 1] - Z[t])\n",
        "        dF[t] = dc * (C[t] - Z[t])\n",
    ),
    Stranger(
        "s: multi-query attention: only the last head reaches the keys",
        "layer with weights and gradients dicts",
        lambda gradlab: gradlab.check_layer(*_mqa()),
        lambda: pairs(_mqa, lambda o, d, x: named(d, x, o.gradients, o.weights)),
        "wrong",
        "the keys' gradient is overwritten by each head instead of added up",
        ("last-write-wins",),
        ("Wk", "x"),
        "            dK = ds.T @ q\n",
        "            dK += ds.T @ q\n",
    ),
    Stranger(
        "s: Jordan network: learned first context gets no gradient",
        "sequence layer with params and grads dicts",
        lambda gradlab: gradlab.check_layer(*_jordan()),
        lambda: pairs(_jordan, lambda o, d, x: named(d, x, o.grads, o.params)),
        "wrong",
        "nothing is handed on from the first step to the context before it",
        ("zero-gradient",),
        ("y0",),
        '            dctx = da @ p["U"].T if t > 0 else np.zeros_like(da)\n',
        '            dctx = da @ p["U"].T\n',
    ),
    Stranger(
        "s: causal linear attention with running sums from a generator",
        "layer of three inputs, dict of gradients",
        lambda gradlab: gradlab.check_layer(*_linatt()),
        lambda: pairs(_linatt, lambda o, d, x: list(zip((d["q"], d["k"], d["v"]), x))),
    ),
    Stranger(
        "s: clockwork recurrent network",
        "sequence layer with params and grads lists",
        lambda gradlab: gradlab.check_layer(*_clock()),
        lambda: pairs(_clock, lambda o, d, x: [(d, x[0]), *zip(o.grads, o.params)]),
    ),
    Stranger(
        "s: diagonal state space as a convolution by FFT",
        "layer with a parameters method and a grads dict",
        lambda gradlab: gradlab.check_layer(*_s4d()),
        lambda: pairs(_s4d, lambda o, d, x: named(d, x, o.grads, o.parameters())),
    ),
    Stranger(
        "s: addressing of a neural Turing machine",
        "pair with cache, seven inputs",
        lambda gradlab: gradlab.check_cached_pair(address, address_back, _address()),
        lambda: cached(address, address_back, _address()),
    ),
]
