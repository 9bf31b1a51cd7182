"""Deep Learning from Scratch, volume 2, chapters 5 to 8, typed anew from memory of what the book describes.

The book's outputs are np.empty(..., dtype='f'); here they take the dtype of the weights, so that float64 weights stay float64,
and the entries that say float32 are given weights .astype('f').
"""

import numpy as np

from ._differences import lists, merged, prove_layer, slopes
from ._entry import Book
from .vol2_words import Embedding, SigmoidWithLoss, Softmax, layer_book, sigmoid, softmax

# --- chapter 5: RNN --------------------------------------------------------------------------------------------------


class RNN:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        self.cache = None

    def forward(self, x, h_prev):
        Wx, Wh, b = self.params
        t = np.dot(h_prev, Wh) + np.dot(x, Wx) + b
        h_next = np.tanh(t)
        self.cache = (x, h_prev, h_next)
        return h_next

    def backward(self, dh_next):
        Wx, Wh, b = self.params
        x, h_prev, h_next = self.cache

        dt = dh_next * (1 - h_next**2)
        db = np.sum(dt, axis=0)
        dWh = np.dot(h_prev.T, dt)
        dh_prev = np.dot(dt, Wh.T)
        dWx = np.dot(x.T, dt)
        dx = np.dot(dt, Wx.T)

        self.grads[0][...] = dWx
        self.grads[1][...] = dWh
        self.grads[2][...] = db
        return dx, dh_prev


class TimeRNN:
    def __init__(self, Wx, Wh, b, stateful=False):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        self.layers = None
        self.h, self.dh = None, None
        self.stateful = stateful

    def out_dtype(self):
        return self.params[0].dtype

    def forward(self, xs):
        Wx, Wh, b = self.params
        N, T, D = xs.shape
        D, H = Wx.shape

        self.layers = []
        hs = np.empty((N, T, H), dtype=self.out_dtype())
        if not self.stateful or self.h is None:
            self.h = np.zeros((N, H), dtype=self.out_dtype())

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

        dxs = np.empty((N, T, D), dtype=self.out_dtype())
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


class SingleTimeRNN(TimeRNN):
    """dtype='f', whatever goes in."""

    def out_dtype(self):
        return "f"


class TimeEmbedding:
    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]
        self.layers = None
        self.W = W

    def forward(self, xs):
        N, T = xs.shape
        V, D = self.W.shape
        out = np.empty((N, T, D), dtype=self.W.dtype)
        self.layers = []
        for t in range(T):
            layer = Embedding(self.W)
            out[:, t, :] = layer.forward(xs[:, t])
            self.layers.append(layer)
        return out

    def backward(self, dout):
        N, T, D = dout.shape
        grad = 0
        for t in range(T):
            layer = self.layers[t]
            layer.backward(dout[:, t, :])
            grad += layer.grads[0]
        self.grads[0][...] = grad
        return None


class TimeAffine:
    def __init__(self, W, b):
        self.params = [W, b]
        self.grads = [np.zeros_like(W), np.zeros_like(b)]
        self.x = None

    def forward(self, x):
        N, T, D = x.shape
        W, b = self.params
        rx = x.reshape(N * T, -1)
        out = np.dot(rx, W) + b
        self.x = x
        return out.reshape(N, T, -1)

    def backward(self, dout):
        x = self.x
        N, T, D = x.shape
        W, b = self.params

        dout = dout.reshape(N * T, -1)
        rx = x.reshape(N * T, -1)
        db = np.sum(dout, axis=0)
        dW = np.dot(rx.T, dout)
        dx = np.dot(dout, W.T)
        dx = dx.reshape(*x.shape)

        self.grads[0][...] = dW
        self.grads[1][...] = db
        return dx


class TimeSoftmaxWithLoss:
    def __init__(self):
        self.params, self.grads = [], []
        self.cache = None
        self.ignore_label = -1

    def forward(self, xs, ts):
        N, T, V = xs.shape
        if ts.ndim == 3:  # one-hot
            ts = ts.argmax(axis=2)
        mask = ts != self.ignore_label

        xs = xs.reshape(N * T, V)
        ts = ts.reshape(N * T)
        mask = mask.reshape(N * T)

        ys = softmax(xs)
        ls = np.log(ys[np.arange(N * T), ts])
        ls *= mask  # what is to be ignored costs nothing
        loss = -np.sum(ls)
        loss /= mask.sum()

        self.cache = (ts, ys, mask, (N, T, V))
        return loss

    def backward(self, dout=1):
        ts, ys, mask, (N, T, V) = self.cache

        dx = ys
        dx[np.arange(N * T), ts] -= 1
        dx *= dout
        dx /= mask.sum()
        dx *= mask[:, np.newaxis]
        dx = dx.reshape((N, T, V))
        return dx


class TimeSigmoidWithLoss:
    """One sigmoid with loss for each time, and their mean."""

    def __init__(self):
        self.params, self.grads = [], []
        self.xs_shape = None
        self.layers = None

    def forward(self, xs, ts):
        N, T = xs.shape
        self.xs_shape = xs.shape
        self.layers = []
        loss = 0
        for t in range(T):
            layer = SigmoidWithLoss()
            loss += layer.forward(xs[:, t], ts[:, t])
            self.layers.append(layer)
        return loss / T

    def backward(self, dout=1):
        N, T = self.xs_shape
        dxs = np.empty(self.xs_shape, dtype="d")
        dout *= 1 / T
        for t in range(T):
            layer = self.layers[t]
            dxs[:, t] = layer.backward(dout)
        return dxs


