"""Deep Learning from Scratch, volume 2, chapters 1 to 4, typed anew from memory of what the book describes.

The book keeps single precision (.astype('f')); here the entries ask for float64 unless they say otherwise.
"""

import collections

import numpy as np

from ._differences import lists, merged, prove_layer, slopes
from ._entry import Book


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    if x.ndim == 2:
        x = x - x.max(axis=1, keepdims=True)
        x = np.exp(x)
        x /= x.sum(axis=1, keepdims=True)
    elif x.ndim == 1:
        x = x - np.max(x)
        x = np.exp(x) / np.sum(np.exp(x))
    return x


def cross_entropy_error(y, t):
    if y.ndim == 1:
        t = t.reshape(1, t.size)
        y = y.reshape(1, y.size)
    if t.size == y.size:
        t = t.argmax(axis=1)
    batch_size = y.shape[0]
    return -np.sum(np.log(y[np.arange(batch_size), t] + 1e-7)) / batch_size


class MatMul:
    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]
        self.x = None

    def forward(self, x):
        (W,) = self.params
        out = np.dot(x, W)
        self.x = x
        return out

    def backward(self, dout):
        (W,) = self.params
        dx = np.dot(dout, W.T)
        dW = np.dot(self.x.T, dout)
        self.grads[0][...] = dW
        return dx


class Affine:
    def __init__(self, W, b):
        self.params = [W, b]
        self.grads = [np.zeros_like(W), np.zeros_like(b)]
        self.x = None

    def forward(self, x):
        W, b = self.params
        out = np.dot(x, W) + b
        self.x = x
        return out

    def backward(self, dout):
        W, b = self.params
        dx = np.dot(dout, W.T)
        dW = np.dot(self.x.T, dout)
        db = np.sum(dout, axis=0)
        self.grads[0][...] = dW
        self.grads[1][...] = db
        return dx


class Softmax:
    def __init__(self):
        self.params, self.grads = [], []
        self.out = None

    def forward(self, x):
        self.out = softmax(x)
        return self.out

    def backward(self, dout):
        dx = self.out * dout
        sumdx = np.sum(dx, axis=1, keepdims=True)
        dx -= self.out * sumdx
        return dx


class SoftmaxWithLoss:
    def __init__(self):
        self.params, self.grads = [], []
        self.y = None
        self.t = None

    def forward(self, x, t):
        self.t = t
        self.y = softmax(x)
        if self.t.size == self.y.size:
            self.t = self.t.argmax(axis=1)
        return cross_entropy_error(self.y, self.t)

    def backward(self, dout=1):
        batch_size = self.t.shape[0]
        dx = self.y.copy()
        dx[np.arange(batch_size), self.t] -= 1
        dx *= dout
        dx = dx / batch_size
        return dx


class Sigmoid:
    def __init__(self):
        self.params, self.grads = [], []
        self.out = None

    def forward(self, x):
        out = 1 / (1 + np.exp(-x))
        self.out = out
        return out

    def backward(self, dout):
        dx = dout * (1.0 - self.out) * self.out
        return dx


class SigmoidWithLoss:
    def __init__(self):
        self.params, self.grads = [], []
        self.loss = None
        self.y = None
        self.t = None

    def forward(self, x, t):
        self.t = t
        self.y = 1 / (1 + np.exp(-x))
        self.loss = cross_entropy_error(np.c_[1 - self.y, self.y], self.t)
        return self.loss

    def backward(self, dout=1):
        batch_size = self.t.shape[0]
        dx = (self.y - self.t) * dout / batch_size
        return dx


