"""Homework in the manner of deeplearning.ai, typed anew from memory of what the courses describe: (features, examples),
1/m inside of dW and db, caches, parameters and gradients in dictionaries.

Two things belong to the courses. linear_backward divides dW and db by m and dA_prev not: dZ is of the loss of each example,
and the cost is their mean. And the backward of a recurrent cell knows nothing of the prediction that the forward also returns.
"""

import numpy as np

from ._differences import prove_function, prove_pair, slopes, spread
from ._entry import Book

# --- course 1: logistic regression, one hidden layer, L layers -------------------------------------------------------


def sigmoid(Z):
    A = 1 / (1 + np.exp(-Z))
    cache = Z
    return A, cache


def relu(Z):
    A = np.maximum(0, Z)
    cache = Z
    return A, cache


def sigmoid_backward(dA, cache):
    Z = cache
    s = 1 / (1 + np.exp(-Z))
    dZ = dA * s * (1 - s)
    return dZ


def relu_backward(dA, cache):
    Z = cache
    dZ = np.array(dA, copy=True)
    dZ[Z <= 0] = 0
    return dZ


def propagate(w, b, X, Y):
    """Logistic regression."""
    m = X.shape[1]
    A = 1 / (1 + np.exp(-(np.dot(w.T, X) + b)))
    cost = -np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A)) / m
    dw = np.dot(X, (A - Y).T) / m
    db = np.sum(A - Y) / m
    cost = np.squeeze(np.array(cost))
    grads = {"dw": dw, "db": db}
    return grads, cost


def planar_forward_propagation(X, parameters):
    W1, b1, W2, b2 = (parameters[k] for k in ("W1", "b1", "W2", "b2"))
    Z1 = np.dot(W1, X) + b1
    A1 = np.tanh(Z1)
    Z2 = np.dot(W2, A1) + b2
    A2, _ = sigmoid(Z2)
    cache = {"Z1": Z1, "A1": A1, "Z2": Z2, "A2": A2}
    return A2, cache


def planar_backward_propagation(parameters, cache, X, Y):
    m = X.shape[1]
    W2 = parameters["W2"]
    A1, A2 = cache["A1"], cache["A2"]
    dZ2 = A2 - Y
    dW2 = (1 / m) * np.dot(dZ2, A1.T)
    db2 = (1 / m) * np.sum(dZ2, axis=1, keepdims=True)
    dZ1 = np.dot(W2.T, dZ2) * (1 - np.power(A1, 2))
    dW1 = (1 / m) * np.dot(dZ1, X.T)
    db1 = (1 / m) * np.sum(dZ1, axis=1, keepdims=True)
    return {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2}


def initialize_parameters_deep(layer_dims):
    parameters = {}
    for l in range(1, len(layer_dims)):
        parameters["W" + str(l)] = np.random.randn(layer_dims[l], layer_dims[l - 1]) / np.sqrt(
            layer_dims[l - 1]
        )
        parameters["b" + str(l)] = np.zeros((layer_dims[l], 1))
    return parameters


def linear_forward(A, W, b):
    Z = np.dot(W, A) + b
    cache = (A, W, b)
    return Z, cache


def linear_activation_forward(A_prev, W, b, activation):
    Z, linear_cache = linear_forward(A_prev, W, b)
    if activation == "sigmoid":
        A, activation_cache = sigmoid(Z)
    elif activation == "relu":
        A, activation_cache = relu(Z)
    return A, (linear_cache, activation_cache)


def L_model_forward(X, parameters):
    caches = []
    A = X
    L = len(parameters) // 2
    for l in range(1, L):
        A, cache = linear_activation_forward(A, parameters["W" + str(l)], parameters["b" + str(l)], "relu")
        caches.append(cache)
    AL, cache = linear_activation_forward(A, parameters["W" + str(L)], parameters["b" + str(L)], "sigmoid")
    caches.append(cache)
    return AL, caches


def compute_cost(AL, Y):
    m = Y.shape[1]
    cost = -np.sum(Y * np.log(AL) + (1 - Y) * np.log(1 - AL)) / m
    return np.squeeze(cost)


