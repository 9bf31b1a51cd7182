"""The behaviour of the chosen reading: its precision, which gradients add up, what is random, what is ignored."""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.adapters.foreign_pair.function_patch import in_double
from gradlab.adapters.numpy_layer import naming_conventions as names
from gradlab.adapters.numpy_layer.argument_roles import argument_names, is_wanted
from gradlab.adapters.numpy_layer.forward_arguments import ArgumentLeaf
from gradlab.adapters.numpy_layer.layer_reading import BoundLayer, Primal, cotangent
from gradlab.adapters.numpy_layer.layer_run import method_of
from gradlab.adapters.numpy_layer.number_places import attribute_names, follow, objects
from gradlab.adapters.numpy_layer.recording_optimizer import RecordingOptimizer
from gradlab.checks.trial import map_arrays, quiet
from gradlab.node import Array, as_tuple

# The step at which a function in double precision is as good as a line, what is left then of its size, and what is
# left of it in half precision at the least.
STEP, ROUNDING, HALF = 2.0**-24, 1e-10, 1e-5
# The rounding of double precision, and how many times more of it single precision leaves at the least.
DOUBLE, CLEARER = float(np.finfo(np.float64).eps), 1e3
_CLEARS = re.compile(r"(zero|clear|reset).*grad|cleargrad|zero_?grad")


def in_its_precision(bound: BoundLayer, seed: int) -> BoundLayer:
    """Return the reading with the precision that forward computes in, whatever it is given.

    In double precision a step of 2**-24 shows a line to ten digits; in single precision it is lost in a buffer. Where
    nothing in the layer or its code is of single precision, what is left is taken for a badly conditioned forward.
    The reference is then forward with float64 in place of float32 in its code, if that is the same function.
    """
    if not _knows_narrow(bound):
        return bound
    plain = _curvature_of_a_line(bound, seed)
    if plain is None:
        return bound
    narrow = np.float16 if plain[0] > HALF else np.float32
    bound.held_layer.reset()
    there = replace(bound, narrow=narrow, wide=in_double(bound.held_layer.snapshot.functions))
    wide = _curvature_of_a_line(there, seed)
    same = wide is not None and np.allclose(wide[1], plain[1], rtol=1e-2, atol=1e-2 * plain[2])
    exact = wide is not None and wide[0] <= ROUNDING
    # a loss may hide the rounding of buffers that hold little of it
    if plain[0] > ROUNDING or (exact and same and wide and plain[0] > CLEARER * max(wide[0], DOUBLE)):
        return there if exact and same else replace(bound, narrow=narrow)
    return bound


def _curvature_of_a_line(bound: BoundLayer, seed: int) -> tuple[float, Any, float] | None:
    """Return the second difference of forward over tiny steps, relative to its size; its outputs, and their size."""
    rng = np.random.default_rng([seed, 22])
    values = [v.astype(np.float64) * (1 + 1e-3 * rng.uniform(size=v.shape)) for v in bound.values]
    directions = [STEP * np.maximum(np.abs(v), 0.1) * rng.choice([-1.0, 1.0], v.shape) for v in values]
    with quiet():
        try:
            y0, y1, y2 = (
                _outputs(bound, [v + k * d for v, d in zip(values, directions, strict=True)])
                for k in range(3)
            )
        except Exception:
            return None
    size = float(np.abs(y0).max(initial=0.0)) or 1.0
    return float(np.abs(y2 - 2 * y1 + y0).max(initial=0.0)) / size, y0, size


def _outputs(bound: BoundLayer, values: Sequence[Any]) -> Any:
    # longdouble asks for double precision even of a layer that has it already
    run = bound.run([v.astype(np.longdouble) for v in values], {})
    return np.concatenate([np.ravel(y).astype(np.float64) for y in run.outputs])


def _knows_narrow(bound: BoundLayer) -> bool:
    """Return whether anything in the layer, or in its code, is of less than double precision."""
    held = bound.held_layer.snapshot
    return any(x.dtype in (np.float16, np.float32) for x in held.arrays) or bool(in_double(held.functions))


def with_accumulation(bound: BoundLayer, seed: int) -> BoundLayer:
    """Return the reading with those gradients marked that backward adds to what stands there already."""
    try:
        found = _twice(bound, seed)
    except Exception:  # what cannot be run twice without a reset adds nothing up
        return bound
    return replace(
        bound, primals=tuple(replace(p, accumulates=_adds(*found.get(p.name, ()))) for p in bound.primals)
    )


def _adds(*left: Array) -> bool:
    """Return whether the second of two backwards has left the first gradient on top of what stood there.

    `left` is what the first backward, the second forward and the second backward left; nothing without a slot.
    """
    if not left or not left[1].any():
        return False  # what forward has cleared again is not added to
    first, before, after = left
    size = float(np.abs(first).max(initial=0.0))
    return bool(np.allclose(after - before, first, rtol=1e-3, atol=1e-6 * size))


