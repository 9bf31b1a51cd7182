"""University assignments, as they are handed in."""

import numpy as np

from ._entry import Stranger
from ._help_n import diff, rand


# ---------------------------------------------------------------- cs231n, assignment 1 (bonus)
def l2_svm_loss_vectorized(W, X, y, reg):
    """
    Squared hinge loss, vectorized.
    - W: (D, C) weights, X: (N, D) minibatch, y: (N,) labels, reg: strength
    Returns (loss, dW)
    """
    num_train = X.shape[0]
    scores = X.dot(W)
    correct = scores[np.arange(num_train), y][:, np.newaxis]
    margins = np.maximum(0, scores - correct + 1.0)
    margins[np.arange(num_train), y] = 0
    loss = np.sum(margins**2) / num_train + reg * np.sum(W * W)

    coeff = 2.0 * margins / num_train
    coeff[np.arange(num_train), y] -= coeff.sum(axis=1)
    dW = X.T.dot(coeff) + 2 * reg * W
    return loss, dW


def svm_data():
    rng = np.random.default_rng(231)
    return rng.normal(size=(6, 3)) * 0.1, rng.normal(size=(7, 6)), rng.integers(0, 3, 7), 0.05


def prove_svm():
    W, X, y, reg = svm_data()
    dW = l2_svm_loss_vectorized(W, X, y, reg)[1]
    return [(dW, diff(lambda: l2_svm_loss_vectorized(W, X, y, reg)[0], W))]


# ---------------------------------------------------------------- 11-785, HW2P1
class Conv1d_stride1:
    def __init__(self, in_channels, out_channels, kernel_size, weight_init_fn=None, bias_init_fn=None):
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        size = (out_channels, in_channels, kernel_size)
        self.W = np.random.normal(0, 1.0, size) if weight_init_fn is None else weight_init_fn(size)
        self.b = np.zeros(out_channels) if bias_init_fn is None else bias_init_fn(out_channels)
        self.dLdW = np.zeros(self.W.shape)
        self.dLdb = np.zeros(self.b.shape)

    def forward(self, A):
        self.A = A
        output_size = A.shape[2] - self.kernel_size + 1
        Z = np.zeros((A.shape[0], self.out_channels, output_size))
        for i in range(output_size):
            window = A[:, :, i : i + self.kernel_size]
            Z[:, :, i] = np.tensordot(window, self.W, axes=([1, 2], [1, 2])) + self.b
        return Z

    def backward(self, dLdZ):
        K, out = self.kernel_size, dLdZ.shape[2]
        for k in range(K):
            self.dLdW[:, :, k] = np.tensordot(dLdZ, self.A[:, :, k : k + out], axes=([0, 2], [0, 2]))
        self.dLdb = dLdZ.sum(axis=(0, 2))
        padded = np.pad(dLdZ, ((0, 0), (0, 0), (K - 1, K - 1)))
        flipped = self.W[:, :, ::-1]
        dLdA = np.zeros_like(self.A)
        for i in range(self.A.shape[2]):
            dLdA[:, :, i] = np.tensordot(padded[:, :, i : i + K], flipped, axes=([1, 2], [0, 2]))
        return dLdA


class Downsample1d:
    def __init__(self, downsampling_factor):
        self.downsampling_factor = downsampling_factor

    def forward(self, A):
        self.in_width = A.shape[2]
        return A[:, :, :: self.downsampling_factor]

    def backward(self, dLdZ):
        dLdA = np.zeros((*dLdZ.shape[:2], self.in_width))
        dLdA[:, :, :: self.downsampling_factor] = dLdZ
        return dLdA


class Conv1d:
    def __init__(self, in_channels, out_channels, kernel_size, stride, w_init=None, b_init=None):
        self.stride = stride
        self.conv1d_stride1 = Conv1d_stride1(in_channels, out_channels, kernel_size, w_init, b_init)
        self.downsample1d = Downsample1d(stride)

    def forward(self, A):
        return self.downsample1d.forward(self.conv1d_stride1.forward(A))

    def backward(self, dLdZ):
        return self.conv1d_stride1.backward(self.downsample1d.backward(dLdZ))


def cmu_conv():
    rng = np.random.default_rng(785)
    init = lambda s: rng.normal(0, 0.5, s)  # noqa: E731
    return Conv1d(3, 2, 4, 2, init, init), rand(1, 2, 3, 11)


