"""The textbooks' networks, from a perceptron to graph models, and the check of a whole network."""

from gradlab.textbook.models.gates import AND, NAND, NOR, OR, XOR, perceptron
from gradlab.textbook.models.graph import (
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
    Input,
    MaxPooling2D,
    Model,
    Sequential,
    read_out,
)
from gradlab.textbook.models.layer_list_net import LayerListNet
from gradlab.textbook.models.logic_gate import LogicGate
from gradlab.textbook.models.mlp import MLP
from gradlab.textbook.models.model_check import check_model
from gradlab.textbook.models.parameter_files import load, load_model_parameters, save, save_model
from gradlab.textbook.models.simple_net import SimpleNet
from gradlab.textbook.models.two_layer_net import TwoLayerNet

__all__ = [
    "AND",
    "GRU",
    "LSTM",
    "MLP",
    "NAND",
    "NOR",
    "OR",
    "XOR",
    "Activation",
    "Add",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "Input",
    "LayerListNet",
    "LogicGate",
    "MaxPooling2D",
    "Model",
    "Sequential",
    "SimpleNet",
    "TwoLayerNet",
    "check_model",
    "load",
    "load_model_parameters",
    "perceptron",
    "read_out",
    "save",
    "save_model",
]
