"""The check of one target: the object is found, made, given inputs, and checked."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

import gradlab
from gradlab.adapters.cached_pair import CachedPair, check_cached_pair
from gradlab.adapters.numpy_layer import LayerError, check_layer
from gradlab.adapters.numpy_layer.number_places import show
from gradlab.checks.trial import Trial
from gradlab.checks.trial.budget import Budget
from gradlab.commands.check import _object_kinds as kinds
from gradlab.commands.check._check_task import CheckTask, TaskOutcome
from gradlab.commands.check._construction import made, required, settings_of
from gradlab.commands.check._function_check import companion, scipys_function
from gradlab.commands.check._input_choices import refuse_count
from gradlab.commands.check._layer_guess import Guess, call_of, drawn, guess, parameters_of_forward
from gradlab.commands.check._target_lookup import find, function_targets, layer_classes, split
from gradlab.commands.check._user_samples import samples_of
from gradlab.node import Node, Sample, primal_names
from gradlab.report import Report
from gradlab.running.check_rows import explore_trials, run_checks
from gradlab.running.check_vjp import check_vjp
from gradlab.running.explanation import explain
from gradlab.running.foreign_function import place_of
from gradlab.running.pictured import comparisons_of, wanting_pictures
from gradlab.running.selection import select_checks
from gradlab.running.timing import showing_times

Check = Callable[[Sample], Report]


def run_task(task: CheckTask, tell: Callable[[str], object]) -> TaskOutcome:
    """Return the outcome of a task; `tell` is called with the name of each step as it begins.

    Raises
    ------
    LayerError
        If nothing can be checked.
    """
    tell("importing it")
    found = find(task.target)
    if task.every:
        return TaskOutcome(parts=_classes(task.target, found))
    if task.backward and kinds.is_function(found):
        found = found, companion(task.target, task.backward)
        task = replace(task, backward="")
    kind = kinds.FUNCTION if task.grad or task.jac else kinds.kind_of(found, task.target)
    if kind == kinds.SEVERAL:
        return TaskOutcome(parts=_parts(found, task))
    _refuse_options(kind, found, task)
    tell("running it")
    with ExitStack() as shown:
        if task.timings:
            shown.enter_context(showing_times())
        if task.pictures:
            shown.enter_context(wanting_pictures())
        return _checked_as(kind, found, task)


def _refuse_options(kind: str, found: Any, task: CheckTask) -> None:
    """Raise LayerError for an option that has no meaning for an object of this kind."""
    if task.init is not None and not isinstance(found, type):
        raise LayerError(f"{task.target} is no class, and needs no --init: leave it out")
    if kind == kinds.FUNCTION and not kinds.is_function(found):
        raise LayerError(f"{task.target} is no function, which --grad and --jac are for: leave them out")
    given = [what for what in ("forward", "backward", "cotangent") if getattr(task, what)]
    if given and kind not in (kinds.CLASS, kinds.OBJECT):
        raise LayerError(f"{task.target} is no layer, which --{given[0]} is for: leave it out")


def _checked_as(kind: str, found: Any, task: CheckTask) -> TaskOutcome:
    if kind == kinds.NODE:
        return _node(found, task)
    if kind in (kinds.TORCH, kinds.JAX):
        return _framework(kind, found, task)
    if kind == kinds.FUNCTION:
        guessed, check = scipys_function(found, task, _asked(found, task))
        return _checked(lambda sample: check(sample, _options(task)), guessed)
    if kind == kinds.PAIR:
        forward, backward = found
        return _pair(forward, backward, task)
    return _layer(found, task)


def _classes(target: str, module: Any) -> tuple[str, ...]:
    if not isinstance(module, ModuleType):
        raise LayerError(f"--all walks a module, and {target} is none: leave out --all, or name the module")
    names = [*layer_classes(module), *function_targets(module)]
    if not names:
        cure = "name the module that defines them"
        raise LayerError(
            f"{target} defines no class with a forward and a backward method, and no such pair of functions: {cure}"
        )
    return tuple(f"{split(target)[0]}:{name}" for name in names)


def _parts(found: Any, task: CheckTask) -> tuple[str, ...]:
    """Return the names of a list's objects, each as a target."""
    if task.part:
        raise LayerError(f"{task.target} is a list within a list: name it by itself")
    keys = list(found) if isinstance(found, dict) else range(len(found))
    if not keys:
        raise LayerError(f"{task.target} is empty: put layers into it")
    names = [f"{task.target}{show((('item', key),))}" for key in keys]
    refused = []
    for key, name in zip(keys, names, strict=True):
        try:
            kinds.kind_of(found[key], name)
        except LayerError as error:
            refused.append(error)
    if len(refused) == len(names):
        raise refused[0]
    return tuple(names)


