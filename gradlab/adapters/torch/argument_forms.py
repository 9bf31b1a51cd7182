"""Tensors that are more than their numbers: sparse ones, at places that stay, and views into larger memory."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial, wraps
from typing import Any

import torch

from gradlab.adapters.torch.tensors import each_tensor, with_tensors


def by_values(fn: Any, tensors: Sequence[Any], settings: Mapping[str, Any]) -> tuple[Any, tuple[Any, ...]]:
    """Return a function and its arguments with the values of each sparse tensor in the tensor's place.

    What it returns as sparse tensors is their values as well. Where an entry is missing from the pattern nothing is
    moved, and no gradient is looked at. A view into larger memory is given as such to a function that looks beyond it.
    A module is left as it is.
    """
    if isinstance(fn, torch.nn.Module) or not callable(fn):
        return fn, tuple(tensors)
    rebuild = {i: _rebuilder(t) for i, t in enumerate(tensors) if _is_sparse(t)}
    shapes = {i: _values(tensors[i]).shape for i in rebuild}
    views = [i for i, t in enumerate(tensors) if _is_part(t)]
    if views and not rebuild and _looks_beyond(fn, tensors, settings):
        rebuild = {i: partial(_in_its_memory, tensors[i].detach()) for i in views}
        shapes = {i: tensors[i].shape for i in views}
    if not rebuild:
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

    given = [_leaf(t) if _is_sparse(t) else t for t in tensors]
    return of_values, tuple(given)


def _made(
    rebuild: Callable[[torch.Tensor], torch.Tensor], values: torch.Tensor, shape: torch.Size
) -> torch.Tensor:
    """Return the sparse tensor of these values; more or fewer of them torch would look for beyond its memory."""
    if values.shape != shape:
        raise ValueError(f"what was given has values of shape {tuple(shape)}: pass as many")
    return rebuild(values)


def _is_part(value: Any) -> bool:
    """Return whether a tensor is a view into larger memory."""
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.is_nested:
        return False
    return value.is_cpu and bool(value.untyped_storage().nbytes() > value.numel() * value.itemsize)


def _looks_beyond(fn: Any, tensors: Sequence[Any], settings: Mapping[str, Any]) -> bool:
    """Return whether a function takes the tensors with the memory around them, and no copies of them alone."""
    copies = [t.detach().clone() if isinstance(t, torch.Tensor) else t for t in tensors]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            fn(*copies, **settings)
        except RuntimeError:
            whole = [_in_its_memory(t.detach(), t.detach()) if _is_part(t) else t for t in tensors]
            with suppress(Exception):
                fn(*whole, **settings)
                return True
        except Exception:
            return False  # what it raises is told where it is run
    return False


def _in_its_memory(held: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return values as a view into a copy of the memory around them."""
    storage = held.untyped_storage()
    around = torch.empty(0, dtype=held.dtype).set_(storage, 0, (storage.nbytes() // held.itemsize,), (1,))
    place = (held.shape, held.stride(), held.storage_offset())
    return around.clone().as_strided_scatter(values, *place).as_strided(*place)


def _is_sparse(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.layout != torch.strided and not value.is_nested


def _values(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.coalesce().values() if tensor.layout == torch.sparse_coo else tensor.values()


def _leaf(tensor: torch.Tensor) -> torch.Tensor:
    values = _values(tensor.detach()).clone()
    differentiated = values.is_floating_point() or values.is_complex()
    return values.requires_grad_(tensor.requires_grad) if differentiated else values


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
