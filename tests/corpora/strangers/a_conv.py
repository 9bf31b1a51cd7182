import numpy as np

from ._entry import Stranger
from ._help_a import against, dot, rnd


def prove_layer(layer, x, g, pairs=lambda layer: []):
    layer.forward(x)
    dx = layer.backward(g)
    return against(lambda: dot(layer.forward(x), g), [(dx, x)] + pairs(layer))


# ---- course notes
def conv1d_forward_naive(x, w, b, conv_param):
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, C, L = x.shape
    F, _, K = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad)))
    Lout = 1 + (L + 2 * pad - K) // stride
    out = np.zeros((N, F, Lout))
    for n in range(N):
        for f in range(F):
            for i in range(Lout):
                out[n, f, i] = np.sum(xp[n, :, i * stride : i * stride + K] * w[f]) + b[f]
    return out, (x, w, b, conv_param)


def conv1d_backward_naive(dout, cache):
    x, w, b, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad)))
    dxp, dw = np.zeros_like(xp), np.zeros_like(w)
    N, F, Lout = dout.shape
    K = w.shape[2]
    for n in range(N):
        for f in range(F):
            for i in range(Lout):
                dw[f] += dout[n, f, i] * xp[n, :, i * stride : i * stride + K]
                dxp[n, :, i * stride : i * stride + K] += dout[n, f, i] * w[f]
    dx = dxp[:, :, pad : pad + x.shape[2]]
    return dx, dw, dout.sum(axis=(0, 2))


def conv_arrays():
    return rnd(1, 2, 2, 7), rnd(2, 3, 2, 3), rnd(3, 3)


CONV = {"stride": 2, "pad": 1}


def prove_naive():
    arrays, g = conv_arrays(), rnd(4, 2, 3, 4)
    grads = conv1d_backward_naive(g, conv1d_forward_naive(*arrays, CONV)[1])
    return against(lambda: dot(conv1d_forward_naive(*arrays, CONV)[0], g), list(zip(grads, arrays)))


