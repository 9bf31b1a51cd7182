"""MNIST by models in Keras's manner: dense layers, and a small convolutional network."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from gradlab.textbook.datasets import Dataset
from gradlab.textbook.models.graph import Conv2D, Dense, Flatten, MaxPooling2D, Sequential
from gradlab.textbook.optimizers import Adam, Optimizer, RMSprop
from gradlab.textbook.training import Progress, TrainingHistory

SIDE = 28


def sequential(hidden: int = 50, *, rng: np.random.Generator | int = 0) -> Sequential:
    """Return 784-hidden-10 with relu and softmax, in float32."""
    layers = [Dense(hidden, activation="relu", input_shape=(SIDE**2,)), Dense(10, activation="softmax")]
    return Sequential(layers, rng=rng, dtype=np.float32)


def conv(hidden: int = 64, *, rng: np.random.Generator | int = 0) -> Sequential:
    """Return two convolutions, each with max pooling, and dense layers hidden-10 behind them, in float32."""
    layers = [
        Conv2D(16, 5, activation="relu", input_shape=(SIDE, SIDE, 1)),
        MaxPooling2D(2),
        Conv2D(32, 3, activation="relu"),
        MaxPooling2D(2),
        Flatten(),
        Dense(hidden, activation="relu"),
        Dense(10, activation="softmax"),
    ]
    return Sequential(layers, rng=rng, dtype=np.float32)


BUILD: dict[str, Callable[..., Sequential]] = {"sequential": sequential, "conv": conv}
OPTIMIZER: dict[str, Callable[[float], Optimizer]] = {"sequential": RMSprop, "conv": Adam}
# hidden units, batch size, learning rate and epochs where nothing else is asked for
DEFAULTS: dict[str, dict[str, Any]] = {
    "sequential": {"hidden": 50, "batch_size": 128, "lr": 0.001, "epochs": 10},
    "conv": {"hidden": 64, "batch_size": 32, "lr": 0.001, "epochs": 3},
}


def train(
    name: str, data: Dataset, *, hidden: int, batch_size: int, lr: float, epochs: int, seed: int = 0
) -> TrainingHistory:
    """Train a model by its `fit`, an epoch at a time.

    Parameters
    ----------
    name : {"sequential", "conv"}
    data : Dataset
        Images as rows, of any float dtype.
    hidden : int
        The units of the hidden dense layer.
    batch_size, epochs : int
    lr : float
        The learning rate, of RMSprop for "sequential", of Adam for "conv".
    seed : int
        Of the initial weights and of the order of the examples.

    Returns
    -------
    TrainingHistory
        A point for each epoch; its loss and its training accuracy are averages over the epoch, each batch's taken
        before its step. Ctrl-C keeps the epochs that were finished.
    """
    for_weights, for_order = np.random.default_rng(seed).spawn(2)
    model = BUILD[name](hidden, rng=for_weights)
    model.compile(OPTIMIZER[name](lr), "sparse_categorical_crossentropy", ["accuracy"])
    x_train, x_test = (x.reshape(-1, *model.inputs[0].shape) for x in (data.x_train, data.x_test))
    epoch_steps = -(-len(x_train) // batch_size)
    points: list[Progress] = []
    spent = 0.0
    try:
        for epoch in range(1, epochs + 1):
            start = perf_counter()
            done = model.fit(x_train, data.t_train, batch_size=batch_size, rng=for_order)
            if done.interrupted:
                return TrainingHistory(points, interrupted=True)
            spent += perf_counter() - start
            (loss,), (accuracy,) = done.history["loss"], done.history["accuracy"]
            _, test_accuracy = model.evaluate(x_test, data.t_test, batch_size=500)
            points.append(Progress(epoch * epoch_steps, epoch, loss, accuracy, test_accuracy, spent))
    except KeyboardInterrupt:
        return TrainingHistory(points, interrupted=True)
    return TrainingHistory(points)
