"""Nielsen's book, deeplearning.ai, Andrew Ng's exercises, and what people hand in."""

from dataclasses import dataclass, field

import numpy as np

from ._entry import Stranger
from ._help_c import cotangent, pairs


def rng(seed):
    return np.random.default_rng(seed)


# ---------------------------------------------------------------- Nielsen


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def sigmoid_prime(z):
    return sigmoid(z) * (1 - sigmoid(z))


class Network:
    """One example at a time, as columns; biases and weights are lists."""

    def __init__(self, sizes, seed=0):
        r = np.random.default_rng(seed)
        self.num_layers = len(sizes)
        self.sizes = sizes
        self.biases = [r.standard_normal((y, 1)) for y in sizes[1:]]
        self.weights = [r.standard_normal((y, x)) for x, y in zip(sizes[:-1], sizes[1:], strict=True)]

    def feedforward(self, a):
        for b, w in zip(self.biases, self.weights, strict=True):
            a = sigmoid(np.dot(w, a) + b)
        return a

    def cost(self, x, y):
        return 0.5 * np.sum((self.feedforward(x) - y) ** 2)

    def backprop(self, x, y):
        nabla_b = [np.zeros(b.shape) for b in self.biases]
        nabla_w = [np.zeros(w.shape) for w in self.weights]
        activation = x
        activations = [x]
        zs = []
        for b, w in zip(self.biases, self.weights, strict=True):
            z = np.dot(w, activation) + b
            zs.append(z)
            activation = sigmoid(z)
            activations.append(activation)
        delta = self.cost_derivative(activations[-1], y) * sigmoid_prime(zs[-1])
        nabla_b[-1] = delta
        nabla_w[-1] = np.dot(delta, activations[-2].T)
        for l in range(2, self.num_layers):
            delta = np.dot(self.weights[-l + 1].T, delta) * sigmoid_prime(zs[-l])
            nabla_b[-l] = delta
            nabla_w[-l] = np.dot(delta, activations[-l - 1].T)
        return nabla_b, nabla_w

    def cost_derivative(self, output_activations, y):
        return output_activations - y


def make_nielsen():
    r = rng(301)
    return Network([4, 5, 3, 2], seed=302), r.standard_normal((4, 1)), np.array([[1.0], [0.0]])


def prove_nielsen():
    net, x, y = make_nielsen()
    nb, nw = net.backprop(x, y)
    return pairs(
        lambda: net.cost(x, y), *zip(nb, net.biases, strict=True), *zip(nw, net.weights, strict=True)
    )


class MiniBatchNetwork:
    """The same with matrices: the columns of X are the examples, the cost is their cross-entropy."""

    def __init__(self, n_in, n_hidden, n_out, seed):
        r = np.random.default_rng(seed)
        self.W1, self.b1 = r.standard_normal((n_hidden, n_in)), r.standard_normal((n_hidden, 1))
        self.W2, self.b2 = r.standard_normal((n_out, n_hidden)), r.standard_normal((n_out, 1))

    def loss(self, X, Y):
        A1 = sigmoid(self.W1 @ X + self.b1)
        A2 = sigmoid(self.W2 @ A1 + self.b2)
        return -np.sum(Y * np.log(A2) + (1 - Y) * np.log(1 - A2)) / X.shape[1]

    def gradient(self, X, Y):
        A1 = sigmoid(self.W1 @ X + self.b1)
        A2 = sigmoid(self.W2 @ A1 + self.b2)
        delta2 = (A2 - Y) / X.shape[1]
        delta1 = (self.W2.T @ delta2) * sigmoid_prime(A1)
        return {
            "W1": delta1 @ X.T,
            "b1": delta1.sum(axis=1, keepdims=True),
            "W2": delta2 @ A1.T,
            "b2": delta2.sum(axis=1, keepdims=True),
        }


def make_minibatch():
    r = rng(303)
    return (
        MiniBatchNetwork(3, 5, 2, seed=304),
        r.standard_normal((3, 6)),
        (r.random((2, 6)) > 0.5).astype(float),
    )


def prove_minibatch():
    net, X, Y = make_minibatch()
    grads = net.gradient(X, Y)
    return pairs(lambda: net.loss(X, Y), *[(g, getattr(net, k)) for k, g in grads.items()])


# ---------------------------------------------------------------- deeplearning.ai