class SimpleRnnlm:
    def __init__(self, vocab_size, wordvec_size, hidden_size, dtype="f"):
        V, D, H = vocab_size, wordvec_size, hidden_size
        rn = np.random.randn

        embed_W = (rn(V, D) / 100).astype(dtype)
        rnn_Wx = (rn(D, H) / np.sqrt(D)).astype(dtype)
        rnn_Wh = (rn(H, H) / np.sqrt(H)).astype(dtype)
        rnn_b = np.zeros(H).astype(dtype)
        affine_W = (rn(H, V) / np.sqrt(H)).astype(dtype)
        affine_b = np.zeros(V).astype(dtype)

        self.layers = [
            TimeEmbedding(embed_W),
            TimeRNN(rnn_Wx, rnn_Wh, rnn_b, stateful=True),
            TimeAffine(affine_W, affine_b),
        ]
        self.loss_layer = TimeSoftmaxWithLoss()
        self.rnn_layer = self.layers[1]

        self.params, self.grads = [], []
        for layer in self.layers:
            self.params += layer.params
            self.grads += layer.grads

    def forward(self, xs, ts):
        for layer in self.layers:
            xs = layer.forward(xs)
        loss = self.loss_layer.forward(xs, ts)
        return loss

    def backward(self, dout=1):
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout

    def reset_state(self):
        self.rnn_layer.reset_state()


# --- chapter 6: LSTM and GRU -----------------------------------------------------------------------------------------


class LSTM:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        self.cache = None

    def forward(self, x, h_prev, c_prev):
        Wx, Wh, b = self.params
        N, H = h_prev.shape

        A = np.dot(x, Wx) + np.dot(h_prev, Wh) + b
        f = A[:, :H]
        g = A[:, H : 2 * H]
        i = A[:, 2 * H : 3 * H]
        o = A[:, 3 * H :]

        f = sigmoid(f)
        g = np.tanh(g)
        i = sigmoid(i)
        o = sigmoid(o)

        c_next = f * c_prev + g * i
        h_next = o * np.tanh(c_next)
        self.cache = (x, h_prev, c_prev, i, f, g, o, c_next)
        return h_next, c_next

    def backward(self, dh_next, dc_next):
        Wx, Wh, b = self.params
        x, h_prev, c_prev, i, f, g, o, c_next = self.cache

        tanh_c_next = np.tanh(c_next)
        ds = dc_next + (dh_next * o) * (1 - tanh_c_next**2)
        dc_prev = ds * f

        di = ds * g
        df = ds * c_prev
        do = dh_next * tanh_c_next
        dg = ds * i

        di *= i * (1 - i)
        df *= f * (1 - f)
        do *= o * (1 - o)
        dg *= 1 - g**2

        dA = np.hstack((df, dg, di, do))
        dWh = np.dot(h_prev.T, dA)
        dWx = np.dot(x.T, dA)
        db = dA.sum(axis=0)
        self.grads[0][...] = dWx
        self.grads[1][...] = dWh
        self.grads[2][...] = db

        dx = np.dot(dA, Wx.T)
        dh_prev = np.dot(dA, Wh.T)
        return dx, dh_prev, dc_prev


class TimeLSTM:
    def __init__(self, Wx, Wh, b, stateful=False):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        self.layers = None
        self.h, self.c = None, None
        self.dh = None
        self.stateful = stateful

    def forward(self, xs):
        Wx, Wh, b = self.params
        N, T, D = xs.shape
        H = Wh.shape[0]

        self.layers = []
        hs = np.empty((N, T, H), dtype=Wx.dtype)
        if not self.stateful or self.h is None:
            self.h = np.zeros((N, H), dtype=Wx.dtype)
        if not self.stateful or self.c is None:
            self.c = np.zeros((N, H), dtype=Wx.dtype)

        for t in range(T):
            layer = LSTM(*self.params)
            self.h, self.c = layer.forward(xs[:, t, :], self.h, self.c)
            hs[:, t, :] = self.h
            self.layers.append(layer)
        return hs

    def backward(self, dhs):
        Wx, Wh, b = self.params
        N, T, H = dhs.shape
        D = Wx.shape[0]

        dxs = np.empty((N, T, D), dtype=Wx.dtype)
        dh, dc = 0, 0
        grads = [0, 0, 0]
        for t in reversed(range(T)):
            layer = self.layers[t]
            dx, dh, dc = layer.backward(dhs[:, t, :] + dh, dc)
            dxs[:, t, :] = dx
            for i, grad in enumerate(layer.grads):
                grads[i] += grad

        for i, grad in enumerate(grads):
            self.grads[i][...] = grad
        self.dh = dh
        return dxs

    def set_state(self, h, c=None):
        self.h, self.c = h, c

    def reset_state(self):
        self.h, self.c = None, None


class TimeBiLSTM:
    def __init__(self, Wx1, Wh1, b1, Wx2, Wh2, b2, stateful=False):
        self.forward_lstm = TimeLSTM(Wx1, Wh1, b1, stateful)
        self.backward_lstm = TimeLSTM(Wx2, Wh2, b2, stateful)
        self.params = self.forward_lstm.params + self.backward_lstm.params
        self.grads = self.forward_lstm.grads + self.backward_lstm.grads

    def forward(self, xs):
        o1 = self.forward_lstm.forward(xs)
        o2 = self.backward_lstm.forward(xs[:, ::-1])
        o2 = o2[:, ::-1]
        out = np.concatenate((o1, o2), axis=2)
        return out

    def backward(self, dhs):
        H = dhs.shape[2] // 2
        do1 = dhs[:, :, :H]
        do2 = dhs[:, :, H:]
        dxs1 = self.forward_lstm.backward(do1)
        do2 = do2[:, ::-1]
        dxs2 = self.backward_lstm.backward(do2)
        dxs2 = dxs2[:, ::-1]
        dxs = dxs1 + dxs2
        return dxs