def _twice(bound: BoundLayer, seed: int) -> dict[str, tuple[Array, ...]]:
    """Return what stands in each gradient's slot after a backward, after a second forward, and a second backward."""
    left: dict[str, list[Array]] = {p.name: [] for p in bound.primals if p.slots}

    def look() -> None:
        for p in bound.primals:
            if p.slots and (found := p.slots[0].array(run)) is not None:
                left[p.name].append(np.array(found, dtype=np.float64))

    with quiet():
        run = bound.run([x.copy() for x in bound.values], {})
        g = cotangent(run, np.random.default_rng([seed, 23]))
        for fresh in (True, False):
            if not fresh:
                # copies, as forward may write into what it is given
                run = bound.run([x.copy() for x in bound.values], {}, fresh=False)
                look()
            run.given_back = bound.backward_call.give(bound.forward_call, run, map_arrays(np.copy, g))
            look()
    return {
        name: tuple(parts)
        for name, parts in left.items()
        if len(parts) == 3 and len({x.shape for x in parts}) == 1
    }


def works_once(bound: BoundLayer, seed: int) -> bool:
    """Return whether further backwards after the same forward give other gradients, or raise."""

    def pulled() -> list[Any]:
        return [None if d is None else np.array(d) for d in bound.pulled(run, map_arrays(np.copy, g))]

    with quiet():
        try:
            run = bound.run([x.copy() for x in bound.values], {})
            g = cotangent(run, np.random.default_rng([seed, 28]))
            first = pulled()
        except Exception:  # what it raises at once is told elsewhere
            return False
        try:
            second, third = pulled(), pulled()
        except Exception:
            return True
    of_primals = (parts for parts in zip(first, second, third, strict=True) if parts[0] is not None)
    # what forward clears adds up without it
    return not all(_are_multiples(*parts, 1, 1) or _are_multiples(*parts, 2, 3) for parts in of_primals)


def _are_multiples(a: Any, b: Any, c: Any, times: float, more: float) -> bool:
    """Return whether two further gradients are so many times the first."""
    return all(
        np.shape(x) == np.shape(a) and bool(np.allclose(n * a, x, 1e-6, 1e-12, equal_nan=True))
        for x, n in ((b, times), (c, more))
    )


def keeps_a_state(bound: BoundLayer) -> bool:
    """Return whether forward gives another output when it is called again, with the same draws."""
    with quiet():
        try:
            run = bound.run([x.copy() for x in bound.values], {})
            run.rewind()
            again = bound.run([x.copy() for x in bound.values], {}, fresh=False)
        except Exception:  # what cannot be run twice without a reset is told elsewhere
            return False
        return not all(
            a.shape == b.shape and np.allclose(a, b, 1e-6, 1e-12, equal_nan=True)
            for a, b in zip(run.outputs, again.outputs, strict=False)
        )


def is_compared(bound: BoundLayer, leaf: ArgumentLeaf) -> bool:
    """Return whether forward takes an input's difference from another one and no more, as a loss takes its targets."""
    alike = [other for other in bound.leaves if other is not leaf and other.value.shape == leaf.value.shape]
    params = [(p.where, p.value) for p in bound.primals if p.where is not None]
    shift = np.random.default_rng(30).standard_normal(leaf.value.shape)

    def outputs(*moved: ArgumentLeaf) -> list[Array]:
        arrays = [x.value + shift if any(x is m for m in moved) else np.array(x.value) for x in bound.leaves]
        return [y.copy() for y in bound.forward_call.run(bound.held_layer, arrays, params).outputs]

    def same(a: Sequence[Array], b: Sequence[Array]) -> bool:
        return all(x.shape == y.shape and np.allclose(x, y, 1e-9, 1e-9) for x, y in zip(a, b, strict=True))

    with quiet():
        try:
            given = outputs()
            return any(
                same(given, outputs(leaf, other)) and not same(given, outputs(leaf)) for other in alike
            )
        except Exception:  # what takes no such numbers
            return False


def spoiled_inputs(bound: BoundLayer, seed: int) -> list[str]:
    """Return the inputs without a gradient that forward or backward writes into."""
    others = {p.leaf for p in bound.primals if p.leaf is not None}
    params = [(p.where, p.value) for p in bound.primals if p.where is not None]
    arrays = [np.array(leaf.value) for leaf in bound.leaves]
    given = [x.copy() for x in arrays]
    with quiet():
        try:
            run = bound.forward_call.run(bound.held_layer, given, params)
            g = cotangent(run, np.random.default_rng([seed, 29]))
            bound.backward_call.give(bound.forward_call, run, g)
        except Exception:
            return []
    pairs = zip(bound.leaves, arrays, given, strict=True)
    return [
        leaf.name for leaf, x, y in pairs if leaf not in others and not np.array_equal(x, y, equal_nan=True)
    ]