class TwoLayerNet:
    """Chapter 1: layers in a list, forward(x, t) and backward()."""

    def __init__(self, input_size, hidden_size, output_size):
        I, H, O = input_size, hidden_size, output_size
        W1 = 0.01 * np.random.randn(I, H)
        b1 = np.zeros(H)
        W2 = 0.01 * np.random.randn(H, O)
        b2 = np.zeros(O)
        self.layers = [Affine(W1, b1), Sigmoid(), Affine(W2, b2)]
        self.loss_layer = SoftmaxWithLoss()
        self.params, self.grads = [], []
        for layer in self.layers:
            self.params += layer.params
            self.grads += layer.grads

    def predict(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def forward(self, x, t):
        score = self.predict(x)
        loss = self.loss_layer.forward(score, t)
        return loss

    def backward(self, dout=1):
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout


class Embedding:
    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]
        self.idx = None

    def forward(self, idx):
        (W,) = self.params
        self.idx = idx
        out = W[idx]
        return out

    def backward(self, dout):
        (dW,) = self.grads
        dW[...] = 0
        np.add.at(dW, self.idx, dout)
        return None


class LoopEmbedding(Embedding):
    """As the chapter first corrects it: a loop that adds."""

    def backward(self, dout):
        (dW,) = self.grads
        dW[...] = 0
        for i, word_id in enumerate(self.idx):
            dW[word_id] += dout[i]
        return None


class EmbeddingDot:
    def __init__(self, W):
        self.embed = Embedding(W)
        self.params = self.embed.params
        self.grads = self.embed.grads
        self.cache = None

    def forward(self, h, idx):
        target_W = self.embed.forward(idx)
        out = np.sum(target_W * h, axis=1)
        self.cache = (h, target_W)
        return out

    def backward(self, dout):
        h, target_W = self.cache
        dout = dout.reshape(dout.shape[0], 1)
        dtarget_W = dout * h
        self.embed.backward(dtarget_W)
        dh = dout * target_W
        return dh


class UnigramSampler:
    def __init__(self, corpus, power, sample_size):
        self.sample_size = sample_size
        counts = collections.Counter()
        for word_id in corpus:
            counts[word_id] += 1
        vocab_size = len(counts)
        self.vocab_size = vocab_size
        self.word_p = np.zeros(vocab_size)
        for i in range(vocab_size):
            self.word_p[i] = counts[i]
        self.word_p = np.power(self.word_p, power)
        self.word_p /= np.sum(self.word_p)

    def get_negative_sample(self, target):
        batch_size = target.shape[0]
        negative_sample = np.zeros((batch_size, self.sample_size), dtype=np.int32)
        for i in range(batch_size):
            p = self.word_p.copy()
            p[target[i]] = 0  # never the right word itself
            p /= p.sum()
            negative_sample[i, :] = np.random.choice(
                self.vocab_size, size=self.sample_size, replace=False, p=p
            )
        return negative_sample


class NegativeSamplingLoss:
    def __init__(self, W, corpus, power=0.75, sample_size=5):
        self.sample_size = sample_size
        self.sampler = UnigramSampler(corpus, power, sample_size)
        self.loss_layers = [SigmoidWithLoss() for _ in range(sample_size + 1)]
        self.embed_dot_layers = [EmbeddingDot(W) for _ in range(sample_size + 1)]
        self.params, self.grads = [], []
        for layer in self.embed_dot_layers:
            self.params += layer.params
            self.grads += layer.grads

    def forward(self, h, target):
        batch_size = target.shape[0]
        negative_sample = self.sampler.get_negative_sample(target)

        score = self.embed_dot_layers[0].forward(h, target)
        correct_label = np.ones(batch_size, dtype=np.int32)
        loss = self.loss_layers[0].forward(score, correct_label)

        negative_label = np.zeros(batch_size, dtype=np.int32)
        for i in range(self.sample_size):
            negative_target = negative_sample[:, i]
            score = self.embed_dot_layers[1 + i].forward(h, negative_target)
            loss += self.loss_layers[1 + i].forward(score, negative_label)
        return loss

    def backward(self, dout=1):
        dh = 0
        for l0, l1 in zip(self.loss_layers, self.embed_dot_layers):
            dscore = l0.backward(dout)
            dh += l1.backward(dscore)
        return dh