class GRU:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        self.cache = None

    def forward(self, x, h_prev):
        Wx, Wh, b = self.params
        H = Wh.shape[0]
        Wxz, Wxr, Wxh = Wx[:, :H], Wx[:, H : 2 * H], Wx[:, 2 * H :]
        Whz, Whr, Whh = Wh[:, :H], Wh[:, H : 2 * H], Wh[:, 2 * H :]
        bz, br, bh = b[:H], b[H : 2 * H], b[2 * H :]

        z = sigmoid(np.dot(x, Wxz) + np.dot(h_prev, Whz) + bz)
        r = sigmoid(np.dot(x, Wxr) + np.dot(h_prev, Whr) + br)
        h_hat = np.tanh(np.dot(x, Wxh) + np.dot(r * h_prev, Whh) + bh)
        h_next = (1 - z) * h_prev + z * h_hat

        self.cache = (x, h_prev, z, r, h_hat)
        return h_next

    def backward(self, dh_next):
        Wx, Wh, b = self.params
        H = Wh.shape[0]
        Wxz, Wxr, Wxh = Wx[:, :H], Wx[:, H : 2 * H], Wx[:, 2 * H :]
        Whz, Whr, Whh = Wh[:, :H], Wh[:, H : 2 * H], Wh[:, 2 * H :]
        x, h_prev, z, r, h_hat = self.cache

        dh_hat = dh_next * z
        dh_prev = dh_next * (1 - z)

        # tanh
        dt = dh_hat * (1 - h_hat**2)
        dbh = np.sum(dt, axis=0)
        dWhh = np.dot((r * h_prev).T, dt)
        dhr = np.dot(dt, Whh.T)
        dWxh = np.dot(x.T, dt)
        dx = np.dot(dt, Wxh.T)
        dh_prev += r * dhr

        # the update gate
        dz = dh_next * h_hat - dh_next * h_prev
        dt = dz * z * (1 - z)
        dbz = np.sum(dt, axis=0)
        dWhz = np.dot(h_prev.T, dt)
        dh_prev += np.dot(dt, Whz.T)
        dWxz = np.dot(x.T, dt)
        dx += np.dot(dt, Wxz.T)

        # the reset gate
        dr = dhr * h_prev
        dt = dr * r * (1 - r)
        dbr = np.sum(dt, axis=0)
        dWhr = np.dot(h_prev.T, dt)
        dh_prev += np.dot(dt, Whr.T)
        dWxr = np.dot(x.T, dt)
        dx += np.dot(dt, Wxr.T)

        self.grads[0][...] = np.hstack((dWxz, dWxr, dWxh))
        self.grads[1][...] = np.hstack((dWhz, dWhr, dWhh))
        self.grads[2][...] = np.hstack((dbz, dbr, dbh))
        return dx, dh_prev


class TimeGRU:
    def __init__(self, Wx, Wh, b, stateful=False):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        self.layers = None
        self.h, self.dh = None, None
        self.stateful = stateful

    def forward(self, xs):
        Wx, Wh, b = self.params
        N, T, D = xs.shape
        H = Wh.shape[0]

        self.layers = []
        hs = np.empty((N, T, H), dtype=Wx.dtype)
        if not self.stateful or self.h is None:
            self.h = np.zeros((N, H), dtype=Wx.dtype)

        for t in range(T):
            layer = GRU(*self.params)
            self.h = layer.forward(xs[:, t, :], self.h)
            hs[:, t, :] = self.h
            self.layers.append(layer)
        return hs

    def backward(self, dhs):
        Wx, Wh, b = self.params
        N, T, H = dhs.shape
        D = Wx.shape[0]

        dxs = np.empty((N, T, D), dtype=Wx.dtype)
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


class TimeDropout:
    def __init__(self, dropout_ratio=0.5):
        self.params, self.grads = [], []
        self.dropout_ratio = dropout_ratio
        self.mask = None
        self.train_flg = True

    def forward(self, xs):
        if self.train_flg:
            flg = np.random.rand(*xs.shape) > self.dropout_ratio
            scale = 1 / (1.0 - self.dropout_ratio)
            self.mask = flg.astype(xs.dtype) * scale
            return xs * self.mask
        else:
            return xs

    def backward(self, dout):
        return dout * self.mask


class Rnnlm:
    def __init__(self, vocab_size, wordvec_size, hidden_size, dtype="f"):
        V, D, H = vocab_size, wordvec_size, hidden_size
        rn = np.random.randn

        embed_W = (rn(V, D) / 100).astype(dtype)
        lstm_Wx = (rn(D, 4 * H) / np.sqrt(D)).astype(dtype)
        lstm_Wh = (rn(H, 4 * H) / np.sqrt(H)).astype(dtype)
        lstm_b = np.zeros(4 * H).astype(dtype)
        affine_W = (rn(H, V) / np.sqrt(H)).astype(dtype)
        affine_b = np.zeros(V).astype(dtype)

        self.layers = [
            TimeEmbedding(embed_W),
            TimeLSTM(lstm_Wx, lstm_Wh, lstm_b, stateful=True),
            TimeAffine(affine_W, affine_b),
        ]
        self.loss_layer = TimeSoftmaxWithLoss()
        self.lstm_layer = self.layers[1]

        self.params, self.grads = [], []
        for layer in self.layers:
            self.params += layer.params
            self.grads += layer.grads

    def predict(self, xs):
        for layer in self.layers:
            xs = layer.forward(xs)
        return xs

    def forward(self, xs, ts):
        score = self.predict(xs)
        loss = self.loss_layer.forward(score, ts)
        return loss

    def backward(self, dout=1):
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout

    def reset_state(self):
        self.lstm_layer.reset_state()


