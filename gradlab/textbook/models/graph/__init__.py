"""Sequential and graph models in Keras's manner, on gradlab's nodes."""

from gradlab.textbook.models.graph.layers import (
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
    GraphLayer,
    Input,
    MaxPooling2D,
    Tensor,
)
from gradlab.textbook.models.graph.model import Model
from gradlab.textbook.models.graph.sequence_loss import read_out
from gradlab.textbook.models.graph.sequential import Sequential
from gradlab.textbook.models.graph.training import History

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
    "GraphLayer",
    "History",
    "Input",
    "MaxPooling2D",
    "Model",
    "Sequential",
    "Tensor",
    "read_out",
]
