from collections import namedtuple

import numpy as np

from ._entry import Stranger
from ._help_a import against, dot, rnd


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


# ---- course notes
def rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(x.dot(Wx) + prev_h.dot(Wh) + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)


def rnn_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h**2)
    return da.dot(Wx.T), da.dot(Wh.T), x.T.dot(da), prev_h.T.dot(da), da.sum(axis=0)


def rnn_forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    h = np.zeros((N, T, h0.shape[1]))
    cache, prev = [], h0
    for t in range(T):
        prev, c = rnn_step_forward(x[:, t], prev, Wx, Wh, b)
        h[:, t] = prev
        cache.append(c)
    return h, cache


def rnn_backward(dh, cache):
    N, T, H = dh.shape
    x, h0, Wx, Wh, _ = cache[0]
    dx = np.zeros((N, T, x.shape[1]))
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(H)
    dprev = np.zeros((N, H))
    for t in range(T - 1, -1, -1):
        dx[:, t], dprev, a, b, c = rnn_step_backward(dh[:, t] + dprev, cache[t])
        dWx += a
        dWh += b
        db += c
    return dx, dprev, dWx, dWh, db


def rnn_primals():
    return rnd(1, 2, 4, 3), rnd(2, 2, 5), 0.5 * rnd(3, 3, 5), 0.5 * rnd(4, 5, 5), rnd(5, 5)


def prove_rnn():
    arrays, g = rnn_primals(), rnd(6, 2, 4, 5)
    grads = rnn_backward(g, rnn_forward(*arrays)[1])
    return against(lambda: dot(rnn_forward(*arrays)[0], g), list(zip(grads, arrays)))


# ---- GRU cell
class GRUCell:
    def __init__(self, input_size, hidden_size):
        n = input_size + hidden_size
        self.params = {k: 0.4 * rnd(i, n, hidden_size) for i, k in enumerate(("Wz", "Wr", "Wh"), 11)}
        self.params.update({k: 0.2 * rnd(i, hidden_size) for i, k in enumerate(("bz", "br", "bh"), 21)})
        self.grads = {}

    def forward(self, x, h):
        p = self.params
        xh = np.hstack([x, h])
        z = sigmoid(xh @ p["Wz"] + p["bz"])
        r = sigmoid(xh @ p["Wr"] + p["br"])
        xrh = np.hstack([x, r * h])
        c = np.tanh(xrh @ p["Wh"] + p["bh"])
        self.cache = x, h, xh, z, r, xrh, c
        return z * h + (1 - z) * c

    def backward(self, dh_next):
        p = self.params
        x, h, xh, z, r, xrh, c = self.cache
        D = x.shape[1]
        dc = dh_next * (1 - z) * (1 - c * c)
        dz = dh_next * (h - c) * z * (1 - z)
        dxrh = dc @ p["Wh"].T
        dr = dxrh[:, D:] * h * r * (1 - r)
        dxh = dz @ p["Wz"].T + dr @ p["Wr"].T
        self.grads = {
            "Wz": xh.T @ dz,
            "Wr": xh.T @ dr,
            "Wh": xrh.T @ dc,
            "bz": dz.sum(0),
            "br": dr.sum(0),
            "bh": dc.sum(0),
        }
        dx = dxh[:, :D] + dxrh[:, :D]
        dh = dxh[:, D:] + dxrh[:, D:] * r + dh_next * z
        return dx, dh


def prove_gru():
    cell, x, h, g = GRUCell(3, 4), rnd(31, 2, 3), rnd(32, 2, 4), rnd(33, 2, 4)
    cell.forward(x, h)
    dx, dh = cell.backward(g)
    pairs = [(dx, x), (dh, h)] + [(cell.grads[k], cell.params[k]) for k in cell.params]
    return against(lambda: dot(cell.forward(x, h), g), pairs)


# ---- LSTM cells
class LSTMCell:
    """Fused gates in the order i, f, o, g."""

    def __init__(self, D, H):
        self.Wx, self.Wh, self.b = 0.5 * rnd(41, D, 4 * H), 0.5 * rnd(42, H, 4 * H), 0.1 * rnd(43, 4 * H)
        self.b[H : 2 * H] += 1.0
        self.dWx = self.dWh = self.db = None

    def forward(self, x, h_prev, c_prev):
        a = x @ self.Wx + h_prev @ self.Wh + self.b
        i, f, o, g = np.split(a, 4, axis=1)
        i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
        c = f * c_prev + i * g
        h = o * np.tanh(c)
        self.kept = (x, h_prev, c_prev, i, f, o, g, c)
        return h, c

    def backward(self, dh, dc):
        x, h_prev, c_prev, i, f, o, g, c = self.kept
        tc = np.tanh(c)
        dc = dc + dh * o * (1 - tc**2)
        di, df = dc * g * i * (1 - i), dc * c_prev * f * (1 - f)
        da = np.hstack([di, df, dh * tc * o * (1 - o), dc * i * (1 - g**2)])
        self.dWx, self.dWh, self.db = x.T @ da, h_prev.T @ da, da.sum(axis=0)
        return da @ self.Wx.T, da @ self.Wh.T, dc * f


