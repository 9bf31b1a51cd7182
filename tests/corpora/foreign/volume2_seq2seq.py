"""A model of layers of layers, as the second textbook has it: encoder, decoder and loss, over ids."""

import numpy as np

from ._entry import Foreign, normal
from ._use import lists
from .volume1_loss import SoftmaxWithLoss
from .volume2 import MatMul
from .volume2_time import Encoder, TimeRNN
from .volume2_words import Embedding


class Decoder:
    def __init__(self, embed_W, Wx, Wh, b, out_W):
        self.embed = Embedding(embed_W)
        self.rnn = TimeRNN(Wx, Wh, b, stateful=True)
        self.matmul = MatMul(out_W)
        self.params, self.grads = [], []
        for layer in (self.embed, self.rnn, self.matmul):
            self.params += layer.params
            self.grads += layer.grads

    def forward(self, xs, h):
        self.rnn.set_state(h)
        hs = self.rnn.forward(self.embed.forward(xs))
        self.shape = hs.shape
        return self.matmul.forward(hs.reshape(-1, hs.shape[2]))

    def backward(self, dscore):
        dhs = self.matmul.backward(dscore).reshape(self.shape)
        self.embed.backward(self.rnn.backward(dhs))
        return self.rnn.dh


class Seq2seq:
    """The decoder reads ts but for its last, and says ts but for its first."""

    def __init__(self, encoder, decoder):
        self.encoder = encoder
        self.decoder = decoder
        self.softmax = SoftmaxWithLoss()
        self.params = encoder.params + decoder.params
        self.grads = encoder.grads + decoder.grads

    def forward(self, xs, ts):
        h = self.encoder.forward(xs)
        score = self.decoder.forward(ts[:, :-1], h)
        return self.softmax.forward(score, ts[:, 1:].reshape(-1))

    def backward(self, dout=1):
        dh = self.decoder.backward(self.softmax.backward(dout))
        return self.encoder.backward(self.to_encoder(dh))

    def to_encoder(self, dh):
        return dh


class Seq2seqForgetsTheEncoder(Seq2seq):
    def to_encoder(self, dh):
        return np.zeros_like(dh)


def seq2seq(cls):
    def make():
        encoder = Encoder(normal(161, 4, 2), normal(162, 2, 3), normal(163, 3, 3), normal(164, 3))
        shapes = ((4, 2), (2, 3), (3, 3), (3,), (3, 4))
        return cls(encoder, Decoder(*(normal(165 + k, *shape) for k, shape in enumerate(shapes))))

    return make


ENCODER = ("encoder embed_W", "encoder Wx", "encoder Wh", "encoder b")
DECODER = ("decoder embed_W", "decoder Wx", "decoder Wh", "decoder b", "decoder W")
model = Foreign(
    style="volume 2",
    cotangent="dout=1",
    stored="list",
    name="seq2seq",
    how="loss = forward(xs, ts) with ids, then backward(), which returns nothing; grads are in params' order.",
    make=seq2seq(Seq2seq),
    inputs=lambda rng: (np.array([[0, 3, 1], [2, 2, 0]]), np.array([[1, 0, 2], [3, 3, 1]])),
    arguments=("xs", "ts"),
    fixed=("xs", "ts"),
    use=lists(*ENCODER, *DECODER),
)
ENTRIES = [
    model,
    model.spoiled(
        "nothing reaches the encoder", seq2seq(Seq2seqForgetsTheEncoder), "zero-gradient", *ENCODER
    ),
]
