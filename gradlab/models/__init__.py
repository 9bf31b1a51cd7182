"""The textbooks' networks."""

from gradlab.models.simple_net import SimpleNet
from gradlab.models.two_layer_net import TwoLayerNet

__all__ = ["SimpleNet", "TwoLayerNet"]
