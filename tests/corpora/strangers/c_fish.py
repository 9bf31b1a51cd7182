"""Layers in the manner of Deep Learning from Scratch, volumes 1 and 2."""

from collections import OrderedDict

import numpy as np

from ._entry import Stranger
from ._help_c import cotangent, pairs


def rng(seed):
    return np.random.default_rng(seed)


# ---------------------------------------------------------------- affine that takes images


class Affine:
    def __init__(self, W, b):
        self.W = W
        self.b = b
        self.x = None
        self.original_x_shape = None
        self.dW = None
        self.db = None

    def forward(self, x):
        self.original_x_shape = x.shape
        x = x.reshape(x.shape[0], -1)
        self.x = x
        return np.dot(self.x, self.W) + self.b

    def backward(self, dout):
        dx = np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return dx.reshape(*self.original_x_shape)


def make_affine():
    r = rng(101)
    return Affine(0.2 * r.standard_normal((40, 30)), r.standard_normal(30)), r.standard_normal((8, 2, 5, 4))


def prove_affine():
    layer, x = make_affine()
    d = cotangent(*layer.forward(x).shape)
    dx = layer.backward(d)
    return pairs(lambda: np.sum(layer.forward(x) * d), (dx, x), (layer.dW, layer.W), (layer.db, layer.b))


# ---------------------------------------------------------------- two-layer net


class Sigmoid:
    def forward(self, x):
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * (1.0 - self.out) * self.out


def softmax(x):
    x = x - np.max(x, axis=-1, keepdims=True)
    return np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True)


def cross_entropy_error(y, t):
    if t.size == y.size:
        t = t.argmax(axis=1)
    return -np.sum(np.log(y[np.arange(len(y)), t])) / len(y)


class SoftmaxWithLoss:
    def __init__(self):
        self.loss = None
        self.y = None
        self.t = None

    def forward(self, x, t):
        self.t = t
        self.y = softmax(x)
        self.loss = cross_entropy_error(self.y, self.t)
        return self.loss

    def backward(self, dout=1):
        batch_size = self.t.shape[0]
        if self.t.size == self.y.size:
            dx = (self.y - self.t) / batch_size
        else:
            dx = self.y.copy()
            dx[np.arange(batch_size), self.t] -= 1
            dx = dx / batch_size
        return dx * dout


class ThreeLayerNet:
    def __init__(self, sizes, seed):
        r = np.random.default_rng(seed)
        self.params = {}
        for i, (m, n) in enumerate(zip(sizes[:-1], sizes[1:], strict=True), start=1):
            self.params[f"W{i}"] = r.standard_normal((m, n)) / np.sqrt(m)
            self.params[f"b{i}"] = 0.1 * r.standard_normal(n)
        self.layers = OrderedDict()
        self.layers["Affine1"] = Affine(self.params["W1"], self.params["b1"])
        self.layers["Sigmoid1"] = Sigmoid()
        self.layers["Affine2"] = Affine(self.params["W2"], self.params["b2"])
        self.layers["Sigmoid2"] = Sigmoid()
        self.layers["Affine3"] = Affine(self.params["W3"], self.params["b3"])
        self.lastLayer = SoftmaxWithLoss()

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        return self.lastLayer.forward(self.predict(x), t)

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.lastLayer.backward(1)
        for layer in reversed(list(self.layers.values())):
            dout = layer.backward(dout)
        grads = {}
        for i in (1, 2, 3):
            grads[f"W{i}"], grads[f"b{i}"] = self.layers[f"Affine{i}"].dW, self.layers[f"Affine{i}"].db
        return grads


def make_net():
    r = rng(102)
    return ThreeLayerNet([6, 5, 5, 3], 7), r.standard_normal((7, 6)), np.array([0, 2, 1, 1, 0, 2, 2])


def prove_net():
    net, x, t = make_net()
    grads = net.gradient(x, t)
    return pairs(lambda: net.loss(x, t), *[(grads[k], net.params[k]) for k in net.params])


def make_softmax_loss():
    r = rng(103)
    return SoftmaxWithLoss(), 2 * r.standard_normal((5, 4)), np.eye(4)[[3, 0, 1, 1, 2]]