class SimpleCBOW:
    def __init__(self, vocab_size, hidden_size, dtype="f"):
        V, H = vocab_size, hidden_size
        W_in = 0.01 * np.random.randn(V, H).astype(dtype)
        W_out = 0.01 * np.random.randn(H, V).astype(dtype)
        self.in_layer0 = MatMul(W_in)
        self.in_layer1 = MatMul(W_in)
        self.out_layer = MatMul(W_out)
        self.loss_layer = SoftmaxWithLoss()
        layers = [self.in_layer0, self.in_layer1, self.out_layer]
        self.params, self.grads = [], []
        for layer in layers:
            self.params += layer.params
            self.grads += layer.grads
        self.word_vecs = W_in

    def forward(self, contexts, target):
        h0 = self.in_layer0.forward(contexts[:, 0])
        h1 = self.in_layer1.forward(contexts[:, 1])
        h = (h0 + h1) * 0.5
        score = self.out_layer.forward(h)
        loss = self.loss_layer.forward(score, target)
        return loss

    def backward(self, dout=1):
        ds = self.loss_layer.backward(dout)
        da = self.out_layer.backward(ds)
        da *= 0.5
        self.in_layer1.backward(da)
        self.in_layer0.backward(da)
        return None


class SimpleSkipGram:
    def __init__(self, vocab_size, hidden_size, dtype="f"):
        V, H = vocab_size, hidden_size
        W_in = 0.01 * np.random.randn(V, H).astype(dtype)
        W_out = 0.01 * np.random.randn(H, V).astype(dtype)
        self.in_layer = MatMul(W_in)
        self.out_layer = MatMul(W_out)
        self.loss_layer1 = SoftmaxWithLoss()
        self.loss_layer2 = SoftmaxWithLoss()
        layers = [self.in_layer, self.out_layer]
        self.params, self.grads = [], []
        for layer in layers:
            self.params += layer.params
            self.grads += layer.grads
        self.word_vecs = W_in

    def forward(self, contexts, target):
        h = self.in_layer.forward(target)
        s = self.out_layer.forward(h)
        l1 = self.loss_layer1.forward(s, contexts[:, 0])
        l2 = self.loss_layer2.forward(s, contexts[:, 1])
        loss = l1 + l2
        return loss

    def backward(self, dout=1):
        dl1 = self.loss_layer1.backward(dout)
        dl2 = self.loss_layer2.backward(dout)
        ds = dl1 + dl2
        dh = self.out_layer.backward(ds)
        self.in_layer.backward(dh)
        return None


class CBOW:
    def __init__(self, vocab_size, hidden_size, window_size, corpus, sample_size=5, dtype="f"):
        V, H = vocab_size, hidden_size
        W_in = 0.01 * np.random.randn(V, H).astype(dtype)
        W_out = 0.01 * np.random.randn(V, H).astype(dtype)
        self.in_layers = []
        for _ in range(2 * window_size):
            layer = Embedding(W_in)  # all share W_in
            self.in_layers.append(layer)
        self.ns_loss = NegativeSamplingLoss(W_out, corpus, power=0.75, sample_size=sample_size)
        layers = self.in_layers + [self.ns_loss]
        self.params, self.grads = [], []
        for layer in layers:
            self.params += layer.params
            self.grads += layer.grads
        self.word_vecs = W_in

    def forward(self, contexts, target):
        h = 0
        for i, layer in enumerate(self.in_layers):
            h += layer.forward(contexts[:, i])
        h *= 1 / len(self.in_layers)
        loss = self.ns_loss.forward(h, target)
        return loss

    def backward(self, dout=1):
        dout = self.ns_loss.backward(dout)
        dout *= 1 / len(self.in_layers)
        for layer in self.in_layers:
            layer.backward(dout)
        return None