def _layer(found: Any, task: CheckTask) -> TaskOutcome:
    samples: Sequence[Sample] = _asked(found, task)
    init = task.init if task.init is not None or not isinstance(found, type) or required(found) else {}
    is_class = isinstance(found, type)
    if samples and (init is not None or not is_class):
        guessed = Guess(made(found, init, task.seed) if is_class else found, samples)
    else:
        guessed = guess(found, replace(task, init=init), samples)
    told = call_of(task)

    def check(sample: Sample) -> Report:
        return check_layer(guessed.layer, *sample.primals, settings=sample.settings, **told, **_options(task))

    return _checked(check, guessed)


def _pair(forward: Any, backward: Any, task: CheckTask) -> TaskOutcome:
    pair = CachedPair(forward, backward)
    guessed = Guess(pair, _asked(pair, task)) if task.samples or task.inputs else guess(pair, task, ())

    def check(sample: Sample) -> Report:
        if kinds.keeps_node_contract(backward) and (own := _with_settings(sample, forward)):
            return _vjp(forward, backward, own, task)
        return check_cached_pair(
            forward, backward, sample.primals, settings=sample.settings, **_options(task)
        )

    return _checked(check, guessed)


def _node(found: Any, task: CheckTask) -> TaskOutcome:
    """Return the report on a node at its own samples together, unless others were asked for."""
    own = getattr(found, "samples", None)
    if task.samples or task.inputs or own is None:
        return _pair(found.forward, found.backward, task)
    # its own name, by which its samples are drawn and other reports call it
    name = found.name if isinstance(found, Node) else task.target
    node = Node(name, "own", found.forward, found.backward, own)
    budget = Budget(task.max_seconds, task.max_evaluations)
    trials = [
        Trial(node, sample, task.seed, task.rtol, task.atol, budget=budget)
        for sample in node.draw_samples(task.seed)
    ]
    if not trials:
        raise LayerError(f"the samples(rng) of {task.target} gives none: yield one, or give --input SHAPE")
    chosen = select_checks(None)
    rows = list(run_checks(trials, chosen))
    more, explored = explore_trials(trials, chosen, rows)
    rows += more
    findings, comparisons = explain(trials, rows), comparisons_of(trials, rows)
    place = place_of(node.backward)
    places = {node.name: place} if place else {}
    found_all = Report(rows, explored=explored, findings=findings, comparisons=comparisons, places=places)
    return TaskOutcome(found_all)


def _vjp(forward: Any, backward: Any, sample: Sample, task: CheckTask) -> Report:
    # who writes to the node contract is held to the whole of it
    options = {**_options(task), "strict": True}
    return check_vjp(forward, backward, sample.primals, settings=sample.settings, **options)


def _with_settings(sample: Sample, forward: Any) -> Sample | None:
    """Return a sample with the primals that are no floats as settings; None if a float comes behind one."""
    names = primal_names(forward, len(sample.primals))
    floats = [np.asarray(x).dtype.kind == "f" for x in sample.primals]
    count = sum(floats)
    if not all(floats[:count]):
        return None
    more = dict(zip(names[count:], sample.primals[count:], strict=True))
    return replace(sample, primals=sample.primals[:count], settings={**more, **sample.settings})


