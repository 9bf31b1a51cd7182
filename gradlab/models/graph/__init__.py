"""Sequential and graph models in Keras's manner, on gradlab's nodes."""

from gradlab.models.graph.layers import (
    GRU,
    LSTM,
    Activation,
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Layer,
    MaxPooling2D,
)
from gradlab.models.graph.model import Model
from gradlab.models.graph.sequence_loss import read_out
from gradlab.models.graph.sequential import Sequential
from gradlab.models.graph.tensors import Input, Tensor
from gradlab.models.graph.training import History

__all__ = [
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
    "History",
    "Input",
    "Layer",
    "MaxPooling2D",
    "Model",
    "Sequential",
    "Tensor",
    "read_out",
]
