"""The networks of the CS231n assignments, typed anew from memory of what the course describes: params in a dict, and
loss(X, y) that returns (loss, grads)."""

import numpy as np

from ._differences import prove_function, prove_loss_and_grads
from ._entry import Book
from .cs231n_layers import (
    affine_backward,
    affine_forward,
    affine_relu_backward,
    affine_relu_forward,
    batchnorm_backward_alt,
    batchnorm_forward,
    conv_relu_pool_backward,
    conv_relu_pool_forward,
    dropout_backward,
    dropout_forward,
    layernorm_backward,
    layernorm_forward,
    lstm_backward,
    lstm_forward,
    relu_backward,
    relu_forward,
    rnn_backward,
    rnn_forward,
    softmax_loss,
    temporal_affine_backward,
    temporal_affine_forward,
    temporal_softmax_loss,
    word_embedding_backward,
    word_embedding_forward,
)


class FirstTwoLayerNet:
    """Assignment 1 of the earlier years: everything in one method, loss(X, y, reg), without the half."""

    def __init__(self, input_size, hidden_size, output_size, std=1e-4):
        self.params = {}
        self.params["W1"] = std * np.random.randn(input_size, hidden_size)
        self.params["b1"] = np.zeros(hidden_size)
        self.params["W2"] = std * np.random.randn(hidden_size, output_size)
        self.params["b2"] = np.zeros(output_size)

    def loss(self, X, y=None, reg=0.0):
        W1, b1 = self.params["W1"], self.params["b1"]
        W2, b2 = self.params["W2"], self.params["b2"]
        N, D = X.shape

        hidden = np.maximum(0, X.dot(W1) + b1)
        scores = hidden.dot(W2) + b2
        if y is None:
            return scores

        exp_scores = np.exp(scores - np.max(scores, axis=1, keepdims=True))
        probs = exp_scores / np.sum(exp_scores, axis=1, keepdims=True)
        loss = -np.sum(np.log(probs[range(N), y])) / N
        loss += reg * (np.sum(W1 * W1) + np.sum(W2 * W2))

        grads = {}
        dscores = probs
        dscores[range(N), y] -= 1
        dscores /= N
        grads["W2"] = hidden.T.dot(dscores) + 2 * reg * W2
        grads["b2"] = np.sum(dscores, axis=0)
        dhidden = dscores.dot(W2.T)
        dhidden[hidden <= 0] = 0
        grads["W1"] = X.T.dot(dhidden) + 2 * reg * W1
        grads["b1"] = np.sum(dhidden, axis=0)
        return loss, grads


class TwoLayerNet:
    """Of layers: affine - relu - affine - softmax, with 0.5 * reg."""

    def __init__(self, input_dim=3 * 32 * 32, hidden_dim=100, num_classes=10, weight_scale=1e-3, reg=0.0):
        self.params = {}
        self.reg = reg
        self.params["W1"] = weight_scale * np.random.randn(input_dim, hidden_dim)
        self.params["b1"] = np.zeros(hidden_dim)
        self.params["W2"] = weight_scale * np.random.randn(hidden_dim, num_classes)
        self.params["b2"] = np.zeros(num_classes)

    def loss(self, X, y=None):
        W1, b1, W2, b2 = (self.params[k] for k in ("W1", "b1", "W2", "b2"))
        hidden, hidden_cache = affine_relu_forward(X, W1, b1)
        scores, scores_cache = affine_forward(hidden, W2, b2)
        if y is None:
            return scores

        loss, grads = 0, {}
        loss, dscores = softmax_loss(scores, y)
        loss += 0.5 * self.reg * (np.sum(W1**2) + np.sum(W2**2))
        dhidden, grads["W2"], grads["b2"] = affine_backward(dscores, scores_cache)
        _, grads["W1"], grads["b1"] = affine_relu_backward(dhidden, hidden_cache)
        grads["W1"] += self.reg * W1
        grads["W2"] += self.reg * W2
        return loss, grads


