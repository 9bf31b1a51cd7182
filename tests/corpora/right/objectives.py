"""Scalars to be minimised: models closed over their data, and test functions of optimisation."""

import math

import numpy as np

from ._entry import SEED, fixed, normal, right
from .activations import softmax, softmax_backward
from .losses import cross_entropy, cross_entropy_backward

DATA = np.random.default_rng([SEED, 1])
X = DATA.standard_normal((8, 3))
T = X @ np.array([1.0, -2.0, 0.5]) + 0.1 * DATA.standard_normal(8)
CLASSES = np.array([0, 1, 1, 0, 1, 0, 0, 1])


def least_squares(w):
    r = X @ w - T
    return 0.5 * np.mean(r**2), (r, w.dtype)


def least_squares_backward(cache, g):
    r, dtype = cache
    return ((g * X.T @ r / len(T)).astype(dtype),)


def make_ridge(features, targets, penalty):
    def loss(w):
        A, t = features.astype(w.dtype), targets.astype(w.dtype)
        return np.sum((A @ w - t) ** 2) + penalty * w @ w, w

    def gradient(w, g):
        A, t = features.astype(w.dtype), targets.astype(w.dtype)
        return (g * (2 * A.T @ (A @ w - t) + 2 * penalty * w),)

    return loss, gradient


def make_logistic_regression(features, labels):
    def loss(w, b):
        p = 1 / (1 + np.exp(-(features @ w + b)))
        return -np.mean(np.where(labels == 1, np.log(p), np.log(1 - p))), (p, w.dtype)

    def gradient(cache, g):
        p, dtype = cache
        d = g * (p - labels) / len(labels)
        return (features.T @ d).astype(dtype), d.sum(keepdims=True).astype(dtype)

    return loss, gradient


def make_network(features, labels):
    def loss(W1, b1, W2, b2):
        A = features.astype(W1.dtype)
        h = np.tanh(A @ W1 + b1)
        value, cache = cross_entropy(h @ W2 + b2, labels)
        return value, (A, h, W2, cache)

    def gradients(cache, g):
        A, h, W2, inner = cache
        (d2,) = cross_entropy_backward(inner, g)
        d1 = d2 @ W2.T * (1 - h**2)
        return A.T @ d1, d1.sum(axis=0), h.T @ d2, d2.sum(axis=0, keepdims=True)

    return loss, gradients


def lasso(w, penalty):
    r = X @ w - T
    return 0.5 * r @ r + penalty * np.abs(w).sum(), (r, w, penalty)


def lasso_backward(cache, g):
    r, w, penalty = cache
    return ((g * (X.T @ r + penalty * np.sign(w))).astype(w.dtype),)


def gaussian_log_likelihood(mu, log_sigma):
    z = (T - mu) / np.exp(log_sigma)
    return np.sum(-0.5 * z**2 - log_sigma - 0.5 * math.log(2 * math.pi)), (z, mu, log_sigma)


def gaussian_log_likelihood_backward(cache, g):
    z, mu, log_sigma = cache
    dmu = g * np.sum(z / np.exp(log_sigma), keepdims=True)
    dlog_sigma = g * np.sum(z**2 - 1, keepdims=True)
    return dmu.astype(mu.dtype), dlog_sigma.astype(log_sigma.dtype)


def euler_pendulum(state):
    dt, states = 0.05, [state]
    for _ in range(20):
        angle, speed = states[-1]
        states.append(np.array([angle + dt * speed, speed - dt * np.sin(angle)]))
    return states[-1], (states, dt)


def euler_pendulum_backward(cache, g):
    states, dt = cache
    for angle, _ in reversed(states[:-1]):
        g = np.array([g[0] - dt * np.cos(angle) * g[1], g[1] + dt * g[0]])
    return (g,)


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), x


def rosenbrock_backward(x, g):
    d = np.zeros_like(x)
    d[:-1] = -400 * x[:-1] * (x[1:] - x[:-1] ** 2) - 2 * (1 - x[:-1])
    d[1:] += 200 * (x[1:] - x[:-1] ** 2)
    return (g * d,)


def quadratic_form(x, A):
    return x @ A @ x, (x, A)


def quadratic_form_backward(cache, g):
    x, A = cache
    return g * ((A + A.T) @ x), g * np.outer(x, x)


def rastrigin(x):
    return 10 * x.size + np.sum(x**2 - 10 * np.cos(2 * np.pi * x)), x


def rastrigin_backward(x, g):
    return (g * (2 * x + 20 * np.pi * np.sin(2 * np.pi * x)),)


def himmelblau(p):
    x, y = p
    a, b = x**2 + y - 11, x + y**2 - 7
    return a**2 + b**2, (p, a, b)


def himmelblau_backward(cache, g):
    (x, y), a, b = cache
    return (g * np.array([4 * a * x + 2 * b, 2 * a + 4 * b * y]),)


def barrier(x):
    slack = 4 - X @ x
    return -np.log(slack).sum(), (slack, x.dtype)


def barrier_backward(cache, g):
    slack, dtype = cache
    return ((g * (X.T @ (1 / slack))).astype(dtype),)


def entropy_of_softmax(x):
    p, _ = softmax(x)
    return -np.sum(p * np.log(p + 1e-7)), p


def entropy_of_softmax_backward(p, g):
    dp = -g * (np.log(p + 1e-7) + p / (p + 1e-7))
    return softmax_backward((p, -1), dp)


ENTRIES = [
    right("least squares, closed over data", least_squares, least_squares_backward, normal(3)),
    right("ridge, closed over data", *make_ridge(X, T, 0.1), normal(3)),
    right("logistic regression", *make_logistic_regression(X, CLASSES), normal(3), normal(1)),
    right("network", *make_network(X, CLASSES), normal(3, 4), normal(4), normal(4, 2), normal(1, 2)),
    right("lasso at a zero weight", lasso, lasso_backward, fixed([0.0, -1.5, 0.0]), penalty=0.3),
    right(
        "gaussian likelihood", gaussian_log_likelihood, gaussian_log_likelihood_backward, normal(1), normal(1)
    ),
    right("pendulum by Euler", euler_pendulum, euler_pendulum_backward, fixed([1.2, -0.3])),
    right("rosenbrock", rosenbrock, rosenbrock_backward, normal(5)),
    right("rosenbrock at its minimum", rosenbrock, rosenbrock_backward, fixed([1.0, 1.0, 1.0])),
    right("quadratic form", quadratic_form, quadratic_form_backward, normal(4), normal(4, 4)),
    right("rastrigin", rastrigin, rastrigin_backward, normal(5)),
    right("himmelblau", himmelblau, himmelblau_backward, fixed([1.0, -2.0])),
    right("barrier", barrier, barrier_backward, normal(3, scale=0.3)),
    right("entropy of a softmax", entropy_of_softmax, entropy_of_softmax_backward, normal(5)),
]
