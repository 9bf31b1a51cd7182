"""Convolution and pooling as course notes have them: loops over windows, and settings in a dict."""

import numpy as np

from ._entry import Foreign, drawn
from ._use import cached


def conv_forward_naive(x, w, b, conv_param):
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, _, H, W = x.shape
    F, _, HH, WW = w.shape
    x_pad = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="constant")
    out = np.zeros((N, F, 1 + (H + 2 * pad - HH) // stride, 1 + (W + 2 * pad - WW) // stride))
    for n, f, i, j in np.ndindex(*out.shape):
        window = x_pad[n, :, i * stride : i * stride + HH, j * stride : j * stride + WW]
        out[n, f, i, j] = np.sum(window * w[f]) + b[f]
    return out, (x, w, b, conv_param)


def of_padded(dout, cache, step):
    x, w, b, conv_param = cache
    pad = conv_param["pad"]
    _, _, HH, WW = w.shape
    x_pad = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="constant")
    dx_pad, dw, db = np.zeros_like(x_pad), np.zeros_like(w), np.zeros_like(b)
    for n, f, i, j in np.ndindex(*dout.shape):
        window = np.s_[n, :, i * step : i * step + HH, j * step : j * step + WW]
        dx_pad[window] += dout[n, f, i, j] * w[f]
        dw[f] += dout[n, f, i, j] * x_pad[window]
        db[f] += dout[n, f, i, j]
    return dx_pad, dw, db


def cropped(dx_pad, dw, db, cache):
    x, pad = cache[0], cache[3]["pad"]
    return dx_pad[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]], dw, db


def conv_backward_naive(dout, cache):
    return cropped(*of_padded(dout, cache, cache[3]["stride"]), cache)


def conv_backward_in_steps_of_one(dout, cache):
    return cropped(*of_padded(dout, cache, 1), cache)


def conv_backward_cropped_from_behind(dout, cache):
    pad = cache[3]["pad"]
    dx_pad, dw, db = of_padded(dout, cache, cache[3]["stride"])
    return dx_pad[:, :, pad:-pad, pad:-pad], dw, db


def max_pool_forward(x, pool_param):
    height, width, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    N, C, H, W = x.shape
    out = np.zeros((N, C, 1 + (H - height) // stride, 1 + (W - width) // stride))
    for i, j in np.ndindex(*out.shape[2:]):
        window = x[:, :, i * stride : i * stride + height, j * stride : j * stride + width]
        out[:, :, i, j] = window.max(axis=(2, 3))
    return out, (x, pool_param)


def max_pool_backward(dout, cache):
    return shared_out(dout, cache, lambda mask: np.arange(mask.size).reshape(mask.shape) == mask.argmax())


def max_pool_backward_to_all(dout, cache):
    return shared_out(dout, cache, lambda mask: mask)


def shared_out(dout, cache, chosen):
    x, pool_param = cache
    height, width, stride = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    dx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(*dout.shape):
        place = np.s_[n, c, i * stride : i * stride + height, j * stride : j * stride + width]
        dx[place] += chosen(x[place] == x[place].max()) * dout[n, c, i, j]
    return dx


def with_ties(rng):
    """Return images in which the largest number of the first window stands twice."""
    x = rng.permutation(np.linspace(-2.0, 2.0, 24)).reshape(1, 2, 2, 6)
    x[0, :, 0, 0] = x[0, :, 1, 1] = 3.0
    return (x,)


def global_average_pool_forward(x):
    return x.mean(axis=(2, 3)), x.shape


def global_average_pool_backward(dout, shape):
    return spread(dout, shape, shape[2] * shape[3])


def global_average_pool_backward_for_squares(dout, shape):
    return spread(dout, shape, shape[2] * shape[2])


def spread(dout, shape, places):
    return np.ones(shape) * (dout / places)[:, :, np.newaxis, np.newaxis]


COURSE = {"style": "course notes", "cotangent": "cache", "use": cached()}
convolution = Foreign(
    **COURSE,
    name="convolution pair without padding",
    how="out, cache = forward(x, w, b, conv_param), then dx, dw, db = backward(dout, cache).",
    make=lambda: (conv_forward_naive, conv_backward_naive),
    inputs=drawn((2, 2, 3, 5), (2, 2, 2, 3), (2,)),
    arguments=("x", "w", "b"),
    settings={"conv_param": {"stride": 1, "pad": 0}},
)
strided = convolution.varied(
    "convolution pair in steps of 2",
    inputs=drawn((1, 2, 5, 6), (2, 2, 3, 2), (2,)),
    settings={"conv_param": {"stride": 2, "pad": 1}},
)
max_pool = Foreign(
    **COURSE,
    name="max pooling pair",
    how="out, cache = forward(x, pool_param), then dx = backward(dout, cache).",
    make=lambda: (max_pool_forward, max_pool_backward),
    inputs=drawn((1, 2, 4, 6)),
    settings={"pool_param": {"pool_height": 2, "pool_width": 2, "stride": 2}},
)
global_average_pool = Foreign(
    **COURSE,
    name="global average pooling pair of wide images",
    how="out, cache = forward(x) with images (N, C, H, W), then dx = backward(dout, cache).",
    make=lambda: (global_average_pool_forward, global_average_pool_backward),
    inputs=drawn((3, 2, 3, 5)),
    truth=lambda g, x: (np.broadcast_to(g[:, :, np.newaxis, np.newaxis] / 15, x.shape),),
)
ENTRIES = [
    convolution,
    convolution.spoiled(
        "cropped with pad:-pad, which is empty for 0",
        lambda: (conv_forward_naive, conv_backward_cropped_from_behind),
        "wrong-shape",
        "x",
    ),
    strided,
    strided.spoiled(
        "windows in steps of 1 on the way back",
        lambda: (conv_forward_naive, conv_backward_in_steps_of_one),
        "",
        *("x", "w"),
    ),
    max_pool,
    max_pool.spoiled(
        "every tie gets the whole gradient",
        lambda: (max_pool_forward, max_pool_backward_to_all),
        "tie-or-kink",
        "x",
        inputs=with_ties,
    ),
    global_average_pool,
    global_average_pool.spoiled(
        "as many places as in a square image",
        lambda: (global_average_pool_forward, global_average_pool_backward_for_squares),
        "constant-factor",
        "x",
    ),
]
