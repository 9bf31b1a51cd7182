"""Recurrent cells, attention and other things that run over time."""

import math

import numpy as np

from ._entry import Stranger
from ._help_w import pairs


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def gauss(seed, *shape, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal(shape)


# ---- Simple Recurrent Unit (Lei et al.), params / grads lists as in the fish book
class TimeSRU:
    def __init__(self, D, seed=0):
        r = np.random.RandomState(seed)
        self.params = [r.randn(D, D) / 2, r.randn(D, D) / 2, r.randn(D), r.randn(D, D) / 2, r.randn(D)]
        self.grads = [np.zeros_like(p) for p in self.params]

    def forward(self, xs):
        W, Wf, bf, Wr, br = self.params
        N, T, D = xs.shape
        self.xs = xs
        # everything that does not depend on time in three matmuls
        self.u, self.f, self.r = xs @ W, sigmoid(xs @ Wf + bf), sigmoid(xs @ Wr + br)
        self.c = np.zeros((N, T + 1, D))
        for t in range(T):
            self.c[:, t + 1] = self.f[:, t] * self.c[:, t] + (1 - self.f[:, t]) * self.u[:, t]
        self.tc = np.tanh(self.c[:, 1:])
        return self.r * self.tc + (1 - self.r) * xs

    def backward(self, dhs):
        W, Wf, bf, Wr, br = self.params
        dr = dhs * (self.tc - self.xs) * self.r * (1 - self.r)
        dxs = dhs * (1 - self.r)
        dc_out = dhs * self.r * (1 - self.tc**2)
        du, df = np.empty_like(dhs), np.empty_like(dhs)
        dc = 0
        for t in reversed(range(dhs.shape[1])):
            dc = dc + dc_out[:, t]
            du[:, t] = dc * (1 - self.f[:, t])
            df[:, t] = dc * (self.c[:, t] - self.u[:, t])
            dc = dc * self.f[:, t]
        df *= self.f * (1 - self.f)
        flat = self.xs.reshape(-1, self.xs.shape[2]).T
        for i, d in ((0, du), (1, df), (3, dr)):
            self.grads[i][...] = flat @ d.reshape(-1, d.shape[2])
        self.grads[2][...] = df.sum(axis=(0, 1))
        self.grads[4][...] = dr.sum(axis=(0, 1))
        dxs += du @ W.T + df @ Wf.T + dr @ Wr.T
        return dxs


def prove_sru():
    cell, x, g = TimeSRU(3), gauss(1, 2, 4, 3), gauss(2, 2, 4, 3)
    cell.forward(x)
    dx = cell.backward(g)
    return pairs(lambda: np.sum(cell.forward(x) * g), [dx, *cell.grads], [x, *cell.params])


# ---- causal linear attention, "Transformers are RNNs"
def feature(a):
    return np.where(a > 0, a + 1, np.exp(np.minimum(a, 0)))


def linear_attention(q, k, v):
    fq, fk = feature(q), feature(k)
    kv = np.cumsum(fk[:, :, None] * v[:, None, :], axis=0)
    z = np.cumsum(fk, axis=0)
    num = np.einsum("td,tde->te", fq, kv)
    den = (fq * z).sum(1, keepdims=True)
    return num / den, dict(q=q, k=k, v=v, fq=fq, fk=fk, kv=kv, z=z, den=den, out=num / den)


def linear_attention_bwd(dout, cache):
    c = cache
    dnum = dout / c["den"]
    dden = -(dout * c["out"]).sum(1, keepdims=True) / c["den"]
    dfq = np.einsum("te,tde->td", dnum, c["kv"]) + dden * c["z"]
    # the adjoint of a cumsum is a cumsum from the other end
    dkv = np.cumsum((c["fq"][:, :, None] * dnum[:, None, :])[::-1], axis=0)[::-1]
    dz = np.cumsum((dden * c["fq"])[::-1], axis=0)[::-1]
    dfk = np.einsum("tde,te->td", dkv, c["v"]) + dz
    return {
        "q": dfq * np.where(c["q"] > 0, 1.0, c["fq"]),
        "k": dfk * np.where(c["k"] > 0, 1.0, c["fk"]),
        "v": np.einsum("tde,td->te", dkv, c["fk"]),
    }


def prove_linear():
    q, k, v, g = gauss(3, 5, 3), gauss(4, 5, 3), gauss(5, 5, 2), gauss(6, 5, 2)
    d = linear_attention_bwd(g, linear_attention(q, k, v)[1])
    return pairs(lambda: np.sum(linear_attention(q, k, v)[0] * g), [d["q"], d["k"], d["v"]], [q, k, v])


# ---- WaveNet block: one input, a residual and a skip output
class WaveNetBlock:
    def __init__(self, ch, skip, dilation, rng):
        self.d = dilation
        self.Wf = rng.normal(size=(2, ch, ch)) * 0.5
        self.Wg = rng.normal(size=(2, ch, ch)) * 0.5
        self.Wres = rng.normal(size=(ch, ch))
        self.Wskip = rng.normal(size=(skip, ch))

    def forward(self, x):
        past = np.zeros_like(x)
        past[:, self.d :] = x[:, : -self.d]
        filt = np.tanh(self.Wf[0] @ past + self.Wf[1] @ x)
        gate = sigmoid(self.Wg[0] @ past + self.Wg[1] @ x)
        z = filt * gate
        self.tape = x, past, filt, gate, z
        return x + self.Wres @ z, self.Wskip @ z

    def backward(self, dres, dskip):
        x, past, filt, gate, z = self.tape
        self.dWres, self.dWskip = dres @ z.T, dskip @ z.T
        dz = self.Wres.T @ dres + self.Wskip.T @ dskip
        da, db = dz * gate * (1 - filt**2), dz * filt * gate * (1 - gate)
        self.dWf = np.stack([da @ past.T, da @ x.T])
        self.dWg = np.stack([db @ past.T, db @ x.T])
        dx = dres + self.Wf[1].T @ da + self.Wg[1].T @ db
        dpast = self.Wf[0].T @ da + self.Wg[0].T @ db
        dx[:, : -self.d] += dpast[:, self.d :]
        return dx


def wavenet():
    return WaveNetBlock(3, 2, 2, np.random.default_rng(7))


def prove_wavenet():
    b, x, g1, g2 = wavenet(), gauss(8, 3, 6), gauss(9, 3, 6), gauss(10, 2, 6)
    b.forward(x)
    dx = b.backward(g1, g2)

    def f():
        res, skip = b.forward(x)
        return np.sum(res * g1) + np.sum(skip * g2)

    return pairs(f, [dx, b.dWf, b.dWg, b.dWres, b.dWskip], [x, b.Wf, b.Wg, b.Wres, b.Wskip])


# ---- diagonal state space model (S4D), complex inside and real outside
class S4D:
    def __init__(self, n_state, seed=0):
        rng = np.random.default_rng(seed)
        self.p = {
            "log_decay": rng.normal(size=n_state) * 0.3,
            "freq": np.pi * np.arange(n_state) * 0.4,
            "C": rng.normal(size=(n_state, 2)),
            "D": rng.normal(size=1),
            "log_dt": np.array([-0.7]),
        }
        self.g = {}

    def forward(self, u):
        p = self.p
        self.dt = math.exp(p["log_dt"][0])
        self.lam = -np.exp(p["log_decay"]) + 1j * p["freq"]
        self.A = np.exp(self.dt * self.lam)
        self.Cc = p["C"][:, 0] + 1j * p["C"][:, 1]
        self.u = u
        self.h = [np.zeros(len(self.A), complex)]
        for ut in u:
            self.h.append(self.A * self.h[-1] + self.dt * ut)
        return np.array([(self.Cc @ h).real for h in self.h[1:]]) + p["D"][0] * u

    def backward(self, dy):
        du = self.p["D"][0] * dy
        gh = np.zeros_like(self.A)
        gA, gC, gdt = np.zeros_like(self.A), np.zeros_like(self.A), 0.0
        for t in range(len(dy) - 1, -1, -1):
            gC += np.conj(self.h[t + 1]) * dy[t]
            gh = gh + np.conj(self.Cc) * dy[t]
            gA += np.conj(self.h[t]) * gh
            du[t] += self.dt * gh.real.sum()
            gdt += self.u[t] * gh.real.sum()
            gh = np.conj(self.A) * gh
        gz = np.conj(self.A) * gA
        gdt += (np.conj(self.lam) * gz).real.sum()
        self.g = {
            "log_decay": -np.exp(self.p["log_decay"]) * self.dt * gz.real,
            "freq": self.dt * gz.imag,
            "C": np.stack([gC.real, gC.imag], axis=1),
            "D": np.array([np.dot(dy, self.u)]),
            "log_dt": np.array([gdt * self.dt]),
        }
        return du


def prove_s4d():
    m, u, g = S4D(3), gauss(11, 7), gauss(12, 7)
    m.forward(u)
    du = m.backward(g)
    return pairs(lambda: np.sum(m.forward(u) * g), [du, *(m.g[k] for k in m.p)], [u, *m.p.values()])


# ---- attentive statistics pooling for speaker embeddings (Okabe 2018)
class AttentiveStatsPool:
    """frames (B, T, D), lengths (B,) -> weighted mean and standard deviation (B, 2 D)"""

    eps = 1e-3

    def __init__(self, d, bottleneck, seed=3):
        rng = np.random.default_rng(seed)
        self.w1 = rng.normal(size=(d, bottleneck)) * 0.6
        self.b1 = rng.normal(size=bottleneck) * 0.1
        self.w2 = rng.normal(size=bottleneck)

    def forward(self, frames, lengths):
        self.x = frames
        self.hid = np.tanh(frames @ self.w1 + self.b1)
        score = self.hid @ self.w2
        score = np.where(np.arange(frames.shape[1]) < lengths[:, None], score, -np.inf)
        e = np.exp(score - score.max(axis=1, keepdims=True))
        self.a = (e / e.sum(axis=1, keepdims=True))[:, :, None]
        self.mu = (self.a * frames).sum(axis=1)
        self.sd = np.sqrt((self.a * frames**2).sum(axis=1) - self.mu**2 + self.eps)
        return np.concatenate([self.mu, self.sd], axis=1)

    def backward(self, grad):
        gmu, gsd = np.split(grad, 2, axis=1)
        gvar = gsd / (2 * self.sd)
        gmu = (gmu - 2 * self.mu * gvar)[:, None]
        gvar = gvar[:, None]
        gx = self.a * (gmu + 2 * self.x * gvar)
        ga = (self.x * gmu + self.x**2 * gvar).sum(axis=2, keepdims=True)
        gscore = self.a * (ga - (self.a * ga).sum(axis=1, keepdims=True))
        self.grad_w2 = (gscore * self.hid).sum(axis=(0, 1))
        gpre = gscore * self.w2 * (1 - self.hid**2)
        self.grad_w1 = np.einsum("btd,btk->dk", self.x, gpre)
        self.grad_b1 = gpre.sum(axis=(0, 1))
        return gx + gpre @ self.w1.T


def prove_stats():
    m, x, n, g = AttentiveStatsPool(3, 4), gauss(13, 2, 5, 3), np.array([5, 3]), gauss(14, 2, 6)
    m.forward(x, n)
    dx = m.backward(g)
    return pairs(
        lambda: np.sum(m.forward(x, n) * g), [dx, m.grad_w1, m.grad_b1, m.grad_w2], [x, m.w1, m.b1, m.w2]
    )


# ---- minimal gated unit: one gate does it all
def mgu_forward(x, h0, Wf, Wh):
    h, steps = h0, []
    for xt in x:
        f = sigmoid(np.hstack([h, xt]) @ Wf)
        cand = np.tanh(np.hstack([f * h, xt]) @ Wh)
        steps.append((h, xt, f, cand))
        h = (1 - f) * h + f * cand
    return h, (steps, Wf, Wh)


def mgu_backward(dh, cache):
    steps, Wf, Wh = cache
    H = dh.shape[1]
    dx, dWf, dWh = [], np.zeros_like(Wf), np.zeros_like(Wh)
    for h, xt, f, cand in steps[::-1]:
        dcand = dh * f * (1 - cand**2)
        dWh += np.hstack([f * h, xt]).T @ dcand
        din = dcand @ Wh.T
        df = (dh * (cand - h) + din[:, :H] * h) * f * (1 - f)
        dWf += np.hstack([h, xt]).T @ df
        dgate = df @ Wf.T
        dx.insert(0, din[:, H:] + dgate[:, H:])
        dh = dh * (1 - f) + din[:, :H] + dgate[:, :H]
    return np.array(dx), dh, dWf, dWh


def mgu_in():
    return gauss(15, 3, 2, 2), gauss(16, 2, 3), gauss(17, 5, 3, scale=0.7), gauss(18, 5, 3, scale=0.7)


def prove_mgu():
    a, g = mgu_in(), gauss(19, 2, 3)
    return pairs(lambda: np.sum(mgu_forward(*a)[0] * g), mgu_backward(g, mgu_forward(*a)[1]), a)


# ---- IndRNN: jedes Neuron sieht nur seine eigene Vergangenheit
class IndRNN:
    def __init__(self, ein, aus):
        zufall = np.random.default_rng(20)
        self.W = zufall.normal(size=(ein, aus))
        self.u = zufall.uniform(-0.9, 0.9, aus)
        self.b = zufall.normal(size=aus) * 0.2

    def forward(self, xs):
        self.xs = xs
        self.hs = [np.zeros((xs.shape[1], len(self.b)))]
        for x in xs:
            self.hs.append(np.tanh(x @ self.W + self.u * self.hs[-1] + self.b))
        return np.array(self.hs[1:])

    def backward(self, dhs):
        self.dW, self.du, self.db = np.zeros_like(self.W), np.zeros_like(self.u), np.zeros_like(self.b)
        dxs = np.zeros_like(self.xs)
        dh = 0
        for t in reversed(range(len(dhs))):
            dz = (dhs[t] + dh) * (1 - self.hs[t + 1] ** 2)
            self.dW += self.xs[t].T @ dz
            self.du += (dz * self.hs[t + 1]).sum(axis=0)
            self.db += dz.sum(axis=0)
            dxs[t] = dz @ self.W.T
            dh = dz * self.u
        return dxs


def prove_indrnn():
    m, x, g = IndRNN(2, 3), gauss(21, 4, 2, 2), gauss(22, 4, 2, 3)
    m.forward(x)
    dx = m.backward(g)
    return pairs(lambda: np.sum(m.forward(x) * g), [dx, m.dW, m.du, m.db], [x, m.W, m.u, m.b])


# ---- RWKV channel mixing with token shift
class ChannelMix:
    def __init__(self, d, seed=5):
        rng = np.random.default_rng(seed)
        self.w = {"mix": rng.uniform(0.2, 0.8, d), "K": rng.normal(size=(d, 4)), "V": rng.normal(size=(4, d))}
        self.dw = {}

    def forward(self, x):
        w = self.w
        prev = np.zeros_like(x)
        prev[1:] = x[:-1]
        xk = x * w["mix"] + prev * (1 - w["mix"])
        k = np.maximum(xk @ w["K"], 0)
        self.mem = (x, prev, xk, k)
        return k**2 @ w["V"]

    def backward(self, dy):
        w, (x, prev, xk, k) = self.w, self.mem
        dk = dy @ w["V"].T * 2 * k
        dxk = dk @ w["K"].T
        self.dw = {"mix": ((x - prev) * dxk).sum(0), "K": xk.T @ dk, "V": (k**2).T @ dy}
        dx = dxk * w["mix"]
        dprev = dxk * (1 - w["mix"])
        dx[1:] += dprev[:-1]
        return dx


def prove_rwkv():
    m, x, g = ChannelMix(3), gauss(23, 6, 3), gauss(24, 6, 3)
    m.forward(x)
    dx = m.backward(g)
    return pairs(lambda: np.sum(m.forward(x) * g), [dx, *(m.dw[k] for k in m.w)], [x, *m.w.values()])


# ---- rotary position embedding
def rotate(x, cos, sin):
    x1, x2 = x[..., ::2], x[..., 1::2]
    y = np.empty_like(x)
    y[..., ::2] = x1 * cos - x2 * sin
    y[..., 1::2] = x1 * sin + x2 * cos
    return y


def rope_fwd(x, base=100.0):
    n, t, d = x.shape
    angle = np.outer(np.arange(t), base ** (-np.arange(0, d, 2) / d))
    cos, sin = np.cos(angle), np.sin(angle)
    return rotate(x, cos, sin), (cos, sin)


def rope_bwd(dy, cache):
    cos, sin = cache
    dx = rotate(dy, cos, sin)
    return dx


def prove_rope():
    x, g = gauss(25, 2, 5, 4), gauss(26, 2, 5, 4)
    return pairs(lambda: np.sum(rope_fwd(x)[0] * g), [rope_bwd(g, rope_fwd(x)[1])], [x])


# ---- Elman RNN for long texts: the state goes on to the next chunk
class CarryElman:
    def __init__(self, n_in, n_hid):
        r = np.random.RandomState(27)
        self.Wx, self.Wh = r.randn(n_in, n_hid) * 0.8, r.randn(n_hid, n_hid) * 0.5
        self.state = None

    def reset_state(self):
        self.state = None

    def forward(self, xs):
        h = np.zeros((xs.shape[1], len(self.Wh))) if self.state is None else self.state
        self.xs, self.hs = xs, [h]
        for x in xs:
            self.hs.append(np.tanh(x @ self.Wx + self.hs[-1] @ self.Wh))
        self.state = self.hs[-1]
        return np.array(self.hs[1:])

    def backward(self, dhs):
        self.dWx, self.dWh = 0, 0
        dh, dxs = 0, []
        for t in range(len(dhs) - 1, -1, -1):
            da = (dhs[t] + dh) * (1 - self.hs[t + 1] ** 2)
            self.dWx = self.dWx + self.xs[t].T @ da
            self.dWh = self.dWh + self.hs[t].T @ da
            dxs.append(da @ self.Wx.T)
            dh = da @ self.Wh.T
        return np.array(dxs[::-1])


ENTRIES = [
    Stranger(
        "simple recurrent unit over time",
        "layer with params and grads lists",
        lambda gradlab: gradlab.check_layer(TimeSRU(3), gauss(1, 2, 4, 3)),
        prove_sru,
    ),
    Stranger(
        "causal linear attention by cumulative sums",
        "pair with a dict as cache and dict gradients",
        lambda gradlab: gradlab.check_cached_pair(
            linear_attention, linear_attention_bwd, (gauss(3, 5, 3), gauss(4, 5, 3), gauss(5, 5, 2))
        ),
        prove_linear,
    ),
    Stranger(
        "WaveNet block with residual and skip",
        "layer with two outputs and two cotangents",
        lambda gradlab: gradlab.check_layer(wavenet(), gauss(8, 3, 6)),
        prove_wavenet,
    ),
    Stranger(
        "diagonal state space model, complex inside",
        "layer with p and g dicts",
        lambda gradlab: gradlab.check_layer(S4D(3), gauss(11, 7)),
        prove_s4d,
    ),
    Stranger(
        "attentive statistics pooling",
        "layer with lengths as second input",
        lambda gradlab: gradlab.check_layer(AttentiveStatsPool(3, 4), gauss(13, 2, 5, 3), np.array([5, 3])),
        prove_stats,
    ),
    Stranger(
        "minimal gated unit: the gate forgotten on the way to the old state",
        "pair with a list of steps as cache",
        lambda gradlab: gradlab.check_cached_pair(mgu_forward, mgu_backward, mgu_in()),
        prove_mgu,
        "wrong",
        "the candidate sees f * h, and the gradient of h through it lacks the factor f",
        ("missing-factor",),
        ("x", "h0", "Wf", "Wh"),
        "        dh = dh * (1 - f) + din[:, :H] + dgate[:, :H]",
        "        dh = dh * (1 - f) + din[:, :H] * f + dgate[:, :H]",
    ),
    Stranger(
        "IndRNN: the recurrent weight meets the state after the step",
        "layer with German names",
        lambda gradlab: gradlab.check_layer(IndRNN(2, 3), gauss(21, 4, 2, 2)),
        prove_indrnn,
        "wrong",
        "the gradient of u uses the hidden state of step t instead of that of the step before",
        ("wrong-operand", "shifted"),
        ("u",),
        "            self.du += (dz * self.hs[t + 1]).sum(axis=0)",
        "            self.du += (dz * self.hs[t]).sum(axis=0)",
    ),
    Stranger(
        "RWKV channel mixing: the token shift goes forward once more",
        "layer with w and dw dicts",
        lambda gradlab: gradlab.check_layer(ChannelMix(3), gauss(23, 6, 3)),
        prove_rwkv,
        "wrong",
        "the gradient of the shifted input is shifted later in time instead of earlier",
        ("shifted", "wrong-cotangent"),
        ("x",),
        "        dx[1:] += dprev[:-1]",
        "        dx[:-1] += dprev[1:]",
    ),
    Stranger(
        "rotary embedding: rotated forward instead of back",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(rope_fwd, rope_bwd, (gauss(25, 2, 5, 4),)),
        prove_rope,
        "wrong",
        "backward multiplies by the rotation instead of its transpose",
        ("transposed", "sign-flipped"),
        ("x",),
        "    dx = rotate(dy, cos, sin)",
        "    dx = rotate(dy, cos, -sin)",
    ),
    Stranger(
        "Elman network that carries its state to the next call",
        "layer with reset_state",
        lambda gradlab: gradlab.check_layer(CarryElman(2, 3), gauss(28, 4, 2, 2)),
        lambda: [],
        "habit",
        "forward begins with the state that the last call ended with: a second call gives other numbers",
        ("nondeterministic", "stale-residuals"),
    ),
]
