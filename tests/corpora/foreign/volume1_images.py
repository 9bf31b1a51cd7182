"""Convolution and pooling as the first textbook writes them: through im2col and col2im."""

import numpy as np

from ._entry import Foreign, drawn, normal
from ._use import attributes, passed


def im2col(images, filter_h, filter_w, stride=1, pad=0):
    N, C, H, W = images.shape
    out_h = (H + 2 * pad - filter_h) // stride + 1
    out_w = (W + 2 * pad - filter_w) // stride + 1
    img = np.pad(images, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    col = np.zeros((N, C, filter_h, filter_w, out_h, out_w))
    for y in range(filter_h):
        y_max = y + stride * out_h
        for x in range(filter_w):
            x_max = x + stride * out_w
            col[:, :, y, x] = img[:, :, y:y_max:stride, x:x_max:stride]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(N * out_h * out_w, -1)


def col2im(col, shape, filter_h, filter_w, stride=1, pad=0, adds=True, crop=True):
    N, C, H, W = shape
    out_h = (H + 2 * pad - filter_h) // stride + 1
    out_w = (W + 2 * pad - filter_w) // stride + 1
    col = col.reshape(N, out_h, out_w, C, filter_h, filter_w).transpose(0, 3, 4, 5, 1, 2)
    img = np.zeros((N, C, H + 2 * pad + stride - 1, W + 2 * pad + stride - 1))
    for y in range(filter_h):
        for x in range(filter_w):
            window = img[:, :, y : y + stride * out_h : stride, x : x + stride * out_w : stride]
            window[...] = window + col[:, :, y, x] if adds else col[:, :, y, x]
    start = pad if crop else 0
    return img[:, :, start : start + H, start : start + W]


class Convolution:
    def __init__(self, W, b, stride=1, pad=0):
        self.W = W
        self.b = b
        self.stride = stride
        self.pad = pad
        self.dW = None
        self.db = None

    def forward(self, x):
        FN, _, FH, FW = self.W.shape
        N, _, H, W = x.shape
        out_h = 1 + (H + 2 * self.pad - FH) // self.stride
        out_w = 1 + (W + 2 * self.pad - FW) // self.stride
        self.x = x
        self.col = im2col(x, FH, FW, self.stride, self.pad)
        self.col_W = self.W.reshape(FN, -1).T
        out = np.dot(self.col, self.col_W) + self.b
        return out.reshape(N, out_h, out_w, -1).transpose(0, 3, 1, 2)

    def backward(self, dout):
        FN, _, FH, FW = self.W.shape
        dout = dout.transpose(0, 2, 3, 1).reshape(-1, FN)
        self.db = np.sum(dout, axis=0)
        self.dW = self.weight_shaped(np.dot(self.col.T, dout))
        dcol = np.dot(dout, self.col_W.T)
        return self.back_to_image(dcol, FH, FW)

    def weight_shaped(self, dW):
        return dW.transpose(1, 0).reshape(self.W.shape)

    def back_to_image(self, dcol, FH, FW):
        return col2im(dcol, self.x.shape, FH, FW, self.stride, self.pad)


class ConvolutionForgetsToTranspose(Convolution):
    def weight_shaped(self, dW):
        return dW.reshape(self.W.shape)


class ConvolutionOverwrites(Convolution):
    def back_to_image(self, dcol, FH, FW):
        return col2im(dcol, self.x.shape, FH, FW, self.stride, self.pad, adds=False)


class ConvolutionCropsAtTheCorner(Convolution):
    def back_to_image(self, dcol, FH, FW):
        return col2im(dcol, self.x.shape, FH, FW, self.stride, self.pad, crop=False)


class Pooling:
    def __init__(self, pool_h, pool_w, stride=1, pad=0):
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
        self.x = x
        self.arg_max = np.argmax(col, axis=1)
        return np.max(col, axis=1).reshape(N, out_h, out_w, C).transpose(0, 3, 1, 2)

    def backward(self, dout):
        dout = self.channels_last(dout)
        pool_size = self.pool_h * self.pool_w
        dmax = np.zeros((dout.size, pool_size))
        dmax[np.arange(self.arg_max.size), self.arg_max] = dout.flatten()
        rows = dout.size // self.x.shape[1]
        return self.back_to_image(dmax.reshape(rows, -1))

    def channels_last(self, dout):
        return dout.transpose(0, 2, 3, 1)

    def back_to_image(self, dcol):
        return col2im(dcol, self.x.shape, self.pool_h, self.pool_w, self.stride, self.pad)


class PoolingKeepsTheChannelsFirst(Pooling):
    def channels_last(self, dout):
        return dout


class PoolingOverwrites(Pooling):
    def back_to_image(self, dcol):
        return col2im(dcol, self.x.shape, self.pool_h, self.pool_w, self.stride, self.pad, adds=False)


def convolution(cls, stride, pad, filter_h=2, filter_w=3):
    return lambda: cls(normal(21, 3, 2, filter_h, filter_w), normal(22, 3), stride, pad)


VOLUME_1 = {"style": "volume 1", "cotangent": "passed"}
strided = Foreign(
    **VOLUME_1,
    name="convolution, stride 2 and padding 1",
    stored="attributes",
    how="Call forward(x) with images (N, C, H, W), then dx = backward(dout); dW and db are left in the layer.",
    make=convolution(Convolution, stride=2, pad=1),
    inputs=drawn((2, 2, 4, 5)),
    use=attributes("W", "b"),
)
overlapping = strided.varied(
    "convolution, stride 1 without padding",
    make=convolution(Convolution, stride=1, pad=0),
    inputs=drawn((1, 2, 3, 5)),
)
padded = strided.varied(
    "convolution, padding 2", make=convolution(Convolution, 1, 2, 2, 2), inputs=drawn((2, 2, 4, 3))
)
pooling = Foreign(
    **VOLUME_1,
    name="max pooling, 2 by 2",
    how="Call forward(x) with images (N, C, H, W), then dx = backward(dout).",
    make=lambda: Pooling(2, 2, stride=2),
    inputs=drawn((2, 3, 4, 6)),
    use=passed(),
)
pooling_overlapping = pooling.varied(
    "max pooling, windows of 3 in steps of 2",
    make=lambda: Pooling(3, 3, stride=2),
    inputs=lambda rng: (peaks_on_the_overlap(rng),),
)


def peaks_on_the_overlap(rng):
    """Return images whose largest number stands where two windows overlap."""
    x = rng.permutation(np.linspace(-1.0, 1.0, 60)).reshape(2, 1, 5, 6)
    x[:, :, 1, 2] += 3.0
    x[:, :, 2, 4] += 2.5
    return x


ENTRIES = [
    strided,
    strided.spoiled(
        "weight gradient reshaped without its transpose",
        convolution(ConvolutionForgetsToTranspose, stride=2, pad=1),
        "axes-permuted",
        "W",
    ),
    overlapping,
    overlapping.spoiled(
        "overlapping windows overwrite each other",
        convolution(ConvolutionOverwrites, stride=1, pad=0),
        "last-write-wins",
        "x",
    ),
    padded,
    padded.spoiled(
        "padding cropped at the corner only",
        convolution(ConvolutionCropsAtTheCorner, 1, 2, 2, 2),
        "shifted",
        "x",
    ),
    pooling,
    pooling.spoiled(
        "channels not moved to the end",
        lambda: PoolingKeepsTheChannelsFirst(2, 2, stride=2),
        "axes-permuted",
        "x",
    ),
    pooling_overlapping,
    pooling_overlapping.spoiled(
        "overlapping windows overwrite each other",
        lambda: PoolingOverwrites(3, 3, stride=2),
        "last-write-wins",
        "x",
    ),
]