# ---- a book's convolution through columns
def im2col(x, fh, fw, stride):
    N, C, H, W = x.shape
    oh, ow = (H - fh) // stride + 1, (W - fw) // stride + 1
    col = np.zeros((N, C, fh, fw, oh, ow))
    for i in range(fh):
        for j in range(fw):
            col[:, :, i, j] = x[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(N * oh * ow, -1), oh, ow


def col2im(col, shape, fh, fw, stride, oh, ow):
    N, C, H, W = shape
    col = col.reshape(N, oh, ow, C, fh, fw).transpose(0, 3, 4, 5, 1, 2)
    img = np.zeros(shape)
    for i in range(fh):
        for j in range(fw):
            img[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride] += col[:, :, i, j]
    return img


class Convolution:
    def __init__(self, W, b, stride=1):
        self.W, self.b, self.stride = W, b, stride
        self.x = self.col = self.col_W = None
        self.dW = self.db = None

    def forward(self, x):
        FN, C, FH, FW = self.W.shape
        self.x = x
        self.col, self.oh, self.ow = im2col(x, FH, FW, self.stride)
        self.col_W = self.W.reshape(FN, -1).T
        out = self.col @ self.col_W + self.b
        return out.reshape(len(x), self.oh, self.ow, FN).transpose(0, 3, 1, 2)

    def backward(self, dout):
        FN, C, FH, FW = self.W.shape
        flat = dout.transpose(0, 2, 3, 1).reshape(-1, FN)
        self.db = np.sum(flat, axis=0)
        self.dW = (self.col.T @ flat).T.reshape(FN, C, FH, FW)
        return col2im(flat @ self.col_W.T, self.x.shape, FH, FW, self.stride, self.oh, self.ow)


def convolution():
    return Convolution(rnd(11, 2, 2, 3, 2), rnd(12, 2))


def of_weights(layer):
    return [(layer.dW, layer.W), (layer.db, layer.b)]


# ---- a filter with borders repeated
class EdgeFilter:
    """Correlates each row with one kernel; the ends are continued by their last value."""

    def __init__(self, size=3):
        self.taps = rnd(21, size)
        self.d_taps = np.zeros(size)

    def forward(self, signal):
        r = len(self.taps) // 2
        self.padded = np.pad(signal, ((0, 0), (r, r)), mode="edge")
        n = signal.shape[1]
        return sum(w * self.padded[:, k : k + n] for k, w in enumerate(self.taps))

    def backward(self, dout):
        n, r = dout.shape[1], len(self.taps) // 2
        dpad = np.zeros_like(self.padded)
        for k, w in enumerate(self.taps):
            self.d_taps[k] = np.sum(dout * self.padded[:, k : k + n])
            dpad[:, k : k + n] += w * dout
        return dpad[:, r:-r].copy()


# ---- only the last image's weights
class ConvOverImages:
    def __init__(self, filters, channels, k):
        self.params = {"K": 0.5 * rnd(31, filters, channels, k, k)}
        self.grads = {"K": None}

    def forward(self, images):
        K = self.params["K"]
        F, C, k, _ = K.shape
        self.images = images
        N, _, H, W = images.shape
        out = np.zeros((N, F, H - k + 1, W - k + 1))
        for i in range(k):
            for j in range(k):
                patch = images[:, :, i : H - k + 1 + i, j : W - k + 1 + j]
                out += np.einsum("nchw,fc->nfhw", patch, K[:, :, i, j])
        return out

    def backward(self, d_out):
        K = self.params["K"]
        k, (h, w) = K.shape[2], d_out.shape[2:]
        d_images, dK = np.zeros_like(self.images), np.zeros_like(K)
        for n in range(len(d_out)):
            for i in range(k):
                for j in range(k):
                    patch = self.images[n, :, i : i + h, j : j + w]
                    dK[:, :, i, j] = np.einsum("fhw,chw->fc", d_out[n], patch)
                    d_images[n, :, i : i + h, j : j + w] += np.einsum("fhw,fc->chw", d_out[n], K[:, :, i, j])
        self.grads["K"] = dK
        return d_images


# ---- depthwise, the kernel not turned round
def correlate_same(x, w):
    """x (C, L), w (C, 3), zeros outside."""
    xp = np.pad(x, ((0, 0), (1, 1)))
    return sum(w[:, k : k + 1] * xp[:, k : k + x.shape[1]] for k in range(3))


class DepthwiseConv:
    def __init__(self, channels):
        self.w = rnd(41, channels, 3)

    def forward(self, x):
        self.x = x
        return correlate_same(x, self.w)

    def backward(self, dy):
        xp = np.pad(self.x, ((0, 0), (1, 1)))
        self.dw = np.stack([(xp[:, k : k + dy.shape[1]] * dy).sum(axis=1) for k in range(3)], axis=1)
        return correlate_same(dy, self.w)


# ---- pooling
class MaxPool:
    def __init__(self, size=2, stride=2):
        self.size, self.stride = size, stride

    def forward(self, x):
        N, C, H, W = x.shape
        s, t = self.size, self.stride
        oh, ow = (H - s) // t + 1, (W - s) // t + 1
        out = np.empty((N, C, oh, ow))
        self.shape, self.where = x.shape, np.empty((N, C, oh, ow), dtype=int)
        for i in range(oh):
            for j in range(ow):
                window = x[:, :, i * t : i * t + s, j * t : j * t + s].reshape(N, C, -1)
                self.where[:, :, i, j] = window.argmax(axis=2)
                out[:, :, i, j] = window.max(axis=2)
        return out

    def backward(self, dout):
        dx = np.zeros(self.shape)
        n, c = np.ogrid[: self.shape[0], : self.shape[1]]
        for i in range(dout.shape[2]):
            for j in range(dout.shape[3]):
                di, dj = np.divmod(self.where[:, :, i, j], self.size)
                dx[n, c, i * self.stride + di, j * self.stride + dj] += dout[:, :, i, j]
        return dx


class PaddedAveragePool:
    """Windows of three, zeros outside that do not count: the ends are divided by fewer."""

    def forward(self, x):
        L = x.shape[-1]
        self.count = np.minimum(np.arange(L) + 2, L) - np.maximum(np.arange(L) - 1, 0)
        xp = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(1, 1)])
        return (xp[..., :-2] + xp[..., 1:-1] + xp[..., 2:]) / self.count

    def backward(self, dout):
        share = np.pad(dout / self.count, [(0, 0)] * (dout.ndim - 1) + [(1, 1)])
        return share[..., :-2] + share[..., 1:-1] + share[..., 2:]