class FullyConnectedNet:
    def __init__(
        self,
        hidden_dims,
        input_dim=3 * 32 * 32,
        num_classes=10,
        dropout_keep_ratio=1,
        normalization=None,
        reg=0.0,
        weight_scale=1e-2,
        dtype=np.float32,
        seed=None,
    ):
        self.normalization = normalization
        self.use_dropout = dropout_keep_ratio != 1
        self.reg = reg
        self.num_layers = 1 + len(hidden_dims)
        self.dtype = dtype
        self.params = {}

        dims = [input_dim, *hidden_dims, num_classes]
        for i in range(self.num_layers):
            self.params["W%d" % (i + 1)] = weight_scale * np.random.randn(dims[i], dims[i + 1])
            self.params["b%d" % (i + 1)] = np.zeros(dims[i + 1])
            if self.normalization is not None and i < self.num_layers - 1:
                self.params["gamma%d" % (i + 1)] = np.ones(dims[i + 1])
                self.params["beta%d" % (i + 1)] = np.zeros(dims[i + 1])

        self.dropout_param = {}
        if self.use_dropout:
            self.dropout_param = {"mode": "train", "p": dropout_keep_ratio}
            if seed is not None:
                self.dropout_param["seed"] = seed

        self.bn_params = []
        if self.normalization == "batchnorm":
            self.bn_params = [{"mode": "train"} for i in range(self.num_layers - 1)]
        if self.normalization == "layernorm":
            self.bn_params = [{} for i in range(self.num_layers - 1)]

        for k, v in self.params.items():
            self.params[k] = v.astype(dtype)

    def loss(self, X, y=None):
        X = X.astype(self.dtype)
        mode = "test" if y is None else "train"
        if self.use_dropout:
            self.dropout_param["mode"] = mode
        if self.normalization == "batchnorm":
            for bn_param in self.bn_params:
                bn_param["mode"] = mode

        out = X
        caches = []
        for i in range(1, self.num_layers):
            out, fc_cache = affine_forward(out, self.params["W%d" % i], self.params["b%d" % i])
            norm_cache, dropout_cache = None, None
            if self.normalization is not None:
                norm = batchnorm_forward if self.normalization == "batchnorm" else layernorm_forward
                gamma, beta = self.params["gamma%d" % i], self.params["beta%d" % i]
                out, norm_cache = norm(out, gamma, beta, self.bn_params[i - 1])
            out, relu_cache = relu_forward(out)
            if self.use_dropout:
                out, dropout_cache = dropout_forward(out, self.dropout_param)
            caches.append((fc_cache, norm_cache, relu_cache, dropout_cache))
        last = self.num_layers
        scores, last_cache = affine_forward(out, self.params["W%d" % last], self.params["b%d" % last])
        if mode == "test":
            return scores

        loss, grads = 0.0, {}
        loss, dout = softmax_loss(scores, y)
        for i in range(1, last + 1):
            loss += 0.5 * self.reg * np.sum(self.params["W%d" % i] ** 2)

        dout, grads["W%d" % last], grads["b%d" % last] = affine_backward(dout, last_cache)
        grads["W%d" % last] += self.reg * self.params["W%d" % last]
        for i in reversed(range(1, last)):
            fc_cache, norm_cache, relu_cache, dropout_cache = caches[i - 1]
            if self.use_dropout:
                dout = dropout_backward(dout, dropout_cache)
            dout = relu_backward(dout, relu_cache)
            if self.normalization is not None:
                norm = batchnorm_backward_alt if self.normalization == "batchnorm" else layernorm_backward
                dout, grads["gamma%d" % i], grads["beta%d" % i] = norm(dout, norm_cache)
            dout, grads["W%d" % i], grads["b%d" % i] = affine_backward(dout, fc_cache)
            grads["W%d" % i] += self.reg * self.params["W%d" % i]
        return loss, grads


