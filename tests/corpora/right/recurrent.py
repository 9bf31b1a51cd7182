"""Recurrent networks and their cells."""

import numpy as np

from ._entry import normal, right


def rnn(xs, h0, Wx, Wh, b):
    hs = [h0]
    for x in xs:
        hs.append(np.tanh(x @ Wx + hs[-1] @ Wh + b))
    return np.stack(hs[1:]), (xs, hs, Wx, Wh, b)


def rnn_backward(cache, g):
    xs, hs, Wx, Wh, b = cache
    dxs, dWx, dWh, db = np.zeros_like(xs), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    dh = np.zeros_like(hs[0])
    for t in reversed(range(len(xs))):
        dz = (g[t] + dh) * (1 - hs[t + 1] ** 2)
        dxs[t] = dz @ Wx.T
        dWx += xs[t].T @ dz
        dWh += hs[t].T @ dz
        db += dz.sum(axis=0)
        dh = dz @ Wh.T
    return dxs, dh, dWx, dWh, db


def lstm_cell(x, h, c, Wx, Wh, b):
    z = x @ Wx + h @ Wh + b
    i, f, o, u = np.split(z, 4, axis=1)
    i, f, o = (1 / (1 + np.exp(-v)) for v in (i, f, o))
    u = np.tanh(u)
    c_next = f * c + i * u
    t = np.tanh(c_next)
    return (o * t, c_next), (x, h, c, Wx, Wh, i, f, o, u, t)


def lstm_cell_backward(cache, g):
    x, h, c, Wx, Wh, i, f, o, u, t = cache
    dh_next, dc_next = g
    dc = dc_next + dh_next * o * (1 - t**2)
    dz = np.hstack(
        [
            dc * u * i * (1 - i),
            dc * c * f * (1 - f),
            dh_next * t * o * (1 - o),
            dc * i * (1 - u**2),
        ]
    )
    return dz @ Wx.T, dz @ Wh.T, dc * f, x.T @ dz, h.T @ dz, dz.sum(axis=0)


def gru_cell(x, h, Wx, Wh):
    n = h.shape[1]
    a, b = x @ Wx, h @ Wh
    gates = 1 / (1 + np.exp(-(a[:, : 2 * n] + b[:, : 2 * n])))
    z, r = gates[:, :n], gates[:, n:]
    u = np.tanh(a[:, 2 * n :] + r * b[:, 2 * n :])
    return (1 - z) * h + z * u, (x, h, Wx, Wh, z, r, u, b[:, 2 * n :])


def gru_cell_backward(cache, g):
    x, h, Wx, Wh, z, r, u, bu = cache
    du = g * z * (1 - u**2)
    dz = g * (u - h) * z * (1 - z)
    dr = du * bu * r * (1 - r)
    da = np.concatenate([dz, dr, du], axis=1)
    db = np.concatenate([dz, dr, du * r], axis=1)
    return da @ Wx.T, g * (1 - z) + db @ Wh.T, x.T @ da, h.T @ db


ENTRIES = [
    right("rnn", rnn, rnn_backward, normal(4, 2, 3), normal(2, 2), normal(3, 2), normal(2, 2), normal(2)),
    right(
        "lstm cell",
        lstm_cell,
        lstm_cell_backward,
        normal(2, 3),
        normal(2, 2),
        normal(2, 2),
        normal(3, 8),
        normal(2, 8),
        normal(8),
    ),
    right("gru cell", gru_cell, gru_cell_backward, normal(3, 2), normal(3, 2), normal(2, 6), normal(2, 6)),
]
