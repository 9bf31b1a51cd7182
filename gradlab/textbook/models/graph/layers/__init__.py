"""The layers that a graph is made of, and the tensors between them."""

from gradlab.textbook.models.graph.layers.activation import ACTIVATIONS, Activation
from gradlab.textbook.models.graph.layers.convolutional import Conv2D, MaxPooling2D
from gradlab.textbook.models.graph.layers.dense import BatchNormalization, Dense, Dropout, Flatten
from gradlab.textbook.models.graph.layers.layer import GraphLayer, Input, Shape, Tensor
from gradlab.textbook.models.graph.layers.merging import Add, Concatenate
from gradlab.textbook.models.graph.layers.recurrent import GRU, LSTM, Embedding

__all__ = [
    "ACTIVATIONS",
    "GRU",
    "LSTM",
    "Activation",
    "Add",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GraphLayer",
    "Input",
    "MaxPooling2D",
    "Shape",
    "Tensor",
]
