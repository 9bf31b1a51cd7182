"""The layers that a graph is made of."""

from gradlab.models.graph.layers.activation import ACTIVATIONS, Activation
from gradlab.models.graph.layers.convolutional import Conv2D, MaxPooling2D
from gradlab.models.graph.layers.dense import BatchNormalization, Dense, Dropout, Flatten
from gradlab.models.graph.layers.layer import Layer
from gradlab.models.graph.layers.merging import Add, Concatenate
from gradlab.models.graph.layers.recurrent import GRU, LSTM, Embedding

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
    "Layer",
    "MaxPooling2D",
]