def prove_softmax_loss():
    layer, x, t = make_softmax_loss()
    layer.forward(x, t)
    dx = layer.backward(2.5)
    return pairs(lambda: 2.5 * layer.forward(x, t), (dx, x))


# ---------------------------------------------------------------- convolution, pooling


def im2col(input_data, filter_h, filter_w, stride=1, pad=0):
    N, C, H, W = input_data.shape
    out_h = (H + 2 * pad - filter_h) // stride + 1
    out_w = (W + 2 * pad - filter_w) // stride + 1
    img = np.pad(input_data, [(0, 0), (0, 0), (pad, pad), (pad, pad)], "constant")
    col = np.zeros((N, C, filter_h, filter_w, out_h, out_w), dtype=input_data.dtype)
    for y in range(filter_h):
        y_max = y + stride * out_h
        for x in range(filter_w):
            x_max = x + stride * out_w
            col[:, :, y, x, :, :] = img[:, :, y:y_max:stride, x:x_max:stride]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(N * out_h * out_w, -1)


def col2im_padded(col, input_shape, filter_h, filter_w, stride=1, pad=0):
    N, C, H, W = input_shape
    out_h = (H + 2 * pad - filter_h) // stride + 1
    out_w = (W + 2 * pad - filter_w) // stride + 1
    col = col.reshape(N, out_h, out_w, C, filter_h, filter_w).transpose(0, 3, 4, 5, 1, 2)
    img = np.zeros((N, C, H + 2 * pad + stride - 1, W + 2 * pad + stride - 1), dtype=col.dtype)
    for y in range(filter_h):
        y_max = y + stride * out_h
        for x in range(filter_w):
            x_max = x + stride * out_w
            img[:, :, y:y_max:stride, x:x_max:stride] += col[:, :, y, x, :, :]
    return img


class Convolution:
    def __init__(self, W, b, stride=1, pad=0):
        self.W = W
        self.b = b
        self.stride = stride
        self.pad = pad
        self.x = None
        self.col = None
        self.col_W = None
        self.dW = None
        self.db = None

    def forward(self, x):
        FN, C, FH, FW = self.W.shape
        N, C, H, W = x.shape
        out_h = 1 + (H + 2 * self.pad - FH) // self.stride
        out_w = 1 + (W + 2 * self.pad - FW) // self.stride
        col = im2col(x, FH, FW, self.stride, self.pad)
        col_W = self.W.reshape(FN, -1).T
        out = np.dot(col, col_W) + self.b
        out = out.reshape(N, out_h, out_w, -1).transpose(0, 3, 1, 2)
        self.x = x
        self.col = col
        self.col_W = col_W
        return out

    def backward(self, dout):
        FN, C, FH, FW = self.W.shape
        N, C, H, W = self.x.shape
        dout = dout.transpose(0, 2, 3, 1).reshape(-1, FN)
        self.db = np.sum(dout, axis=0)
        self.dW = np.dot(self.col.T, dout).transpose(1, 0).reshape(FN, C, FH, FW)
        dcol = np.dot(dout, self.col_W.T)
        img = col2im_padded(dcol, self.x.shape, FH, FW, self.stride, self.pad)
        return img[:, :, :H, :W]


def make_convolution():
    r = rng(104)
    return (
        Convolution(0.4 * r.standard_normal((3, 2, 3, 3)), r.standard_normal(3), stride=2, pad=1),
        r.standard_normal((2, 2, 7, 5)),
    )


def prove_convolution():
    layer, x = make_convolution()
    d = cotangent(*layer.forward(x).shape)
    dx = layer.backward(d)
    return pairs(lambda: np.sum(layer.forward(x) * d), (dx, x), (layer.dW, layer.W), (layer.db, layer.b))