class LLayerModel:
    def __init__(self, layers_dims, seed=1):
        r = np.random.default_rng(seed)
        self.parameters = {}
        for l in range(1, len(layers_dims)):
            self.parameters["W" + str(l)] = r.standard_normal((layers_dims[l], layers_dims[l - 1])) / np.sqrt(
                layers_dims[l - 1]
            )
            self.parameters["b" + str(l)] = 0.1 * r.standard_normal((layers_dims[l], 1))
        self.L = len(layers_dims) - 1

    def forward_propagation(self, X):
        A, self.caches = X, []
        for l in range(1, self.L + 1):
            A_prev = A
            Z = self.parameters["W" + str(l)] @ A_prev + self.parameters["b" + str(l)]
            A = np.tanh(Z) if l < self.L else sigmoid(Z)
            self.caches.append((A_prev, Z, A))
        return A

    def compute_cost(self, X, Y):
        AL = self.forward_propagation(X)
        m = Y.shape[1]
        cost = -1 / m * np.sum(Y * np.log(AL) + (1 - Y) * np.log(1 - AL))
        return np.squeeze(cost)

    def backward_propagation(self, X, Y):
        AL = self.forward_propagation(X)
        m = Y.shape[1]
        grads = {}
        dAL = -(np.divide(Y, AL) - np.divide(1 - Y, 1 - AL))
        dZ = dAL * AL * (1 - AL)
        for l in range(self.L, 0, -1):
            A_prev, Z, A = self.caches[l - 1]
            grads["dW" + str(l)] = 1 / m * np.dot(dZ, A_prev.T)
            grads["db" + str(l)] = 1 / m * np.sum(dZ, axis=1, keepdims=True)
            dA_prev = np.dot(self.parameters["W" + str(l)].T, dZ)
            if l > 1:
                dZ = dA_prev * (1 - A_prev**2)
        return grads


def make_llayer():
    r = rng(305)
    return (
        LLayerModel([4, 5, 3, 1], seed=306),
        r.standard_normal((4, 7)),
        (r.random((1, 7)) > 0.5).astype(float),
    )


def prove_llayer():
    net, X, Y = make_llayer()
    grads = net.backward_propagation(X, Y)
    return pairs(lambda: net.compute_cost(X, Y), *[(grads["d" + k], p) for k, p in net.parameters.items()])


class LinearTanh:
    """Features by examples."""

    def __init__(self, n_out, n_in, seed):
        r = np.random.default_rng(seed)
        self.W = r.standard_normal((n_out, n_in)) / np.sqrt(n_in)
        self.b = np.zeros((n_out, 1)) + 0.1

    def forward(self, A_prev):
        self.A_prev = A_prev
        self.A = np.tanh(self.W @ A_prev + self.b)
        return self.A

    def backward(self, dA):
        dZ = dA * (1 - self.A**2)
        self.dW = dZ @ self.A_prev.T
        self.db = dZ
        return self.W.T @ dZ


def make_linear_tanh():
    return LinearTanh(4, 3, seed=307), rng(308).standard_normal((3, 5))


def prove_linear_tanh():
    layer, x = make_linear_tanh()
    d = cotangent(*layer.forward(x).shape)
    dx = layer.backward(d)
    return pairs(lambda: np.sum(layer.forward(x) * d), (dx, x), (layer.dW, layer.W), (layer.db, layer.b))


# ---------------------------------------------------------------- Ng's exercises, unrolled


def lrCostFunction(theta, X, y, lmbda):
    m = len(y)
    h = sigmoid(X @ theta)
    J = (-y @ np.log(h) - (1 - y) @ np.log(1 - h)) / m + lmbda / (2 * m) * np.sum(theta[1:] ** 2)
    grad = X.T @ (h - y) / m
    grad[1:] += lmbda / m * theta[1:]
    return J, grad


def lr_data():
    r = rng(309)
    X = np.hstack([np.ones((12, 1)), r.standard_normal((12, 4))])
    return r.standard_normal(5), X, (r.random(12) > 0.4).astype(float), 2.0


def call_lr(gradlab):
    theta, X, y, lmbda = lr_data()
    return gradlab.check_gradient(
        lambda th: lrCostFunction(th, X, y, lmbda)[0], lambda th: lrCostFunction(th, X, y, lmbda)[1], theta
    )


def prove_lr():
    theta, X, y, lmbda = lr_data()
    return pairs(
        lambda: lrCostFunction(theta, X, y, lmbda)[0], (lrCostFunction(theta, X, y, lmbda)[1], theta)
    )


