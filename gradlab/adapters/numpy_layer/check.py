"""`check_layer`: a layer is read, then held to the node contract."""

import contextlib
import inspect
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Unpack

from gradlab.adapters.foreign_pair.convention import NUMERICAL
from gradlab.adapters.foreign_pair.convention_search import LOSSES
from gradlab.adapters.foreign_pair.subject_report import report_on
from gradlab.adapters.numpy_layer.forward_calls import (
    NOTHING,
    Told,
    calls_of_any_methods,
    find_calls,
    no_forward,
)
from gradlab.adapters.numpy_layer.initial_state import is_constant, layer_at_start
from gradlab.adapters.numpy_layer.layer_error import LayerError, foreign_errors
from gradlab.adapters.numpy_layer.layer_reading import Reading
from gradlab.adapters.numpy_layer.layer_run import HeldLayer, backward_methods, method_of, title_of
from gradlab.adapters.numpy_layer.layer_state import writeable
from gradlab.adapters.numpy_layer.learned_behaviour import (
    draws_in_backward,
    ignores_cotangent,
    in_its_precision,
    moves_with_cotangent,
    with_accumulation,
)
from gradlab.adapters.numpy_layer.reading_choice import NoBackwardError, choose_reading
from gradlab.adapters.numpy_layer.report_subject import remarks, subject_of
from gradlab.adapters.numpy_layer.static_function import with_context
from gradlab.checks.trial import quiet
from gradlab.diagnosis import Finding
from gradlab.node import Array
from gradlab.report import Report, Row
from gradlab.running.foreign_function import place_of
from gradlab.running.options import CheckKeywords, options_of, takes_options
from gradlab.running.selection import select_checks
from gradlab.verdict import Verdict
from gradlab.workers.strange_objects import attribute_of, shown, text_of
from gradlab.workers.threads import one_at_a_time, printing_into

DRAWS = Finding(
    "nondeterministic",
    "",
    0.9,
    "backward draws random numbers of its own",
    "draw in forward, and keep what was drawn for backward",
)


class PrintDetector(io.TextIOBase):
    """A stream that keeps nothing but whether anything was printed, as a layer may print for ever."""

    anything = False

    def write(self, text: str) -> int:
        """Note that text was printed, and drop it."""
        self.anything = self.anything or bool(text.strip())
        return len(text)