def linear_backward(dZ, cache):
    A_prev, W, b = cache
    m = A_prev.shape[1]
    dW = np.dot(dZ, A_prev.T) / m
    db = np.sum(dZ, axis=1, keepdims=True) / m
    dA_prev = np.dot(W.T, dZ)
    return dA_prev, dW, db


def linear_activation_backward(dA, cache, activation):
    linear_cache, activation_cache = cache
    if activation == "relu":
        dZ = relu_backward(dA, activation_cache)
    elif activation == "sigmoid":
        dZ = sigmoid_backward(dA, activation_cache)
    return linear_backward(dZ, linear_cache)


def L_model_backward(AL, Y, caches):
    grads = {}
    L = len(caches)
    Y = Y.reshape(AL.shape)
    dAL = -(np.divide(Y, AL) - np.divide(1 - Y, 1 - AL))
    dA, dW, db = linear_activation_backward(dAL, caches[L - 1], "sigmoid")
    grads["dA" + str(L - 1)], grads["dW" + str(L)], grads["db" + str(L)] = dA, dW, db
    for l in reversed(range(L - 1)):
        dA, dW, db = linear_activation_backward(grads["dA" + str(l + 1)], caches[l], "relu")
        grads["dA" + str(l)], grads["dW" + str(l + 1)], grads["db" + str(l + 1)] = dA, dW, db
    return grads


class DeepNet:
    """The same functions behind loss(X, Y) and gradient(X, Y)."""

    def __init__(self, layer_dims):
        self.params = initialize_parameters_deep(layer_dims)

    def loss(self, X, Y):
        AL, _ = L_model_forward(X, self.params)
        return compute_cost(AL, Y)

    def gradient(self, X, Y):
        AL, caches = L_model_forward(X, self.params)
        grads = L_model_backward(AL, Y, caches)
        return {key: grads["d" + key] for key in self.params}


# --- course 2: regularization, dropout, gradient checking ------------------------------------------------------------


def dictionary_to_vector(dictionary, keys):
    return np.concatenate([dictionary[key].reshape(-1) for key in keys])


def vector_to_dictionary(theta, like):
    found, start = {}, 0
    for key, value in like.items():
        found[key] = theta[start : start + value.size].reshape(value.shape)
        start += value.size
    return found


def cost_with_regularization(A3, Y, parameters, lambd):
    m = Y.shape[1]
    squares = sum(np.sum(np.square(parameters[W])) for W in ("W1", "W2", "W3"))
    return compute_cost(A3, Y) + lambd / (2 * m) * squares


def three_layer_forward(X, parameters, keep_prob=1.0):
    np.random.seed(1)
    W1, b1, W2, b2, W3, b3 = (parameters[k] for k in ("W1", "b1", "W2", "b2", "W3", "b3"))
    Z1 = np.dot(W1, X) + b1
    A1, _ = relu(Z1)
    D1 = (np.random.rand(*A1.shape) < keep_prob).astype(int)
    A1 = A1 * D1 / keep_prob
    Z2 = np.dot(W2, A1) + b2
    A2, _ = relu(Z2)
    D2 = (np.random.rand(*A2.shape) < keep_prob).astype(int)
    A2 = A2 * D2 / keep_prob
    Z3 = np.dot(W3, A2) + b3
    A3, _ = sigmoid(Z3)
    return A3, (Z1, D1, A1, W1, b1, Z2, D2, A2, W2, b2, Z3, A3, W3, b3)


def three_layer_backward(X, Y, cache, lambd=0.0, keep_prob=1.0):
    m = X.shape[1]
    (Z1, D1, A1, W1, b1, Z2, D2, A2, W2, b2, Z3, A3, W3, b3) = cache
    dZ3 = A3 - Y
    dW3 = 1.0 / m * np.dot(dZ3, A2.T) + lambd / m * W3
    db3 = 1.0 / m * np.sum(dZ3, axis=1, keepdims=True)
    dA2 = np.dot(W3.T, dZ3)
    dA2 = dA2 * D2 / keep_prob
    dZ2 = np.multiply(dA2, np.int64(A2 > 0))
    dW2 = 1.0 / m * np.dot(dZ2, A1.T) + lambd / m * W2
    db2 = 1.0 / m * np.sum(dZ2, axis=1, keepdims=True)
    dA1 = np.dot(W2.T, dZ2)
    dA1 = dA1 * D1 / keep_prob
    dZ1 = np.multiply(dA1, np.int64(A1 > 0))
    dW1 = 1.0 / m * np.dot(dZ1, X.T) + lambd / m * W1
    db1 = 1.0 / m * np.sum(dZ1, axis=1, keepdims=True)
    return {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2, "dW3": dW3, "db3": db3}