class Unrolled:
    """All weights in one vector theta, all gradients in one vector grad."""

    def __init__(self, n_in, n_hidden, n_out, seed):
        self.shapes = [(n_hidden, n_in + 1), (n_out, n_hidden + 1)]
        self.theta = 0.5 * np.random.default_rng(seed).standard_normal(sum(a * b for a, b in self.shapes))
        self.grad = np.zeros_like(self.theta)

    def unroll(self):
        (a, b), (c, d) = self.shapes
        return self.theta[: a * b].reshape(a, b), self.theta[a * b :].reshape(c, d)

    def forward(self, X):
        Theta1, Theta2 = self.unroll()
        self.a1 = np.insert(X, 0, 1.0, axis=1)
        self.a2 = np.insert(np.tanh(self.a1 @ Theta1.T), 0, 1.0, axis=1)
        return self.a2 @ Theta2.T

    def backward(self, delta3):
        Theta1, Theta2 = self.unroll()
        delta2 = (delta3 @ Theta2)[:, 1:] * (1 - self.a2[:, 1:] ** 2)
        self.grad = np.concatenate([(delta2.T @ self.a1).ravel(), (delta3.T @ self.a2).ravel()])
        return (delta2 @ Theta1)[:, 1:]


def make_unrolled():
    return Unrolled(10, 12, 4, seed=310), rng(311).standard_normal((15, 10))


def prove_unrolled():
    layer, x = make_unrolled()
    d = cotangent(*layer.forward(x).shape)
    dx = layer.backward(d)
    return pairs(lambda: np.sum(layer.forward(x) * d), (dx, x), (layer.grad, layer.theta))


# ---------------------------------------------------------------- recommender


class FactorizationMachine:
    def __init__(self, n_features, k, seed):
        r = np.random.default_rng(seed)
        self.params = {
            "w0": np.array([0.3]),
            "w": r.standard_normal(n_features),
            "V": 0.5 * r.standard_normal((n_features, k)),
        }
        self.grads = {}

    def forward(self, x):
        V = self.params["V"]
        self.x = x
        self.s = x @ V
        pairwise = 0.5 * np.sum(self.s**2 - x**2 @ V**2, axis=1)
        return self.params["w0"] + x @ self.params["w"] + pairwise

    def backward(self, dout):
        x, s, V = self.x, self.s, self.params["V"]
        g = dout[:, None]
        self.grads["w0"] = np.array([dout.sum()])
        self.grads["w"] = x.T @ dout
        self.grads["V"] = x.T @ (g * s)
        return g * (self.params["w"] + s @ V.T - x * np.sum(V**2, axis=1))


def make_fm():
    return FactorizationMachine(25, 4, seed=312), rng(313).standard_normal((9, 25))


def prove_fm():
    layer, x = make_fm()
    d = cotangent(9)
    layer.forward(x)
    dx = layer.backward(d)
    return pairs(
        lambda: np.sum(layer.forward(x) * d),
        (dx, x),
        *[(layer.grads[k], layer.params[k]) for k in ("w0", "w", "V")],
    )


# ---------------------------------------------------------------- robotics


class PlanarArm:
    """Joint angles in, where the tip of the arm is and where it points out; the lengths of the links are learnt."""

    def __init__(self, lengths):
        self.lengths = np.array(lengths, dtype=float)
        self.lengths_grad = np.zeros_like(self.lengths)
        self._angles = None

    def propagate(self, q):
        self._angles = np.cumsum(q, axis=1)
        x = np.cos(self._angles) @ self.lengths
        y = np.sin(self._angles) @ self.lengths
        return np.stack([x, y, self._angles[:, -1]], axis=1)

    def pull_back(self, wrench):
        fx, fy, tz = wrench[:, :1], wrench[:, 1:2], wrench[:, 2:]
        c, s = np.cos(self._angles), np.sin(self._angles)
        self.lengths_grad = np.sum(fx * c + fy * s, axis=0)
        on_angles = self.lengths * (fy * c - fx * s)
        on_angles[:, -1:] += tz
        return np.cumsum(on_angles[:, ::-1], axis=1)[:, ::-1]


def make_arm():
    return PlanarArm([1.0, 0.8, 0.5]), rng(314).uniform(-1.5, 1.5, (4, 3))


def prove_arm():
    arm, q = make_arm()
    d = cotangent(*arm.propagate(q).shape)
    dq = arm.pull_back(d)
    return pairs(lambda: np.sum(arm.propagate(q) * d), (dq, q), (arm.lengths_grad, arm.lengths))


# ---------------------------------------------------------------- VAE


@dataclass
class SampleState:
    sigma: np.ndarray | None = None