class Pooling:
    def __init__(self, pool_h, pool_w, stride=2, pad=0):
        self.pool_h = pool_h
        self.pool_w = pool_w
        self.stride = stride
        self.pad = pad
        self.x = None
        self.arg_max = None

    def forward(self, x):
        N, C, H, W = x.shape
        out_h = 1 + (H - self.pool_h) // self.stride
        out_w = 1 + (W - self.pool_w) // self.stride
        col = im2col(x, self.pool_h, self.pool_w, self.stride, self.pad)
        col = col.reshape(-1, self.pool_h * self.pool_w)
        arg_max = np.argmax(col, axis=1)
        out = np.max(col, axis=1)
        out = out.reshape(N, out_h, out_w, C).transpose(0, 3, 1, 2)
        self.x = x
        self.arg_max = arg_max
        return out

    def backward(self, dout):
        dout = dout.transpose(0, 2, 3, 1)
        pool_size = self.pool_h * self.pool_w
        dmax = np.zeros((dout.size, pool_size))
        dmax[np.arange(self.arg_max.size), self.arg_max.flatten()] = dout.flatten()
        dmax = dmax.reshape(dout.shape + (pool_size,))
        dcol = dmax.reshape(dmax.shape[0] * dmax.shape[1] * dmax.shape[2], -1)
        img = col2im_padded(dcol, self.x.shape, self.pool_h, self.pool_w, self.stride, self.pad)
        H, W = self.x.shape[2:]
        return img[:, :, self.pad : H + self.pad, self.pad : W + self.pad]


def make_pooling():
    r = rng(105)
    return Pooling(3, 2, stride=2), r.permutation(2 * 2 * 7 * 6).reshape(2, 2, 7, 6) / 20.0


def prove_pooling():
    layer, x = make_pooling()
    d = cotangent(*layer.forward(x).shape)
    dx = layer.backward(d)
    return pairs(lambda: np.sum(layer.forward(x) * d), (dx, x))


# ---------------------------------------------------------------- volume 2


class EmbeddingDot:
    """Rows of W picked by ids, and their dot products with h (CBOW with negative sampling)."""

    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]
        self.cache = None

    def forward(self, h, idx):
        target_W = self.params[0][idx]
        out = np.sum(target_W * h, axis=1)
        self.cache = (h, target_W, idx)
        return out

    def backward(self, dout):
        h, target_W, idx = self.cache
        dout = dout.reshape(dout.shape[0], 1)
        dtarget_W, dh = dout * target_W, dout * h
        dW = self.grads[0]
        dW[...] = 0
        np.add.at(dW, idx, dtarget_W)
        return dh


def make_embedding_dot():
    r = rng(106)
    return EmbeddingDot(r.standard_normal((8, 4))), r.standard_normal((5, 4)), np.array([6, 1, 1, 0, 3])


def prove_embedding_dot():
    layer, h, idx = make_embedding_dot()
    d = cotangent(5)
    layer.forward(h, idx)
    dh = layer.backward(d)
    return pairs(lambda: np.sum(layer.forward(h, idx) * d), (dh, h), (layer.grads[0], layer.params[0]))


class EmbeddingBag:
    """The mean of the rows of a bag of words."""

    def __init__(self, W):
        self.W = W
        self.dW = np.zeros_like(W)
        self.idx = None

    def forward(self, idx):
        self.idx = idx
        return self.W[idx].mean(axis=1)

    def backward(self, dout):
        n, k = self.idx.shape
        self.dW = np.zeros_like(self.W)
        share = np.repeat(dout[:, np.newaxis, :] / k, k, axis=1)
        self.dW[self.idx] += share
        return None


def make_bag():
    r = rng(107)
    return EmbeddingBag(r.standard_normal((9, 3))), np.array([[0, 4, 4], [7, 2, 0], [5, 8, 2], [4, 3, 1]])


def prove_bag():
    layer, idx = make_bag()
    d = cotangent(*layer.forward(idx).shape)
    layer.backward(d)
    return pairs(lambda: np.sum(layer.forward(idx) * d), (layer.dW, layer.W))