def prove_cmu():
    c, A = cmu_conv()
    g = rand(2, *c.forward(A).shape)
    dA, f, inner = c.backward(g), (lambda: c.forward(A) * g), c.conv1d_stride1
    return [(dA, diff(f, A)), (inner.dLdW, diff(f, inner.W)), (inner.dLdb, diff(f, inner.b))]


# ---------------------------------------------------------------- 11-785, HW3P1
class CTCLoss:
    """Divergence of the probabilities logits (T, B, K) from the targets, averaged over the batch."""

    def __init__(self, BLANK=0):
        self.BLANK = BLANK

    def extend_target_with_blank(self, target):
        ext = [self.BLANK]
        for s in target:
            ext += [int(s), self.BLANK]
        skip = [i >= 2 and ext[i] != self.BLANK and ext[i] != ext[i - 2] for i in range(len(ext))]
        return np.array(ext), skip

    def forward_backward(self, y, skip):
        T, S = y.shape
        alpha, beta = np.zeros((T, S)), np.zeros((T, S))
        alpha[0, :2] = y[0, :2]
        beta[T - 1, -2:] = 1
        for t in range(1, T):
            for s in range(S):
                total = alpha[t - 1, s]
                if s > 0:
                    total += alpha[t - 1, s - 1]
                if skip[s]:
                    total += alpha[t - 1, s - 2]
                alpha[t, s] = total * y[t, s]
        for t in range(T - 2, -1, -1):
            nxt = beta[t + 1] * y[t + 1]
            for s in range(S):
                beta[t, s] = nxt[s]
                if s + 1 < S:
                    beta[t, s] += nxt[s + 1]
                if s + 2 < S and skip[s + 2]:
                    beta[t, s] += nxt[s + 2]
        return alpha, beta

    def forward(self, logits, target, input_lengths, target_lengths):
        self.logits, self.input_lengths = logits, input_lengths
        self.saved, total_loss = [], 0.0
        for b in range(len(target)):
            ext, skip = self.extend_target_with_blank(target[b, : target_lengths[b]])
            y = logits[: input_lengths[b], b][:, ext]
            alpha, beta = self.forward_backward(y, skip)
            prob = alpha[-1, -1] + alpha[-1, -2]
            total_loss -= np.log(prob)
            self.saved.append((ext, alpha * beta / prob))
        return total_loss / len(target)

    def backward(self):
        B = len(self.saved)
        dY = np.zeros_like(self.logits)
        for b, (ext, gamma) in enumerate(self.saved):
            for t in range(self.input_lengths[b]):
                for s, k in enumerate(ext):
                    dY[t, b, k] -= gamma[t, s] / self.logits[t, b, k] / B
        return dY


def ctc_data():
    e = np.exp(rand(5, 7, 2, 4))
    return e / e.sum(-1, keepdims=True), np.array([[1, 1, 3], [2, 3, 0]]), np.array([7, 5]), np.array([3, 2])


def prove_ctc():
    args, layer = ctc_data(), CTCLoss()
    layer.forward(*args)
    return [(layer.backward(), diff(lambda: layer.forward(*args), args[0], 1e-4))]


# ---------------------------------------------------------------- deeplearning.ai, course 2, week 1
SHAPES = (("W1", (4, 3)), ("b1", (4, 1)), ("W2", (2, 4)), ("b2", (2, 1)), ("W3", (1, 2)), ("b3", (1, 1)))


def vector_to_dictionary(theta):
    parameters, start = {}, 0
    for key, shape in SHAPES:
        n = shape[0] * shape[1]
        parameters[key] = theta[start : start + n].reshape(shape)
        start += n
    return parameters


def gradients_to_vector(gradients):
    return np.concatenate([gradients["d" + key].reshape(-1, 1) for key, _ in SHAPES])


def forward_propagation_n(X, Y, parameters):
    p, m = parameters, X.shape[1]
    Z1 = p["W1"] @ X + p["b1"]
    A1 = np.maximum(0, Z1)
    Z2 = p["W2"] @ A1 + p["b2"]
    A2 = np.tanh(Z2)
    A3 = 1 / (1 + np.exp(-(p["W3"] @ A2 + p["b3"])))
    cost = -1.0 / m * np.sum(Y * np.log(A3) + (1 - Y) * np.log(1 - A3))
    return cost, (Z1, A1, A2, p["W2"], A3, p["W3"])