class BetterRnnlm:
    """Two LSTMs, dropout, and one weight for the embedding and, turned, for the affine."""

    def __init__(self, vocab_size, wordvec_size, hidden_size, dropout_ratio=0.5, dtype="f"):
        V, D, H = vocab_size, wordvec_size, hidden_size
        rn = np.random.randn

        embed_W = (rn(V, D) / 100).astype(dtype)
        lstm_Wx1 = (rn(D, 4 * H) / np.sqrt(D)).astype(dtype)
        lstm_Wh1 = (rn(H, 4 * H) / np.sqrt(H)).astype(dtype)
        lstm_b1 = np.zeros(4 * H).astype(dtype)
        lstm_Wx2 = (rn(H, 4 * H) / np.sqrt(H)).astype(dtype)
        lstm_Wh2 = (rn(H, 4 * H) / np.sqrt(H)).astype(dtype)
        lstm_b2 = np.zeros(4 * H).astype(dtype)
        affine_b = np.zeros(V).astype(dtype)

        self.layers = [
            TimeEmbedding(embed_W),
            TimeDropout(dropout_ratio),
            TimeLSTM(lstm_Wx1, lstm_Wh1, lstm_b1, stateful=True),
            TimeDropout(dropout_ratio),
            TimeLSTM(lstm_Wx2, lstm_Wh2, lstm_b2, stateful=True),
            TimeDropout(dropout_ratio),
            TimeAffine(embed_W.T, affine_b),  # weight tying
        ]
        self.loss_layer = TimeSoftmaxWithLoss()
        self.lstm_layers = [self.layers[2], self.layers[4]]
        self.drop_layers = [self.layers[1], self.layers[3], self.layers[5]]

        self.params, self.grads = [], []
        for layer in self.layers:
            self.params += layer.params
            self.grads += layer.grads

    def predict(self, xs, train_flg=False):
        for layer in self.drop_layers:
            layer.train_flg = train_flg
        for layer in self.layers:
            xs = layer.forward(xs)
        return xs

    def forward(self, xs, ts, train_flg=True):
        score = self.predict(xs, train_flg)
        loss = self.loss_layer.forward(score, ts)
        return loss

    def backward(self, dout=1):
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout

    def reset_state(self):
        for layer in self.lstm_layers:
            layer.reset_state()


# --- chapter 7: sequence to sequence ---------------------------------------------------------------------------------


class Encoder:
    def __init__(self, vocab_size, wordvec_size, hidden_size, dtype="f"):
        V, D, H = vocab_size, wordvec_size, hidden_size
        rn = np.random.randn

        embed_W = (rn(V, D) / 100).astype(dtype)
        lstm_Wx = (rn(D, 4 * H) / np.sqrt(D)).astype(dtype)
        lstm_Wh = (rn(H, 4 * H) / np.sqrt(H)).astype(dtype)
        lstm_b = np.zeros(4 * H).astype(dtype)

        self.embed = TimeEmbedding(embed_W)
        self.lstm = TimeLSTM(lstm_Wx, lstm_Wh, lstm_b, stateful=False)
        self.params = self.embed.params + self.lstm.params
        self.grads = self.embed.grads + self.lstm.grads
        self.hs = None

    def forward(self, xs):
        xs = self.embed.forward(xs)
        hs = self.lstm.forward(xs)
        self.hs = hs
        return hs[:, -1, :]

    def backward(self, dh):
        dhs = np.zeros_like(self.hs)
        dhs[:, -1, :] = dh
        dout = self.lstm.backward(dhs)
        dout = self.embed.backward(dout)
        return dout


class Decoder:
    def __init__(self, vocab_size, wordvec_size, hidden_size, dtype="f"):
        V, D, H = vocab_size, wordvec_size, hidden_size
        rn = np.random.randn

        embed_W = (rn(V, D) / 100).astype(dtype)
        lstm_Wx = (rn(D, 4 * H) / np.sqrt(D)).astype(dtype)
        lstm_Wh = (rn(H, 4 * H) / np.sqrt(H)).astype(dtype)
        lstm_b = np.zeros(4 * H).astype(dtype)
        affine_W = (rn(H, V) / np.sqrt(H)).astype(dtype)
        affine_b = np.zeros(V).astype(dtype)

        self.embed = TimeEmbedding(embed_W)
        self.lstm = TimeLSTM(lstm_Wx, lstm_Wh, lstm_b, stateful=True)
        self.affine = TimeAffine(affine_W, affine_b)
        self.params, self.grads = [], []
        for layer in (self.embed, self.lstm, self.affine):
            self.params += layer.params
            self.grads += layer.grads

    def forward(self, xs, h):
        self.lstm.set_state(h)
        out = self.embed.forward(xs)
        out = self.lstm.forward(out)
        score = self.affine.forward(out)
        return score

    def backward(self, dscore):
        dout = self.affine.backward(dscore)
        dout = self.lstm.backward(dout)
        dout = self.embed.backward(dout)
        dh = self.lstm.dh
        return dh