class TimeSoftmaxWithLoss:
    def __init__(self):
        self.params, self.grads = [], []
        self.cache = None
        self.ignore_label = -1

    def forward(self, xs, ts):
        N, T, V = xs.shape
        mask = ts != self.ignore_label
        xs = xs.reshape(N * T, V)
        ts = ts.reshape(N * T)
        mask = mask.reshape(N * T)
        ys = softmax(xs)
        ls = np.log(ys[np.arange(N * T), ts])
        ls *= mask
        loss = -np.sum(ls)
        loss /= mask.sum()
        self.cache = (ts, ys, mask, (N, T, V))
        return loss

    def backward(self, dout=1):
        ts, ys, mask, (N, T, V) = self.cache
        dx = ys.copy()
        dx[np.arange(N * T), ts] -= 1
        dx *= dout
        dx /= mask.sum()
        return dx.reshape((N, T, V))


def make_time_softmax():
    r = rng(108)
    return (
        TimeSoftmaxWithLoss(),
        r.standard_normal((3, 4, 5)),
        np.array([[2, 0, 4, -1], [1, -1, -1, -1], [3, 3, 0, 2]]),
    )


def prove_time_softmax():
    layer, xs, ts = make_time_softmax()
    layer.forward(xs, ts)
    dx = layer.backward()
    return pairs(lambda: layer.forward(xs, ts), (dx, xs))


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
        Wx, Wh, b = self.params
        x, h_prev, h_next = self.cache
        dt = dh_next * (1 - h_next**2)
        self.grads[2][...] = np.sum(dt, axis=0)
        self.grads[1][...] = np.dot(h_prev.T, dt)
        self.grads[0][...] = np.dot(x.T, dt)
        return np.dot(dt, Wx.T), np.dot(dt, Wh.T)


class TimeRNN:
    """Keeps its state from block to block; the gradient ends at the block (truncated BPTT)."""

    def __init__(self, Wx, Wh, b, stateful=False):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        self.layers = None
        self.h, self.dh = None, None
        self.stateful = stateful

    def forward(self, xs):
        Wx, Wh, b = self.params
        N, T, D = xs.shape
        D, H = Wx.shape
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
        Wx, Wh, b = self.params
        N, T, H = dhs.shape
        D, H = Wx.shape
        dxs = np.empty((N, T, D), dtype=dhs.dtype)
        dh = 0
        grads = [0, 0, 0]
        for t in reversed(range(T)):
            layer = self.layers[t]
            dx, dh = layer.backward(dhs[:, t, :] + dh)
            dxs[:, t, :] = dx
            for i, grad in enumerate(layer.grads):
                grads[i] += grad
        for i, grad in enumerate(grads):
            self.grads[i][...] = grad
        self.dh = dh
        return dxs

    def set_state(self, h):
        self.h = h

    def reset_state(self):
        self.h = None


def make_time_rnn():
    r = rng(109)
    layer = TimeRNN(
        0.6 * r.standard_normal((3, 4)),
        0.6 * r.standard_normal((4, 4)),
        0.1 * r.standard_normal(4),
        stateful=True,
    )
    layer.forward(r.standard_normal((2, 3, 3)))
    return layer, r.standard_normal((2, 4, 3))


def prove_time_rnn():
    layer, xs = make_time_rnn()
    start = layer.h.copy()
    d = cotangent(*layer.forward(xs).shape)
    dxs = layer.backward(d)

    def f():
        layer.set_state(start)
        return np.sum(layer.forward(xs) * d)

    return pairs(f, (dxs, xs), *zip(layer.grads, layer.params, strict=True))


