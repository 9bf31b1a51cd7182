"""Models: any graph without cycles from inputs to outputs, compiled with losses and trained."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.textbook.incremental import incremental_gradient
from gradlab.textbook.models.graph import passes, training
from gradlab.textbook.models.graph.data import check_rows, input_arrays, one_per_name
from gradlab.textbook.models.graph.layers import Embedding, GraphLayer, Tensor
from gradlab.textbook.models.graph.layers.activation import is_shorthand, maker
from gradlab.textbook.models.graph.names import numbered_names, unique_names
from gradlab.textbook.models.graph.program import graph_program
from gradlab.textbook.models.graph.summary import summary
from gradlab.textbook.models.graph.tasks import (
    Compiled,
    chosen_optimizer,
    make_tasks,
    score_names,
    scores,
    total_loss,
)
from gradlab.textbook.models.graph.training import History
from gradlab.textbook.models.parameters import Parameters

Rng = np.random.Generator | int


class Model:
    """A graph of layers from some tensors to others.

    Parameters
    ----------
    inputs, outputs : Tensor or sequence of Tensor
    rng : numpy.random.Generator or int
        What the parameters are drawn from, a stream for each layer. A layer that another model has built keeps its
        parameters, and both models share them.
    dtype : dtype
        Of the parameters, and of all that is computed.

    Attributes
    ----------
    layers : list of GraphLayer
        Each layer once, however often it is called, in the order of the graph.
    params : dict
        The parameters by names such as "dense/W"; assigning writes into the layer's array.
    state : dict
        The arrays that are kept and not trained, such as running statistics, in the same way.
    input_names, output_names : list of str
        The names by which data, losses and metrics may be given in dicts: those of the inputs, and of the layers that
        make the outputs.

    Raises
    ------
    ValueError
        If an output needs an input that is not given, an input leads to no output, or two layers have one name.

    Examples
    --------
    >>> from gradlab.textbook.models.graph import Add, Dense, Input, Model
    >>> x = Input((4,))
    >>> left, right = Dense(3, "relu")(x), Dense(3, "tanh")(x)
    >>> model = Model(x, Dense(1)(Add()([left, right])))
    >>> model.predict(np.ones((2, 4))).shape
    (2, 1)
    """

    def __init__(
        self,
        inputs: Tensor | Sequence[Tensor],
        outputs: Tensor | Sequence[Tensor],
        *,
        rng: Rng = 0,
        dtype: Any = np.float64,
    ) -> None:
        self.inputs, self.outputs = _listed(inputs), _listed(outputs)
        self.dtype = np.dtype(dtype)
        self._tensors = passes.topological_order(self.outputs)
        first_calls: dict[GraphLayer, Tensor] = {}
        for tensor in self._tensors:
            if tensor.layer is not None and not is_shorthand(tensor.layer):
                first_calls.setdefault(tensor.layer, tensor)
        self.layers = list(first_calls)
        self._names = unique_names([*self.inputs, *self.layers])
        self._check_inputs()
        for layer, stream in zip(
            self.layers, np.random.default_rng(rng).spawn(len(self.layers)), strict=True
        ):
            layer.build(first_calls[layer].inputs[0].shape, stream, self.dtype)
        self.params, self.state = Parameters(self._arrays("params")), Parameters(self._arrays("state"))
        self.input_names = [self._names[tensor] for tensor in self.inputs]
        self.output_names = numbered_names(self._names[maker(tensor) or tensor] for tensor in self.outputs)
        self._ids = {tensor.inputs[0] for tensor in self._tensors if isinstance(tensor.layer, Embedding)}
        self._compiled: Compiled | None = None

    def _check_inputs(self) -> None:
        needed = [tensor for tensor in self._tensors if tensor.layer is None]
        for tensor in needed:
            if tensor not in self.inputs:
                called = tensor.name or f"of shape {tensor.shape}"
                raise ValueError(f"the outputs need the input {called}, which is not given: add it to inputs")
        for tensor in self.inputs:
            if tensor not in needed:
                raise ValueError(f"{self._names[tensor]} leads to no output: leave it out of inputs")

    def _arrays(self, kind: str) -> dict[str, Array]:
        return {
            f"{self._names[layer]}/{name}": array
            for layer in self.layers
            for name, array in getattr(layer, kind).items()
        }

    @property
    def compiled(self) -> Compiled:
        """The optimizer, and the task of each output."""
        if self._compiled is None:
            raise RuntimeError("the model has no loss yet: call compile(optimizer=..., loss=...) first")
        return self._compiled

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = (),
        loss_weights: Any = None,
    ) -> None:
        """Set the optimizer, the losses and the metrics of the training.

        Parameters
        ----------
        optimizer : str or object
            A name out of `gradlab.textbook.optimizers`, such as "sgd", or an object with ``update(params, grads)``,
            two dicts of arrays, which changes the first in place.
        loss : str, list or dict of str
            For all outputs, for each in their order, or by `output_names`: one of "mse", "mae", "huber",
            "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy" and "ctc".
        metrics : list or dict of lists of str
            For every output, or by `output_names`: "accuracy", or the name of a loss.
        loss_weights : list or dict of float, optional
            What the losses of several outputs are multiplied by before they are added up; by default they are averaged.

        Raises
        ------
        ValueError, TypeError
            If a name is unknown, or `optimizer` is no optimizer.

        Warns
        -----
        UserWarning
            If a loss does not go with its output's last activation: binary cross-entropy wants sigmoid, categorical
            softmax, a regression no softmax.
        """
        tasks = make_tasks(self.output_names, self.outputs, loss, metrics, loss_weights)
        self._compiled = Compiled(chosen_optimizer(optimizer), tasks)

    def fit(
        self,
        x: Any,
        t: Any,
        *,
        batch_size: int = 32,
        epochs: int = 1,
        validation_data: tuple[Any, Any] | None = None,
        rng: Rng = 0,
    ) -> History:
        """Train: one step of the optimizer for each batch, every epoch in another order.

        Parameters
        ----------
        x, t : ndarray, or list or dict of them
            Data of shape (N, *input shape) and targets, for several inputs and outputs in their order or by name.
            Targets are as the loss takes them: numbers like the output, or (N,) for one unit; one-hot rows; class
            indices; label sequences (N, length), filled up with 0, the blank.
        batch_size : int
            The last batch of an epoch may be smaller.
        epochs : int
        validation_data : (x, t), optional
            Evaluated after each epoch.
        rng : numpy.random.Generator or int
            Draws the order and the masks of dropout.

        Returns
        -------
        History
            Ctrl-C ends the loop and keeps the steps that were taken.

        Raises
        ------
        ValueError
            If an array has another shape than the model takes; the message has both shapes.

        Notes
        -----
        On a terminal, a bar on stderr shows the progress.
        """
        data = self._data(x, t)
        validation = None if validation_data is None else self._data(*validation_data)
        return training.fit(self, data, validation, batch_size, epochs, rng)

    def evaluate(self, x: Any, t: Any, *, batch_size: int = 32) -> tuple[float, ...]:
        """Return the loss and the metrics of all rows, in the order of `metrics_names`."""
        return tuple(training.evaluate(self, *self._data(x, t), batch_size).values())

    @property
    def metrics_names(self) -> list[str]:
        """The names of the scores of `evaluate`: "loss", with several outputs the loss of each, and the metrics."""
        return score_names(self.compiled.tasks)

    def predict(self, x: Any, *, batch_size: int = 32) -> Any:
        """Return the output for `x`, shape (N, *output shape), or a list of them if there are several."""
        xs = self._inputs(x)
        parts = []
        for first in range(0, len(xs[0]), batch_size):
            values = self.values([array[first : first + batch_size] for array in xs])
            parts.append([values[output] for output in self.outputs])
        found = [np.concatenate(of_output) for of_output in zip(*parts, strict=True)]
        return found[0] if len(found) == 1 else found

    def loss(self, x: Any, t: Any, *, rng: Rng = 0) -> float:
        """Return the loss of a batch as in training: dropout drops, batch statistics are used.

        Parameters
        ----------
        x, t
            As for `fit`.
        rng : numpy.random.Generator or int
            Draws the masks of dropout: the same seed, the same masks.
        """
        xs, ts = self._data(x, t)
        values, _ = self._forward(xs, True, np.random.default_rng(rng))
        losses, _ = training.losses(self.compiled.tasks, values, ts)
        return total_loss(self.compiled.tasks, losses)

    def gradient(self, x: Any, t: Any, *, rng: Rng = 0) -> dict[str, Array]:
        """Return the gradient of `loss` by every parameter, by backprop."""
        _, gradient, _ = self._differentiate(*self._data(x, t), np.random.default_rng(rng))
        return gradient

    def incremental_gradient(self, x: Any, t: Any, *, rng: Rng = 0) -> dict[str, Array]:
        """Return the gradient of `loss` by every parameter by central differences.

        See `gradlab.textbook.incremental`.
        """
        xs, ts = self._data(x, t)
        given = dict(zip(self.inputs, xs, strict=True))
        program = graph_program(self._tensors, given, self.compiled.tasks, ts, np.random.default_rng(rng))
        return incremental_gradient(program, self.params)

    def summary(self) -> str:
        """Return a table of the layers, with kinds, output shapes and numbers of parameters."""
        return summary(self._tensors, self._names)

    def astype(self, dtype: Any) -> "Model":
        """Return a copy of this model in another dtype, with parameters, state and losses of its own."""
        layers = {tensor.layer: tensor.layer.astype(dtype) for tensor in self._tensors if tensor.layer}
        copies: dict[Tensor, Tensor] = {}
        for old in self._tensors:
            inputs = tuple(copies[source] for source in old.inputs)
            layer = None if old.layer is None else layers[old.layer]
            copies[old] = replace(old, layer=layer, inputs=inputs)
        model = Model([copies[t] for t in self.inputs], [copies[t] for t in self.outputs], dtype=dtype)
        if self._compiled is not None:
            tasks = [
                replace(task, output=copies[task.output], at=copies[task.at]) for task in self.compiled.tasks
            ]
            model._compiled = Compiled(deepcopy(self.compiled.optimizer), tuple(tasks))
        return model

    def step(
        self, xs: Sequence[Array], ts: Sequence[Array], rng: np.random.Generator
    ) -> tuple[Array, dict[str, Array]]:
        """Return the scores and the gradient of a batch, and bring the state of the layers up to date."""
        found, gradient, residuals = self._differentiate(xs, ts, rng)
        for tensor, kept in residuals.items():
            if tensor.layer is not None:
                tensor.layer.after_step(kept)
        return found, gradient

    def values(self, xs: Sequence[Array]) -> dict[Tensor, Array]:
        """Return the value of every tensor as in prediction: nothing is dropped, running statistics are used."""
        return self._forward(xs, False, np.random.default_rng(0))[0]

    def _forward(
        self, xs: Sequence[Array], training: bool, rng: np.random.Generator
    ) -> tuple[dict[Tensor, Array], dict[Tensor, Any]]:
        given = dict(zip(self.inputs, xs, strict=True))
        return passes.forward(self._tensors, given, training, rng)

    def _differentiate(
        self, xs: Sequence[Array], ts: Sequence[Array], rng: np.random.Generator
    ) -> tuple[Array, dict[str, Array], dict[Tensor, Any]]:
        tasks = self.compiled.tasks
        values, residuals = self._forward(xs, True, rng)
        losses, of_losses = training.losses(tasks, values, ts)
        cotangents = training.cotangents(tasks, of_losses, self.dtype)
        found = passes.backward(self._tensors, residuals, cotangents)
        gradient = {f"{self._names[layer]}/{name}": g for (layer, name), g in found.items()}
        return scores(tasks, values, ts, losses), {name: gradient[name] for name in self.params}, residuals

    def _inputs(self, x: Any) -> list[Array]:
        return input_arrays(x, self.inputs, self.input_names, self._ids, self.dtype)

    def _data(self, x: Any, t: Any) -> tuple[list[Array], list[Array]]:
        xs, ts = self._inputs(x), []
        for task, values in zip(self.compiled.tasks, one_per_name(t, self.output_names, "t"), strict=True):
            array = np.atleast_1d(values)
            check_rows(["x", f"t for {task.name}"], [xs[0], array])
            ts.append(task.loss.targets(array, (len(array), *task.output.shape), self.dtype))
        return xs, ts


def _listed(tensors: Tensor | Sequence[Tensor]) -> list[Tensor]:
    found = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    for tensor in found:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"a model was given {tensor!r}: give an Input, or what a layer returned")
    if not found:
        raise ValueError("a model was given no tensors: give at least one input and one output")
    return found
