"""Sequential and graph models, one for each kind of layer, of graph and of loss."""

from functools import partial
from typing import Any

import numpy as np

from gradlab.node import Array
from gradlab.textbook.models.graph import (
    GRU,
    LSTM,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    MaxPooling2D,
    Model,
    Sequential,
)
from gradlab.textbook.optimizers import Adam
from gradlab.textbook.systems._system import Built, System, fit
from gradlab.textbook.systems.networks import small_digits

CLASSES = "sparse_categorical_crossentropy"


def dense() -> Built:
    """Return a Sequential classifier of small digits, with one-hot targets."""
    x, t = small_digits()
    model = Sequential([Dense(12, activation="relu", input_shape=(49,)), Dense(10, activation="softmax")])
    return compiled(model, "categorical_crossentropy"), x, np.eye(10)[t]


def two_classes() -> Built:
    """Return a classifier of points in the square by whether they lie in a disc."""
    x = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    model = Sequential([Dense(8, activation="tanh", input_shape=(2,)), Dense(1, activation="sigmoid")])
    return compiled(model, "binary_crossentropy"), x, np.sum(x**2, axis=1) < 0.5


def regression() -> Built:
    """Return a network of one input and one output, to be fitted to a sine."""
    x = np.linspace(-3, 3, 100)[:, np.newaxis]
    model = Sequential([Dense(12, activation="tanh", input_shape=(1,)), Dense(1)])
    return compiled(model, "mse", metrics=()), x, np.sin(x)


def two_branches() -> Built:
    """Return a model of pairs of images, with a shared layer: is the digit the same, and which digit is the first."""
    x, t = small_digits(4)
    other = np.random.default_rng(0).permutation(len(t))
    other[::2] = [np.flatnonzero(t == digit)[-1] for digit in t[::2]]  # half the pairs are of one digit
    first, second = Input((16,), "first"), Input((16,), "second")
    shared = Dense(8, activation="tanh")
    left, right = shared(first), shared(second)
    both = Dense(8, activation="relu")(Concatenate()([left, right]))
    same = Dense(1, activation="sigmoid", name="same")(both)
    which = Dense(10, activation="softmax", name="which")(left)
    model = Model([first, second], [same, which])
    return compiled(model, ["binary_crossentropy", CLASSES]), [x, x[other]], [t == t[other], t]


def bars(count: int = 200) -> tuple[Array, Array]:
    """Return noisy 6 x 6 images of a bar, shape (count, 6, 6, 1), and its direction: across, down or slanting."""
    rng = np.random.default_rng(0)
    t, place = rng.integers(3, size=count), rng.integers(6, size=count)
    x = 0.3 * rng.standard_normal((count, 6, 6, 1))
    along = np.arange(6)
    for image, direction, k in zip(x[..., 0], t, place, strict=True):
        rows, columns = [(k, along), (along, k), (along, (along + k) % 6)][direction]
        image[rows, columns] += 1
    return x, t


def inception() -> Built:
    """Return an inception block on bars: windows of three sizes and a maximum, side by side."""
    x = Input((6, 6, 1))
    branches = [Conv2D(2, size, padding="same", activation="relu")(x) for size in (1, 3, 5)]
    pooled = Conv2D(2, 1, activation="relu")(MaxPooling2D(3, strides=1, padding="same")(x))
    joined = MaxPooling2D(3)(Concatenate()([*branches, pooled]))
    model = Model(x, Dense(3, activation="softmax")(Flatten()(joined)))
    return compiled(model, CLASSES), *bars()


def convolutional() -> Built:
    """Return a convolutional classifier of bars with batch statistics and dropout."""
    model = Sequential(
        [
            Conv2D(4, 3, activation="relu", input_shape=(6, 6, 1)),
            BatchNormalization(momentum=0.9),
            MaxPooling2D(2),
            Flatten(),
            Dropout(0.2),
            Dense(3, activation="softmax"),
        ]
    )
    return compiled(model, CLASSES), *bars()


def memory() -> Built:
    """Return an LSTM that is to tell the sign of the first of six numbers."""
    x = np.random.default_rng(0).standard_normal((150, 6, 1))
    model = Sequential([LSTM(5, input_shape=(6, 1)), Dense(2, activation="softmax")])
    return compiled(model, CLASSES), x, (x[:, 0, 0] > 0).astype(int)


def words() -> Built:
    """Return a GRU that is to tell, at every word, whether the word 3 has come."""
    ids = np.random.default_rng(0).integers(8, size=(150, 6))
    layers = [
        Embedding(8, 3, input_shape=(6,)),
        GRU(4, return_sequences=True),
        Dense(1, activation="sigmoid"),
    ]
    t = np.cumsum(ids == 3, axis=1) > 0
    return compiled(Sequential(layers), "binary_crossentropy"), ids, t[:, :, np.newaxis]


def reading() -> Built:
    """Return a CTC model of seven noisy frames, through which each label lasts for any number of frames."""
    rng = np.random.default_rng(0)
    frames, labels = np.zeros((60, 7), dtype=int), np.zeros((60, 2), dtype=int)
    for frame, label in zip(frames, labels, strict=True):
        label[:] = rng.integers(1, 4, size=2)
        start, gap, end = np.sort(rng.choice(np.arange(1, 7), size=3, replace=False))
        frame[start - 1 : gap], frame[gap + (label[0] == label[1]) : end + 1] = label
    x = np.eye(4)[frames] + 0.2 * rng.standard_normal((60, 7, 4))
    model = Sequential([LSTM(5, return_sequences=True, input_shape=(7, 4)), Dense(4, activation="softmax")])
    return compiled(model, "ctc"), x, labels


def compiled(model: Model, loss: Any, metrics: Any = ("accuracy",)) -> Model:
    """Return the model, compiled with Adam."""
    model.compile(optimizer=Adam(0.01), loss=loss, metrics=metrics)
    return model


def learn(epochs: int, model: Model, x: Any, t: Any) -> str:
    """Train for some epochs, and return the accuracies, or else the loss, on the same data."""
    fit(model, x, t, batch_size=20, epochs=epochs)
    found = dict(zip(model.metrics_names, model.evaluate(x, t), strict=True))
    wanted = [name for name in found if name.endswith("accuracy")] or ["loss"]
    return ", ".join(f"{name} {found[name]:.3g}" for name in wanted)


SYSTEMS = (
    System("Sequential", "dense 49-12-10, categorical cross-entropy: small digits", partial(learn, 15), dense),
    System("Sequential", "dense 2-8-1, binary cross-entropy: inside a disc", partial(learn, 60), two_classes),
    System("Sequential", "dense 1-12-1, mean squared error: a sine", partial(learn, 200), regression),
    System("Model", "two branches, a shared layer, two losses: pairs of digits", partial(learn, 60), two_branches),
    System("Model", "an inception block: bars", partial(learn, 20), inception, batch=4),
    System("Sequential", "convolution, batch statistics, dropout: bars", partial(learn, 30), convolutional, batch=4),
    System("Sequential", "LSTM: the sign of the first number", partial(learn, 30), memory, batch=4),
    System("Sequential", "embedding, GRU: has the word come yet", partial(learn, 15), words, batch=4),
    System("Sequential", "LSTM, CTC: labels of noisy frames", partial(learn, 150), reading, batch=4),
)  # fmt: skip