class PeekyDecoder:
    def __init__(self, vocab_size, wordvec_size, hidden_size, dtype="f"):
        V, D, H = vocab_size, wordvec_size, hidden_size
        rn = np.random.randn

        embed_W = (rn(V, D) / 100).astype(dtype)
        lstm_Wx = (rn(H + D, 4 * H) / np.sqrt(H + D)).astype(dtype)
        lstm_Wh = (rn(H, 4 * H) / np.sqrt(H)).astype(dtype)
        lstm_b = np.zeros(4 * H).astype(dtype)
        affine_W = (rn(H + H, V) / np.sqrt(H + H)).astype(dtype)
        affine_b = np.zeros(V).astype(dtype)

        self.embed = TimeEmbedding(embed_W)
        self.lstm = TimeLSTM(lstm_Wx, lstm_Wh, lstm_b, stateful=True)
        self.affine = TimeAffine(affine_W, affine_b)
        self.params, self.grads = [], []
        for layer in (self.embed, self.lstm, self.affine):
            self.params += layer.params
            self.grads += layer.grads
        self.cache = None

    def forward(self, xs, h):
        N, T = xs.shape
        N, H = h.shape
        self.lstm.set_state(h)

        out = self.embed.forward(xs)
        hs = np.repeat(h, T, axis=0).reshape(N, T, H)
        out = np.concatenate((hs, out), axis=2)
        out = self.lstm.forward(out)
        out = np.concatenate((hs, out), axis=2)
        score = self.affine.forward(out)
        self.cache = H
        return score

    def backward(self, dscore):
        H = self.cache
        dout = self.affine.backward(dscore)
        dout, dhs0 = dout[:, :, H:], dout[:, :, :H]
        dout = self.lstm.backward(dout)
        dembed, dhs1 = dout[:, :, H:], dout[:, :, :H]
        self.embed.backward(dembed)

        dhs = dhs0 + dhs1
        dh = self.lstm.dh + np.sum(dhs, axis=1)
        return dh


class Seq2seq:
    def __init__(self, vocab_size, wordvec_size, hidden_size, dtype="f"):
        V, D, H = vocab_size, wordvec_size, hidden_size
        self.encoder = Encoder(V, D, H, dtype)
        self.decoder = Decoder(V, D, H, dtype)
        self.softmax = TimeSoftmaxWithLoss()
        self.params = self.encoder.params + self.decoder.params
        self.grads = self.encoder.grads + self.decoder.grads

    def forward(self, xs, ts):
        decoder_xs, decoder_ts = ts[:, :-1], ts[:, 1:]
        h = self.encoder.forward(xs)
        score = self.decoder.forward(decoder_xs, h)
        loss = self.softmax.forward(score, decoder_ts)
        return loss

    def backward(self, dout=1):
        dout = self.softmax.backward(dout)
        dh = self.decoder.backward(dout)
        dout = self.encoder.backward(dh)
        return dout


class PeekySeq2seq(Seq2seq):
    def __init__(self, vocab_size, wordvec_size, hidden_size, dtype="f"):
        V, D, H = vocab_size, wordvec_size, hidden_size
        self.encoder = Encoder(V, D, H, dtype)
        self.decoder = PeekyDecoder(V, D, H, dtype)
        self.softmax = TimeSoftmaxWithLoss()
        self.params = self.encoder.params + self.decoder.params
        self.grads = self.encoder.grads + self.decoder.grads


# --- chapter 8: attention --------------------------------------------------------------------------------------------


class WeightSum:
    def __init__(self):
        self.params, self.grads = [], []
        self.cache = None

    def forward(self, hs, a):
        N, T, H = hs.shape
        ar = a.reshape(N, T, 1).repeat(H, axis=2)
        t = hs * ar
        c = np.sum(t, axis=1)
        self.cache = (hs, ar)
        return c

    def backward(self, dc):
        hs, ar = self.cache
        N, T, H = hs.shape
        dt = dc.reshape(N, 1, H).repeat(T, axis=1)
        dar = dt * hs
        dhs = dt * ar
        da = np.sum(dar, axis=2)
        return dhs, da


class AttentionWeight:
    def __init__(self):
        self.params, self.grads = [], []
        self.softmax = Softmax()
        self.cache = None

    def forward(self, hs, h):
        N, T, H = hs.shape
        hr = h.reshape(N, 1, H).repeat(T, axis=1)
        t = hs * hr
        s = np.sum(t, axis=2)
        a = self.softmax.forward(s)
        self.cache = (hs, hr)
        return a

    def backward(self, da):
        hs, hr = self.cache
        N, T, H = hs.shape
        ds = self.softmax.backward(da)
        dt = ds.reshape(N, T, 1).repeat(H, axis=2)
        dhs = dt * hr
        dhr = dt * hs
        dh = np.sum(dhr, axis=1)
        return dhs, dh


class Attention:
    def __init__(self):
        self.params, self.grads = [], []
        self.attention_weight_layer = AttentionWeight()
        self.weight_sum_layer = WeightSum()
        self.attention_weight = None

    def forward(self, hs, h):
        a = self.attention_weight_layer.forward(hs, h)
        out = self.weight_sum_layer.forward(hs, a)
        self.attention_weight = a
        return out

    def backward(self, dout):
        dhs0, da = self.weight_sum_layer.backward(dout)
        dhs1, dh = self.attention_weight_layer.backward(da)
        dhs = dhs0 + dhs1
        return dhs, dh


