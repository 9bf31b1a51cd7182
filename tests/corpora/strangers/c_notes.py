"""Functions with caches and nets that return the loss and the gradients, as in course notes (CS231n)."""

import numpy as np

from ._entry import Stranger
from ._help_c import cotangent, pairs


def rng(seed):
    return np.random.default_rng(seed)


# ---------------------------------------------------------------- layer norm


def layernorm_forward(x, gamma, beta, ln_param=None):
    eps = (ln_param or {}).get("eps", 1e-5)
    mu = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    inv_std = 1.0 / np.sqrt(var + eps)
    x_hat = (x - mu) * inv_std
    out = gamma * x_hat + beta
    cache = (x_hat, inv_std, gamma)
    return out, cache


def layernorm_backward(dout, cache):
    x_hat, inv_std, gamma = cache
    N, D = dout.shape
    dbeta = dout.sum(axis=0)
    dgamma = (dout * x_hat).sum(axis=0)
    dx_hat = dout * gamma
    dx = (
        inv_std
        / D
        * (
            D * dx_hat
            - dx_hat.sum(axis=1, keepdims=True)
            - x_hat * (dx_hat * x_hat).sum(axis=0, keepdims=True)
        )
    )
    return dx, dgamma, dbeta


def layernorm_primals():
    r = rng(201)
    return r.standard_normal((12, 20)), r.standard_normal(20), r.standard_normal(20)


# ---------------------------------------------------------------- spatial group norm


