"""LSTM layers as the second textbook writes them: the four gates in one product, and two outputs."""

import numpy as np

from ._entry import Foreign, drawn, normal
from ._use import lists


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class LSTM:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        self.cache = None

    def forward(self, x, h_prev, c_prev):
        Wx, Wh, b = self.params
        H = h_prev.shape[1]
        A = np.dot(x, Wx) + np.dot(h_prev, Wh) + b
        f, g, i, o = (
            sigmoid(A[:, :H]),
            np.tanh(A[:, H : 2 * H]),
            sigmoid(A[:, 2 * H : 3 * H]),
            sigmoid(A[:, 3 * H :]),
        )
        c_next = f * c_prev + g * i
        h_next = o * np.tanh(c_next)
        self.cache = (x, h_prev, c_prev, i, f, g, o, c_next)
        return h_next, c_next

    def backward(self, dh_next, dc_next):
        Wx, Wh, _ = self.params
        x, h_prev, c_prev, i, f, g, o, c_next = self.cache
        tanh_c_next = np.tanh(c_next)
        ds = self.into_cell(dc_next, (dh_next * o) * (1 - tanh_c_next**2))
        df = self.of_forget_gate(ds * c_prev * f * (1 - f))
        di = ds * g * i * (1 - i)
        do = dh_next * tanh_c_next * o * (1 - o)
        dg = ds * i * (1 - g**2)
        dA = np.hstack((df, dg, di, do))
        self.grads[0][...] = np.dot(x.T, dA)
        self.grads[1][...] = np.dot(h_prev.T, dA)
        self.grads[2][...] = dA.sum(axis=0)
        return np.dot(dA, Wx.T), np.dot(dA, Wh.T), ds * f

    def into_cell(self, dc_next, of_h):
        return dc_next + of_h

    def of_forget_gate(self, df):
        return df


class LSTMForgetsTheCell(LSTM):
    def into_cell(self, dc_next, of_h):
        return of_h


class LSTMForgetsAGate(LSTM):
    def of_forget_gate(self, df):
        return np.zeros_like(df)


class TimeLSTM:
    def __init__(self, Wx, Wh, b, cell=LSTM):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        self.cell = cell
        self.layers = []

    def forward(self, xs):
        Wh = self.params[1]
        N, T, _ = xs.shape
        h = c = np.zeros((N, Wh.shape[0]))
        self.layers = []
        hs = []
        for t in range(T):
            layer = self.cell(*self.params)
            h, c = layer.forward(xs[:, t], h, c)
            self.layers.append(layer)
            hs.append(h)
        return np.stack(hs, axis=1)

    def backward(self, dhs):
        dxs = []
        dh = dc = 0
        for grad in self.grads:
            grad[...] = 0
        for t in reversed(range(dhs.shape[1])):
            dx, dh, dc = self.layers[t].backward(dhs[:, t] + dh, dc)
            dxs.insert(0, dx)
            for kept, grad in zip(self.grads, self.layers[t].grads, strict=True):
                kept += grad
        return np.stack(dxs, axis=1)


def lstm(cls, *more):
    return lambda: cls(normal(61, 2, 12), normal(62, 3, 12), normal(63, 12), *more)


VOLUME_2 = {"style": "volume 2", "cotangent": "passed", "stored": "list"}
cell = Foreign(
    **VOLUME_2,
    name="lstm cell",
    how="h_next, c_next = forward(x, h_prev, c_prev), then dx, dh_prev, dc_prev = backward(dh_next, dc_next).",
    make=lstm(LSTM),
    inputs=drawn((2, 2), (2, 3), (2, 3)),
    arguments=("x", "h_prev", "c_prev"),
    use=lists("Wx", "Wh", "b"),
)
time_lstm = Foreign(
    **VOLUME_2,
    name="lstm over time",
    how="hs = forward(xs) with xs (N, T, D), then dxs = backward(dhs); grads are those of Wx, Wh and b.",
    make=lstm(TimeLSTM),
    inputs=drawn((2, 3, 2)),
    arguments=("xs",),
    use=lists("Wx", "Wh", "b"),
)
ENTRIES = [
    cell,
    cell.spoiled(
        "the cotangent of the cell forgotten",
        lstm(LSTMForgetsTheCell),
        "ignores-cotangent",
        *("x", "h_prev", "c_prev", "Wx", "Wh", "b"),
    ),
    time_lstm,
    time_lstm.spoiled(
        "the forget gate's gradient forgotten",
        lstm(TimeLSTM, LSTMForgetsAGate),
        "missing-term",
        *("xs", "Wx", "Wh", "b"),
    ),
]