class TimeAttention:
    def __init__(self):
        self.params, self.grads = [], []
        self.layers = None
        self.attention_weights = None

    def forward(self, hs_enc, hs_dec):
        N, T, H = hs_dec.shape
        out = np.empty_like(hs_dec)
        self.layers = []
        self.attention_weights = []
        for t in range(T):
            layer = Attention()
            out[:, t, :] = layer.forward(hs_enc, hs_dec[:, t, :])
            self.layers.append(layer)
            self.attention_weights.append(layer.attention_weight)
        return out

    def backward(self, dout):
        N, T, H = dout.shape
        dhs_enc = 0
        dhs_dec = np.empty_like(dout)
        for t in range(T):
            layer = self.layers[t]
            dhs, dh = layer.backward(dout[:, t, :])
            dhs_enc += dhs
            dhs_dec[:, t, :] = dh
        return dhs_enc, dhs_dec


class AttentionEncoder(Encoder):
    def forward(self, xs):
        xs = self.embed.forward(xs)
        hs = self.lstm.forward(xs)
        return hs

    def backward(self, dhs):
        dout = self.lstm.backward(dhs)
        dout = self.embed.backward(dout)
        return dout


class AttentionDecoder:
    def __init__(self, vocab_size, wordvec_size, hidden_size, dtype="f"):
        V, D, H = vocab_size, wordvec_size, hidden_size
        rn = np.random.randn

        embed_W = (rn(V, D) / 100).astype(dtype)
        lstm_Wx = (rn(D, 4 * H) / np.sqrt(D)).astype(dtype)
        lstm_Wh = (rn(H, 4 * H) / np.sqrt(H)).astype(dtype)
        lstm_b = np.zeros(4 * H).astype(dtype)
        affine_W = (rn(2 * H, V) / np.sqrt(2 * H)).astype(dtype)
        affine_b = np.zeros(V).astype(dtype)

        self.embed = TimeEmbedding(embed_W)
        self.lstm = TimeLSTM(lstm_Wx, lstm_Wh, lstm_b, stateful=True)
        self.attention = TimeAttention()
        self.affine = TimeAffine(affine_W, affine_b)
        layers = [self.embed, self.lstm, self.attention, self.affine]
        self.params, self.grads = [], []
        for layer in layers:
            self.params += layer.params
            self.grads += layer.grads

    def forward(self, xs, enc_hs):
        h = enc_hs[:, -1]
        self.lstm.set_state(h)
        out = self.embed.forward(xs)
        dec_hs = self.lstm.forward(out)
        c = self.attention.forward(enc_hs, dec_hs)
        out = np.concatenate((c, dec_hs), axis=2)
        score = self.affine.forward(out)
        return score

    def backward(self, dscore):
        dout = self.affine.backward(dscore)
        N, T, H2 = dout.shape
        H = H2 // 2
        dc, ddec_hs0 = dout[:, :, :H], dout[:, :, H:]
        denc_hs, ddec_hs1 = self.attention.backward(dc)
        ddec_hs = ddec_hs0 + ddec_hs1
        dout = self.lstm.backward(ddec_hs)
        dh = self.lstm.dh
        denc_hs[:, -1] += dh
        self.embed.backward(dout)
        return denc_hs


class AttentionSeq2seq(Seq2seq):
    def __init__(self, vocab_size, wordvec_size, hidden_size, dtype="f"):
        args = vocab_size, wordvec_size, hidden_size, dtype
        self.encoder = AttentionEncoder(*args)
        self.decoder = AttentionDecoder(*args)
        self.softmax = TimeSoftmaxWithLoss()
        self.params = self.encoder.params + self.decoder.params
        self.grads = self.encoder.grads + self.decoder.grads


# --- what is checked -------------------------------------------------------------------------------------------------


def weights(rng, D, H, gates=1):
    return (
        rng.standard_normal((D, gates * H)) / np.sqrt(D),
        rng.standard_normal((H, gates * H)) / np.sqrt(H),
        0.1 * rng.standard_normal(gates * H),
    )


def make_rnn():
    rng = np.random.default_rng(301)
    return RNN(*weights(rng, 3, 4)), (rng.standard_normal((2, 3)), rng.standard_normal((2, 4)))


def make_time_rnn():
    rng = np.random.default_rng(302)
    return TimeRNN(*weights(rng, 3, 4)), (rng.standard_normal((2, 4, 3)),)


def make_stateful_time_rnn():
    rng = np.random.default_rng(303)
    return TimeRNN(*weights(rng, 3, 4), stateful=True), (rng.standard_normal((2, 3, 3)),)


def make_second_block():
    """The first block has been read: the state goes on from it, and is a constant to the second block."""
    rng = np.random.default_rng(304)
    layer = TimeRNN(*weights(rng, 3, 4), stateful=True)
    layer.forward(rng.standard_normal((2, 3, 3)))
    return layer, (rng.standard_normal((2, 3, 3)),)


def make_single_time_rnn():
    rng = np.random.default_rng(305)
    layer = SingleTimeRNN(*[w.astype("f") for w in weights(rng, 3, 4)])
    return layer, (rng.standard_normal((2, 4, 3)).astype("f"),)


def make_time_embedding():
    return TimeEmbedding(np.random.default_rng(306).standard_normal((6, 3))), (
        np.array([[0, 2, 2, 1], [5, 0, 2, 3]]),
    )


def make_time_affine():
    rng = np.random.default_rng(307)
    return TimeAffine(rng.standard_normal((3, 4)), rng.standard_normal(4)), (rng.standard_normal((2, 3, 3)),)


def make_time_softmax():
    rng = np.random.default_rng(308)
    return TimeSoftmaxWithLoss(), (rng.standard_normal((2, 3, 4)), np.array([[0, 3, 1], [2, 2, 0]]))


def make_time_softmax_ignoring():
    rng = np.random.default_rng(309)
    return TimeSoftmaxWithLoss(), (rng.standard_normal((2, 4, 4)), np.array([[0, 3, -1, -1], [2, 2, 0, -1]]))


