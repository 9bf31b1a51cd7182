"""Embeddings and attention as the second textbook writes them: ids, several inputs, layers of layers."""

import numpy as np

from ._entry import Foreign, apart, drawn, normal
from ._use import lists
from .volume2 import Softmax, SoftmaxForgetsTheSum


class Embedding:
    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]
        self.idx = None

    def forward(self, idx):
        (W,) = self.params
        self.idx = idx
        return W[idx]

    def backward(self, dout):
        (dW,) = self.grads
        dW[...] = 0
        self.add(dW, dout)

    def add(self, dW, dout):
        np.add.at(dW, self.idx, dout)


class EmbeddingOverwrites(Embedding):
    def add(self, dW, dout):
        dW[self.idx] = dout


class EmbeddingInSingle(Embedding):
    def add(self, dW, dout):
        buffer = np.zeros(dW.shape, dtype=np.float32)
        np.add.at(buffer, self.idx, dout.astype(np.float32))
        dW[...] = buffer


class EmbeddingDot:
    def __init__(self, W):
        self.embed = Embedding(W)
        self.params = self.embed.params
        self.grads = self.embed.grads
        self.cache = None

    def forward(self, h, idx):
        target_W = self.embed.forward(idx)
        self.cache = (h, target_W)
        return np.sum(target_W * h, axis=1)

    def backward(self, dout):
        h, target_W = self.cache
        dout = dout.reshape(dout.shape[0], 1)
        self.embed.backward(dout * h)
        return self.of_h(dout * target_W)

    def of_h(self, dh):
        return dh


class EmbeddingDotDetaches(EmbeddingDot):
    def of_h(self, dh):
        return np.zeros_like(dh)


class Attention:
    """Weights from hs and h, and the sum of hs by them."""

    def __init__(self):
        self.params, self.grads = [], []
        self.softmax = Softmax()
        self.attention_weight = None

    def forward(self, hs, h):
        self.cache = (hs, h)
        s = np.sum(hs * h[:, np.newaxis, :], axis=2)
        self.attention_weight = self.softmax.forward(s)
        return np.sum(hs * self.attention_weight[:, :, np.newaxis], axis=1)

    def backward(self, dout):
        hs, h = self.cache
        ds = self.softmax.backward(np.sum(dout[:, np.newaxis, :] * hs, axis=2))
        dhs = self.attention_weight[:, :, np.newaxis] * dout[:, np.newaxis, :]
        dhs = self.with_weights_path(dhs, ds[:, :, np.newaxis] * h[:, np.newaxis, :])
        dh = np.sum(ds[:, :, np.newaxis] * hs, axis=1)
        return dhs, dh

    def with_weights_path(self, dhs, of_weights):
        return dhs + of_weights


class AttentionForgetsItsWeights(Attention):
    def with_weights_path(self, dhs, of_weights):
        return dhs


class AttentionScores:
    """softmax over time of xs w + b; a bias moves all scores alike, so that its gradient is exactly zero."""

    def __init__(self, w, b, softmax):
        self.params = [w, b]
        self.grads = [np.zeros_like(w), np.zeros_like(b)]
        self.softmax = softmax

    def forward(self, xs):
        w, b = self.params
        self.xs = xs
        return self.softmax.forward(np.dot(xs, w) + b)

    def backward(self, dout):
        w, _ = self.params
        ds = self.softmax.backward(dout)
        self.grads[0][...] = np.einsum("nt,ntd->d", ds, self.xs)
        self.grads[1][...] = np.sum(ds)
        return ds[:, :, np.newaxis] * w


def repeated(rng):
    return (np.array([[2, 0, 2], [4, 2, 0]]),)


VOLUME_2 = {"style": "volume 2", "cotangent": "passed", "stored": "list"}
embedding = Foreign(
    **VOLUME_2,
    name="embedding",
    how="Call forward(idx) with integer ids, then backward(dout), which returns nothing and fills grads[0].",
    make=lambda: Embedding(normal(41, 5, 3)),
    inputs=repeated,
    arguments=("idx",),
    fixed=("idx",),
    use=lists("W"),
)
embedding_dot = Foreign(
    **VOLUME_2,
    name="embedding dot",
    how="Call forward(h, idx) with vectors h and one id for each, then dh = backward(dout).",
    make=lambda: EmbeddingDot(normal(42, 4, 3)),
    inputs=lambda rng: (apart(rng, (5, 3)), np.array([1, 3, 1, 0, 3])),
    arguments=("h", "idx"),
    fixed=("idx",),
    use=lists("W"),
)
attention = Foreign(
    **{**VOLUME_2, "stored": ""},
    name="attention",
    how="Call forward(hs, h) with hs (N, T, H) and h (N, H), then dhs, dh = backward(dout).",
    make=Attention,
    inputs=drawn((2, 4, 3), (2, 3)),
    arguments=("hs", "h"),
    use=lists(),
)
scores = Foreign(
    **VOLUME_2,
    name="attention scores with a bias",
    how="Call forward(xs) with xs (N, T, D), then dxs = backward(dout); grads are those of w and b.",
    make=lambda: AttentionScores(normal(43, 3), normal(44, 1), Softmax()),
    inputs=drawn((2, 4, 3)),
    arguments=("xs",),
    use=lists("w", "b"),
)
ENTRIES = [
    embedding,
    embedding.spoiled(
        "repeated ids overwrite each other",
        lambda: EmbeddingOverwrites(normal(41, 5, 3)),
        "last-write-wins",
        "W",
    ),
    embedding.spoiled(
        "added up in single precision",
        lambda: EmbeddingInSingle(normal(41, 5, 3)),
        "float32-round-trip",
        "W",
    ),
    embedding_dot,
    embedding_dot.spoiled("h detached", lambda: EmbeddingDotDetaches(normal(42, 4, 3)), "zero-gradient", "h"),
    attention,
    attention.spoiled(
        "the path through the weights forgotten", AttentionForgetsItsWeights, "missing-term", "hs"
    ),
    scores,
    scores.spoiled(
        "softmax without its sum",
        lambda: AttentionScores(normal(43, 3), normal(44, 1), SoftmaxForgetsTheSum()),
        "missing-term",
        "xs",
        "w",
        "b",
    ),
]