def line_forward(theta, x):
    """Gradient checking in one dimension: J = theta x."""
    return theta * x


def line_backward(theta, x):
    return x


# --- course 4: convolutions, (m, height, width, channels) ------------------------------------------------------------


def zero_pad(X, pad):
    return np.pad(X, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="constant", constant_values=(0, 0))


def conv_single_step(a_slice_prev, W, b):
    s = np.multiply(a_slice_prev, W)
    Z = np.sum(s)
    Z = Z + b.item()
    return Z


def conv_forward(A_prev, W, b, hparameters):
    (m, n_H_prev, n_W_prev, n_C_prev) = A_prev.shape
    (f, f, n_C_prev, n_C) = W.shape
    stride, pad = hparameters["stride"], hparameters["pad"]
    n_H = int((n_H_prev + 2 * pad - f) / stride) + 1
    n_W = int((n_W_prev + 2 * pad - f) / stride) + 1
    Z = np.zeros((m, n_H, n_W, n_C))
    A_prev_pad = zero_pad(A_prev, pad)
    for i in range(m):
        a_prev_pad = A_prev_pad[i]
        for h in range(n_H):
            vert_start = h * stride
            vert_end = vert_start + f
            for w in range(n_W):
                horiz_start = w * stride
                horiz_end = horiz_start + f
                for c in range(n_C):
                    a_slice_prev = a_prev_pad[vert_start:vert_end, horiz_start:horiz_end, :]
                    Z[i, h, w, c] = conv_single_step(a_slice_prev, W[:, :, :, c], b[:, :, :, c])
    cache = (A_prev, W, b, hparameters)
    return Z, cache


def conv_backward(dZ, cache):
    (A_prev, W, b, hparameters) = cache
    (f, f, n_C_prev, n_C) = W.shape
    stride, pad = hparameters["stride"], hparameters["pad"]
    (m, n_H, n_W, n_C) = dZ.shape
    dA_prev = np.zeros(A_prev.shape)
    dW = np.zeros(W.shape)
    db = np.zeros((1, 1, 1, n_C))
    A_prev_pad = zero_pad(A_prev, pad)
    dA_prev_pad = zero_pad(dA_prev, pad)
    for i in range(m):
        a_prev_pad = A_prev_pad[i]
        da_prev_pad = dA_prev_pad[i]
        for h in range(n_H):
            for w in range(n_W):
                for c in range(n_C):
                    rows = slice(h * stride, h * stride + f)
                    cols = slice(w * stride, w * stride + f)
                    a_slice = a_prev_pad[rows, cols, :]
                    da_prev_pad[rows, cols, :] += W[:, :, :, c] * dZ[i, h, w, c]
                    dW[:, :, :, c] += a_slice * dZ[i, h, w, c]
                    db[:, :, :, c] += dZ[i, h, w, c]
        if pad:
            dA_prev[i, :, :, :] = da_prev_pad[pad:-pad, pad:-pad, :]
        else:
            dA_prev[i, :, :, :] = da_prev_pad
    return dA_prev, dW, db


def pool_forward(A_prev, hparameters, mode="max"):
    (m, n_H_prev, n_W_prev, n_C_prev) = A_prev.shape
    f, stride = hparameters["f"], hparameters["stride"]
    n_H = int(1 + (n_H_prev - f) / stride)
    n_W = int(1 + (n_W_prev - f) / stride)
    A = np.zeros((m, n_H, n_W, n_C_prev))
    for i in range(m):
        for h in range(n_H):
            for w in range(n_W):
                for c in range(n_C_prev):
                    a_prev_slice = A_prev[i, h * stride : h * stride + f, w * stride : w * stride + f, c]
                    if mode == "max":
                        A[i, h, w, c] = np.max(a_prev_slice)
                    elif mode == "average":
                        A[i, h, w, c] = np.mean(a_prev_slice)
    return A, (A_prev, hparameters)


