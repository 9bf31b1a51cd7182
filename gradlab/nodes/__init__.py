"""The registered nodes: one file a node, its folder is its family, found by looking.

A file beside the families holds code that nodes of several families share; a file in a family whose name begins with
``_`` holds code that the nodes of that family share.

Attributes
----------
NODES : Mapping[str, Node]
    Every node by its name, in the order of family and name. It is filled when it is first asked for, so
    that ``import gradlab`` does not pay for the whole catalogue.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from gradlab.node import Node

NODES: Mapping[str, Node]


def node_from_module(module: ModuleType) -> Node:
    """Return the node that a node file defines.

    Raises
    ------
    ImportError
        If the file lacks `forward`, `backward`, `samples` or a docstring.
    """
    *_, family, name = module.__name__.split(".")
    parts = ("forward", "backward", "samples", "__doc__")
    missing = [part for part in parts if not getattr(module, part, None)]
    if missing:
        raise ImportError(
            f"{module.__file__} is no node, it lacks {', '.join(missing)}: "
            "add what is missing, or start the file's name with _"
        )
    return Node(
        name=name,
        family=family,
        forward=module.forward,
        backward=module.backward,
        samples=module.samples,
        reference=getattr(module, "reference", None),
        zero_gradient=getattr(module, "ZERO_GRADIENT", ""),
        equivalent_mutants=getattr(module, "EQUIVALENT_MUTANTS", {}),
        doc=(module.__doc__ or "").strip(),
    )


@cache
def _discover() -> Mapping[str, Node]:
    root = Path(__file__).parent
    nodes: dict[str, Node] = {}
    for path in sorted(root.glob("*/*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if any(part.startswith("_") for part in parts):
            continue
        node = node_from_module(import_module(".".join((__name__, *parts))))
        if node.name in nodes:
            raise ImportError(
                f"the families {nodes[node.name].family} and {node.family} both have a {node.name}: rename one"
            )
        nodes[node.name] = node
    return MappingProxyType(nodes)


def __getattr__(name: str) -> Any:
    if name == "NODES":
        return _discover()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