class OverlappingMax:
    """Maximum over windows of three with stride one, along the last axis."""

    def forward(self, x):
        self.x = x
        self.out_len = x.shape[-1] - 2
        stacked = np.stack([x[..., k : k + self.out_len] for k in range(3)])
        self.arg = stacked.argmax(axis=0)
        return stacked.max(axis=0)

    def backward(self, dout):
        dx = np.zeros_like(self.x)
        rows = np.arange(len(dout))
        for i in range(self.out_len):
            dx[rows, i + self.arg[:, i]] = dout[:, i]
        return dx


# ---- depth to space
class PixelShuffle:
    def __init__(self, factor=2):
        self.r = factor

    def forward(self, x):
        N, C, H, W = x.shape
        r = self.r
        self.in_shape = x.shape
        y = x.reshape(N, C // (r * r), r, r, H, W).transpose(0, 1, 4, 2, 5, 3)
        return y.reshape(N, C // (r * r), H * r, W * r)

    def backward(self, dy):
        N, C, H, W = self.in_shape
        r = self.r
        d = dy.reshape(N, C // (r * r), H, r, W, r).transpose(0, 1, 5, 3, 2, 4)
        return d.reshape(self.in_shape)


# ---- dilated and causal
class GatedCausalConv:
    """tanh(a) * sigmoid(b) of two dilated causal convolutions with two taps, as in wave nets; x is (T, C)."""

    def __init__(self, c_in=2, c_out=3, dilation=2):
        self.dilation = dilation
        self.params = {
            "filter": {"now": rnd(71, c_in, c_out), "past": rnd(72, c_in, c_out)},
            "gate": {"now": rnd(73, c_in, c_out), "past": rnd(74, c_in, c_out)},
        }
        self.grads = {"filter": {}, "gate": {}}

    def forward(self, x):
        d = self.dilation
        past = np.concatenate([np.zeros((d, x.shape[1])), x])[: len(x)]
        a = x @ self.params["filter"]["now"] + past @ self.params["filter"]["past"]
        b = x @ self.params["gate"]["now"] + past @ self.params["gate"]["past"]
        self.saved = x, past, np.tanh(a), 1 / (1 + np.exp(-b))
        return self.saved[2] * self.saved[3]

    def backward(self, dy):
        x, past, t, s = self.saved
        dx = np.zeros_like(x)
        for name, d in (("filter", dy * s * (1 - t * t)), ("gate", dy * t * s * (1 - s))):
            self.grads[name] = {"now": x.T @ d, "past": past.T @ d}
            dx += d @ self.params[name]["now"].T
            dpast = d @ self.params[name]["past"].T
            dx[: len(x) - self.dilation] += dpast[self.dilation :]
        return dx


def of_gates(layer):
    return [(layer.grads[a][b], layer.params[a][b]) for a in ("filter", "gate") for b in ("now", "past")]


class FutureLag:
    """y_t = x_t + c * x_{t-lag}, zero before the start; c for each channel."""

    def __init__(self, lag=2):
        self.lag, self.c = lag, rnd(81, 3)
        self.dc = None

    def forward(self, x):
        self.x = x
        y = x.copy()
        y[self.lag :] += self.c * x[: -self.lag]
        return y

    def backward(self, dy):
        self.dc = np.sum(dy[self.lag :] * self.x[: -self.lag], axis=0)
        dx = dy.copy()
        dx[: -self.lag] += self.c * dy[self.lag - 1 : -1]
        return dx


ENTRIES = [
    Stranger(
        "course convolution in one dimension",
        "pair with cache and a dict of settings",
        lambda gradlab: gradlab.check_cached_pair(
            conv1d_forward_naive, conv1d_backward_naive, (*conv_arrays(), dict(CONV))
        ),
        prove_naive,
    ),
    Stranger(
        "convolution through columns",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(convolution(), rnd(13, 2, 2, 4, 5)),
        lambda: prove_layer(convolution(), rnd(13, 2, 2, 4, 5), rnd(14, 2, 2, 2, 4), of_weights),
    ),
    Stranger(
        "filter with continued ends: their share cut off",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(EdgeFilter(), rnd(22, 3, 6)),
        lambda: prove_layer(
            EdgeFilter(), rnd(22, 3, 6), rnd(23, 3, 6), lambda layer: [(layer.d_taps, layer.taps)]
        ),
        "wrong",
        "what the padding got is dropped instead of added to the end values",
        ("border", "missing-term"),
        ("signal",),
    ),
    Stranger(
        "convolution image by image: only the last image counts",
        "layer with dicts",
        lambda gradlab: gradlab.check_layer(ConvOverImages(2, 2, 2), rnd(32, 3, 2, 3, 3)),
        lambda: prove_layer(
            ConvOverImages(2, 2, 2),
            rnd(32, 3, 2, 3, 3),
            rnd(33, 3, 2, 2, 2),
            lambda layer: [(layer.grads["K"], layer.params["K"])],
        ),
        "wrong",
        "dK is assigned in the loop over images, not added to",
        ("last-write-wins",),
        ("K",),
    ),
    Stranger(
        "depthwise convolution: kernel not turned round",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(DepthwiseConv(3), rnd(42, 3, 6)),
        lambda: prove_layer(
            DepthwiseConv(3), rnd(42, 3, 6), rnd(43, 3, 6), lambda layer: [(layer.dw, layer.w)]
        ),
        "wrong",
        "dx is correlated with the kernel itself instead of the flipped one",
        ("transposed", "shifted", "straight-through"),
        ("x",),
    ),
    Stranger(
        "max pool that remembers where",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(MaxPool(), rnd(51, 2, 2, 4, 5)),
        lambda: prove_layer(MaxPool(), rnd(51, 2, 2, 4, 5), rnd(52, 2, 2, 2, 2)),
    ),
    Stranger(
        "average pool whose padding does not count",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(PaddedAveragePool(), rnd(53, 2, 3, 5)),
        lambda: prove_layer(PaddedAveragePool(), rnd(53, 2, 3, 5), rnd(54, 2, 3, 5)),
    ),
    Stranger(
        "overlapping maximum: a maximum of two windows keeps one",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(OverlappingMax(), rnd(55, 3, 7)),
        lambda: prove_layer(OverlappingMax(), rnd(55, 3, 7), rnd(56, 3, 5)),
        "wrong",
        "dx[...] = where += is due",
        ("last-write-wins",),
        ("x",),
    ),
    Stranger(
        "pixel shuffle: rows and columns of the block exchanged",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(PixelShuffle(), rnd(61, 2, 4, 2, 3)),
        lambda: prove_layer(PixelShuffle(), rnd(61, 2, 4, 2, 3), rnd(62, 2, 1, 4, 6)),
        "wrong",
        "the inverse transpose has the two small axes the wrong way round",
        ("axes-permuted", "columns-exchanged", "transposed"),
        ("x",),
    ),
    Stranger(
        "gated causal convolution",
        "layer with nested dicts",
        lambda gradlab: gradlab.check_layer(GatedCausalConv(), rnd(75, 6, 2)),
        lambda: prove_layer(GatedCausalConv(), rnd(75, 6, 2), rnd(76, 6, 3), of_gates),
    ),
    Stranger(
        "lag filter: gradient one step early",
        "layer with attributes",
        lambda gradlab: gradlab.check_layer(FutureLag(), rnd(82, 6, 3)),
        lambda: prove_layer(FutureLag(), rnd(82, 6, 3), rnd(83, 6, 3), lambda layer: [(layer.dc, layer.c)]),
        "wrong",
        "dx takes dy from lag - 1 steps ahead",
        ("shifted",),
        ("x",),
    ),
]
