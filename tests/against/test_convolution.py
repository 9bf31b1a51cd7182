"""Every node of the family convolution agrees with torch, on random shapes and settings."""

import pytest

from ._torch import F, batch, compare, numbers


def either(rng, axes, low, high):
    """Return one whole number for all axes, or a tuple of one for each; both libraries take both."""
    if rng.integers(2):
        return int(rng.integers(low, high + 1))
    return tuple(int(v) for v in rng.integers(low, high + 1, axes))


def each(value, axes):
    return value if isinstance(value, tuple) else (value,) * axes


def image_shape(rng):
    return batch(rng), *(int(n) for n in rng.integers(1, 5, 3))


def fitting(rng, size, padding, dilation=1):
    """Return lengths of axes into which at least one window fits."""
    axes = len(size)
    spans = [d * (k - 1) + 1 for k, d in zip(size, each(dilation, axes), strict=True)]
    more = rng.integers(0, 5, axes)
    return [max(1, int(s - 2 * p + m)) for s, p, m in zip(spans, each(padding, axes), more, strict=True)]


def convolution(rng, axes):
    settings = {
        "stride": either(rng, axes, 1, 3),
        "padding": either(rng, axes, 0, 2),
        "dilation": either(rng, axes, 1, 3),
        "groups": int(rng.choice([1, 1, 2, 3])),
    }
    size = [int(k) for k in rng.integers(1, 4, axes)]
    inputs, outputs = (int(n) for n in rng.integers(1, 4, 2))
    outputs *= settings["groups"]
    lengths = fitting(rng, size, settings["padding"], settings["dilation"])
    x = numbers(rng, batch(rng), inputs * settings["groups"], *lengths)
    W, b = numbers(rng, outputs, inputs, *size), numbers(rng, outputs)
    function = (F.conv1d, F.conv2d)[axes - 1]
    return (x, W, b), settings, lambda x, W, b: function(x, W, b, **settings)


def conv2d_transpose(rng):
    stride = either(rng, 2, 1, 3)
    added = tuple(int(rng.integers(s)) for s in each(stride, 2))
    size = [int(k) for k in rng.integers(1, 4, 2)]
    inputs, outputs = (int(n) for n in rng.integers(1, 4, 2))
    padding = either(rng, 2, 0, 2)
    # so many pixels that the padding leaves at least one of the output
    fewest = [
        1 + max(0, -((k - 2 * p - 1) // s))
        for k, p, s in zip(size, each(padding, 2), each(stride, 2), strict=True)
    ]
    x = numbers(rng, batch(rng), inputs, *(n + int(rng.integers(4)) for n in fewest))
    settings = {"stride": stride, "padding": padding, "output_padding": added}
    primals = x, numbers(rng, inputs, outputs, *size), numbers(rng, outputs)
    return primals, settings, lambda x, W, b: F.conv_transpose2d(x, W, b, **settings)


def pooling(rng):
    """Return images of numbers or of few whole ones, so with ties, and settings of a pooling.

    Beyond half of the window's size torch takes no padding; these nodes take it below the whole size.
    """
    size = either(rng, 2, 1, 3)
    settings = {"size": size, "padding": either(rng, 2, 0, min(each(size, 2)) // 2)}
    if rng.integers(2):
        settings["stride"] = either(rng, 2, 1, 3)
    shape = batch(rng), int(rng.integers(1, 4)), *fitting(rng, each(size, 2), settings["padding"])
    x = numbers(rng, *shape) if rng.integers(2) else rng.integers(-2, 2, shape).astype(float)
    return (
        x,
        settings,
        {"kernel_size": size, "stride": settings.get("stride"), "padding": settings["padding"]},
    )


def max_pool2d(rng):
    x, settings, theirs = pooling(rng)
    return (x,), settings, lambda x: F.max_pool2d(x, **theirs)


def average_pool2d(rng):
    x, settings, theirs = pooling(rng)
    settings["count_padding"] = bool(rng.integers(2))
    return (x,), settings, lambda x: F.avg_pool2d(x, **theirs, count_include_pad=settings["count_padding"])


def global_pool(rng, functions):
    # torch has it for signals, images and volumes
    axes = int(rng.integers(1, 4))
    shape = batch(rng), *(int(n) for n in rng.integers(1, 4, axes + 1))
    x = numbers(rng, *shape) if rng.integers(2) else rng.integers(-2, 2, shape).astype(float)
    return (x,), {}, lambda x: functions[axes - 1](x, 1).reshape(x.shape[:2])


def global_average_pool(rng):
    return global_pool(rng, (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d))


def global_max_pool(rng):
    # not amax, which divides the gradient among ties: these give it to the first, as the node does
    return global_pool(rng, (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d))


def im2col(rng):
    size, stride, padding = either(rng, 2, 1, 3), either(rng, 2, 1, 3), either(rng, 2, 0, 2)
    x = numbers(rng, batch(rng), int(rng.integers(1, 4)), *fitting(rng, each(size, 2), padding))

    def rows(x):
        columns = F.unfold(x, size, stride=stride, padding=padding)
        return columns.mT.reshape(columns.shape[0] * columns.shape[2], columns.shape[1])

    return (x,), {"size": size, "stride": stride, "padding": padding}, rows


def upsample_bilinear(rng):
    scale = either(rng, 2, 1, 4)
    enlarge = {"scale_factor": scale, "mode": "bilinear", "align_corners": False}
    return (numbers(rng, *image_shape(rng)),), {"scale": scale}, lambda x: F.interpolate(x, **enlarge)


def upsample_nearest(rng):
    scale = either(rng, 2, 1, 4)
    x = numbers(rng, *image_shape(rng))
    return (x,), {"scale": scale}, lambda x: F.interpolate(x, scale_factor=scale, mode="nearest")


DRAWN = {
    "average_pool2d": average_pool2d,
    "conv1d": lambda rng: convolution(rng, 1),
    "conv2d": lambda rng: convolution(rng, 2),
    "conv2d_transpose": conv2d_transpose,
    "global_average_pool": global_average_pool,
    "global_max_pool": global_max_pool,
    "im2col": im2col,
    "max_pool2d": max_pool2d,
    "upsample_bilinear": upsample_bilinear,
    "upsample_nearest": upsample_nearest,
}


@pytest.mark.parametrize("name", DRAWN)
def test_as_torch(name):
    compare(name, DRAWN[name])