def make_time_softmax_one_hot():
    rng = np.random.default_rng(310)
    return TimeSoftmaxWithLoss(), (
        rng.standard_normal((2, 3, 4)),
        np.eye(4, dtype=int)[[[0, 3, 1], [2, 2, 0]]],
    )


def make_time_sigmoid():
    rng = np.random.default_rng(311)
    return TimeSigmoidWithLoss(), (rng.standard_normal((3, 4)), rng.integers(0, 2, (3, 4)))


XS, TS = np.array([[0, 2, 4], [1, 2, 3]]), np.array([[2, 4, 1], [2, 3, 0]])


def make_simple_rnnlm(dtype="d"):
    np.random.seed(312)
    return SimpleRnnlm(5, 3, 4, dtype), (XS, TS)


def make_lstm():
    rng = np.random.default_rng(313)
    inputs = rng.standard_normal((2, 3)), rng.standard_normal((2, 4)), rng.standard_normal((2, 4))
    return LSTM(*weights(rng, 3, 4, 4)), inputs


def make_time_lstm():
    rng = np.random.default_rng(314)
    return TimeLSTM(*weights(rng, 3, 3, 4)), (rng.standard_normal((2, 4, 3)),)


def make_stateful_time_lstm():
    rng = np.random.default_rng(315)
    return TimeLSTM(*weights(rng, 3, 3, 4), stateful=True), (rng.standard_normal((2, 3, 3)),)


def make_time_bi_lstm():
    rng = np.random.default_rng(316)
    return TimeBiLSTM(*weights(rng, 3, 2, 4), *weights(rng, 3, 2, 4)), (rng.standard_normal((2, 3, 3)),)


def make_gru():
    rng = np.random.default_rng(317)
    return GRU(*weights(rng, 3, 4, 3)), (rng.standard_normal((2, 3)), rng.standard_normal((2, 4)))


def make_time_gru():
    rng = np.random.default_rng(318)
    return TimeGRU(*weights(rng, 3, 3, 3)), (rng.standard_normal((2, 4, 3)),)


def make_time_dropout():
    return TimeDropout(0.3), (np.random.default_rng(319).standard_normal((2, 4, 3)),)


def make_rnnlm(dtype="d"):
    np.random.seed(320)
    return Rnnlm(5, 3, 3, dtype), (XS, TS)


def make_better_rnnlm():
    np.random.seed(321)
    net = BetterRnnlm(5, 3, 3, 0.3, "d")
    net.params[0][...] *= 50  # as after some training: at first the embedding is next to nothing
    return net, (XS, TS)


QUESTIONS, ANSWERS = np.array([[0, 2, 4, 1], [1, 3, 2, 2]]), np.array([[4, 0, 3, 1], [4, 2, 2, 0]])


def make_encoder():
    np.random.seed(322)
    return Encoder(5, 3, 3, "d"), (QUESTIONS,)


def make_decoder():
    np.random.seed(323)
    return Decoder(5, 3, 3, "d"), (ANSWERS[:, :-1], np.random.randn(2, 3))


def make_peeky_decoder():
    np.random.seed(324)
    return PeekyDecoder(5, 3, 3, "d"), (ANSWERS[:, :-1], np.random.randn(2, 3))


def make_seq2seq(dtype="d"):
    np.random.seed(325)
    return Seq2seq(5, 3, 3, dtype), (QUESTIONS, ANSWERS)


def make_peeky_seq2seq():
    np.random.seed(326)
    return PeekySeq2seq(5, 3, 3, "d"), (QUESTIONS, ANSWERS)


def make_weight_sum():
    rng = np.random.default_rng(327)
    return WeightSum(), (rng.standard_normal((2, 4, 3)), softmax(rng.standard_normal((2, 4))))


def make_attention_weight():
    rng = np.random.default_rng(328)
    return AttentionWeight(), (rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 3)))


def make_attention():
    rng = np.random.default_rng(329)
    return Attention(), (rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 3)))


def make_time_attention():
    rng = np.random.default_rng(330)
    return TimeAttention(), (rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 3, 3)))


def make_attention_decoder():
    np.random.seed(331)
    return AttentionDecoder(5, 3, 3, "d"), (ANSWERS[:, :-1], np.random.randn(2, 4, 3))


def make_attention_seq2seq():
    np.random.seed(332)
    return AttentionSeq2seq(5, 3, 3, "d"), (QUESTIONS, ANSWERS)


def stateful_book(name, form, make, wrt=(0,), seed=None):
    """Before each forward of the proof, the state is reset, as the book does before a new text."""

    def call(gradlab):
        if seed is not None:
            np.random.seed(seed)
        layer, inputs = make()
        return gradlab.check_layer(layer, *inputs)

    def prove():
        layer, inputs = make()

        def before():
            layer.reset_state()
            if seed is not None:
                np.random.seed(seed)

        return prove_layer(layer, inputs, wrt, lists, before)

    return Book("volume 2: " + name, form, call, prove)


def prove_second_block():
    layer, inputs = make_second_block()
    h = layer.h.copy()
    return prove_layer(layer, inputs, (0,), lists, lambda: layer.set_state(h))


def prove_single_time_rnn():
    """The gradient in single precision, the differences of a TimeRNN of the same weights in double."""
    layer, (xs,) = make_single_time_rnn()
    hs = layer.forward(xs)
    dhs = np.random.default_rng(1).standard_normal(hs.shape).astype("f")
    dxs = layer.backward(dhs)
    assert hs.dtype == dxs.dtype == np.float32
    exact, xs = TimeRNN(*[w.astype("d") for w in layer.params]), xs.astype("d")
    claims = [dxs, *layer.grads]
    arrays = [xs, *exact.params]
    return [
        (c.copy(), slopes(lambda: np.sum(exact.forward(xs) * dhs), a))
        for c, a in zip(claims, arrays, strict=True)
    ]


