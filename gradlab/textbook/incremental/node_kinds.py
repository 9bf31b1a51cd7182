"""The kinds of registered nodes; of any other the whole batch is computed anew, which is always right."""

import sys
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

ELEMENTWISE = (
    "activation.elu", "activation.gelu", "activation.gelu_tanh", "activation.hard_tanh", "activation.leaky_relu",
    "activation.log_sigmoid", "activation.relu", "activation.selu", "activation.sigmoid", "activation.silu",
    "activation.softplus", "activation.softsign", "activation.step", "activation.tanh",
    "arithmetic.absolute", "arithmetic.clip", "arithmetic.exp", "arithmetic.log", "arithmetic.sqrt",
    "arithmetic.square",
)  # fmt: skip
AFFINE = ("linear.affine", "linear.matmul")
# Each row of the output depends on the same row of the first input alone, on the parameters, and on nothing else.
ROWS = (
    "activation.log_softmax", "activation.maxout", "activation.softmax",
    "normalisation.layer_norm", "normalisation.rms_norm",
)  # fmt: skip

KINDS: dict[str, Any] = {
    **dict.fromkeys(ELEMENTWISE, "elementwise"),
    **dict.fromkeys(AFFINE, "affine"),
    **dict.fromkeys(ROWS, "rows"),
}


def kind_of(forward: Callable[..., Any], settings: Mapping[str, Any]) -> Any:
    """Return the kind of a step that computes a node's forward.

    A setting that is an array, or an axis, may tie elements to each other; the kind is "batch" then.
    """
    plain = all(isinstance(value, Real) for value in settings.values()) and "axis" not in settings
    return KINDS.get(registered_name(forward), "batch") if plain else "batch"


def registered_name(forward: Callable[..., Any]) -> str:
    """Return family and name of the node whose forward this is, such as "linear.affine"; else an empty string.

    A node of the same name with a forward of its own is another node.
    """
    name = getattr(forward, "__module__", None) or ""
    is_its_forward = getattr(sys.modules.get(name), "forward", None) is forward
    return name.removeprefix("gradlab.nodes.") if is_its_forward else ""