def prove_lstm():
    cell = LSTMCell(3, 2)
    x, h, c, gh, gc = rnd(44, 4, 3), rnd(45, 4, 2), rnd(46, 4, 2), rnd(47, 4, 2), rnd(48, 4, 2)
    cell.forward(x, h, c)
    dx, dh, dc = cell.backward(gh, gc)
    pairs = [(dx, x), (dh, h), (dc, c), (cell.dWx, cell.Wx), (cell.dWh, cell.Wh), (cell.db, cell.b)]

    def value():
        a, b = cell.forward(x, h, c)
        return dot(a, gh) + dot(b, gc)

    return against(value, pairs)


class CoupledCell:
    """LSTM with i = 1 - f and no output gate; returns the pair (h, c)."""

    def __init__(self, n_x=3, n_h=4):
        self.params = [0.5 * rnd(51, n_x + n_h, n_h), 0.5 * rnd(52, n_x + n_h, n_h)]
        self.grads = [np.zeros_like(p) for p in self.params]

    def forward(self, x, h, c):
        U, V = self.params
        z = np.concatenate([x, h], axis=1)
        f = sigmoid(z @ U)
        g = np.tanh(z @ V)
        c_new = f * c + (1 - f) * g
        h_new = np.sin(c_new)
        self.cache = z, c, f, g, c_new, x.shape[1]
        return h_new, c_new

    def backward(self, dh_new, dc_new):
        U, V = self.params
        z, c, f, g, c_new, n = self.cache
        dc_total = dh_new * np.cos(c_new)
        df = dc_total * (c - g) * f * (1 - f)
        dg = dc_total * (1 - f) * (1 - g**2)
        self.grads[0][...] = z.T @ df
        self.grads[1][...] = z.T @ dg
        dz = df @ U.T + dg @ V.T
        return dz[:, :n], dz[:, n:], dc_total * f


def prove_coupled():
    cell = CoupledCell()
    x, h, c, gh, gc = rnd(53, 2, 3), rnd(54, 2, 4), rnd(55, 2, 4), rnd(56, 2, 4), rnd(57, 2, 4)
    cell.forward(x, h, c)
    dx, dh, dc = cell.backward(gh, gc)

    def value():
        a, b = cell.forward(x, h, c)
        return dot(a, gh) + dot(b, gc)

    return against(value, [(dx, x), (dh, h), (dc, c)] + list(zip(cell.grads, cell.params)))


# ---- only the last step's weights
class TimeRNN:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]

    def forward(self, xs):
        Wx, Wh, b = self.params
        N, T, D = xs.shape
        self.xs, self.hs = xs, np.zeros((N, T + 1, len(b)))
        for t in range(T):
            self.hs[:, t + 1] = np.tanh(xs[:, t] @ Wx + self.hs[:, t] @ Wh + b)
        return self.hs[:, 1:].copy()

    def backward(self, dhs):
        Wx, Wh, b = self.params
        N, T, H = dhs.shape
        dxs, dh = np.zeros_like(self.xs), np.zeros((N, H))
        for t in reversed(range(T)):
            da = (dhs[:, t] + dh) * (1 - self.hs[:, t + 1] ** 2)
            self.grads[0][...] = self.xs[:, t].T @ da
            self.grads[1][...] = self.hs[:, t].T @ da
            self.grads[2][...] = da.sum(axis=0)
            dxs[:, t] = da @ Wx.T
            dh = da @ Wh.T
        return dxs


def time_rnn():
    return TimeRNN(0.5 * rnd(61, 3, 4), 0.5 * rnd(62, 4, 4), 0.1 * rnd(63, 4))


def prove_time():
    layer, x, g = time_rnn(), rnd(64, 2, 5, 3), rnd(65, 2, 5, 4)
    layer.forward(x)
    dx = layer.backward(g)
    return against(lambda: dot(layer.forward(x), g), [(dx, x)] + list(zip(layer.grads, layer.params)))