def prove_float32(make):
    """The gradient in single precision, the differences of the same model in double."""

    def prove():
        net, inputs = make("f")
        net.forward(*inputs)
        net.backward()
        exact, _ = make("d")
        for wide, narrow in zip(exact.params, net.params, strict=True):
            assert narrow.dtype == np.float32
            wide[...] = narrow

        def value():
            if hasattr(exact, "reset_state"):
                exact.reset_state()
            return exact.forward(*inputs)

        claims = [claim for _, claim in merged(net.params, net.grads)]
        return [(claim, slopes(value, param)) for claim, param in zip(claims, exact.params, strict=True)]

    return prove


def call_of(make, *args):
    def call(gradlab):
        layer, inputs = make(*args)
        return gradlab.check_layer(layer, *inputs)

    return call


ENTRIES = [
    layer_book("RNN", "one step: x and h_prev in, dx and dh_prev out", make_rnn, (0, 1)),
    layer_book("TimeRNN", "a layer for each time; gradients added up", make_time_rnn),
    stateful_book("TimeRNN, stateful", "keeps h from one forward to the next", make_stateful_time_rnn),
    Book(
        "volume 2: TimeRNN, second block",
        "stateful, called with the state that the first block left",
        call_of(make_second_block),
        prove_second_block,
    ),
    Book(
        "volume 2: TimeRNN, float32",
        "hs and dxs are np.empty(..., dtype='f'), weights and xs are float32",
        call_of(make_single_time_rnn),
        prove_single_time_rnn,
        1e-2,
    ),
    layer_book("TimeEmbedding", "repeated words; backward returns None", make_time_embedding, ()),
    layer_book("TimeAffine", "three axes", make_time_affine),
    layer_book("TimeSoftmaxWithLoss", "backward overwrites the ys in its cache", make_time_softmax),
    layer_book(
        "TimeSoftmaxWithLoss, ignoring -1",
        "mean over what is not ignored; overwrites",
        make_time_softmax_ignoring,
    ),
    layer_book(
        "TimeSoftmaxWithLoss, one-hot",
        "three axes of labels; overwrites its cache",
        make_time_softmax_one_hot,
    ),
    layer_book("TimeSigmoidWithLoss", "a loss for each time, their mean", make_time_sigmoid),
    stateful_book(
        "SimpleRnnlm", "stateful TimeRNN between embedding and affine; returns None", make_simple_rnnlm, ()
    ),
    Book(
        "volume 2: SimpleRnnlm, float32",
        "weights .astype('f') as the book has it; stateful; returns None",
        call_of(make_simple_rnnlm, "f"),
        prove_float32(make_simple_rnnlm),
        1e-2,
    ),
    layer_book("LSTM", "one step: two outputs, so backward(dh_next, dc_next)", make_lstm, (0, 1, 2)),
    layer_book("TimeLSTM", "h and c begin at zero in every forward", make_time_lstm),
    stateful_book(
        "TimeLSTM, stateful", "keeps h and c from one forward to the next", make_stateful_time_lstm
    ),
    layer_book("TimeBiLSTM", "two TimeLSTM, one of them backwards in time", make_time_bi_lstm),
    layer_book("GRU", "one step, with bias", make_gru, (0, 1)),
    layer_book("TimeGRU", "a GRU for each time", make_time_gru),
    layer_book(
        "TimeDropout",
        "scaled; a new mask from np.random in every forward",
        make_time_dropout,
        before=lambda: np.random.seed(8),
    ),
    stateful_book("Rnnlm", "stateful TimeLSTM between embedding and affine; returns None", make_rnnlm, ()),
    stateful_book(
        "BetterRnnlm",
        "two stateful LSTMs, dropout from np.random, params holds embed_W and embed_W.T, a part of the gradient each",
        make_better_rnnlm,
        (),
        seed=9,
    ),
    layer_book("Encoder", "words in, the last h out; backward returns None", make_encoder, ()),
    layer_book(
        "Decoder", "words and h in, backward returns dh alone; sets the state itself", make_decoder, (1,)
    ),
    layer_book(
        "PeekyDecoder", "h goes to every time of two layers; dh alone comes back", make_peeky_decoder, (1,)
    ),
    layer_book("Seq2seq", "encoder and decoder; ts is both input and target; returns None", make_seq2seq, ()),
    Book(
        "volume 2: Seq2seq, float32",
        "weights .astype('f') as the book has it; returns None",
        call_of(make_seq2seq, "f"),
        prove_float32(make_seq2seq),
        1e-2,
    ),
    layer_book("PeekySeq2seq", "with the peeky decoder; returns None", make_peeky_seq2seq, ()),
    layer_book("WeightSum", "hs and a in, dhs and da out", make_weight_sum, (0, 1)),
    layer_book(
        "AttentionWeight", "hs and h in, softmax of their products out", make_attention_weight, (0, 1)
    ),
    layer_book("Attention", "the two together; hs is used twice", make_attention, (0, 1)),
    layer_book("TimeAttention", "an attention for each time of the decoder", make_time_attention, (0, 1)),
    layer_book(
        "AttentionDecoder", "words and enc_hs in, denc_hs alone comes back", make_attention_decoder, (1,)
    ),
    layer_book("AttentionSeq2seq", "encoder, attention, decoder; returns None", make_attention_seq2seq, ()),
]
