"""How a torch function may be run: in which precision, without recording, through copies of its arguments."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gradlab.adapters.framework.leaves import cure_of_refused, first_line, roughly_equal
from gradlab.adapters.torch.call import TorchCall
from gradlab.adapters.torch.pair import TorchPair
from gradlab.adapters.torch.tensors import each_tensor
from gradlab.node import Array

# With fewer numbers than this in all tensors together one thread is faster than several.
SMALL = 2**17


@contextmanager
def one_thread_if_small(fn: Any, tensors: Sequence[Any]) -> Iterator[None]:
    """Let torch compute in one thread if a function's arguments and parameters are small, and put its setting back.

    A thousand small evaluations spend their time waiting for threads, most of all where other programs want the
    processors too.
    """
    parameters = fn.parameters() if isinstance(fn, torch.nn.Module) else ()
    every = (*parameters, *(t for _, t in each_tensor(tensors)))
    size = sum(t.numel() for t in every if not isinstance(t, torch.nn.parameter.UninitializedTensorMixin))
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if size < SMALL else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def torch_pair(call: TorchCall) -> TorchPair:
    """Return the pair of a call, after trying how the function may be run.

    Raises
    ------
    TypeError, ValueError
        If it raises, or returns nothing to differentiate; in one line that ends with the cure.
    """
    pair = _recorded(call)
    given = [leaf.value.copy() for leaf in call.leaves]
    wide = [x.astype(np.float64) for x in given]
    _look_at_operators(pair, given)
    pair.needs_graph = _fails(pair, given, recorded=False)
    pair.narrow = _fails(pair, wide)
    other = TorchPair(
        replace(call, seed=call.seed + 1),
        pair.narrow,
        through_copies=pair.through_copies,
        needs_graph=pair.needs_graph,
        live=pair.live,
    )
    pair.draws = not _agree(pair, given, other, given) or _moves_the_generator(pair, given)
    if pair.draws and not pair.narrow:
        # in another precision it may draw other numbers
        pair.narrow = not _agree(pair, given, pair, wide)
    return pair


def _agree(pair: TorchPair, primals: Sequence[Array], other: TorchPair, others: Sequence[Array]) -> bool:
    """Return whether two evaluations are equal up to the rounding of half precision."""
    a, b = (
        p.value(*(x.copy() for x in at), **_copies(p.settings))
        for p, at in ((pair, primals), (other, others))
    )
    return roughly_equal(a, b)


def _moves_the_generator(pair: TorchPair, primals: Sequence[Array]) -> bool:
    """Return whether a function draws, though it be from a seed of its own."""
    pair.value(*(x.copy() for x in primals), **_copies(pair.settings))
    after = torch.default_generator.get_state()
    pair.call.seed_generators(pair.call.seed)
    return not torch.equal(after, torch.default_generator.get_state())


def _recorded(call: TorchCall) -> TorchPair:
    """Return the pair that runs where all is recorded, through copies if the function writes into its arguments."""
    first: Exception | None = None
    for through_copies in (False, True):
        pair = TorchPair(call, through_copies=through_copies)
        try:
            # copies: what it writes into is written back
            _, residuals = pair.forward(
                *(leaf.value.copy() for leaf in call.leaves), **_copies(pair.settings)
            )
            pair.output_eps = _half_eps(residuals.outputs)
            written = (getattr(node, "_forward_cls", None) for node in residuals.graph)
            pair.functions = frozenset(function for function in written if function is not None)
            live = tuple(y.requires_grad for y in residuals.outputs)
            pair.live = live if any(live) and not all(live) else ()
            return pair
        except Exception as error:
            first = first or error
            if "in-place" not in str(error) and "inplace" not in str(error):
                break
    if isinstance(first, TypeError) and str(first).startswith(f"{call.name} returned"):
        raise first
    assert first is not None
    cure = cure_of_refused(call.args)
    raise ValueError(f"{call.name} raised {first_line(first.__cause__ or first)}: {cure}") from first


class _Operators(TorchDispatchMode):  # type: ignore[misc]
    """Sees what tensors operators are given, and which of them they made, wherever a function has them from."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[torch.Tensor] = []
        self.made: list[torch.Tensor] = []
        self.takes_integers = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [t for _, t in each_tensor([args, kwargs or {}])]
        self.takes_integers |= any(t.is_floating_point() for t in tensors) and any(
            not (t.is_floating_point() or t.is_complex() or t.dtype == torch.bool) for t in tensors
        )
        made = func(*args, **(kwargs or {}))
        self.given += tensors
        self.made += [t for _, t in each_tensor([made])]
        return made


def _look_at_operators(pair: TorchPair, primals: Sequence[Array]) -> None:
    """Note whether compiled code is given integers, and arrays that the function holds beside its arguments."""
    try:
        with _Operators() as seen:
            _, residuals = pair.forward(*(x.copy() for x in primals), **_copies(pair.settings))
        own = {_storage(t) for t in (*seen.made, *residuals.leaves)}
        shapes = [t.shape for t in seen.given if _storage(t) not in own]
    except Exception:  # not every function runs where operators are seen
        return
    # autocast, and casts: nothing that comes back has more digits than what it went through
    pair.output_eps = max(pair.output_eps, _half_eps(seen.made))
    pair.takes_integers = seen.takes_integers
    pair.held_lengths = frozenset(n for shape in shapes for n in shape) - {0, 1}


def _half_eps(tensors: Sequence[torch.Tensor]) -> float:
    """Return the rounding of the coarsest of some tensors, 0 where none is of half precision."""
    eps = max((torch.finfo(t.dtype).eps for t in tensors if t.is_floating_point()), default=0.0)
    return eps if eps > torch.finfo(torch.float32).eps else 0.0


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage().data_ptr())


def _fails(pair: TorchPair, primals: Sequence[Array], recorded: bool = True) -> bool:
    run: Any = pair.forward if recorded else pair.value
    try:
        run(*(x.copy() for x in primals), **_copies(pair.settings))
    except Exception:
        return True
    return False


def _copies(settings: Mapping[str, Array]) -> dict[str, Array]:
    return {name: x.copy() for name, x in settings.items()}