class SkipGram:
    def __init__(self, vocab_size, hidden_size, window_size, corpus, sample_size=5, dtype="f"):
        V, H = vocab_size, hidden_size
        W_in = 0.01 * np.random.randn(V, H).astype(dtype)
        W_out = 0.01 * np.random.randn(V, H).astype(dtype)
        self.in_layer = Embedding(W_in)
        self.loss_layers = []
        for _ in range(2 * window_size):
            layer = NegativeSamplingLoss(W_out, corpus, power=0.75, sample_size=sample_size)
            self.loss_layers.append(layer)
        layers = [self.in_layer] + self.loss_layers
        self.params, self.grads = [], []
        for layer in layers:
            self.params += layer.params
            self.grads += layer.grads
        self.word_vecs = W_in

    def forward(self, contexts, target):
        h = self.in_layer.forward(target)
        loss = 0
        for i, layer in enumerate(self.loss_layers):
            loss += layer.forward(h, contexts[:, i])
        return loss

    def backward(self, dout=1):
        dh = 0
        for layer in self.loss_layers:
            dh += layer.backward(dout)
        self.in_layer.backward(dh)
        return None


# --- what is checked -------------------------------------------------------------------------------------------------


def layer_book(name, form, make, wrt=(0,), before=lambda: None):
    """make() -> (layer, inputs)"""

    def call(gradlab):
        before()
        layer, inputs = make()
        return gradlab.check_layer(layer, *inputs)

    def prove():
        layer, inputs = make()
        return prove_layer(layer, inputs, wrt, lists, before)

    return Book("volume 2: " + name, form, call, prove)


CORPUS = np.array([0, 1, 2, 3, 4, 1, 5, 6, 2, 1, 3, 0, 5, 2])  # seven words


def one_hot(ids, vocab_size):
    return np.eye(vocab_size, dtype=np.int32)[ids]


def make_matmul():
    rng = np.random.default_rng(201)
    return MatMul(rng.standard_normal((4, 3))), (rng.standard_normal((5, 4)),)


def make_affine():
    rng = np.random.default_rng(202)
    return Affine(rng.standard_normal((4, 3)), rng.standard_normal(3)), (rng.standard_normal((5, 4)),)


def make_softmax():
    return Softmax(), (np.random.default_rng(203).standard_normal((4, 5)),)


def make_softmax_with_loss():
    return SoftmaxWithLoss(), (np.random.default_rng(204).standard_normal((4, 5)), np.array([1, 4, 0, 1]))


def make_softmax_with_loss_one_hot():
    return SoftmaxWithLoss(), (np.random.default_rng(205).standard_normal((4, 5)), one_hot([1, 4, 0, 1], 5))


def make_sigmoid():
    return Sigmoid(), (np.random.default_rng(206).standard_normal((4, 5)),)


def make_sigmoid_with_loss():
    return SigmoidWithLoss(), (np.random.default_rng(207).standard_normal(6), np.array([1, 0, 0, 1, 1, 0]))


def make_embedding():
    return Embedding(np.random.default_rng(208).standard_normal((7, 3))), (np.array([1, 0, 3, 0, 6, 0]),)


def make_loop_embedding():
    return LoopEmbedding(np.random.default_rng(209).standard_normal((7, 3))), (np.array([5, 2, 2, 0]),)


def make_embedding_dot():
    rng = np.random.default_rng(210)
    return EmbeddingDot(rng.standard_normal((7, 3))), (rng.standard_normal((4, 3)), np.array([0, 3, 1, 3]))


def make_negative_sampling():
    rng = np.random.default_rng(211)
    layer = NegativeSamplingLoss(rng.standard_normal((7, 3)), CORPUS, sample_size=2)
    return layer, (rng.standard_normal((4, 3)), np.array([0, 3, 1, 3]))


def make_two_layer_net():
    np.random.seed(212)
    return TwoLayerNet(2, 6, 3), (np.random.randn(5, 2), one_hot([0, 2, 1, 1, 0], 3))


def make_two_layer_net_labels():
    np.random.seed(213)
    return TwoLayerNet(4, 5, 3), (np.random.randn(5, 4), np.array([0, 2, 1, 1, 0]))


def contexts_and_target():
    contexts = np.array([[0, 2], [1, 3], [2, 4], [3, 1]])
    target = np.array([1, 2, 3, 4])
    return one_hot(contexts, 5), one_hot(target, 5)