def create_mask_from_window(x):
    return x == np.max(x)


def distribute_value(dz, shape):
    (n_H, n_W) = shape
    return np.ones(shape) * dz / (n_H * n_W)


def pool_backward(dA, cache, mode="max"):
    (A_prev, hparameters) = cache
    stride, f = hparameters["stride"], hparameters["f"]
    (m, n_H, n_W, n_C) = dA.shape
    dA_prev = np.zeros(A_prev.shape)
    for i in range(m):
        for h in range(n_H):
            for w in range(n_W):
                for c in range(n_C):
                    rows = slice(h * stride, h * stride + f)
                    cols = slice(w * stride, w * stride + f)
                    if mode == "max":
                        mask = create_mask_from_window(A_prev[i, rows, cols, c])
                        dA_prev[i, rows, cols, c] += mask * dA[i, h, w, c]
                    elif mode == "average":
                        dA_prev[i, rows, cols, c] += distribute_value(dA[i, h, w, c], (f, f))
    return dA_prev


# --- course 5: recurrent cells, (features, examples, times) ----------------------------------------------------------


def softmax(x):
    e_x = np.exp(x - np.max(x, axis=0))
    return e_x / e_x.sum(axis=0)


def rnn_cell_forward(xt, a_prev, parameters):
    Wax, Waa, Wya = parameters["Wax"], parameters["Waa"], parameters["Wya"]
    ba, by = parameters["ba"], parameters["by"]
    a_next = np.tanh(np.dot(Waa, a_prev) + np.dot(Wax, xt) + ba)
    yt_pred = softmax(np.dot(Wya, a_next) + by)
    cache = (a_next, a_prev, xt, parameters)
    return a_next, yt_pred, cache


def rnn_cell_backward(da_next, cache):
    (a_next, a_prev, xt, parameters) = cache
    Wax, Waa = parameters["Wax"], parameters["Waa"]
    dtanh = (1 - a_next**2) * da_next
    dxt = np.dot(Wax.T, dtanh)
    dWax = np.dot(dtanh, xt.T)
    da_prev = np.dot(Waa.T, dtanh)
    dWaa = np.dot(dtanh, a_prev.T)
    dba = np.sum(dtanh, axis=1, keepdims=True)
    return {"dxt": dxt, "da_prev": da_prev, "dWax": dWax, "dWaa": dWaa, "dba": dba}


def rnn_forward(x, a0, parameters):
    caches = []
    n_x, m, T_x = x.shape
    n_y, n_a = parameters["Wya"].shape
    a = np.zeros((n_a, m, T_x))
    y_pred = np.zeros((n_y, m, T_x))
    a_next = a0
    for t in range(T_x):
        a_next, yt_pred, cache = rnn_cell_forward(x[:, :, t], a_next, parameters)
        a[:, :, t] = a_next
        y_pred[:, :, t] = yt_pred
        caches.append(cache)
    return a, y_pred, (caches, x)


def rnn_backward(da, caches):
    (caches, x) = caches
    (a1, a0, x1, parameters) = caches[0]
    n_a, m, T_x = da.shape
    n_x, m = x1.shape
    dx = np.zeros((n_x, m, T_x))
    dWax = np.zeros((n_a, n_x))
    dWaa = np.zeros((n_a, n_a))
    dba = np.zeros((n_a, 1))
    da_prevt = np.zeros((n_a, m))
    for t in reversed(range(T_x)):
        gradients = rnn_cell_backward(da[:, :, t] + da_prevt, caches[t])
        da_prevt = gradients["da_prev"]
        dx[:, :, t] = gradients["dxt"]
        dWax += gradients["dWax"]
        dWaa += gradients["dWaa"]
        dba += gradients["dba"]
    da0 = da_prevt
    return {"dx": dx, "da0": da0, "dWax": dWax, "dWaa": dWaa, "dba": dba}


GATES = ("Wf", "bf", "Wi", "bi", "Wc", "bc", "Wo", "bo")