@dataclass
class GaussianSample:
    """z = mu + sigma * noise, the noise drawn once."""

    noise: np.ndarray
    state: SampleState = field(default_factory=SampleState)

    def forward(self, mu, log_sigma):
        self.state = SampleState(sigma=np.exp(log_sigma))
        return mu + self.state.sigma * self.noise

    def backward(self, dz):
        dmu = dz.copy()
        dlog_sigma = dz * self.noise
        return dmu, dlog_sigma


def make_sample():
    r = rng(315)
    return (
        GaussianSample(r.standard_normal((4, 3))),
        r.standard_normal((4, 3)),
        0.5 * r.standard_normal((4, 3)) - 0.5,
    )


def prove_sample():
    layer, mu, log_sigma = make_sample()
    d = cotangent(4, 3)
    layer.forward(mu, log_sigma)
    dmu, dls = layer.backward(d)
    return pairs(lambda: np.sum(layer.forward(mu, log_sigma) * d), (dmu, mu), (dls, log_sigma))


# ---------------------------------------------------------------- accumulates


class Fc:
    """Weights are (out, in)."""

    def __init__(self, n_out, n_in, seed):
        r = np.random.default_rng(seed)
        self.weight, self.bias = r.standard_normal((n_out, n_in)), r.standard_normal(n_out)
        self.weight_grad, self.bias_grad = np.zeros_like(self.weight), np.zeros_like(self.bias)
        self.inp = None

    def forward(self, inp):
        self.inp = inp
        return inp @ self.weight.T + self.bias

    def backward(self, grad):
        self.weight_grad += grad.T @ self.inp
        self.bias_grad += grad.sum(0)
        return grad @ self.weight


def _layer(make):
    def call(gradlab):
        layer, *inputs = make()
        return gradlab.check_layer(layer, *inputs)

    return call


def call_minibatch(gradlab):
    net, X, Y = make_minibatch()
    return gradlab.check_model(net, X, Y)


ENTRIES = [
    Stranger(
        "Nielsen's network, one example as a column",
        "net with feedforward, cost and backprop, lists of weights and biases",
        _layer(make_nielsen),
        prove_nielsen,
    ),
    Stranger(
        "Nielsen's network for mini-batches: sigmoid_prime of the activation",
        "net with loss(x, t) and gradient(x, t), columns are examples",
        call_minibatch,
        prove_minibatch,
        "wrong",
        "sigmoid_prime(A1) where sigmoid_prime(Z1) is meant",
        (),
        ("W1", "b1"),
    ),
    Stranger(
        "L-layer model of the deep learning course",
        "net with compute_cost and backward_propagation, dicts parameters and grads",
        _layer(make_llayer),
        prove_llayer,
    ),
    Stranger(
        "linear and tanh on columns: the bias gets no sum over the batch",
        "layer with gradient attributes, columns are examples",
        _layer(make_linear_tanh),
        prove_linear_tanh,
        "wrong",
        "db = dZ without the sum over axis 1",
        ("missing-broadcast-sum", "wrong-sum-axis", "wrong-shape"),
        ("db",),
    ),
    Stranger(
        "regularised logistic regression of Ng's exercise", "cost and gradient of theta", call_lr, prove_lr
    ),
    Stranger(
        "two-layer net in one flat vector",
        "layer with a flat theta and a flat grad",
        _layer(make_unrolled),
        prove_unrolled,
    ),
    Stranger(
        "factorization machine: the squares are forgotten on the way back",
        "layer with dicts params and grads",
        _layer(make_fm),
        prove_fm,
        "wrong",
        "the term - x**2 V is missing from the gradient of V",
        ("missing-term",),
        ("V",),
    ),
    Stranger(
        "planar robot arm with learnt links",
        "layer with propagate and pull_back",
        _layer(make_arm),
        prove_arm,
    ),
    Stranger(
        "reparameterised Gaussian: the gradient of sigma for that of its logarithm",
        "dataclass layer with two inputs and a state",
        _layer(make_sample),
        prove_sample,
        "wrong",
        "dz * noise is the gradient of sigma; times sigma it would be that of log sigma",
        ("log-parameter", "missing-term"),
        ("dlog_sigma",),
    ),
    Stranger(
        "dense layer that adds to its gradients and never clears them",
        "layer with gradient attributes, weights (out, in)",
        lambda gradlab: gradlab.check_layer(Fc(3, 4, seed=316), rng(317).standard_normal((5, 4))),
        lambda: [],
        "habit",
        "weight_grad and bias_grad are added to at each backward, and nothing clears them",
        ("accumulates",),
        ("weight_grad", "bias_grad"),
    ),
]
