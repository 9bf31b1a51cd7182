"""Layers as people write them: any object with a forward and a backward pass, brought to the node contract.

The path of a layer, in the order in which it runs (`check.check_layer`):

1. `layer_run`: the layer's state is held (`layer_state`, `recording_optimizer`), to be put back before every run.
2. `forward_calls`: every method that may be its forward is called (`naming_conventions`, `forward_arguments`).
3. `initial_state`: it is taken as it is, or as its first forward made it; its parameters are found
   (`parameter_discovery`, `number_places`).
4. `reading_choice`: for each forward, each way to run it backwards (`backward_calls`, `argument_roles`) and each place
   where a gradient may stand (`gradient_slots`, `gradient_assignment`) make a reading (`layer_reading`); the one
   whose gradients are forward's slopes along random lines is believed.
5. `learned_behaviour`: its precision, what adds up, what is random, whether it ignores its cotangent.
6. `report_subject`: the reading as a pair of functions, what a loss is meant for, and what is said besides.
7. `variations`: the same layer at a second call, in another mode, with another stride.
8. `gradlab.adapters.foreign_pair` makes the report of it, and everything is put back.
"""

from gradlab.adapters.numpy_layer.check import check_layer
from gradlab.adapters.numpy_layer.layer_error import LayerError

__all__ = ["LayerError", "check_layer"]