def draws_in_backward(bound: BoundLayer, seed: int) -> bool:
    """Return whether backward draws random numbers of its own."""
    with quiet():
        try:
            run = bound.run(bound.values, {})
            before = bound.held_layer.snapshot.randomness()
            bound.backward_call.give(
                bound.forward_call, run, cotangent(run, np.random.default_rng([seed, 25]))
            )
        except Exception:
            return False
    return bound.held_layer.snapshot.randomness() != before


def clearing_method(layer: Any) -> str:
    """Return the name of the method that clears gradients; empty if there is none."""
    return next((name for _, name in _clearing(layer)), "")


def _clearing(layer: Any) -> Iterator[tuple[Any, str]]:
    """Yield the objects that clear gradients, and the method's name, the outermost first."""
    for o in objects(layer).values():
        yield from ((o, name) for name in attribute_names(o) if _CLEARS.search(name.lower()))


def uncleared_gradients(bound: BoundLayer, seed: int) -> list[Primal]:
    """Return the parameters whose gradients add up, and stand as they were after the layer's own method to clear them.

    Where the layer has none, and parts of it have, it is left to whoever calls these.
    """
    outermost = next(_clearing(bound.held_layer.layer), None)
    summed = [p for p in bound.primals if p.accumulates and p.where is not None]
    if not summed or outermost is None or outermost[0] is not bound.held_layer.layer:
        return []
    with quiet():
        try:
            run = bound.run(bound.values, {})
            bound.backward_call.give(
                bound.forward_call, run, cotangent(run, np.random.default_rng([seed, 26]))
            )
            getattr(*outermost)()
        except Exception:  # a method that needs more
            return []
    left = {p.name: p.slots[0].array(run) for p in summed}
    return [p for p in summed if (d := left[p.name]) is not None and d.any()]


def inputs_spoiled_by_a_step(bound: BoundLayer, seed: int) -> list[str]:
    """Return the inputs whose gradients are others if the optimizer that backward calls moves the parameters."""
    with quiet():
        try:
            still, recorders = _with_steps(bound, seed, moves=False)
            if not recorders:
                return []
            moved, _ = _with_steps(bound, seed, moves=True)
        except Exception:  # what becomes of it after a step is no matter of the gradient
            return []
    return [
        p.name
        for p, a, b in zip(bound.primals, still, moved, strict=True)
        if p.where is None and a is not None and not np.array_equal(a, b, equal_nan=True)
    ]


def _with_steps(bound: BoundLayer, seed: int, moves: bool) -> tuple[list[Any], list[RecordingOptimizer]]:
    """Return the gradients where the optimizers that backward calls move the parameters, or leave them, and these."""
    run = bound.run(bound.values, {})
    if moves:
        run.moving.extend(p.where.get(run.layer) for p in bound.primals if p.where is not None)
    return bound.pulled(run, cotangent(run, np.random.default_rng([seed, 27]))), run.recorders


def mixed_accumulation(bound: BoundLayer) -> list[Primal]:
    """Return the parameters whose gradients add up while those of others in the same object do not."""
    of_parameters = [p for p in bound.primals if p.where is not None and p.slots and p.slots[0].path]
    found = []
    for p in of_parameters:
        owner = _owner(bound, p)
        others = [q for q in of_parameters if q is not p and _owner(bound, q) is owner]
        if p.accumulates and any(not q.accumulates for q in others):
            found.append(p)
    return found


def sums_returned(bound: BoundLayer, seed: int) -> list[Primal]:
    """Return the parameters whose gradients add up in the very arrays that backward returns."""
    summed = [p for p in bound.primals if p.accumulates and p.where is not None]
    if not summed:
        return []
    with quiet():
        try:
            run = bound.run(bound.values, {})
            g = cotangent(run, np.random.default_rng([seed, 28]))
            returned = list(_arrays_in(bound.backward_call.give(bound.forward_call, run, g)))
            held = {p.name: p.slots[0].array(run) for p in summed}
        except Exception:  # what a second call raises is another check's
            return []
    shared = {
        name for name, d in held.items() if d is not None and any(np.shares_memory(d, r) for r in returned)
    }
    return [p for p in summed if p.name in shared]


def _arrays_in(value: Any) -> Iterator[Array]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _arrays_in(part)