def lstm_cell_forward(xt, a_prev, c_prev, parameters):
    Wf, bf, Wi, bi, Wc, bc, Wo, bo = (parameters[k] for k in GATES)
    Wy, by = parameters["Wy"], parameters["by"]
    n_x, m = xt.shape
    n_y, n_a = Wy.shape
    concat = np.concatenate((a_prev, xt), axis=0)
    ft = sigmoid(np.dot(Wf, concat) + bf)[0]
    it = sigmoid(np.dot(Wi, concat) + bi)[0]
    cct = np.tanh(np.dot(Wc, concat) + bc)
    c_next = ft * c_prev + it * cct
    ot = sigmoid(np.dot(Wo, concat) + bo)[0]
    a_next = ot * np.tanh(c_next)
    yt_pred = softmax(np.dot(Wy, a_next) + by)
    cache = (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters)
    return a_next, c_next, yt_pred, cache


def lstm_cell_backward(da_next, dc_next, cache):
    (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters) = cache
    n_x, m = xt.shape
    n_a, m = a_next.shape

    tanh_c = np.tanh(c_next)
    dc = dc_next + da_next * ot * (1 - tanh_c**2)
    dot = da_next * tanh_c * ot * (1 - ot)
    dcct = dc * it * (1 - cct**2)
    dit = dc * cct * it * (1 - it)
    dft = dc * c_prev * ft * (1 - ft)

    concat = np.concatenate((a_prev, xt), axis=0)
    gradients = {}
    to_concat = 0
    for gate, d in (("f", dft), ("i", dit), ("c", dcct), ("o", dot)):
        gradients["dW" + gate] = np.dot(d, concat.T)
        gradients["db" + gate] = np.sum(d, axis=1, keepdims=True)
        to_concat = to_concat + np.dot(parameters["W" + gate].T, d)
    gradients["da_prev"] = to_concat[:n_a]
    gradients["dxt"] = to_concat[n_a:]
    gradients["dc_prev"] = dc * ft
    return gradients


def lstm_forward(x, a0, parameters):
    caches = []
    n_x, m, T_x = x.shape
    n_y, n_a = parameters["Wy"].shape
    a, c, y = np.zeros((n_a, m, T_x)), np.zeros((n_a, m, T_x)), np.zeros((n_y, m, T_x))
    a_next = a0
    c_next = np.zeros((n_a, m))
    for t in range(T_x):
        a_next, c_next, yt, cache = lstm_cell_forward(x[:, :, t], a_next, c_next, parameters)
        a[:, :, t], c[:, :, t], y[:, :, t] = a_next, c_next, yt
        caches.append(cache)
    return a, y, c, (caches, x)


def lstm_backward(da, caches):
    (caches, x) = caches
    n_a, m, T_x = da.shape
    n_x = x.shape[0]
    dx = np.zeros((n_x, m, T_x))
    da_prevt = np.zeros((n_a, m))
    dc_prevt = np.zeros((n_a, m))
    gradients = {"d" + key: 0.0 for key in GATES}
    for t in reversed(range(T_x)):
        step = lstm_cell_backward(da[:, :, t] + da_prevt, dc_prevt, caches[t])
        da_prevt, dc_prevt = step["da_prev"], step["dc_prev"]
        dx[:, :, t] = step["dxt"]
        for key in GATES:
            gradients["d" + key] = gradients["d" + key] + step["d" + key]
    gradients["dx"], gradients["da0"] = dx, da_prevt
    return gradients


# --- what is checked -------------------------------------------------------------------------------------------------


def pair_book(name, form, make, wrt=None, scale=None):
    """make() -> (forward, backward, primals)"""

    def call(gradlab):
        return gradlab.check_cached_pair(*make())

    def prove():
        return prove_pair(*make(), wrt, scale)

    return Book("deeplearning.ai: " + name, form, call, prove)


def vector_book(name, form, make):
    """make() -> (f, theta, args); f(theta, *args) returns (cost, gradient)"""

    def call(gradlab):
        f, theta, args = make()
        return gradlab.check_gradient(f, True, theta, args=args)

    def prove():
        return prove_function(*make())

    return Book("deeplearning.ai: " + name, form, call, prove)


def normal(seed, *shapes):
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(shape) for shape in shapes)