def backward_propagation_n(X, Y, cache):
    m = X.shape[1]
    Z1, A1, A2, W2, A3, W3 = cache
    dZ3 = 1.0 / m * (A3 - Y)
    dZ2 = (W3.T @ dZ3) * (1 - A2**2)
    dZ1 = (W2.T @ dZ2) * (Z1 > 0)
    return {
        "dW3": dZ3 @ A2.T,
        "db3": np.sum(dZ3, axis=1, keepdims=True),
        "dW2": dZ2 @ A1.T,
        "db2": np.sum(dZ2, axis=1, keepdims=True),
        "dW1": dZ1 @ X.T,
        "db1": np.sum(dZ1, axis=1, keepdims=True),
    }


def J(theta, X, Y):
    return forward_propagation_n(X, Y, vector_to_dictionary(theta))[0]


def J_gradient(theta, X, Y):
    cost, cache = forward_propagation_n(X, Y, vector_to_dictionary(theta))
    return gradients_to_vector(backward_propagation_n(X, Y, cache))


def theta_data():
    return rand(1, 29, 1), rand(2, 3, 5), np.array([[1, 0, 1, 1, 0]])


def prove_theta():
    theta, X, Y = theta_data()
    return [(J_gradient(theta, X, Y), diff(lambda: J(theta, X, Y), theta, 1e-4))]


# ---------------------------------------------------------------- a tape in thirty lines (lecture notes)
class Param:
    def __init__(self, data):
        self.data, self.grad = data, np.zeros_like(data)


class GatedUnit:
    """softsign(x @ A) * sigmoid(x @ B), each op pushes its own backward step on the tape."""

    def __init__(self, n_in, n_out, seed=0):
        rng = np.random.default_rng(seed)
        self.A, self.B = Param(rng.normal(size=(n_in, n_out))), Param(rng.normal(size=(n_in, n_out)))
        self.tape = []

    def parameters(self):
        return [self.A, self.B]

    def zero_grad(self):
        for p in self.parameters():
            p.grad = np.zeros_like(p.data)

    def _matmul(self, x, p):
        def step(g):
            p.grad += x.T @ g
            return g @ p.data.T

        return x @ p.data, step

    def forward(self, x):
        self.tape.clear()
        u, back_u = self._matmul(x, self.A)
        v, back_v = self._matmul(x, self.B)
        a = u / (1 + np.abs(u))
        s = 1 / (1 + np.exp(-v))
        self.tape.append(lambda g: back_u(g[0]) + back_v(g[1]))
        self.tape.append(lambda g: (g[0] / (1 + np.abs(u)) ** 2, g[1] * s * (1 - s)))
        self.tape.append(lambda g: (g * s, g * a))
        return a * s

    def backward(self, g):
        while self.tape:
            g = self.tape.pop()(g)
        return g


def prove_tape():
    net, x, g = GatedUnit(3, 4), rand(4, 5, 3), rand(5, 5, 4)
    net.zero_grad()
    net.forward(x)
    dx, f = net.backward(g), lambda: net.forward(x) * g
    A, B = net.A, net.B
    return [(dx, diff(f, x, 1e-4)), (A.grad, diff(f, A.data, 1e-4)), (B.grad, diff(f, B.data))]


# ---------------------------------------------------------------- cs231n, two_layer_net
class TwoLayerNet:
    def __init__(self, input_size, hidden_size, output_size, reg=0.3, std=0.5):
        rng = np.random.default_rng(0)
        self.reg = reg
        self.params = {}
        self.params["W1"] = std * rng.standard_normal((input_size, hidden_size))
        self.params["b1"] = std * rng.standard_normal(hidden_size)
        self.params["W2"] = std * rng.standard_normal((hidden_size, output_size))
        self.params["b2"] = std * rng.standard_normal(output_size)

    def loss(self, X, y=None):
        W1, b1 = self.params["W1"], self.params["b1"]
        W2, b2 = self.params["W2"], self.params["b2"]
        N = X.shape[0]
        hidden = np.maximum(0, X.dot(W1) + b1)
        scores = hidden.dot(W2) + b2
        if y is None:
            return scores
        shifted = scores - scores.max(axis=1, keepdims=True)
        probs = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        loss = -np.log(probs[np.arange(N), y]).mean()
        loss += self.reg * (np.sum(W1 * W1) + np.sum(W2 * W2))

        grads = {}
        dscores = probs.copy()
        dscores[np.arange(N), y] -= 1
        dscores /= N
        grads["W2"] = hidden.T.dot(dscores) + 2 * self.reg * W2
        grads["b2"] = dscores.sum(axis=0) + 2 * self.reg * b2
        dhidden = dscores.dot(W2.T)
        dhidden[hidden <= 0] = 0
        grads["W1"] = X.T.dot(dhidden) + 2 * self.reg * W1
        grads["b1"] = dhidden.sum(axis=0)
        return loss, grads


