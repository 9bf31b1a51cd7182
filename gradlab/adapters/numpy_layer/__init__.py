"""Layers as people write them: any object with a forward and a backward pass, brought to the node contract."""

from gradlab.adapters.numpy_layer.check import check_layer
from gradlab.adapters.numpy_layer.layer_run import LayerError

__all__ = ["LayerError", "check_layer"]
