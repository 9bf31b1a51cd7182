"""The layers that a graph is made of."""

from gradlab.textbook.models.graph.layers.activation import ACTIVATIONS, Activation
from gradlab.textbook.models.graph.layers.convolutional import Conv2D, MaxPooling2D
from gradlab.textbook.models.graph.layers.dense import BatchNormalization, Dense, Dropout, Flatten
from gradlab.textbook.models.graph.layers.layer import GraphLayer
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
    "MaxPooling2D",
]