class TimeLSTM:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(p) for p in self.params]
        self.cache = None

    def forward(self, xs):
        Wx, Wh, b = self.params
        N, T, D = xs.shape
        H = Wh.shape[0]
        h, c = np.zeros((N, H)), np.zeros((N, H))
        hs, self.cache = np.empty((N, T, H)), []
        for t in range(T):
            A = xs[:, t] @ Wx + h @ Wh + b
            f = 1 / (1 + np.exp(-A[:, :H]))
            g = np.tanh(A[:, H : 2 * H])
            i = 1 / (1 + np.exp(-A[:, 2 * H : 3 * H]))
            o = 1 / (1 + np.exp(-A[:, 3 * H :]))
            c_next = f * c + g * i
            self.cache.append((xs[:, t], h, c, i, f, g, o, c_next))
            c = c_next
            h = o * np.tanh(c)
            hs[:, t] = h
        return hs

    def backward(self, dhs):
        Wx, Wh, b = self.params
        N, T, H = dhs.shape
        dxs = np.empty((N, T, Wx.shape[0]))
        for g in self.grads:
            g[...] = 0
        dh, dc = 0, 0
        for t in reversed(range(T)):
            x, h_prev, c_prev, i, f, g, o, c_next = self.cache[t]
            tanh_c = np.tanh(c_next)
            dh = dh + dhs[:, t]
            ds = dc + dh * o * (1 - tanh_c**2)
            dc = ds * f
            dA = np.hstack(
                (
                    ds * c_prev * f * (1 - f),
                    ds * i * (1 - g**2),
                    ds * g * i * (1 - i),
                    dh * tanh_c * o * (1 - o),
                )
            )
            self.grads[0] += x.T @ dA
            self.grads[1] += h_prev.T @ dA
            self.grads[2] += dA.sum(axis=0)
            dxs[:, t] = dA @ Wx.T
            dh = dA @ Wh.T
        return dxs


def make_time_lstm():
    r = rng(110)
    return (
        TimeLSTM(
            0.5 * r.standard_normal((3, 12)), 0.5 * r.standard_normal((3, 12)), 0.2 * r.standard_normal(12)
        ),
        r.standard_normal((1, 5, 3)),
    )


def prove_time_lstm():
    layer, xs = make_time_lstm()
    d = cotangent(*layer.forward(xs).shape)
    dxs = layer.backward(d)
    return pairs(
        lambda: np.sum(layer.forward(xs) * d), (dxs, xs), *zip(layer.grads, layer.params, strict=True)
    )


def _layer(make):
    def call(gradlab):
        layer, *inputs = make()
        return gradlab.check_layer(layer, *inputs)

    return call


def _model(gradlab):
    net, x, t = make_net()
    return gradlab.check_model(net, x, t)


ENTRIES = [
    Stranger(
        "affine layer that flattens images",
        "layer with gradient attributes",
        _layer(make_affine),
        prove_affine,
    ),
    Stranger(
        "three-layer net of an OrderedDict", "net with loss(x, t) and gradient(x, t)", _model, prove_net
    ),
    Stranger("softmax with loss, one-hot", "loss as a layer", _layer(make_softmax_loss), prove_softmax_loss),
    Stranger(
        "im2col convolution with stride and padding: the padding is cut off at the far end only",
        "layer with gradient attributes",
        _layer(make_convolution),
        prove_convolution,
        "wrong",
        "img[:, :, :H, :W] where img[:, :, pad:H + pad, pad:W + pad] is meant",
        ("shifted",),
        ("dx",),
    ),
    Stranger(
        "max pooling by im2col, windows that overlap",
        "layer without parameters",
        _layer(make_pooling),
        prove_pooling,
    ),
    Stranger(
        "dot products with picked rows: h and the rows exchanged",
        "layer with lists params and grads, two inputs",
        _layer(make_embedding_dot),
        prove_embedding_dot,
        "wrong",
        "the gradient of h is that of the rows, and the other way round",
        ("swapped-primals",),
        ("dh", "grads[0]"),
    ),
    Stranger(
        "bag of words: repeated ids count once",
        "layer with integer input, gradient attribute",
        _layer(make_bag),
        prove_bag,
        "wrong",
        "dW[idx] += instead of np.add.at",
        ("last-write-wins", "missing-broadcast-sum", "wrong-sum-axis"),
        ("dW",),
    ),
    Stranger(
        "softmax with loss over time: ignored labels get a gradient",
        "loss as a layer, ignore label",
        _layer(make_time_softmax),
        prove_time_softmax,
        "wrong",
        "dx is not multiplied by the mask",
        ("masked-region",),
        ("dx",),
    ),
    Stranger(
        "RNN over time that keeps its state",
        "layer with lists params and grads, stateful",
        _layer(make_time_rnn),
        prove_time_rnn,
    ),
    Stranger(
        "LSTM over time, batch of one",
        "layer with lists params and grads",
        _layer(make_time_lstm),
        prove_time_lstm,
    ),
]
