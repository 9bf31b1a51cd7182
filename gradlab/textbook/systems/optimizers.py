"""One network on the spiral, trained by each optimizer; and the same network, saved and loaded."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.textbook.datasets.spiral import make_spiral
from gradlab.textbook.models.graph import Dense, Model, Sequential
from gradlab.textbook.models.parameter_files import load_model_parameters, save_model
from gradlab.textbook.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, Optimizer, RMSprop
from gradlab.textbook.systems._system import Built, System, fit


def network(optimizer: Any = "sgd") -> Built:
    """Return the network 2-10-3, the same at every call, and the spiral."""
    model = Sequential([Dense(10, activation="tanh", input_shape=(2,)), Dense(3, activation="softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model, *make_spiral()


def learn(model: Model, x: Array, t: Array) -> str:
    """Train for 100 epochs in batches of 30, and return the losses before and after, and the accuracy."""
    before = model.evaluate(x, t)[0]
    fit(model, x, t, batch_size=30, epochs=100)
    after, accuracy = model.evaluate(x, t)
    return f"loss from {before:.2f} to {after:.2f}, accuracy {accuracy:.3g}"


def saved_and_loaded(model: Model, x: Array, t: Array) -> str:
    """Train for two epochs, save the parameters, and load them into a new model."""
    fit(model, x, t, epochs=2)
    new = network()[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spiral.npz"
        save_model(model, path)
        load_model_parameters(new, path)
    same = np.array_equal(new.predict(x), model.predict(x))
    return f"a new model with its parameters predicts {'the same, bit for bit' if same else 'something else'}"


def _network_with(optimizer: type[Optimizer], lr: float) -> Built:
    return network(optimizer(lr))


# learning rates at which each optimizer learns something in the same 1,000 steps
RATES: dict[type[Optimizer], float] = {
    SGD: 1.0,
    Momentum: 0.1,
    Nesterov: 0.1,
    AdaGrad: 0.5,
    RMSprop: 0.01,
    Adam: 0.01,
    AdamW: 0.01,
}

SYSTEMS = (
    *(
        System(
            rule.__name__, f"dense 2-10-3 on the spiral, rate {lr}", learn, partial(_network_with, rule, lr)
        )
        for rule, lr in RATES.items()
    ),
    System("saving", "dense 2-10-3, to disk and back", saved_and_loaded, network),
)