def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
    eps = gn_param.get("eps", 1e-5)
    N, C, H, W = x.shape
    xg = x.reshape(N, G, C // G, H, W)
    mean = np.mean(xg, axis=(2, 3, 4), keepdims=True)
    var = np.var(xg, axis=(2, 3, 4), keepdims=True)
    xn = ((xg - mean) / np.sqrt(var + eps)).reshape(x.shape)
    out = gamma * xn + beta
    return out, (xn, var, eps, gamma, G)


def spatial_groupnorm_backward(dout, cache):
    xn, var, eps, gamma, G = cache
    N, C, H, W = dout.shape
    dbeta = np.sum(dout, axis=(0, 2, 3), keepdims=True)
    dgamma = np.sum(dout * xn, axis=(0, 2, 3), keepdims=True)
    dxn = (dout * gamma).reshape(N, G, C // G, H, W)
    xg = xn.reshape(dxn.shape)
    m = (C // G) * H * W
    s1 = dxn.sum(axis=(2, 3, 4), keepdims=True)
    s2 = (dxn * xg).sum(axis=(2, 3, 4), keepdims=True)
    dx = (dxn - s1 / m - xg * s2 / m) / np.sqrt(var + eps)
    return dx.reshape(N, C, H, W), dgamma, dbeta


def groupnorm_primals():
    r = rng(202)
    return (
        r.standard_normal((2, 6, 3, 2)),
        1 + 0.3 * r.standard_normal((1, 6, 1, 1)),
        r.standard_normal((1, 6, 1, 1)),
    )


def groupnorm(x, gamma, beta):
    return spatial_groupnorm_forward(x, gamma, beta, 3, {"eps": 1e-5})


# ---------------------------------------------------------------- naive convolution and pooling


def conv_forward_naive(x, w, b, conv_param):
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    H_out = 1 + (H + 2 * pad - HH) // stride
    W_out = 1 + (W + 2 * pad - WW) // stride
    x_pad = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    out = np.zeros((N, F, H_out, W_out))
    for n in range(N):
        for f in range(F):
            for i in range(H_out):
                for j in range(W_out):
                    window = x_pad[n, :, i * stride : i * stride + HH, j * stride : j * stride + WW]
                    out[n, f, i, j] = np.sum(window * w[f]) + b[f]
    return out, (x, w, b, conv_param)


def conv_backward_naive(dout, cache):
    x, w, b, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    F, _, HH, WW = w.shape
    N, _, H_out, W_out = dout.shape
    x_pad = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    dx_pad, dw, db = np.zeros_like(x_pad), np.zeros_like(w), np.zeros_like(b)
    for n in range(N):
        for f in range(F):
            db[f] += np.sum(dout[n, f])
            for i in range(H_out):
                for j in range(W_out):
                    rows = slice(i * stride, i * stride + HH)
                    cols = slice(j * stride, j * stride + WW)
                    dw[f] += x_pad[n, :, rows, cols] * dout[n, f, i, j]
                    dx_pad[n, :, rows, cols] += w[f] * dout[n, f, i, j]
    dx = dx_pad[:, :, pad:-pad, pad:-pad] if pad else dx_pad
    return dx, dw, db


def conv_primals():
    r = rng(203)
    return r.standard_normal((2, 2, 5, 5)), 0.4 * r.standard_normal((3, 2, 3, 3)), r.standard_normal(3)


def conv(x, w, b):
    return conv_forward_naive(x, w, b, {"stride": 2, "pad": 1})


def max_pool_forward_naive(x, pool_param):
    ph, pw, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    N, C, H, W = x.shape
    out = np.zeros((N, C, 1 + (H - ph) // s, 1 + (W - pw) // s))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            out[:, :, i, j] = x[:, :, i * s : i * s + ph, j * s : j * s + pw].max(axis=(2, 3))
    return out, (x, pool_param)


def max_pool_backward_naive(dout, cache):
    x, pool_param = cache
    ph, pw, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    dx = np.zeros_like(x)
    N, C, H_out, W_out = dout.shape
    for n in range(N):
        for c in range(C):
            for i in range(H_out):
                for j in range(W_out):
                    window = x[n, c, i * s : i * s + ph, j * s : j * s + pw]
                    mask = window == window.max()
                    dx[n, c, i : i + ph, j : j + pw] += mask * dout[n, c, i, j]
    return dx


def pool_primals():
    return (rng(204).permutation(96).reshape(2, 2, 4, 6) / 16.0,)


def pool(x):
    return max_pool_forward_naive(x, {"pool_height": 2, "pool_width": 2, "stride": 2})


# ---------------------------------------------------------------- nets


class FullyConnectedNet:
    def __init__(self, hidden_dims, input_dim, num_classes, reg=0.0, weight_scale=0.5, seed=None):
        r = np.random.default_rng(seed)
        dims = [input_dim, *hidden_dims, num_classes]
        self.reg = reg
        self.num_layers = 1 + len(hidden_dims)
        self.params = {}
        for i in range(self.num_layers):
            self.params["W%d" % (i + 1)] = weight_scale * r.standard_normal((dims[i], dims[i + 1]))
            self.params["b%d" % (i + 1)] = 0.1 * r.standard_normal(dims[i + 1])

    def loss(self, X, y=None):
        mode = "test" if y is None else "train"
        caches, h = [], X
        for i in range(1, self.num_layers + 1):
            a = h @ self.params["W%d" % i] + self.params["b%d" % i]
            caches.append((h, a))
            h = np.maximum(a, 0) if i < self.num_layers else a
        scores = h
        if mode == "test":
            return scores
        shifted = scores - scores.max(axis=1, keepdims=True)
        log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        N = X.shape[0]
        loss = -log_probs[np.arange(N), y].mean()
        grads = {}
        d = np.exp(log_probs)
        d[np.arange(N), y] -= 1
        d /= N
        for i in range(self.num_layers, 0, -1):
            W = self.params["W%d" % i]
            h, a = caches[i - 1]
            if i < self.num_layers:
                d = d * (a > 0)
            loss += 0.5 * self.reg * np.sum(W * W)
            grads["W%d" % i] = h.T @ d + self.reg * W
            grads["b%d" % i] = d.sum(axis=0)
            d = d @ W.T
        return loss, grads


def make_fc():
    return (
        FullyConnectedNet([20, 12], 15, 3, reg=0.3, weight_scale=0.3, seed=205),
        rng(206).standard_normal((6, 15)),
        np.array([0, 1, 2, 2, 1, 0]),
    )


def prove_fc():
    net, X, y = make_fc()
    _, grads = net.loss(X, y)
    return pairs(lambda: net.loss(X, y)[0], *[(grads[k], net.params[k]) for k in grads])


class TwoLayerNet:
    """affine - tanh - affine - SVM, with L2 regularisation."""

    def __init__(self, input_size, hidden_size, output_size, seed=0, std=0.7):
        r = np.random.default_rng(seed)
        self.params = {
            "W1": std * r.standard_normal((input_size, hidden_size)),
            "b1": 0.1 * r.standard_normal(hidden_size),
            "W2": std * r.standard_normal((hidden_size, output_size)),
            "b2": 0.1 * r.standard_normal(output_size),
        }

    def loss(self, X, y=None, reg=0.05):
        W1, b1 = self.params["W1"], self.params["b1"]
        W2, b2 = self.params["W2"], self.params["b2"]
        N = X.shape[0]
        hidden = np.tanh(X.dot(W1) + b1)
        scores = hidden.dot(W2) + b2
        if y is None:
            return scores
        rows = np.arange(N)
        margins = np.maximum(0, scores - scores[rows, y][:, None] + 1.0)
        margins[rows, y] = 0
        loss = margins.sum() / N + reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
        dscores = (margins > 0).astype(float)
        dscores[rows, y] -= dscores.sum(axis=1)
        dscores /= N
        grads = {}
        grads["W2"] = hidden.T.dot(dscores) + 2 * reg * W2
        grads["b2"] = dscores.sum(axis=0)
        dhidden = dscores.dot(W2.T) * (1 - hidden**2)
        grads["W1"] = X.T.dot(dhidden) + reg * W1
        grads["b1"] = dhidden.sum(axis=0)
        return loss, grads


def make_two():
    return TwoLayerNet(4, 6, 3, seed=207), rng(208).standard_normal((5, 4)), np.array([0, 1, 2, 2, 1])


def prove_two():
    net, X, y = make_two()
    _, grads = net.loss(X, y)
    return pairs(lambda: net.loss(X, y)[0], *[(grads[k], net.params[k]) for k in grads])


# ---------------------------------------------------------------- recurrent


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    H = prev_h.shape[1]
    a = x @ Wx + prev_h @ Wh + b
    i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H : 2 * H]), sigmoid(a[:, 2 * H : 3 * H])
    g = np.tanh(a[:, 3 * H :])
    next_c = f * prev_c + i * g
    next_h = o * np.tanh(next_c)
    cache = (i, f, o, g, x, prev_h, prev_c, Wx, Wh, next_c)
    return next_h, next_c, cache


def lstm_step_backward(dnext_h, dnext_c, cache):
    i, f, o, g, x, prev_h, prev_c, Wx, Wh, next_c = cache
    th = np.tanh(next_c)
    dc = dnext_c + dnext_h * o * (1 - th * th)
    da = np.hstack(
        [
            dc * g * i * (1 - i),
            dc * prev_c * f * (1 - f),
            dnext_h * th * o * (1 - o),
            dc * i * (1 - g * g),
        ]
    )
    dx = da @ Wx.T
    dprev_h = da @ Wh.T
    dprev_c = dc * f
    dWx = x.T @ da
    dWh = prev_h.T @ da
    db = da.sum(axis=0)
    return dx, dprev_h, dprev_c, dWx, dWh, db


def lstm_primals():
    r = rng(209)
    N, D, H = 3, 4, 2
    return (
        r.standard_normal((N, D)),
        r.standard_normal((N, H)),
        r.standard_normal((N, H)),
        0.5 * r.standard_normal((D, 4 * H)),
        0.5 * r.standard_normal((H, 4 * H)),
        0.3 * r.standard_normal(4 * H),
    )


def prove_lstm():
    primals = lstm_primals()
    dh, dc = cotangent(3, 2), cotangent(3, 2, seed=98)
    grads = lstm_step_backward(dh, dc, lstm_step_forward(*primals)[2])

    def f():
        h, c, _ = lstm_step_forward(*primals)
        return np.sum(h * dh) + np.sum(c * dc)

    return pairs(f, *zip(grads, primals, strict=True))


def rnn_forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    h = np.zeros((N, T, h0.shape[1]))
    prev = h0
    for t in range(T):
        prev = np.tanh(x[:, t] @ Wx + prev @ Wh + b)
        h[:, t] = prev
    return h, (x, h0, h, Wx, Wh)


def rnn_backward(dh, cache):
    x, h0, h, Wx, Wh = cache
    N, T, H = dh.shape
    dx = np.zeros_like(x)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(H)
    dprev = np.zeros((N, H))
    for t in range(T - 1, -1, -1):
        da = (dh[:, t] + dprev) * (1 - h[:, t] ** 2)
        prev = h[:, t - 1] if t > 0 else h0
        dx[:, t] = da @ Wx.T
        dprev = da @ Wh.T
        dWx += np.dot(x[:, t].T, da)
        dWh = np.dot(prev.T, da)
        db += np.sum(da, axis=0)
    return dx, dprev, dWx, dWh, db


def rnn_primals():
    r = rng(210)
    return (
        r.standard_normal((2, 4, 3)),
        r.standard_normal((2, 5)),
        0.5 * r.standard_normal((3, 5)),
        0.5 * r.standard_normal((5, 5)),
        0.2 * r.standard_normal(5),
    )


# ---------------------------------------------------------------- dropout, relu


def dropout_forward(x, dropout_param):
    p, mode = dropout_param["p"], dropout_param["mode"]
    if "seed" in dropout_param:
        np.random.seed(dropout_param["seed"])
    mask = None
    if mode == "train":
        mask = np.random.rand(*x.shape) < p
        out = x * mask / p
    else:
        out = x
    return out, (dropout_param, mask)


def dropout_backward(dout, cache):
    dropout_param, mask = cache
    if dropout_param["mode"] == "train":
        dx = dout * mask
    else:
        dx = dout.copy()
    return dx


def dropout(x):
    return dropout_forward(x, {"mode": "train", "p": 0.6, "seed": 123})


def dropout_primals():
    return (rng(211).standard_normal((6, 8)),)


def relu_forward(x):
    out = np.maximum(0, x)
    cache = x
    return out, cache


def relu_backward(dout, cache):
    x = cache
    dout[x <= 0] = 0
    return dout


def relu_primals():
    x = rng(212).standard_normal((5, 7))
    return (x + 0.1 * np.sign(x),)


# ----------------------------------------------------------------


def _pair(forward, backward, primals):
    def call(gradlab):
        return gradlab.check_cached_pair(forward, backward, primals())

    def prove():
        p = primals()
        out, cache = forward(*p)
        d = cotangent(*out.shape)
        grads = backward(d.copy(), cache)
        grads = grads if isinstance(grads, tuple) else (grads,)
        return pairs(lambda: np.sum(forward(*p)[0] * d), *zip(grads, p, strict=True))

    return call, prove


def _net(make):
    def call(gradlab):
        net, X, y = make()
        return gradlab.check_layer(net, X, y)

    return call


ENTRIES = [
    Stranger(
        "layer norm in one formula: one sum over the batch",
        "forward, cache and backward",
        *_pair(layernorm_forward, layernorm_backward, layernorm_primals),
        "wrong",
        "the sum of dx_hat * x_hat is over axis 0, not axis 1",
        ("wrong-sum-axis", "missing-term"),
        ("dx",),
    ),
    Stranger(
        "spatial group norm",
        "forward, cache and backward",
        *_pair(groupnorm, spatial_groupnorm_backward, groupnorm_primals),
    ),
    Stranger(
        "naive convolution with loops",
        "forward, cache and backward",
        *_pair(conv, conv_backward_naive, conv_primals),
    ),
    Stranger(
        "naive max pooling: the stride is forgotten on the way back",
        "forward, cache and backward",
        *_pair(pool, max_pool_backward_naive, pool_primals),
        "wrong",
        "the window of dx begins at i, j and not at i * stride, j * stride",
        ("shifted", "axes-permuted", "columns-exchanged", "masked-region"),
        ("dx",),
    ),
    Stranger(
        "fully connected net of any depth with regularisation",
        "net whose loss returns loss and grads",
        _net(make_fc),
        prove_fc,
    ),
    Stranger(
        "two-layer net with hinge loss: the factor 2 of the regularisation is forgotten once",
        "net whose loss returns loss and grads",
        _net(make_two),
        prove_two,
        "wrong",
        "reg * W1 where 2 * reg * W1 is meant",
        ("missing-term",),
        ("W1",),
    ),
    Stranger(
        "one step of an LSTM with two outputs",
        "forward returns h, c and cache; backward takes two cotangents and the cache",
        lambda gradlab: gradlab.check_cached_pair(lstm_step_forward, lstm_step_backward, lstm_primals()),
        prove_lstm,
    ),
    Stranger(
        "vanilla RNN over a sequence: the recurrent weight gets one step's gradient only",
        "forward, cache and backward",
        *_pair(rnn_forward, rnn_backward, rnn_primals),
        "wrong",
        "dWh = where dWh += is meant, so the first step's is what is left",
        ("last-write-wins", "missing-broadcast-sum", "wrong-sum-axis", "missing-term"),
        ("dWh",),
    ),
    Stranger(
        "inverted dropout with a seed: the scale is forgotten",
        "forward, cache and backward, settings in a dict",
        *_pair(dropout, dropout_backward, dropout_primals),
        "wrong",
        "dout * mask without / p",
        ("constant-factor",),
        ("dx",),
    ),
    Stranger(
        "relu that zeroes what it is handed",
        "forward, cache and backward",
        _pair(relu_forward, relu_backward, relu_primals)[0],
        lambda: [],
        "habit",
        "backward writes into dout and returns it",
        ("mutates-argument", "aliases-memory"),
        ("dx",),
    ),
]