def logistic(theta, X, Y):
    w, b = theta[:-1].reshape(-1, 1), theta[-1]
    grads, cost = propagate(w, b, X, Y)
    return cost, np.append(grads["dw"].ravel(), grads["db"])


def weights_of_logistic(w, b, X, Y):
    grads, cost = propagate(w, b, X, Y)
    return cost, grads["dw"]


def labels(*values):
    return np.array([values])


def make_logistic():
    theta, X = normal(601, 4, (3, 5))
    return logistic, theta, (X, labels(1, 0, 1, 1, 0))


def make_weights_of_logistic():
    w, X = normal(602, (3, 1), (3, 5))
    return weights_of_logistic, w, (0.3, X, labels(1, 0, 1, 1, 0))


def make_planar():
    W1, b1, W2, b2, X = normal(603, (4, 2), (4, 1), (1, 4), (1, 1), (2, 6))
    like = {"W1": W1, "b1": b1, "W2": W2, "b2": b2}

    def cost_and_gradient(theta, X, Y):
        parameters = vector_to_dictionary(theta, like)
        A2, cache = planar_forward_propagation(X, parameters)
        grads = planar_backward_propagation(parameters, cache, X, Y)
        return compute_cost(A2, Y), dictionary_to_vector(grads, ["dW1", "db1", "dW2", "db2"])

    return cost_and_gradient, dictionary_to_vector(like, like), (X, labels(1, 0, 1, 1, 0, 0))


def make_deep_vector():
    np.random.seed(604)
    like = initialize_parameters_deep([4, 5, 4, 1])
    X = np.random.randn(4, 5)

    def cost_and_gradient(theta, X, Y):
        AL, caches = L_model_forward(X, vector_to_dictionary(theta, like))
        grads = L_model_backward(AL, Y, caches)
        return compute_cost(AL, Y), dictionary_to_vector(grads, ["d" + key for key in like])

    return cost_and_gradient, dictionary_to_vector(like, like), (X, labels(1, 0, 1, 1, 0))


def make_deep_net():
    np.random.seed(605)
    return DeepNet([4, 5, 4, 1]), np.random.randn(4, 5), labels(1, 0, 0, 1, 0)


def three_layers(seed, lambd, keep_prob):
    np.random.seed(seed)
    like = initialize_parameters_deep([3, 6, 5, 1])
    for key in ("b1", "b2", "b3"):
        like[key] += 0.2 * np.random.randn(*like[key].shape)  # as after some training: off the kink at zero
    X = np.random.randn(3, 4)

    def cost_and_gradient(theta, X, Y):
        parameters = vector_to_dictionary(theta, like)
        A3, cache = three_layer_forward(X, parameters, keep_prob)
        grads = three_layer_backward(X, Y, cache, lambd, keep_prob)
        cost = cost_with_regularization(A3, Y, parameters, lambd)
        return cost, dictionary_to_vector(grads, ["d" + key for key in like])

    return cost_and_gradient, dictionary_to_vector(like, like), (X, labels(1, 0, 1, 0))


def make_linear():
    return linear_forward, linear_backward, normal(608, (3, 5), (2, 3), (2, 1))


def make_linear_activation(seed, activation):
    return (
        lambda A_prev, W, b: linear_activation_forward(A_prev, W, b, activation),
        lambda dA, cache: linear_activation_backward(dA, cache, activation),
        normal(seed, (3, 5), (2, 3), (2, 1)),
    )


def make_conv(seed, stride, pad):
    return (
        conv_forward,
        conv_backward,
        (*normal(seed, (2, 4, 4, 2), (2, 2, 2, 2), (1, 1, 1, 2)), {"stride": stride, "pad": pad}),
    )


def make_conv_lambda():
    hparameters = {"stride": 1, "pad": 1}
    return (
        lambda A_prev, W, b: conv_forward(A_prev, W, b, hparameters),
        conv_backward,
        normal(613, (2, 3, 3, 1), (3, 3, 1, 2), (1, 1, 1, 2)),
    )


def make_pool(seed, mode, f, stride):
    hparameters = {"f": f, "stride": stride}
    return (
        lambda A_prev: pool_forward(A_prev, hparameters, mode),
        lambda dA, cache: pool_backward(dA, cache, mode),
        (spread(np.random.default_rng(seed), 2, 4, 4, 2),),
    )