@one_at_a_time
@takes_options()
def check_layer(
    layer: Any,
    *inputs: Any,
    settings: Mapping[str, Any] | None = None,
    loss: str | Callable[[Any], Any] | None = None,
    forward: str | Callable[..., Any] | None = None,
    backward: str | Callable[..., Any] | None = None,
    cotangent: str | None = None,
    params: Any = None,
    grads: Any = None,
    **keywords: Unpack[CheckKeywords],
) -> Report:
    """Check the gradients of any object that has a forward and a backward pass.

    How it is called, where its parameters and their gradients are, and how the cotangent gets in is found out by
    trying what its names suggest; each row's note says what was taken for what. The object is left as it was.

    With `explore`, a second call is looked at as well, the other mode of a training flag, repeated ids, and other
    strides, paddings and the like where the constructor can be called again. With `strict`, a convention that departs
    from forward (a mean inside, another function of the loss) is an error too.

    Parameters
    ----------
    layer : object
        With methods like ``forward`` and ``backward``, or one that records a tape.
    *inputs
        What forward takes: arrays of floats are differentiated, unless their names say that they are a loss's
        targets; arrays of integers, and everything else, are passed as they are.
    settings : mapping, optional
        Keyword arguments of forward (``train_flg=False``), or, where it does not take them, attributes to set.
    loss : {"sum", "mean", "logits", "without epsilon"} or callable, optional
        The function that a loss's gradient belongs to, where that is not what forward returns: the sum where it
        returns the mean, the mean where it returns the sum, forward of the softmax or sigmoid of logits, or forward
        without its epsilon; or ``loss(output) -> scalar``.
    forward, backward : str or callable, optional
        The methods, if they are not to be found out: their names, or functions of the layer and of what they take
        besides, ``forward(layer, *inputs) -> output`` and ``backward(layer, g) -> gradients``.
    cotangent : str, optional
        What backward calls the argument for the cotangent, or the layer the attribute that it goes into.
    params, grads : list of str or ndarray, dict, or callable, optional
        Where the parameters and their gradients are, if that is not to be found out: names (``"W"``,
        ``"layers[0].W"``), the layer's own arrays, or a function of the layer that returns them.

    Returns
    -------
    Report

    Raises
    ------
    LayerError
        A ValueError: if nothing could be checked; the message ends with the cure.

    Examples
    --------
    >>> class Square:
    ...     def forward(self, x):
    ...         self.x = x
    ...         return x**2
    ...
    ...     def backward(self, dout):
    ...         return 3 * self.x * dout
    >>> check_layer(Square(), np.array([1.0, 2.0])).faults[0].name
    'constant-factor'
    """
    options = options_of(check_layer, keywords)
    seed = options.seed
    if isinstance(loss, str) and loss not in LOSSES:
        raise LayerError(
            f"loss is {shown(loss)}: give one of {', '.join(map(repr, LOSSES))}, or a function of the output"
        )
    if not isinstance(settings, Mapping | None):
        raise LayerError(f"settings is {shown(settings)}: pass a dict of forward's keyword arguments")
    chosen = select_checks(options.checks)
    if options.checks is None:
        # a layer's precision is that of its parameters
        chosen = {key: check for key, check in chosen.items() if key != "works_in_float32"}
    layer = with_context(layer)
    printed = PrintDetector()
    with (
        foreign_errors(title_of(layer)),
        writeable(layer) as copies,
        methods_lent(layer, forward, backward, cotangent) as told,
    ):
        params, grads = (_with_copies(given, copies) for given in (params, grads))
        held = HeldLayer(layer, inputs)
        try:
            with printing_into(printed), quiet():
                reading = read_layer(layer, inputs, settings or {}, params, grads, seed, told)
                if reading.raised:
                    chosen = {key: check for key, check in chosen.items() if key == NUMERICAL}
                subject = subject_of(reading, settings or {}, seed, options.name)
                understood = reading.understood or bool(backward)
                mended = options if understood else replace(options, repair=False)
                report = report_on(subject, mended, chosen, loss)
                drawing = [DRAWS] if not report.ok and draws_in_backward(reading.bound, seed) else []
                more = remarks(reading, subject, printed.anything, options.strict, seed)
        finally:
            held.leave()
    method = reading.bound.backward_call.method
    place = place_of(attribute_of(layer, method)) if method and not backward else None
    report = replace(report, places={subject.name: place} if place else {})
    named = [*drawing, *report.findings.get(subject.name, ()), *(f for _, f in more if f)]
    rows = [*report.rows, *(row for row, _ in more)]
    if not understood:
        return replace(report, rows=[_not_understood(row, reading) for row in rows], findings={})
    return replace(report, rows=rows, findings={subject.name: named} if named else {})


def _not_understood(row: Row, reading: Reading) -> Row:
    """Return a row without its verdict on the gradient, as nothing bears out how the layer was read."""
    if row.verdict is not Verdict.WRONG:
        return row
    method = reading.bound.backward_call.method
    read = f"{reading.bound.forward_call.method}, then {reading.bound.backward_call.said}"
    said = f"not understood: read as {read}, and nothing bears that out"
    cure = f"if it is so, say check_layer(layer, ..., backward={method!r}), and else the name of what is"
    note = "; ".join(filter(None, [said, row.note]))
    return replace(row, verdict=Verdict.INCONCLUSIVE, note=f"{note}: {cure}")


