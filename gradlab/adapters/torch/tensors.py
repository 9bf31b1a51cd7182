"""Tensors from NumPy arrays and back, with their layout; and the tensors in nested arguments and outputs."""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch

from gradlab.adapters.framework.leaves import Leaf, Path, carried
from gradlab.node import Array

FLOATS = {torch.float64: "float64", torch.float32: "float32", torch.float16: "float16"}
FLOATS |= {torch.bfloat16: "bfloat16"}
COMPLEX = {torch.complex128: "complex128", torch.complex64: "complex64"}
OF_NUMPY = {np.dtype(np.float64): torch.float64, np.dtype(np.float32): torch.float32}
CPU = torch.device("cpu")


def each_tensor(value: Any, path: Path = ()) -> Iterator[tuple[Path, torch.Tensor]]:
    """Yield the tensors in nested tuples, lists, dicts and dataclasses, each with the keys that lead to it."""
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from each_tensor(part, (*path, key))
    elif isinstance(value, tuple | list):
        for i, part in enumerate(value):
            yield from each_tensor(part, (*path, i))
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from each_tensor(getattr(value, field.name), (*path, field.name))


def with_tensors(value: Any, make: Callable[[Path], Any], path: Path = ()) -> Any:
    """Return a nested value with ``make(path)`` in place of each tensor."""
    if isinstance(value, torch.Tensor):
        return make(path)
    if isinstance(value, dict):
        changed = copy(value)
        changed.update({key: with_tensors(part, make, (*path, key)) for key, part in value.items()})
        return changed
    if isinstance(value, tuple | list):
        new = [with_tensors(part, make, (*path, i)) for i, part in enumerate(value)]
        return type(value)(*new) if hasattr(value, "_fields") else type(value)(new)
    if is_dataclass(value) and not isinstance(value, type):
        made = copy(value)
        for field in fields(value):
            part = with_tensors(getattr(value, field.name), make, (*path, field.name))
            object.__setattr__(made, field.name, part)  # also where it is frozen
        return made
    return value


def leaf_of(name: str, tensor: torch.Tensor) -> Leaf:
    """Return a tensor of floats, integers or booleans as a leaf.

    Raises
    ------
    TypeError
        If it holds other numbers, or none, or leaves most of them out.
    """
    if tensor.layout != torch.strided or tensor.is_nested:
        raise TypeError(f"{name} is a {_kind(tensor)} tensor: pass it dense, for example {name}.to_dense()")
    if tensor.device.type == "meta":
        raise TypeError(f"{name} is on the device 'meta' and holds no numbers: pass it on a real device")
    if tensor.is_complex() and tensor.dtype in COMPLEX:
        parts = torch.view_as_real(tensor.detach().resolve_conj())
        return Leaf(
            name, numbers(parts), COMPLEX[tensor.dtype], (tensor.dtype, tensor.device), is_complex=True
        )
    floating = tensor.is_floating_point()
    if (floating and tensor.dtype not in FLOATS) or tensor.is_quantized or tensor.is_complex():
        cure = f"pass it as one of {', '.join([*FLOATS.values(), *COMPLEX.values()])}"
        raise TypeError(f"{name} is {name_of(tensor.dtype)}, which cannot be differentiated: {cure}")
    held = tensor.detach()
    value = held.to(OF_NUMPY[np.dtype(carried(FLOATS[tensor.dtype]))]) if floating else held
    return Leaf(name, numbers(value), name_of(tensor.dtype), (tensor.dtype, tensor.device))


def _kind(tensor: torch.Tensor) -> str:
    return "nested" if tensor.is_nested else name_of(tensor.layout).replace("_", " ")


def name_of(dtype: Any) -> str:
    """Return what torch calls a dtype or a layout, without its own name."""
    return str(dtype).removeprefix("torch.")


def numbers(tensor: torch.Tensor) -> Array:
    """Return a tensor's numbers as an array of its own."""
    if is_without_data(tensor):
        tensor = torch.zeros(tensor.shape, dtype=tensor.dtype)
    if tensor.layout != torch.strided:
        tensor = tensor.detach().to_dense()
    if tensor.dtype not in OF_NUMPY.values() and tensor.is_floating_point():
        tensor = tensor.detach().float()
    return np.array(tensor.numpy(force=True))


def is_without_data(tensor: torch.Tensor) -> bool:
    """Return whether a tensor is one of torch's own zeros, which lie nowhere in memory."""
    return bool(tensor._is_zerotensor())


def tensor_of(x: Array, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return a tensor of these numbers in the same layout: the same order of strides, the same gaps, the same zeros.

    Torch has no negative strides; what is reversed is laid out anew.
    """
    flags = x.flags
    if flags.carray and flags.owndata and device == CPU:
        # in half the time of torch.tensor; and in memory of torch's own, since NumPy's has another alignment
        shared = torch.from_numpy(x)
        if shared.dtype != dtype:
            return shared.to(dtype, memory_format=torch.contiguous_format)
        return shared.clone(memory_format=torch.contiguous_format)
    if min(x.strides, default=0) < 0:
        # an axis of length 1 keeps a negative stride too, and the array still counts as contiguous
        x = np.array(x, order="C")
    if x.flags.c_contiguous:
        return torch.tensor(x, device=device).to(dtype)
    strides = [s // x.itemsize for s in x.strides]
    if 0 in strides:
        row = x[tuple(slice(0, 1) if s == 0 else slice(None) for s in strides)]
        return tensor_of(np.ascontiguousarray(row), dtype, device).expand(x.shape)
    laid = torch.empty_strided(x.shape, strides, dtype=dtype, device=device)
    return laid.copy_(tensor_of(np.ascontiguousarray(x), dtype, device))


def in_parts(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of the real and imaginary parts of a complex one, and any other as it is."""
    return dtype.to_real() if dtype.is_complex else dtype


def joined_parts(tensor: torch.Tensor, leaf: Leaf) -> torch.Tensor:
    """Return the complex numbers whose parts stand in a tensor's last axis, if the leaf is of such."""
    if not leaf.is_complex:
        return tensor
    if tensor.dim() and tensor.shape[-1] == 2 and tensor.stride(-1) != 1:
        tensor = tensor.contiguous()
    return torch.view_as_complex(tensor)


def same_numbers(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Return whether two tensors hold the same numbers; any NaN is as good as another."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(torch.equal(a, b)) or bool(((a == b) | (a.isnan() & b.isnan())).all())
