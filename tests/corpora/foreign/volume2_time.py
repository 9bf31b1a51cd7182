"""Recurrent layers as the second textbook writes them: a cell, and a Time layer that makes one for every step."""

import numpy as np

from ._entry import Foreign, drawn, normal
from ._use import lists
from .volume2_words import Embedding


class RNN:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        self.cache = None

    def forward(self, x, h_prev):
        Wx, Wh, b = self.params
        h_next = np.tanh(np.dot(h_prev, Wh) + np.dot(x, Wx) + b)
        self.cache = (x, h_prev, h_next)
        return h_next

    def backward(self, dh_next):
        Wx, Wh, _ = self.params
        x, h_prev, h_next = self.cache
        dt = dh_next * (1 - h_next**2)
        self.grads[0][...] = np.dot(x.T, dt)
        self.grads[1][...] = np.dot(h_prev.T, dt)
        self.grads[2][...] = np.sum(dt, axis=0)
        return self.ordered(np.dot(dt, Wx.T), np.dot(dt, Wh.T))

    def ordered(self, dx, dh_prev):
        return dx, dh_prev


class RNNSwapped(RNN):
    def ordered(self, dx, dh_prev):
        return dh_prev, dx


class TimeRNN:
    def __init__(self, Wx, Wh, b, stateful=False):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        self.layers = None
        self.h, self.dh = None, None
        self.stateful = stateful

    def set_state(self, h):
        self.h = h

    def reset_state(self):
        self.h = None

    def forward(self, xs):
        Wx = self.params[0]
        N, T, _ = xs.shape
        H = Wx.shape[1]
        self.layers = []
        hs = np.empty((N, T, H), dtype=xs.dtype)
        if not self.stateful or self.h is None:
            self.h = np.zeros((N, H), dtype=xs.dtype)
        for t in range(T):
            layer = RNN(*self.params)
            self.h = layer.forward(xs[:, t, :], self.h)
            hs[:, t, :] = self.h
            self.layers.append(layer)
        return hs

    def backward(self, dhs):
        N, T, _ = dhs.shape
        D = self.params[0].shape[0]
        dxs = np.empty((N, T, D), dtype=dhs.dtype)
        grads = [np.zeros_like(p) for p in self.params]
        dh = 0
        for t in reversed(range(T)):
            layer = self.layers[t]
            dx, dh = layer.backward(self.from_later(dhs[:, t, :], dh))
            dxs[:, t, :] = dx
            grads = [self.collected(total, grad) for total, grad in zip(grads, layer.grads, strict=True)]
        for kept, grad in zip(self.grads, grads, strict=True):
            kept[...] = grad
        self.dh = dh
        return dxs

    def from_later(self, dhs, dh):
        return dhs + dh

    def collected(self, total, grad):
        return total + grad


class TimeRNNForgetsLaterSteps(TimeRNN):
    def from_later(self, dhs, dh):
        return dhs


class TimeRNNKeepsOneStep(TimeRNN):
    def collected(self, total, grad):
        return grad


class Encoder:
    """Layers of layers: ids through an embedding and an RNN, of which the last state is handed on."""

    def __init__(self, embed_W, Wx, Wh, b):
        self.embed = Embedding(embed_W)
        self.rnn = TimeRNN(Wx, Wh, b, stateful=False)
        self.params = self.embed.params + self.rnn.params
        self.grads = self.collected_grads()
        self.hs = None

    def collected_grads(self):
        return self.embed.grads + self.rnn.grads

    def forward(self, xs):
        self.hs = self.rnn.forward(self.embed.forward(xs))
        return self.hs[:, -1, :]

    def backward(self, dh):
        dhs = np.zeros_like(self.hs)
        dhs[:, -1, :] = dh
        return self.embed.backward(self.rnn.backward(dhs))


class EncoderListsInAnotherOrder(Encoder):
    def collected_grads(self):
        Wx, Wh, b = self.rnn.grads
        return [Wx, *self.embed.grads, Wh, b]


def rnn(cls, D, H, **more):
    return lambda: cls(normal(51, D, H), normal(52, H, H), normal(53, H), **more)


def encoder(cls):
    return lambda: cls(normal(54, 3, 3), normal(55, 3, 3), normal(56, 3, 3), normal(57, 3))


VOLUME_2 = {"style": "volume 2", "cotangent": "passed", "stored": "list"}
cell = Foreign(
    **VOLUME_2,
    name="rnn cell",
    how="h_next = forward(x, h_prev), then dx, dh_prev = backward(dh_next); grads are those of Wx, Wh and b.",
    make=rnn(RNN, 3, 3),
    inputs=drawn((2, 3), (2, 3)),
    arguments=("x", "h_prev"),
    use=lists("Wx", "Wh", "b"),
)
time_rnn = Foreign(
    **VOLUME_2,
    name="rnn over time, stateful",
    how="hs = forward(xs) goes on from the state of the last call unless reset_state() is called; dxs = backward(dhs).",
    make=rnn(TimeRNN, 2, 3, stateful=True),
    inputs=drawn((2, 4, 2)),
    arguments=("xs",),
    use=lists("Wx", "Wh", "b"),
)
encoder_entry = Foreign(
    **VOLUME_2,
    name="encoder of ids",
    how="h = forward(xs) with ids (N, T), then backward(dh), which returns nothing and fills grads, in params' order.",
    make=encoder(Encoder),
    inputs=lambda rng: (np.array([[0, 2, 1], [2, 2, 0]]),),
    arguments=("xs",),
    fixed=("xs",),
    use=lists("embed_W", "Wx", "Wh", "b"),
)
ENTRIES = [
    cell,
    cell.spoiled(
        "gradients returned in the other order", rnn(RNNSwapped, 3, 3), "swapped-primals", "x", "h_prev"
    ),
    time_rnn,
    time_rnn.spoiled(
        "what later steps say is dropped",
        rnn(TimeRNNForgetsLaterSteps, 2, 3, stateful=True),
        "missing-term",
        *("xs", "Wx", "Wh", "b"),
    ),
    time_rnn.spoiled(
        "each step's gradient replaces the one before",
        rnn(TimeRNNKeepsOneStep, 2, 3, stateful=True),
        "last-write-wins",
        *("Wx", "Wh", "b"),
        or_else=("missing-term",),
    ),
    encoder_entry,
    encoder_entry.spoiled(
        "grads listed in another order than params",
        encoder(EncoderListsInAnotherOrder),
        "swapped-primals",
        *("embed_W", "Wx"),
    ),
]
