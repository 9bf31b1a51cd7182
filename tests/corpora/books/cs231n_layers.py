"""The layers of the CS231n assignments, typed anew from memory of what the course describes: a forward that returns
(out, cache), a backward(dout, cache), and losses that return (loss, dx)."""

import numpy as np

from ._differences import prove_function, prove_pair, spread
from ._entry import Book

# --- assignment 1: linear classifiers --------------------------------------------------------------------------------


def svm_loss_naive(W, X, y, reg):
    dW = np.zeros(W.shape)
    num_classes = W.shape[1]
    num_train = X.shape[0]
    loss = 0.0
    for i in range(num_train):
        scores = X[i].dot(W)
        correct_class_score = scores[y[i]]
        for j in range(num_classes):
            if j == y[i]:
                continue
            margin = scores[j] - correct_class_score + 1  # delta = 1
            if margin > 0:
                loss += margin
                dW[:, j] += X[i]
                dW[:, y[i]] -= X[i]
    loss /= num_train
    dW /= num_train
    loss += reg * np.sum(W * W)
    dW += 2 * reg * W
    return loss, dW


def svm_loss_vectorized(W, X, y, reg):
    num_train = X.shape[0]
    scores = X.dot(W)
    correct = scores[np.arange(num_train), y][:, np.newaxis]
    margins = np.maximum(0, scores - correct + 1)
    margins[np.arange(num_train), y] = 0
    loss = np.sum(margins) / num_train + reg * np.sum(W * W)

    counts = (margins > 0).astype(float)
    counts[np.arange(num_train), y] = -np.sum(counts, axis=1)
    dW = X.T.dot(counts) / num_train + 2 * reg * W
    return loss, dW


def softmax_loss_naive(W, X, y, reg):
    loss = 0.0
    dW = np.zeros_like(W)
    num_train, num_classes = X.shape[0], W.shape[1]
    for i in range(num_train):
        scores = X[i].dot(W)
        scores -= np.max(scores)
        p = np.exp(scores) / np.sum(np.exp(scores))
        loss += -np.log(p[y[i]])
        for j in range(num_classes):
            dW[:, j] += (p[j] - (j == y[i])) * X[i]
    loss = loss / num_train + reg * np.sum(W * W)
    dW = dW / num_train + 2 * reg * W
    return loss, dW


def softmax_loss_vectorized(W, X, y, reg):
    num_train = X.shape[0]
    scores = X.dot(W)
    scores -= np.max(scores, axis=1, keepdims=True)
    p = np.exp(scores)
    p /= np.sum(p, axis=1, keepdims=True)
    loss = -np.sum(np.log(p[np.arange(num_train), y])) / num_train + reg * np.sum(W * W)
    p[np.arange(num_train), y] -= 1
    dW = X.T.dot(p) / num_train + 2 * reg * W
    return loss, dW


# --- assignments 1 and 2: layers -------------------------------------------------------------------------------------