# ---- a reservoir: the recurrent matrix is fixed
class LeakyReservoir:
    def __init__(self, n_in=2, n_res=5, leak=0.3, spectral_radius=0.9):
        rng = np.random.default_rng(70)
        W = rng.standard_normal((n_res, n_res))
        self.W_res = W * spectral_radius / np.abs(np.linalg.eigvals(W)).max()
        self.leak = leak
        self.params = {"W_in": rng.standard_normal((n_in, n_res)), "bias": 0.1 * rng.standard_normal(n_res)}
        self.grads = {}

    def forward(self, u):
        """u is (time, n_in); returns (time, n_res)."""
        s = np.zeros(len(self.W_res))
        self.u, self.act, self.states = u, [], []
        for row in u:
            a = np.tanh(row @ self.params["W_in"] + s @ self.W_res + self.params["bias"])
            s = (1 - self.leak) * s + self.leak * a
            self.act.append(a)
            self.states.append(s)
        return np.array(self.states)

    def backward(self, dS):
        du = np.empty_like(self.u)
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}
        ds = np.zeros(dS.shape[1])
        for k in range(len(dS) - 1, -1, -1):
            ds = ds + dS[k]
            dz = self.leak * ds * (1 - self.act[k] ** 2)
            self.grads["W_in"] += np.outer(self.u[k], dz)
            self.grads["bias"] += dz
            du[k] = self.params["W_in"] @ dz
            ds = (1 - self.leak) * ds + self.W_res @ dz
        return du


def prove_reservoir():
    layer, u, g = LeakyReservoir(), rnd(71, 6, 2), rnd(72, 6, 5)
    layer.forward(u)
    du = layer.backward(g)
    return against(
        lambda: dot(layer.forward(u), g),
        [(du, u)] + [(layer.grads[k], layer.params[k]) for k in layer.params],
    )


# ---- nothing flows back through time
class Elman:
    """State of the hidden layer enters again; returns all hidden states, time first."""

    def __init__(self, n_in, n_hid):
        self.w_in, self.w_rec = 0.6 * rnd(81, n_hid, n_in), 0.6 * rnd(82, n_hid, n_hid)
        self.grad_w_in, self.grad_w_rec = np.zeros((n_hid, n_in)), np.zeros((n_hid, n_hid))

    def forward(self, sequence):
        h = np.zeros(self.w_rec.shape[0])
        self.sequence, self.h = sequence, [h]
        for x in sequence:
            h = sigmoid(self.w_in @ x + self.w_rec @ h)
            self.h.append(h)
        return np.stack(self.h[1:])

    def backward(self, grad):
        self.grad_w_in[:] = 0
        self.grad_w_rec[:] = 0
        grad_sequence = np.zeros_like(self.sequence)
        for t in range(len(grad)):
            h = self.h[t + 1]
            delta = grad[t] * h * (1 - h)
            self.grad_w_in += np.outer(delta, self.sequence[t])
            self.grad_w_rec += np.outer(delta, self.h[t])
            grad_sequence[t] = self.w_in.T @ delta
        return grad_sequence


def prove_elman():
    layer, x, g = Elman(3, 4), rnd(83, 5, 3), rnd(84, 5, 4)
    layer.forward(x)
    dx = layer.backward(g)
    return against(
        lambda: dot(layer.forward(x), g),
        [(dx, x), (layer.grad_w_in, layer.w_in), (layer.grad_w_rec, layer.w_rec)],
    )


# ---- both directions
class Scan:
    """h_t = a * h_{t-1} + x_t @ U, with a decay for each unit."""

    def __init__(self, seed):
        self.a, self.U = np.random.default_rng(seed).uniform(0.3, 0.9, 3), rnd(seed + 1, 4, 3)

    def forward(self, x):
        h, hs = np.zeros(3), [np.zeros(3)]
        for row in x:
            h = self.a * h + row @ self.U
            hs.append(h)
        self.x, self.hs = x, np.array(hs)
        return self.hs[1:]

    def backward(self, g):
        run, total = np.zeros(3), np.zeros_like(g)
        for t in range(len(g))[::-1]:
            run = g[t] + self.a * run
            total[t] = run
        self.da = (total * self.hs[:-1]).sum(0)
        self.dU = self.x.T @ total
        return total @ self.U.T


class BothWays:
    def __init__(self):
        self.there, self.back = Scan(91), Scan(93)

    def forward(self, x):
        return np.concatenate([self.there.forward(x), self.back.forward(x[::-1])[::-1]], axis=1)

    def backward(self, g):
        return self.there.backward(g[:, :3]) + self.back.backward(g[::-1, 3:])[::-1]