def rnn_parameters(seed):
    Wax, Waa, Wya, ba, by = normal(seed, (4, 3), (4, 4), (2, 4), (4, 1), (2, 1))
    return {"Wax": Wax / 2, "Waa": Waa / 2, "Wya": Wya, "ba": ba, "by": by}


def lstm_parameters(seed):
    shapes = [(3, 6), (3, 1)] * 4 + [(2, 3), (2, 1)]
    return {key: w / 2 for key, w in zip([*GATES, "Wy", "by"], normal(seed, *shapes), strict=True)}


def make_rnn_cell():
    """The cell behind arrays: the prediction, which is no part of the backward, is left out."""
    p = rnn_parameters(617)

    def forward(xt, a_prev, Wax, Waa, ba):
        a_next, yt_pred, cache = rnn_cell_forward(xt, a_prev, p | {"Wax": Wax, "Waa": Waa, "ba": ba})
        return a_next, cache

    def backward(da_next, cache):
        g = rnn_cell_backward(da_next, cache)
        return g["dxt"], g["da_prev"], g["dWax"], g["dWaa"], g["dba"]

    return forward, backward, (*normal(618, (3, 5), (4, 5)), p["Wax"], p["Waa"], p["ba"])


def make_rnn():
    p = rnn_parameters(619)

    def forward(x, a0, Wax, Waa, ba):
        a, y_pred, caches = rnn_forward(x, a0, p | {"Wax": Wax, "Waa": Waa, "ba": ba})
        return a, caches

    def backward(da, caches):
        g = rnn_backward(da, caches)
        return g["dx"], g["da0"], g["dWax"], g["dWaa"], g["dba"]

    return forward, backward, (*normal(620, (3, 2, 4), (4, 2)), p["Wax"], p["Waa"], p["ba"])


def make_lstm_cell():
    p = lstm_parameters(621)

    def forward(xt, a_prev, c_prev, *gates):
        a_next, c_next, yt_pred, cache = lstm_cell_forward(xt, a_prev, c_prev, p | dict(zip(GATES, gates)))
        return a_next, c_next, cache

    def backward(da_next, dc_next, cache):
        g = lstm_cell_backward(da_next, dc_next, cache)
        return (g["dxt"], g["da_prev"], g["dc_prev"], *[g["d" + key] for key in GATES])

    return forward, backward, (*normal(622, (3, 4), (3, 4), (3, 4)), *[p[key] for key in GATES])


def make_lstm():
    p = lstm_parameters(623)

    def forward(x, a0, *gates):
        a, y, c, caches = lstm_forward(x, a0, p | dict(zip(GATES, gates)))
        return a, caches

    def backward(da, caches):
        g = lstm_backward(da, caches)
        return (g["dx"], g["da0"], *[g["d" + key] for key in GATES])

    return forward, backward, (*normal(624, (3, 2, 3), (3, 2)), *[p[key] for key in GATES])


def prove_dictionary(forward, backward, inputs, parameters, names, outs):
    """The cell as the course calls it: the parameters are one dictionary, the gradients another, and of what forward returns
    only the first `outs` have a say in the gradients."""
    results = forward(*inputs, parameters)
    douts = normal(625, *[out.shape for out in results[:outs]])
    gradients = {key: np.array(g) for key, g in backward(*[d.copy() for d in douts], results[-1]).items()}
    arrays = dict(zip(names, inputs, strict=True)) | {"d" + key: value for key, value in parameters.items()}

    def value():
        return sum(np.sum(out * d) for out, d in zip(forward(*inputs, parameters), douts))

    return [(gradient, slopes(value, arrays[key])) for key, gradient in gradients.items()]


def dictionary_book(name, form, forward, backward, make, names, outs):
    """make() -> (inputs, parameters)"""

    def call(gradlab):
        inputs, parameters = make()
        return gradlab.check_cached_pair(forward, backward, (*inputs, parameters))

    def prove():
        inputs, parameters = make()
        return prove_dictionary(forward, backward, inputs, parameters, names, outs)

    return Book("deeplearning.ai: " + name, form, call, prove)


def call_deep_net(gradlab):
    return gradlab.check_model(*make_deep_net())