def _framework(kind: str, found: Any, task: CheckTask) -> TaskOutcome:
    """Return the outcome of `check_torch` or `check_jax` on a framework's object."""
    check = getattr(gradlab, f"check_{kind}", None)
    if check is None:
        raise LayerError(f"{task.target} is {kind}'s, and this gradlab has no check_{kind}: update gradlab")
    if isinstance(found, type) and hasattr(found, "apply") and not hasattr(found, "parameters"):
        subject = found.apply
    else:
        subject = made(found, task.init or {}, task.seed) if isinstance(found, type) else found
    samples = _asked(subject, task)
    if not samples:
        raise LayerError(f"the shapes that {task.target} takes are not known: give --input SHAPE for each")

    def checked(sample: Sample) -> Report:
        inputs = [_tensor(x, subject) if kind == kinds.TORCH else x for x in sample.primals]
        report: Report = check(subject, *inputs, settings=sample.settings, **_options(task))
        return report

    return _checked(checked, Guess(subject, samples))


def _tensor(x: Any, subject: Any) -> Any:
    """Return an array as a tensor, one of float64 in the dtype of a module's parameters."""
    torch = import_module("torch")
    if not isinstance(x, np.ndarray | np.generic):
        return x
    tensor = torch.as_tensor(np.asarray(x))
    held = [p.dtype for p in subject.parameters()] if hasattr(subject, "parameters") else []
    narrow = next((dtype for dtype in held if dtype.is_floating_point), tensor.dtype)
    return tensor.to(narrow) if tensor.dtype == torch.float64 else tensor


def _asked(layer: Any, task: CheckTask) -> list[Sample]:
    """Return the inputs that --samples or --input ask for."""
    parameters = parameters_of_forward(layer, task)
    if task.samples:
        settings = settings_of(task.settings, parameters, task.seed)
        found = samples_of(task.samples, parameters, task.seed)
        return [replace(sample, settings={**settings, **sample.settings}) for sample in found]
    if not task.inputs:
        return []
    refuse_count([p for p in parameters if p.name not in task.settings], len(task.inputs))
    return [drawn(task.inputs, layer, task)]


def _options(task: CheckTask) -> dict[str, Any]:
    few: dict[str, Any] = {"checks": ["matches_numerical"], "explore": False} if task.values_only else {}
    return few | {
        "rtol": task.rtol, "atol": task.atol, "seed": task.seed, "strict": task.strict,
        "max_seconds": task.max_seconds, "max_evaluations": task.max_evaluations, "name": task.target,
        "repair": task.repair,
    }  # fmt: skip


def _checked(check: Check, guessed: Guess) -> TaskOutcome:
    """Return the outcome at all samples; a sample that cannot be checked does not hide what another shows."""
    reports: list[Report] = []
    failed: list[str] = []
    for sample in guessed.samples:
        try:
            reports.append(_renamed(check(sample), sample.name))
        except LayerError as error:
            failed.append(str(error) if len(guessed.samples) == 1 else f"{sample.name}: {error}")
    if not reports:
        raise LayerError(failed[0])
    names = dict.fromkeys(name for report in reports for name in report.findings)
    together = Report(
        [row for report in reports for row in report.rows],
        explored=[place for report in reports for place in report.explored],
        repairs=list(dict.fromkeys(repair for report in reports for repair in report.repairs)),
        findings={name: [found for r in reports for found in r.findings.get(name, ())] for name in names},
        comparisons=[both for report in reports for both in report.comparisons],
        places={name: place for report in reports for name, place in report.places.items()},
    )
    return TaskOutcome(together, taken=guessed.taken, unusable="; ".join(failed))


def _renamed(report: Report, name: str) -> Report:
    """Return a report on a sample that is called "given" under the sample's own name."""
    rows = [replace(row, sample=name + row.sample.removeprefix("given")) for row in report.rows]
    comparisons = [
        replace(both, sample=name + both.sample.removeprefix("given")) for both in report.comparisons
    ]
    explored = [replace(place, sample=name) for place in report.explored]
    return replace(report, rows=rows, explored=explored, comparisons=comparisons)