def prove_both():
    layer, x, g = BothWays(), rnd(95, 5, 4), rnd(96, 5, 6)
    layer.forward(x)
    pairs = [(layer.backward(g), x)]
    for part in (layer.there, layer.back):
        pairs += [(part.da, part.a), (part.dU, part.U)]
    return against(lambda: dot(layer.forward(x), g), pairs)


# ---- turns its own cache round
class LastState:
    """Reads a sequence, returns the last state only."""

    def __init__(self, d=2, h=4):
        self.params = {"W": 0.7 * rnd(101, d, h), "U": 0.7 * rnd(102, h, h)}
        self.grads = {}

    def forward(self, xs):
        h = np.zeros((xs.shape[0], 4))
        self.steps = []
        for t in range(xs.shape[1]):
            new = np.tanh(xs[:, t] @ self.params["W"] + h @ self.params["U"])
            self.steps.append((xs[:, t], h, new))
            h = new
        return h

    def backward(self, dh):
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}
        self.steps.reverse()
        dxs = []
        for x, h, new in self.steps:
            dz = dh * (1 - new**2)
            self.grads["W"] += x.T @ dz
            self.grads["U"] += h.T @ dz
            dxs.append(dz @ self.params["W"].T)
            dh = dz @ self.params["U"].T
        return np.stack(dxs[::-1], axis=1)


def prove_last():
    layer, x, g = LastState(), rnd(103, 3, 4, 2), rnd(104, 3, 4)
    layer.forward(x)
    dx = layer.backward(g)
    return against(
        lambda: dot(layer.forward(x), g),
        [(dx, x)] + [(layer.grads[k], layer.params[k]) for k in layer.params],
    )


# ---- minimal gated unit with a learned first state
MGUCache = namedtuple("MGUCache", "x h f c")


class MinimalGatedUnit:
    def __init__(self, n_in=3, n_out=4):
        self.Wf, self.Uf = 0.5 * rnd(111, n_in, n_out), 0.5 * rnd(112, n_out, n_out)
        self.Wc, self.Uc = 0.5 * rnd(113, n_in, n_out), 0.5 * rnd(114, n_out, n_out)
        self.h0 = rnd(115, n_out)
        self.caches = []

    def forward(self, x):
        h = np.repeat(self.h0[None], x.shape[1], axis=0)  # x is (time, batch, n_in)
        self.caches, out = [], []
        for xt in x:
            f = sigmoid(xt @ self.Wf + h @ self.Uf)
            c = np.tanh(xt @ self.Wc + (f * h) @ self.Uc)
            self.caches.append(MGUCache(xt, h, f, c))
            h = (1 - f) * h + f * c
            out.append(h)
        return np.stack(out)

    def backward(self, dout):
        for name in ("Wf", "Uf", "Wc", "Uc"):
            setattr(self, "d" + name, np.zeros_like(getattr(self, name)))
        dx, dh = [], 0
        for k, d in zip(self.caches[::-1], dout[::-1]):
            d = d + dh
            dc = d * k.f * (1 - k.c**2)
            dfh = dc @ self.Uc.T
            df = (d * (k.c - k.h) + dfh * k.h) * k.f * (1 - k.f)
            self.dWf += k.x.T @ df
            self.dUf += k.h.T @ df
            self.dWc += k.x.T @ dc
            self.dUc += (k.f * k.h).T @ dc
            dx.append(df @ self.Wf.T + dc @ self.Wc.T)
            dh = d * (1 - k.f) + dfh * k.f + df @ self.Uf.T
        self.dh0 = dh.sum(axis=0)
        return np.stack(dx[::-1])


def prove_mgu():
    layer, x, g = MinimalGatedUnit(), rnd(116, 3, 2, 3), rnd(117, 3, 2, 4)
    layer.forward(x)
    pairs = [(layer.backward(g), x)]
    pairs += [(getattr(layer, "d" + k), getattr(layer, k)) for k in ("Wf", "Uf", "Wc", "Uc", "h0")]
    return against(lambda: dot(layer.forward(x), g), pairs)