class ThreeLayerConvNet:
    """conv - relu - 2x2 max pool - affine - relu - affine - softmax"""

    def __init__(
        self,
        input_dim=(3, 32, 32),
        num_filters=32,
        filter_size=7,
        hidden_dim=100,
        num_classes=10,
        weight_scale=1e-3,
        reg=0.0,
        dtype=np.float32,
    ):
        self.params = {}
        self.reg = reg
        self.dtype = dtype
        C, H, W = input_dim
        self.params["W1"] = weight_scale * np.random.randn(num_filters, C, filter_size, filter_size)
        self.params["b1"] = np.zeros(num_filters)
        self.params["W2"] = weight_scale * np.random.randn(num_filters * (H // 2) * (W // 2), hidden_dim)
        self.params["b2"] = np.zeros(hidden_dim)
        self.params["W3"] = weight_scale * np.random.randn(hidden_dim, num_classes)
        self.params["b3"] = np.zeros(num_classes)
        for k, v in self.params.items():
            self.params[k] = v.astype(dtype)

    def loss(self, X, y=None):
        W1, b1 = self.params["W1"], self.params["b1"]
        W2, b2 = self.params["W2"], self.params["b2"]
        W3, b3 = self.params["W3"], self.params["b3"]
        filter_size = W1.shape[2]
        conv_param = {"stride": 1, "pad": (filter_size - 1) // 2}
        pool_param = {"pool_height": 2, "pool_width": 2, "stride": 2}

        out, conv_cache = conv_relu_pool_forward(X, W1, b1, conv_param, pool_param)
        out, hidden_cache = affine_relu_forward(out, W2, b2)
        scores, scores_cache = affine_forward(out, W3, b3)
        if y is None:
            return scores

        grads = {}
        loss, dout = softmax_loss(scores, y)
        loss += 0.5 * self.reg * sum(np.sum(W * W) for W in (W1, W2, W3))
        dout, grads["W3"], grads["b3"] = affine_backward(dout, scores_cache)
        dout, grads["W2"], grads["b2"] = affine_relu_backward(dout, hidden_cache)
        _, grads["W1"], grads["b1"] = conv_relu_pool_backward(dout, conv_cache)
        for name in ("W1", "W2", "W3"):
            grads[name] += self.reg * self.params[name]
        return loss, grads


class CaptioningRNN:
    def __init__(
        self, word_to_idx, input_dim=512, wordvec_dim=128, hidden_dim=128, cell_type="rnn", dtype=np.float32
    ):
        if cell_type not in {"rnn", "lstm"}:
            raise ValueError('Invalid cell_type "%s"' % cell_type)
        self.cell_type = cell_type
        self.dtype = dtype
        self.word_to_idx = word_to_idx
        self.idx_to_word = {i: w for w, i in word_to_idx.items()}
        self.params = {}
        vocab_size = len(word_to_idx)
        self._null = word_to_idx["<NULL>"]
        self._start = word_to_idx.get("<START>", None)
        self._end = word_to_idx.get("<END>", None)

        self.params["W_embed"] = np.random.randn(vocab_size, wordvec_dim) / 100
        self.params["W_proj"] = np.random.randn(input_dim, hidden_dim) / np.sqrt(input_dim)
        self.params["b_proj"] = np.zeros(hidden_dim)
        dim_mul = {"lstm": 4, "rnn": 1}[cell_type]
        self.params["Wx"] = np.random.randn(wordvec_dim, dim_mul * hidden_dim) / np.sqrt(wordvec_dim)
        self.params["Wh"] = np.random.randn(hidden_dim, dim_mul * hidden_dim) / np.sqrt(hidden_dim)
        self.params["b"] = np.zeros(dim_mul * hidden_dim)
        self.params["W_vocab"] = np.random.randn(hidden_dim, vocab_size) / np.sqrt(hidden_dim)
        self.params["b_vocab"] = np.zeros(vocab_size)
        for k, v in self.params.items():
            self.params[k] = v.astype(self.dtype)

    def loss(self, features, captions):
        captions_in = captions[:, :-1]
        captions_out = captions[:, 1:]
        mask = captions_out != self._null

        W_proj, b_proj = self.params["W_proj"], self.params["b_proj"]
        W_embed = self.params["W_embed"]
        Wx, Wh, b = self.params["Wx"], self.params["Wh"], self.params["b"]
        W_vocab, b_vocab = self.params["W_vocab"], self.params["b_vocab"]
        cell_forward = rnn_forward if self.cell_type == "rnn" else lstm_forward
        cell_backward = rnn_backward if self.cell_type == "rnn" else lstm_backward

        h0, proj_cache = affine_forward(features, W_proj, b_proj)
        words, embed_cache = word_embedding_forward(captions_in, W_embed)
        h, cell_cache = cell_forward(words, h0, Wx, Wh, b)
        scores, vocab_cache = temporal_affine_forward(h, W_vocab, b_vocab)
        loss, dscores = temporal_softmax_loss(scores, captions_out, mask)

        grads = {}
        dh, grads["W_vocab"], grads["b_vocab"] = temporal_affine_backward(dscores, vocab_cache)
        dwords, dh0, grads["Wx"], grads["Wh"], grads["b"] = cell_backward(dh, cell_cache)
        grads["W_embed"] = word_embedding_backward(dwords, embed_cache)
        _, grads["W_proj"], grads["b_proj"] = affine_backward(dh0, proj_cache)
        return loss, grads


# --- what is checked -------------------------------------------------------------------------------------------------


def net_book(name, form, make, joined=()):
    """make() -> (net, X, y)"""

    def call(gradlab):
        return gradlab.check_model(*make())

    def prove():
        return prove_loss_and_grads(*make(), joined)

    return Book("CS231n: " + name, form, call, prove)


def make_first_two_layer_net():
    np.random.seed(501)
    return FirstTwoLayerNet(4, 6, 3, std=1e-1), 10 * np.random.randn(5, 4), np.array([0, 1, 2, 2, 1])


def make_two_layer_net():
    np.random.seed(502)
    return TwoLayerNet(5, 6, 3, weight_scale=0.3, reg=0.7), np.random.randn(3, 5), np.array([0, 2, 1])


def make_unregularized_two_layer_net():
    np.random.seed(503)
    return TwoLayerNet(4, 5, 3, weight_scale=0.3), np.random.randn(3, 2, 2), np.array([0, 2, 1])


def make_fully_connected(start, N=4, **options):
    np.random.seed(start)
    net = FullyConnectedNet([6, 5], input_dim=5, num_classes=3, weight_scale=0.4, dtype=np.float64, **options)
    return net, np.random.randn(N, 5), np.random.randint(3, size=N)


def make_conv_net():
    np.random.seed(510)
    net = ThreeLayerConvNet(
        input_dim=(2, 4, 4), num_filters=2, filter_size=3, hidden_dim=5, num_classes=3, weight_scale=0.4, reg=0.1,
        dtype=np.float64,
    )  # fmt: skip
    return net, np.random.randn(2, 2, 4, 4), np.array([2, 0])


WORDS = {"<NULL>": 0, "<START>": 1, "<END>": 2, "cat": 3, "dog": 4}


def make_captioning(seed, cell_type):
    np.random.seed(seed)
    model = CaptioningRNN(WORDS, 3, 3, 3, cell_type, dtype=np.float64)
    return model, np.random.randn(2, 3), np.array([[1, 3, 4, 2], [1, 4, 2, 0]])


def one_weight(seed, name):
    """As the notebook has it: f = lambda W: net.loss(X, y), looked at for one parameter."""
    net, X, y = make_two_layer_net()

    def f(W):
        net.params[name] = W
        loss, grads = net.loss(X, y)
        return loss, grads[name]

    return f, net.params[name].copy()


def one_weight_book(name):
    def call(gradlab):
        f, W = one_weight(502, name)
        return gradlab.check_gradient(f, True, W)

    return Book(
        f"CS231n: TwoLayerNet, {name} alone",
        "a function of one parameter that puts it into the net and returns (loss, grad)",
        call,
        lambda: prove_function(*one_weight(502, name)),
    )


ENTRIES = [
    net_book(
        "TwoLayerNet, first form",
        "everything in one method, loss(X, y=None, reg=0.0)",
        make_first_two_layer_net,
    ),
    net_book("TwoLayerNet", "of layers, 0.5 * reg * W ** 2", make_two_layer_net),
    net_book("TwoLayerNet, no reg", "of layers, x of three axes", make_unregularized_two_layer_net),
    one_weight_book("W1"),
    one_weight_book("b2"),
    net_book("FullyConnectedNet", "two hidden layers, reg", lambda: make_fully_connected(505, reg=0.3)),
    net_book(
        "FullyConnectedNet, batchnorm",
        "running averages in bn_params change with each loss",
        lambda: make_fully_connected(506, N=6, normalization="batchnorm", reg=0.1),
        [("W1", "b1"), ("W2", "b2")],
    ),
    net_book(
        "FullyConnectedNet, layernorm",
        "layernorm in each hidden layer",
        lambda: make_fully_connected(507, normalization="layernorm"),
    ),
    net_book(
        "FullyConnectedNet, dropout",
        "inverted, with a seed: the same mask each time",
        lambda: make_fully_connected(508, dropout_keep_ratio=0.75, seed=123),
    ),
    net_book(
        "FullyConnectedNet, batchnorm and dropout",
        "all of it at once",
        lambda: make_fully_connected(
            509, N=6, normalization="batchnorm", dropout_keep_ratio=0.75, seed=123, reg=0.2
        ),
        [("W1", "b1"), ("W2", "b2")],
    ),
    net_book("ThreeLayerConvNet", "conv, pool, two affines, reg; loops", make_conv_net),
    net_book(
        "CaptioningRNN, rnn", "loss(features, captions), padding masked", lambda: make_captioning(511, "rnn")
    ),
    net_book(
        "CaptioningRNN, lstm",
        "loss(features, captions), padding masked",
        lambda: make_captioning(512, "lstm"),
    ),
]
