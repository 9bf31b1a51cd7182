"""Networks as the second textbook writes them: layers of layers, whose lists hold the layers' own arrays."""

import numpy as np

from ._entry import Foreign, drawn, normal
from ._use import lists
from .volume2 import MatMul, MatMulRebinds, Sigmoid, SigmoidWithLoss, binary


class TwoLayerNet:
    """Layers of layers: the network's lists hold the layers' own arrays."""

    def __init__(self, W1, W2, matmul=MatMul):
        self.layers = [matmul(W1), Sigmoid(), matmul(W2)]
        self.loss_layer = SigmoidWithLoss()
        self.params, self.grads = [], []
        for layer in self.layers:
            self.params += layer.params
            self.grads += layer.grads

    def predict(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def forward(self, x, t):
        return self.loss_layer.forward(self.predict(x)[:, 0], t)

    def backward(self, dout=1):
        dout = self.loss_layer.backward(dout)[:, np.newaxis]
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout


class TiedAutoencoder:
    """sigmoid(x W) W.T, one matrix for both directions."""

    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]
        self.activation = Sigmoid()

    def forward(self, x):
        (W,) = self.params
        self.x = x
        self.h = self.activation.forward(np.dot(x, W))
        return np.dot(self.h, W.T)

    def backward(self, dout):
        (W,) = self.params
        da = self.activation.backward(np.dot(dout, W))
        self.grads[0][...] = np.dot(dout.T, self.h)
        self.grads[0][...] = self.with_encoder(np.dot(self.x.T, da))
        return np.dot(da, W.T)

    def with_encoder(self, dW):
        return self.grads[0] + dW


class TiedAutoencoderOverwrites(TiedAutoencoder):
    def with_encoder(self, dW):
        return dW


def net(matmul):
    return lambda: TwoLayerNet(normal(31, 3, 4), normal(32, 4, 1), matmul)


VOLUME_2 = {"style": "volume 2", "cotangent": "passed"}
WITH_LOSS = {"style": "volume 2", "cotangent": "dout=1", "arguments": ("x", "t"), "fixed": ("t",)}
two_layer_net = Foreign(
    **WITH_LOSS,
    name="two-layer net",
    stored="list",
    how="loss = forward(x, t), then backward(); params and grads are lists over all layers, in the same order.",
    make=net(MatMul),
    inputs=binary(4, 3),
    use=lists("W1", "W2"),
)
tied = Foreign(
    **VOLUME_2,
    name="autoencoder with tied weights",
    stored="list",
    how="Call forward(x), then dx = backward(dout); grads[0] is the gradient of the matrix used twice.",
    make=lambda: TiedAutoencoder(normal(34, 4, 3)),
    inputs=drawn((2, 4)),
    use=lists("W"),
)
ENTRIES = [
    two_layer_net,
    two_layer_net.spoiled("layers replace their gradients", net(MatMulRebinds), "zero-gradient", "W1", "W2"),
    tied,
    tied.spoiled(
        "the second gradient replaces the first",
        lambda: TiedAutoencoderOverwrites(normal(34, 4, 3)),
        "last-write-wins",
        "W",
        or_else=("missing-term",),
    ),
]