def _owner(bound: BoundLayer, primal: Primal) -> Any:
    path = primal.slots[0].path or ()
    layer_path = path[1:]
    cut = max((i for i, (kind, _) in enumerate(layer_path) if kind == "attr"), default=0)
    try:
        return follow(bound.held_layer.layer, layer_path[:cut])
    except (AttributeError, KeyError, IndexError, TypeError):
        return None


def ignores_cotangent(bound: BoundLayer, seed: int) -> bool:
    """Return whether a loss has an optional cotangent, and gives the same for every one."""
    if not (bound.backward_call.takes and bound.backward_call.optional):
        return False
    with quiet():
        output, residuals = bound.forward(*bound.values)
        if any(np.size(y) != 1 for y in as_tuple(output)):
            return False
        one, three = (
            bound.backward(
                residuals,
                tuple(np.full_like(y, c) for y in as_tuple(output))
                if isinstance(output, tuple)
                else np.full_like(output, c),
            )
            for c in (1.0, 3.0)
        )
    pairs = [(a, b) for a, b in zip(one, three, strict=True) if a is not None]
    return bool(pairs) and all(np.array_equal(a, b) for a, b in pairs) and any(np.any(a) for a, _ in pairs)


def ignored_argument(bound: BoundLayer, seed: int) -> str:
    """Return the name of the one argument that backward asks for, of no forward's, and makes no use of; else nothing.

    Where there is more than one output, such an argument can be their cotangent alone.
    """
    call, forward = bound.backward_call, bound.forward_call
    if call.takes or not call.method or all(np.size(y) == 1 for y in bound.run(bound.values, {}).outputs):
        return ""
    try:
        parameters = inspect.signature(method_of(bound.held_layer.layer, call.method)).parameters.values()
    except (TypeError, ValueError):
        return ""
    wanted = [p.name for p in parameters if p.default is p.empty and is_wanted(p)]
    others = (names.is_input, names.is_output, names.is_target, names.is_prediction)
    if len(wanted) != 1 or wanted[0] in argument_names(forward) or any(are(wanted[0]) for are in others):
        return ""
    found = []
    with quiet():
        try:
            for stream in range(2):
                run = bound.run(bound.values, {})
                g = cotangent(run, np.random.default_rng([seed, 31, stream]))
                run.given_back = method_of(run.layer, call.method)(g)
                found.append([p.slots[0].array(run) for p in bound.primals])
        except Exception:  # what takes something else, and not a cotangent
            return ""
    same = all(a is not None and b is not None and np.array_equal(a, b) for a, b in zip(*found, strict=True))
    return wanted[0] if same else ""


def writes_over_its_output(bound: BoundLayer) -> bool:
    """Return whether a second forward writes into what the first one returned."""
    with quiet():
        try:
            run = bound.run([x.copy() for x in bound.values], {})
            first = [x for x in bound.forward_call.raw(run) if isinstance(x, np.ndarray)]
            before = [x.copy() for x in first]
            run.rewind()
            bound.run([np.asarray(0.7 * x, x.dtype) for x in bound.values], {}, fresh=False)
        except Exception:  # what takes no other numbers
            return False
    return not all(map(np.array_equal, first, before))


def complex_gradients(bound: BoundLayer, seed: int) -> dict[str, float]:
    """Return, for each primal whose gradient is complex, how large its imaginary part is beside the real one."""
    found = {}
    with quiet():
        try:
            run = bound.run(bound.values, {})
            g = cotangent(run, np.random.default_rng([seed, 33]))
            run.given_back = bound.backward_call.give(bound.forward_call, run, g)
            for p in bound.primals:
                d = p.slots[0].read(run)
                if np.iscomplexobj(d):
                    size = float(np.abs(np.real(d)).max(initial=0.0)) or 1.0
                    found[p.name] = float(np.abs(np.imag(d)).max(initial=0.0)) / size
        except Exception:  # told elsewhere
            return {}
    return found


def moves_with_cotangent(bound: BoundLayer, seed: int) -> bool:
    """Return whether backward, where it takes the cotangent, gives something else for another one."""
    if not bound.backward_call.takes:
        return True
    rng = np.random.default_rng([seed, 24])
    with quiet():
        output, residuals = bound.forward(*bound.values)
        one, other = (
            bound.backward(
                residuals, map_arrays(lambda y: rng.standard_normal(y.shape).astype(y.dtype), output)
            )
            for _ in range(2)
        )
    return any(a is not None and not np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def with_ones(bound: BoundLayer) -> BoundLayer:
    """Return the reading in which backward is given a one, and what comes back is multiplied by the cotangent."""
    give = bound.backward_call.give
    backward_call = replace(
        bound.backward_call,
        give=lambda forward, run, g: give(forward, run, np.ones_like(run.outputs[0])),
        takes=False,
    )
    return replace(bound, backward_call=backward_call)
