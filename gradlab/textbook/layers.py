"""The textbook's layers: forward, backward, params and grads, over any node."""

from typing import Any

import numpy as np

from gradlab.node import Array, Node
from gradlab.nodes import node_from_module
from gradlab.nodes.activation import relu, sigmoid, softmax, tanh
from gradlab.nodes.linear import affine, matmul
from gradlab.nodes.loss import cross_entropy, sigmoid_with_loss, softmax_with_loss


class StatefulLayer:
    """A node that keeps its parameters, their gradients and, between the two passes, its residuals.

    Attributes
    ----------
    params : list of ndarray
        The parameters, the last primals of the node; an optimizer changes them in place.
    grads : list of ndarray
        Their gradients; `backward` writes into these arrays.
    """

    def __init__(self, node: Node, *params: Array, **settings: Any) -> None:
        self.node = node
        self.params = list(params)
        self.grads = [np.zeros_like(p) for p in params]
        self.settings = settings
        self._residuals: Any = None

    def forward(self, *inputs: Array, **settings: Any) -> Any:
        """Return the node's output for these inputs; `settings` adds to those of the constructor."""
        output, self._residuals = self.node.forward(*inputs, *self.params, **self.settings, **settings)
        return output

    def backward(self, dout: Any = 1.0) -> Any:
        """Fill `grads`, and return the gradient of the input, a tuple if there are several.

        Raises
        ------
        RuntimeError
            If no forward went before.
        """
        if self._residuals is None:
            raise RuntimeError(f"backward of {self.node.name} without a forward: call forward first")
        gradients = self.node.backward(self._residuals, dout)
        inputs = len(gradients) - len(self.params)
        for kept, gradient in zip(self.grads, gradients[inputs:], strict=True):
            kept[...] = gradient
        return gradients[0] if inputs == 1 else gradients[:inputs]


class LossLayer(StatefulLayer):
    """A loss as the textbook's last layer: ``forward(x, t)``, with the targets as second argument."""

    def forward(self, x: Array, t: Array, **settings: Any) -> Any:  # type: ignore[override] # t has no default
        """Return the loss of predictions `x` against targets `t`."""
        return super().forward(x, t=t, **settings)


def Affine(W: Array, b: Array) -> StatefulLayer:
    """Return the layer x W + b; W of shape (D, H), b of shape (H,)."""
    return StatefulLayer(node_from_module(affine), W, b)


def MatMul(W: Array) -> StatefulLayer:
    """Return the layer x W; W of shape (D, H)."""
    return StatefulLayer(node_from_module(matmul), W)


def Sigmoid() -> StatefulLayer:
    """Return the logistic sigmoid layer."""
    return StatefulLayer(node_from_module(sigmoid))


def Tanh() -> StatefulLayer:
    """Return the hyperbolic tangent layer."""
    return StatefulLayer(node_from_module(tanh))


def Relu() -> StatefulLayer:
    """Return the rectified linear layer."""
    return StatefulLayer(node_from_module(relu))


def Softmax() -> StatefulLayer:
    """Return the softmax layer, over the last axis."""
    return StatefulLayer(node_from_module(softmax))


def CrossEntropy() -> LossLayer:
    """Return the textbook's cross-entropy on probabilities, delta = 1e-7: ``forward(y, t)``, ``backward(dout=1)``."""
    return LossLayer(node_from_module(cross_entropy))


def SoftmaxWithLoss() -> LossLayer:
    """Return softmax and cross-entropy as a last layer: ``forward(x, t)``, ``backward(dout=1)``."""
    return LossLayer(node_from_module(softmax_with_loss))


def SigmoidWithLoss() -> LossLayer:
    """Return sigmoid and binary cross-entropy as a last layer: ``forward(x, t)``, ``backward(dout=1)``."""
    return LossLayer(node_from_module(sigmoid_with_loss))