def prove_twolayer():
    net, X, y = TwoLayerNet(4, 6, 3), rand(6, 5, 4), np.array([0, 1, 2, 2, 1])
    grads = net.loss(X, y)[1]
    return [(grads[k], diff(lambda: net.loss(X, y)[0], net.params[k], 1e-4)) for k in net.params]


# ---------------------------------------------------------------- seminar exercise: LSTM with peepholes
def sigm(a):
    return 1.0 / (1.0 + np.exp(-a))


class PeepholeLSTM:
    def __init__(self, D, H, rng):
        self.H = H
        self.p = {
            "Wx": rng.normal(0, 0.5, (D, 4 * H)),
            "Wh": rng.normal(0, 0.5, (H, 4 * H)),
            "b": rng.normal(0, 0.5, 4 * H),
            "pi": rng.normal(0, 0.5, H),
            "pf": rng.normal(0, 0.5, H),
            "po": rng.normal(0, 0.5, H),
        }
        self.dp = {}

    def forward(self, x):  # (T, N, D) -> (T, N, H)
        p, H = self.p, self.H
        h, c = np.zeros((x.shape[1], H)), np.zeros((x.shape[1], H))
        self.x, self.steps, out = x, [], []
        for xt in x:
            a = xt @ p["Wx"] + h @ p["Wh"] + p["b"]
            i = sigm(a[:, :H] + p["pi"] * c)
            f = sigm(a[:, H : 2 * H] + p["pf"] * c)
            g = np.tanh(a[:, 3 * H :])
            c_new = f * c + i * g
            o = sigm(a[:, 2 * H : 3 * H] + p["po"] * c_new)
            self.steps.append((h, c, i, f, o, g, c_new))
            h, c = o * np.tanh(c_new), c_new
            out.append(h)
        return np.stack(out)

    def backward(self, dout):
        p, d = self.p, {k: np.zeros_like(v) for k, v in self.p.items()}
        dx, dh, dc = np.zeros_like(self.x), 0.0, 0.0
        for t in reversed(range(len(self.x))):
            h_prev, c_prev, i, f, o, g, c = self.steps[t]
            dh = dh + dout[t]
            tc = np.tanh(c)
            do = dh * tc * o * (1 - o)
            dc = dc + dh * o * (1 - tc**2) + do * p["po"]
            di = dc * g * i * (1 - i)
            df = dc * c_prev * f * (1 - f)
            dg = dc * i * (1 - g**2)
            d["pi"] += (di * c_prev).sum(0)
            d["pf"] += (df * c_prev).sum(0)
            d["po"] += (do * c_prev).sum(0)
            dc = dc * f + di * p["pi"] + df * p["pf"]
            da = np.hstack([di, df, do, dg])
            d["Wx"] += self.x[t].T @ da
            d["Wh"] += h_prev.T @ da
            d["b"] += da.sum(0)
            dx[t], dh = da @ p["Wx"].T, da @ p["Wh"].T
        self.dp = d
        return dx


def prove_peephole():
    net, x, g = PeepholeLSTM(3, 2, np.random.default_rng(3)), rand(7, 4, 2, 3), rand(8, 4, 2, 2)
    net.forward(x)
    dx, f = net.backward(g), lambda: net.forward(x) * g
    return [(dx, diff(f, x))] + [(net.dp[k], diff(f, net.p[k])) for k in net.p]


# ---------------------------------------------------------------- deeplearning.ai, course 5: dinosaurs
def rnn_forward(x, Wax, Waa, ba):
    a = np.zeros((Waa.shape[0], x.shape[1]))
    states = [a]
    for t in range(x.shape[2]):
        a = np.tanh(Wax @ x[:, :, t] + Waa @ a + ba)
        states.append(a)
    return np.stack(states[1:], axis=2), (x, states, Wax, Waa)


