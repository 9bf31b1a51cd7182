"""Layers as people write them: any object with a forward and a backward pass, brought to the node contract."""

from gradlab.adapters.layer._check import check_layer
from gradlab.adapters.layer._run import LayerError

__all__ = ["LayerError", "check_layer"]