def prove_deep_net():
    net, X, Y = make_deep_net()
    grads = {key: np.array(grad) for key, grad in net.gradient(X, Y).items()}
    return [(grads[key], slopes(lambda: net.loss(X, Y), net.params[key])) for key in net.params]


def prove_line():
    theta = np.array([4.0])
    return [(np.array([line_backward(theta, 2.0)]), slopes(lambda: line_forward(theta, 2.0)[0], theta))]


ENTRIES = [
    Book(
        "deeplearning.ai: gradient checking in one dimension", "J = theta x of plain floats, its derivative a function",
        lambda gradlab: gradlab.check_gradient(line_forward, line_backward, 4.0, args=(2.0,)), prove_line,
    ),
    vector_book("propagate", "logistic regression, w and b in one vector; cost is np.squeeze'd", make_logistic),
    vector_book("propagate, w alone", "w (features, 1), b, X and Y as args", make_weights_of_logistic),
    vector_book("one hidden layer", "tanh, sigmoid; parameters and gradients turned into vectors", make_planar),
    vector_book("L_model", "relu layers, sigmoid; parameters and gradients turned into vectors", make_deep_vector),
    Book("deeplearning.ai: L_model, a class", "loss(X, Y) and gradient(X, Y), examples along axis 1", call_deep_net, prove_deep_net),
    vector_book("three layers, regularization", "lambd / (2 m) of the squares", lambda: three_layers(606, 0.7, 1.0)),
    vector_book("three layers, dropout", "np.random.seed(1) inside, D1 and D2, keep_prob", lambda: three_layers(607, 0.0, 0.8)),
    pair_book("linear", "by convention dW and db hold 1/m and dA_prev does not", make_linear, None, (1, 5, 5)),
    pair_book(
        "linear_activation, relu", "by convention dW and db hold 1/m and dA_prev does not",
        lambda: make_linear_activation(609, "relu"), None, (1, 5, 5),
    ),
    pair_book(
        "linear_activation, sigmoid", "by convention dW and db hold 1/m and dA_prev does not",
        lambda: make_linear_activation(610, "sigmoid"), None, (1, 5, 5),
    ),
    pair_book("relu_backward", "cache is Z; copies dA", lambda: (relu, relu_backward, (spread(np.random.default_rng(626), 3, 5),))),
    pair_book("sigmoid_backward", "cache is Z", lambda: (sigmoid, sigmoid_backward, normal(627, (3, 5)))),
    pair_book("conv", "(m, H, W, C), hparameters the fourth argument, pad 1, stride 2", lambda: make_conv(611, 2, 1), (0, 1, 2)),
    pair_book("conv, no pad", "(m, H, W, C), hparameters the fourth argument", lambda: make_conv(612, 1, 0), (0, 1, 2)),
    pair_book("conv, lambda", "(m, H, W, C), a lambda holds hparameters", make_conv_lambda),
    pair_book("pool, max", "masks, overlapping windows", lambda: make_pool(614, "max", 3, 1)),
    pair_book("pool, average", "shares of each window", lambda: make_pool(615, "average", 2, 2)),
    pair_book("rnn_cell", "behind arrays, without the prediction", make_rnn_cell),
    pair_book("rnn", "(features, examples, times), behind arrays, without the prediction", make_rnn),
    pair_book("lstm_cell", "behind arrays: two outputs, eleven gradients", make_lstm_cell),
    pair_book("lstm", "(features, examples, times), behind arrays, a alone", make_lstm),
    dictionary_book(
        "rnn_cell, dictionaries", "as the course calls it: parameters a dict, gradients a dict, no way back from yt_pred",
        rnn_cell_forward, rnn_cell_backward, lambda: (normal(628, (3, 5), (4, 5)), rnn_parameters(629)), ("dxt", "da_prev"), 1,
    ),
    dictionary_book(
        "lstm_cell, dictionaries", "as the course calls it: parameters a dict, gradients a dict, no way back from yt_pred",
        lstm_cell_forward, lstm_cell_backward,
        lambda: (normal(630, (3, 4), (3, 4), (3, 4)), lstm_parameters(631)), ("dxt", "da_prev", "dc_prev"), 2,
    ),
]  # fmt: skip