def rnn_backward(da, cache):
    x, states, Wax, Waa = cache
    gradients = {"dx": np.zeros_like(x), "dWax": np.zeros_like(Wax), "dWaa": np.zeros_like(Waa)}
    gradients["dba"] = np.zeros((Waa.shape[0], 1))
    da_next = np.zeros_like(states[0])
    for t in reversed(range(x.shape[2])):
        dz = (1 - states[t + 1] ** 2) * (da[:, :, t] + da_next)
        dz = np.clip(dz, -1, 1)  # exploding gradients
        gradients["dx"][:, :, t] = Wax.T @ dz
        gradients["dWax"] += dz @ x[:, :, t].T
        gradients["dWaa"] += dz @ states[t].T
        gradients["dba"] += dz.sum(axis=1, keepdims=True)
        da_next = Waa.T @ dz
    return gradients


def dino_data():
    return rand(1, 3, 2, 4), 0.4 * rand(2, 5, 3), 0.4 * rand(3, 5, 5), 0.1 * rand(4, 5, 1)


def prove_dino():
    args = dino_data()
    out, cache = rnn_forward(*args)
    g = 1.5 * rand(9, *out.shape)
    d = rnn_backward(g, cache)
    names = ("dx", "dWax", "dWaa", "dba")
    return [(d[n], diff(lambda: rnn_forward(*args)[0] * g, a)) for n, a in zip(names, args)]


def call_svm(gradlab):
    W, *rest = svm_data()
    return gradlab.check_gradient(l2_svm_loss_vectorized, True, W, args=tuple(rest))


def call_theta(gradlab):
    theta, X, Y = theta_data()
    return gradlab.check_gradient(J, J_gradient, theta, args=(X, Y))


ENTRIES = [
    Stranger("n: squared hinge of cs231n", "f that returns loss and gradient, args", call_svm, prove_svm),
    Stranger(
        "n: strided Conv1d of two modules, dLdW of the inner one",
        "layer of modules with dLdW",
        lambda gradlab: gradlab.check_layer(*cmu_conv()),
        prove_cmu,
    ),
    Stranger(
        "n: CTC divergence of probabilities with lengths",
        "loss layer, backward without argument",
        lambda gradlab: gradlab.check_layer(CTCLoss(), *ctc_data()),
        prove_ctc,
    ),
    Stranger("n: parameters unrolled to a column theta", "f and grad of a column", call_theta, prove_theta),
    Stranger(
        "n: gated unit that pushes closures on a tape",
        "layer with tape, Param objects, zero_grad",
        lambda gradlab: gradlab.check_layer(GatedUnit(3, 4), rand(4, 5, 3)),
        prove_tape,
    ),
    Stranger(
        "n: TwoLayerNet.loss: weight decay on a bias too",
        "net whose loss(X, y) returns loss and dict",
        lambda gradlab: gradlab.check_layer(TwoLayerNet(4, 6, 3), rand(6, 5, 4), np.array([0, 1, 2, 2, 1])),
        prove_twolayer,
        "wrong",
        "weight decay is added to b2's gradient though the loss does not decay b2",
        ("additive-bias",),
        ("b2",),
        '        grads["b2"] = dscores.sum(axis=0) + 2 * self.reg * b2',
        '        grads["b2"] = dscores.sum(axis=0)',
    ),
    Stranger(
        "n: LSTM with peepholes: output gate's peephole by the old cell",
        "layer with dicts p and dp",
        lambda gradlab: gradlab.check_layer(PeepholeLSTM(3, 2, np.random.default_rng(3)), rand(7, 4, 2, 3)),
        prove_peephole,
        "wrong",
        "the output gate looks at the new cell, its peephole's gradient takes the cell before",
        ("shifted",),
        ("po",),
        '            d["po"] += (do * c_prev).sum(0)',
        '            d["po"] += (do * c).sum(0)',
    ),
    Stranger(
        "n: dinosaur RNN: clips inside its backward",
        "pair with cache and dict of gradients",
        lambda gradlab: gradlab.check_cached_pair(rnn_forward, rnn_backward, dino_data()),
        prove_dino,
        "wrong",
        "dz is clipped to [-1, 1] inside backward: no longer linear in dout",
        ("nonlinear-in-cotangent",),
        ("x", "Wax", "Waa", "ba"),
        "        dz = np.clip(dz, -1, 1)  # exploding gradients\n",
        "",
    ),
]
