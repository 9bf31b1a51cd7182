"""Mutants with faults as people make them in values and behaviour: wrappers round a right backward."""

from collections.abc import Iterator, Sequence
from functools import partial

from gradlab.faults import (
    _cotangent_faults,
    _form_faults,
    _memory_faults,
    _position_faults,
    _region_faults,
    _state_faults,
    _sum_faults,
    _value_faults,
)
from gradlab.faults._derived_samples import derived_samples
from gradlab.faults._fault_kinds import FaultKind, mutated
from gradlab.faults._mutant import Mutant
from gradlab.faults._observed_behaviour import observe, observed_calls, plain
from gradlab.node import Node, Sample, named_rng, primal_names

FAULTS: tuple[FaultKind, ...] = (
    *_value_faults.FAULTS,
    *_position_faults.FAULTS,
    *_region_faults.FAULTS,
    *_form_faults.FAULTS,
    *_sum_faults.FAULTS,
    *_cotangent_faults.FAULTS,
    *_memory_faults.FAULTS,
    *_state_faults.FAULTS,
)


def behaviour_mutants(node: Node, seed: int = 0) -> list[Mutant]:
    """Return a mutant for every fault, and for every primal that it can be in.

    A fault that does nothing to this node (a transpose where nothing is square) gives no mutant, and of several
    faults that do the same everywhere the first one alone does. What a fault does is observed at the node's samples
    and at samples derived from the first few; to show at a derived one is enough. So no mutant is equivalent.
    """
    samples = node.draw_samples(seed)
    rng = named_rng(seed, node.name, "looks")
    calls = list(observed_calls(node, samples, rng))
    at_samples = len(calls)
    calls += observed_calls(node, derived_samples(node, samples[:3]), rng, [plain])
    # a cotangent of usual size is never clipped
    calls += observed_calls(node, samples, rng, [plain], scale=1e3)
    right = observe(node, calls)
    seen = {right}
    found = []
    for fault, mutant in _all_mutants(node, samples, seed):
        does = observe(mutant.make(), calls)
        if does not in seen and not (fault.at_samples and does[:at_samples] == right[:at_samples]):
            seen.add(does)
            found.append(mutant)
    return found


def _all_mutants(node: Node, samples: Sequence[Sample], seed: int) -> Iterator[tuple[FaultKind, Mutant]]:
    names = primal_names(node.forward, max((len(sample.primals) for sample in samples), default=0))
    for row, fault in enumerate(FAULTS):
        for i, name in enumerate(names) if fault.of_primal else [(-1, "")]:
            text = fault.text.format(x=name)
            make = partial(_faulty_node, node, row, i, seed)
            yield fault, Mutant(node.name, fault.name, text, make, name, fault.diagnosis)


def _faulty_node(node: Node, row: int, i: int, seed: int) -> Node:
    # the fault is given by its number in the table, so that a mutant can be sent to another process
    rng = named_rng(seed, node.name, "fault", FAULTS[row].text, str(i))
    return mutated(node, FAULTS[row].make_passes(rng, i))