def affine_forward(x, w, b):
    out = x.reshape(x.shape[0], -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dw, db


def relu_forward(x):
    out = np.maximum(0, x)
    cache = x
    return out, cache


def relu_backward(dout, cache):
    x = cache
    dx = dout * (x > 0)
    return dx


def affine_relu_forward(x, w, b):
    a, fc_cache = affine_forward(x, w, b)
    out, relu_cache = relu_forward(a)
    return out, (fc_cache, relu_cache)


def affine_relu_backward(dout, cache):
    fc_cache, relu_cache = cache
    da = relu_backward(dout, relu_cache)
    return affine_backward(da, fc_cache)


def svm_loss(x, y):
    N = x.shape[0]
    correct_class_scores = x[np.arange(N), y]
    margins = np.maximum(0, x - correct_class_scores[:, np.newaxis] + 1.0)
    margins[np.arange(N), y] = 0
    loss = np.sum(margins) / N
    num_pos = np.sum(margins > 0, axis=1)
    dx = np.zeros_like(x)
    dx[margins > 0] = 1
    dx[np.arange(N), y] -= num_pos
    dx /= N
    return loss, dx


def softmax_loss(x, y):
    shifted = x - np.max(x, axis=1, keepdims=True)
    Z = np.sum(np.exp(shifted), axis=1, keepdims=True)
    log_probs = shifted - np.log(Z)
    probs = np.exp(log_probs)
    N = x.shape[0]
    loss = -np.sum(log_probs[np.arange(N), y]) / N
    dx = probs.copy()
    dx[np.arange(N), y] -= 1
    dx /= N
    return loss, dx


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param["mode"]
    eps = bn_param.get("eps", 1e-5)
    momentum = bn_param.get("momentum", 0.9)
    N, D = x.shape
    running_mean = bn_param.get("running_mean", np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get("running_var", np.zeros(D, dtype=x.dtype))

    out, cache = None, None
    if mode == "train":
        mu = np.mean(x, axis=0)
        xmu = x - mu
        var = np.mean(xmu**2, axis=0)
        std = np.sqrt(var + eps)
        x_hat = xmu / std
        out = gamma * x_hat + beta
        running_mean = momentum * running_mean + (1 - momentum) * mu
        running_var = momentum * running_var + (1 - momentum) * var
        cache = (x_hat, gamma, xmu, std)
    elif mode == "test":
        x_hat = (x - running_mean) / np.sqrt(running_var + eps)
        out = gamma * x_hat + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)

    bn_param["running_mean"] = running_mean
    bn_param["running_var"] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    """Node by node, back through the graph."""
    x_hat, gamma, xmu, std = cache
    N, D = dout.shape
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * x_hat, axis=0)
    dx_hat = dout * gamma
    divar = np.sum(dx_hat * xmu, axis=0)
    dxmu1 = dx_hat / std
    dstd = -divar / std**2
    dvar = 0.5 * dstd / std
    dsq = np.ones((N, D)) * dvar / N
    dxmu2 = 2 * xmu * dsq
    dx1 = dxmu1 + dxmu2
    dmu = -np.sum(dx1, axis=0)
    dx2 = np.ones((N, D)) * dmu / N
    return dx1 + dx2, dgamma, dbeta


def batchnorm_backward_alt(dout, cache):
    """Simplified on paper."""
    x_hat, gamma, xmu, std = cache
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * x_hat).sum(axis=0)
    dx = gamma / (N * std) * (N * dout - dbeta - x_hat * dgamma)
    return dx, dgamma, dbeta


def layernorm_forward(x, gamma, beta, ln_param):
    eps = ln_param.get("eps", 1e-5)
    mu = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    std = np.sqrt(var + eps)
    x_hat = (x - mu) / std
    out = gamma * x_hat + beta
    return out, (x_hat, gamma, std)


def layernorm_backward(dout, cache):
    x_hat, gamma, std = cache
    D = dout.shape[1]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * x_hat).sum(axis=0)
    dx_hat = dout * gamma
    total = dx_hat.sum(axis=1, keepdims=True)
    along = (dx_hat * x_hat).sum(axis=1, keepdims=True)
    dx = (D * dx_hat - total - x_hat * along) / (D * std)
    return dx, dgamma, dbeta


def dropout_forward(x, dropout_param):
    p, mode = dropout_param["p"], dropout_param["mode"]
    if "seed" in dropout_param:
        np.random.seed(dropout_param["seed"])
    mask = None
    out = None
    if mode == "train":
        mask = (np.random.rand(*x.shape) < p) / p  # inverted: p is what stays
        out = x * mask
    elif mode == "test":
        out = x
    cache = (dropout_param, mask)
    out = out.astype(x.dtype, copy=False)
    return out, cache


def dropout_backward(dout, cache):
    dropout_param, mask = cache
    mode = dropout_param["mode"]
    dx = None
    if mode == "train":
        dx = dout * mask
    elif mode == "test":
        dx = dout
    return dx