@contextlib.contextmanager
def methods_lent(
    layer: Any,
    forward: str | Callable[..., Any] | None,
    backward: str | Callable[..., Any] | None,
    cotangent: str | None,
) -> Iterator[Told]:
    """Yield the names of the methods that the caller gives; functions are lent to the layer as methods meanwhile.

    Raises
    ------
    LayerError
        If a name is no method's, or the layer takes no further attributes.
    """
    if cotangent is not None and not isinstance(cotangent, str):
        cure = "give the name of backward's argument, or of an attribute"
        raise LayerError(f"cotangent is {shown(cotangent)}: {cure}")
    lent: list[str] = []
    try:
        told = Told(
            _method_name(layer, "forward", forward, lent),
            _method_name(layer, "backward", backward, lent),
            cotangent or "",
        )
        _refuse_unknown_cotangent(layer, told)
        yield told
    finally:
        for name in lent:
            delattr(layer, name)


def _method_name(layer: Any, what: str, given: str | Callable[..., Any] | None, lent: list[str]) -> str:
    """Return the name of the method that the caller gives, empty for none; a function is lent, and noted in `lent`."""
    if given is None:
        return ""
    if not callable(given):
        if isinstance(given, str) and callable(getattr(layer, given, None)):
            return given
        cure = "give a method's name, or a function of the layer"
        raise LayerError(f"{what} is {shown(given)}, and {title_of(layer)} has no such method: {cure}")
    name = f"given_{what}"
    try:
        setattr(layer, name, partial(given, layer))
    except (AttributeError, TypeError) as error:
        cure = f"name its method, {what}='...'"
        raise LayerError(f"{what} cannot be lent to {title_of(layer)} ({text_of(error)}): {cure}") from error
    lent.append(name)
    return name


def _refuse_unknown_cotangent(layer: Any, told: Told) -> None:
    methods = [told.backward] if told.backward else backward_methods(layer, told.forward)
    if told.cotangent and not hasattr(layer, told.cotangent.removeprefix(".")):
        arguments = {name for method in methods for name in _argument_names(method_of(layer, method))}
        if told.cotangent not in arguments:
            cure = "give the name of backward's argument, or of an attribute"
            raise LayerError(
                f"cotangent is {told.cotangent!r}, which {title_of(layer)} does not have: {cure}"
            )


def _argument_names(method: Any) -> list[str]:
    """Return what a method calls its arguments; nothing where that cannot be told."""
    try:
        return list(inspect.signature(method).parameters)
    except (TypeError, ValueError):
        return []


def _with_copies(given: Any, copies: Mapping[int, Array]) -> Any:
    """Return `params` or `grads` with the copies that stand in the layer now in place of its own arrays."""
    if isinstance(given, Mapping):
        return {key: copies.get(id(value), value) for key, value in given.items()}
    return [copies.get(id(value), value) for value in given] if isinstance(given, list | tuple) else given


def read_layer(
    layer: Any,
    inputs: Sequence[Any],
    settings: Mapping[str, Any],
    params: Any,
    grads: Any,
    seed: int,
    told: Told = NOTHING,
) -> Reading:
    """Return the reading of a layer that is believed, with everything that is learned of it afterwards."""
    calls = find_calls(layer, inputs, settings, told)
    held_layer, found = layer_at_start(layer, calls, params)
    if not found and not any(leaves for _, leaves in calls):
        raise LayerError("there are no floats among the inputs, and no parameters: pass inputs as floats")
    reading: Reading | None = None
    refused: LayerError | None = None
    try:
        reading = choose_reading(held_layer, calls, found, grads, seed)
    except NoBackwardError as error:
        refused = error
    if not (told.forward or told.backward or (reading and reading.understood)):
        with contextlib.suppress(LayerError):
            others = calls_of_any_methods(held_layer, inputs, settings)
            reading = choose_reading(held_layer, others, found, grads, seed)
    if reading is None:
        raise refused or no_forward(layer)
    if reading.raised:
        return reading
    bound = with_accumulation(in_its_precision(reading.bound, seed), seed)
    constants = tuple(p.name for p in found if not p.sure and is_constant(p, bound))
    ignores, moves = ignores_cotangent(bound, seed), moves_with_cotangent(bound, seed)
    return replace(reading, bound=bound, ignores=ignores, constants=constants, moves=moves)
