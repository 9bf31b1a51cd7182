"""Sparse tensors as what they hold: a function of their values, at places that stay as they are."""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

import torch

from gradlab.adapters.torch.tensors import each_tensor, with_tensors


def by_values(fn: Any, tensors: Sequence[Any]) -> tuple[Any, tuple[Any, ...]]:
    """Return a function and its arguments with the values of each sparse tensor in the tensor's place.

    What it returns as sparse tensors is their values as well. Where an entry is missing from the pattern nothing is
    moved, and no gradient is looked at. A module is left as it is.
    """
    rebuild = {i: _rebuilder(t) for i, t in enumerate(tensors) if _is_sparse(t)}
    shapes = {i: _values(tensors[i]).shape for i in rebuild}
    if not rebuild or isinstance(fn, torch.nn.Module) or not callable(fn):
        return fn, tuple(tensors)

    @wraps(fn, updated=())
    def of_values(*args: Any, **kwargs: Any) -> Any:
        # a copy: that the values were written into later is nothing that the sparse tensor keeps count of
        made = [_made(rebuild[i], x.clone(), shapes[i]) if i in rebuild else x for i, x in enumerate(args)]
        returned = fn(*made, **kwargs)
        parts = dict(each_tensor(returned))
        return with_tensors(
            returned, lambda path: _values(parts[path]) if _is_sparse(parts[path]) else parts[path]
        )

    given = [_leaf(t) if i in rebuild else t for i, t in enumerate(tensors)]
    return of_values, tuple(given)


def _made(
    rebuild: Callable[[torch.Tensor], torch.Tensor], values: torch.Tensor, shape: torch.Size
) -> torch.Tensor:
    """Return the sparse tensor of these values; more or fewer of them torch would look for beyond its memory."""
    if values.shape != shape:
        raise ValueError(f"a pattern of {shape[0]} entries takes no {values.shape[0]} values: pass as many")
    return rebuild(values)


def _is_sparse(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.layout != torch.strided and not value.is_nested


def _values(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.coalesce().values() if tensor.layout == torch.sparse_coo else tensor.values()


def _leaf(tensor: torch.Tensor) -> torch.Tensor:
    values = _values(tensor.detach()).clone()
    return values.requires_grad_(tensor.requires_grad) if values.is_floating_point() else values


def _rebuilder(tensor: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the function that puts values where a sparse tensor has its own."""
    held = tensor.detach()
    if held.layout == torch.sparse_coo:
        places = held.coalesce().indices()
        return lambda values: torch.sparse_coo_tensor(places, values, held.shape, is_coalesced=True)
    by_row = held.layout in (torch.sparse_csr, torch.sparse_bsr)
    outer, inner = (
        (held.crow_indices(), held.col_indices()) if by_row else (held.ccol_indices(), held.row_indices())
    )
    return partial(_compressed, outer, inner, held)


def _compressed(
    outer: torch.Tensor, inner: torch.Tensor, held: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    return torch.sparse_compressed_tensor(outer, inner, values, held.shape, layout=held.layout)