# ---- padded sequences
class PaddedRNN:
    """Where mask is False the state is carried on unchanged; returns the last state."""

    def __init__(self, d=3, h=4):
        self.W, self.U = 0.6 * rnd(121, d, h), 0.6 * rnd(122, h, h)

    def forward(self, x, mask):
        h = np.zeros((len(x), self.U.shape[0]))
        self.x, self.mask, self.h, self.new = x, mask, [h], []
        for t in range(x.shape[1]):
            new = np.tanh(x[:, t] @ self.W + h @ self.U)
            h = np.where(mask[:, t, None], new, h)
            self.new.append(new)
            self.h.append(h)
        return h

    def backward(self, dh):
        self.dW, self.dU, dx = np.zeros_like(self.W), np.zeros_like(self.U), np.zeros_like(self.x)
        for t in reversed(range(self.x.shape[1])):
            dz = dh * self.mask[:, t, None] * (1 - self.new[t] ** 2)
            self.dW += self.x[:, t].T @ dz
            self.dU += self.h[t].T @ dz
            dx[:, t] = dz @ self.W.T
            dh = dz @ self.U.T
        return dx


def padding():
    return np.array([[1, 1, 0, 1], [1, 1, 1, 0], [1, 1, 1, 1]], dtype=bool)


def prove_padded():
    layer, x, m, g = PaddedRNN(), rnd(123, 3, 4, 3), padding(), rnd(124, 3, 4)
    layer.forward(x, m)
    dx = layer.backward(g)
    return against(lambda: dot(layer.forward(x, m), g), [(dx, x), (layer.dW, layer.W), (layer.dU, layer.U)])


ENTRIES = [
    Stranger(
        "course rnn over time",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(rnn_forward, rnn_backward, rnn_primals()),
        prove_rnn,
    ),
    Stranger(
        "GRU cell with concatenated inputs",
        "cell with dicts, two inputs",
        lambda gradlab: gradlab.check_layer(GRUCell(3, 4), rnd(31, 2, 3), rnd(32, 2, 4)),
        prove_gru,
    ),
    Stranger(
        "LSTM cell with fused gates",
        "cell with three inputs and two outputs",
        lambda gradlab: gradlab.check_layer(LSTMCell(3, 2), rnd(44, 4, 3), rnd(45, 4, 2), rnd(46, 4, 2)),
        prove_lstm,
    ),
    Stranger(
        "coupled cell: the cell state's own gradient dropped",
        "cell with three inputs and two outputs",
        lambda gradlab: gradlab.check_layer(CoupledCell(), rnd(53, 2, 3), rnd(54, 2, 4), rnd(55, 2, 4)),
        prove_coupled,
        "wrong",
        "backward takes dc_new and never uses it",
        ("first-cotangent-only", "ignores-cotangent"),
        ("x", "h", "c", "params[0]", "params[1]"),
    ),
    Stranger(
        "time RNN: each step's weight gradients overwrite the last",
        "layer with lists",
        lambda gradlab: gradlab.check_layer(time_rnn(), rnd(64, 2, 5, 3)),
        prove_time,
        "wrong",
        "grads[...] = instead of += in the loop over time",
        ("last-write-wins",),
        ("params[0]", "params[1]", "params[2]"),
    ),
    Stranger(
        "leaky reservoir with a fixed recurrent matrix",
        "layer with constants beside the parameters",
        lambda gradlab: gradlab.check_layer(LeakyReservoir(), rnd(71, 6, 2)),
        prove_reservoir,
    ),
    Stranger(
        "Elman net: nothing goes back through time",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(Elman(3, 4), rnd(83, 5, 3)),
        prove_elman,
        "wrong",
        "the gradient that comes from the next step is not carried",
        ("missing-term",),
        ("sequence", "w_in", "w_rec"),
    ),
    Stranger(
        "scan in both directions",
        "container of two recurrent layers",
        lambda gradlab: gradlab.check_layer(BothWays(), rnd(95, 5, 4)),
        prove_both,
    ),
    Stranger(
        "last state of a sequence: reverses its cache, so that backward works once",
        "layer with dicts",
        lambda gradlab: gradlab.check_layer(LastState(), rnd(103, 3, 4, 2)),
        prove_last,
        "habit",
        "backward turns its list of steps round in place; a second backward gives other numbers",
        ("stale-residuals", "nondeterministic"),
        ("xs", "W", "U"),
    ),
    Stranger(
        "minimal gated unit with a learned first state",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(MinimalGatedUnit(), rnd(116, 3, 2, 3)),
        prove_mgu,
    ),
    Stranger(
        "padded RNN: padding stops the gradient",
        "layer with a mask",
        lambda gradlab: gradlab.check_layer(PaddedRNN(), rnd(123, 3, 4, 3), padding()),
        prove_padded,
        "wrong",
        "where the state is only carried on, its gradient is dropped",
        ("missing-term", "masked-region"),
        ("x", "W", "U"),
    ),
]