def make_simple_cbow(dtype="d"):
    np.random.seed(214)
    return SimpleCBOW(5, 3, dtype), contexts_and_target()


def make_simple_skip_gram():
    np.random.seed(215)
    return SimpleSkipGram(5, 3, "d"), contexts_and_target()


def make_cbow():
    np.random.seed(216)
    contexts = np.array([[0, 1, 3, 4], [1, 2, 4, 1], [2, 3, 1, 5]])
    return CBOW(7, 4, 2, CORPUS, 3, "d"), (contexts, np.array([2, 3, 4]))


def make_skip_gram():
    np.random.seed(217)
    return SkipGram(7, 4, 1, CORPUS, 2, "d"), (np.array([[0, 2], [1, 3], [2, 4]]), np.array([1, 2, 3]))


def prove_float32_cbow():
    """The gradient in single precision, the differences of the same model in double."""
    net, inputs = make_simple_cbow("f")
    net.forward(*inputs)
    net.backward()
    claims = [claim for _, claim in merged(net.params, net.grads)]
    assert all(claim.dtype == np.float32 for claim in claims)
    exact, _ = make_simple_cbow("d")
    for wide, narrow in zip(exact.params, net.params, strict=True):
        wide[...] = narrow
    exact_params = [exact.params[0], exact.params[2]]
    truth = [slopes(lambda: exact.forward(*inputs), param) for param in exact_params]
    return list(zip(claims, truth, strict=True))


ENTRIES = [
    layer_book("MatMul", "params and grads lists, grads[0][...] = dW", make_matmul),
    layer_book("Affine", "params and grads lists", make_affine),
    layer_book("Softmax", "a layer of its own, dx -= out * sumdx", make_softmax),
    layer_book("SoftmaxWithLoss", "labels; multiplies by dout, divides by the batch", make_softmax_with_loss),
    layer_book("SoftmaxWithLoss, one-hot", "one-hot to labels in forward", make_softmax_with_loss_one_hot),
    layer_book("Sigmoid", "empty params and grads", make_sigmoid),
    layer_book(
        "SigmoidWithLoss", "one axis of scores, labels 0 and 1, + 1e-7 in the log", make_sigmoid_with_loss
    ),
    layer_book("TwoLayerNet", "forward(x, t) and backward(); std 0.01, one-hot", make_two_layer_net),
    layer_book(
        "TwoLayerNet, labels", "forward(x, t) and backward(); std 0.01, labels", make_two_layer_net_labels
    ),
    layer_book("Embedding", "repeated indices, np.add.at; backward returns None", make_embedding, ()),
    layer_book("Embedding, loop", "repeated indices, a loop; backward returns None", make_loop_embedding, ()),
    layer_book("EmbeddingDot", "h and indices in, dh out", make_embedding_dot),
    layer_book(
        "NegativeSamplingLoss",
        "draws from np.random in every forward; one W three times in params, a part of its gradient in each of grads",
        make_negative_sampling,
        before=lambda: np.random.seed(5),
    ),
    layer_book(
        "SimpleCBOW", "W_in twice in params, a part of its gradient each; returns None", make_simple_cbow, ()
    ),
    Book(
        "volume 2: SimpleCBOW, float32",
        "weights .astype('f') as the book has it; W_in twice in params; returns None",
        lambda gradlab: (lambda net, inputs: gradlab.check_layer(net, *inputs))(*make_simple_cbow("f")),
        prove_float32_cbow,
        1e-2,
    ),
    layer_book(
        "SimpleSkipGram", "two losses over one score; backward returns None", make_simple_skip_gram, ()
    ),
    layer_book(
        "CBOW",
        "four shared embeddings, negative sampling from np.random in every forward; backward returns None",
        make_cbow,
        (),
        before=lambda: np.random.seed(6),
    ),
    layer_book(
        "SkipGram",
        "two sampled losses over one embedding, from np.random in every forward; backward returns None",
        make_skip_gram,
        (),
        before=lambda: np.random.seed(7),
    ),
]
