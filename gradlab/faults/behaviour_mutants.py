"""Faults in values and behaviour, as they are seen in the wild: wrappers round a right backward."""

from collections.abc import Iterator, Sequence
from functools import partial

from gradlab.faults import _cotangent_faults as _cotangents
from gradlab.faults import _form_faults as _forms
from gradlab.faults import _memory_faults as _memory
from gradlab.faults import _position_faults as _places
from gradlab.faults import _region_faults as _regions
from gradlab.faults import _state_faults as _state
from gradlab.faults import _sum_faults as _sums
from gradlab.faults import _value_faults as _values
from gradlab.faults._derived_samples import derived_samples
from gradlab.faults._fault_kinds import FaultKind, put_into
from gradlab.faults._mutant import Mutant
from gradlab.faults._observed_behaviour import look_at, observe, plain
from gradlab.node import Node, Sample, named_rng, primal_names

FAULTS: tuple[FaultKind, ...] = (
    *_values.FAULTS,
    *_places.FAULTS,
    *_regions.FAULTS,
    *_forms.FAULTS,
    *_sums.FAULTS,
    *_cotangents.FAULTS,
    *_memory.FAULTS,
    *_state.FAULTS,
)


def behaviour_mutants(node: Node, seed: int = 0) -> list[Mutant]:
    """Return a mutant for every fault, and for every primal that it can sit in.

    A fault that does nothing to this node (a transpose where nothing is square) gives none, and of several that
    do the same everywhere the first one alone is kept. Both are judged by observing them at the node's samples
    and at primals derived from the first few; a mutant that shows only at derived ones is one like any other.
    So none of these mutants is equivalent.
    """
    samples = node.draw_samples(seed)
    rng = named_rng(seed, node.name, "looks")
    looks = list(look_at(node, samples, rng))
    own = len(looks)
    looks += look_at(node, derived_samples(node, samples[:3]), rng, [plain])
    looks += look_at(node, samples, rng, [plain], scale=1e3)  # a cotangent of usual size is never clipped
    right = observe(node, looks)
    seen = {right}
    found = []
    for fault, mutant in _all(node, samples, seed):
        does = observe(mutant.make(), looks)
        if does not in seen and not (fault.at_samples and does[:own] == right[:own]):
            seen.add(does)
            found.append(mutant)
    return found


def _all(node: Node, samples: Sequence[Sample], seed: int) -> Iterator[tuple[FaultKind, Mutant]]:
    names = primal_names(node.forward, max((len(sample.primals) for sample in samples), default=0))
    for row, fault in enumerate(FAULTS):
        for i, name in enumerate(names) if fault.of_primal else [(-1, "")]:
            text = fault.text.format(x=name)
            make = partial(_make, node, row, i, seed)
            yield fault, Mutant(node.name, fault.name, text, make, name, fault.diagnosis)


def _make(node: Node, row: int, i: int, seed: int) -> Node:
    # told by numbers, so that a mutant can be sent to another process
    rng = named_rng(seed, node.name, "fault", FAULTS[row].text, str(i))
    return put_into(node, FAULTS[row].start(rng, i))
