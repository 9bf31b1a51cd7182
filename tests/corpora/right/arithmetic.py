"""Sums, products and quotients, with broadcasting and without."""

from ._entry import fixed, normal, right, uniform


def add(a, b):
    return a + b, None


def add_backward(_, g):
    return g.copy(), g.copy()


def unbroadcast(g, shape):
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


def broadcast_add(a, b):
    return a + b, (a.shape, b.shape)


def broadcast_add_backward(shapes, g):
    return tuple(unbroadcast(g, shape) for shape in shapes)


def broadcast_subtract_backward(shapes, g):
    return unbroadcast(g, shapes[0]), unbroadcast(-g, shapes[1])


def multiply(a, b):
    return a * b, (a, b)


def multiply_backward(cache, g):
    a, b = cache
    return g * b, g * a


def broadcast_multiply_backward(cache, g):
    a, b = cache
    return unbroadcast(g * b, a.shape), unbroadcast(g * a, b.shape)


def divide(a, b):
    return a / b, (a, b)


def divide_backward(cache, g):
    a, b = cache
    return g / b, -g * a / b**2


def broadcast_divide_backward(cache, g):
    a, b = cache
    return unbroadcast(g / b, a.shape), unbroadcast(-g * a / (b * b), b.shape)


def bias_row(x, b):
    return x + b, None


def bias_row_backward(_, g):
    return g.copy(), g.sum(0, keepdims=True)


def linear(x, W, b):
    return x @ W + b, (x, W)


def linear_backward(cache, g):
    x, W = cache
    return g @ W.T, x.T @ g, g.sum(axis=0)


def temperature(x, t):
    return x / t, (x, t)


def temperature_backward(cache, g):
    x, t = cache
    return g / t, -(g * x).sum() / t**2


ENTRIES = [
    right("add", add, add_backward, normal(3, 4), normal(3, 4)),
    right("add, broadcast", broadcast_add, broadcast_add_backward, normal(2, 3, 4), normal(3, 1)),
    right(
        "subtract, broadcast",
        lambda a, b: (a - b, (a.shape, b.shape)),
        broadcast_subtract_backward,
        normal(1, 4),
        normal(3, 1),
    ),
    right("multiply", multiply, multiply_backward, normal(3, 4), normal(3, 4)),
    right("multiply, broadcast", multiply, broadcast_multiply_backward, normal(4), normal(2, 3, 4)),
    right("multiply by a 0-d array", multiply, broadcast_multiply_backward, normal(3, 4), fixed(1.7)),
    right("divide", divide, divide_backward, normal(3, 4), uniform(0.5, 2, 3, 4)),
    right("divide, broadcast", divide, broadcast_divide_backward, normal(3, 4), uniform(-2, -0.5, 3, 1)),
    right("negate", lambda x: (-x, None), lambda _, g: (-g,), normal(5)),
    right("scale and shift", lambda x: (3 * x + 2, None), lambda _, g: (3 * g,), normal(2, 3)),
    right("identity", lambda x: (x.copy(), None), lambda _, g: (g.copy(),), normal(4)),
    right("bias row", bias_row, bias_row_backward, normal(4, 3), normal(1, 3)),
    right("linear", linear, linear_backward, normal(4, 3), normal(3, 5), normal(5)),
    right("linear, one sample", linear, linear_backward, normal(1, 3), normal(3, 2), normal(2)),
    right("temperature", temperature, temperature_backward, normal(3, 4), fixed(0.7)),
]