def conv_forward_naive(x, w, b, conv_param):
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, C, H, W = x.shape
    F, C, HH, WW = w.shape
    H_out = 1 + (H + 2 * pad - HH) // stride
    W_out = 1 + (W + 2 * pad - WW) // stride
    x_pad = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="constant")
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
    N, C, H, W = x.shape
    F, C, HH, WW = w.shape
    N, F, H_out, W_out = dout.shape
    x_pad = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="constant")
    dx_pad = np.zeros_like(x_pad)
    dw = np.zeros_like(w)
    db = np.sum(dout, axis=(0, 2, 3))
    for n in range(N):
        for f in range(F):
            for i in range(H_out):
                for j in range(W_out):
                    rows = slice(i * stride, i * stride + HH)
                    cols = slice(j * stride, j * stride + WW)
                    dw[f] += x_pad[n, :, rows, cols] * dout[n, f, i, j]
                    dx_pad[n, :, rows, cols] += w[f] * dout[n, f, i, j]
    dx = dx_pad[:, :, pad : pad + H, pad : pad + W]
    return dx, dw, db


def max_pool_forward_naive(x, pool_param):
    ph, pw, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    N, C, H, W = x.shape
    H_out = 1 + (H - ph) // stride
    W_out = 1 + (W - pw) // stride
    out = np.zeros((N, C, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            out[:, :, i, j] = np.max(
                x[:, :, i * stride : i * stride + ph, j * stride : j * stride + pw], axis=(2, 3)
            )
    return out, (x, pool_param)


def max_pool_backward_naive(dout, cache):
    x, pool_param = cache
    ph, pw, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    N, C, H_out, W_out = dout.shape
    dx = np.zeros_like(x)
    for n in range(N):
        for c in range(C):
            for i in range(H_out):
                for j in range(W_out):
                    window = x[n, c, i * stride : i * stride + ph, j * stride : j * stride + pw]
                    r, s = np.unravel_index(np.argmax(window), window.shape)
                    dx[n, c, i * stride + r, j * stride + s] += dout[n, c, i, j]
    return dx


def masked_max_pool_backward(dout, cache):
    """With the mask window == max in place of the argmax: the same where there are no ties."""
    x, pool_param = cache
    ph, pw, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    dx = np.zeros_like(x)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            rows, cols = slice(i * stride, i * stride + ph), slice(j * stride, j * stride + pw)
            window = x[:, :, rows, cols]
            mask = window == np.max(window, axis=(2, 3), keepdims=True)
            dx[:, :, rows, cols] += mask * dout[:, :, i, j][:, :, None, None]
    return dx


def conv_relu_pool_forward(x, w, b, conv_param, pool_param):
    a, conv_cache = conv_forward_naive(x, w, b, conv_param)
    s, relu_cache = relu_forward(a)
    out, pool_cache = max_pool_forward_naive(s, pool_param)
    return out, (conv_cache, relu_cache, pool_cache)


def conv_relu_pool_backward(dout, cache):
    conv_cache, relu_cache, pool_cache = cache
    ds = max_pool_backward_naive(dout, pool_cache)
    da = relu_backward(ds, relu_cache)
    return conv_backward_naive(da, conv_cache)


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    N, C, H, W = x.shape
    x_flat = x.transpose(0, 2, 3, 1).reshape(-1, C)
    out, cache = batchnorm_forward(x_flat, gamma, beta, bn_param)
    out = out.reshape(N, H, W, C).transpose(0, 3, 1, 2)
    return out, cache


def spatial_batchnorm_backward(dout, cache):
    N, C, H, W = dout.shape
    dout_flat = dout.transpose(0, 2, 3, 1).reshape(-1, C)
    dx, dgamma, dbeta = batchnorm_backward_alt(dout_flat, cache)
    dx = dx.reshape(N, H, W, C).transpose(0, 3, 1, 2)
    return dx, dgamma, dbeta


def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
    eps = gn_param.get("eps", 1e-5)
    N, C, H, W = x.shape
    x_group = x.reshape(N, G, C // G, H, W)
    mu = x_group.mean(axis=(2, 3, 4), keepdims=True)
    var = x_group.var(axis=(2, 3, 4), keepdims=True)
    std = np.sqrt(var + eps)
    x_hat = ((x_group - mu) / std).reshape(N, C, H, W)
    out = gamma * x_hat + beta  # both (1, C, 1, 1)
    return out, (x_hat, gamma, std, G)


def spatial_groupnorm_backward(dout, cache):
    x_hat, gamma, std, G = cache
    N, C, H, W = dout.shape
    dbeta = np.sum(dout, axis=(0, 2, 3), keepdims=True)
    dgamma = np.sum(dout * x_hat, axis=(0, 2, 3), keepdims=True)
    dx_hat = (dout * gamma).reshape(N, G, C // G, H, W)
    grouped = x_hat.reshape(N, G, C // G, H, W)
    size = C // G * H * W
    total = dx_hat.sum(axis=(2, 3, 4), keepdims=True)
    along = (dx_hat * grouped).sum(axis=(2, 3, 4), keepdims=True)
    dx = (size * dx_hat - total - grouped * along) / (size * std)
    return dx.reshape(N, C, H, W), dgamma, dbeta


# --- assignment 3: sequences -----------------------------------------------------------------------------------------


def sigmoid(x):
    """Stable on both sides."""
    pos_mask = x >= 0
    neg_mask = x < 0
    z = np.zeros_like(x)
    z[pos_mask] = np.exp(-x[pos_mask])
    z[neg_mask] = np.exp(x[neg_mask])
    top = np.ones_like(x)
    top[neg_mask] = z[neg_mask]
    return top / (1 + z)


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(x.dot(Wx) + prev_h.dot(Wh) + b)
    cache = (x, prev_h, Wx, Wh, next_h)
    return next_h, cache


def rnn_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h**2)
    dx = da.dot(Wx.T)
    dprev_h = da.dot(Wh.T)
    dWx = x.T.dot(da)
    dWh = prev_h.T.dot(da)
    db = da.sum(axis=0)
    return dx, dprev_h, dWx, dWh, db


def rnn_forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    H = h0.shape[1]
    h = np.zeros((N, T, H))
    cache = []
    prev_h = h0
    for t in range(T):
        prev_h, step_cache = rnn_step_forward(x[:, t], prev_h, Wx, Wh, b)
        h[:, t] = prev_h
        cache.append(step_cache)
    return h, cache


def rnn_backward(dh, cache):
    N, T, H = dh.shape
    x, _, Wx, Wh, _ = cache[0]
    D = x.shape[1]
    dx = np.zeros((N, T, D))
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(H)
    dprev_h = np.zeros((N, H))
    for t in reversed(range(T)):
        dx[:, t], dprev_h, dWx_t, dWh_t, db_t = rnn_step_backward(dh[:, t] + dprev_h, cache[t])
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return dx, dprev_h, dWx, dWh, db


def word_embedding_forward(x, W):
    out = W[x]
    cache = (x, W.shape)
    return out, cache


def word_embedding_backward(dout, cache):
    x, shape = cache
    dW = np.zeros(shape)
    np.add.at(dW, x, dout)
    return dW


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    H = prev_h.shape[1]
    a = x.dot(Wx) + prev_h.dot(Wh) + b
    i = sigmoid(a[:, :H])
    f = sigmoid(a[:, H : 2 * H])
    o = sigmoid(a[:, 2 * H : 3 * H])
    g = np.tanh(a[:, 3 * H :])
    next_c = f * prev_c + i * g
    next_h = o * np.tanh(next_c)
    cache = (x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c)
    return next_h, next_c, cache


def lstm_step_backward(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    tanh_c = np.tanh(next_c)
    do = dnext_h * tanh_c
    dc = dnext_c + dnext_h * o * (1 - tanh_c**2)
    df = dc * prev_c
    dprev_c = dc * f
    di = dc * g
    dg = dc * i
    da = np.concatenate((di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)), axis=1)
    dx = da.dot(Wx.T)
    dprev_h = da.dot(Wh.T)
    dWx = x.T.dot(da)
    dWh = prev_h.T.dot(da)
    db = da.sum(axis=0)
    return dx, dprev_h, dprev_c, dWx, dWh, db


def lstm_forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    H = h0.shape[1]
    h = np.zeros((N, T, H))
    cache = []
    prev_h, prev_c = h0, np.zeros((N, H))
    for t in range(T):
        prev_h, prev_c, step_cache = lstm_step_forward(x[:, t], prev_h, prev_c, Wx, Wh, b)
        h[:, t] = prev_h
        cache.append(step_cache)
    return h, cache


def lstm_backward(dh, cache):
    N, T, H = dh.shape
    x, Wx, Wh = cache[0][0], cache[0][3], cache[0][4]
    dx = np.zeros((N, T, x.shape[1]))
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(4 * H)
    dprev_h, dprev_c = np.zeros((N, H)), np.zeros((N, H))
    for t in reversed(range(T)):
        step = lstm_step_backward(dh[:, t] + dprev_h, dprev_c, cache[t])
        dx[:, t], dprev_h, dprev_c = step[:3]
        dWx += step[3]
        dWh += step[4]
        db += step[5]
    return dx, dprev_h, dWx, dWh, db


def temporal_affine_forward(x, w, b):
    N, T, D = x.shape
    M = b.shape[0]
    out = x.reshape(N * T, D).dot(w).reshape(N, T, M) + b
    cache = x, w, b, out
    return out, cache


def temporal_affine_backward(dout, cache):
    x, w, b, out = cache
    N, T, D = x.shape
    M = b.shape[0]
    dx = dout.reshape(N * T, M).dot(w.T).reshape(N, T, D)
    dw = dout.reshape(N * T, M).T.dot(x.reshape(N * T, D)).T
    db = dout.sum(axis=(0, 1))
    return dx, dw, db


def temporal_softmax_loss(x, y, mask, verbose=False):
    N, T, V = x.shape
    x_flat = x.reshape(N * T, V)
    y_flat = y.reshape(N * T)
    mask_flat = mask.reshape(N * T)

    probs = np.exp(x_flat - np.max(x_flat, axis=1, keepdims=True))
    probs /= np.sum(probs, axis=1, keepdims=True)
    loss = -np.sum(mask_flat * np.log(probs[np.arange(N * T), y_flat])) / N
    dx_flat = probs.copy()
    dx_flat[np.arange(N * T), y_flat] -= 1
    dx_flat /= N
    dx_flat *= mask_flat[:, None]
    if verbose:
        print("dx_flat: ", dx_flat.shape)
    dx = dx_flat.reshape(N, T, V)
    return loss, dx


# --- what is checked -------------------------------------------------------------------------------------------------


def pair_book(name, form, make, wrt=None):
    """make() -> (forward, backward, primals)"""

    def call(gradlab):
        return gradlab.check_cached_pair(*make())

    def prove():
        forward, backward, primals = make()
        return prove_pair(forward, backward, primals, wrt)

    return Book("CS231n: " + name, form, call, prove)


def loss_book(name, form, f, make):
    """f(x, *args) returns (loss, dx); make() -> (x, args)"""

    def call(gradlab):
        x, args = make()
        return gradlab.check_gradient(f, True, x, args=args)

    def prove():
        return prove_function(f, *make())

    return Book("CS231n: " + name, form, call, prove)


def normal(seed, *shapes):
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(shape) for shape in shapes)


def classifier(seed):
    W, X = normal(seed, (4, 3), (5, 4))
    return W, (X, np.array([0, 2, 1, 1, 0]), 0.1)


def scores(seed):
    return normal(seed, (5, 4))[0], (np.array([0, 3, 1, 1, 2]),)


def sequence_scores(seed):
    x = normal(seed, (2, 3, 4))[0]
    mask = np.array([[True, True, False], [True, True, True]])
    return x, (np.array([[1, 0, 2], [3, 3, 1]]), mask)


def make_batchnorm(seed, backward):
    bn_param = {"mode": "train"}
    x, gamma, beta = normal(seed, (6, 4), 4, 4)
    return (
        (lambda x, gamma, beta: batchnorm_forward(x, gamma, beta, bn_param)),
        backward,
        (2 * x + 1, gamma, beta),
    )


def make_layernorm(seed):
    return (
        (lambda x, gamma, beta: layernorm_forward(x, gamma, beta, {})),
        layernorm_backward,
        normal(seed, (4, 5), 5, 5),
    )


def make_dropout(seed):
    dropout_param = {"mode": "train", "p": 0.6, "seed": 123}
    return (lambda x: dropout_forward(x, dropout_param)), dropout_backward, normal(seed, (5, 6))


def make_conv(seed):
    conv_param = {"stride": 1, "pad": 1}
    x, w, b = normal(seed, (2, 2, 4, 3), (2, 2, 3, 3), 2)
    return (lambda x, w, b: conv_forward_naive(x, w, b, conv_param)), conv_backward_naive, (x, w, b)


def make_pool(seed, backward):
    pool_param = {"pool_height": 2, "pool_width": 2, "stride": 2}
    x = spread(np.random.default_rng(seed), 2, 2, 4, 4)
    return (lambda x: max_pool_forward_naive(x, pool_param)), backward, (x,)


def make_overlapping_pool(seed):
    pool_param = {"pool_height": 3, "pool_width": 2, "stride": 1}
    x = spread(np.random.default_rng(seed), 2, 1, 4, 4)
    return (lambda x: max_pool_forward_naive(x, pool_param)), max_pool_backward_naive, (x,)


def make_conv_relu_pool(seed):
    conv_param, pool_param = {"stride": 1, "pad": 1}, {"pool_height": 2, "pool_width": 2, "stride": 2}
    primals = normal(seed, (2, 2, 4, 4), (2, 2, 3, 3), 2)
    return (
        lambda x, w, b: conv_relu_pool_forward(x, w, b, conv_param, pool_param),
        conv_relu_pool_backward,
        primals,
    )


def make_spatial_batchnorm(seed):
    bn_param = {"mode": "train"}
    return (
        lambda x, gamma, beta: spatial_batchnorm_forward(x, gamma, beta, bn_param),
        spatial_batchnorm_backward,
        normal(seed, (2, 3, 2, 2), 3, 3),
    )


def make_spatial_groupnorm(seed):
    return (
        lambda x, gamma, beta: spatial_groupnorm_forward(x, gamma, beta, 2, {}),
        spatial_groupnorm_backward,
        normal(seed, (2, 4, 2, 2), (1, 4, 1, 1), (1, 4, 1, 1)),
    )


def make_word_embedding(seed):
    words = np.array([[0, 3, 1, 2], [2, 1, 0, 3], [2, 2, 4, 0]])
    return word_embedding_forward, word_embedding_backward, (words, *normal(seed, (5, 3)))


ENTRIES = [
    loss_book("svm_loss_naive", "loops; W first, reg * sum(W * W)", svm_loss_naive, lambda: classifier(401)),
    loss_book("svm_loss_vectorized", "W first, reg * sum(W * W)", svm_loss_vectorized, lambda: classifier(402)),
    loss_book("softmax_loss_naive", "loops; W first, reg * sum(W * W)", softmax_loss_naive, lambda: classifier(403)),
    loss_book("softmax_loss_vectorized", "W first; probabilities overwritten", softmax_loss_vectorized, lambda: classifier(404)),
    pair_book(
        "affine", "x of four axes, (x, w, b)",
        lambda: (affine_forward, affine_backward, normal(405, (3, 2, 2, 1), (4, 3), 3)),
    ),
    pair_book("relu", "one gradient, not in a tuple", lambda: (relu_forward, relu_backward, (spread(np.random.default_rng(406), 4, 5),))),
    pair_book("affine_relu", "two layers, nested caches", lambda: (affine_relu_forward, affine_relu_backward, normal(407, (3, 4), (4, 3), 3))),
    loss_book("svm_loss", "(loss, dx) of scores and labels", svm_loss, lambda: scores(408)),
    loss_book("softmax_loss", "(loss, dx) of scores and labels", softmax_loss, lambda: scores(409)),
    pair_book("batchnorm", "node by node; a lambda holds bn_param, whose averages change", lambda: make_batchnorm(410, batchnorm_backward)),
    pair_book("batchnorm_alt", "simplified; a lambda holds bn_param", lambda: make_batchnorm(411, batchnorm_backward_alt)),
    pair_book(
        "batchnorm, bn_param given", "the dict is the fourth argument and is changed; three gradients",
        lambda: (batchnorm_forward, batchnorm_backward, (*normal(412, (6, 4), 4, 4), {"mode": "train"})),
        (0, 1, 2),
    ),
    pair_book("layernorm", "a lambda holds ln_param", lambda: make_layernorm(413)),
    pair_book(
        "layernorm, ln_param given", "the empty dict is the fourth argument; three gradients",
        lambda: (layernorm_forward, layernorm_backward, (*normal(414, (4, 5), 5, 5), {})),
        (0, 1, 2),
    ),
    pair_book("dropout", "a lambda holds dropout_param with its seed", lambda: make_dropout(415)),
    pair_book(
        "dropout, dropout_param given", "the dict with mode, p and seed is the second argument; one gradient",
        lambda: (dropout_forward, dropout_backward, (*normal(416, (4, 5)), {"mode": "train", "p": 0.7, "seed": 7})),
        (0,),
    ),
    pair_book(
        "dropout, test mode", "hands x and dout through unchanged: the output is x itself",
        lambda: ((lambda x: dropout_forward(x, {"mode": "test", "p": 0.6})), dropout_backward, normal(417, (4, 5))),
    ),
    pair_book("conv_naive", "four loops, stride 1, pad 1; a lambda holds conv_param", lambda: make_conv(418)),
    pair_book(
        "conv_naive, conv_param given", "stride 2, pad 1; the dict is the fourth argument; three gradients",
        lambda: (
            conv_forward_naive,
            conv_backward_naive,
            (*normal(419, (2, 2, 5, 5), (2, 2, 3, 3), 2), {"stride": 2, "pad": 1}),
        ),
        (0, 1, 2),
    ),
    pair_book("max_pool_naive", "argmax of each window", lambda: make_pool(420, max_pool_backward_naive)),
    pair_book("max_pool, mask", "window == max", lambda: make_pool(421, masked_max_pool_backward)),
    pair_book("max_pool_naive, overlapping", "windows 3 x 2 with stride 1", lambda: make_overlapping_pool(422)),
    pair_book("conv_relu_pool", "three layers, nested caches", lambda: make_conv_relu_pool(423)),
    pair_book("spatial_batchnorm", "channels; a lambda holds bn_param", lambda: make_spatial_batchnorm(424)),
    pair_book("spatial_groupnorm", "gamma and beta (1, C, 1, 1); a lambda holds G", lambda: make_spatial_groupnorm(425)),
    pair_book(
        "spatial_groupnorm, G given", "G and a dict are the fourth and fifth arguments; three gradients",
        lambda: (
            spatial_groupnorm_forward,
            spatial_groupnorm_backward,
            (*normal(426, (2, 4, 2, 2), (1, 4, 1, 1), (1, 4, 1, 1)), 2, {}),
        ),
        (0, 1, 2),
    ),
    pair_book("rnn_step", "five gradients", lambda: (rnn_step_forward, rnn_step_backward, normal(427, (3, 4), (3, 3), (4, 3), (3, 3), 3))),
    pair_book("rnn", "a list of caches", lambda: (rnn_forward, rnn_backward, normal(428, (2, 4, 3), (2, 3), (3, 3), (3, 3), 3))),
    pair_book("word_embedding", "integer x without a gradient, dW alone comes back", lambda: make_word_embedding(429), (1,)),
    pair_book(
        "lstm_step", "two outputs, backward(dnext_h, dnext_c, cache)",
        lambda: (lstm_step_forward, lstm_step_backward, normal(430, (2, 3), (2, 3), (2, 3), (3, 12), (3, 12), 12)),
    ),
    pair_book("lstm", "a list of caches", lambda: (lstm_forward, lstm_backward, normal(431, (2, 3, 3), (2, 3), (3, 12), (3, 12), 12))),
    pair_book(
        "temporal_affine", "the cache holds out as well",
        lambda: (temporal_affine_forward, temporal_affine_backward, normal(432, (2, 3, 3), (3, 4), 4)),
    ),
    loss_book("temporal_softmax_loss", "labels and a boolean mask; divides by N alone", temporal_softmax_loss, lambda: sequence_scores(433)),
]  # fmt: skip
